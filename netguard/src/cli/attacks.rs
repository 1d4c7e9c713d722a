//! `netguard attacks`: what the daemon recognised, and what spoke for it.

use clap::Subcommand;
use hyper::Method;
use tabled::Tabled;

use super::{
    CliError, Context,
    attack_packets::{self, PacketArgs},
    output::{seconds, table, wrapped},
};
use crate::{
    control::Client,
    daemon::{AttackReport, ResponseReport, evidence_sentence},
    engine::attack::SourceSpread,
};

#[derive(Subcommand, Debug)]
pub(super) enum AttackCommand {
    /// Show attacks since the daemon began, the newest first, and crowds that were none.
    List,
    /// Show one attack: evidence, services, sources, timeline.
    Show {
        /// Its number, as `list` shows it.
        id: u64,
    },
    /// Show packets of an attack, or write them as a capture.
    Packets(PacketArgs),
}

#[derive(Tabled)]
struct Row {
    #[tabled(rename = "ID")]
    id: u64,
    #[tabled(rename = "CLASS")]
    class: &'static str,
    #[tabled(rename = "SOURCES")]
    spread: &'static str,
    #[tabled(rename = "BEGAN")]
    began: String,
    #[tabled(rename = "FOR")]
    lasted: String,
    #[tabled(rename = "PEAK/S")]
    peak: u64,
    #[tabled(rename = "PACKETS")]
    packets: u64,
    #[tabled(rename = "STATE")]
    state: &'static str,
}

pub(super) async fn run(context: &Context, command: AttackCommand) -> Result<(), CliError> {
    match command {
        AttackCommand::List => {
            let mut client = Client::connect(&context.instance).await?;
            let attacks: Vec<AttackReport> = client.request(Method::GET, "/v1/attacks", None::<&()>).await?;
            context.output.print(&attacks, |attacks| list(attacks))
        }
        AttackCommand::Show { id } => {
            let mut client = Client::connect(&context.instance).await?;
            let path = format!("/v1/attacks/{id}");
            let attack: Option<AttackReport> = client.request(Method::GET, &path, None::<&()>).await?;
            let attack = attack.ok_or_else(|| {
                CliError::Failed(format!(
                    "no attack has the number {id} (`netguard attacks list` shows those since the daemon began)"
                ))
            })?;
            context.output.print(&attack, show)
        }
        AttackCommand::Packets(args) => attack_packets::run(context, args).await,
    }
}

fn list(attacks: &[AttackReport]) -> String {
    if attacks.is_empty() {
        return "no attack was recognised since the daemon began".to_owned();
    }
    table(attacks.iter().map(row), &[5, 6])
}

fn row(attack: &AttackReport) -> Row {
    Row {
        id: attack.id,
        class: attack.class.name(),
        spread: attack.spread.map_or("?", SourceSpread::name),
        began: attack.began.clone(),
        lasted: seconds(attack.lasted_s),
        peak: attack.peak_packets_per_s,
        packets: attack.packets,
        state: state(attack),
    }
}

fn state(attack: &AttackReport) -> &'static str {
    match (&attack.ended, attack.harmful) {
        (Some(_), _) => "over",
        (None, true) => "goes on",
        (None, false) => "no attack",
    }
}

fn show(attack: &AttackReport) -> String {
    let mut text = format!(
        "attack {}: {}, {}\n  began {}, noticed {} ms later, {}\n",
        attack.id,
        attack.class.name(),
        attack.what,
        attack.began,
        attack.detected_after_ms,
        match &attack.ended {
            Some(ended) => format!("over since {ended}"),
            None => format!("goes on since {}", seconds(attack.lasted_s)),
        }
    );
    let (packets, peak) = (attack.packets, attack.peak_packets_per_s);
    text.push_str(&format!("  {packets} packets, at its peak {peak}/s"));
    if let Some(spread) = attack.spread {
        text.push_str(&format!(", sources: {}", spread.name()));
    }
    if attack.pulses > 1 {
        text.push_str(&format!(", in {} pulses", attack.pulses));
    }
    if let Some(id) = attack.campaign {
        text.push_str(&format!(
            "\n  part of campaign {id} (`netguard campaigns show {id}`)"
        ));
    }
    text.push_str("\nevidence\n");
    for evidence in &attack.evidence {
        text.push_str(&format!("  {}\n", evidence_sentence(evidence)));
    }
    if !attack.services.is_empty() {
        text.push_str("services at the peak, packets/s\n");
        for service in &attack.services {
            text.push_str(&format!(
                "  {:<12} {:>12}\n",
                service.service, service.packets_per_s
            ));
        }
    }
    if !attack.sources.is_empty() {
        text.push_str(&format!(
            "sources whose packets were dropped (estimated; may be forged), {} seen\n",
            attack.sources_seen
        ));
        for source in &attack.sources {
            text.push_str(&format!("  {:<24} {:>12}\n", source.source, source.packets));
        }
    }
    text.push_str(&response(&attack.response));
    text.push_str(&timeline(attack));
    text
}

const INDENT: &str = "    ";
const COLUMNS: usize = 104;

