//! One network namespace: made and removed by name, entered by a thread or a program. It knows nothing of the
//! lab's shape.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::Command,
    thread,
};

use anyhow::{Context, Result, bail};
use nix::{
    sched::{CloneFlags, setns},
    sys::{
        prctl,
        signal::{Signal, kill},
    },
    unistd::Pid,
};

use super::process;

/// A network namespace of our own; removed on drop.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

/// Packets that an interface has counted since it was made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counters {
    /// Packets received.
    pub rx: u64,
    /// Packets sent; those the other end had no room for are not among them.
    pub tx: u64,
}

impl Namespace {
    pub(super) fn create(name: &str) -> Result<Self> {
        process::run(Command::new("ip").args(["netns", "add", name]))?;
        Ok(Self {
            name: name.to_owned(),
        })
    }

    /// Its name under `/run/netns`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A program to be run in this network namespace but in our mount namespace, where bpffs is (`ip netns
    /// exec` would hide it). It dies with the thread that starts it.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Result<Command> {
        let ns = self.open()?;
        let mut command = Command::new(program);
        // SAFETY: the closure makes system calls only; it neither allocates nor takes locks.
        unsafe {
            command.pre_exec(move || {
                prctl::set_pdeathsig(Signal::SIGKILL)?;
                Ok(setns(&ns, CloneFlags::CLONE_NEWNET)?)
            })
        };
        Ok(command)
    }

    /// Runs `inside` on a thread of its own that has entered the namespace.
    pub fn enter<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> Result<T> {
        let ns = self.open()?;
        thread::scope(|scope| {
            let entered = scope.spawn(move || -> Result<T> {
                setns(ns, CloneFlags::CLONE_NEWNET)?;
                Ok(inside())
            });
            entered
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
        .with_context(|| format!("entering network namespace {}", self.name))
    }

    /// What an interface in here has counted.
    pub fn counters(&self, iface: &str) -> Result<Counters> {
        // /proc/self would show the namespace of the main thread.
        let table = self.enter(|| fs::read_to_string("/proc/thread-self/net/dev"))??;
        let line = table
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(iface)?.strip_prefix(':'));
        let fields: Vec<u64> = line
            .unwrap_or_default()
            .split_whitespace()
            .flat_map(str::parse)
            .collect();
        match fields[..] {
            [_, rx, _, _, _, _, _, _, _, tx, ..] => Ok(Counters { rx, tx }),
            _ => bail!("no interface {iface} in network namespace {}", self.name),
        }
    }

    /// IP packets that were delivered to protocols in here.
    pub fn delivered(&self) -> Result<u64> {
        let (v4, v6) = self.enter(|| {
            let read = |table| fs::read_to_string(format!("/proc/thread-self/net/{table}"));
            (read("snmp"), read("snmp6"))
        })?;
        let (v4, v6) = (v4?, v6?);
        let mut lines = v4.lines().filter_map(|line| line.strip_prefix("Ip: "));
        let (names, counts) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let mut columns = names.split(' ').zip(counts.split(' '));
        let v4 = columns.find(|(name, _)| *name == "InDelivers");
        let v6 = v6.lines().find_map(|line| line.strip_prefix("Ip6InDelivers"));
        let counts = [v4.map(|(_, count)| count), v6];
        let counts = counts.map(|count| {
            count
                .context("a count of delivered packets")?
                .trim()
                .parse::<u64>()
                .map_err(Into::into)
        });
        counts.into_iter().sum()
    }

    /// Runs lines of `ip` commands in here.
    pub fn ip(&self, lines: &str) -> Result<()> {
        process::run_with_input(Command::new("ip").args(["-n", &self.name, "-batch", "-"]), lines)
            .map(drop)
            .with_context(|| format!("in network namespace {}", self.name))
    }

    pub(super) fn ethtool(&self, iface: &str, features: &[&str]) -> Result<()> {
        process::run(self.command("ethtool")?.args(["-K", iface]).args(features)).map(drop)
    }

    /// Sets a value under `/proc/sys/net` as this namespace sees it; `key` with dots.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        self.enter(|| fs::write(&path, value))?
            .with_context(|| format!("writing {value} to {path} in {}", self.name))
    }

    pub(super) fn open(&self) -> Result<File> {
        let path = path_of(&self.name);
        File::open(&path).with_context(|| format!("opening {}", path.display()))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

pub(super) fn path_of(name: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(name)
}

/// Removes a namespace by name, after ending the programs inside. Says so if it cannot.
pub(super) fn remove(name: &str) {
    if let Err(error) =
        end_programs(name).and_then(|()| process::run(Command::new("ip").args(["netns", "del", name])))
    {
        eprintln!("lab: {error:#}");
    }
}

/// The lab's own guards have done this, unless the process that held them was killed.
fn end_programs(name: &str) -> Result<()> {
    let pids = process::run(Command::new("ip").args(["netns", "pids", name]))?;
    for pid in pids.split_whitespace() {
        // It may have ended since.
        let _ = kill(Pid::from_raw(pid.parse()?), Signal::SIGKILL);
    }
    Ok(())
}
