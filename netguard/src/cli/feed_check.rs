//! `netguard feed check`: what would be in force of a file, without a daemon and without doing it.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{CliError, Context, feed::told};
use crate::{
    config::{FeedAction, FeedFormat},
    control::essentials,
    host,
    lists::{self, Feed, Protected, Reading, Told},
    prefix::Prefix,
};

/// Prefixes that are shown to people.
const SHOWN: usize = 10;
/// What the configuration does not say is as by default.
const MAX_MIB: u64 = 512;

#[derive(Args, Clone, Debug)]
pub(super) struct CheckArgs {
    /// The file.
    file: PathBuf,
    /// What is in it.
    #[arg(long, value_enum, default_value_t = FeedFormat::Auto)]
    format: FeedFormat,
    /// Whom never to block, as a file of any format; may be given several times.
    #[arg(long, value_name = "FILE")]
    never_block: Vec<PathBuf>,
    /// The shortest IPv4 prefix that is believed.
    #[arg(long, value_name = "BITS", default_value_t = 8, value_parser = clap::value_parser!(u8).range(8..=32))]
    widest_v4: u8,
    /// The shortest IPv6 prefix that is believed.
    #[arg(long, value_name = "BITS", default_value_t = 16, value_parser = clap::value_parser!(u8).range(16..=128))]
    widest_v6: u8,
    /// Leave private space in.
    #[arg(long)]
    keep_private: bool,
}

#[derive(Serialize)]
struct Report {
    file: PathBuf,
    format: &'static str,
    /// In force but for what is trimmed.
    prefixes: Vec<Prefix>,
    skipped: usize,
    refused: Vec<String>,
    trimmed: usize,
    trimmed_first: Vec<String>,
    passed_over: usize,
    ended: usize,
}

pub(super) async fn run(context: &Context, args: &CheckArgs) -> Result<(), CliError> {
    let facts = host::facts().await?;
    let read = |file, format, action| read(args, file, format, action);
    let feed = read(&args.file, args.format, FeedAction::Block)?;
    let needed: Vec<Prefix> = essentials(facts)
        .map(|(prefix, _)| prefix.within(32, 64))
        .collect();
    let needed_by = "what this machine needs: its addresses, gateways, name servers, ssh sessions";
    let mut protected = vec![Protected::new(needed_by.to_owned(), &needed)];
    for file in &args.never_block {
        let list = read(file, FeedFormat::Auto, FeedAction::NeverBlock)?;
        protected.push(Protected::new(format!("in {}", file.display()), &list.prefixes));
    }
    let spared = lists::spared(&feed, &protected);
    context.output.print(&report(args, feed, &spared), text)
}

fn read(
    args: &CheckArgs,
    file: &std::path::Path,
    format: FeedFormat,
    action: FeedAction,
) -> Result<Feed, CliError> {
    let reading = Reading {
        format,
        action,
        widest_v4: args.widest_v4,
        widest_v6: args.widest_v6,
        keep_private: args.keep_private,
        max_bytes: MAX_MIB << 20,
        ..Reading::default()
    };
    lists::read_feed(file, &reading).map_err(|error| CliError::Failed(format!("refused as a whole: {error}")))
}

fn report(args: &CheckArgs, feed: Feed, spared: &Told) -> Report {
    let mut trimmed = feed.trimmed;
    trimmed.and(spared);
    Report {
        file: args.file.clone(),
        format: feed.format.as_str(),
        prefixes: feed.prefixes,
        skipped: feed.refused.count,
        refused: feed.refused.first,
        trimmed: trimmed.count,
        trimmed_first: trimmed.first,
        passed_over: feed.passed_over,
        ended: feed.ended,
    }
}

fn text(report: &Report) -> String {
    let name = report.file.display().to_string();
    let mut text = format!(
        "{name}: {}, {} prefixes would be in force, {} entries refused, {} trimmed, {} passed over, {} ended",
        report.format,
        report.prefixes.len(),
        report.skipped,
        report.trimmed,
        report.passed_over,
        report.ended
    );
    for prefix in report.prefixes.iter().take(SHOWN) {
        text.push_str(&format!("\n  {prefix}"));
    }
    if report.prefixes.len() > SHOWN {
        text.push_str(&format!(
            "\n  and {} more (--json shows all)",
            report.prefixes.len() - SHOWN
        ));
    }
    text.push_str(&told(&name, "refused", report.skipped, &report.refused));
    text.push_str(&told(&name, "trimmed", report.trimmed, &report.trimmed_first));
    text
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_format_of_the_configuration_can_be_named() {
        for format in FeedFormat::value_variants() {
            let name = format
                .to_possible_value()
                .map(|value| value.get_name().to_owned());
            assert_eq!(name.as_deref(), Some(format.as_str()));
        }
    }
}
