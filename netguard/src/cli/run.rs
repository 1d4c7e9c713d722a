//! `netguard run`: the daemon in the foreground.

use std::io::IsTerminal as _;

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::{CliError, ConfigFile, Context};
use crate::{
    bpf::BpfError,
    config::{Config, InterfaceName, Log, LogFormat, Mode},
    daemon::{self, Options},
};

#[derive(Args, Debug)]
pub(super) struct RunArgs {
    /// Interface to protect, beside those of the configuration; may be repeated.
    #[arg(short, long = "interface", value_name = "IFACE")]
    interfaces: Vec<InterfaceName>,
    #[command(flatten)]
    file: ConfigFile,
    /// Drop nothing: count what would have been dropped.
    #[arg(long)]
    shadow: bool,
}

pub(super) async fn run(context: &Context, args: RunArgs) -> Result<(), CliError> {
    let mut config = match &args.file.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    if args.shadow {
        config.mode = Mode::Shadow;
    }
    for interface in args.interfaces {
        if !config.interfaces.contains(&interface) {
            config.interfaces.push(interface);
        }
    }
    if config.interfaces.is_empty() {
        return Err(daemon::DaemonError::NoInterface.into());
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(BpfError::NotRoot.into());
    }
    log_to_stderr(&config.log);
    daemon::run(Options {
        instance: context.instance.clone(),
        config,
    })
    .await?;
    Ok(())
}

/// `RUST_LOG` overrides the level of the configuration.
fn log_to_stderr(log: &Log) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(log.level.as_str()));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        // Where a line cannot be written its fault cannot be either, and trying to would end the daemon.
        .log_internal_errors(false);
    match log.format {
        LogFormat::Text => subscriber.with_target(false).init(),
        LogFormat::Json => subscriber.json().init(),
    }
}
