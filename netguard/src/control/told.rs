//! What is told of requests that were carried out: by the daemon, or by the command line when that is dead.

use netguard_common::layout::{Mode, Rate, Service};

use super::{
    Force, LimitChange, RuleAddition, RuleOutcome, ServiceChange, SignatureAddition, SignatureOutcome,
};
use crate::{
    audit::sha256,
    bpf::List,
    config::{PolicyMode, TlsVersion},
    daemon::{EventKind, Forgotten},
};

/// Additions up to this many are events one by one; longer lists are one event.
const TOLD_ONE_BY_ONE: usize = 16;

/// What was added of `additions`.
pub fn added(list: List, additions: &[RuleAddition], outcomes: &[RuleOutcome]) -> Vec<EventKind> {
    let added = outcomes.iter().filter(|outcome| outcome.covered_by.is_none());
    if additions.len() > TOLD_ONE_BY_ONE {
        let prefixes: String = additions
            .iter()
            .map(|addition| format!("{}\n", addition.prefix))
            .collect();
        return vec![EventKind::RulesAdded {
            list: list.name().to_owned(),
            count: added.count(),
            sha256: sha256(prefixes.as_bytes()).to_string(),
        }];
    }
    let event = |outcome: &RuleOutcome| {
        let addition = additions
            .iter()
            .find(|addition| addition.prefix == outcome.prefix);
        EventKind::RuleAdded {
            list: list.name().to_owned(),
            prefix: outcome.prefix.to_string(),
            for_s: addition.and_then(|addition| addition.ttl_s),
            note: addition.and_then(|addition| addition.note.clone()),
            forced: addition.is_some_and(|addition| addition.force != Force::Nothing),
        }
    };
    added.map(event).collect()
}

/// What `additions` to `list` are, in few words.
pub fn additions(list: List, additions: &[RuleAddition]) -> String {
    match additions {
        [one] => format!("{} {}", list.name(), one.prefix),
        many => format!("{} {} prefixes", list.name(), many.len()),
    }
}

/// A rate, for people.
pub fn rate(rate: Rate) -> String {
    match rate.interval_ns {
        0 => "unlimited".to_owned(),
        _ => format!("{}/s", rate.per_second()),
    }
}

/// A removal; `None`: nothing was there.
pub fn removed(list: List, outcome: &RuleOutcome) -> Option<EventKind> {
    (outcome.outcome == "removed").then(|| EventKind::RuleRemoved {
        list: list.name().to_owned(),
        prefix: outcome.prefix.to_string(),
    })
}

/// A change of the limit that is called `class`.
pub fn limit_changed(class: String, change: LimitChange) -> EventKind {
    EventKind::LimitChanged {
        class,
        rate_per_s: change.rate_per_s,
        burst: change.burst,
    }
}

/// A change of what holds for `service`, whose entry is `set` now.
pub fn service_changed(service: String, change: ServiceChange, set: Option<&Service>) -> Vec<EventKind> {
    let limits = change.rate_per_s.map(|rate_per_s| EventKind::ServiceChanged {
        service: service.clone(),
        rate_per_s,
        burst: change.burst.unwrap_or(rate_per_s),
        cookies: change.cookies,
    });
    let floor = change.tls.is_some() || change.tls_minimum.is_some();
    let (mode, minimum) = floor_of(set);
    let floor = floor.then(|| EventKind::TlsPolicy {
        service,
        mode: mode.name().to_owned(),
        minimum: minimum.name().to_owned(),
    });
    limits.into_iter().chain(floor).collect()
}

/// What the entry of a service says of TLS.
pub fn floor_of(entry: Option<&Service>) -> (PolicyMode, TlsVersion) {
    let (tls, minimum) = entry.map_or((0, 0), |entry| (entry.tls, entry.tls_minimum));
    (Mode::from_number(u32::from(tls)).into(), TlsVersion::of(minimum))
}

/// The addition of a signature.
pub fn signature_added(addition: &SignatureAddition, outcome: &SignatureOutcome) -> EventKind {
    EventKind::SignatureAdded {
        id: outcome.id,
        conditions: addition.conditions.join(" "),
        for_s: addition.ttl_s,
        shadow: addition.shadow,
    }
}

/// The removal of a signature; `None`: it was not there.
pub fn signature_removed(outcome: &SignatureOutcome) -> Option<EventKind> {
    (outcome.outcome == "removed").then_some(EventKind::SignatureRemoved { id: outcome.id })
}

/// Sources that were forgotten; `None`: nothing was remembered.
pub fn forgotten(forgotten: &Forgotten) -> Option<EventKind> {
    (forgotten.forgotten > 0).then(|| EventKind::ReputationForgotten {
        source: forgotten.source.clone(),
        count: forgotten.forgotten,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addition(number: u8) -> (RuleAddition, RuleOutcome) {
        let prefix = format!("192.0.2.{number}").parse().expect("a prefix");
        let addition = RuleAddition {
            prefix,
            ttl_s: Some(60),
            note: Some("why".to_owned()),
            force: if number == 1 { Force::All } else { Force::Nothing },
        };
        (addition, super::super::requests::outcome(prefix, "added"))
    }

    #[test]
    fn few_rules_are_told_one_by_one_and_many_as_one() {
        let (few, outcomes): (Vec<_>, Vec<_>) = (1..=2).map(addition).unzip();
        let told = added(List::Block, &few, &outcomes);
        assert_eq!(told.len(), 2);
        assert!(
            matches!(&told[0], EventKind::RuleAdded { prefix, forced: true, .. } if prefix == "192.0.2.1/32")
        );
        assert!(matches!(&told[1], EventKind::RuleAdded { forced: false, .. }));
        let (many, mut outcomes): (Vec<_>, Vec<_>) = (1..=20).map(addition).unzip();
        outcomes[7].covered_by = Some("192.0.2.0/24".parse().expect("a prefix"));
        let told = added(List::Block, &many, &outcomes);
        let list: String = (1..=20).map(|number| format!("192.0.2.{number}/32\n")).collect();
        assert_eq!(
            told,
            [EventKind::RulesAdded {
                list: "block".to_owned(),
                count: 19,
                sha256: sha256(list.as_bytes()).to_string(),
            }]
        );
    }

    #[test]
    fn what_was_not_there_is_not_told() {
        let (_, mut outcome) = addition(1);
        outcome.outcome = "absent".to_owned();
        assert_eq!(removed(List::Allow, &outcome), None);
        let absent = SignatureOutcome {
            id: 3,
            outcome: "absent".to_owned(),
            unconfirmed: None,
        };
        assert_eq!(signature_removed(&absent), None);
        let mut nobody = Forgotten {
            source: None,
            forgotten: 0,
            fault: None,
        };
        assert_eq!(super::forgotten(&nobody), None);
        nobody.forgotten = 2;
        assert!(matches!(
            super::forgotten(&nobody),
            Some(EventKind::ReputationForgotten {
                source: None,
                count: 2
            })
        ));
    }
}
