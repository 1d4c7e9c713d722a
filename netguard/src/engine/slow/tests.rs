//! Attacks that do little, and honest clients beside them.

use super::*;

const PORT: u16 = 80;
const SETTINGS: Settings = Settings {
    always: false,
    slow_after_ns: 30 * SECOND_NS,
    under_pressure: 100,
};

/// A client: its address, its connections, and what each has received and been answered after so many seconds.
struct Client {
    peer: IpAddr,
    connections: u64,
    moved: fn(u64) -> (u64, u64, u32),
}

fn client(peer: &str, connections: u64, moved: fn(u64) -> (u64, u64, u32)) -> Client {
    Client {
        peer: peer.parse().unwrap(),
        connections,
        moved,
    }
}

/// A header of which a line of 12 bytes comes every five seconds.
fn header(second: u64) -> (u64, u64, u32) {
    (200 + 12 * (second / 5), 1, 0)
}

/// A body of which a few bytes come.
fn body(second: u64) -> (u64, u64, u32) {
    (400 + 20 * (second / 5), 1, 0)
}

/// An answer of which a few bytes are taken.
fn answer(second: u64) -> (u64, u64, u32) {
    (150, 4_000 + 32 * second, 90_000)
}

/// The same over TLS: the handshake was answered.
fn header_in_tls(second: u64) -> (u64, u64, u32) {
    (900 + 40 * (second / 5), 3_000, 0)
}

/// A poor line: a line of the header every two seconds, answered after 16.
fn poor(second: u64) -> (u64, u64, u32) {
    (
        30 * (second / 2 + 1),
        if second % 20 >= 16 {
            600 * (second / 20 + 1)
        } else {
            600 * (second / 20) + 1
        },
        0,
    )
}

/// Requests one after the other.
fn busy(second: u64) -> (u64, u64, u32) {
    (300 * second, 5_000 * second, 0)
}

/// Looks once a second for `seconds`; the service has a queue of 511 with so many waiting. What is ended is gone, and told with the second.
fn ended(clients: &[Client], seconds: u64, waiting: u32, settings: &Settings) -> Vec<(u64, Ending)> {
    let mut slow = SlowConnections::default();
    let mut gone = HashSet::new();
    let mut told = Vec::new();
    for second in 0..seconds {
        let flows = clients.iter().enumerate().flat_map(|(number, client)| {
            (0..client.connections).map(move |connection| {
                let (received, acknowledged, unsent) = (client.moved)(second);
                Flow {
                    id: number as u64 * 100_000 + connection,
                    peer: client.peer,
                    port: PORT,
                    received,
                    acknowledged,
                    unsent,
                }
            })
        });
        let look = Look {
            now_ns: (100 + second) * SECOND_NS,
            flows: flows.filter(|flow| !gone.contains(&flow.id)).collect(),
            half_open: Vec::new(),
            queues: vec![Queue {
                port: PORT,
                waiting,
                backlog: 511,
            }],
        };
        let endings = slow.look(&look, settings, |peer| peer == IpAddr::from([10, 9, 9, 9]));
        gone.extend(endings.iter().map(|ending| ending.id));
        told.extend(endings.into_iter().map(|ending| (second, ending)));
    }
    told
}

fn attacked(moved: fn(u64) -> (u64, u64, u32)) -> [Client; 4] {
    [
        client("192.0.2.66", 1_000, moved),
        client("198.51.100.1", 4, poor),
        client("2001:db8::1", 6, busy),
        client("10.9.9.9", 50, moved),
    ]
}

#[test]
fn a_crowd_of_slow_connections_ends_and_honest_clients_do_not() {
    for (moved, within) in [
        (header as fn(u64) -> _, 3),
        (body, 3),
        (answer, 7),
        (header_in_tls, 12),
    ] {
        let told = ended(&attacked(moved), 60, 200, &SETTINGS);
        assert_eq!(told.len(), 1_000);
        for (second, ending) in told {
            assert_eq!(ending.peer, IpAddr::from([192, 0, 2, 66]));
            assert!(second <= within, "{second}: {ending:?}");
        }
    }
}

