//! The commands that change what becomes of a source. It changes nothing.

use std::net::IpAddr;

use super::explanation::blocked_by_detector;
use crate::{
    bpf::{Entry, LimitLevel, List},
    daemon::ListMatch,
};

/// What takes back rules, goes before lists, and widens limits that are used up, in the order in which the datapath asks them.
pub(super) fn undo(
    address: IpAddr,
    matching: &[(List, Entry)],
    lists: &[ListMatch],
    levels: &[LimitLevel],
) -> Vec<String> {
    let rules = matching
        .iter()
        .map(|(list, entry)| format!("netguard {} del {}", list.name(), entry.prefix));
    // What is remembered of it would have it blocked for longer the next time.
    let used_up = levels.iter().filter(|level| level.is_used_up());
    let (by_score, used_up): (Vec<&LimitLevel>, Vec<_>) = used_up.partition(|level| level.divisor > 1);
    let is_of_score = blocked_by_detector(matching) || !by_score.is_empty();
    let forget = is_of_score.then(|| format!("netguard reputation forget {address}"));
    // Lists are published, or the configuration's: whom they are wrong about is allowed before them.
    let is_allowed = matching.iter().any(|(list, _)| *list == List::Allow);
    let against = lists.iter().find(|list| !list.shadow && !is_allowed);
    let before_lists = against.map(|list| {
        format!(
            "netguard allow add {address} --ttl 24h --reason \"wrong about it: {}\"",
            list.name
        )
    });
    let wider = used_up.into_iter().map(|level| {
        let of = if level.of_prefix { ".prefix" } else { "" };
        let (rate, burst) = (2 * level.rate_per_s, 2 * level.burst);
        format!(
            "netguard limit set {}{of} --rate {rate} --burst {burst}",
            level.class.name()
        )
    });
    rules.chain(forget).chain(before_lists).chain(wider).collect()
}

#[cfg(test)]
mod tests {
    use netguard_common::{layout::Rule, limit::Class, rule::Origin, shared::Field as _};

    use super::*;

    fn rule(list: List, prefix: &str, origin: Origin) -> (List, Entry) {
        let rule = Rule {
            origin: origin as u8,
            ..Rule::ZERO
        };
        let entry = Entry {
            prefix: prefix.parse().expect("a prefix"),
            rule,
            note: None,
        };
        (list, entry)
    }

    fn on(name: &str, shadow: bool) -> ListMatch {
        ListMatch {
            name: name.to_owned(),
            kind: "feed".to_owned(),
            shadow,
        }
    }

    fn level(of_prefix: bool, used: u64) -> LimitLevel {
        LimitLevel {
            class: Class::Syn,
            of_prefix,
            divisor: 1,
            rate_per_s: 50,
            burst: 200,
            used,
        }
    }

    #[test]
    fn whatever_is_against_a_source_can_be_changed() {
        let address = "192.0.2.1".parse().expect("an address");
        let told = |rules: &[_], lists: &[_], levels: &[_]| undo(address, rules, lists, levels);
        assert!(told(&[], &[on("counts", true)], &[level(false, 3)]).is_empty());
        let blocked = [rule(List::Block, "192.0.2.0/24", Origin::Operator)];
        assert_eq!(told(&blocked, &[], &[]), ["netguard block del 192.0.2.0/24"]);
        let found = [rule(List::Block, "192.0.2.1", Origin::Detector)];
        assert_eq!(
            told(
                &found,
                &[on("spam", false)],
                &[level(false, 200), level(true, 200)]
            ),
            [
                "netguard block del 192.0.2.1/32",
                "netguard reputation forget 192.0.2.1",
                "netguard allow add 192.0.2.1 --ttl 24h --reason \"wrong about it: spam\"",
                "netguard limit set syn --rate 100 --burst 400",
                "netguard limit set syn.prefix --rate 100 --burst 400",
            ]
        );
        let allowed = [rule(List::Allow, "192.0.2.1", Origin::Operator)];
        assert_eq!(
            told(&allowed, &[on("spam", false)], &[]),
            ["netguard allow del 192.0.2.1/32"]
        );
    }
}
