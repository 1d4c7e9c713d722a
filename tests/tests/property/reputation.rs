//! Reputation and policy: whatever is found, whenever, scores stay in their bounds and fade, nobody is blocked on what may be forged or
//! against the guard list, and no input blocks more than the caps.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use netguard::engine::{
    Account, Action, Cause, Decision, Finding, Guard, GuardKind, Reputation, decide,
    reputation::{Caps, Evidence, Kind, REASONS, Record, Settings},
};
use netguard::prefix::Prefix;
use netguard_common::Verdict;
use proptest::{collection::vec, prelude::*};

const SECOND: u64 = 1_000_000_000;

/// Something that happens to the policy.
#[derive(Clone, Debug)]
enum Step {
    /// So many seconds pass.
    Pass(u16),
    /// Sources have so many connections from now on, and nobody else has any.
    Connect(Vec<(u8, u8)>),
    /// Sources are found flooding.
    Find(Vec<u8>),
    /// Something else speaks against a source.
    Hear(u8, usize, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let connect = vec((any::<u8>(), 0_u8..90), 0..200).prop_map(Step::Connect);
    let step = prop_oneof![
        3 => (0_u16..2_000).prop_map(Step::Pass),
        3 => (0_u16..20).prop_map(Step::Pass),
        2 => connect,
        6 => vec(any::<u8>(), 1..80).prop_map(Step::Find),
        1 => (any::<u8>(), 0_usize..4, any::<bool>()).prop_map(|(source, kind, proven)| Step::Hear(source, kind, proven)),
    ];
    vec(step, 1..60)
}

/// Four networks of IPv4 and two of IPv6.
fn source(number: u8) -> IpAddr {
    let host = number % 40;
    match number / 43 {
        network @ 0..=3 => Ipv4Addr::new(192, 0, network, host).into(),
        network => Ipv6Addr::new(0x2001, 0xdb8, network.into(), host.into(), 0, 0, 0, 1).into(),
    }
}

fn guard() -> Guard {
    let guarded = ["192.0.0.7", "192.0.3.0/28", "2001:db8:4:3::1"];
    Guard::new(guarded.map(|text| (text.parse().expect("a prefix"), GuardKind::Configured)))
}

fn settings() -> impl Strategy<Value = Settings> {
    (1_u32..30, 0_u32..100, 0_u32..100, 0_u32..4, 2_u32..12, 1_u8..=100).prop_map(
        |(at_least, sources_percent, bystanders_percent, networks, network_after, block_from)| {
            let caps = Caps {
                sources_percent,
                at_least,
                bystanders_percent,
                networks,
            };
            Settings {
                caps,
                network_after,
                block_from,
                accounts: 64,
                ..Settings::default()
            }
        },
    )
}

/// What came of it, and what was so at that moment.
struct Moment {
    now_ns: u64,
    connected: HashMap<IpAddr, u32>,
    decisions: Vec<Decision>,
}

fn play(settings: Settings, steps: &[Step]) -> (Reputation, Vec<Moment>) {
    let mut reputation = Reputation::new(settings, 0, 5);
    let (guard, mut now_ns, mut connected) = (guard(), SECOND, HashMap::new());
    let mut moments = Vec::new();
    for step in steps {
        match step {
            Step::Pass(seconds) => now_ns += u64::from(*seconds) * SECOND,
            Step::Connect(peers) => {
                let peers = peers.iter().filter(|(_, count)| *count > 0);
                connected = peers
                    .map(|(number, count)| (source(*number), u32::from(*count)))
                    .collect();
                reputation.connect(connected.clone(), now_ns);
            }
            Step::Find(numbers) => {
                let findings = numbers.iter().map(|number| Finding {
                    account: Account::of(source(*number)),
                    source: source(*number),
                    cause: Cause::Limit(Verdict::LimitUdp),
                    over_for_ns: SECOND,
                    opened_per_s: 0,
                    dropped: 1_000,
                    per_s: 0,
                });
                let decisions = decide(findings.collect(), &guard, &mut reputation, now_ns);
                let connected = connected.clone();
                moments.push(Moment {
                    now_ns,
                    connected,
                    decisions,
                });
            }
            Step::Hear(number, kind, proven) => {
                let evidence = Evidence {
                    kind: Kind::ALL[*kind],
                    proven: *proven,
                    detail: String::new(),
                    packets: 1,
                };
                reputation.take(Account::of(source(*number)), &evidence, now_ns);
            }
        }
    }
    (reputation, moments)
}

fn blocks(moment: &Moment) -> impl Iterator<Item = (&Decision, Prefix, u64)> {
    moment
        .decisions
        .iter()
        .filter_map(|decision| match decision.action {
            Action::Block { prefix, ttl_ns } => Some((decision, prefix, ttl_ns)),
            Action::Withhold(_) => None,
        })
}

proptest! {
    #[test]
    fn nobody_is_blocked_who_is_guarded_unproven_or_shared(settings in settings(), steps in steps()) {
        let guard = guard();
        for moment in play(settings, &steps).1 {
            for (decision, prefix, ttl_ns) in blocks(&moment) {
                prop_assert!(guard.objection(&prefix).is_none(), "{decision:?} is guarded");
                if decision.network.is_some() {
                    prop_assert_eq!(ttl_ns, settings.terms.block_for_ns);
                    continue;
                }
                // Of exactly what is blocked, be that all of an account or one address of it.
                let connected = moment.connected.iter().filter(|(address, _)| prefix.contains(**address));
                let connections: u32 = connected.map(|(_, connections)| connections).sum();
                prop_assert!(connections > 0, "{decision:?} is not proven");
                prop_assert!(connections < settings.shared_from, "{decision:?} is shared");
                prop_assert!(prefix.contains(decision.finding.source));
                let longest_ns = settings.terms.at_most_ns.max(settings.terms.block_for_ns);
                prop_assert!(ttl_ns >= settings.terms.block_for_ns && ttl_ns <= longest_ns, "{decision:?}");
            }
        }
    }

    /// Counted from outside: whom blocks of a minute touch who was not blocked already.
    #[test]
    fn no_input_blocks_more_than_the_caps(settings in settings(), steps in steps()) {
        let mut standing: Vec<(Prefix, u64)> = Vec::new();
        let mut touched: Vec<(u64, Account)> = Vec::new();
        for moment in play(settings, &steps).1 {
            let now_ns = moment.now_ns;
            standing.retain(|(_, until_ns)| *until_ns > now_ns);
            let before = touched.len();
            for (_, prefix, ttl_ns) in blocks(&moment) {
                let is_free = |account: &Account| !standing.iter().any(|(blocked, _)| blocked.covers(&account.prefix()));
                let connected: BTreeSet<Account> = moment.connected.keys().copied().map(Account::of).collect();
                let covered = connected.iter().filter(|account| prefix.covers(&account.prefix()));
                touched.extend(covered.filter(|account| is_free(account)).map(|account| (now_ns, *account)));
                standing.push((prefix, now_ns + ttl_ns));
            }
            let lately = touched.iter().filter(|(then_ns, _)| now_ns - then_ns < 60 * SECOND);
            let allowed = moment.connected.len() as u64 * u64::from(settings.caps.sources_percent) / 100;
            let allowed = allowed.max(settings.caps.at_least.into());
            // Whom a block of this moment touches counts against who is connected at this moment. A block that stands and begins anew
            // touches nobody new.
            if touched.len() > before {
                let lately = lately.count() as u64;
                prop_assert!(lately <= allowed, "{lately} of {} sources, {allowed} allowed", moment.connected.len());
            }
            let networks: BTreeSet<Prefix> = standing
                .iter()
                .map(|(prefix, _)| *prefix)
                .filter(|prefix| matches!(prefix.bits(), 24 | 48))
                .collect();
            prop_assert!(networks.len() <= settings.caps.networks as usize, "{networks:?}");
        }
    }

    /// However many addresses of one /64 with somebody guarded in it are forged: each new rule takes room.
    #[test]
    fn every_new_rule_takes_room(
        settings in settings(),
        hosts in vec((2_u16..400, any::<bool>()), 1..120),
        gap_ns in 0..SECOND,
    ) {
        let guard = Guard::new([("2001:db8::1".parse().expect("a prefix"), GuardKind::OwnAddress)]);
        let address = |host: u16| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host));
        let connected: HashMap<IpAddr, u32> =
            hosts.iter().filter(|(_, connected)| *connected).map(|(host, _)| (address(*host), 1)).collect();
        let mut reputation = Reputation::new(settings, 0, 5);
        reputation.connect(connected.clone(), SECOND);
        let mut blocked: BTreeSet<Prefix> = BTreeSet::new();
        for (number, (host, _)) in (0..).zip(&hosts) {
            let source = address(*host);
            let finding = Finding {
                account: Account::of(source),
                source,
                cause: Cause::Limit(Verdict::LimitUdp),
                over_for_ns: SECOND,
                opened_per_s: 0,
                dropped: 1_000,
                per_s: 0,
            };
            let now_ns = SECOND + number * gap_ns / 4;
            for decision in decide(vec![finding], &guard, &mut reputation, now_ns) {
                if let Action::Block { prefix, .. } = decision.action {
                    prop_assert!(prefix.is_host() && connected.contains_key(&prefix.address()), "{decision:?}");
                    blocked.insert(prefix);
                }
            }
        }
        // All within a minute; they are one account, of which a share is none.
        let allowed = settings.caps.at_least as usize;
        prop_assert!(blocked.len() <= allowed, "{} of {allowed}", blocked.len());
    }

    #[test]
    fn scores_stay_in_their_bounds_and_fade_to_neutral(settings in settings(), steps in steps()) {
        let (mut reputation, moments) = play(settings, &steps);
        let now_ns = moments.last().map_or(SECOND, |moment| moment.now_ns) + 2_000 * 60 * SECOND;
        let mut at_ns = now_ns;
        let mut before: HashMap<Account, u8> = HashMap::new();
        for _ in 0..20 {
            for view in reputation.top(1_000, at_ns) {
                prop_assert!(view.score <= 100 && view.proven_score <= view.score && view.network_score <= 100);
                if let Some(before) = before.insert(view.account, view.score) {
                    prop_assert!(view.score <= before, "{} rises by itself", view.account);
                }
            }
            prop_assert!(reputation.counts().0 <= settings.accounts);
            at_ns += settings.half_life_ns * 6;
        }
        reputation.tidy(at_ns + settings.terms.remember_ns);
        prop_assert_eq!(reputation.counts().0, 0);
    }

    #[test]
    fn the_same_input_leads_to_the_same_decisions(settings in settings(), steps in steps()) {
        let decisions = || -> Vec<Decision> {
            play(settings, &steps).1.into_iter().flat_map(|moment| moment.decisions).collect()
        };
        prop_assert_eq!(decisions(), decisions());
    }

    /// Clocks that stand still, jump, and end.
    #[test]
    fn absurd_times_break_nothing(
        times in vec(prop_oneof![any::<u64>(), Just(0), Just(u64::MAX), 0..100 * SECOND], 1..60),
        epoch_ns in prop_oneof![Just(0), any::<u64>()],
        numbers in vec(any::<u8>(), 60),
    ) {
        let mut reputation = Reputation::new(Settings::default(), epoch_ns, 1);
        let connected: HashMap<_, _> = (0..=255).map(|number| (source(number), 1)).collect();
        reputation.connect(connected, 0);
        for (now_ns, number) in times.into_iter().zip(numbers) {
            let finding = Finding {
                account: Account::of(source(number)),
                source: source(number),
                cause: Cause::Limit(Verdict::LimitUdp),
                over_for_ns: u64::MAX,
                opened_per_s: 0,
                dropped: u64::MAX,
                per_s: 0,
            };
            for decision in decide(vec![finding], &guard(), &mut reputation, now_ns) {
                if let Action::Block { ttl_ns, .. } = decision.action {
                    prop_assert!(ttl_ns <= Settings::default().terms.at_most_ns);
                }
            }
            for view in reputation.top(9, now_ns) {
                prop_assert!(view.score <= 100);
            }
            reputation.tidy(now_ns);
        }
    }

    /// Whatever the file says: nothing of it is more, later or longer than can be, and it fades from now on.
    #[test]
    fn a_file_that_lies_is_bounded(
        numbers in vec(prop_oneof![any::<u64>(), Just(u64::MAX), 0..100 * SECOND], 6),
        level in any::<u32>(),
        in_row in any::<u32>(),
        suspect in any::<bool>(),
        traces in 0_usize..40,
    ) {
        let trace = serde_json::json!({"kind": "flood", "proven": suspect, "level": level, "at_ns": numbers[0]});
        let reason = serde_json::json!({
            "kind": "feed", "proven": true, "first_ns": numbers[1], "last_ns": numbers[2], "times": in_row, "packets": numbers[3],
            "detail": "x",
        });
        let record = serde_json::json!({
            "traces": vec![trace; traces], "reasons": vec![reason; traces], "suspect": suspect, "seen_ns": numbers[4],
            "penalty": {"in_row": in_row, "total": numbers[3], "begun_ns": numbers[4], "until_ns": numbers[5]},
        });
        let record: Record = serde_json::from_value(record).expect("a record");
        let (settings, account) = (Settings::default(), Account::of(source(1)));
        let mut reputation = Reputation::new(settings, 0, 1);
        reputation.adopt([(account, record)], SECOND);
        let view = reputation.view(account, SECOND);
        prop_assert!(view.score <= 100 && view.record.reasons.len() <= REASONS);
        prop_assert!(view.next_block_ns <= settings.terms.at_most_ns);
        let later_ns = SECOND + settings.terms.at_most_ns;
        prop_assert!(!reputation.view(account, later_ns).blocked, "no block outlasts the longest");
        let sentence = reputation.penalise(account, later_ns).expect("within the caps");
        prop_assert!(sentence.ttl_ns <= settings.terms.at_most_ns);
        let much_later_ns = later_ns + settings.terms.at_most_ns + settings.terms.remember_ns;
        prop_assert_eq!(reputation.view(account, much_later_ns).score, 0);
        reputation.tidy(much_later_ns);
        prop_assert_eq!(reputation.counts().0, 0);
    }
}

