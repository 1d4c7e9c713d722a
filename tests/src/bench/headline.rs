//! What honest clients get while sources that nobody listed flood their server: requests over connections that are kept, and new
//! connections, beside what they would get if a blocklist knew all attackers.
//!
//! The flood, and what happens on the far side of the victim's cable, has CPU 0; the victim, its server and the clients share CPU 1,
//! where packets go before programs, as interrupts of a network card do.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context, Result};
use netguard::bpf::{AttachMode, Attachment, TestObject};
use nix::net::if_::if_nametoindex;

use super::{
    Objects,
    cases::{LISTED, MANY, UNLISTED},
    end_to_end::{RECEIVERS_CPU, pass_time},
    filters::{Least, list_sources},
    firewalls::{Allowance, Firewall, Raised, require},
    report::{Headline, Served},
    timing::Figures,
};
use crate::{
    lab::{
        Attack, Family, Forged, Forgery, IFACE, Lab, Netguard, Newcomers, Nginx, Receiver, SENDERS_CPU,
        newcomers, run_with_input,
    },
    pin_to_cpu,
    world::DEFAULT_SIZES,
};

const FLOOD_PER_S: u32 = 300_000;
const NEW_PER_S: u32 = 150;
/// How long requests, and then new connections, are counted.
const PERIOD: Duration = Duration::from_secs(2);
/// A kernel that has what address translation needs, be it used or not, makes the daemon careful. That of this machine may have
/// it built in; where it is a module, and nobody uses it, this is the default.
const NO_TRANSLATION: &str = "[state]\nreach = \"all\"\n";
/// By then a daemon has seen the flood.
const WARM_UP: Duration = Duration::from_millis(1_500);

/// Who stands before the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guard {
    /// The reference program, which has all attackers on its list.
    PerfectBlocklist,
    /// The program that answers each connection attempt, and does nothing else.
    Answer,
    /// A daemon with the default configuration of a machine that translates no addresses; it knows nobody.
    Netguard,
    Nobody,
    Firewall(Firewall),
}

impl Guard {
    const ALL: [Self; 6] = [
        Self::PerfectBlocklist,
        Self::Netguard,
        Self::Answer,
        Self::Nobody,
        Self::Firewall(Firewall::NftLimit),
        Self::Firewall(Firewall::Hashlimit),
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::PerfectBlocklist => "perfect blocklist",
            Self::Netguard => "netguard",
            Self::Answer => Least::Answer.name(),
            Self::Nobody => "the kernel alone",
            Self::Firewall(firewall) => firewall.name(),
        }
    }

    /// Whether it has anything to say about the flood, and is here.
    fn meets(self, attack: Attack) -> bool {
        match self {
            Self::Answer => matches!(attack, Attack::Syn),
            Self::Firewall(firewall) => firewall.is_installed(),
            _ => true,
        }
    }
}

/// What holds a guard up; it goes when this is dropped.
enum Standing<'lab> {
    Program(#[expect(dead_code, reason = "a guard")] Attachment),
    Daemon(#[expect(dead_code, reason = "a guard")] Netguard<'lab>),
    Rules(#[expect(dead_code, reason = "a guard")] Raised<'lab>),
    Nothing,
}

/// Measures all guards under both floods in `rounds` rounds; `program` is the netguard to run.
pub(super) fn measure(objects: &Objects, program: &Path, rounds: u32) -> Result<Vec<Headline>> {
    require("wrk")?;
    let lab = Lab::new()?;
    // As a server has it that is not made to fail.
    lab.victim.ns.sysctl("net.ipv4.tcp_max_syn_backlog", "4096")?;
    lab.aggregate_at_victim()?;
    let server = Nginx::start(&lab)?;
    server.pin_to_cpu(RECEIVERS_CPU)?;
    let _wire = lab.swallow_answers(&objects.driver)?;
    let wire = Receiver::of(&lab.switch, &lab.port_of_victim(), SENDERS_CPU)?;
    wire.be_urgent()?;
    let mut reference = TestObject::load(&objects.reference, DEFAULT_SIZES)?;
    list_sources(&mut reference)?;
    let attacks = [Attack::Udp, Attack::Syn];
    let mut felt = attacks.map(|_| Guard::ALL.map(|_| Felt::default()));
    for round in 0..rounds {
        eprintln!("bench: honest clients, round {} of {rounds}", round + 1);
        let mut order: Vec<(usize, usize)> = (0..attacks.len())
            .flat_map(|attack| (0..Guard::ALL.len()).map(move |guard| (attack, guard)))
            .collect();
        fastrand::shuffle(&mut order);
        for (attack, guard) in order {
            let (flood, who) = (attacks[attack], Guard::ALL[guard]);
            if !who.meets(flood) {
                continue;
            }
            let standing = stand(&lab, who, &mut reference, program)?;
            feel(&lab, &objects.driver, flood, who, &mut felt[attack][guard])
                .with_context(|| format!("{flood:?} flood before {}", who.name()))?;
            drop(standing);
        }
    }
    Ok(attacks
        .iter()
        .zip(&felt)
        .map(|(attack, felt)| row(*attack, felt))
        .collect())
}

/// What clients got, one figure a round.
#[derive(Default)]
struct Felt {
    requests_per_s: Figures,
    new_connections: Figures,
    flood_per_s: Figures,
}

fn stand<'lab>(
    lab: &'lab Lab,
    guard: Guard,
    reference: &mut TestObject,
    program: &Path,
) -> Result<Standing<'lab>> {
    // A server has 1, with which the kernel makes no cookies for others before it must; netguard sees to that by itself.
    let syncookies = if guard == Guard::Answer { "2" } else { "1" };
    lab.victim.ns.sysctl("net.ipv4.tcp_syncookies", syncookies)?;
    Ok(match guard {
        Guard::PerfectBlocklist | Guard::Answer => {
            let mut program = reference.program(match guard {
                Guard::Answer => Least::Answer.program(),
                _ => "parse_hash",
            })?;
            Standing::Program(lab.victim.ns.enter(|| -> Result<Attachment> {
                Ok(program.attach(if_nametoindex(IFACE)?, AttachMode::Native)?)
            })??)
        }
        Guard::Netguard => Standing::Daemon(Netguard::start(lab, program, NO_TRANSLATION)?),
        Guard::Nobody => Standing::Nothing,
        Guard::Firewall(firewall) => {
            Standing::Rules(firewall.raise(&lab.victim.ns, Family::V4, Allowance::Usual)?)
        }
    })
}

