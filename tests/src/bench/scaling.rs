//! What a second CPU that is as busy costs the first: both drive the same filter and share all its maps.

use std::{
    hint,
    sync::{
        Barrier,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::{Context, Result, anyhow};
use netguard::bpf::{Driver, Enlisted, Target, TestObject};
use netguard_common::drive::Drive;
use nix::net::if_::if_nametoindex;

use super::{
    Objects,
    cases::{CASES, Case},
    datapath::drive_of,
    filters::list_sources,
    full::Full,
    report::Figure,
    timing::{Figures, cpu_time_ns},
};
use crate::{lab::Namespace, pin_to_cpu, world::DEFAULT_SIZES};

/// Packets of one measurement: so many that the two CPUs begin and end nearly together.
const PACKETS: u32 = 1_000_000;
/// What is told, and of which row of the datapath.
const ROWS: [(&str, &str); 2] = [
    (
        "two CPUs, time per packet by that of one, UDP",
        "passed UDP, all on, IPv4, 64k",
    ),
    (
        "two CPUs, time per packet by that of one, SYN",
        "passed SYN, all on, IPv4, 64k",
    ),
];
/// How often a line of the cache goes to the other CPU and back.
const ROUND_TRIPS: u32 = 200_000;
/// One driver for each CPU, kept ready on an interface of its own.
const PARKED: [&str; 2] = ["park0", "park1"];

/// The slowdown of netguard's pass path, and that of the reference program, which shares nothing that is written: what is beyond
/// it, is netguard's own. Of the rows whose name contains `only`; needs two CPUs.
pub(super) fn measure(
    ns: &Namespace,
    objects: &Objects,
    full: &Full,
    only: &str,
    rounds: u32,
) -> Result<Vec<Figure>> {
    let rows: Vec<_> = ROWS.iter().filter(|(name, _)| name.contains(only)).collect();
    if rows.is_empty() || thread::available_parallelism()?.get() < 2 {
        return Ok(Vec::new());
    }
    let mut reference = TestObject::load(&objects.reference, DEFAULT_SIZES)?;
    list_sources(&mut reference)?;
    let reference = Target::of(&mut reference, "parse_hash", false)?;
    let mut drivers = Vec::new();
    for (cpu, park) in PARKED.into_iter().enumerate() {
        let mut driver = Driver::load(&objects.driver)?;
        ns.enter(|| -> Result<()> { Ok(driver.park("scatter", if_nametoindex(park)?)?) })??;
        let programs = [driver.enlist(&full.target()?)?, driver.enlist(&reference)?];
        drivers.push(Busy {
            cpu,
            driver,
            programs,
        });
    }
    let mut figures = Vec::new();
    for (name, row) in rows {
        let case = CASES
            .iter()
            .find(|case| case.name == *row)
            .context("the case is there")?;
        let [netguard, reference] = slowdowns(ns, &mut drivers, case, rounds)?;
        // What a second busy CPU costs a program that shares nothing is the machine's.
        figures.push(Figure::at_most(
            name,
            netguard,
            "",
            (105.0 * reference.max(1.0)).round() / 100.0,
        ));
        figures.push(Figure::plain("  parse + hash", reference, ""));
    }
    let mut transfer = Figures::default();
    for _ in 0..rounds {
        transfer.push(transfer_ns()?);
    }
    let name = "  a line of the cache from CPU to CPU";
    figures.push(Figure::plain(name, transfer.median(), "ns"));
    Ok(figures)
}

/// Time for each packet with both CPUs busy, by that with one: of netguard and of the reference program.
fn slowdowns(ns: &Namespace, drivers: &mut [Busy], case: &Case, rounds: u32) -> Result<[f64; 2]> {
    let mut slowdowns = [Figures::default(), Figures::default()];
    for _ in 0..rounds {
        for (index, slowdown) in slowdowns.iter_mut().enumerate() {
            // Of either CPU: this machine shares them with others, and seldom evenly.
            let mut alone = 0.0;
            for driver in drivers.chunks_mut(1) {
                alone += together(ns, driver, index, case)?;
            }
            let both = together(ns, drivers, index, case)?;
            slowdown.push(both * drivers.len() as f64 / alone);
        }
    }
    Ok(slowdowns.map(|figures| figures.median()))
}

/// How long a line of the cache takes from one CPU to the other. It tells what the slowdowns are worth: CPUs of one machine may share a cache or not, and which ones a
/// virtual machine has, may change at any time.
fn transfer_ns() -> Result<f64> {
    let turn = AtomicU32::new(0);
    let play = |own: u32| -> Result<()> {
        pin_to_cpu(own as usize)?;
        for round in 0..ROUND_TRIPS {
            while turn.load(Ordering::Acquire) != 2 * round + own {
                hint::spin_loop();
            }
            turn.store(2 * round + own + 1, Ordering::Release);
        }
        Ok(())
    };
    let start = Instant::now();
    thread::scope(|scope| {
        let players = [0, 1].map(|own| scope.spawn(move || play(own)));
        players
            .into_iter()
            .try_for_each(|player| player.join().map_err(|_| anyhow!("a player panicked"))?)
    })?;
    Ok(start.elapsed().as_nanos() as f64 / f64::from(2 * ROUND_TRIPS))
}

struct Busy {
    cpu: usize,
    driver: Driver,
    programs: [Enlisted; 2],
}

/// CPU time for each packet, on average over the CPUs that are busy at once.
fn together(ns: &Namespace, drivers: &mut [Busy], program: usize, case: &Case) -> Result<f64> {
    let start = Barrier::new(drivers.len());
    let count = drivers.len() as f64;
    let times = thread::scope(|scope| {
        let running: Vec<_> = drivers
            .iter_mut()
            .map(|busy| scope.spawn(|| ns.enter(|| busy.run(program, case, &start))))
            .collect();
        let ended = running.into_iter().map(|thread| {
            let outcome = thread.join().map_err(|_| anyhow!("a busy thread panicked"))?;
            outcome?
        });
        ended.collect::<Result<Vec<f64>>>()
    })?;
    Ok(times.iter().sum::<f64>() / count)
}

impl Busy {
    fn run(&mut self, program: usize, case: &Case, start: &Barrier) -> Result<f64> {
        let frame = case.frame();
        let pinned = pin_to_cpu(self.cpu);
        // Whatever went wrong here: the other waits.
        start.wait();
        pinned?;
        // As cards spread packets: each source has its CPU.
        let first = case.first + self.cpu as u32 * case.sources;
        self.driver.set(&Drive {
            first,
            ..drive_of(case, &frame)
        })?;
        let (driver, program) = (&mut self.driver, self.programs[program]);
        driver.run(program, &frame, PACKETS / 8)?;
        let time_ns = cpu_time_ns(|| driver.run(program, &frame, PACKETS).map(drop))?;
        Ok(time_ns / f64::from(PACKETS))
    }
}
