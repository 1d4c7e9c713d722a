//! What others do to the interface: a program of theirs that is there first or comes later, a link that is taken off, frames
//! that are longer than a page.

use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use netguard_tests::{
    frames::frame,
    lab::{BIG_BYTES, Family, IFACE, Lab, Netguard, growth, output, send_frames, wait_until},
};
use serde_json::Value;

use super::lab;
use crate::{
    protect,
    verdicts::{COPIES, judged, wait_for},
};

/// The XDP program that the victim's interface runs, by the kernel.
fn program(lab: &Lab) -> Result<Option<u64>> {
    let mut ip = lab.victim.ns.command("ip")?;
    let shown = output(ip.args(["-json", "link", "show", IFACE]), Duration::from_secs(5))?;
    let shown: Value = serde_json::from_str(&shown.stdout)?;
    Ok(shown[0]["xdp"]["prog"]["id"].as_u64())
}

/// Whether this could be done.
fn xdp_filter(lab: &Lab, args: &[&str]) -> Result<bool> {
    let mut filter = lab.victim.ns.command("xdp-filter")?;
    Ok(output(filter.args(args), Duration::from_secs(20))?.status == 0)
}

/// Takes away what `xdp-filter` pins outside of the lab, whatever becomes of the test.
struct Unload<'lab>(&'lab Lab);

impl Drop for Unload<'_> {
    fn drop(&mut self) {
        let _ = xdp_filter(self.0, &["unload", IFACE]);
    }
}

#[test]
fn a_program_of_others_is_neither_removed_nor_replaced() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "")?;
    let ours = program(&lab)?.context("netguard's program")?;
    netguard.must(&["block", "add", "192.0.2.77"])?;
    let _unload = Unload(&lab);
    ensure!(!xdp_filter(&lab, &["load", "-m", "native", IFACE])?);
    ensure!(program(&lab)? == Some(ours), "theirs took the place of ours");
    judged(&lab, &netguard, "192.0.2.77", "block-address")?;

    netguard.must(&["detach"])?;
    ensure!(program(&lab)?.is_none());
    ensure!(xdp_filter(&lab, &["load", "-m", "native", IFACE])?);
    let theirs = program(&lab)?.context("their program")?;
    let refused = netguard.cli(&["run", "-i", IFACE])?;
    ensure!(refused.status == 1, "{refused:?}");
    for named in [IFACE, "xdpfilt", &theirs.to_string()] {
        ensure!(
            refused.stderr.contains(named),
            "{named} is not named: {}",
            refused.stderr
        );
    }
    ensure!(!netguard.pins().exists(), "a refused start left its pins");
    netguard.must(&["detach"])?;
    ensure!(program(&lab)? == Some(theirs), "detach is for netguard's own");
    ensure!(server.curl(&lab, Family::V4, "/")?.0 == 200);
    Ok(())
}

#[test]
fn a_link_that_is_taken_off_is_made_anew() -> Result<()> {
    let (lab, _server) = lab()?;
    let mut netguard = protect(&lab, "")?;
    netguard.must(&["block", "add", "192.0.2.77"])?;
    let take_off = |netguard: &Netguard<'_>| -> Result<()> {
        let mut bpftool = Command::new("bpftool");
        bpftool.args(["link", "detach", "pinned"]);
        bpftool.arg(netguard.pins().join("links").join(IFACE));
        let done = output(&mut bpftool, Duration::from_secs(5))?;
        ensure!(done.status == 0, "{done:?}");
        ensure!(program(&lab)?.is_none());
        Ok(())
    };
    take_off(&netguard)?;
    wait_until("the filter to be attached again", Duration::from_secs(5), || {
        program(&lab)
    })?;
    judged(&lab, &netguard, "192.0.2.77", "block-address")?;
    wait_until("this to be told", Duration::from_secs(5), || {
        Ok(netguard
            .must(&["events"])?
            .contains("protected-again")
            .then_some(()))
    })?;

    // Nobody is there to attach it again, and nobody says that all is well.
    netguard.kill9();
    take_off(&netguard)?;
    let status = netguard.cli(&["status"])?;
    ensure!(
        status.status == 1 && status.stdout.contains("NOT PROTECTED"),
        "{status:?}"
    );
    netguard.restart()?;
    judged(&lab, &netguard, "192.0.2.77", "block-address")
}

#[test]
fn jumbo_frames_are_judged_native() -> Result<()> {
    jumbo_frames_are_judged("native")
}

#[test]
fn jumbo_frames_are_judged_generic() -> Result<()> {
    jumbo_frames_are_judged("generic")
}

