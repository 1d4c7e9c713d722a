//! Test support for netguard: frames that read as a specification, a laboratory of network namespaces, the
//! demo.
#![warn(missing_docs)]

pub mod bench;
pub mod captures;
pub mod datagrams;
pub mod demo;
pub mod frames;
pub mod generate;
pub mod lab;
pub mod mmdb;
pub mod pcap;
pub mod world;

use anyhow::Context as _;
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

/// Keeps this thread on one CPU: state of the datapath is per CPU, and so are caches.
///
/// # Errors
/// When the kernel refuses.
pub fn pin_to_cpu(cpu: usize) -> anyhow::Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &cpus).with_context(|| format!("pinning to CPU {cpu}"))
}
