//! The whole system against real tools in network namespaces. Needs root; the binary under test is named by
//! `NETGUARD_BIN` or found beside these tests. One lab at a time exists on a machine, so the tests take
//! turns.

mod attach;
mod attacks;
mod audit;
mod audit_faults;
mod blocklist;
mod blocks;
mod campaigns;
mod cli;
mod closed;
mod configured;
mod confirm;
mod control;
mod cookie_options;
mod cookies;
mod crash;
mod decision;
mod detach;
mod detector;
mod dns;
mod egress;
mod feed_forms;
mod feeds;
mod floods;
mod guard;
mod interface;
mod laboratory;
mod ladder;
mod lists;
mod malformed;
mod metrics;
mod normal;
mod own;
mod places;
mod prefixes;
mod proven;
mod reflection;
mod replay;
mod replay_ways;
mod reputation;
mod response;
mod rules;
mod sanity;
mod selective;
mod services;
mod shadow;
mod signals;
mod signatures;
mod start;
mod state;
mod steady;
mod sysctls;
mod telemetry;
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

/// netguard with these settings (TOML) in front of the victim.
fn protect<'lab>(lab: &'lab Lab, config: &str) -> Result<Netguard<'lab>> {
    Netguard::start(lab, &binary()?, config)
}
