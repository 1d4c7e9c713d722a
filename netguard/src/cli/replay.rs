//! `netguard replay`: what netguard would have done with the traffic of a capture, and why.

mod attacks;
mod campaigns;
mod compared;
mod services;
mod text;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;

use super::{CliError, ConfigFile, Context};
use crate::{
    config::Config,
    daemon::normal_file,
    prefix::Prefix,
    replay::{Comparison, Options, ReplayError, Report, Speed, compare, replay},
};

/// In place of a file: that of the instance on this machine.
const LIVE: &str = "live";

#[derive(Args, Debug)]
pub(super) struct ReplayArgs {
    /// A capture: pcap or pcapng.
    file: PathBuf,
    #[command(flatten)]
    config: ConfigFile,
    /// Replay under this configuration, too, and show what differs.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Judge what arrives at this address (may be repeated); without it, at the one that most frames go to.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "all")]
    server: Vec<IpAddr>,
    /// Judge every frame, whoever it is for.
    #[arg(long)]
    all: bool,
    /// Sources known to be honest (may be repeated): what they lose is counted, too, whether or not the capture shows them connect.
    #[arg(long, value_name = "PREFIX")]
    honest: Vec<Prefix>,
    /// As if all had happened so many times as fast.
    #[arg(long, value_name = "N", default_value = "1")]
    speed: Speed,
    /// Begin with what is normal: a file that a daemon wrote (`live`: that of --instance), or --learn did. Carpet bombing, crowds of clients
    /// and limits of services are told by it.
    #[arg(long, value_name = "FILE")]
    normal: Option<PathBuf>,
    /// Keep what was learnt to be normal from the calm seconds of this capture, for --normal.
    #[arg(long, value_name = "FILE", conflicts_with = "compare")]
    learn: Option<PathBuf>,
}

/// The answer.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    report: Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    compared: Option<Compared>,
}

/// The second replay.
#[derive(Serialize)]
struct Compared {
    config: String,
    differences: Comparison,
    report: Report,
}

pub(super) fn run(context: &Context, args: &ReplayArgs) -> Result<(), CliError> {
    let config = match &args.config.config {
        Some(file) => Config::load(file)?,
        None => Config::default(),
    };
    let other = args.compare.as_deref().map(Config::load).transpose()?;
    let options = Options {
        file: args.file.clone(),
        config,
        servers: args.server.clone(),
        all: args.all,
        honest: args.honest.clone(),
        speed: args.speed,
        normal: args.normal.as_deref().map(|file| match file == Path::new(LIVE) {
            true => normal_file(&context.instance),
            false => file.to_owned(),
        }),
        learn: args.learn.clone(),
    };
    let report = replay(&options)?;
    let mut compared = None;
    if let (Some(config), Some(file)) = (other, &args.compare) {
        let second = replay(&Options { config, ..options })?;
        compared = Some(Compared {
            config: file.display().to_string(),
            differences: compare(&report, &second),
            report: second,
        });
    }
    let answer = Answer { report, compared };
    context.output.print(&answer, text::text)?;
    match answer.report.damaged {
        None => Ok(()),
        Some(why) => Err(CliError::Failed(format!(
            "{} is damaged: {why}; what was there was replayed",
            answer.report.file
        ))),
    }
}

impl From<ReplayError> for CliError {
    fn from(error: ReplayError) -> Self {
        Self::Failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::VerdictCount;

    #[test]
    fn json_has_the_keys_that_others_read() {
        let answer = Answer {
            report: Report {
                verdicts: vec![VerdictCount {
                    name: "limit-udp".to_owned(),
                    action: "drop".to_owned(),
                    packets: 1,
                    bytes: 60,
                }],
                ..Report::default()
            },
            compared: None,
        };
        let json = serde_json::to_value(&answer).unwrap();
        for key in [
            "packets", "verdicts", "attacks", "blocked", "timeline", "findings", "skipped", "services",
            "normal", "learnt",
        ] {
            assert!(json.get(key).is_some(), "{key}");
        }
        let verdict = &json["verdicts"][0];
        assert!(
            ["name", "action", "packets", "bytes"]
                .iter()
                .all(|key| verdict.get(key).is_some())
        );
        assert!(json.get("compared").is_none());
    }
}
