//! Who is blocked for what, and who is not.

use std::collections::HashMap;

use netguard_common::Verdict;

use super::*;
use crate::engine::{
    Cause, GuardKind,
    l7::Offence,
    reputation::{Excess, Settings, Terms},
};

const SECOND: u64 = 1_000_000_000;

fn account(text: &str) -> Account {
    Account::of(text.parse().expect("an address"))
}

fn finding(source: &str) -> Finding {
    Finding {
        account: account(source),
        source: source.parse().expect("an address"),
        cause: Cause::Limit(Verdict::LimitSyn),
        over_for_ns: 1,
        dropped: 1,
        per_s: 0,
        opened_per_s: 0,
    }
}

/// Found in review: an office whose hundred connections asked for three requests a second each was taken for a flood.
#[test]
fn many_connections_are_many_people_unless_each_asks_as_no_person_does() {
    for (per_s, connections, is_blocked) in [
        (300, 100, false),
        (999, 100, false),
        (1_000, 100, true),
        // Who opens one for each request has hardly any at a time.
        (499, 2, false),
        (500, 0, true),
    ] {
        let finding = Finding {
            cause: Cause::Application(Offence::HttpFlood),
            dropped: 10 * per_s,
            per_s,
            ..finding("192.0.2.1")
        };
        let connected = [("192.0.2.1", connections)];
        let mut reputation = reputation(settings(), &connected[..usize::from(connections > 0)]);
        let decisions = decide(vec![finding], &guard(&[]), &mut reputation, SECOND);
        assert_eq!(
            matches!(decisions[0].action, Action::Block { .. }),
            is_blocked,
            "{decisions:?}"
        );
    }
}

/// Five hundred connections that say nothing make nobody the address of many people; those of some may be beside as many that do something, also when they
/// ended just now.
#[test]
fn who_holds_connections_that_do_nothing_is_blocked_however_many_they_are() {
    for (silent, of, connections, is_blocked) in [
        (500, 500, 500, true),
        (500, 500, 1, true),
        (40, 490, 450, false),
        (80, 180, 100, false),
        (90, 100, 70, true),
    ] {
        let finding = Finding {
            cause: Cause::SlowConnections { silent, of },
            ..finding("192.0.2.1")
        };
        let mut reputation = reputation(settings(), &[("192.0.2.1", connections)]);
        let decisions = decide(vec![finding], &guard(&[]), &mut reputation, SECOND);
        assert_eq!(
            decisions[0].action == block("192.0.2.1"),
            is_blocked,
            "{decisions:?}"
        );
    }
}

fn guard(guarded: &[&str]) -> Guard {
    let guarded = guarded.iter();
    Guard::new(guarded.map(|text| (text.parse().expect("a prefix"), GuardKind::OwnAddress)))
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.terms = Terms {
        block_for_ns: 60 * SECOND,
        ..settings.terms
    };
    settings
}

/// Who has how many connections.
fn reputation(settings: Settings, connected: &[(&str, u32)]) -> Reputation {
    let mut reputation = Reputation::new(settings, 0, 7);
    let connected = connected.iter();
    let connected: HashMap<_, _> = connected
        .map(|(source, count)| (source.parse().expect("an address"), *count))
        .collect();
    reputation.connect(connected, 0);
    reputation
}

fn action(source: &str, proven: &[&str], guarded: &[&str]) -> Action {
    let connected: Vec<_> = proven.iter().map(|source| (*source, 1)).collect();
    let mut reputation = reputation(settings(), &connected);
    let mut decisions = decide(vec![finding(source)], &guard(guarded), &mut reputation, SECOND);
    decisions.remove(0).action
}

fn block(prefix: &str) -> Action {
    Action::Block {
        prefix: prefix.parse().expect("a prefix"),
        ttl_ns: 60 * SECOND,
    }
}

