//! What a score is made of, who gives way, and what is told.

use std::collections::HashMap;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn account(number: u32) -> Account {
    Account::of(std::net::Ipv4Addr::from(0x0a00_0000 + number).into())
}

fn flood(proven: bool) -> Evidence {
    Evidence {
        kind: Kind::Flood,
        proven,
        detail: "limit-syn".to_owned(),
        packets: 100,
    }
}

fn reputation(accounts: usize) -> Reputation {
    let settings = Settings {
        accounts,
        ..Settings::default()
    };
    Reputation::new(settings, 0, 1)
}

#[test]
fn the_lowest_and_oldest_scores_give_way() {
    let mut reputation = reputation(1_000);
    for number in 0..100 {
        reputation.take(account(number), &flood(true), SECOND);
    }
    for number in 100..100_000 {
        reputation.take(account(number), &flood(false), SECOND + u64::from(number));
        assert!(reputation.counts().0 <= 1_000);
    }
    let (known, displaced) = reputation.counts();
    assert!(known > 800 && displaced > 90_000, "{known} {displaced}");
    let kept = (0..100).filter(|number| reputation.view(account(*number), 2 * SECOND).proven_score > 0);
    assert_eq!(kept.count(), 100, "what is proven outlasts what may be forged");
    let newest = reputation.view(account(99_999), 2 * SECOND);
    assert_eq!((newest.score, newest.proven_score), (40, 0));
    assert_eq!(reputation.view(account(200), 2 * SECOND).score, 0);
}

#[test]
fn who_was_blocked_is_blocked_again_sooner() {
    let mut reputation = reputation(100);
    let one = account(1);
    reputation.take(one, &flood(true), 0);
    assert_eq!(reputation.standing(one, 0), (60, 50));
    let first = Sentence {
        ttl_ns: 60 * SECOND,
        repeats: 0,
        extends: false,
    };
    assert_eq!(reputation.penalise(one, 0), Ok(first));
    let again = reputation.penalise(one, 0).expect("it stands");
    assert_eq!(
        again,
        Sentence {
            extends: true,
            ..first
        }
    );
    assert_eq!(reputation.standing(one, 60 * SECOND).1, 30);
    let later = 1_000 * SECOND;
    assert!(reputation.standing(one, later).0 < 30);
    assert_eq!(
        reputation.standing(one, later).1,
        50,
        "it has been below the exit"
    );
    reputation.take(one, &flood(true), later);
    assert_eq!(reputation.standing(one, later).1, 50);
    let second = reputation.penalise(one, later).expect("within the caps");
    assert!((108..=132).contains(&(second.ttl_ns / SECOND)) && second.repeats == 1 && !second.extends);
    let view = reputation.view(one, later);
    assert!(view.blocked);
    assert_eq!((view.record.penalty.total, view.next_block_ns), (2, 240 * SECOND));
}

#[test]
fn a_block_that_failed_is_no_penalty() {
    let mut reputation = reputation(100);
    let one = account(1);
    reputation.take(one, &flood(true), 0);
    let before = reputation.penalty(one);
    reputation.penalise(one, 0).expect("within the caps");
    reputation.spare(one, &one.prefix(), before, 0);
    assert_eq!(reputation.penalty(one), Penalty::default());
}

#[test]
fn changes_are_told_once_and_taken_over_by_the_next() {
    let mut before = reputation(100);
    before.take(account(1), &flood(true), 5 * SECOND);
    before.take(account(2), &flood(false), 5 * SECOND);
    before.penalise(account(1), 5 * SECOND).expect("within the caps");
    let changes = before.changes();
    assert_eq!(changes.len(), 2);
    assert!(before.changes().is_empty());
    before.forget(account(2));
    assert_eq!(before.changes(), [(account(2), None)]);

    // The clock of the next process begins anew; its epoch puts it behind the times of the one before.
    let mut next = Reputation::new(Settings::default(), 65 * SECOND, 1);
    let records = changes
        .into_iter()
        .filter_map(|(account, record)| Some((account, record?)));
    next.adopt(records, SECOND);
    let view = next.view(account(1), SECOND);
    assert_eq!((view.score, view.blocked), (57, false));
    assert_eq!(view.next_block_ns, 120 * SECOND, "a penalty outlives the process");
}

#[test]
fn a_wall_clock_that_was_wrong_makes_nothing_immortal() {
    let mut wrong = Reputation::new(Settings::default(), u64::MAX / 2, 1);
    wrong.take(account(1), &flood(true), SECOND);
    wrong.penalise(account(1), SECOND).expect("within the caps");
    let records: Vec<_> = wrong.whole();
    let mut next = reputation(100);
    next.adopt(records, SECOND);
    assert_eq!(next.view(account(1), SECOND).score, 60);
    assert_eq!(next.view(account(1), 86_400 * SECOND).score, 0);
    next.tidy(3 * 86_400 * SECOND);
    assert_eq!(next.counts().0, 0);
}

#[test]
fn a_network_is_as_bad_as_its_sources() {
    let mut reputation = reputation(1_000);
    let neighbours: Vec<Account> = (0..12).map(account).collect();
    for neighbour in &neighbours[..4] {
        reputation.take(*neighbour, &flood(true), 0);
        reputation.take(*neighbour, &flood(true), 0);
    }
    assert_eq!(reputation.network_score(neighbours[11], 0), 42);
    assert_eq!(reputation.network_score(account(700), 0), 0);
    for neighbour in &neighbours {
        for _ in 0..9 {
            reputation.take(*neighbour, &flood(true), 0);
        }
    }
    assert_eq!(reputation.network_score(neighbours[0], 0), 100);
}

#[test]
fn the_worst_come_first() {
    let mut reputation = reputation(1_000);
    for number in 0..50 {
        reputation.take(account(number), &flood(number == 7), SECOND);
    }
    reputation.take(account(9), &flood(true), SECOND);
    reputation.take(account(9), &flood(true), SECOND);
    let top = reputation.top(3, SECOND);
    let accounts: Vec<Account> = top.iter().map(|view| view.account).collect();
    assert_eq!(accounts[..2], [account(9), account(7)]);
    assert_eq!(top.len(), 3);
    assert!(reputation.top(0, SECOND).is_empty());
    assert_eq!(reputation.forget_all(), 50);
    assert_eq!(reputation.top(9, SECOND).len(), 0);
}

#[test]
fn who_is_connected_is_looked_up() {
    let mut reputation = reputation(10);
    assert_eq!(reputation.connections(account(1)), 0);
    reputation.connect(HashMap::from([(account(1), 3)]));
    assert_eq!(reputation.connections(account(1)), 3);
}
