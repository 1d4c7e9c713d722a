//! A network of four namespaces without uplink, in which real tools attack a victim that a netguard may
//! protect.
//!
//! ```text
//!  attacker 192.0.2.66     --+
//!           2001:db8:2::66   |   switch: bridge and router, .1 and ::1       victim 203.0.113.10
//!                            +-- of each network; swallows what is for --+-- 2001:db8:3::10, nginx
//!  client   198.51.100.10  --+   nobody (replies to spoofed sources)
//!           2001:db8:1::10
//! ```
//!
//! Every namespace has one interface, [`IFACE`]. Senders compute checksums and segments themselves, so that
//! frames are as on a wire. Everything is removed when the [`Lab`] is dropped; what a killed test run left
//! behind is removed by the next one.

mod depot;
mod echo;
mod flood;
mod forged;
mod honest;
mod inject;
mod interrupt;
mod mute;
mod namespace;
mod napi;
mod netguard;
mod newcomers;
mod nginx;
mod old_tls;
mod process;
mod prometheus;
mod proxies;
mod publisher;
mod remains;
mod steady;
mod tcx;
mod unbound;

use std::{
    fs::File,
    path::Path,
    process::{Command, id},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result};
use tempfile::TempDir;

pub use depot::{Depot, FILE_BYTES, Seen};
pub use echo::{ECHO_PORT, Echo, ask};
pub use flood::{Attack, Flood, SOURCE_V4, SOURCE_V6, Sent, flood_frames, spread_frames};
pub use forged::{Forged, Forgery, SENDERS_CPU};
pub use honest::{Felt, Honest, TIMEOUT};
pub use inject::send_frames;
pub use interrupt::{interrupted, stop_on_interrupt};
pub use mute::Mute;
pub use namespace::{Counters, Namespace};
pub use napi::{Received, Receiver};
pub use netguard::{Netguard, Verdicts, binary, growth};
pub use newcomers::{Newcomers, crowd, newcomers};
pub use nginx::{BIG_BYTES, Nginx, SMALL_BODY};
pub use old_tls::{OldTls, Spoken, held as held_by_tls, speak as speak_tls};
pub(crate) use process::run_with_input;
pub use process::{Output, Running, output, wait_until};
pub use prometheus::{Prometheus, promtool};
pub use proxies::{ENDPOINT, Reply, ReverseProxy, curl};
pub use publisher::{Manner, Publisher, TOKEN};
pub use steady::Steady;
pub use tcx::{EgressProgram, TCX_NEXT, TCX_PASS, egress_programs};
pub use unbound::{BIG_NAME, Dig, NAME, NAME_ADDRESS, SMALL_NAME, Unbound, dig};

/// The name of the one interface in the namespaces of attacker, client and victim.
pub const IFACE: &str = "eth0";

/// Half-open connections that the victim's listener holds. With SYN cookies off the kernel refuses sources it
/// does not know from three quarters of it on, so this carries one source under [`WEAK_VICTIM_LIMITS`] for ten
/// seconds.
pub const SYN_BACKLOG: u32 = 1024;

/// Limits that the victim's backlog can carry: a source may open as many connections as fit beside others.
pub const WEAK_VICTIM_LIMITS: &str = "limit.syn = { rate_per_s = 50, burst = 200 }\n";

/// An IP version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl Family {
    /// `"IPv4"` or `"IPv6"`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.of("IPv4", "IPv6")
    }

    /// The first for IPv4, the second for IPv6.
    pub fn of<T>(self, v4: T, v6: T) -> T {
        match self {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }
}

/// A place in the lab.
#[derive(Debug)]
pub struct Host {
    /// Its network namespace.
    pub ns: Namespace,
    /// Its IPv4 address; the router has `.1` of the same /24.
    pub ip4: &'static str,
    /// Its IPv6 address; the router has `::1` of the same /64.
    pub ip6: &'static str,
    /// The hardware address of its interface.
    pub mac: [u8; 6],
}

impl Host {
    /// Its address of one family.
    #[must_use]
    pub fn ip(&self, family: Family) -> &'static str {
        family.of(self.ip4, self.ip6)
    }
}

