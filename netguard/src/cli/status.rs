//! `netguard status`: is this machine protected, by whom, how.

use hyper::Method;
use serde::Serialize;

use super::{CliError, Context, connections::pressed, output::seconds};
use crate::{
    audit::AuditState,
    bpf::{BpfError, Link, List, Rules},
    clock::monotonic_ns,
    control::{Client, ClientError, DaemonStatus},
    daemon::{
        CookieOptions, CookieState, NormalState, ReflectionState, Spared, StoreState, UnconfirmedChange,
        changed_limits, left_out_sentence, lock_holder,
    },
    decision::DecisionReport,
    host,
    metrics::MetricsState,
};

/// Limits that are told one by one.
const FEW: usize = 8;

/// The answer.
#[derive(Serialize)]
struct Status {
    instance: String,
    /// Whether a daemon runs and answers.
    running: bool,
    /// The daemon that runs and cannot be asked: it hangs, or its control socket is gone.
    unreachable_pid: Option<u32>,
    /// Why a daemon that takes connections does not answer.
    daemon_fault: Option<String>,
    /// Interfaces that run the filter now, with or without a daemon, as they were called when it was attached.
    protected: Vec<String>,
    /// Interfaces that should and do not: they were removed or made anew.
    unprotected: Vec<String>,
    rules: Option<RuleCounts>,
    /// Where no daemon answers: limits that are not those of its configuration.
    limits_changed: Vec<String>,
    daemon: Option<DaemonStatus>,
}

#[derive(Serialize)]
struct RuleCounts {
    allow: usize,
    block: usize,
}

