//! `netguard decision`: what reverse proxies asked, what they were answered, and whom limits refuse.

use clap::Subcommand;
use hyper::Method;
use tabled::Tabled;

use super::{
    CliError, Context,
    output::{seconds, table},
};
use crate::{
    config::KeyPart,
    control::Client,
    decision::{DecisionReport, LimitReport, RefusedKey},
};

#[derive(Subcommand, Debug)]
pub(super) enum DecisionCommand {
    /// Show checks by answer, the limits, and whom they refuse most.
    Show,
}

#[derive(Tabled)]
#[tabled(rename_all = "UPPERCASE")]
struct LimitRow {
    limit: String,
    key: String,
    rate: String,
    burst: u32,
}

#[derive(Tabled)]
#[tabled(rename_all = "UPPERCASE")]
struct RefusedRow {
    refused: u64,
    limit: String,
    key: String,
}

pub(super) async fn run(context: &Context, command: DecisionCommand) -> Result<(), CliError> {
    let DecisionCommand::Show = command;
    let mut client = Client::connect(&context.instance).await?;
    let report: Option<DecisionReport> = client.request(Method::GET, "/v1/decision", None::<&()>).await?;
    context.output.print(&report, |report| match report {
        Some(report) => text(report),
        None => "nobody can ask: there is no `decision.listen` in the configuration".to_owned(),
    })
}

fn text(report: &DecisionReport) -> String {
    let mut lines = report.faults.clone();
    let mode = match report.mode.as_str() {
        "enforce" => String::new(),
        mode => format!(" in mode {mode}"),
    };
    lines.push(format!(
        "{} checks/s at {}{mode}, {} connections of proxies",
        report.checks_per_s, report.address, report.connections
    ));
    if report.challenges {
        lines.push("clients must work first now".to_owned());
    }
    let told = report
        .checks
        .iter()
        .filter(|count| count.count + count.shadow > 0);
    let told: Vec<String> = told
        .map(|count| match count.shadow {
            0 => format!("{} {}", count.count, count.answer),
            shadow => format!(
                "{} {} ({shadow} only counted)",
                count.count + shadow,
                count.answer
            ),
        })
        .collect();
    lines.push(match told.as_slice() {
        [] => "nothing was asked yet".to_owned(),
        told => told.join(", "),
    });
    for (count, what) in [
        (
            report.untrusted,
            "checks by somebody who is no trusted proxy, judged as its own",
        ),
        (
            report.refused_reports,
            "reports by somebody who is no trusted proxy, not heard",
        ),
        (
            report.displaced,
            "buckets gave way to others: `decision.keys` are few",
        ),
    ] {
        if count > 0 {
            lines.push(format!("{count} {what}"));
        }
    }
    if report.reports > 0 {
        lines.push(format!(
            "{} reports, {} of failures",
            report.reports, report.failures
        ));
    }
    lines.push(format!("{} of {} buckets in use", report.keys_used, report.keys));
    let mut text = lines.join("\n");
    if !report.limits.is_empty() {
        text.push_str(&format!(
            "\n\n{}",
            table(report.limits.iter().map(LimitRow::from), &[3])
        ));
    }
    if !report.refused.is_empty() {
        text.push_str(&format!(
            "\n\n{}",
            table(report.refused.iter().map(RefusedRow::from), &[0])
        ));
    }
    text
}

/// One such request in so long, or so many in a second.
fn rate(interval_ns: u64) -> String {
    const SECOND_NS: u64 = 1_000_000_000;
    match interval_ns {
        0 => "unlimited".to_owned(),
        long if long > SECOND_NS && long.is_multiple_of(SECOND_NS) => {
            format!("1 in {}", seconds(long / SECOND_NS))
        }
        long if long > SECOND_NS => format!("1 in {:.1}s", long as f64 / SECOND_NS as f64),
        short => format!("{}/s", SECOND_NS / short),
    }
}

impl From<&LimitReport> for LimitRow {
    fn from(limit: &LimitReport) -> Self {
        let part = |part: &KeyPart| match part {
            KeyPart::Client => "client",
            KeyPart::User => "user",
            KeyPart::ApiKey => "api-key",
            KeyPart::Route => "route",
            KeyPart::Country => "country",
            KeyPart::Asn => "asn",
        };
        Self {
            limit: limit.name.clone(),
            key: limit.key.iter().map(part).collect::<Vec<_>>().join(", "),
            rate: rate(limit.interval_ns),
            burst: limit.burst,
        }
    }
}

impl From<&RefusedKey> for RefusedRow {
    fn from(refused: &RefusedKey) -> Self {
        Self {
            refused: refused.refusals,
            limit: refused.limit.clone(),
            key: refused.key.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::AnswerCount;

    #[test]
    fn rates_are_told_as_people_say_them() {
        for (interval_ns, told) in [
            (12_000_000_000, "1 in 12s"),
            (1_500_000_000, "1 in 1.5s"),
            (1_000_000_000, "1/s"),
            (10_000_000, "100/s"),
            (0, "unlimited"),
        ] {
            assert_eq!(rate(interval_ns), told);
        }
    }

    #[test]
    fn what_was_only_counted_is_told_apart() {
        let count = |answer: &str, count, shadow| AnswerCount {
            answer: answer.to_owned(),
            count,
            shadow,
        };
        let report = DecisionReport {
            address: "http://127.0.0.1:9465".to_owned(),
            mode: "shadow".to_owned(),
            checks: vec![
                count("passed", 7, 0),
                count("limited", 0, 3),
                count("blocked", 0, 0),
            ],
            limits: vec![LimitReport {
                name: "login".to_owned(),
                key: vec![KeyPart::Client, KeyPart::ApiKey],
                interval_ns: 12_000_000_000,
                burst: 5,
            }],
            refused: vec![RefusedKey {
                limit: "login".to_owned(),
                key: "192.0.2.1/32, api-key #1".to_owned(),
                refusals: 3,
            }],
            keys: 64,
            ..DecisionReport::default()
        };
        let text = text(&report);
        for part in [
            "in mode shadow",
            "7 passed, 3 limited (3 only counted)",
            "client, api-key",
            "192.0.2.1/32, api-key #1",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("blocked"), "{text}");
    }
}
