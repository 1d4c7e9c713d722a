//! Whose doing an event is where nobody says so, and what it is worth to the audit trail.

use super::EventKind;
use crate::audit::{Author, Worth};

impl EventKind {
    /// Who does such things by themselves.
    pub(super) fn author(&self) -> Author {
        match self {
            Self::Blocked { .. }
            | Self::Withheld { .. }
            | Self::WithheldMore { .. }
            | Self::NetworkBlocked { .. }
            | Self::NetworkWithheld { .. } => Author::Detector {
                name: "flooder".to_owned(),
            },
            Self::AttackBegun { class, .. }
            | Self::AttackResumed { class, .. }
            | Self::AttackEnded { class, .. } => Author::Detector { name: class.clone() },
            Self::CampaignBegun { .. }
            | Self::CampaignGrown { .. }
            | Self::CampaignMerged { .. }
            | Self::CampaignWithdrawn { .. }
            | Self::CampaignEnded { .. } => Author::Detector {
                name: "campaign".to_owned(),
            },
            Self::MeasureTaken { .. } | Self::MeasureChanged { .. } | Self::MeasureEnded { .. } => {
                Author::Detector {
                    name: "response".to_owned(),
                }
            }
            Self::RuleExpired { .. } | Self::SignatureExpired { .. } => Author::Time,
            Self::ListRead { .. } | Self::ListFailed { .. } | Self::ListsInForce { .. } => Author::Feed,
            Self::Configured { .. } | Self::Spared(_) | Self::SparedNoMore(_) => Author::Configuration,
            _ => Author::Daemon,
        }
    }

    /// What strangers can cause as often as they like must not push out what was decided.
    pub(super) fn worth(&self) -> Worth {
        match self {
            Self::Dropped { .. } => Worth::Summary,
            Self::Withheld { .. }
            | Self::NetworkWithheld { .. }
            | Self::WithheldMore { .. }
            | Self::RuleFailed { .. }
            | Self::AttackResumed { .. }
            | Self::CampaignGrown { .. }
            | Self::ConnectionsEnded { .. }
            | Self::ServicePressed { .. }
            | Self::ServiceRelieved { .. }
            | Self::NormalChanged { .. }
            | Self::ChallengeBegun { .. }
            | Self::ChallengeEnded
            | Self::SamplesLost { .. }
            | Self::HandshakesRefused { .. }
            | Self::Offence { .. }
            | Self::OffencesMore { .. }
            | Self::Missed { .. } => Worth::Strangers,
            _ => Worth::Decision,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detectors_lists_and_time_act_in_their_own_name() {
        let expired = EventKind::RuleExpired {
            list: "block".to_owned(),
            prefix: "192.0.2.1/32".to_owned(),
        };
        let withheld = EventKind::WithheldMore { count: 2 };
        let list = EventKind::ListRead {
            file: "/f".to_owned(),
            skipped: 0,
            trimmed: 0,
            lines: Vec::new(),
        };
        assert_eq!(
            [expired.author(), list.author(), EventKind::ReflectionOn.author()],
            [Author::Time, Author::Feed, Author::Daemon]
        );
        assert!(matches!(withheld.author(), Author::Detector { .. }));
        assert_eq!(
            (expired.worth(), withheld.worth()),
            (Worth::Decision, Worth::Strangers)
        );
    }
}