/// Found in review: three hundred people behind one address, each with a short connection a second, were blocked for being over its limit.
#[test]
fn who_opens_one_connection_after_another_is_many() {
    for (opened_per_s, dropped, is_blocked) in [
        (0, 800, true),
        (19, 800, true),
        (20, 800, false),
        (200, 8_000, false),
        // Some connections, and a flood beside.
        (20, 50_000, true),
    ] {
        let finding = Finding {
            opened_per_s,
            dropped,
            over_for_ns: SECOND,
            ..finding("192.0.2.1")
        };
        let mut reputation = reputation(settings(), &[("192.0.2.1", 1)]);
        let decisions = decide(vec![finding], &guard(&[]), &mut reputation, SECOND);
        let action = &decisions[0].action;
        assert_eq!(matches!(action, Action::Block { .. }), is_blocked, "{action:?}");
        let score = reputation.standing(account("192.0.2.1"), SECOND).0;
        assert_eq!(score > 0, is_blocked, "{score}");
    }
}

#[test]
fn only_proven_sources_are_blocked() {
    assert_eq!(
        action("192.0.2.1", &[], &[]),
        Action::Withhold(Withheld::Unproven)
    );
    assert_eq!(action("192.0.2.1", &["192.0.2.1"], &[]), block("192.0.2.1"));
    assert_eq!(
        action("2001:db8::1", &["2001:db8::99"], &[]),
        block("2001:db8::/64")
    );
}

#[test]
fn guarded_prefixes_are_never_touched() {
    assert!(matches!(
        action("8.8.8.8", &["8.8.8.8"], &["8.8.8.8"]),
        Action::Withhold(Withheld::Guarded { .. })
    ));
    assert_eq!(
        action("2001:db8::5", &["2001:db8::5"], &["2001:db8::1"]),
        block("2001:db8::5")
    );
    assert!(matches!(
        action("2001:db8::1", &["2001:db8::1"], &["2001:db8::/32"]),
        Action::Withhold(Withheld::Guarded { .. })
    ));
}

/// Found in review: where the server lies in the /64 itself, or somebody guarded does, any connected neighbour proved all of it, and whoever
/// was forged was blocked, without number.
#[test]
fn of_a_shared_64_only_the_address_with_the_connection_is_blocked() {
    let guarded = ["2001:db8::1"];
    assert_eq!(
        action("2001:db8::66", &["2001:db8::1", "2001:db8::2"], &guarded),
        Action::Withhold(Withheld::Unproven)
    );
    assert_eq!(
        action("2001:db8::66", &["2001:db8::66"], &guarded),
        block("2001:db8::66")
    );
    let neighbours: Vec<String> = (0x10..0x60).map(|host| format!("2001:db8::{host:x}")).collect();
    let connected: Vec<_> = neighbours.iter().map(|source| (source.as_str(), 1)).collect();
    let mut reputation = reputation(settings(), &connected);
    let mut blocked = Vec::new();
    for source in &neighbours {
        let decided = decide(vec![finding(source)], &guard(&guarded), &mut reputation, SECOND);
        assert_eq!(decided.len(), 1);
        blocked.extend(decided.into_iter().filter_map(|decision| match decision.action {
            Action::Block { prefix, .. } => Some((prefix, decision.repeats)),
            Action::Withhold(_) => None,
        }));
    }
    let most = settings().caps.at_least as usize;
    assert_eq!(blocked.len(), most, "every new rule takes room");
    assert!(
        blocked
            .iter()
            .all(|(prefix, repeats)| prefix.is_host() && *repeats == 0)
    );
    let view = reputation.view(account("2001:db8::2"), SECOND);
    assert_eq!(
        (view.score, view.record.penalty.total),
        (0, 0),
        "nobody answers for a neighbour"
    );
}

