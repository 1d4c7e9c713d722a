//! Tests that send no floods and measure nothing: what they wait for is the daemon, not a processor, so the rung runs some of them at the
//! same time (`xtask/src/test/e2e.rs`). All others have the machine to themselves, which the labs see to.

mod attach;
mod audit_faults;
mod blocklist;
pub(crate) mod campaigns;
mod cli;
mod configured;
mod confirm;
mod connections;
mod desk;
mod durations;
mod egress;
mod explain;
mod feed_forms;
mod feeds;
mod guard;
mod interface;
mod lists;
pub(crate) mod normal;
mod own;
mod places;
mod replay;
mod replay_normal;
mod replay_ways;
mod rules;
mod sanity;
mod selective;
mod shadow;
mod signals;
mod start;

use anyhow::Result;
use netguard_tests::lab::{Lab, Nginx};

/// As [`crate::lab`], in company.
fn lab() -> Result<(Lab, Nginx)> {
    let lab = Lab::beside_others()?;
    let server = Nginx::start(&lab)?;
    Ok((lab, server))
}
