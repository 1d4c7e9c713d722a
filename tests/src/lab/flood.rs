//! Floods from the attacker's namespace by real tools: hping3 for IPv4, trafgen for IPv6 and for frames of
//! one's own.
//!
//! A flood ends by itself, whatever becomes of the test: it is bounded in packets by the tool and in CPU
//! seconds by the kernel. Its sources are few, fixed and owned by nobody, so no kernel answers for them;
//! replies vanish at the router.

use std::{fmt::Write, fs, os::unix::process::CommandExt, process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use nix::sys::{
    resource::{Resource, setrlimit},
    signal::Signal,
};

use super::{Family, IFACE, Lab, ROUTER_MAC, Running, wait_until};
use crate::frames::{Frame, frame};

/// The one source of IPv4 floods (a network for benchmarks, RFC 2544; nobody in the lab has it).
pub const SOURCE_V4: &str = "198.18.5.5";

/// The one /64 that IPv6 floods come from.
pub const SOURCE_V6: &str = "2001:db8:66::/64";

/// Packets after which a tool stops by itself.
const MAX_PACKETS: u32 = 20_000_000;

/// CPU seconds after which the kernel ends a tool.
const MAX_CPU_S: u64 = 20;

/// Between two packets of a spread flood.
const SPREAD_GAP: Duration = Duration::from_micros(20);

/// What a flood consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// SYNs to the web server, each from another port.
    Syn,
    /// Datagrams of 64 bytes to a closed port.
    Udp,
    /// Echo requests.
    Icmp,
    /// Segments to the web server of connections that do not exist, with these flags.
    Stray(&'static str),
    /// Packets of a tunnel (GRE, protocol 47) that nobody has set up.
    Tunnel,
    /// Small pieces of packets whose beginning never comes.
    Pieces,
}

/// A flood under way; ended on drop.
#[derive(Debug)]
pub struct Flood<'lab> {
    lab: &'lab Lab,
    tool: Running,
    sent_before: u64,
}

/// What a flood was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Packets that left the attacker's interface, by the interface's own count.
    pub packets: u64,
}

impl Attack {
    /// `"SYN"`, `"UDP"`, `"ICMP"`, `"stray TCP"`, `"GRE"` or `"pieces"`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Attack::Syn => "SYN",
            Attack::Udp => "UDP",
            Attack::Icmp => "ICMP",
            Attack::Stray(_) => "stray TCP",
            Attack::Tunnel => "GRE",
            Attack::Pieces => "pieces",
        }
    }
}

impl<'lab> Flood<'lab> {
    /// Floods the victim from one source, as fast as a tool at low priority can; returns once the flood is
    /// under way.
    pub fn start(lab: &'lab Lab, attack: Attack, family: Family) -> Result<Self> {
        match family {
            Family::V4 => Self::by_hping3(lab, attack),
            Family::V6 => Self::by_trafgen(lab, &flood_frames(lab, attack, SOURCE_V6_HOSTS)),
        }
    }

    /// Asks the web server for connections in the name of thousands of sources that nobody owns, each well below any limit.
    pub fn spread(lab: &'lab Lab, family: Family) -> Result<Self> {
        Self::spread_as(lab, Attack::Syn, family)
    }

    /// Sends an attack in the name of thousands of sources that nobody owns: some 20,000 packets a second, which a veth's ring
    /// of 256 takes without loss while its other end waits for a CPU.
    pub fn spread_as(lab: &'lab Lab, attack: Attack, family: Family) -> Result<Self> {
        Self::paced(lab, &spread_frames(lab, attack, family), SPREAD_GAP)
    }

    /// Sends `payload` to the UDP service in the name of 65,536 sources that nobody owns, chosen at random for each packet.
    pub fn scattered(lab: &'lab Lab, family: Family, payload: &[u8]) -> Result<Self> {
        Self::scattered_to(lab, family, super::ECHO_PORT, payload)
    }

    /// [`Self::scattered`], to another port.
    pub fn scattered_to(lab: &'lab Lab, family: Family, port: u16, payload: &[u8]) -> Result<Self> {
        let start = frame().macs(lab.attacker.mac, ROUTER_MAC);
        let start = match family {
            Family::V4 => start.ipv4("198.18.0.0", lab.victim.ip4),
            Family::V6 => start.ipv6("2001:db8:66::1", lab.victim.ip6),
        };
        let bytes = start.udp(20_000, port).data(payload).build();
        // Two bytes each that the tool fills in: of the source, and the checksums.
        let filled = match family {
            Family::V4 => &[(24, "csumip(14, 33)"), (28, "drnd(2)"), (40, "csumudp(14, 34)")][..],
            Family::V6 => &[(28, "drnd(2)"), (60, "csumudp6(14, 54)")],
        };
        Self::by_trafgen_config(lab, &filled_config(&bytes, filled))
    }

