//! What `explain` prints of fixed sources, held against the files in `golden`: whoever changes what is printed sees it there.
//!
//! To renew them: `NETGUARD_RENEW_GOLDEN=1 cargo test -p netguard --lib explain::tests`, and read what changed.

use std::{env, fs, path::Path};

use netguard_common::{
    layout::{Cookies, Mode, Rule, Settings},
    limit::Class,
    rule::{EXPIRY_SHIFT, Origin, Proof, Reason},
    shared::Field as _,
    signature::Signature,
    state::Reach,
};

use super::{
    connections::Holding,
    explanation::Explanation,
    facts::{DEAD, Facts},
    text::text,
};
use crate::{
    bpf::{Entry, LimitLevel, List},
    control::SourceReport,
    daemon::{ListMatch, ReasonReport, SourceReputation},
    signature,
};

fn golden(name: &str, facts: Facts) {
    let explanation = Explanation::of(facts);
    let json = serde_json::to_string_pretty(&explanation).expect("it can be written");
    let place = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/cli/explain/golden")
        .join(name);
    for (ending, printed) in [("txt", text(&explanation)), ("json", json)] {
        let (file, printed) = (place.with_extension(ending), printed + "\n");
        if env::var_os("NETGUARD_RENEW_GOLDEN").is_some() {
            fs::write(&file, printed).expect("it can be written");
            continue;
        }
        let expected = fs::read_to_string(&file).expect("it is in the repository");
        assert!(
            printed == expected,
            "{} says otherwise:\n{printed}",
            file.display()
        );
    }
}

/// A source of which nothing is known, under `mode` of all stages.
pub(super) fn fixed(address: &str, mode: Mode) -> Facts {
    let mut settings = Settings::ZERO;
    let number = mode as u32;
    (settings.sanity, settings.blocklist, settings.limit) = (number, number, number);
    (settings.suspicion.state, settings.suspicion.signatures) = (number, number);
    (settings.reflection.mode, settings.connections.mode) = (number, number);
    settings.suspicion.reach = Reach::All as u32;
    settings.cookies = Cookies::Auto as u32;
    settings.levels.dns_ports[0] = 53;
    Facts {
        address: address.parse().expect("an address"),
        now_ns: 1_000_000_000_000,
        settings,
        matching: Vec::new(),
        levels: Vec::new(),
        report: SourceReport::default(),
        connections: 0,
        is_proven: false,
        is_own: false,
        holdings: Vec::new(),
        signatures: Vec::new(),
    }
}

fn rule(list: List, prefix: &str, origin: Origin, left_s: u64, facts: &Facts) -> (List, Entry) {
    let ends_ns = facts.now_ns + left_s * 1_000_000_000;
    let by_detector = origin == Origin::Detector;
    let rule = Rule {
        origin: origin as u8,
        reason: if by_detector {
            Reason::Flooder
        } else {
            Reason::Requested
        } as u16,
        proof: if by_detector {
            Proof::Handshake
        } else {
            Proof::None
        } as u8,
        expires_at: if left_s == 0 {
            0
        } else {
            (ends_ns >> EXPIRY_SHIFT) as u32
        },
    };
    let entry = Entry {
        prefix: prefix.parse().expect("a prefix"),
        rule,
        note: (!by_detector).then(|| "ticket 4711".to_owned()),
    };
    (list, entry)
}

fn levels(used: [[u64; 2]; 4]) -> Vec<LimitLevel> {
    let classes = [Class::Syn, Class::Udp, Class::Icmp, Class::Control];
    let of = |(class, used): (Class, [u64; 2])| {
        let [own, prefix] = used;
        let own = LimitLevel {
            class,
            of_prefix: false,
            divisor: 1,
            rate_per_s: 50,
            burst: 200,
            used: own,
        };
        let (of_prefix, burst) = (true, 1_000);
        let prefix = LimitLevel {
            of_prefix,
            burst,
            used: prefix,
            ..own
        };
        [Some(own), Some(prefix).filter(|_| class != Class::Control)]
    };
    classes.into_iter().zip(used).flat_map(of).flatten().collect()
}

