//! Floods from tens of thousands of sources that nobody has, faster than any tool can send: live frames of a test run, put
//! straight on the victim's cable.
//!
//! Such a flood ends by itself after a while, whatever becomes of the test, and only ever enters a laboratory's own cable.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use netguard::bpf::{AttachMode, Attachment, Driver, drive};
use netguard_common::drive::Drive;
use nix::{
    net::if_::if_nametoindex,
    sched::{CloneFlags, setns},
};

use super::{Attack, Family, Lab, ROUTER_MAC, port_of, wait_until};
use crate::{frames::frame, pin_to_cpu};

/// The CPU that the flood comes from. The victim's is another one.
pub const SENDERS_CPU: usize = 0;

/// After this time a flood ends by itself.
const LONGEST: Duration = Duration::from_secs(60);
/// Turns of one system call: a fraction of a second.
const TURNS: u32 = 500_000;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Forgery {
    /// What each packet is.
    pub attack: Attack,
    /// Its IP version.
    pub family: Family,
    /// Number of the first source, see [`netguard_common::drive`].
    pub first: u32,
    /// Sources, a power of two.
    pub sources: u32,
    /// Packets a second; 0 for as many as go.
    pub per_second: u32,
}

/// A flood under way; ended on drop.
#[derive(Debug)]
pub struct Forged {
    stop: Arc<AtomicBool>,
    sender: Option<JoinHandle<Result<Drive>>>,
    begun: Instant,
}

impl Forged {
    /// Floods the victim; returns once the flood is under way. `driver` is the benchmark's driver object.
    pub fn start(lab: &Lab, driver: &[u8], forgery: Forgery) -> Result<Self> {
        let ns = lab.switch.open()?;
        let port = port_of(&lab.victim);
        let mut plan = plan(lab, forgery)?;
        let mut driver = Driver::load(driver)?;
        let stop = Arc::new(AtomicBool::new(false));
        let under_way = Arc::new(AtomicBool::new(false));
        let (stopped, sending) = (Arc::clone(&stop), Arc::clone(&under_way));
        let sender = thread::spawn(move || -> Result<Drive> {
            setns(ns, CloneFlags::CLONE_NEWNET)?;
            pin_to_cpu(SENDERS_CPU)?;
            plan.interface = if_nametoindex(port.as_str())?;
            driver.set(&plan)?;
            driver.park("flood", if_nametoindex("lo")?)?;
            let end = Instant::now() + LONGEST;
            while !stopped.load(Ordering::Relaxed) && Instant::now() < end {
                driver.send(TURNS)?;
                sending.store(true, Ordering::Relaxed);
            }
            Ok(driver.drive()?)
        });
        let flood = Self {
            stop,
            sender: Some(sender),
            begun: Instant::now(),
        };
        wait_until("a flood to get under way", Duration::from_secs(10), || {
            let ended = flood.sender.as_ref().is_some_and(JoinHandle::is_finished);
            Ok((ended || under_way.load(Ordering::Relaxed)).then_some(()))
        })?;
        if under_way.load(Ordering::Relaxed) {
            Ok(flood)
        } else {
            flood
                .stop()
                .map(|_| ())
                .and(Err(anyhow!("the flood ended at once")))
        }
    }

    /// Ends the flood; answers the packets that were sent a second.
    pub fn stop(mut self) -> Result<f64> {
        self.stop.store(true, Ordering::Relaxed);
        let lasted = self.begun.elapsed();
        let sender = self.sender.take().context("a flood ends once")?;
        let drive = sender.join().map_err(|_| anyhow!("the sender panicked"))??;
        ensure!(lasted < LONGEST, "the flood did not last until it was stopped");
        Ok(drive.sent as f64 / lasted.as_secs_f64())
    }
}

impl Drop for Forged {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(sender) = self.sender.take() {
            let _ = sender.join();
        }
    }
}

impl Lab {
    /// Lets what the victim answers to sources that nobody has vanish at the other end of its cable, as it would on a real wire,
    /// until what this returns is dropped.
    pub fn swallow_answers(&self, driver: &[u8]) -> Result<Attachment> {
        let port = port_of(&self.victim);
        let mut driver = Driver::load(driver)?;
        self.switch
            .enter(|| Ok(driver.attach("wire", if_nametoindex(port.as_str())?, AttachMode::Native)?))?
    }
}

/// What the driver has to do for `forgery`.
fn plan(lab: &Lab, forgery: Forgery) -> Result<Drive> {
    let Forgery {
        attack,
        family,
        first,
        ..
    } = forgery;
    let start = frame().macs(ROUTER_MAC, lab.victim.mac);
    let (start, transport_at) = match family {
        Family::V4 => (start.ipv4("0.0.0.0", lab.victim.ip4), 34),
        Family::V6 => (start.ipv6("::", lab.victim.ip6), 54),
    };
    // The ballast: half of the sequence number, or the first bytes of the data.
    let (frame, ballast_at) = match attack {
        Attack::Syn => {
            // As long as its answer: the next frame in the page of one that a receiver shortened would be cut, too (Linux 6.18).
            const OPTIONS: [u8; 4] = [2, 4, 5, 180];
            let syn = start.tcp(20_000, 80).flags("S").seq(0x0001_0000);
            (syn.tcp_options(&OPTIONS), transport_at + 6)
        }
        Attack::Udp => (start.udp(20_000, 9999).data(&[0; 22]), transport_at + 8),
        Attack::Stray(flags) => {
            let segment = start.tcp(20_000, 80).flags(flags).seq(0x0001_0000);
            (segment, transport_at + 6)
        }
        // Its identifier. An IPv4 message's checksum does not cover the address: it becomes wrong, which only who takes it in looks at.
        Attack::Icmp => {
            let echo = match family {
                Family::V4 => start.icmp(8, 0),
                Family::V6 => start.icmp6(128, 0),
            };
            (echo.payload(56), transport_at + 4)
        }
        Attack::Tunnel | Attack::Pieces => anyhow::bail!("no such flood is made here"),
    };
    let mut frame = frame.build();
    if family == Family::V4 {
        // What the identification gives up, the header's checksum takes (RFC 1624).
        let [identification, checksum] = [18, 24].map(|at| u16::from_be_bytes([frame[at], frame[at + 1]]));
        let (sum, carry) = checksum.overflowing_add(identification);
        frame[24..26].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
        frame[18..20].fill(0);
    }
    Ok(Drive {
        ballast_at,
        gap_ns: 1_000_000_000_u64
            .checked_div(forgery.per_second.into())
            .unwrap_or(0),
        ..drive(&frame, family == Family::V6, first, forgery.sources)
    })
}