pub(super) async fn run(context: &Context) -> Result<(), CliError> {
    let (daemon, daemon_fault) = match ask(context).await {
        Ok(daemon) => (Some(daemon), None),
        Err(ClientError::NotRunning) => (None, None),
        // What the kernel does is told without the daemon, too.
        Err(error @ (ClientError::Hangs(_) | ClientError::Broken(_))) => (None, Some(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let rules = match count_rules(context) {
        Ok(counts) => Some(counts),
        Err(BpfError::NothingPinned(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let limits_changed = match (&daemon, &rules) {
        (None, Some(_)) => changed_limits(&context.pins, &context.instance)?,
        _ => Vec::new(),
    };
    let standing = host::interfaces().await?;
    let filters = |name: &String| {
        let link = Link::pinned(&context.pins, name);
        link.is_some_and(|link| link.filtered(&standing).is_some())
    };
    let (protected, mut unprotected): (Vec<_>, Vec<_>) =
        context.pins.interfaces().into_iter().partition(filters);
    // A daemon that could not attach again has no pin to show for it.
    let faulty = daemon
        .iter()
        .flat_map(|daemon: &DaemonStatus| &daemon.interfaces)
        .filter(|interface| interface.fault.is_some())
        .map(|interface| interface.interface.clone());
    unprotected.extend(faulty);
    unprotected.sort();
    unprotected.dedup();
    let protected = protected
        .into_iter()
        .filter(|name| !unprotected.contains(name))
        .collect();
    let status = Status {
        instance: context.instance.to_string(),
        running: daemon.is_some(),
        unreachable_pid: match daemon {
            Some(_) => None,
            None => lock_holder(&context.instance),
        },
        daemon_fault,
        protected,
        unprotected,
        rules,
        limits_changed,
        daemon,
    };
    context.output.print(&status, text)?;
    if status.running && status.unprotected.is_empty() {
        Ok(())
    } else {
        Err(CliError::Negative)
    }
}

async fn ask(context: &Context) -> Result<DaemonStatus, ClientError> {
    let mut client = Client::connect(&context.instance).await?;
    client.request(Method::GET, "/v1/status", None::<&()>).await
}

fn count_rules(context: &Context) -> Result<RuleCounts, BpfError> {
    let rules = Rules::open(&context.pins)?;
    let now_ns = monotonic_ns();
    Ok(RuleCounts {
        allow: rules.count(List::Allow, now_ns)?,
        block: rules.count(List::Block, now_ns)?,
    })
}

/// What SYN cookies carry, if anything.
fn carried(options: &CookieOptions) -> Option<String> {
    let scale = options.window_scale.map(|scale| format!("window scale {scale}"));
    let words = [
        scale,
        options.sack.then(|| "SACK".to_owned()),
        options.ecn.then(|| "ECN".to_owned()),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    (!words.is_empty()).then(|| format!("SYN cookies carry {}", words.join(", ")))
}

/// Which segments without a connection are left to the kernel.
fn unjudged(daemon: &DaemonStatus) -> Option<String> {
    let why = daemon.state.why.as_ref()?;
    let left = match daemon.state.reach.as_str() {
        "listening" => "segments without a connection are judged only where something listens",
        _ => "segments without a connection are not judged",
    };
    Some(format!("{left}: {why}"))
}

/// The first few, and how many more there are.
fn listed(limits: &[String]) -> String {
    let told = limits.iter().take(FEW).cloned().collect::<Vec<_>>().join(", ");
    match limits.len().saturating_sub(FEW) {
        0 => told,
        more => format!("{told} and {more} more (`netguard limit list`, `netguard service list`)"),
    }
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
                let renamed = interface
                    .renamed
                    .as_ref()
                    .map_or_else(String::new, |name| format!(", which is called {name} now"));
                lines.push(match &interface.fault {
                    None => format!(
                        "protects {} ({}{adopted}){renamed}",
                        interface.interface, interface.mode
                    ),
                    Some(why) => format!("DOES NOT PROTECT {}: {why}", interface.interface),
                });
            }
            lines.push(format!(
                "last second: {} packets/s passed, {} packets/s dropped, {} packets/s answered (SYN cookies, DNS)",
                daemon.passed_per_s, daemon.dropped_per_s, daemon.answered_per_s
            ));
            if daemon.cookies == CookieState::Undelivered {
                lines.push(
                    "SYN cookies are OFF, their answers did not arrive: see `netguard events`".to_owned(),
                );
            }
            lines.extend(daemon.cookie_options.as_ref().and_then(carried));
            lines.extend(daemon.cookie_faults.iter().cloned());
            lines.extend(unjudged(daemon));
            lines.extend(daemon.http.faults());
            lines.extend(daemon.http.sentence());
            if daemon.reflection == ReflectionState::Unavailable {
                lines.push(
                    "reflection is OFF until questions can be remembered: see `netguard events`".to_owned(),
                );
            }
            lines.extend(pressed(&daemon.connections));
            lines.extend(daemon.connections.faults());
            lines.extend(daemon.tls.sentence());
            if daemon.own_left_out > 0 {
                lines.push(left_out_sentence(daemon.own_left_out));
            }
            let faulty = daemon.list_faults.iter();
            lines.extend(faulty.map(|fault| format!("lists: {fault}")));
            lines.extend(daemon.audit.iter().filter_map(AuditState::sentence));
            lines.extend(daemon.normal.iter().filter_map(NormalState::sentence));
            lines.extend(daemon.metrics.iter().map(MetricsState::sentence));
            lines.extend(daemon.decision.iter().map(DecisionReport::sentence));
            lines.extend(daemon.reputation.iter().filter_map(StoreState::sentence));
            lines.extend(daemon.spared.iter().map(Spared::sentence));
            lines.extend(daemon.unconfirmed.iter().map(UnconfirmedChange::sentence));
            if daemon.rules_refused > 0 {
                lines.push(format!(
                    "{} rules could not be placed: see `netguard events`",
                    daemon.rules_refused
                ));
            }
        }
        None if status.unreachable_pid.is_none()
            && status.daemon_fault.is_none()
            && status.protected.is_empty()
            && status.unprotected.is_empty() =>
        {
            lines.push(format!(
                "no daemon runs for instance {}, and nothing is protected",
                status.instance
            ));
        }
        None => {
            let pid = status
                .unreachable_pid
                .map_or_else(String::new, |pid| format!(", pid {pid}"));
            lines.push(match (&status.daemon_fault, status.unreachable_pid) {
                (Some(fault), _) => format!("instance {}{pid}: {fault}", status.instance),
                (None, Some(pid)) => format!(
                    "the daemon of instance {} (pid {pid}) cannot be asked: it starts just now, or its control socket is gone and \
                     it must be started again",
                    status.instance
                ),
                (None, None) => format!("no daemon runs for instance {}", status.instance),
            });
            if !status.protected.is_empty() {
                lines.push(format!(
                    "the filter still protects {}",
                    status.protected.join(", ")
                ));
            }
            if !status.unprotected.is_empty() {
                lines.push(format!(
                    "NOT PROTECTED any more: {}",
                    status.unprotected.join(", ")
                ));
            }
        }
    }
    if !status.limits_changed.is_empty() {
        lines.push(format!(
            "limits that are not as configured, changed by a person or because of an attack: {}; the next start has those of the \
             configuration",
            listed(&status.limits_changed)
        ));
    }
    if let Some(rules) = &status.rules {
        lines.push(format!("rules: {} allow, {} block", rules.allow, rules.block));
    }
    lines.join("\n")
}
