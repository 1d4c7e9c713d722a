//! Campaigns in a replay, for people: what belongs together, and what speaks for it.

use super::text::{PRINTED, seconds_of, wrapped};
use crate::replay::Report;

/// One line for each campaign, and one for each piece of evidence.
pub(super) fn campaigns(report: &Report) -> Option<String> {
    if report.campaigns.is_empty() {
        return None;
    }
    let mut lines = vec!["CAMPAIGNS".to_owned()];
    for campaign in report.campaigns.iter().take(PRINTED) {
        let end = match (campaign.taken_back_ms, campaign.ended_ms) {
            (Some(ms), _) => format!("and taken back {}", seconds_of(ms)),
            (None, Some(ms)) => format!("until {}", seconds_of(ms)),
            (None, None) => "to the end".to_owned(),
        };
        let attacks: Vec<String> = campaign.attacks.iter().map(u64::to_string).collect();
        let of = match attacks.is_empty() {
            true => String::new(),
            false => format!(", attacks {}", attacks.join(" ")),
        };
        lines.push(wrapped(
            "",
            &format!(
                "{} from {} {end}: {} sources in {} networks, {} of them proven{of}",
                campaign.told.kind.name(),
                seconds_of(campaign.began_ms),
                campaign.told.sources_seen,
                campaign.told.networks_seen,
                campaign.told.sources_proven
            ),
        ));
        for link in campaign.joints.iter().flat_map(|joint| &joint.evidence) {
            lines.push(wrapped("  ", &format!("{}: {}", link.kind.name(), link.what)));
        }
    }
    Some(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        daemon::CampaignTold,
        engine::campaign::{CampaignKind, Link, LinkKind},
        replay::{Campaign, Joint},
    };

    #[test]
    fn a_campaign_is_told_with_its_evidence() {
        let told = CampaignTold {
            id: 1,
            kind: CampaignKind::Attacks,
            services: Vec::new(),
            targets: Vec::new(),
            served_since: Vec::new(),
            passed: 0,
            looked_at: 0,
            attempts: 0,
            sources_seen: 300,
            sources_proven: 4,
            sources: Vec::new(),
            networks_seen: 9,
            networks: Vec::new(),
        };
        let campaign = Campaign {
            told,
            began_ms: 1_500,
            noticed_ms: 2_500,
            ended_ms: None,
            taken_back_ms: None,
            attacks: vec![1, 2],
            joints: vec![Joint {
                part: "attack 1".to_owned(),
                with: Some("attack 2".to_owned()),
                at_ms: 2_500,
                score: 90,
                evidence: vec![Link {
                    kind: LinkKind::Time,
                    weight: 30,
                    what: "they began within seconds of each other".to_owned(),
                }],
            }],
        };
        let early = Campaign {
            taken_back_ms: Some(9_500),
            ..campaign.clone()
        };
        let report = Report {
            campaigns: vec![campaign, early],
            ..Report::default()
        };
        let text = campaigns(&report).expect("there is one");
        assert!(text.contains("and taken back"), "{text}");
        assert!(text.contains("to the end: 300 sources in 9 networks"), "{text}");
        assert!(text.contains("attacks 1 2"), "{text}");
        assert!(text.contains("time: they began"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert_eq!(campaigns(&Report::default()), None);
    }
}