/// Three million forged sources after a thousand that are known for more.
#[test]
fn millions_of_sources_fill_no_memory_and_push_nobody_out_who_did_more() {
    const FORGED: u32 = 3_000_000;
    let settings = Settings {
        accounts: 4_096,
        ..Settings::default()
    };
    let mut reputation = Reputation::new(settings, 0, 1);
    let evidence = |proven| Evidence {
        kind: Kind::Flood,
        proven,
        detail: String::new(),
        packets: 1,
    };
    let bad = |number: u32| Account::of(IpAddr::from(Ipv4Addr::from(0xc612_0000 + number)));
    for number in 0..1_000 {
        reputation.take(bad(number), &evidence(true), SECOND);
    }
    for number in 0..FORGED {
        let source = match number % 2 {
            0 => Ipv4Addr::from(0x4000_0000 + number).into(),
            _ => IpAddr::from(Ipv6Addr::from((0x2a01_u128 << 112) | (u128::from(number) << 64))),
        };
        reputation.take(Account::of(source), &evidence(false), 2 * SECOND);
        if number.is_multiple_of(10_000) {
            assert!(reputation.counts().0 <= settings.accounts);
        }
    }
    let (kept, displaced) = reputation.counts();
    assert!(kept <= settings.accounts, "{kept}");
    assert!(
        displaced >= u64::from(FORGED) - settings.accounts as u64,
        "{displaced}"
    );
    assert!((0..1_000).all(|number| reputation.view(bad(number), 2 * SECOND).score > 0));
}
