//! What a flood from 64k sources costs the CPU that receives it: frames on a virtual cable, the time of the thread that takes
//! them, by the packets that it took.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use netguard::bpf::{AttachMode, Attachment, TestObject};
use nix::net::if_::if_nametoindex;

use super::{
    Objects,
    cases::{LISTED, MANY, UNLISTED},
    filters::{Least, answering, limiting, list_sources, strict},
    firewalls::{Allowance, Firewall, Raised},
    peers::{Peer, XdpFilter},
    report::EndToEnd,
    timing::Figures,
};
use crate::{
    lab::{Attack, Family, Forged, Forgery, IFACE, Lab, Nginx, Received, Receiver, wait_until},
    world::{DEFAULT_SIZES, World},
};

/// Where the victim receives.
pub(super) const RECEIVERS_CPU: usize = 1;
/// Every source came by before figures are taken, and then for how long they are.
const WARM_UP: Duration = Duration::from_millis(300);
const PERIOD: Duration = Duration::from_millis(400);
/// More answers a second than this are not sent.
const ANSWERED_PER_S: u32 = 250_000;

/// A row: a flood and what netguard does to it.
struct Trial {
    name: &'static str,
    attack: Attack,
    family: Family,
    per_second: u32,
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Nobody is blocked, as with the peers.
    Limited,
    /// Others of the same networks are blocked.
    LimitedBesideBlocked,
    Blocked,
    Answered,
}

const TRIALS: &[Trial] = &[
    trial("limited UDP, IPv4", Attack::Udp, Family::V4, Outcome::Limited),
    trial("limited UDP, IPv6", Attack::Udp, Family::V6, Outcome::Limited),
    trial("limited SYN, IPv4", Attack::Syn, Family::V4, Outcome::Limited),
    trial(
        "limited UDP beside 64k blocked, IPv4",
        Attack::Udp,
        Family::V4,
        Outcome::LimitedBesideBlocked,
    ),
    trial("blocked UDP, IPv4", Attack::Udp, Family::V4, Outcome::Blocked),
    trial("blocked UDP, IPv6", Attack::Udp, Family::V6, Outcome::Blocked),
    Trial {
        per_second: ANSWERED_PER_S,
        ..trial(
            "SYN answered, 250k/s, IPv4",
            Attack::Syn,
            Family::V4,
            Outcome::Answered,
        )
    },
];

const fn trial(name: &'static str, attack: Attack, family: Family, outcome: Outcome) -> Trial {
    Trial {
        name,
        attack,
        family,
        per_second: 0,
        outcome,
    }
}

/// Who receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contestant {
    Empty,
    ParseHash,
    Netguard,
    /// Does one thing and no more.
    Least(Least),
    XdpFilter,
    Firewall(Firewall),
}

impl Contestant {
    const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::ParseHash => "parse + hash",
            Self::Least(least) => least.name(),
            Self::Netguard => "netguard",
            Self::XdpFilter => XdpFilter::Addresses.name(),
            Self::Firewall(firewall) => firewall.name(),
        }
    }
}

impl Trial {
    /// The first three are in every trial; the others do what netguard does in this one.
    const fn contestants(&self) -> &'static [Contestant] {
        use Contestant::{Empty, Firewall as Rules, Netguard, ParseHash};
        match self.outcome {
            Outcome::Limited | Outcome::LimitedBesideBlocked => &[
                Empty,
                ParseHash,
                Netguard,
                Contestant::Least(Least::Limit),
                Rules(Firewall::NftLimit),
                Rules(Firewall::Hashlimit),
            ],
            Outcome::Blocked => &[
                Empty,
                ParseHash,
                Netguard,
                Contestant::XdpFilter,
                Rules(Firewall::NftSet),
                Rules(Firewall::Ipset),
            ],
            Outcome::Answered => &[Empty, ParseHash, Netguard, Contestant::Least(Least::Answer)],
        }
    }
}

