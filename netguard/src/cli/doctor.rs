//! `netguard doctor`: what this machine has of what netguard needs, and what to do about the rest.

mod leaving;

use std::{fs, path::Path};

use clap::Args;
use hyper::Method;
use nix::sys::utsname::uname;
use serde::Serialize;
use tabled::Tabled;

use super::{CliError, Context, output::table};
use crate::{
    bpf::{InstanceName, Link, Pins, bpffs_mounted, embedded_object, program_name, verify_object},
    config::InterfaceName,
    control::{Client, ClientError, DaemonStatus},
    daemon::{CookieState, sysctl_faults},
    host::{self, Interface, LinkLayer},
};

/// The oldest long-term kernel with all that the datapath uses (XDP links, ring buffer, coarse clock, `frags`).
const MIN_KERNEL: (u32, u32) = (6, 1);

#[derive(Args, Debug)]
pub(super) struct DoctorArgs {
    /// Interface to look at; without it, all.
    #[arg(short, long = "interface", value_name = "IFACE")]
    interfaces: Vec<InterfaceName>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// Works, with a drawback.
    Warn,
    /// Protection is not possible.
    Fail,
}

#[derive(Serialize)]
struct Diagnosis {
    ok: bool,
    checks: Vec<Check>,
}

#[derive(Clone, Serialize)]
struct Check {
    check: String,
    state: State,
    /// What was found, and the next step when it is not good.
    detail: String,
}

#[derive(Tabled)]
struct Row<'a> {
    #[tabled(rename = "")]
    state: &'static str,
    #[tabled(rename = "CHECK")]
    check: &'a str,
    #[tabled(rename = "FOUND")]
    detail: &'a str,
}

pub(super) async fn run(context: &Context, args: &DoctorArgs) -> Result<(), CliError> {
    let mut checks = vec![kernel(), root(), bpffs(), btf(), jit(), realtime(), object()];
    let mut interfaces = Vec::new();
    for name in &args.interfaces {
        interfaces.push(host::interface(name.as_str()).await?);
    }
    if args.interfaces.is_empty() {
        interfaces = host::interfaces().await?;
        interfaces.retain(|interface| interface.link_layer == LinkLayer::Ethernet);
    }
    checks.extend(
        interfaces
            .iter()
            .map(|interface| attached(interface, &context.pins)),
    );
    if args.interfaces.is_empty() {
        let gone = context.pins.interfaces().into_iter().filter(|name| {
            let link = Link::pinned(&context.pins, name);
            let renamed = link.is_some_and(|link| link.filtered(&interfaces).is_some());
            !renamed && !interfaces.iter().any(|interface| interface.name == *name)
        });
        checks.extend(gone.map(|name| {
            let detail = "NOT protected although it was: it is gone";
            check(format!("interface {name}"), State::Fail, detail)
        }));
    }
    let (daemon, status) = daemon(&context.instance).await;
    checks.push(leaving::reflection(&interfaces, &context.pins, status.as_ref()));
    checks.extend(leaving::tls(&interfaces, &context.pins, status.as_ref()));
    checks.push(cookies(status.as_ref()));
    checks.extend(status.as_ref().map(lists));
    checks.extend(status.as_ref().map(audit));
    checks.extend(status.as_ref().and_then(normal));
    checks.extend(status.as_ref().map(reputation));
    checks.push(daemon);
    let ok = checks.iter().all(|check| check.state != State::Fail);
    context.output.print(&Diagnosis { ok, checks }, |diagnosis| {
        table(
            diagnosis.checks.iter().map(|check| Row {
                state: match check.state {
                    State::Ok => "ok",
                    State::Warn => "warn",
                    State::Fail => "FAIL",
                },
                check: &check.check,
                detail: &check.detail,
            }),
            &[],
        )
    })?;
    if ok { Ok(()) } else { Err(CliError::Negative) }
}

fn check(name: impl Into<String>, state: State, detail: impl Into<String>) -> Check {
    Check {
        check: name.into(),
        state,
        detail: detail.into(),
    }
}