    /// Asks the web server for connections, for a minute and longer, each time in the name of one of 65,536 sources that
    /// nobody owns, from a port chosen at random, too.
    pub fn lasting(lab: &'lab Lab, family: Family) -> Result<Self> {
        let start = frame().macs(lab.attacker.mac, ROUTER_MAC);
        let start = match family {
            Family::V4 => start.ipv4("198.18.0.0", lab.victim.ip4),
            Family::V6 => start.ipv6("2001:db8:66::1", lab.victim.ip6),
        };
        let bytes = content(start, Attack::Syn, family == Family::V6, 0).build();
        let filled = match family {
            Family::V4 => &[
                (24, "csumip(14, 33)"),
                (28, "drnd(2)"),
                (34, "drnd(2)"),
                (50, "csumtcp(14, 34)"),
            ][..],
            Family::V6 => &[(28, "drnd(2)"), (54, "drnd(2)"), (70, "csumtcp6(14, 54)")],
        };
        let command = trafgen(lab, &filled_config(&bytes, filled), 4 * MAX_PACKETS)?;
        Self::run(lab, command, 5 * MAX_CPU_S)
    }

    fn by_hping3(lab: &'lab Lab, attack: Attack) -> Result<Self> {
        let mut command = lab.attacker.ns.command("hping3")?;
        let count = MAX_PACKETS.to_string();
        command.args(["-I", IFACE, "-q", "-n", "--flood", "-c", &count, "-a", SOURCE_V4]);
        command.args(match attack {
            Attack::Syn => &["-S", "-p", "80"][..],
            Attack::Udp => &["--udp", "-p", "9999", "-d", "64"],
            Attack::Icmp => &["--icmp"],
            Attack::Stray(_) => &["-p", "80"],
            // 47 is not the default of this mode, and the first bytes are no header that means anything.
            Attack::Tunnel => &["--rawip", "--ipproto", "47", "-d", "88"],
            Attack::Pieces => bail!("pieces are sent by trafgen"),
        });
        if let Attack::Stray(flags) = attack {
            command.args(flags.chars().map(|flag| format!("-{flag}")));
        }
        command.arg(lab.victim.ip4);
        Self::run(lab, command, MAX_CPU_S)
    }

    /// Sends these frames from the attacker over and over, in turn.
    pub fn by_trafgen(lab: &'lab Lab, frames: &[Vec<u8>]) -> Result<Self> {
        Self::by_trafgen_config(lab, &trafgen_config(frames))
    }

    /// [`Self::by_trafgen`], with so long between two frames, and a little more. (By `--rate` it sends all of a second at once.)
    pub fn paced(lab: &'lab Lab, frames: &[Vec<u8>], gap: Duration) -> Result<Self> {
        let mut command = trafgen(lab, &trafgen_config(frames), MAX_PACKETS)?;
        command.args(["--gap", &format!("{}us", gap.as_micros())]);
        Self::run(lab, command, MAX_CPU_S)
    }

    fn by_trafgen_config(lab: &'lab Lab, text: &str) -> Result<Self> {
        Self::run(lab, trafgen(lab, text, MAX_PACKETS)?, MAX_CPU_S)
    }

    fn run(lab: &'lab Lab, mut command: Command, max_cpu_s: u64) -> Result<Self> {
        // SAFETY: the closure makes system calls only; it neither allocates nor takes locks.
        unsafe {
            command.pre_exec(move || {
                setrlimit(Resource::RLIMIT_CPU, max_cpu_s, max_cpu_s)?;
                // A flood that is paced wakes up when it should: as a rule the kernel takes 50 us more.
                nix::errno::Errno::result(libc::prctl(libc::PR_SET_TIMERSLACK, 1))?;
                // The honest client and the server come first, or a full CPU would look like a successful
                // attack.
                nix::errno::Errno::result(libc::setpriority(libc::PRIO_PROCESS, 0, 15))?;
                Ok(())
            })
        };
        let sent_before = sent_by(lab)?;
        let tool = Running::start(&mut command, &lab.dir.path().join("flood.log"))?;
        let mut flood = Self {
            lab,
            tool,
            sent_before,
        };
        wait_until("a flood to get under way", Duration::from_secs(10), || {
            flood.tool.must_run()?;
            Ok((sent_by(lab)? > sent_before + 1000).then_some(()))
        })?;
        Ok(flood)
    }