fn reputation(of: &str, network: &str) -> SourceReputation {
    SourceReputation {
        source: of.to_owned(),
        score: 76,
        proven_score: 60,
        network: Some(network.to_owned()),
        network_score: 7,
        connections: 2,
        blocked: true,
        blocked_times: 2,
        last_blocked: Some("2026-01-02T03:04:05Z".to_owned()),
        next_block_s: 240,
        limit_divisor: 4,
        not_blocked: None,
        reasons: vec![
            ReasonReport {
                kind: "flood".to_owned(),
                what: "it kept exceeding its limits".to_owned(),
                detail: "limit-syn".to_owned(),
                first: "2026-01-02T03:03:05Z".to_owned(),
                last: "2026-01-02T03:04:05Z".to_owned(),
                times: 3,
                packets: 9_000,
                proven: true,
                weight: 60,
                half_life_s: 600,
            },
            ReasonReport {
                kind: "feed".to_owned(),
                what: "it is on a published list".to_owned(),
                detail: "spam".to_owned(),
                first: "2026-01-01T00:00:00Z".to_owned(),
                last: "2026-01-01T00:00:00Z".to_owned(),
                times: 1,
                packets: 0,
                proven: false,
                weight: 15,
                half_life_s: 86_400,
            },
        ],
    }
}

#[test]
fn a_source_with_nothing_against_it() {
    let mut facts = fixed("192.0.2.1", Mode::Enforce);
    facts.levels = levels([[3, 3], [0, 40], [0, 0], [1, 0]]);
    (facts.connections, facts.is_proven) = (2, true);
    facts.holdings = vec![
        Holding::fixed("192.0.2.1/32", 2, 500, 0),
        Holding::fixed("192.0.2.0/24", 5, 5_000, 0),
    ];
    golden("clean", facts);
}

#[test]
fn an_operator_blocks_it() {
    let mut facts = fixed("2001:db8:0:1::7", Mode::Enforce);
    facts.levels = levels([[0, 0]; 4]);
    facts.matching = vec![rule(List::Block, "2001:db8::/32", Origin::Operator, 0, &facts)];
    golden("blocked-by-operator", facts);
}

#[test]
fn its_reputation_blocks_it() {
    let mut facts = fixed("198.51.100.9", Mode::Enforce);
    facts.levels = levels([[50, 300], [0, 0], [0, 0], [0, 0]]);
    let of_sources = facts.levels.iter_mut().filter(|level| !level.of_prefix);
    for level in of_sources.filter(|level| level.class != Class::Control) {
        (level.divisor, level.rate_per_s, level.burst) = (4, 12, 50);
    }
    facts.matching = vec![rule(List::Block, "198.51.100.9", Origin::Detector, 120, &facts)];
    (facts.connections, facts.is_proven) = (2, true);
    facts.holdings = vec![Holding::fixed("198.51.100.9/32", 2, 500, 30)];
    let report = &mut facts.report;
    report.evidence = vec![
        "2026-01-02T03:04:05Z blocked for 120 s: limit-syn dropped about 9000 packets in 2000 ms".to_owned(),
    ];
    report.connections = Some(2);
    report.campaigns = vec![7];
    report.reputation = Some(reputation("198.51.100.9/32", "198.51.100.0/24"));
    golden("blocked-by-reputation", facts);
}

#[test]
fn limits_hold_it_and_the_rest_is_in_shadow() {
    let mut facts = fixed("2001:db8:5::1", Mode::Shadow);
    facts.settings.limit = Mode::Enforce as u32;
    facts.levels = levels([[12, 12], [200, 1_000], [0, 0], [0, 0]]);
    facts.matching = vec![rule(List::Block, "2001:db8:5::/48", Origin::Config, 0, &facts)];
    facts.report.lists = vec![ListMatch {
        name: "spam".to_owned(),
        kind: "feed".to_owned(),
        shadow: true,
    }];
    facts.report.list_verdict = Some("shadow-block-feed".to_owned());
    let conditions = ["protocol=udp".to_owned(), "ttl=57".to_owned()];
    let drafted = signature::parse(&conditions, false).expect("a signature");
    let mode = Mode::Enforce as u32;
    facts.signatures = vec![(3, Signature { mode, ..drafted })];
    golden("limited-and-shadow", facts);
}

#[test]
fn an_operator_allows_it_and_it_is_guarded() {
    let mut facts = fixed("203.0.113.5", Mode::Enforce);
    facts.levels = levels([[0, 0], [200, 0], [0, 0], [0, 0]]);
    facts.matching = vec![rule(List::Allow, "203.0.113.5", Origin::Operator, 3_600, &facts)];
    facts.report.guarded = Some(
        "no detector may block it: 203.0.113.5/32 is an address that somebody is logged in from".to_owned(),
    );
    golden("allowed-and-guarded", facts);
}

#[test]
fn no_daemon_runs() {
    let mut facts = fixed("192.0.2.77", Mode::Enforce);
    facts.levels = levels([[0, 0]; 4]);
    facts.report.lists_unknown = Some(DEAD.to_owned());
    golden("without-daemon", facts);
}
