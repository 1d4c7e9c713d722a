//! The demonstration: real floods against a weak server, without and with netguard, and what an honest client
//! felt.

mod report;

use std::path::Path;

use anyhow::{Context, Result};

pub use report::{Report, Row};

use crate::lab::{
    Attack, Family, Felt, Flood, Honest, Lab, Netguard, Nginx, Sent, WEAK_VICTIM_LIMITS, growth,
};

/// Every flood, in the order of the table.
const FLOODS: [(Attack, Family); 6] = [
    (Attack::Syn, Family::V4),
    (Attack::Syn, Family::V6),
    (Attack::Udp, Family::V4),
    (Attack::Udp, Family::V6),
    (Attack::Icmp, Family::V4),
    (Attack::Icmp, Family::V6),
];

/// Requests of the honest client a second, and in each flood: five seconds.
const RATE_PER_S: u32 = 20;
const REQUESTS: usize = 100;

/// Runs all floods twice and tells on standard error what it is doing. Needs root.
pub fn run(netguard: &Path) -> Result<Report> {
    let mut rows = Vec::new();
    for (attack, family) in FLOODS {
        let name = format!("{} {}", attack.name(), family.name());
        let row =
            one_flood(netguard, attack, family, &name).with_context(|| format!("in the {name} flood"))?;
        rows.push(row);
    }
    Ok(Report::new(rows))
}

/// Each run has a network of its own: a half-open connection of one must not burden the next.
fn one_flood(program: &Path, attack: Attack, family: Family, name: &str) -> Result<Row> {
    eprintln!("demo: {name} flood, no protection");
    let lab = Lab::new()?;
    let server = Nginx::start(&lab)?;
    let (_, unprotected) = endure(&lab, attack, family)?;
    tell(&unprotected);
    server.stop()?;
    drop(lab);

    eprintln!("demo: {name} flood, netguard in front");
    let lab = Lab::new()?;
    let server = Nginx::start(&lab)?;
    let mut netguard = Netguard::start(&lab, program, WEAK_VICTIM_LIMITS)?;
    let before = netguard.drops()?;
    let (sent, protected) = endure(&lab, attack, family)?;
    let dropped_by = growth(&before, &netguard.drops()?);
    tell(&protected);
    netguard.stop()?;
    drop(netguard);
    server.stop()?;
    Ok(Row::new(name, sent.packets, dropped_by, &protected, &unprotected))
}

/// The honest client works while the flood lasts, from after its start to before its end.
fn endure(lab: &Lab, attack: Attack, family: Family) -> Result<(Sent, Felt)> {
    let flood = Flood::start(lab, attack, family)?;
    let felt = Honest::start(lab, family, RATE_PER_S)?.stop_after(REQUESTS)?;
    Ok((flood.stop()?, felt))
}

fn tell(felt: &Felt) {
    let Felt {
        requests,
        succeeded,
        p99_ms,
        failures,
        ..
    } = felt;
    eprintln!("demo:   {succeeded} of {requests} honest requests served, 99% within {p99_ms:.0} ms");
    for (failure, count) in failures {
        eprintln!("demo:   {count} failed {failure}");
    }
}
