//! `netguard campaigns`: which attacks belong together, and what many sources do of which none stands out.

use clap::Subcommand;
use hyper::Method;
use tabled::Tabled;

use super::{
    CliError, Context,
    output::{seconds, table, wrapped},
};
use crate::{
    control::Client,
    daemon::{CampaignJoint, CampaignReport},
};

#[derive(Subcommand, Debug)]
pub(super) enum CampaignCommand {
    /// Show campaigns since the daemon began, the newest first.
    List,
    /// Show one campaign: its attacks, services, networks and sources, and what speaks for each part.
    Show {
        /// Its number, as `list` shows it.
        id: u64,
    },
}

#[derive(Tabled)]
struct Row {
    #[tabled(rename = "ID")]
    id: u64,
    #[tabled(rename = "KIND")]
    kind: &'static str,
    #[tabled(rename = "BEGAN")]
    began: String,
    #[tabled(rename = "FOR")]
    lasted: String,
    #[tabled(rename = "SOURCES")]
    sources: usize,
    #[tabled(rename = "NETWORKS")]
    networks: usize,
    #[tabled(rename = "ATTACKS")]
    attacks: String,
    #[tabled(rename = "STATE")]
    state: &'static str,
}

pub(super) async fn run(context: &Context, command: CampaignCommand) -> Result<(), CliError> {
    let mut client = Client::connect(&context.instance).await?;
    match command {
        CampaignCommand::List => {
            let campaigns: Vec<CampaignReport> =
                client.request(Method::GET, "/v1/campaigns", None::<&()>).await?;
            context.output.print(&campaigns, |campaigns| list(campaigns))
        }
        CampaignCommand::Show { id } => {
            let path = format!("/v1/campaigns/{id}");
            let campaign: Option<CampaignReport> = client.request(Method::GET, &path, None::<&()>).await?;
            let campaign = campaign.ok_or_else(|| {
                CliError::Failed(format!(
                    "no campaign has the number {id} (`netguard campaigns list` shows those since the daemon began)"
                ))
            })?;
            context.output.print(&campaign, show)
        }
    }
}

fn list(campaigns: &[CampaignReport]) -> String {
    if campaigns.is_empty() {
        return "no campaign was recognised since the daemon began".to_owned();
    }
    table(campaigns.iter().map(row), &[4, 5])
}

fn row(campaign: &CampaignReport) -> Row {
    let attacks: Vec<String> = campaign
        .attacks
        .iter()
        .map(|attack| attack.id.to_string())
        .collect();
    Row {
        id: campaign.told.id,
        kind: campaign.told.kind.name(),
        began: campaign.began.clone(),
        lasted: seconds(campaign.lasted_s),
        sources: campaign.told.sources_seen,
        networks: campaign.told.networks_seen,
        attacks: match attacks.is_empty() {
            true => "none".to_owned(),
            false => attacks.join(" "),
        },
        state: match (&campaign.taken_back, &campaign.ended) {
            // Its attacks were real all the same.
            (Some(_), Some(_)) if campaign.attacks.is_empty() => "taken back",
            (_, Some(_)) => "over",
            (_, None) => "goes on",
        },
    }
}

const COLUMNS: usize = 104;

fn show(campaign: &CampaignReport) -> String {
    let mut text = format!(
        "campaign {}: {}, {}\n  began {}, noticed {}, {}\n",
        campaign.told.id,
        campaign.told.kind.name(),
        campaign.what,
        campaign.began,
        campaign.noticed,
        match &campaign.ended {
            Some(ended) => format!("over since {ended}"),
            None => format!("goes on since {}", seconds(campaign.lasted_s)),
        }
    );
    let (seen, networks) = (campaign.told.sources_seen, campaign.told.networks_seen);
    let proven = campaign.told.sources_proven;
    text.push_str(&format!(
        "  {seen} sources in {networks} networks, {proven} of them connected meanwhile (whoever is not may be forged)\n"
    ));
    if !campaign.attacks.is_empty() {
        text.push_str("attacks\n");
    }
    for attack in &campaign.attacks {
        text.push_str(&format!("  {:>6} {}\n", attack.id, attack.class.name()));
    }
    if !campaign.told.services.is_empty() {
        let services = format!("services: {}", campaign.told.services.join(" "));
        text.push_str(&wrapped("", "  ", COLUMNS, &services));
        text.push('\n');
    }
    if !campaign.told.targets.is_empty() {
        text.push_str(&format!(
            "asked for where nobody is, by how many sources ({} packets, of those that were looked at)\n",
            campaign.told.attempts
        ));
    }
    for target in &campaign.told.targets {
        text.push_str(&format!("  {:<24} {:>8}\n", target.service, target.sources));
    }
    let told = withdrawn(campaign).into_iter().chain(looked_at(campaign));
    for line in told {
        text.push_str(&wrapped("", "  ", COLUMNS, &line));
        text.push('\n');
    }
    text.push_str("evidence\n");
    campaign
        .joints
        .iter()
        .for_each(|joint| text.push_str(&evidence(joint)));
    if !campaign.told.networks.is_empty() {
        text.push_str("networks, by how many sources were seen there at once\n");
    }
    for network in &campaign.told.networks {
        text.push_str(&format!("  {:<24} {:>8}\n", network.network, network.sources));
    }
    if !campaign.told.sources.is_empty() {
        text.push_str("sources, the first of them\n");
    }
    for source in &campaign.told.sources {
        let proof = if source.proven { " connected" } else { "" };
        text.push_str(&format!("  {}{proof}\n", source.source));
    }
    text
}

