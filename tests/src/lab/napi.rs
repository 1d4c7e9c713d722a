//! The kernel thread that receives the packets of an interface: on which CPU, how urgent, how long it ran, for how many packets.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

use super::{Namespace, process, wait_until};

/// The receiving thread of an interface with one queue.
#[derive(Debug)]
pub struct Receiver<'lab> {
    ns: &'lab Namespace,
    interface: String,
    thread: i32,
}

/// What it has done since its interface was made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Received {
    /// Time on a CPU.
    pub cpu_ns: u64,
    /// Packets taken.
    pub packets: u64,
    /// Packets that an XDP program dropped.
    pub dropped: u64,
    /// Packets that an XDP program sent back.
    pub returned: u64,
}

impl<'lab> Receiver<'lab> {
    /// Gives the packets of `interface` a thread of their own on `cpu`. The kernel makes a new one whenever an XDP program comes
    /// or goes.
    pub fn of(ns: &'lab Namespace, interface: &str, cpu: usize) -> Result<Self> {
        // Without `ip netns exec` /sys would show the interfaces of the machine.
        let write = format!("echo 1 > /sys/class/net/{interface}/threaded");
        process::run(Command::new("ip").args(["netns", "exec", ns.name(), "sh", "-c", &write]))?;
        let thread = wait_until("a receiving thread", Duration::from_secs(2), || {
            thread_of(interface)
        })?;
        let mut cpus = CpuSet::new();
        cpus.set(cpu)?;
        sched_setaffinity(Pid::from_raw(thread), &cpus).context("moving the receiving thread")?;
        Ok(Self {
            ns,
            interface: interface.to_owned(),
            thread,
        })
    }

    /// Runs before every ordinary program, as the interrupts of a network card do.
    pub fn be_urgent(&self) -> Result<()> {
        process::run(Command::new("chrt").args(["-f", "-p", "10", &self.thread.to_string()])).map(drop)
    }

    /// What it has done so far.
    pub fn received(&self) -> Result<Received> {
        let schedule = fs::read_to_string(format!("/proc/{}/schedstat", self.thread))?;
        let cpu_ns = schedule.split(' ').next().context("a schedstat")?.parse()?;
        let statistics = process::run(self.ns.command("ethtool")?.args(["-S", &self.interface]))?;
        let count = |name: &str| {
            let mut lines = statistics.lines();
            lines
                .find_map(|line| {
                    line.trim()
                        .strip_prefix("rx_queue_0_")?
                        .strip_prefix(name)?
                        .strip_prefix(": ")
                })
                .and_then(|number| number.parse().ok())
                .unwrap_or(0)
        };
        Ok(Received {
            cpu_ns,
            packets: count("xdp_packets"),
            dropped: count("xdp_drops"),
            returned: count("xdp_tx"),
        })
    }
}

impl Received {
    /// What came between `before` and now.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns - before.cpu_ns,
            packets: self.packets - before.packets,
            dropped: self.dropped - before.dropped,
            returned: self.returned - before.returned,
        }
    }
}

/// The youngest kernel thread that receives for an interface of this name.
fn thread_of(interface: &str) -> Result<Option<i32>> {
    let prefix = format!("napi/{interface}-");
    let mut found = None;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let comm = fs::read_to_string(Path::new("/proc").join(id.to_string()).join("comm"));
        if comm.is_ok_and(|comm| comm.starts_with(&prefix)) {
            found = found.max(Some(id));
        }
    }
    Ok(found)
}