fn kernel() -> Check {
    let (release, version) = release();
    if version >= MIN_KERNEL {
        check("kernel", State::Ok, release)
    } else {
        let (major, minor) = MIN_KERNEL;
        check(
            "kernel",
            State::Fail,
            format!("{release}: netguard needs Linux {major}.{minor} or newer"),
        )
    }
}

/// The kernel's release, and the two numbers that it begins with.
fn release() -> (String, (u32, u32)) {
    let release = uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    (release, version)
}

/// What the daemon says, or could say: where `/proc/sys` is read-only, as in most containers, cookies begin late or never.
fn cookies(status: Option<&DaemonStatus>) -> Check {
    const NAME: &str = "SYN cookies";
    let faults = match status {
        Some(status) if status.cookies == CookieState::Undelivered => {
            let detail = "OFF: their answers did not arrive; `netguard events` tells why";
            return check(NAME, State::Warn, detail);
        }
        Some(status) => status.cookie_faults.clone(),
        None if !nix::unistd::geteuid().is_root() => {
            return check(NAME, State::Ok, "only root sees what is in their way");
        }
        None => sysctl_faults(),
    };
    if faults.is_empty() {
        return check(NAME, State::Ok, "nothing is in their way");
    }
    check(NAME, State::Warn, faults.join("; "))
}

/// Only the daemon knows.
fn lists(status: &DaemonStatus) -> Check {
    if status.list_faults.is_empty() {
        return check("lists", State::Ok, "as the configuration says");
    }
    check("lists", State::Warn, status.list_faults.join("; "))
}

/// Where it cannot be written, the filter goes on and nobody knows later what was decided.
fn audit(status: &DaemonStatus) -> Check {
    const NAME: &str = "audit trail";
    match &status.audit {
        None => check(NAME, State::Ok, "off: `audit.mode` says so"),
        Some(audit) => match audit.sentence() {
            None => check(NAME, State::Ok, format!("written to {}", audit.file.display())),
            Some(fault) => check(NAME, State::Warn, fault),
        },
    }
}

/// What was learnt before is known again, and will be.
fn normal(status: &DaemonStatus) -> Option<Check> {
    const NAME: &str = "what is normal";
    let normal = status.normal.as_ref()?;
    Some(match normal.sentence() {
        None => check(NAME, State::Ok, format!("kept in {}", normal.file.display())),
        Some(fault) => check(NAME, State::Warn, fault),
    })
}

/// Where it cannot be kept, penalties end with the daemon.
fn reputation(status: &DaemonStatus) -> Check {
    const NAME: &str = "reputation";
    match &status.reputation {
        None => check(NAME, State::Ok, "not kept on disk: the configuration says so"),
        Some(store) => match store.sentence() {
            None => check(NAME, State::Ok, format!("kept in {}", store.file.display())),
            Some(fault) => check(NAME, State::Warn, fault),
        },
    }
}

fn root() -> Check {
    if nix::unistd::geteuid().is_root() {
        check("rights", State::Ok, "root")
    } else {
        check("rights", State::Fail, "not root: run netguard with sudo")
    }
}

fn bpffs() -> Check {
    if bpffs_mounted() {
        check("bpffs", State::Ok, "mounted at /sys/fs/bpf")
    } else {
        check(
            "bpffs",
            State::Fail,
            "not mounted: `mount -t bpf bpffs /sys/fs/bpf`, and in /etc/fstab for the next boot",
        )
    }
}

fn btf() -> Check {
    if Path::new("/sys/kernel/btf/vmlinux").exists() {
        check("kernel BTF", State::Ok, "/sys/kernel/btf/vmlinux")
    } else {
        check(
            "kernel BTF",
            State::Warn,
            "absent: maps are shown without field names by bpftool",
        )
    }
}

fn jit() -> Check {
    match fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").map(|text| text.trim().to_owned()) {
        Ok(value) if value == "0" => check(
            "BPF JIT",
            State::Warn,
            "off: several times slower; `sysctl -w net.core.bpf_jit_enable=1`",
        ),
        Ok(_) => check("BPF JIT", State::Ok, "on"),
        Err(_) => check("BPF JIT", State::Ok, "always on in this kernel, or not told"),
    }
}

