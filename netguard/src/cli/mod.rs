//! The command line: every command answers as text or, with `--json`, as JSON. Exit status 0 done, 1 failed,
//! 2 bad usage.

mod alone;
mod attack_packets;
mod attacks;
mod audit;
mod campaigns;
mod config;
mod confirm;
mod connections;
mod decision;
mod detach;
mod doctor;
mod events;
mod explain;
mod feed;
mod feed_check;
mod http;
mod limit;
mod map;
mod normal;
mod output;
mod replay;
mod reputation;
mod rules;
mod run;
mod service;
mod signature;
mod stats;
mod status;
mod top;
mod usual;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};

use crate::{
    bpf::{BpfError, InstanceName, List, Pins},
    config::ConfigError,
    control::{ClientError, Failure, FailureKind, RequestError},
    daemon::DaemonError,
    host::HostError,
    prefix::{BlockPrefix, Prefix},
};

use output::Output;

/// Stops network attacks at the network card.
#[derive(Parser, Debug)]
#[command(name = "netguard", version, propagate_version = true, max_term_width = 110)]
struct Cli {
    /// Which netguard of this machine is meant.
    #[arg(long, global = true, default_value = "default", value_name = "NAME")]
    instance: InstanceName,
    /// Answer as JSON; a mistake then is {"error": "..."} on standard error.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Protect interfaces until told to stop (protection stays afterwards, unless configured otherwise).
    Run(run::RunArgs),
    /// Show whether and how this machine is protected; exits with 1 when no daemon runs.
    Status,
    /// Show packets and bytes by verdict; works with the daemon dead.
    Stats(stats::StatsArgs),
    /// Show what the traffic of the last second was like: kinds, sources, services.
    Top,
    /// The blocklist: prefixes whose packets are dropped.
    #[command(subcommand)]
    Block(rules::RuleCommand<BlockPrefix>),
    /// The allowlist: prefixes that always pass, whatever else says.
    #[command(subcommand)]
    Allow(rules::RuleCommand<Prefix>),
    /// Packet rates of sources, prefixes and services.
    #[command(subcommand)]
    Limit(limit::LimitCommand),
    /// Published lists, countries and autonomous systems.
    #[command(subcommand)]
    Feed(feed::FeedCommand),
    /// Signatures of attacks: packets that fit one are dropped.
    #[command(subcommand)]
    Signature(signature::SignatureCommand),
    /// Limits of single services, such as udp/53.
    #[command(subcommand)]
    Service(service::ServiceCommand),
    /// Look into the kernel's maps; works with the daemon dead.
    #[command(subcommand)]
    Map(map::MapCommand),
    /// Show who holds how many TCP connections with this machine; works with the daemon dead.
    Connections(connections::ConnectionArgs),
    /// Show what services are asked for in the clear, how they answer, and what was found in it.
    Http(http::HttpArgs),
    /// Requests that reverse proxies ask about: what they were answered, and whom limits refuse.
    #[command(subcommand)]
    Decision(decision::DecisionCommand),
    /// Show what happened lately.
    Events(events::EventArgs),
    /// Show which attacks were recognised, and by what.
    #[command(subcommand)]
    Attacks(attacks::AttackCommand),
    /// Show which attacks belong together, and many sources that each do hardly anything but together the same.
    #[command(subcommand)]
    Campaigns(campaigns::CampaignCommand),
    /// What normal traffic is like, as it was learnt.
    #[command(subcommand)]
    Normal(normal::NormalCommand),
    /// The audit trail: all that was decided, by whom, in lines that nobody can change unnoticed; works with the daemon dead.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Show why a source is treated as it is.
    Explain(explain::ExplainArgs),
    /// What is remembered of sources: scores, and who was blocked how often.
    #[command(subcommand)]
    Reputation(reputation::ReputationCommand),
    /// Replay a capture: what would have been dropped, who would have been blocked, and why.
    Replay(replay::ReplayArgs),
    /// Make a change stay that would go back by itself, such as a very wide block: `netguard status` shows what waits.
    Confirm(confirm::ChangeArgs),
    /// Take a change back that waits for its confirmation.
    Undo(confirm::ChangeArgs),
    /// Check what netguard needs on this machine, and say what is missing.
    Doctor(doctor::DoctorArgs),
    /// Stop the daemon and remove all protection, rules and counters of this instance.
    Detach,
    /// Check, print and describe the configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

/// What every command gets.
struct Context {
    instance: InstanceName,
    pins: Pins,
    output: Output,
}

/// Why a command ends without success.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// Exit status 2.
    #[error("{0}")]
    Usage(String),
    /// Exit status 1.
    #[error("{0}")]
    Failed(String),
    /// Exit status 1, and the answer was printed already.
    #[error("")]
    Negative,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            if code != 0 && std::env::args_os().any(|arg| arg == "--json") {
                let text = error.to_string();
                let text = text.trim().trim_start_matches("error: ");
                complain(true, text);
                return ExitCode::from(code);
            }
            // Nothing is left to tell when even this cannot be printed.
            let _printed = error.print();
            return ExitCode::from(code);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(cli.json, &format!("no event loop: {error}"));
            return ExitCode::from(1);
        }
    };
    let json = cli.json;
    let done = runtime.block_on(dispatch(cli));
    // Whoever reads a file that never comes to its end is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(CliError::Negative) => ExitCode::from(1),
        Err(error) => {
            complain(json, &error.to_string());
            ExitCode::from(if matches!(error, CliError::Usage(_)) { 2 } else { 1 })
        }
    }
}