/// Measures the trials whose name contains `only` in `rounds` rounds.
pub(super) fn measure(objects: &Objects, only: &str, rounds: u32) -> Result<Vec<EndToEnd>> {
    let trials: Vec<&Trial> = TRIALS.iter().filter(|trial| trial.name.contains(only)).collect();
    let lab = Lab::new()?;
    let _server = Nginx::start(&lab)?;
    lab.victim.ns.sysctl("net.ipv4.tcp_syncookies", "2")?;
    lab.aggregate_at_victim()?;
    let _wire = lab.swallow_answers(&objects.driver)?;
    let mut arena = Arena::new(&lab, objects)?;
    let mut figures: Vec<Vec<Figures>> = trials
        .iter()
        .map(|trial| trial.contestants().iter().map(|_| Figures::default()).collect())
        .collect();
    for round in 0..rounds {
        eprintln!("bench: end to end, round {} of {rounds}", round + 1);
        let mut order: Vec<(usize, usize)> = trials
            .iter()
            .enumerate()
            .flat_map(|(trial, row)| (0..row.contestants().len()).map(move |index| (trial, index)))
            .collect();
        fastrand::shuffle(&mut order);
        for (trial, index) in order {
            let row = trials[trial];
            let contestant = row.contestants()[index];
            let measured = arena.measure(row, contestant);
            if let Some(ns) = measured.with_context(|| format!("{}, {contestant:?}", row.name))? {
                figures[trial][index].push(ns);
            }
        }
    }
    Ok(trials
        .iter()
        .zip(&figures)
        .map(|(trial, figures)| row(trial, figures))
        .collect())
}

/// The victim and what can be put before it.
struct Arena<'a> {
    lab: &'a Lab,
    driver: &'a [u8],
    reference: TestObject,
    limiting: TestObject,
    strict: TestObject,
    answering: TestObject,
    peer: Option<Peer>,
}

/// What stands before the victim; it goes when this is dropped.
enum Standing<'a> {
    Program(#[expect(dead_code, reason = "a guard")] Attachment),
    Rules(#[expect(dead_code, reason = "a guard")] Raised<'a>),
}

impl<'a> Arena<'a> {
    fn new(lab: &'a Lab, objects: &'a Objects) -> Result<Self> {
        let mut reference = TestObject::load(&objects.reference, DEFAULT_SIZES)?;
        list_sources(&mut reference)?;
        Ok(Self {
            lab,
            driver: &objects.driver,
            reference,
            limiting: limiting(World::new()).kernel()?,
            strict: strict().kernel()?,
            answering: answering([lab.victim.ip4, lab.victim.ip6]).kernel()?,
            peer: Peer::load(XdpFilter::Addresses)?,
        })
    }

    /// Nanoseconds of the receiving CPU for each packet; `None` for a contestant that is not installed.
    fn measure(&mut self, trial: &Trial, contestant: Contestant) -> Result<Option<f64>> {
        let Some(_standing) = self.stand(trial, contestant)? else {
            return Ok(None);
        };
        let blocks = trial.outcome == Outcome::Blocked;
        let listed = blocks || matches!(contestant, Contestant::Empty | Contestant::ParseHash);
        let forgery = Forgery {
            attack: trial.attack,
            family: trial.family,
            first: if listed { LISTED } else { UNLISTED },
            sources: MANY,
            per_second: trial.per_second,
        };
        let delivered = self.lab.victim.ns.delivered()?;
        let got = receive(self.lab, self.driver, forgery)?;
        let delivered = self.lab.victim.ns.delivered()? - delivered;
        let answers = matches!(contestant, Contestant::Netguard | Contestant::Least(_));
        let answered = answers && trial.outcome == Outcome::Answered;
        let enough = 0.9 * got.packets as f64;
        let as_said = match contestant {
            // The first packet of a source is within any limit.
            Contestant::Firewall(_) => delivered < got.packets / 4 + 2 * u64::from(MANY),
            _ if answered => got.returned as f64 >= enough,
            _ => got.dropped as f64 >= enough,
        };
        ensure!(
            as_said && got.packets > 10_000,
            "the packets are not treated as the row says: {got:?}, {delivered} delivered"
        );
        Ok(Some(got.cpu_ns as f64 / got.packets as f64))
    }

    fn stand(&mut self, trial: &Trial, contestant: Contestant) -> Result<Option<Standing<'a>>> {
        let victim = &self.lab.victim.ns;
        let (object, program) = match (contestant, trial.outcome) {
            (Contestant::Empty, _) => (&mut self.reference, "empty"),
            (Contestant::ParseHash, _) => (&mut self.reference, "parse_hash"),
            (Contestant::Least(least), _) => (&mut self.reference, least.program()),
            (Contestant::Netguard, Outcome::Answered) => (&mut self.answering, "netguard_xdp"),
            (Contestant::Netguard, Outcome::Limited) => (&mut self.limiting, "netguard_xdp"),
            (Contestant::Netguard, _) => (&mut self.strict, "netguard_xdp"),
            (Contestant::XdpFilter, _) => match &mut self.peer {
                Some(peer) => peer.object(),
                None => return Ok(None),
            },
            (Contestant::Firewall(firewall), _) => {
                if !firewall.is_installed() {
                    return Ok(None);
                }
                let rules = firewall.raise(victim, trial.family, Allowance::Nothing)?;
                return Ok(Some(Standing::Rules(rules)));
            }
        };
        let mut program = object.program(program)?;
        let attached = victim.enter(|| -> Result<Attachment> {
            Ok(program.attach(if_nametoindex(IFACE)?, AttachMode::Native)?)
        })??;
        Ok(Some(Standing::Program(attached)))
    }
}