/// The running network; see the module's text for its shape.
#[derive(Debug)]
pub struct Lab {
    /// A name that no other lab on this machine has; netguard uses it as its instance.
    pub name: String,
    /// Who sends floods.
    pub attacker: Host,
    /// Who wants to be served.
    pub client: Host,
    /// Who serves, and is protected or not.
    pub victim: Host,
    /// Bridge and router between the three.
    pub switch: Namespace,
    /// Files of the servers and tools in the lab.
    pub dir: TempDir,
    /// Two floods on one machine spoil each other's figures.
    _alone: File,
}

/// Labs of one process are made one after the other: two would remove the same remains of dead ones.
static MAKING: Mutex<()> = Mutex::new(());

/// The hardware address of the router.
pub const ROUTER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

impl Lab {
    /// Builds the network. Waits for other labs on this machine to end; needs root, `ip` and `ethtool`.
    pub fn new() -> Result<Self> {
        Self::of(remains::wait_for_others()?)
    }

    /// As [`Self::new`], for who measures nothing: others may be beside it, who do the same.
    pub fn beside_others() -> Result<Self> {
        Self::of(remains::wait_for_floods()?)
    }

    fn of(alone: File) -> Result<Self> {
        let making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        remains::remove_of_dead()?;
        let name = remains::next_name();
        let ns = |place: &str| Namespace::create(&format!("{name}-{place}"));
        let lab = Self {
            attacker: Host {
                ns: ns("att")?,
                ip4: "192.0.2.66",
                ip6: "2001:db8:2::66",
                mac: [2, 0, 0, 0, 2, 0x66],
            },
            client: Host {
                ns: ns("cli")?,
                ip4: "198.51.100.10",
                ip6: "2001:db8:1::10",
                mac: [2, 0, 0, 0, 1, 0x10],
            },
            victim: Host {
                ns: ns("vic")?,
                ip4: "203.0.113.10",
                ip6: "2001:db8:3::10",
                mac: [2, 0, 0, 0, 3, 0x10],
            },
            switch: ns("sw")?,
            dir: tempfile::Builder::new().prefix(&format!("{name}-")).tempdir()?,
            _alone: alone,
            name,
        };
        drop(making);
        lab.build()
            .with_context(|| format!("building the lab network {} of process {}", lab.name, id()))?;
        Ok(lab)
    }

    /// A network namespace without any network, and the right to be alone on this machine, which lasts as long as the file is
    /// open.
    pub fn bare() -> Result<(Namespace, File)> {
        let alone = remains::wait_for_others()?;
        let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        remains::remove_of_dead()?;
        Ok((
            Namespace::create(&format!("{}-bare", remains::next_name()))?,
            alone,
        ))
    }

    fn build(&self) -> Result<()> {
        for (key, value) in [
            ("net.ipv4.ip_forward", "1"),
            ("net.ipv6.conf.all.forwarding", "1"),
            ("net.ipv4.conf.all.send_redirects", "0"),
            ("net.ipv4.conf.default.send_redirects", "0"),
            // Nobody else can have these addresses: looking for duplicates would take two seconds.
            ("net.ipv6.conf.all.accept_dad", "0"),
            ("net.ipv6.conf.default.accept_dad", "0"),
        ] {
            self.switch.sysctl(key, value)?;
        }
        let mac = mac_text(ROUTER_MAC);
        self.switch.ip(&format!(
            "link add br0 address {mac} type bridge stp_state 0 mcast_snooping 0\nlink set lo up\n\
             route add blackhole 0.0.0.0/0\nroute add blackhole ::/0"
        ))?;
        for host in [&self.attacker, &self.client, &self.victim] {
            self.plug(host)?;
        }
        // Last: a bridge that comes up before its ports have a carrier drops packets for up to a second
        // (linkwatch).
        self.switch.ip("link set br0 up")?;
        for (key, value) in [
            ("net.ipv4.tcp_syncookies", "0".to_owned()),
            ("net.ipv4.tcp_max_syn_backlog", SYN_BACKLOG.to_string()),
            // A kernel that remembers a client lets it in although the queue is full: then a flood looks
            // harmless.
            ("net.ipv4.tcp_no_metrics_save", "1".to_owned()),
        ] {
            self.victim.ns.sysctl(key, &value)?;
        }
        Ok(())
    }