    /// Packets sent so far.
    pub fn sent(&self) -> Result<Sent> {
        Ok(Sent {
            packets: sent_by(self.lab)? - self.sent_before,
        })
    }

    /// Ends the flood; an error if it had ended before.
    pub fn stop(mut self) -> Result<Sent> {
        self.tool
            .must_run()
            .context("the flood did not last until it was stopped")?;
        self.tool.stop(Signal::SIGINT, Duration::from_secs(5))?;
        self.sent()
    }
}

/// The hosts in `SOURCE_V6` that take turns: to netguard they are one source.
const SOURCE_V6_HOSTS: &[&str] = &[
    "2001:db8:66::1",
    "2001:db8:66::2",
    "2001:db8:66::3",
    "2001:db8:66::4",
];

/// Frames of a flood from these sources to the victim, through the router: each source with 256 ports or
/// identifiers.
#[must_use]
pub fn flood_frames(lab: &Lab, attack: Attack, sources: &[&str]) -> Vec<Vec<u8>> {
    flood_frames_from(lab, attack, sources, 0..256)
}

/// One frame of an attack from each of thousands of sources that nobody owns.
#[must_use]
pub fn spread_frames(lab: &Lab, attack: Attack, family: Family) -> Vec<Vec<u8>> {
    let sources: Vec<String> = (0..4_000_u32)
        .map(|host| match family {
            Family::V4 => format!("198.18.{}.{}", host / 250, 1 + host % 250),
            Family::V6 => format!("2001:db8:66:{host:x}::1"),
        })
        .collect();
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    flood_frames_from(lab, attack, &sources, 0..1)
}

/// [`flood_frames`], with these ports or identifiers only.
fn flood_frames_from(
    lab: &Lab,
    attack: Attack,
    sources: &[&str],
    numbers: std::ops::Range<u16>,
) -> Vec<Vec<u8>> {
    let frames = numbers.flat_map(|number| {
        sources.iter().map(move |source| {
            let v6 = source.contains(':');
            let start = frame().macs(lab.attacker.mac, ROUTER_MAC);
            let start = if v6 {
                start.ipv6(source, lab.victim.ip6)
            } else {
                start.ipv4(source, lab.victim.ip4)
            };
            content(start, attack, v6, number).build()
        })
    });
    frames.collect()
}

fn content(start: Frame, attack: Attack, v6: bool, number: u16) -> Frame {
    match attack {
        Attack::Syn => start
            .tcp(20_000 + number, 80)
            .flags("S")
            .tcp_options(&[2, 4, 5, 160]),
        Attack::Udp => start.udp(20_000 + number, 9999).payload(64),
        Attack::Stray(flags) => start.tcp(30_000 + number, 80).flags(flags).ack(0x1234_5678),
        Attack::Icmp if v6 => start.icmp6(128, 0).rest(number.into()).payload(56),
        Attack::Icmp => start.icmp(8, 0).rest(number.into()).payload(56),
        // A header without options, and IPv4 in it.
        Attack::Tunnel => start.protocol(47).data(&[0, 0, 8, 0]).payload(84),
        Attack::Pieces => start
            .fragment(1_480, true)
            .fragment_id(u32::from(number) + 1)
            .protocol(17)
            .payload(64),
    }
}

/// A trafgen that sends at most so many packets.
fn trafgen(lab: &Lab, config: &str, packets: u32) -> Result<Command> {
    let path = lab.dir.path().join("trafgen.cfg");
    fs::write(&path, config)?;
    let mut command = lab.attacker.ns.command("trafgen")?;
    command.args(["--dev", IFACE, "--cpus", "1"]);
    command.args(["--no-sock-mem", "--no-cpu-stats", "--notouch-irq"]);
    command.args(["--num", &packets.to_string(), "--conf"]).arg(&path);
    Ok(command)
}

/// One frame, in which the tool fills in two bytes each at these places.
fn filled_config(bytes: &[u8], filled: &[(usize, &str)]) -> String {
    let mut config = String::from("{");
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match filled.iter().find(|(place, _)| *place == at) {
            Some((_, function)) => {
                let _ = write!(config, " {function},");
                at += 2;
            }
            None => {
                let _ = write!(config, " 0x{byte:02x},");
                at += 1;
            }
        }
    }
    config.push_str(" }\n");
    config
}

fn trafgen_config(frames: &[Vec<u8>]) -> String {
    let mut config = String::new();
    for frame in frames {
        config.push('{');
        for byte in frame {
            let _ = write!(config, " 0x{byte:02x},");
        }
        config.push_str(" }\n");
    }
    config
}

fn sent_by(lab: &Lab) -> Result<u64> {
    Ok(lab.attacker.ns.counters(IFACE)?.tx)
}
