//! `netguard limit`: packet rates per source, changed live.

use clap::{Subcommand, ValueEnum};
use hyper::Method;
use netguard_common::{layout::Mode, limit::Class};
use serde::Serialize;
use tabled::Tabled;

use super::{CliError, Context, output::table};
use crate::{
    bpf::SettingsMap,
    config::{Burst, RatePerSecond},
    control::{Client, ClientError, LimitChange, change_limit},
};

#[derive(Subcommand, Debug)]
pub(super) enum LimitCommand {
    /// Show the limits in force.
    List,
    /// Change a limit at once; a restart of the daemon goes back to the configuration.
    Set {
        class: ClassName,
        /// Packets per second and source, in the long run.
        #[arg(long, value_parser = number)]
        rate: RatePerSecond,
        /// Packets that may come at once; the same as the rate if not given.
        #[arg(long, value_parser = number)]
        burst: Option<Burst>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ClassName {
    /// TCP packets that open a connection.
    Syn,
    Udp,
    Icmp,
    /// Neighbour discovery and path-MTU messages.
    Control,
}

impl ClassName {
    const fn name(self) -> &'static str {
        match self {
            Self::Syn => Class::Syn.name(),
            Self::Udp => Class::Udp.name(),
            Self::Icmp => Class::Icmp.name(),
            Self::Control => Class::Control.name(),
        }
    }
}

/// A limit in force.
#[derive(Serialize, Tabled)]
struct Limit {
    #[tabled(rename = "CLASS")]
    class: &'static str,
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
        LimitCommand::Set { class, rate, burst } => {
            let change = LimitChange {
                rate_per_s: rate.value(),
                burst: burst.map_or(rate.value(), |burst| burst.value()),
            };
            match Client::connect(&context.instance).await {
                Ok(mut client) => {
                    let path = format!("/v1/limits/{}", class.name());
                    let _: LimitChange = client.request(Method::PUT, &path, Some(&change)).await?;
                }
                Err(ClientError::NotRunning) => {
                    change_limit(&mut SettingsMap::open(&context.pins)?, class.name(), change)?;
                }
                Err(error) => return Err(error.into()),
            }
            context.output.print(&change, |change| {
                format!(
                    "{} is limited to {} packets/s per source now, bursts of {}; the next start of the daemon takes the configuration's limit again",
                    class.name(),
                    change.rate_per_s,
                    change.burst
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
    let limits: Vec<Limit> = Class::ALL
        .into_iter()
        .map(|class| {
            let rate = settings.limits[class as usize];
            Limit {
                class: class.name(),
                rate_per_s: rate.per_second(),
                burst: rate.burst(),
                mode,
            }
        })
        .collect();
    context.output.print(&limits, |limits| table(limits, &[1, 2]))
}

/// Rates and bursts have the same range.
fn number(text: &str) -> Result<RatePerSecond, String> {
    text.parse()
        .ok()
        .and_then(RatePerSecond::new)
        .ok_or_else(|| "a whole number from 1 to 10000000 is expected".to_owned())
}
