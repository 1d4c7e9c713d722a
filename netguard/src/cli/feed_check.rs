//! `netguard feed check`: what would be in force of a file, without doing it, and without a daemon unless it is asked what is now.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::Args;
use hyper::Method;
use serde::Serialize;

use super::{CliError, Context, feed::told};
use crate::{
    config::{FeedAction, FeedFormat},
    control::{Client, essentials},
    daemon::ListReport,
    host,
    lists::{self, Before, Feed, ListError, Protected, Reading, Size, Told},
    prefix::Prefix,
};

/// Lines that are named at the most, of those refused and of those trimmed: hostile lists have millions.
const NAMED: usize = 10_000;
/// Prefixes that are shown to people.
const SHOWN: usize = 10;
/// What the configuration does not say is as by default.
const MAX_MIB: u64 = 512;
const MAX_GROWTH: u32 = 10;
const MAX_SHRINK: u32 = 2;
const MAX_SHARE_PERCENT: u32 = 10;

#[derive(Args, Clone, Debug)]
pub(super) struct CheckArgs {
    /// The file, the directory of a MISP feed, or - for standard input.
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
    /// Name every line that is refused or trimmed, not only the first few of each (10000 at the most; --json always does).
    #[arg(long)]
    all: bool,
    /// Leave private space in.
    #[arg(long)]
    keep_private: bool,
    #[command(flatten)]
    against: Against,
    /// By what factor a list of over 1000 entries may have grown: 10, or what the feed of --against-feed may.
    #[arg(long, value_name = "FACTOR", value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    max_growth: Option<u32>,
    /// By what factor a list of over 1000 entries may have shrunk: 2, or what the feed of --against-feed may.
    #[arg(long, value_name = "FACTOR", value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    max_shrink: Option<u32>,
    /// What share of all IPv4 addresses, and of all IPv6 ones, it may cover: 10, or what the feed of --against-feed may.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=100))]
    max_share_percent: Option<u32>,
}

/// What the file would take the place of: a daemon refuses a list that is much longer or shorter than before, or covers much more.
#[derive(Args, Clone, Debug)]
#[group(multiple = false)]
struct Against {
    /// Refuse it, as a daemon would, if it has suddenly grown or shrunk since this file.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// The same, since what the running daemon has read of this feed.
    #[arg(long, value_name = "NAME")]
    against_feed: Option<String>,
    /// The same, since it had so many entries; how much it covered is not asked then.
    #[arg(long, value_name = "ENTRIES")]
    against_entries: Option<usize>,
}

#[derive(Serialize)]
struct Report {
    /// Whether people are told all that is named, too.
    #[serde(skip)]
    all: bool,
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
    /// Those that count when it is asked whether a list has grown or shrunk.
    entries: usize,
    /// The share of all addresses of a family that it covers, but for private and special ones, and what it may.
    ipv4_percent: f64,
    ipv6_percent: f64,
    max_share_percent: u32,
    /// How many it is held against; `null`: it is not.
    before: Option<usize>,
}

pub(super) async fn run(context: &Context, args: &CheckArgs) -> Result<(), CliError> {
    once(args)?;
    let facts = host::facts().await?;
    let read = |file, format, action| read(args, file, format, action);
    let feed = read(&args.file, args.format, FeedAction::Block)?;
    let known = match &args.against.against_feed {
        Some(name) => Some(of_daemon(context, name).await?),
        None => None,
    };
    let name = args.file.display().to_string();
    let of = |given: Option<u32>, of_feed: fn(&ListReport) -> Option<u32>, default| {
        given
            .or_else(|| known.as_ref().and_then(of_feed))
            .unwrap_or(default)
    };
    let max_share_percent = of(
        args.max_share_percent,
        |list| list.max_share_percent,
        MAX_SHARE_PERCENT,
    );
    lists::bounded(&name, &feed, max_share_percent).map_err(refused)?;
    let only = |entries| Before::from(Size { entries, ..feed.size });
    let before = match (&args.against.against, &known) {
        (Some(file), _) => Some(read(file, args.format, FeedAction::Block)?.size.into()),
        // `None`: none was read yet, and any number is taken.
        (None, Some(list)) => list
            .read_s_ago
            .map(|_| list.before.unwrap_or_else(|| only(list.prefixes))),
        (None, None) => args.against.against_entries.map(only),
    };
    if let Some(before) = &before {
        let growth = of(args.max_growth, |list| list.max_growth, MAX_GROWTH);
        let shrink = of(args.max_shrink, |list| list.max_shrink, MAX_SHRINK);
        lists::steady(&name, before, &feed.size, growth, shrink).map_err(refused)?;
    }
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
    let before = before.map(|before| before.left.entries);
    context
        .output
        .print(&report(args, feed, &spared, before, max_share_percent), text)
}