/// A packet's state lies in a map per CPU: what interrupts the filter there must have ended before the filter goes on.
fn realtime() -> Check {
    let version = uname()
        .map(|name| name.version().to_string_lossy().into_owned())
        .unwrap_or_default();
    if is_realtime(&version, Path::new("/sys/kernel/realtime")) {
        let detail = "PREEMPT_RT: netguard is not proven on real-time kernels; begin with --shadow";
        return check("preemption", State::Warn, detail);
    }
    check("preemption", State::Ok, "not a real-time kernel")
}

/// Whether a kernel with this version, as `uname -v` prints it, is a real-time one: those with the patches of before Linux 6.12
/// have a file, too, which says 1.
fn is_realtime(version: &str, marker: &Path) -> bool {
    version.contains("PREEMPT_RT") || fs::read_to_string(marker).is_ok_and(|text| text.trim() == "1")
}

fn object() -> Check {
    match verify_object(embedded_object()) {
        Ok(()) => check("kernel object", State::Ok, "built for this daemon"),
        Err(error) => check("kernel object", State::Fail, error.to_string()),
    }
}

fn attached(interface: &Interface, pins: &Pins) -> Check {
    let name = format!("interface {}", interface.name);
    let driver = interface.driver.as_deref().unwrap_or("unknown driver");
    let pinned = pins.interfaces().contains(&interface.name);
    let ours = Link::all(pins).iter().any(|link| link.filters(interface));
    match interface.xdp {
        None if pinned => check(
            name,
            State::Fail,
            format!(
                "{driver}, NOT protected although it was: it was removed and made again; a running daemon attaches the \
                 filter within a second, else `netguard run -i {}`",
                interface.name
            ),
        ),
        Some(xdp) if ours => check(
            name,
            State::Ok,
            format!("{driver}, protected by this instance ({})", xdp.mode),
        ),
        Some(xdp) if pinned => check(
            name,
            State::Fail,
            format!(
                "{driver}, NOT protected although it was: it runs another XDP program (id {})",
                xdp.program_id
            ),
        ),
        Some(xdp) => {
            let program = program_name(xdp.program_id).unwrap_or_else(|| "without a name".to_owned());
            check(
                name,
                State::Warn,
                format!(
                    "{driver}, another XDP program is attached: {program} (id {}, {}); netguard needs the hook for \
                     itself",
                    xdp.program_id, xdp.mode
                ),
            )
        }
        None if interface.up => check(name, State::Ok, format!("{driver}, up, no XDP program attached")),
        None => check(
            name,
            State::Warn,
            format!("{driver}, down: `ip link set {} up`", interface.name),
        ),
    }
}

/// Whether the daemon runs, and what it says: one that hangs takes connections, too.
async fn daemon(instance: &InstanceName) -> (Check, Option<DaemonStatus>) {
    let asked = match Client::connect(instance).await {
        Ok(mut client) => client.request(Method::GET, "/v1/status", None::<&()>).await,
        Err(error) => Err(error),
    };
    match asked {
        Ok(status) => {
            let detail = format!("instance {instance} runs");
            (check("daemon", State::Ok, detail), Some(status))
        }
        Err(ClientError::NotRunning) => {
            let detail = format!("instance {instance} does not run: `netguard run -i IFACE`");
            (check("daemon", State::Warn, detail), None)
        }
        Err(error) => (check("daemon", State::Fail, error.to_string()), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_time_kernels_are_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let marker = directory.path().join("realtime");
        let ordinary = "#1 SMP PREEMPT_DYNAMIC Debian 6.18.1-1 (2026-01-01)";
        assert!(!is_realtime(ordinary, &marker));
        assert!(is_realtime("#1 SMP PREEMPT_RT Debian 6.18.1-1", &marker));
        for (text, expected) in [("1\n", true), ("0\n", false), ("", false)] {
            fs::write(&marker, text).expect("a file");
            assert_eq!(is_realtime(ordinary, &marker), expected, "{text:?}");
        }
    }
}
