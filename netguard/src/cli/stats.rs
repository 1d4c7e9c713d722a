//! `netguard stats`: packets and bytes by verdict.

use clap::Args;
use netguard_common::{Judgement, layout::Counter};
use serde::Serialize;
use tabled::Tabled;

use super::{CliError, Context, output::table};
use crate::bpf::{Counters, TlsCount, tls_counts};

#[derive(Args, Debug)]
pub(super) struct StatsArgs {
    /// Also show verdicts that no packet got.
    #[arg(long)]
    all: bool,
}

/// The answer. JSON has every verdict, zeros included.
#[derive(Serialize)]
struct Stats {
    verdicts: Vec<Row>,
    samples: Samples,
    /// Handshakes of services that have a policy for TLS, by what became of them.
    tls: Vec<TlsRow>,
}

#[derive(Serialize)]
struct Samples {
    sent: u64,
    lost: u64,
}

#[derive(Clone, Serialize, Tabled)]
struct TlsRow {
    #[tabled(rename = "TLS")]
    outcome: &'static str,
    #[tabled(rename = "ENFORCED")]
    enforced: u64,
    #[tabled(rename = "SHADOW")]
    shadow: u64,
    #[tabled(rename = "MEANING")]
    help: &'static str,
}

#[derive(Clone, Serialize, Tabled)]
struct Row {
    #[tabled(rename = "VERDICT")]
    name: String,
    #[tabled(rename = "ACTION")]
    action: &'static str,
    #[tabled(rename = "PACKETS")]
    packets: u64,
    #[tabled(rename = "BYTES")]
    bytes: u64,
    #[tabled(rename = "MEANING")]
    #[serde(rename = "help")]
    help: &'static str,
}

pub(super) fn run(context: &Context, args: &StatsArgs) -> Result<(), CliError> {
    let counters = Counters::open(&context.pins)?;
    let sampler = counters.sampler()?;
    let stats = Stats {
        verdicts: counters.read()?.into_iter().filter_map(row).collect(),
        samples: Samples {
            sent: sampler.sent,
            lost: sampler.lost,
        },
        tls: tls_counts(&context.pins)?.into_iter().map(tls_row).collect(),
    };
    context.output.print(&stats, |stats| {
        let rows: Vec<Row> =
            stats.verdicts.iter().filter(|row| args.all || row.packets > 0).cloned().collect();
        if rows.is_empty() {
            return "no packet was seen yet".to_owned();
        }
        let mut text = table(rows, &[2, 3]);
        let tls: Vec<TlsRow> = stats.tls.iter().filter(|row| row.enforced + row.shadow > 0).cloned().collect();
        if !tls.is_empty() {
            text.push_str(&format!("\n\n{}", table(tls, &[1, 2])));
        }
        if stats.samples.lost > 0 {
            text.push_str(&format!(
                "\n{} samples of dropped packets were lost (the ring buffer was full); the counters are exact",
                stats.samples.lost
            ));
        }
        text
    })
}

fn tls_row(count: TlsCount) -> TlsRow {
    TlsRow {
        outcome: count.outcome.name(),
        enforced: count.enforced,
        shadow: count.shadow,
        help: count.outcome.help(),
    }
}

/// A verdict that passes has no shadow: only what would drop can be counted instead.
fn row((judgement, counter): (Judgement, Counter)) -> Option<Row> {
    let verdict = judgement.verdict;
    let (name, action) = match (judgement.shadow, verdict.action()) {
        (false, action) => (verdict.name().to_owned(), action.name()),
        (true, netguard_common::Action::Drop) => (format!("shadow-{}", verdict.name()), "shadow"),
        (true, netguard_common::Action::Pass | netguard_common::Action::Answer) => return None,
    };
    Some(Row {
        name,
        action,
        packets: counter.packets,
        bytes: counter.bytes,
        help: verdict.help(),
    })
}

#[cfg(test)]
mod tests {
    use netguard_common::Verdict;

    use super::*;

    #[test]
    fn names_are_unique_and_passes_have_no_shadow() {
        let counter = Counter { packets: 0, bytes: 0 };
        let mut names: Vec<String> = (0..2 * Verdict::COUNT)
            .filter_map(Judgement::from_counter)
            .filter_map(|judgement| row((judgement, counter)))
            .map(|row| row.name)
            .collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.contains(&"shadow-limit-syn".to_owned()));
        assert!(!names.contains(&"shadow-pass".to_owned()));
    }
}
