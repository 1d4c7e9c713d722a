//! Tests of what the stages say.

use netguard_common::{
    layout::{Rule, Settings},
    shared::Field as _,
    signature::{FAMILY, Signature, TTL},
};

use super::{super::tests::fixed, *};
use crate::{bpf::LimitLevel, daemon::ListMatch};

fn entry(prefix: &str) -> Entry {
    Entry {
        prefix: prefix.parse().expect("a prefix"),
        rule: Rule::ZERO,
        note: None,
    }
}

fn level(used: u64) -> LimitLevel {
    LimitLevel {
        class: Class::Syn,
        of_prefix: false,
        divisor: 1,
        rate_per_s: 50,
        burst: 200,
        used,
    }
}

struct Case<'a> {
    rules: &'a [(List, Entry)],
    list: Option<&'a str>,
    used: u64,
}

fn facts(mode: Mode, case: &Case<'_>) -> Facts {
    let mut facts = fixed("192.0.2.1", mode);
    facts.matching = case.rules.to_vec();
    facts.levels = vec![level(case.used)];
    facts.report.list_verdict = case.list.map(str::to_owned);
    facts
}

fn judged(mode: Mode, rules: &[(List, Entry)], list: Option<&str>, used: u64) -> String {
    verdict(&stages(&facts(mode, &Case { rules, list, used })))
}

fn the<'a>(stages: &'a [Stage], name: &str) -> &'a Stage {
    stages.iter().find(|stage| stage.stage == name).expect("a stage")
}

#[test]
fn stages_decide_in_their_order() {
    let block = (List::Block, entry("192.0.2.0/24"));
    let exact = (List::Block, entry("192.0.2.1"));
    let allow = (List::Allow, entry("192.0.2.0/25"));
    let both = [block.clone(), exact];
    let block = std::slice::from_ref(&block);
    let verdict = |rules: &[_], list, used| judged(Mode::Enforce, rules, list, used);
    assert_eq!(verdict(&[], None, 3), "pass");
    assert_eq!(verdict(&[], None, 200), "limit-syn");
    assert_eq!(verdict(block, None, 200), "block-prefix");
    assert_eq!(verdict(&both, None, 3), "block-address");
    let allowed = [block, &[allow]].concat();
    assert_eq!(verdict(&allowed, Some("block-feed"), 200), "pass-allow");
    assert_eq!(verdict(&[], Some("block-feed"), 200), "block-feed");
    assert_eq!(verdict(&[], Some("limit-country"), 3), "pass");
    assert_eq!(judged(Mode::Shadow, block, None, 200), "shadow-block-prefix");
    assert_eq!(judged(Mode::Off, block, None, 200), "pass");
}

/// Found in review: what a list only counted hid that a limit drops.
#[test]
fn what_is_only_counted_hides_nothing() {
    let feed = Some("shadow-block-feed");
    assert_eq!(judged(Mode::Enforce, &[], feed, 3), "shadow-block-feed");
    assert_eq!(judged(Mode::Enforce, &[], feed, 200), "limit-syn");
    let block = [(List::Block, entry("192.0.2.0/24"))];
    let verdict_in_shadow = |list, used| {
        let rules = &block;
        let mut facts = facts(Mode::Enforce, &Case { rules, list, used });
        facts.settings.blocklist = Mode::Shadow as u32;
        verdict(&stages(&facts))
    };
    assert_eq!(verdict_in_shadow(feed, 3), "shadow-block-prefix");
    assert_eq!(verdict_in_shadow(feed, 200), "limit-syn");
    assert_eq!(verdict_in_shadow(Some("block-feed"), 0), "block-feed");
}

/// Found in review: without a daemon, a source that a list blocks was said to pass.
#[test]
fn nothing_is_said_to_pass_by_lists_that_nobody_can_look_at() {
    let block = [(List::Block, entry("192.0.2.0/24"))];
    let verdict = |rules: &[_], used| {
        let mut facts = facts(
            Mode::Enforce,
            &Case {
                rules,
                list: None,
                used,
            },
        );
        facts.report.lists_unknown = Some("no daemon".to_owned());
        verdict(&stages(&facts))
    };
    assert_eq!(verdict(&[], 3), "unknown");
    assert_eq!(verdict(&[], 200), "limit-syn");
    assert_eq!(verdict(&block, 3), "block-prefix");
}

#[test]
fn behind_the_stage_that_decides_nobody_is_asked() {
    let reached = |rules: &[_]| {
        let (list, used) = (None, 200);
        let stages = stages(&facts(Mode::Enforce, &Case { rules, list, used }));
        let reached = stages.iter().filter(|stage| stage.reached);
        reached.map(|stage| stage.stage).collect::<Vec<_>>()
    };
    assert_eq!(reached(&[(List::Allow, entry("192.0.2.1"))]), ["sanity", "allow"]);
    let mut block = entry("192.0.2.1");
    let before = ["sanity", "allow", "control", "own-source", "blocklist"];
    assert_eq!(reached(&[(List::Block, block.clone())]), before);
    // Connections that stand go on.
    block.rule.origin = Origin::Detector as u8;
    let spared = [&before[..], &["lists", "signatures", "state"]].concat();
    assert_eq!(reached(&[(List::Block, block)]), spared);
}

