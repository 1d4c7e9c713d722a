//! The whole system against real tools in network namespaces. Needs root; the binary under test is named by
//! `NETGUARD_BIN` or found beside these tests. A lab under attack is alone on its machine, so those tests take turns; those in `calm`
//! need not, and of those that measure nothing two may be under way (`xtask/src/test/e2e.rs`).

mod attacks;
mod audit;
mod blocks;
mod calm;
mod closed;
mod control;
mod cookie_options;
mod cookies;
mod crash;
mod decision;
mod detach;
mod detector;
mod dns;
mod floods;
mod http;
mod l7_segments;
mod laboratory;
mod ladder;
mod lost;
mod malformed;
mod metrics;
mod prefixes;
mod proven;
mod reflection;
mod reputation;
mod response;
mod services;
mod signatures;
mod state;
mod steady;
mod sysctls;
mod telemetry;
mod tls;
mod unusual;
mod verdicts;

use anyhow::Result;
use netguard_tests::lab::{Lab, Netguard, Nginx, binary};

/// A lab with a server, and the binary under test.
fn lab() -> Result<(Lab, Nginx)> {
    let lab = Lab::new()?;
    let server = Nginx::start(&lab)?;
    Ok((lab, server))
}

/// The same, of which two may be under way on this machine.
fn shared_lab() -> Result<(Lab, Nginx)> {
    let lab = Lab::beside_others()?;
    let server = Nginx::start(&lab)?;
    Ok((lab, server))
}

/// netguard with these settings (TOML) in front of the victim.
fn protect<'lab>(lab: &'lab Lab, config: &str) -> Result<Netguard<'lab>> {
    Netguard::start(lab, &binary()?, config)
}
