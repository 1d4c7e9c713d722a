//! `netguard status`: is this machine protected, by whom, how.

use hyper::Method;
use serde::Serialize;

use super::{CliError, Context, output::seconds};
use crate::{
    bpf::{BpfError, List, Rules},
    clock::monotonic_ns,
    control::{Client, ClientError, DaemonStatus},
};

/// The answer.
#[derive(Serialize)]
struct Status {
    instance: String,
    /// Whether a daemon runs.
    running: bool,
    /// Interfaces whose filter is pinned: they are protected with or without a daemon.
    protected: Vec<String>,
    rules: Option<RuleCounts>,
    daemon: Option<DaemonStatus>,
}

#[derive(Serialize)]
struct RuleCounts {
    allow: usize,
    block: usize,
}

pub(super) async fn run(context: &Context) -> Result<(), CliError> {
    let daemon = match Client::connect(&context.instance).await {
        Ok(mut client) => Some(client.request(Method::GET, "/v1/status", None::<&()>).await?),
        Err(ClientError::NotRunning) => None,
        Err(error) => return Err(error.into()),
    };
    let rules = match count_rules(context) {
        Ok(counts) => Some(counts),
        Err(BpfError::NothingPinned(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let status = Status {
        instance: context.instance.to_string(),
        running: daemon.is_some(),
        protected: context.pins.interfaces(),
        rules,
        daemon,
    };
    context.output.print(&status, text)?;
    if status.running {
        Ok(())
    } else {
        Err(CliError::Negative)
    }
}

fn count_rules(context: &Context) -> Result<RuleCounts, BpfError> {
    let rules = Rules::open(&context.pins)?;
    let now_ns = monotonic_ns();
    Ok(RuleCounts {
        allow: rules.list(List::Allow, now_ns)?.len(),
        block: rules.list(List::Block, now_ns)?.len(),
    })
}

fn text(status: &Status) -> String {
    let mut lines = Vec::new();
    match &status.daemon {
        Some(daemon) => {
            lines.push(format!(
                "netguard {} ({}) runs since {}, pid {}, mode {}",
                daemon.version,
                status.instance,
                seconds(daemon.uptime_s),
                daemon.pid,
                daemon.mode
            ));
            for interface in &daemon.interfaces {
                let adopted = if interface.adopted {
                    ", adopted from an earlier daemon"
                } else {
                    ""
                };
                lines.push(format!(
                    "protects {} ({}{adopted})",
                    interface.interface, interface.mode
                ));
            }
            lines.push(format!(
                "last second: {} packets/s passed, {} packets/s dropped",
                daemon.passed_per_s, daemon.dropped_per_s
            ));
            if daemon.rules_refused > 0 {
                lines.push(format!(
                    "{} rules could not be placed: see `netguard events`",
                    daemon.rules_refused
                ));
            }
        }
        None if status.protected.is_empty() => {
            lines.push(format!(
                "no daemon runs for instance {}, and nothing is protected",
                status.instance
            ));
        }
        None => lines.push(format!(
            "no daemon runs for instance {}; the filter it left still protects {}",
            status.instance,
            status.protected.join(", ")
        )),
    }
    if let Some(rules) = &status.rules {
        lines.push(format!("rules: {} allow, {} block", rules.allow, rules.block));
    }
    lines.join("\n")
}
