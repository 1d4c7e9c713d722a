//! The verdict on a source as the stages of the datapath would come to it, by what stands in the kernel's tables.

use netguard_common::{
    Verdict,
    layout::{Mode, Settings},
    rule::Origin,
};

use crate::{
    bpf::{Entry, LimitLevel, List},
    control::SourceReport,
};

/// What the lists say of a source.
pub(super) enum Lists<'a> {
    Unknown,
    /// A verdict, behind `shadow-` when it is only counted, if any list is against it.
    Known(Option<&'a str>),
}

impl<'a> Lists<'a> {
    pub(super) fn of(report: &'a SourceReport) -> Self {
        match report.lists_unknown {
            Some(_) => Self::Unknown,
            None => Self::Known(report.list_verdict.as_deref()),
        }
    }
}

/// Follows the stages of the datapath in their order: the first that enforces decides, else the first in shadow is told.
pub(super) fn verdict(
    settings: &Settings,
    matching: &[(List, Entry)],
    lists: &Lists<'_>,
    levels: &[LimitLevel],
) -> String {
    if matching.iter().any(|(list, _)| *list == List::Allow) {
        return Verdict::PassAllow.name().to_owned();
    }
    let listed = match lists {
        Lists::Unknown => None,
        // A country's limit bites when it is used up by all its sources together.
        Lists::Known(listed) => listed.filter(|listed| !listed.contains("limit-")),
    };
    let stages = [
        blocked(matching).and_then(|verdict| under(settings.blocklist, verdict)),
        listed.map(str::to_owned),
        levels
            .iter()
            .filter(|level| level.used >= level.burst)
            .find_map(|level| under(settings.limit, level.verdict())),
    ];
    let mut told = stages.into_iter().flatten();
    let mut first_in_shadow = None;
    let enforced = told.find(|name| {
        let enforces = !name.starts_with(SHADOW);
        if !enforces {
            first_in_shadow.get_or_insert_with(|| name.clone());
        }
        enforces
    });
    match (enforced, lists) {
        (Some(name), _) => name,
        (None, Lists::Unknown) => "unknown".to_owned(),
        (None, Lists::Known(_)) => first_in_shadow.unwrap_or_else(|| Verdict::Pass.name().to_owned()),
    }
}

const SHADOW: &str = "shadow-";

/// What the blocklist says.
pub(super) fn blocked(matching: &[(List, Entry)]) -> Option<Verdict> {
    let blocks = matching.iter().filter(|(list, _)| *list == List::Block);
    let verdicts = blocks.map(|(_, entry)| {
        let bits = entry.prefix.bits();
        if entry.prefix.is_host() || (bits == 64 && entry.prefix.address().is_ipv6()) {
            Verdict::BlockAddress
        } else {
            Verdict::BlockPrefix
        }
    });
    verdicts.min()
}

/// Whether a detector put it on the blocklist.
pub(super) fn blocked_by_detector(matching: &[(List, Entry)]) -> bool {
    matching
        .iter()
        .any(|(list, entry)| *list == List::Block && entry.rule.origin == Origin::Detector as u8)
}

/// The name of `verdict` under a policy's mode; `None` when the policy is off.
fn under(mode: u32, verdict: Verdict) -> Option<String> {
    match Mode::from_number(mode) {
        Mode::Off => None,
        Mode::Shadow => Some(format!("{SHADOW}{}", verdict.name())),
        Mode::Enforce => Some(verdict.name().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use netguard_common::{layout::Rule, limit::Class, shared::Field as _};

    use super::*;

    fn entry(prefix: &str) -> Entry {
        Entry {
            prefix: prefix.parse().expect("a prefix"),
            rule: Rule::ZERO,
            note: None,
        }
    }

    fn settings(mode: Mode) -> Settings {
        Settings {
            blocklist: mode as u32,
            limit: mode as u32,
            ..Settings::ZERO
        }
    }

    fn level(used: u64) -> LimitLevel {
        LimitLevel {
            class: Class::Syn,
            of_prefix: false,
            rate_per_s: 50,
            burst: 200,
            used,
        }
    }

    #[test]
    fn stages_decide_in_their_order() {
        let enforce = settings(Mode::Enforce);
        let block = (List::Block, entry("192.0.2.0/24"));
        let exact = (List::Block, entry("192.0.2.1"));
        let allow = (List::Allow, entry("192.0.2.0/25"));
        let on = |feed| Lists::Known(Some(feed));
        let (none, both) = (Lists::Known(None), [block.clone(), exact]);
        let block = std::slice::from_ref(&block);
        let verdict = |rules: &[_], lists: &Lists<'_>, used| verdict(&enforce, rules, lists, &[level(used)]);
        assert_eq!(verdict(&[], &none, 3), "pass");
        assert_eq!(verdict(&[], &none, 200), "limit-syn");
        assert_eq!(verdict(block, &none, 200), "block-prefix");
        assert_eq!(verdict(&both, &none, 3), "block-address");
        let allowed = [block, &[allow]].concat();
        assert_eq!(verdict(&allowed, &on("block-feed"), 200), "pass-allow");
        assert_eq!(verdict(&[], &on("block-feed"), 200), "block-feed");
        assert_eq!(verdict(&[], &on("limit-country"), 3), "pass");
        let mode = |mode, used| super::verdict(&settings(mode), block, &none, &[level(used)]);
        assert_eq!(mode(Mode::Shadow, 200), "shadow-block-prefix");
        assert_eq!(mode(Mode::Off, 200), "pass");
    }

    /// Found in review: what a list only counted hid that a limit drops.
    #[test]
    fn what_is_only_counted_hides_nothing() {
        let feed = Lists::Known(Some("shadow-block-feed"));
        let enforce = settings(Mode::Enforce);
        assert_eq!(verdict(&enforce, &[], &feed, &[level(3)]), "shadow-block-feed");
        assert_eq!(verdict(&enforce, &[], &feed, &[level(200)]), "limit-syn");
        let shadow = Settings {
            blocklist: Mode::Shadow as u32,
            ..enforce
        };
        let block = [(List::Block, entry("192.0.2.0/24"))];
        assert_eq!(
            verdict(&shadow, &block, &feed, &[level(3)]),
            "shadow-block-prefix"
        );
        assert_eq!(verdict(&shadow, &block, &feed, &[level(200)]), "limit-syn");
        let enforced = Lists::Known(Some("block-feed"));
        assert_eq!(verdict(&shadow, &block, &enforced, &[]), "block-feed");
    }

    /// Found in review: without a daemon, a source that a list blocks was said to pass.
    #[test]
    fn nothing_is_said_to_pass_by_lists_that_nobody_can_look_at() {
        let enforce = settings(Mode::Enforce);
        let block = [(List::Block, entry("192.0.2.0/24"))];
        let verdict = |rules: &[_], used| verdict(&enforce, rules, &Lists::Unknown, &[level(used)]);
        assert_eq!(verdict(&[], 3), "unknown");
        assert_eq!(verdict(&[], 200), "limit-syn");
        assert_eq!(verdict(&block, 3), "block-prefix");
    }
}