fn complain(json: bool, text: &str) {
    let line = if json {
        serde_json::json!({ "error": text }).to_string()
    } else {
        format!("netguard: {text}")
    };
    // Where nobody can read it, the exit status still tells.
    let _told = writeln!(io::stderr(), "{line}");
}

async fn dispatch(cli: Cli) -> Result<(), CliError> {
    let context = Context {
        pins: Pins::of(&cli.instance),
        instance: cli.instance,
        output: Output { json: cli.json },
    };
    match cli.command {
        Command::Run(args) => run::run(&context, args).await,
        Command::Status => status::run(&context).await,
        Command::Stats(args) => stats::run(&context, &args),
        Command::Top => top::run(&context).await,
        Command::Block(command) => rules::run(&context, List::Block, command).await,
        Command::Allow(command) => rules::run(&context, List::Allow, command).await,
        Command::Limit(command) => limit::run(&context, command).await,
        Command::Feed(command) => feed::run(&context, command).await,
        Command::Signature(command) => signature::run(&context, command).await,
        Command::Service(command) => service::run(&context, command).await,
        Command::Map(command) => map::run(&context, &command),
        Command::Connections(args) => connections::run(&context, &args).await,
        Command::Http(args) => http::run(&context, &args).await,
        Command::Decision(command) => decision::run(&context, command).await,
        Command::Events(args) => events::run(&context, &args).await,
        Command::Attacks(command) => attacks::run(&context, command).await,
        Command::Campaigns(command) => campaigns::run(&context, command).await,
        Command::Normal(command) => normal::run(&context, command).await,
        Command::Audit(command) => audit::run(&context, command).await,
        Command::Explain(args) => explain::run(&context, &args).await,
        Command::Reputation(command) => reputation::run(&context, command).await,
        Command::Replay(args) => replay::run(&context, &args),
        Command::Confirm(args) => confirm::run(&context, confirm::Word::Confirm, &args).await,
        Command::Undo(args) => confirm::run(&context, confirm::Word::Undo, &args).await,
        Command::Doctor(args) => doctor::run(&context, &args).await,
        Command::Detach => detach::run(&context).await,
        Command::Config(command) => config::run(&context, &command),
    }
}

/// The file that a command reads its configuration from.
#[derive(Args, Debug)]
struct ConfigFile {
    /// Configuration file (TOML); without it, the defaults hold.
    #[arg(short, long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl From<BpfError> for CliError {
    fn from(error: BpfError) -> Self {
        match error {
            BpfError::NoSuchMap(_) | BpfError::BadKey { .. } => Self::Usage(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<DaemonError> for CliError {
    fn from(error: DaemonError) -> Self {
        if error.is_usage() {
            Self::Usage(error.to_string())
        } else {
            Self::Failed(error.to_string())
        }
    }
}

impl From<HostError> for CliError {
    fn from(error: HostError) -> Self {
        match error {
            HostError::NoInterface { .. } => Self::Usage(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<RequestError> for CliError {
    fn from(error: RequestError) -> Self {
        Self::from(error.failure())
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Usage => Self::Usage(failure.message),
            FailureKind::Failed => Self::Failed(failure.message),
        }
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        Self::from(Failure::from(error))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