/// What the victim's receiver does in a period of the flood.
fn receive(lab: &Lab, driver: &[u8], forgery: Forgery) -> Result<Received> {
    let receiver = Receiver::of(&lab.victim.ns, IFACE, RECEIVERS_CPU)?;
    let flood = Forged::start(lab, driver, forgery)?;
    pass_time(WARM_UP)?;
    let before = receiver.received()?;
    pass_time(PERIOD)?;
    let got = receiver.received()?.since(&before);
    flood.stop()?;
    Ok(got)
}

/// Lets time pass in which something is measured.
pub(super) fn pass_time(period: Duration) -> Result<()> {
    let start = Instant::now();
    wait_until("time to pass", 2 * period, || {
        Ok((start.elapsed() >= period).then_some(()))
    })
}

fn row(trial: &Trial, figures: &[Figures]) -> EndToEnd {
    let median = |index: usize| figures.get(index).map_or(f64::NAN, Figures::median);
    let [empty_ns, parse_hash_ns, netguard_ns] = [0, 1, 2].map(median);
    let (by_empty, by_parse_hash) = (netguard_ns / empty_ns, netguard_ns / parse_hash_ns);
    let goal_by_empty = (trial.outcome == Outcome::Limited).then_some(1.4);
    let goal_by_parse_hash = (trial.outcome == Outcome::Blocked).then_some(1.1);
    let peers: BTreeMap<String, Option<f64>> = trial
        .contestants()
        .iter()
        .zip(figures)
        .skip(3)
        .map(|(contestant, figures)| (contestant.name().to_owned(), figures.any()))
        .collect();
    let below_peers = trial
        .contestants()
        .iter()
        .zip(figures)
        .skip(3)
        .filter(|(contestant, _)| !matches!(contestant, Contestant::Least(_)))
        .all(|(_, figures)| figures.any().is_none_or(|peer_ns| netguard_ns < peer_ns));
    EndToEnd {
        name: trial.name.to_owned(),
        netguard_ns,
        empty_ns,
        parse_hash_ns,
        by_empty,
        by_parse_hash,
        goal_by_empty,
        goal_by_parse_hash,
        met: goal_by_empty
            .map(|goal| by_empty <= goal)
            .or(goal_by_parse_hash.map(|goal| by_parse_hash <= goal))
            .map(|met| met && below_peers),
        peers,
    }
}