/// Lets clients work under the flood.
fn feel(lab: &Lab, driver: &[u8], attack: Attack, guard: Guard, felt: &mut Felt) -> Result<()> {
    // A program that came or went has made the kernel a new thread.
    Receiver::of(&lab.victim.ns, IFACE, RECEIVERS_CPU)?.be_urgent()?;
    let flood = Forged::start(
        lab,
        driver,
        Forgery {
            attack,
            family: Family::V4,
            first: if guard == Guard::PerfectBlocklist {
                LISTED
            } else {
                UNLISTED
            },
            sources: MANY,
            per_second: FLOOD_PER_S,
        },
    )?;
    pass_time(WARM_UP)?;
    felt.requests_per_s.push(requests_per_s(lab)?);
    let Newcomers { began, served } = lab.client.ns.enter(|| {
        pin_to_cpu(RECEIVERS_CPU)?;
        newcomers(lab.victim.ip4.parse()?, NEW_PER_S, PERIOD)
    })??;
    felt.new_connections.push(served as f64 / began as f64);
    felt.flood_per_s.push(flood.stop()?);
    Ok(())
}

/// What wrk gets over 32 connections that it keeps.
fn requests_per_s(lab: &Lab) -> Result<f64> {
    let period = format!("-d{}s", PERIOD.as_secs());
    let url = format!("http://{}/", lab.victim.ip4);
    let mut command = lab.client.ns.command("timeout")?;
    command.args(["10", "taskset", "-c", &RECEIVERS_CPU.to_string()]);
    command.args(["wrk", "-t1", "-c32", &period, "--timeout", "2s", &url]);
    // Under the worst of floods it does not come to its end: then nobody was served.
    let printed = run_with_input(&mut command, "").unwrap_or_default();
    let rate = printed
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"))
        .map_or(Ok(0.0), |rate| rate.trim().parse());
    rate.context("wrk printed no rate")
}

fn row(attack: Attack, felt: &[Felt; Guard::ALL.len()]) -> Headline {
    let perfect = felt[0].requests_per_s.median();
    let mut served: BTreeMap<String, Option<Served>> = Guard::ALL
        .iter()
        .zip(felt)
        .filter(|(guard, _)| **guard != Guard::Answer || guard.meets(attack))
        .map(|(guard, felt)| {
            let served = felt.requests_per_s.any().map(|requests_per_s| Served {
                requests_per_s,
                share: requests_per_s / perfect,
                new_connections: felt.new_connections.median(),
                flood_per_s: felt.flood_per_s.median(),
            });
            (guard.name().to_owned(), served)
        })
        .collect();
    let netguard = served
        .remove(Guard::Netguard.name())
        .flatten()
        .unwrap_or_default();
    Headline {
        name: format!("honest clients under a {attack:?} flood"),
        perfect_requests_per_s: perfect,
        netguard,
        goal: 0.9,
        goal_new_connections: 1.0,
        met: netguard.share >= 0.9 && netguard.new_connections >= 1.0,
        others: served,
    }
}
