//! The report of a replay for people, in 80 columns.

use std::net::IpAddr;

use tabled::Tabled;

use super::{Answer, attacks::attacks, campaigns::campaigns, compared::comparison, services::services};
use crate::{
    cli::output::{self, seconds, table},
    replay::{Report, Second},
};

/// Lines of the timeline that fit a screen.
const TIMELINE: usize = 24;
/// Blocks and findings that are printed; JSON has more.
pub(super) const PRINTED: usize = 12;
const COLUMNS: usize = 80;

pub(super) fn text(answer: &Answer) -> String {
    let report = &answer.report;
    let mut parts = vec![head(report), verdicts(report)];
    parts.extend(attacks(report));
    parts.extend(campaigns(report));
    parts.extend(blocked(report));
    parts.extend(findings(report));
    parts.extend(sources(report));
    parts.extend(services(report));
    parts.extend(timeline(report));
    let notes: Vec<String> = report.notes.iter().map(|note| wrapped("note: ", note)).collect();
    parts.push(notes.join("\n"));
    parts.extend(answer.compared.as_ref().map(comparison));
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

fn head(report: &Report) -> String {
    let links: Vec<String> = report
        .link_types
        .iter()
        .map(|link| format!("{} {}", link.frames, link.name))
        .collect();
    let mut lines = vec![wrapped(
        "",
        &format!(
            "{}: {} frames in {} ({})",
            report.file,
            report.frames,
            seconds_of(report.duration_ms),
            links.join(", ")
        ),
    )];
    let addresses: Vec<String> = report.servers.addresses.iter().map(IpAddr::to_string).collect();
    lines.push(wrapped(
        "",
        &match (report.servers.all, addresses.is_empty()) {
            (true, _) if report.servers.guessed && report.packets == 0 => {
                "judged: nothing; no frame carries IP".to_owned()
            }
            (true, _) if report.servers.guessed => {
                "judged: all that is IP, since no frame goes to a host: what goes to groups arrives everywhere".to_owned()
            }
            (true, _) => "judged: all that is IP".to_owned(),
            (false, true) => "judged: nothing; no server was named".to_owned(),
            (false, false) if report.servers.guessed => format!(
                "judged: what arrives at {}, to which most frames go (--server says otherwise)",
                addresses.join(", ")
            ),
            (false, false) => format!("judged: what arrives at {}", addresses.join(", ")),
        },
    ));
    let skipped: Vec<String> = report
        .skipped
        .iter()
        .map(|skip| format!("{} {}", skip.frames, skip.reason))
        .collect();
    if !skipped.is_empty() {
        lines.push(wrapped("", &format!("not judged: {}", skipped.join(", "))));
    }
    for (count, what) in [
        (
            report.cut,
            "frames were kept in part only: zeros stand for the rest of them",
        ),
        (
            report.backwards,
            "frames are older than the one before them: judged at its time",
        ),
        (
            report.untimed,
            "frames have no time: judged at that of the one before them",
        ),
    ] {
        if count > 0 {
            lines.push(wrapped("", &format!("{count} {what}")));
        }
    }
    lines.join("\n")
}

#[derive(Tabled)]
#[tabled(rename_all = "UPPERCASE")]
struct Row {
    verdict: String,
    action: String,
    packets: u64,
    bytes: u64,
    share: String,
}

fn verdicts(report: &Report) -> String {
    let rows = report.verdicts.iter().map(|row| Row {
        verdict: row.name.clone(),
        action: row.action.clone(),
        packets: row.packets,
        bytes: row.bytes,
        share: format!(
            "{:.2} %",
            row.packets as f64 * 100.0 / report.packets.max(1) as f64
        ),
    });
    if report.verdicts.is_empty() {
        return String::new();
    }
    let mut text = table(rows, &[2, 3, 4]);
    let honest = report.honest;
    text.push('\n');
    text.push_str(&match honest.sources {
        0 => "no source proved its address by a handshake".to_owned(),
        sources => wrapped(
            "",
            &format!(
                "honest: {sources} sources proved their address; of {} packets that they sent while connected {} were dropped",
                honest.packets, honest.dropped
            ),
        ),
    });
    text
}

fn blocked(report: &Report) -> Option<String> {
    let lines = report.blocked.iter().map(|blocked| {
        format!(
            "  {:>9} {} for {}: {} dropped by {} in {}",
            seconds_of(blocked.at_ms),
            blocked.prefix,
            seconds(blocked.for_s),
            blocked.dropped,
            blocked.verdict,
            seconds_of(blocked.over_for_ms)
        )
    });
    listed("blocked", lines.collect())
}

fn findings(report: &Report) -> Option<String> {
    let withheld = report
        .findings
        .iter()
        .filter(|found| found.outcome.starts_with("not"));
    let lines = withheld.map(|found| {
        format!(
            "  {:>9} {}\n            {} dropped by {} in {}\n{}",
            seconds_of(found.at_ms),
            found.source,
            found.dropped,
            found.verdict,
            seconds_of(found.over_for_ms),
            output::wrapped(&" ".repeat(12), &" ".repeat(12), COLUMNS, &found.outcome)
        )
    });
    listed("over their limits and not blocked", lines.collect())
}

fn listed(title: &str, lines: Vec<String>) -> Option<String> {
    let more = lines.len().saturating_sub(PRINTED);
    let mut text = vec![format!("{title}:")];
    text.extend(lines.into_iter().take(PRINTED));
    if more > 0 {
        text.push(format!("  and {more} more (--json)"));
    }
    (text.len() > 1).then(|| text.join("\n"))
}

#[derive(Tabled)]
#[tabled(rename_all = "UPPERCASE")]
struct SourceRow {
    source: String,
    dropped: u64,
    #[tabled(rename = "MOSTLY BY")]
    verdict: String,
}

fn sources(report: &Report) -> Option<String> {
    let rows: Vec<SourceRow> = report
        .top_sources
        .iter()
        .map(|source| SourceRow {
            source: source.source.to_string(),
            dropped: source.dropped,
            verdict: source.verdict.clone(),
        })
        .collect();
    (!rows.is_empty()).then(|| format!("who was dropped most:\n{}", table(rows, &[1])))
}

#[derive(Tabled)]
#[tabled(rename_all = "UPPERCASE")]
struct TimeRow {
    time: String,
    packets: u64,
    passed: u64,
    dropped: u64,
    answered: u64,
}

fn timeline(report: &Report) -> Option<String> {
    let merged = report.timeline.len().div_ceil(TIMELINE).max(1);
    let rows: Vec<TimeRow> = report
        .timeline
        .chunks(merged)
        .map(|entries| {
            let sum = |of: fn(&Second) -> u64| entries.iter().map(of).sum();
            TimeRow {
                time: format!("{} s", entries[0].at_s),
                packets: sum(|second| second.packets),
                passed: sum(|second| second.passed),
                dropped: sum(|second| second.dropped),
                answered: sum(|second| second.answered),
            }
        })
        .collect();
    (rows.len() > 1).then(|| table(rows, &[0, 1, 2, 3, 4]))
}

pub(super) fn seconds_of(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

/// `text` behind `begin`, in lines of 80 columns.
pub(super) fn wrapped(begin: &str, text: &str) -> String {
    output::wrapped(begin, "  ", COLUMNS, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::replay::Compared,
        replay::{Blocked, Found, Honest, LinkCount, Servers, SkipCount, Source, VerdictCount, compare},
    };

    fn report() -> Report {
        let prefix = "2001:db8:ffff:ffff::/64".parse().unwrap();
        Report {
            packets: 4_000_000_000,
            verdicts: vec![VerdictCount {
                name: "shadow-fragment-overflow".to_owned(),
                action: "shadow".to_owned(),
                packets: 4_000_000_000,
                bytes: 4_000_000_000_000,
            }],
            file: "/a/rather/long/path/to/a/capture/that/somebody/took/yesterday.pcapng".to_owned(),
            frames: 4_000_000_001,
            duration_ms: 86_400_000,
            link_types: vec![LinkCount {
                name: "IEEE 802.11 with radiotap".to_owned(),
                frames: 4_000_000_001,
            }],
            servers: Servers {
                addresses: vec!["2001:db8:ffff:ffff:ffff:ffff:ffff:1".parse().unwrap()],
                guessed: true,
                all: false,
            },
            skipped: vec![SkipCount {
                reason: "not-for-the-server".to_owned(),
                frames: 1,
            }],
            cut: 1,
            backwards: 1,
            untimed: 1,
            blocked: vec![
                Blocked {
                    at_ms: 1_234,
                    prefix,
                    for_s: 60,
                    verdict: "limit-udp".to_owned(),
                    dropped: 12_345,
                    over_for_ms: 1_000,
                };
                20
            ],
            findings: vec![Found {
                at_ms: 1_234,
                source: "2001:db8:ffff:ffff:ffff:ffff:ffff:1".parse().unwrap(),
                verdict: "limit-udp".to_owned(),
                dropped: 12_345,
                over_for_ms: 1_000,
                outcome: "not blocked: no connection in the capture proves its address, which may be forged"
                    .to_owned(),
            }],
            top_sources: vec![Source {
                source: prefix,
                packets: 4_000_000_000,
                dropped: 4_000_000_000,
                verdict: "fragment-overflow".to_owned(),
            }],
            timeline_step_s: 1,
            timeline: (0..100)
                .map(|at_s| Second {
                    at_s,
                    packets: 40_000_000,
                    passed: 40_000_000,
                    ..Second::default()
                })
                .collect(),
            honest: Honest {
                sources: 1_000_000,
                packets: 4_000_000_000,
                dropped: 4_000_000,
            },
            notes: vec!["a word ".repeat(40)],
            ..Report::default()
        }
    }

    #[test]
    fn everything_fits_a_terminal_of_80_columns() {
        let second = Report {
            blocked: Vec::new(),
            verdicts: Vec::new(),
            ..report()
        };
        let compared = Compared {
            config: "/etc/netguard/another.toml".to_owned(),
            differences: compare(&report(), &second),
            report: second,
        };
        let answer = Answer {
            report: report(),
            compared: Some(compared),
        };
        let text = text(&answer);
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert!(text.lines().count() < 100, "{text}");
        assert!(
            text.contains("and 8 more") && text.contains("blocked under the first only"),
            "{text}"
        );
    }
}