#[test]
fn addresses_that_nobody_can_have_are_told() {
    let mut facts = fixed("198.51.100.1", Mode::Enforce);
    facts.is_own = true;
    assert_eq!(verdict(&stages(&facts)), "own-source");
    for (address, told) in [
        ("127.0.0.1", "martian-source"),
        ("ff02::1", "martian-source"),
        ("0.0.0.0", "pass"),
        ("::", "pass"),
    ] {
        assert_eq!(
            verdict(&stages(&fixed(address, Mode::Enforce))),
            told,
            "{address}"
        );
    }
}

#[test]
fn the_limit_of_a_prefix_holds_for_strangers() {
    let mut facts = fixed("192.0.2.1", Mode::Enforce);
    facts.levels = vec![LimitLevel {
        of_prefix: true,
        ..level(200)
    }];
    assert_eq!(verdict(&stages(&facts)), "limit-prefix");
    facts.is_proven = true;
    assert_eq!(verdict(&stages(&facts)), "pass");
}

#[test]
fn who_may_open_no_connection_is_told_so() {
    let mut facts = fixed("192.0.2.1", Mode::Enforce);
    facts.holdings = vec![super::super::connections::Holding::fixed(
        "192.0.2.1/32",
        3,
        20,
        7,
    )];
    let told = stages(&facts);
    assert_eq!(the(&told, "connections").outcome, Outcome::Drops);
    assert_eq!(verdict(&told), "connection-limit");
    facts.settings.connections.mode = Mode::Shadow as u32;
    assert_eq!(the(&stages(&facts), "connections").outcome, Outcome::WouldDrop);
    let (family, source) = Address::of(facts.address);
    facts.settings.connections.spared[0] = source_key(family, source);
    assert_eq!(the(&stages(&facts), "connections").outcome, Outcome::Passes);
}

#[test]
fn signatures_are_told_as_far_as_they_can_be() {
    let signature = |mode: Mode, family: u64, ttl: Option<u64>, spares: u32| {
        let mut signature = Signature {
            mode: mode as u32,
            spares,
            ..Signature::ZERO
        };
        let fields = [(FAMILY, Some(family).filter(|family| *family != 0)), (TTL, ttl)];
        for (field, value) in fields {
            if let Some(value) = value {
                signature.mask[field.word] |= field.placed(field.most());
                signature.value[field.word] |= field.placed(value);
            }
        }
        signature
    };
    let told = |signatures: &[Signature], is_proven| {
        let mut facts = fixed("2001:db8::1", Mode::Enforce);
        facts.signatures = (0..).zip(signatures.iter().copied()).collect();
        facts.is_proven = is_proven;
        the(&stages(&facts), "signatures").outcome
    };
    let of_packets = signature(Mode::Enforce, 0, Some(7), 1);
    let of_ipv4 = signature(Mode::Enforce, 4, Some(7), 0);
    let of_all = signature(Mode::Enforce, 6, None, 0);
    let counted = signature(Mode::Shadow, 0, None, 1);
    assert_eq!(told(&[], false), Outcome::Passes);
    assert_eq!(told(&[of_ipv4], false), Outcome::Passes);
    assert_eq!(told(&[of_packets], false), Outcome::Depends);
    assert_eq!(told(&[of_packets], true), Outcome::Passes, "it is spared");
    assert_eq!(told(&[of_packets, of_all], false), Outcome::Drops);
    assert_eq!(told(&[counted], true), Outcome::WouldDrop);
    assert_eq!(told(&[of_packets, counted], false), Outcome::Depends);
}

#[test]
fn lists_are_named() {
    let mut facts = fixed("192.0.2.1", Mode::Enforce);
    facts.report.lists = vec![ListMatch {
        name: "spam".to_owned(),
        kind: "feed".to_owned(),
        shadow: true,
    }];
    facts.report.list_verdict = Some("shadow-block-feed".to_owned());
    let told = stages(&facts);
    let lists = the(&told, "lists");
    assert_eq!(
        (lists.outcome, lists.why.as_str()),
        (Outcome::WouldDrop, "feed spam")
    );
    facts.report.list_verdict = Some("limit-country".to_owned());
    assert_eq!(the(&stages(&facts), "lists").outcome, Outcome::Depends);
}

#[test]
fn what_is_off_says_nothing() {
    let facts = Facts {
        settings: Settings::ZERO,
        ..fixed("192.0.2.1", Mode::Off)
    };
    for stage in stages(&facts) {
        assert!(
            matches!(stage.outcome, Outcome::Off | Outcome::Passes),
            "{stage:?}"
        );
    }
}
