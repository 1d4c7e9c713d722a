//! `netguard limit`: packet rates of sources, prefixes and services, changed live.

use clap::Subcommand;
use hyper::Method;
use netguard_common::layout::Mode;
use serde::Serialize;
use tabled::Tabled;

use super::{
    CliError, Context,
    alone::{alone, record},
    confirm::{self, ConfirmOption},
    output::table,
};
use crate::{
    bpf::SettingsMap,
    config::{Burst, RatePerSecond},
    control::{Changed, Client, ClientError, LimitChange, LimitName, change_limit, risk, told},
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
}

pub(super) async fn run(context: &Context, command: LimitCommand) -> Result<(), CliError> {
    match command {
        LimitCommand::List => list(context),
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

fn list(context: &Context) -> Result<(), CliError> {
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
            }
        })
        .collect();
    context.output.print(&limits, |limits| table(limits, &[2, 3]))
}

/// Rates and bursts have the same range.
pub(super) fn number(text: &str) -> Result<RatePerSecond, String> {
    text.parse()
        .ok()
        .and_then(RatePerSecond::new)
        .ok_or_else(|| "a whole number from 1 to 10000000 is expected".to_owned())
}