#[test]
fn many_that_are_stuck_are_pressure_by_themselves() {
    let told = ended(&attacked(header), 60, 0, &SETTINGS);
    assert!(
        told.len() == 1_000 && told.iter().all(|(second, _)| *second <= 3),
        "{}",
        told.len()
    );
    let told = ended(&attacked(answer), 60, 0, &SETTINGS);
    assert!(told.len() == 1_000 && told.iter().all(|(second, _)| *second <= 7));
    // After an answer an idle connection is nobody's trouble while the queue is empty.
    assert_eq!(ended(&attacked(header_in_tls), 60, 0, &SETTINGS), []);
    assert_eq!(ended(&[client("192.0.2.66", 200, header)], 60, 0, &SETTINGS), []);
}

#[test]
fn a_service_that_answers_nobody_is_under_no_pressure_by_silence() {
    let clients: Vec<Client> = (0..200)
        .map(|host| client(&format!("192.0.2.{host}"), 3, header))
        .collect();
    assert_eq!(ended(&clients, 60, 0, &SETTINGS), []);
    // Nor does a short queue with two in it say anything.
    assert_eq!(ended(&clients, 60, 3, &SETTINGS), []);
}

#[test]
fn many_sources_with_one_each_end_when_they_lasted() {
    let sources: Vec<Client> = (0..250)
        .map(|host| client(&format!("192.0.2.{host}"), 4, header))
        .chain([client("198.51.100.1", 4, poor)])
        .collect();
    let told = ended(&sources, 120, 200, &SETTINGS);
    assert_eq!(told.len(), 1_000);
    assert!(
        told.iter()
            .all(|(second, ending)| *second >= 30 && ending.reason == Reason::Slow)
    );
    // A sixteenth of what stands at each look, not all at once.
    assert_eq!(
        told.iter().filter(|(second, _)| *second == 30).count(),
        1_004 / 16
    );
}

#[test]
fn a_source_keeps_its_share_under_pressure_and_what_it_uses() {
    let clients = [
        client("192.0.2.66", 300, busy),
        client("192.0.2.67", 120, header_in_tls),
    ];
    let told = ended(&clients, 9, 200, &SETTINGS);
    assert_eq!(told.len(), 20);
    assert!(told.iter().all(|(_, ending)| ending.reason == Reason::Share
        && ending.peer == IpAddr::from([192, 0, 2, 67])));
}

#[test]
fn without_pressure_it_takes_always() {
    let always = Settings {
        always: true,
        ..SETTINGS
    };
    let clients = [client("192.0.2.66", 3, header), client("192.0.2.67", 3, busy)];
    assert_eq!(ended(&clients, 60, 0, &SETTINGS), []);
    let told = ended(&clients, 60, 0, &always);
    assert!(
        told.len() == 3 && told.iter().all(|(second, _)| *second == 30),
        "{told:?}"
    );
}

#[test]
fn half_open_connections_end_where_they_fill_the_queue() {
    let half_open = |count: u64, retries| Look {
        now_ns: SECOND_NS,
        half_open: (0..count)
            .map(|id| HalfOpen {
                id,
                peer: IpAddr::from([192, 0, 2, 1]),
                port: PORT,
                retries,
            })
            .collect(),
        queues: vec![Queue {
            port: PORT,
            waiting: 0,
            backlog: 128,
        }],
        ..Look::default()
    };
    let mut slow = SlowConnections::default();
    let mut count = |look: Look| slow.look(&look, &SETTINGS, |_| false).len();
    assert_eq!(count(half_open(96, 2)), 96);
    assert_eq!(count(half_open(96, 1)), 0, "its answer may be under way");
    assert_eq!(count(half_open(50, 5)), 0, "they are in nobody's way");
}

#[test]
fn what_is_remembered_is_bounded() {
    let flows = (0..FOLLOWED as u64 + 100).map(|id| Flow {
        id,
        peer: IpAddr::from([192, 0, 2, 1]),
        port: PORT,
        received: u64::MAX,
        acknowledged: u64::MAX,
        unsent: u32::MAX,
    });
    let mut look = Look {
        now_ns: u64::MAX,
        flows: flows.collect(),
        ..Look::default()
    };
    let mut slow = SlowConnections::default();
    slow.look(&look, &SETTINGS, |_| false);
    assert_eq!(slow.seen.len(), FOLLOWED);
    // A clock that goes back, and numbers that fall, end nothing.
    (look.now_ns, look.flows) = (
        0,
        look.flows[..10]
            .iter()
            .map(|flow| Flow { received: 0, ..*flow })
            .collect(),
    );
    assert_eq!(slow.look(&look, &SETTINGS, |_| false), []);
    assert_eq!(slow.seen.len(), 10);
}