#[test]
fn what_was_found_unproven_does_not_count_once_it_is_proven() {
    let mut strict = settings();
    strict.block_from = 80;
    let mut reputation = reputation(strict, &[]);
    let found = || vec![finding("192.0.2.1")];
    for second in 1..100 {
        decide(found(), &guard(&[]), &mut reputation, second * SECOND);
    }
    reputation.connect(
        HashMap::from([("192.0.2.1".parse().expect("an address"), 1)]),
        100 * SECOND,
    );
    let decided = decide(found(), &guard(&[]), &mut reputation, 100 * SECOND);
    assert_eq!(
        decided[0].action,
        Action::Withhold(Withheld::Below { score: 60, from: 80 })
    );
    let decided = decide(found(), &guard(&[]), &mut reputation, 101 * SECOND);
    assert_eq!(decided[0].action, block("192.0.2.1"));
}

#[test]
fn a_shared_source_is_limited() {
    let mut reputation = reputation(settings(), &[("192.0.2.1", 64), ("192.0.2.2", 63)]);
    let found = vec![finding("192.0.2.1"), finding("192.0.2.2")];
    let decided = decide(found, &guard(&[]), &mut reputation, SECOND);
    let shared = Withheld::Shared {
        connections: 64,
        from: 64,
    };
    assert_eq!(decided[0].action, Action::Withhold(shared));
    assert_eq!(decided[1].action, block("192.0.2.2"));
}

#[test]
fn shadow_and_off_block_nobody_and_say_so() {
    for mode in [Mode::Shadow, Mode::Off] {
        let settings = Settings { mode, ..settings() };
        let mut reputation = reputation(settings, &[("192.0.2.1", 1)]);
        let decided = decide(vec![finding("192.0.2.1")], &guard(&[]), &mut reputation, SECOND);
        let Action::Withhold(why) = &decided[0].action else {
            panic!("{decided:?}");
        };
        assert!(why.describe().contains("reputation.mode"));
        assert_eq!(reputation.counts().0, usize::from(mode == Mode::Shadow));
    }
}

/// Eight of a network, and then all of it, unless somebody guarded or connected is in it.
#[test]
fn a_network_is_blocked_after_many_of_its_sources() {
    let flooders: Vec<String> = (1..=8).map(|host| format!("192.0.2.{host}")).collect();
    let network = |bystander: &str, guarded: &[&str]| {
        let mut connected: Vec<_> = flooders.iter().map(|source| (source.as_str(), 1)).collect();
        connected.push((bystander, 1));
        let mut reputation = reputation(settings(), &connected);
        let found = flooders.iter().map(|source| finding(source)).collect();
        let mut decided = decide(found, &guard(guarded), &mut reputation, SECOND);
        assert_eq!(decided.len(), 9, "{decided:?}");
        decided.remove(8).action
    };
    assert_eq!(network("198.51.100.1", &[]), block("192.0.2.0/24"));
    assert!(matches!(
        network("192.0.2.200", &[]),
        Action::Withhold(Withheld::Radius {
            excess: Excess::Bystanders {
                touched: 1,
                allowed: 0
            },
            ..
        })
    ));
    assert!(matches!(
        network("198.51.100.1", &["192.0.2.77"]),
        Action::Withhold(Withheld::Guarded { .. })
    ));
}

#[test]
fn what_shadow_keeps_from_happening_is_counted() {
    let flooders: Vec<String> = (1..=8).map(|host| format!("192.0.2.{host}")).collect();
    let connected: Vec<_> = flooders.iter().map(|source| (source.as_str(), 1)).collect();
    let counted = |mode| {
        let settings = Settings { mode, ..settings() };
        let mut reputation = reputation(settings, &connected);
        let found = flooders.iter().map(|source| finding(source)).collect();
        decide(found, &guard(&[]), &mut reputation, SECOND);
        let outcomes = reputation.outcomes();
        let mut outcomes: Vec<_> = outcomes.map(|(name, count)| format!("{count} {name}")).collect();
        outcomes.sort_unstable();
        outcomes
    };
    assert_eq!(counted(Mode::Enforce), ["1 network-blocked", "8 blocked"]);
    assert_eq!(counted(Mode::Shadow), ["1 network-shadow", "8 shadow"]);
}
