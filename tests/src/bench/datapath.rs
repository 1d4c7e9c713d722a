//! Measures the datapath in test runs: every round drives each case through netguard, the reference program and the empty one, in
//! a random order; a case's figure is the median over the rounds.

use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use netguard::bpf::{Driver, Enlisted, drive};
use netguard_common::{drive::Drive, packet::Family};
use nix::net::if_::if_nametoindex;

use super::{
    Objects,
    cases::{CASES, Case, Goal, MANY, ONE, OWN_V4, OWN_V6, SERVICE},
    filters::{Filter, Filters, Loaded},
    full::Full,
    report::Row,
    timing::{Figures, cpu_time_ns},
};
use crate::{lab::Namespace, pin_to_cpu};

/// Packets of one measurement: some tens of milliseconds.
const PACKETS: u32 = 200_000;
/// Share of the packets that a row's verdict is true of, or it is not measured.
const NEARLY_ALL: f64 = 0.95;

/// Measures the cases whose name contains `only` in `rounds` rounds.
pub(super) fn measure(
    ns: &Namespace,
    objects: &Objects,
    full: &Full,
    only: &str,
    rounds: u32,
) -> Result<Vec<Row>> {
    ns.enter(|| -> Result<Vec<Row>> {
        pin_to_cpu(0)?;
        // Somebody must listen, or nobody is answered for.
        let _listeners = [OWN_V4, OWN_V6]
            .map(|own| TcpListener::bind((own, SERVICE)).with_context(|| format!("listening on {own}")))
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        let mut driver = Driver::load(&objects.driver)?;
        driver.park("scatter", if_nametoindex("park0")?)?;
        let filters = Filters::load(&objects.reference, full, &mut driver)?;
        let cases: Vec<&Case> = CASES.iter().filter(|case| case.name.contains(only)).collect();
        for &case in &cases {
            check(case, filters.loaded(case.filter)?, &mut driver)?;
        }
        let mut figures: Vec<Measured> = cases.iter().map(|_| Measured::default()).collect();
        for _ in 0..rounds {
            let mut order: Vec<usize> = (0..cases.len()).collect();
            fastrand::shuffle(&mut order);
            for index in order {
                figures[index].measure(cases[index], &filters, &mut driver)?;
            }
        }
        Ok(cases
            .iter()
            .zip(&figures)
            .map(|(case, measured)| measured.row(case))
            .collect())
    })?
}

/// A namespace in which this machine's addresses and its service can be.
pub(super) fn become_a_server(ns: &Namespace) -> Result<()> {
    ns.ip(&format!(
        "link add park0 type veth peer name park1\nlink set lo up\naddr add {OWN_V4}/32 dev lo\n\
         addr add {OWN_V6}/128 dev lo nodad"
    ))?;
    // The service wants cookies for everybody.
    ns.sysctl("net.ipv4.tcp_syncookies", "2")
}

/// Nanoseconds over the empty program, one figure a round.
#[derive(Default)]
struct Measured {
    netguard: Figures,
    reference: Figures,
    /// Without lists, where the goal says so.
    without: Figures,
    peer: Figures,
    /// The program that does the same and no more.
    least: Figures,
}

impl Measured {
    fn measure(&mut self, case: &Case, filters: &Filters, driver: &mut Driver) -> Result<()> {
        let loaded = filters.loaded(case.filter)?;
        let empty_ns = per_packet(case, filters.empty, driver)?;
        self.netguard
            .push(per_packet(case, loaded.program, driver)? - empty_ns);
        self.reference
            .push(per_packet(case, filters.parse_hash, driver)? - empty_ns);
        if let Some(Goal::More(_)) = case.goal {
            let without = filters.loaded(Filter::Generous)?.program;
            self.without.push(per_packet(case, without, driver)? - empty_ns);
        }
        if let Some(peer) = case.peer().and_then(|peer| filters.peer(peer)) {
            self.peer.push(per_packet(case, peer, driver)? - empty_ns);
        }
        if let Some(least) = case.least().and_then(|least| filters.least(least)) {
            self.least.push(per_packet(case, least, driver)? - empty_ns);
        }
        Ok(())
    }

    fn row(&self, case: &Case) -> Row {
        let over_empty_ns = self.netguard.median();
        let reference = self.reference.median();
        let ratio = over_empty_ns / reference;
        let more_ns = over_empty_ns - self.without.median();
        let (mut goal, mut goal_ns, mut goal_more_ns) = (None, None, None);
        let met = case.goal.map(|wanted| match wanted {
            // Whoever else blocks sources must take longer.
            Goal::Ratio(most) => {
                ratio <= *goal.insert(most) && self.peer.any().is_none_or(|peer| over_empty_ns < peer)
            }
            Goal::Ns(most) => over_empty_ns <= *goal_ns.insert(most),
            Goal::More(most) => more_ns <= *goal_more_ns.insert(most),
        });
        Row {
            name: case.name.to_owned(),
            over_empty_ns,
            p10: self.netguard.quantile(0.1),
            p90: self.netguard.quantile(0.9),
            reference,
            ratio,
            more_ns: self.without.any().map(|_| more_ns),
            goal,
            goal_ns,
            goal_more_ns,
            met,
            peers: [
                case.peer().map(|peer| (peer.name(), self.peer.any())),
                case.least().map(|least| (least.name(), self.least.any())),
            ]
            .into_iter()
            .flatten()
            .map(|(name, ns)| (name.to_owned(), ns))
            .collect(),
        }
    }
}

/// Refuses to measure packets that are not treated as their row says.
fn check(case: &Case, loaded: &Loaded, driver: &mut Driver) -> Result<()> {
    // The first packets of a source are within any limit.
    let frame = case.frame();
    driver.set(&drive_of(case, &frame))?;
    driver.run(loaded.program, &frame, warm_up(case))?;
    let before = loaded.packets()?;
    driver.run(loaded.program, &frame, MANY)?;
    let grown: Vec<_> = loaded
        .packets()?
        .into_iter()
        .zip(before)
        .map(|((verdict, now), (_, then))| (verdict, now - then))
        .filter(|(_, packets)| *packets > 0)
        .collect();
    let expected = grown
        .iter()
        .filter(|(verdict, _)| case.verdicts.contains(verdict));
    let share = expected.map(|(_, packets)| packets).sum::<u64>() as f64 / f64::from(MANY);
    ensure!(
        share >= NEARLY_ALL,
        "{}: of {MANY} packets not {:?} but {grown:?}",
        case.name,
        case.verdicts
    );
    Ok(())
}

/// CPU time for each packet of a case, the driver's included.
fn per_packet(case: &Case, program: Enlisted, driver: &mut Driver) -> Result<f64> {
    let frame = case.frame();
    driver.set(&drive_of(case, &frame))?;
    driver.run(program, &frame, warm_up(case))?;
    let time_ns = cpu_time_ns(|| driver.run(program, &frame, PACKETS).map(drop))?;
    Ok(time_ns / f64::from(PACKETS))
}

/// Until every source came by about three times, what is measured is a cold cache and not a flood that goes on. A million
/// sources fit into no cache anyway.
fn warm_up(case: &Case) -> u32 {
    match case.sources {
        ONE => 5_000,
        _ => 3 * MANY,
    }
}

pub(super) fn drive_of(case: &Case, frame: &[u8]) -> Drive {
    Drive {
        restore: u32::from(case.is_changed()),
        state: fastrand::u32(..),
        ..drive(frame, case.family == Family::V6, case.first, case.sources)
    }
}