    /// Lets the switch take what the victim's XDP program sends back itself: a veth delivers that only to an end that runs an
    /// XDP program, too (`veth_xdp_flush()` in drivers/net/veth.c). Cards do not ask for this.
    pub fn take_answers(&self) -> Result<()> {
        let object = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bpf/reference.bpf.o");
        let pins = Path::new("/sys/fs/bpf").join(&self.name);
        process::run(
            Command::new("bpftool")
                .args(["prog", "loadall"])
                .arg(object)
                .arg(&pins),
        )?;
        // It passes what is not on its list, which is empty.
        let program = pins.join("parse_hash");
        // Not by `ip -n`, which would hide the pins.
        let attached = process::run(
            self.switch
                .command("ip")?
                .args(["link", "set", "dev", &port_of(&self.victim), "xdpdrv", "pinned"])
                .arg(&program),
        );
        std::fs::remove_dir_all(&pins)?;
        attached.map(drop)
    }

    /// Lets the switch take packets of the victim in groups, which makes a veth take those of an XDP program, too.
    pub fn aggregate_at_switch(&self) -> Result<()> {
        self.switch.ethtool(&port_of(&self.victim), &["gro", "on"])
    }

    /// Lets the victim take packets in groups, as cards do: without it a firewall would work on the sender's CPU.
    pub fn aggregate_at_victim(&self) -> Result<()> {
        self.victim.ns.ethtool(IFACE, &["gro", "on"])
    }

    /// The switch's end of the victim's cable.
    #[must_use]
    pub fn port_of_victim(&self) -> String {
        port_of(&self.victim)
    }

    fn plug(&self, host: &Host) -> Result<()> {
        let (ns, mac) = (host.ns.name(), mac_text(host.mac));
        let port = port_of(host);
        for place in [
            "ipv4.conf.all",
            "ipv4.conf.default",
            "ipv6.conf.all",
            "ipv6.conf.default",
        ] {
            host.ns.sysctl(&format!("net.{place}.accept_redirects"), "0")?;
        }
        host.ns.sysctl("net.ipv6.conf.all.accept_dad", "0")?;
        host.ns.sysctl("net.ipv6.conf.default.accept_dad", "0")?;
        let (gate4, gate6) = (router_of(host.ip4), router_of(host.ip6));
        self.switch.ip(&format!(
            "link add {port} type veth peer name {IFACE} address {mac} netns {ns}\nlink set {port} master br0\n\
             addr add {gate4}/24 dev br0\naddr add {gate6}/64 dev br0 nodad"
        ))?;
        // The tags of a frame must lie in its bytes when it reaches the card, not beside them.
        self.switch.ethtool(
            &port,
            &[
                "tx", "off", "tso", "off", "gso", "off", "gro", "off", "txvlan", "off",
            ],
        )?;
        self.switch.ethtool(&port, &["tx-vlan-stag-hw-insert", "off"])?;
        host.ns
            .ethtool(IFACE, &["tx", "off", "tso", "off", "gso", "off", "gro", "off"])?;
        host.ns.ip(&format!(
            "link set lo up\nlink set {IFACE} up\naddr add {}/24 dev {IFACE}\naddr add {}/64 dev {IFACE} nodad\n\
             route add default via {gate4}\nroute add ::/0 via {gate6}",
            host.ip4, host.ip6
        ))?;
        self.switch.ip(&format!("link set {port} up"))
    }
}

/// The switch's end of the cable to `host`.
fn port_of(host: &Host) -> String {
    let ns = host.ns.name();
    format!("p-{}", ns.rsplit('-').next().unwrap_or(ns))
}

/// The router's address in the network of `address`.
fn router_of(address: &str) -> String {
    match address.rsplit_once("::") {
        Some((net, _)) => format!("{net}::1"),
        None => address
            .rsplit_once('.')
            .map(|(net, _)| format!("{net}.1"))
            .unwrap_or_default(),
    }
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