/// What sources do at a service: how many of them, with how many connections each, and what these have moved after so many seconds.
type Sources = (u8, u64, fn(u64) -> (u64, u64, u32));

/// Whether one of `attackers` is found beside `others`. What ends is opened anew if they `come_back`, and `new_per_s` of each at a time.
fn is_found(attackers: Sources, others: &[Sources], come_back: bool, new_per_s: u64) -> bool {
    let mut slow = SlowConnections::default();
    let mut begun: HashMap<u64, (u64, u64)> = HashMap::new();
    let mut found = Vec::new();
    // Shorter than what ends connections of many sources.
    for second in 0..28 {
        let mut flows = Vec::new();
        for (group, (sources, connections, moved)) in [attackers].iter().chain(others).enumerate() {
            for number in 0..u64::from(*sources) * connections {
                let host = (number / connections) as u8;
                let key = group as u64 * 100_000 + number;
                let first_s = if group == 0 {
                    number % connections / new_per_s
                } else {
                    0
                };
                let (times, at_s) = *begun.entry(key).or_insert((0, first_s));
                if second < at_s {
                    continue;
                }
                let (received, acknowledged, unsent) = moved(second - at_s);
                flows.push(Flow {
                    id: key + 1_000_000 * times,
                    peer: IpAddr::from([192, 0, group as u8, host]),
                    port: PORT,
                    received,
                    acknowledged,
                    unsent,
                });
            }
        }
        let queues = vec![Queue {
            port: PORT,
            waiting: 300,
            backlog: 511,
        }];
        let now_ns = (100 + second) * SECOND_NS;
        let look = Look {
            now_ns,
            flows,
            queues,
            ..Look::default()
        };
        for ending in slow.look(&look, &SETTINGS, |_| false) {
            let (times, at_s) = begun.get_mut(&(ending.id % 1_000_000)).expect("it was there");
            (*times, *at_s) = (*times + 1, if come_back { second + 1 } else { u64::MAX });
        }
        found.extend(slow.take_offenders());
    }
    assert!(
        found
            .iter()
            .all(|offender| matches!(offender.peer, IpAddr::V4(peer) if peer.octets()[2] == 0))
    );
    !found.is_empty()
}

/// Found with attack tools of others: what ended came back, wave after wave.
#[test]
fn who_comes_back_with_such_connections_is_an_offender() {
    {
        for attackers in [1, 2, 20] {
            let others: [Sources; 2] = [(10, 2, busy), (4, 1, header)];
            assert!(
                is_found((attackers, 90, header), &others, true, 1_000),
                "{attackers}"
            );
        }
    }
}

/// Found in review: a wave that two looks saw was two, and an office was blocked whose service did not answer.
#[test]
fn who_does_it_once_or_may_be_waiting_is_none() {
    let idle = |_: u64| (900, 3_000, 0);
    let attackers: Sources = (1, 90, header);
    let well: [Sources; 1] = [(10, 2, busy)];
    assert!(!is_found(attackers, &well, false, 1_000), "once");
    assert!(
        !is_found((1, 400, header), &well, false, 50),
        "one wave, for long"
    );
    assert!(
        !is_found((1, 90, idle), &well, true, 1_000),
        "pages that somebody has open"
    );
    // The service answers nobody, or hardly anybody; or nobody else asks.
    for others in [
        &[(60, 1, header as fn(u64) -> _)][..],
        &[(60, 1, idle), (1, 1, busy), (50, 1, header)],
        &[(60, 1, idle), (1, 1, busy)],
        &[(4, 2, busy), (10, 1, header)],
        &[],
    ] {
        assert!(!is_found(attackers, others, true, 1_000), "{}", others.len());
    }
}