/// What is done about it, and was.
fn response(response: &ResponseReport) -> String {
    let mut text = match response.rung.as_str() {
        "" => String::new(),
        rung => format!("response: {rung}\n"),
    };
    if let Some(why) = &response.no_measure {
        text.push_str(&wrapped("  no measure: ", INDENT, COLUMNS, why));
        text.push('\n');
    }
    for measure in &response.measures {
        let state = match (&measure.error, &measure.until, measure.why) {
            (Some(error), _, _) => format!("not done: {error}"),
            (None, Some(until), Some(why)) => format!("until {until}: {}", why.describe()),
            _ if measure.shadow => "in shadow".to_owned(),
            _ if measure.restraint.as_deref() == Some("half-open") => {
                "half open: it only counts, to see whether the flood is still there".to_owned()
            }
            _ if measure.restraint.is_some() => "on trial: it only counts, to show what it fits".to_owned(),
            _ => "in force".to_owned(),
        };
        text.push_str(&format!(
            "  {}, since {}, {state}\n",
            measure.measure, measure.since
        ));
        text.push_str(&wrapped(INDENT, INDENT, COLUMNS, &measure.what));
        text.push('\n');
        if let Some(collateral) = &measure.collateral {
            let begin = format!("{INDENT}collateral: ");
            text.push_str(&wrapped(&begin, INDENT, COLUMNS, &collateral.what));
            text.push('\n');
        }
        if measure.packets > 0 {
            let (packets, rate) = (measure.packets, measure.packets_per_s);
            let would = if measure.shadow { " would have met it" } else { "" };
            text.push_str(&format!("    {packets} packets{would}, {rate}/s now\n"));
        }
    }
    if let Some(why) = &response.no_signature {
        text.push_str(&format!("  no signature: {why}\n"));
    }
    for withheld in &response.withheld {
        let begin = format!("  no {}: ", withheld.measure);
        text.push_str(&wrapped(&begin, INDENT, COLUMNS, &withheld.why));
        text.push('\n');
    }
    text
}

/// One line for each of at most twenty stretches.
fn timeline(attack: &AttackReport) -> String {
    const LINES: usize = 20;
    const WIDTH: u64 = 40;
    let points = &attack.timeline;
    let stretch = points.len().div_ceil(LINES).max(1);
    let sums: Vec<(&str, u64)> = points
        .chunks(stretch)
        .map(|chunk| {
            (
                chunk[0].at.as_str(),
                chunk.iter().map(|point| point.packets).sum(),
            )
        })
        .collect();
    let most = sums.iter().map(|(_, packets)| *packets).max().unwrap_or(0).max(1);
    let mut text = "timeline, packets\n".to_owned();
    for (at, packets) in sums {
        let bar = "#".repeat((u128::from(packets) * u128::from(WIDTH) / u128::from(most)) as usize);
        text.push_str(&format!("  {at} {packets:>12} {bar}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        daemon::{
            AttackPoint, AttackSource, AttackedService, CollateralReport, MeasureReport, WithheldReport,
        },
        engine::{
            detect::{Class, Evidence},
            response::Why,
        },
    };

    fn attack() -> AttackReport {
        AttackReport {
            id: 3,
            class: Class::SynFlood,
            what: Class::SynFlood.describe().to_owned(),
            harmful: true,
            began: "2026-01-01T00:00:00.000Z".to_owned(),
            ended: None,
            lasted_s: 75,
            detected_after_ms: 50,
            pulses: 2,
            packets: 1_000,
            peak_packets_per_s: 700,
            evidence: vec![Evidence {
                what: "connection attempts/s".to_owned(),
                value: 700.0,
                threshold: 500.0,
                usual: Some(1.5),
            }],
            services: vec![AttackedService {
                service: "tcp/80".to_owned(),
                packets_per_s: 690,
            }],
            sources: vec![AttackSource {
                source: "192.0.2.1/32".to_owned(),
                packets: 10,
            }],
            sources_seen: 1,
            spread: Some(SourceSpread::Single),
            campaign: Some(2),
            timeline: (0..50)
                .map(|second| AttackPoint {
                    at: format!("2026-01-01T00:00:{second:02}.000Z"),
                    packets: second,
                })
                .collect(),
            response: ResponseReport {
                rung: "limit".to_owned(),
                measures: vec![MeasureReport {
                    measure: "signature".to_owned(),
                    what: "packets with ttl=64 window=512 are dropped ".repeat(4),
                    shadow: false,
                    since: "2026-01-01T00:00:00.100Z".to_owned(),
                    until: Some("2026-01-01T00:01:00.000Z".to_owned()),
                    why: Some(Why::Over),
                    error: None,
                    restraint: None,
                    collateral: Some(CollateralReport {
                        touches: "packets".to_owned(),
                        part: 0.0025,
                        hits: Some(1),
                        of: Some(400),
                        what: "1 of 400 ordinary packets (0.25 %)".to_owned(),
                    }),
                    packets: 7,
                    packets_per_s: 0,
                }],
                no_signature: Some("too few".to_owned()),
                withheld: vec![WithheldReport {
                    measure: "geo".to_owned(),
                    why: "no database says where sources are ".repeat(4),
                }],
                no_measure: Some("connections that are kept cannot be told from slow clients ".repeat(4)),
                packets_seen: 9,
            },
        }
    }

    #[test]
    fn an_attack_is_told_in_full_and_within_a_terminal() {
        let text = show(&attack());
        for part in [
            "attack 3: syn-flood",
            "noticed 50 ms later, goes on since 1m 15s",
            "connection attempts/s: 700 (threshold 500; usually 1.50)",
            "sources: single, in 2 pulses",
            "part of campaign 2 (`netguard campaigns show 2`)",
            "tcp/80",
            "192.0.2.1/32",
            "response: limit",
            "signature, since 2026-01-01T00:00:00.100Z, until 2026-01-01T00:01:00.000Z: the attack is over",
            "collateral: 1 of 400 ordinary packets (0.25 %)",
            "no signature: too few",
            "no geo: no database says",
            "no measure: connections that are kept",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(text.lines().all(|line| line.len() <= 110), "{text}");
        assert!(text.lines().count() <= 40);
    }

    #[test]
    fn the_list_has_a_line_for_each() {
        let text = list(&[attack(), attack()]);
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains("goes on"), "{text}");
        assert!(list(&[]).contains("no attack"));
    }
}
