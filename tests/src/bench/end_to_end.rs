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
    filters::{answering, list_sources, strict},
    report::EndToEnd,
    timing::Figures,
};
use crate::{
    lab::{Attack, Family, Forged, Forgery, IFACE, Lab, Nginx, Received, Receiver, wait_until},
    world::DEFAULT_SIZES,
};

/// Where the victim receives.
pub(super) const RECEIVERS_CPU: usize = 1;
/// Every source came by before figures are taken, and then for how long they are.
const WARM_UP: Duration = Duration::from_millis(700);
const PERIOD: Duration = Duration::from_millis(800);
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
    Limited,
    Blocked,
    Answered,
}

const TRIALS: &[Trial] = &[
    trial("limited UDP, IPv4", Attack::Udp, Family::V4, Outcome::Limited),
    trial("limited UDP, IPv6", Attack::Udp, Family::V6, Outcome::Limited),
    trial("limited SYN, IPv4", Attack::Syn, Family::V4, Outcome::Limited),
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
}

const CONTESTANTS: [Contestant; 3] = [Contestant::Empty, Contestant::ParseHash, Contestant::Netguard];

/// Measures all trials in `rounds` rounds.
pub(super) fn measure(objects: &Objects, rounds: u32) -> Result<Vec<EndToEnd>> {
    let lab = Lab::new()?;
    let _server = Nginx::start(&lab)?;
    lab.victim.ns.sysctl("net.ipv4.tcp_syncookies", "2")?;
    let _wire = lab.swallow_answers(&objects.driver)?;
    let mut arena = Arena::new(&lab, objects)?;
    let mut figures: Vec<_> = TRIALS
        .iter()
        .map(|_| CONTESTANTS.map(|_| Figures::default()))
        .collect();
    for round in 0..rounds {
        eprintln!("bench: end to end, round {} of {rounds}", round + 1);
        let mut order: Vec<(usize, usize)> = (0..TRIALS.len())
            .flat_map(|trial| (0..CONTESTANTS.len()).map(move |contestant| (trial, contestant)))
            .collect();
        fastrand::shuffle(&mut order);
        for (trial, contestant) in order {
            let row = &TRIALS[trial];
            let ns = arena
                .measure(row, CONTESTANTS[contestant])
                .with_context(|| format!("{}, {:?}", row.name, CONTESTANTS[contestant]))?;
            figures[trial][contestant].push(ns);
        }
    }
    Ok(TRIALS
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
    strict: TestObject,
    answering: TestObject,
}

impl<'a> Arena<'a> {
    fn new(lab: &'a Lab, objects: &'a Objects) -> Result<Self> {
        let mut reference = TestObject::load(&objects.reference, DEFAULT_SIZES)?;
        list_sources(&mut reference)?;
        Ok(Self {
            lab,
            driver: &objects.driver,
            reference,
            strict: strict().kernel()?,
            answering: answering([lab.victim.ip4, lab.victim.ip6]).kernel()?,
        })
    }

    /// Nanoseconds of the receiving CPU for each packet.
    fn measure(&mut self, trial: &Trial, contestant: Contestant) -> Result<f64> {
        let (object, program) = match (contestant, trial.outcome) {
            (Contestant::Empty, _) => (&mut self.reference, "empty"),
            (Contestant::ParseHash, _) => (&mut self.reference, "parse_hash"),
            (Contestant::Netguard, Outcome::Answered) => (&mut self.answering, "netguard_xdp"),
            (Contestant::Netguard, _) => (&mut self.strict, "netguard_xdp"),
        };
        let mut program = object.program(program)?;
        let _attached: Attachment = self.lab.victim.ns.enter(|| -> Result<Attachment> {
            Ok(program.attach(if_nametoindex(IFACE)?, AttachMode::Native)?)
        })??;
        let listed = contestant != Contestant::Netguard || trial.outcome == Outcome::Blocked;
        let forgery = Forgery {
            attack: trial.attack,
            family: trial.family,
            first: if listed { LISTED } else { UNLISTED },
            sources: MANY,
            per_second: trial.per_second,
        };
        let got = receive(self.lab, self.driver, forgery)?;
        let answered = contestant == Contestant::Netguard && trial.outcome == Outcome::Answered;
        let as_said = if answered { got.returned } else { got.dropped };
        ensure!(
            as_said as f64 >= 0.9 * got.packets as f64 && got.packets > 10_000,
            "the packets are not treated as the row says: {got:?}"
        );
        Ok(got.cpu_ns as f64 / got.packets as f64)
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

fn row(trial: &Trial, [empty, parse_hash, netguard]: &[Figures; 3]) -> EndToEnd {
    let [empty_ns, parse_hash_ns, netguard_ns] = [empty, parse_hash, netguard].map(Figures::median);
    let (by_empty, by_parse_hash) = (netguard_ns / empty_ns, netguard_ns / parse_hash_ns);
    let goal_by_empty = (trial.outcome == Outcome::Limited).then_some(1.4);
    let goal_by_parse_hash = (trial.outcome == Outcome::Blocked).then_some(1.1);
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
            .or(goal_by_parse_hash.map(|goal| by_parse_hash <= goal)),
        peers: BTreeMap::new(),
    }
}