/// Refuses to read standard input twice: the second time it is empty.
fn once(args: &CheckArgs) -> Result<(), CliError> {
    let files = [&args.file]
        .into_iter()
        .chain(&args.against.against)
        .chain(&args.never_block);
    match files.filter(|file| *file == Path::new("-")).count() {
        0 | 1 => Ok(()),
        _ => Err(CliError::Usage(
            "standard input can be read once only: write one of the lists to a file".to_owned(),
        )),
    }
}

fn read(args: &CheckArgs, file: &Path, format: FeedFormat, action: FeedAction) -> Result<Feed, CliError> {
    let reading = Reading {
        format,
        action,
        widest_v4: args.widest_v4,
        widest_v6: args.widest_v6,
        keep_private: args.keep_private,
        max_bytes: MAX_MIB << 20,
        tell: NAMED,
        ..Reading::default()
    };
    if file != Path::new("-") {
        return lists::read_feed(file, &reading).map_err(refused);
    }
    let mut bytes = Vec::new();
    // What is longer is refused below.
    let start = io::stdin().take(reading.max_bytes + 1).read_to_end(&mut bytes);
    start.map_err(|error| CliError::Failed(format!("standard input: {error}")))?;
    lists::parse_feed("standard input", bytes, &reading).map_err(refused)
}

fn refused(error: ListError) -> CliError {
    CliError::Failed(format!("refused as a whole: {error}"))
}

/// What the daemon says of the feed `name`.
async fn of_daemon(context: &Context, name: &str) -> Result<ListReport, CliError> {
    let mut client = Client::connect(&context.instance).await?;
    let lists: Vec<ListReport> = client.request(Method::GET, "/v1/lists", None::<&()>).await?;
    let is_meant = |list: &ListReport| list.kind == "feed" && list.name == name;
    let list = lists.into_iter().find(is_meant);
    list.ok_or_else(|| CliError::Usage(format!("there is no feed {name:?}: see `netguard feed list`")))
}

fn report(
    args: &CheckArgs,
    feed: Feed,
    spared: &Told,
    before: Option<usize>,
    max_share_percent: u32,
) -> Report {
    let [(_, ipv4_percent), (_, ipv6_percent)] = feed.size.percent();
    let mut trimmed = feed.trimmed;
    trimmed.and(spared);
    Report {
        all: args.all,
        file: args.file.clone(),
        format: feed.format.as_str(),
        prefixes: feed.prefixes,
        skipped: feed.refused.count,
        refused: feed.refused.first,
        trimmed: trimmed.count,
        trimmed_first: trimmed.first,
        passed_over: feed.passed_over + feed.waiting,
        ended: feed.ended,
        entries: feed.size.entries,
        ipv4_percent,
        ipv6_percent,
        max_share_percent,
        before,
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
    text.push_str(&format!(
        "\n{name}: covers {:.2} % of all IPv4 addresses and {:.2} % of all IPv6 ones, and may cover {} %",
        report.ipv4_percent, report.ipv6_percent, report.max_share_percent
    ));
    if let Some(before) = report.before {
        text.push_str(&format!(
            "\n{name}: {} entries after {before}, which is no sudden change",
            report.entries
        ));
    }
    for prefix in report.prefixes.iter().take(SHOWN) {
        text.push_str(&format!("\n  {prefix}"));
    }
    if report.prefixes.len() > SHOWN {
        text.push_str(&format!(
            "\n  and {} more (--json shows all)",
            report.prefixes.len() - SHOWN
        ));
    }
    for (what, count, lines) in [
        ("refused", report.skipped, &report.refused),
        ("trimmed", report.trimmed, &report.trimmed_first),
    ] {
        let shown = match report.all {
            true => lines.len(),
            false => lines.len().min(Told::ONE_BY_ONE),
        };
        text.push_str(&told(&name, what, count, &lines[..shown]));
        if shown < lines.len() {
            text.push_str(" (--all names them)");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn lines_are_named_where_somebody_asks() {
        let text_of = |all| {
            text(&Report {
                all,
                file: "f".into(),
                format: "plain",
                prefixes: Vec::new(),
                skipped: 10_007,
                refused: (1..=10_000).map(|line| format!("f:{line}: no")).collect(),
                trimmed: 7,
                trimmed_first: (1..=7).map(|line| format!("line {line}: private")).collect(),
                passed_over: 0,
                ended: 0,
                entries: 0,
                ipv4_percent: 0.0,
                ipv6_percent: 0.0,
                max_share_percent: 10,
                before: None,
            })
        };
        let few = text_of(false);
        assert!(
            few.contains("refused: and 10002 more (--all names them)"),
            "{few}"
        );
        assert!(
            few.contains("trimmed: and 2 more (--all") && !few.contains("line 6"),
            "{few}"
        );
        let all = text_of(true);
        assert!(all.contains("f:10000: no\nf, refused: and 7 more\n") && all.ends_with("line 7: private"));
    }

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