fn jumbo_frames_are_judged(mode: &str) -> Result<()> {
    let (lab, server) = lab()?;
    let jumbo =
        |ns: &netguard_tests::lab::Namespace, iface: &str| ns.ip(&format!("link set {iface} mtu 9000"));
    for port in ["p-att", "p-cli", "p-vic", "br0"] {
        jumbo(&lab.switch, port)?;
    }
    for host in [&lab.attacker, &lab.client, &lab.victim] {
        jumbo(&host.ns, IFACE)?;
    }
    let netguard = protect(&lab, &format!("attach = \"{mode}\""))?;
    let sources = ["192.0.2.77", "2001:db8:77::1"];
    for source in sources {
        netguard.must(&["block", "add", source])?;
    }
    for (source, verdict) in sources
        .map(|source| (source, "block-address"))
        .into_iter()
        .chain([("192.0.2.78", "pass"), ("2001:db8:78::1", "pass")])
    {
        let start = frame().macs(lab.attacker.mac, lab.victim.mac);
        let start = match source.contains(':') {
            true => start.ipv6(source, lab.victim.ip6),
            false => start.ipv4(source, lab.victim.ip4),
        };
        let frame = start.udp(4_000, 9_999).payload(8_900).build();
        let before = netguard.stats()?;
        send_frames(&lab.attacker.ns, IFACE, &vec![frame; COPIES])?;
        wait_for(&netguard, &before, verdict).with_context(|| format!("{source}, {mode}"))?;
    }
    for family in [Family::V4, Family::V6] {
        let (status, body) = server.curl(&lab, family, "/big")?;
        ensure!(status == 200 && body.len() == BIG_BYTES, "{status}");
    }
    Ok(())
}

/// The daemon is exchanged, and with it the program, while frames of a blocked source come: each of them is dropped.
#[test]
fn no_packet_slips_through_an_exchange() -> Result<()> {
    let (lab, server) = lab()?;
    let mut netguard = protect(&lab, "")?;
    netguard.must(&["block", "add", "192.0.2.77"])?;
    netguard.must(&["block", "add", "2001:db8:77::1"])?;
    let frames: Vec<_> = ["192.0.2.77", "2001:db8:77::1"]
        .map(|source| crate::verdicts::datagram(frame(), source, &lab))
        .into_iter()
        .cycle()
        .take(50)
        .collect();
    let first = program(&lab)?;
    let before = netguard.stats()?;
    let stop = AtomicBool::new(false);
    netguard.kill9();
    let sent = std::thread::scope(|scope| -> Result<u64> {
        let (attacker, frames) = (&lab.attacker.ns, &frames);
        let sending = scope.spawn(|| -> Result<u64> {
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                send_frames(attacker, IFACE, frames)?;
                sent += frames.len() as u64;
            }
            Ok(sent)
        });
        let restarted = netguard.restart();
        stop.store(true, Ordering::Relaxed);
        let sent = sending.join();
        restarted?;
        sent.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    ensure!(sent > 500, "only {sent} frames were sent meanwhile");
    ensure!(program(&lab)? != first, "the program was not exchanged");
    let grown = wait_until("all to be judged", Duration::from_secs(5), || {
        let grown = growth(&before, &netguard.stats()?);
        Ok((grown.get("block-address") == Some(&sent)).then_some(grown))
    });
    grown.with_context(|| {
        format!(
            "{sent} sent: {:?}",
            growth(&before, &netguard.stats().unwrap_or_default())
        )
    })?;
    ensure!(server.curl(&lab, Family::V4, "/")?.0 == 200);
    Ok(())
}

#[test]
fn a_second_start_is_refused_and_detach_leaves_no_pins_generic() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "attach = \"generic\"")?;
    let status = netguard.must(&["status"])?;
    ensure!(status.contains("(generic"), "{status}");
    let second = netguard.cli(&["run", "-i", IFACE])?;
    ensure!(
        second.status == 1 && second.stderr.contains(&lab.name),
        "{second:?}"
    );
    ensure!(netguard.protects()?);
    netguard.must(&["detach"])?;
    ensure!(!netguard.pins().exists() && program(&lab)?.is_none());
    Ok(())
}

/// The lab enters the namespace as `nsenter --net` does; `ip netns exec` hides the BPF filesystem besides.
#[test]
fn in_a_namespace_that_hides_the_pins_the_way_in_is_told() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    let command = netguard.command()?;
    let mut exec = Command::new("ip");
    exec.args(["netns", "exec", lab.victim.ns.name()]);
    exec.arg(command.get_program());
    exec.args(["--instance", "lab-hidden", "run", "-i", IFACE]);
    let refused = output(&mut exec, Duration::from_secs(10))?;
    ensure!(refused.status == 1, "{refused:?}");
    ensure!(refused.stderr.contains("nsenter --net="), "{}", refused.stderr);
    ensure!(netguard.protects()?);
    Ok(())
}
