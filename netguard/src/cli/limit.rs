//! `netguard limit`: packet rates of sources, prefixes and services, changed live.

use clap::Subcommand;
use hyper::Method;
use netguard_common::{layout::Mode, limit::Class};
use serde::Serialize;
use tabled::Tabled;

use super::{
    CliError, Context,
    alone::{alone, record},
    confirm::{self, ConfirmOption},
    output::table,
    usual::{self, Usual},
};
use crate::{
    bpf::SettingsMap,
    config::{Burst, RatePerSecond},
    control::{Changed, Client, ClientError, LimitChange, LimitName, change_limit, risk, told},
    engine::{baseline::NormalTraffic, feature::Metric},
};

#[derive(Subcommand, Debug)]
pub(super) enum LimitCommand {
    /// Show the limits in force.
    List,
    /// Change a limit at once; a restart of the daemon goes back to the configuration.
    Set {
        /// syn, udp, icmp, control or other, per source; of a prefix or service with the level behind it: udp.prefix, udp.service, icmp.service (all pings).
        #[arg(value_parser = LimitName::parse)]
        limit: LimitName,
        /// Packets per second, in the long run.
        #[arg(long, value_parser = number)]
        rate: RatePerSecond,
        /// Packets that may come at once; the same as the rate if not given.
        #[arg(long, value_parser = number)]
        burst: Option<Burst>,
        #[command(flatten)]
        confirm: ConfirmOption,
    },
}

/// A limit in force.
#[derive(Serialize, Tabled)]
struct Limit {
    #[tabled(rename = "CLASS")]
    class: &'static str,
    /// Whose packets count together: of a `source`, a `prefix` or a `service`.
    #[tabled(rename = "LEVEL")]
    level: &'static str,
    #[tabled(rename = "RATE/S")]
    rate_per_s: u64,
    #[tabled(rename = "BURST")]
    burst: u64,
    #[tabled(rename = "MODE")]
    mode: &'static str,
    /// What usually comes of the class in a second, of all sources together; absent where nobody knows.
    #[tabled(rename = "ALL USUALLY P50/P95/P99", display("usual::text"))]
    usual_total: Option<Usual>,
}

pub(super) async fn run(context: &Context, command: LimitCommand) -> Result<(), CliError> {
    match command {
        LimitCommand::List => list(context).await,
        LimitCommand::Set {
            limit,
            rate,
            burst,
            confirm,
        } => {
            let change = LimitChange {
                rate_per_s: rate.value(),
                burst: burst.map_or(rate.value(), |burst| burst.value()),
            };
            let changed = match Client::connect(&context.instance).await {
                Ok(mut client) => {
                    let path = confirm.ask(&format!("/v1/limits/{limit}"));
                    client.request(Method::PUT, &path, Some(&change)).await?
                }
                Err(ClientError::NotRunning) => {
                    let _lock = alone(context).await?;
                    let mut map = SettingsMap::open(&context.pins)?;
                    let settings = map.read()?;
                    confirm.alone(
                        |_| risk::of_limit(&settings, limit, limit.rate(&settings), change),
                        "",
                    )?;
                    change_limit(&mut map, limit, change)?;
                    record(context, [told::limit_changed(limit.to_string(), change)]);
                    Changed {
                        change,
                        unconfirmed: None,
                    }
                }
                Err(error) => return Err(error.into()),
            };
            context.output.print(&changed, |Changed { change, unconfirmed }| {
                format!(
                    "{} is limited to {} packets/s per {} now, bursts of {}; the next start of the daemon takes the configuration's limit again{}",
                    limit.class.name(),
                    change.rate_per_s,
                    limit.level.name(),
                    change.burst,
                    confirm::told(unconfirmed.as_ref())
                )
            })
        }
    }
}

async fn list(context: &Context) -> Result<(), CliError> {
    let normal = usual::normal(context).await;
    let settings = SettingsMap::open(&context.pins)?.read()?;
    let mode = match Mode::from_number(settings.limit) {
        Mode::Off => "off",
        Mode::Shadow => "shadow",
        Mode::Enforce => "enforce",
    };
    let limits: Vec<Limit> = LimitName::all()
        .map(|name| {
            let rate = name.rate(&settings);
            Limit {
                class: name.class.name(),
                level: name.level.name(),
                rate_per_s: rate.per_second(),
                burst: rate.burst(),
                mode: match rate.interval_ns {
                    0 => "unlimited",
                    _ => mode,
                },
                usual_total: usual(name.class, &normal),
            }
        })
        .collect();
    context.output.print(&limits, |limits| table(limits, &[2, 3]))
}

/// What usually comes of `class`; `None` until enough was learnt.
fn usual(class: Class, normal: &NormalTraffic) -> Option<Usual> {
    let metric = match class {
        Class::Syn => Metric::Syn,
        Class::Udp => Metric::Udp,
        Class::Icmp => Metric::Icmp,
        Class::Other => Metric::Other,
        // It is part of ICMP.
        Class::Control => return None,
    };
    let known = normal.totals.get(metric.name());
    known.filter(|known| known.usual.is_some()).map(Usual::of)
}

/// Rates and bursts have the same range.
pub(super) fn number(text: &str) -> Result<RatePerSecond, String> {
    text.parse()
        .ok()
        .and_then(RatePerSecond::new)
        .ok_or_else(|| "a whole number from 1 to 10000000 is expected".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::baseline::Normal;

    #[test]
    fn a_limit_stands_beside_what_comes_of_its_class() {
        let number = Normal {
            median: 1.0,
            p95: 2.0,
            p99: 3.0,
            usual: Some(3.0),
            ..Normal::default()
        };
        let mut normal = NormalTraffic::default();
        normal.totals.insert("syn".to_owned(), number);
        normal.totals.insert(
            "udp".to_owned(),
            Normal {
                usual: None,
                ..number
            },
        );
        let told = |class| usual::text(&usual(class, &normal));
        assert_eq!(told(Class::Syn), "1/2/3");
        assert_eq!(told(Class::Udp), "-", "too little was learnt");
        assert_eq!(told(Class::Control), "-");
    }
}