/// What was asked for and is served since.
fn withdrawn(campaign: &CampaignReport) -> Option<String> {
    let services = campaign.told.served_since.join(" ");
    let whole = campaign.taken_back.as_ref().map(|at| {
        format!("so its probing was none, and all that was said of its sources for it was taken back at {at}")
    });
    let part = "who asked for nothing else came early, and is none of its sources any more".to_owned();
    (!services.is_empty()).then(|| format!("served since: {services}; {}", whole.unwrap_or(part)))
}

/// Of how much all of this was seen.
fn looked_at(campaign: &CampaignReport) -> Option<String> {
    let (passed, looked_at) = (campaign.told.passed, campaign.told.looked_at);
    let share = match looked_at {
        0 => "none".to_owned(),
        _ => format!("{looked_at}, one in {:.1}", passed as f64 / looked_at as f64),
    };
    (passed > 0).then(|| format!("looked at: of {passed} packets that passed while it probed {share}"))
}

fn evidence(joint: &CampaignJoint) -> String {
    let with = joint
        .with
        .as_ref()
        .map_or_else(String::new, |with| format!(" with {with}"));
    let mut text = format!(
        "  {}{with}, since {} ({} of 100)\n",
        joint.part, joint.at, joint.score
    );
    for link in &joint.evidence {
        let line = format!("{}: {} ({})", link.kind.name(), link.what, link.weight);
        text.push_str(&wrapped("    ", "      ", COLUMNS, &line));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        daemon::{CampaignAttack, CampaignNetwork, CampaignSource, CampaignTarget, CampaignTold},
        engine::{
            campaign::{CampaignKind, Link, LinkKind},
            detect::Class,
        },
    };

    fn campaign() -> CampaignReport {
        let told = CampaignTold {
            id: 3,
            kind: CampaignKind::Both,
            services: vec!["tcp/80".to_owned(), "tcp/443".to_owned()],
            targets: vec![CampaignTarget {
                service: "tcp/23".to_owned(),
                sources: 40,
            }],
            served_since: vec!["tcp/443".to_owned()],
            passed: 9_000,
            looked_at: 250,
            attempts: 120,
            sources_seen: 100,
            sources_proven: 1,
            sources: vec![CampaignSource {
                source: "192.0.2.1/32".to_owned(),
                proven: true,
            }],
            networks_seen: 2,
            networks: vec![CampaignNetwork {
                network: "AS64496".to_owned(),
                sources: 60,
            }],
        };
        CampaignReport {
            told,
            what: CampaignKind::Both.describe().to_owned(),
            began: "2026-01-01T00:00:00.000Z".to_owned(),
            noticed: "2026-01-01T00:01:00.000Z".to_owned(),
            ended: None,
            taken_back: None,
            lasted_s: 75,
            attacks: vec![CampaignAttack {
                id: 7,
                class: Class::SynFlood,
            }],
            joints: vec![CampaignJoint {
                part: "attack 7".to_owned(),
                with: Some("probing".to_owned()),
                at: "2026-01-01T00:01:00.000Z".to_owned(),
                score: 70,
                evidence: vec![Link {
                    kind: LinkKind::Sources,
                    weight: 40,
                    what: "many words ".repeat(20),
                }],
            }],
        }
    }

    #[test]
    fn a_campaign_is_told_in_full_and_within_a_terminal() {
        let text = show(&campaign());
        for part in [
            "campaign 3: both",
            "goes on since 1m 15s",
            "100 sources in 2 networks, 1 of them connected meanwhile",
            "7 syn-flood",
            "services: tcp/80 tcp/443",
            "tcp/23",
            "(120 packets, of those that were looked at)",
            "looked at: of 9000 packets that passed while it probed 250, one in 36.0",
            "served since: tcp/443; who asked for nothing else",
            "attack 7 with probing, since 2026-01-01T00:01:00.000Z (70 of 100)",
            "sources: many words",
            "AS64496",
            "192.0.2.1/32 connected",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(text.lines().all(|line| line.len() <= 110), "{text}");
    }

    #[test]
    fn a_campaign_that_was_none_says_so() {
        let at = "2026-01-01T00:02:00.000Z".to_owned();
        let mut taken_back = CampaignReport {
            taken_back: Some(at.clone()),
            ended: Some(at),
            ..campaign()
        };
        taken_back.told.looked_at = 0;
        let text = show(&taken_back);
        assert!(text.contains("so its probing was none, and all"), "{text}");
        assert!(text.contains("while it probed none"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 110), "{text}");
        // Found in review: so did one whose attacks were real.
        assert!(!list(std::slice::from_ref(&taken_back)).contains("taken back"));
        taken_back.attacks.clear();
        assert!(list(&[taken_back]).contains("taken back"));
        let json = serde_json::to_value(campaign()).expect("it is JSON");
        let mut older = json.clone();
        assert!(
            json.get("told").is_none() && json["sources_seen"] == 100,
            "{json}"
        );
        for newer in ["served_since", "taken_back", "passed", "looked_at"] {
            older.as_object_mut().and_then(|fields| fields.remove(newer));
        }
        let older: CampaignReport = serde_json::from_value(older).expect("what an older daemon says");
        assert!(!show(&older).contains("looked at:") && !show(&older).contains("served since"));
    }

    #[test]
    fn the_list_has_a_line_for_each() {
        let text = list(&[campaign(), campaign()]);
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains("goes on") && text.contains("both"), "{text}");
        assert!(list(&[]).contains("no campaign"));
    }
}
