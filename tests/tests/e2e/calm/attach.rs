//! What is on the interface already, and what its driver can do, is said in words.

use std::time::Duration;

use anyhow::Result;
use netguard_tests::lab::{IFACE, Lab, Netguard, Running, wait_until};

use crate::{calm::lab, protect};

/// A pair of interfaces of which nobody has heard.
const PAIR: &str = "link add v9 type veth peer name v9p";

/// A second daemon, for `iface`.
fn run(lab: &Lab, netguard: &Netguard, iface: &str) -> Result<Running> {
    let mut command = netguard.command()?;
    command.args(["run", "-i", iface]);
    Running::start(&mut command, &lab.dir.path().join("second.log"))
}

/// Waits until the status of `netguard`, whose daemon runs, has these words and this exit status.
fn says(netguard: &Netguard, daemon: &mut Running, what: &str, status: i32, words: &str) -> Result<()> {
    wait_until(what, Duration::from_secs(10), || {
        daemon.must_run()?;
        let output = netguard.cli(&["status"])?;
        Ok((output.status == status && output.stdout.contains(words)).then_some(()))
    })
}

#[test]
fn another_program_on_the_interface_is_named() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    let other = netguard.as_instance("x");
    let output = other.cli(&["run", "-i", IFACE])?;
    assert_eq!(output.status, 1, "{output:?}");
    for named in [IFACE, "netguard_xdp", "id "] {
        assert!(
            output.stderr.contains(named),
            "{named} is not named: {}",
            output.stderr
        );
    }
    assert!(
        !other.pins().exists(),
        "a refused start left {}",
        other.pins().display()
    );
    let doctor = other.cli(&["doctor", "-i", IFACE])?;
    assert!(doctor.stdout.contains("another XDP program"), "{}", doctor.stdout);
    assert!(netguard.protects()?);
    Ok(())
}

#[test]
fn a_driver_without_native_xdp_gets_the_generic_mode() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    // A bridge has no XDP of its own.
    lab.victim.ns.ip("link add br9 type bridge")?;
    let other = netguard.as_instance("x");
    let mut daemon = run(&lab, &other, "br9")?;
    says(
        &other,
        &mut daemon,
        "the bridge to be protected",
        0,
        "protects br9 (generic)",
    )?;
    assert!(daemon.log().contains("refuses native XDP"), "{}", daemon.log());
    other.must(&["detach"])?;

    let config = lab.dir.path().join("native.toml");
    std::fs::write(&config, "attach = \"native\"\n")?;
    let refused = other.cli(&["run", "-i", "br9", "-c", &config.display().to_string()])?;
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.stderr.contains("native XDP"), "{}", refused.stderr);
    assert!(!other.pins().exists());
    Ok(())
}

/// Found in review: the status claimed protection after the interface, and with it the filter, was gone.
#[test]
fn an_interface_made_anew_is_protected_again() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    lab.victim.ns.ip(PAIR)?;
    let other = netguard.as_instance("x");
    let mut daemon = run(&lab, &other, "v9")?;
    let mut wait = |what: &str, status: i32, said: &str| says(&other, &mut daemon, what, status, said);
    wait("the first interface to be protected", 0, "protects v9")?;
    lab.victim.ns.ip("link del v9")?;
    wait("the loss to be told", 1, "DOES NOT PROTECT v9")?;
    lab.victim.ns.ip(PAIR)?;
    wait("the second interface to be protected", 0, "protects v9")?;
    let events = other.must(&["events"])?;
    for event in ["unprotected", "protected-again"] {
        assert!(events.contains(event), "no {event} in {events}");
    }

    // With the daemon dead nobody attaches the filter again, and nobody must believe that it is there.
    drop(daemon);
    lab.victim.ns.ip("link del v9")?;
    lab.victim.ns.ip(PAIR)?;
    let status = other.cli(&["status"])?;
    assert_eq!(status.status, 1);
    assert!(
        status.stdout.contains("NOT PROTECTED any more: v9"),
        "{}",
        status.stdout
    );
    let doctor = other.cli(&["doctor", "-i", "v9"])?;
    assert_eq!(doctor.status, 1);
    assert!(doctor.stdout.contains("NOT protected"), "{}", doctor.stdout);
    other.must(&["detach"])?;
    Ok(())
}

/// Found in review: a renamed interface was told as unprotected, although the filter goes with it.
#[test]
fn a_renamed_interface_stays_protected() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    lab.victim.ns.ip(PAIR)?;
    let other = netguard.as_instance("x");
    let mut daemon = run(&lab, &other, "v9")?;
    let mut wait = |what: &str, said: &str| says(&other, &mut daemon, what, 0, said);
    wait("the interface to be protected", "protects v9 (native)")?;
    lab.victim.ns.ip("link set v9 name w9")?;
    wait(
        "the new name to be told",
        "protects v9 (native), which is called w9 now",
    )?;
    let doctor = other.must(&["doctor"])?;
    assert!(
        doctor.contains("interface w9") && !doctor.contains("NOT protected"),
        "{doctor}"
    );

    // Another interface takes the configured name: that one is meant, and the first keeps what it has.
    lab.victim.ns.ip("link add v9 type veth peer name v9q")?;
    wait_until("the namesake to be protected", Duration::from_secs(10), || {
        Ok(filtered(&other, "v9")?.then_some(()))
    })?;
    assert!(filtered(&other, "w9")?);

    // Found in review: a start under other names dropped links that were needed, and blamed another instance.
    drop(daemon);
    for swap in [
        "link set v9 name x9",
        "link set w9 name v9",
        "link set x9 name w9",
    ] {
        lab.victim.ns.ip(swap)?;
    }
    let mut daemon = run(&lab, &other, "w9")?;
    says(
        &other,
        &mut daemon,
        "the swapped to be protected",
        0,
        "protects w9 (native, adopted",
    )?;
    assert!(filtered(&other, "v9")? && filtered(&other, "w9")?);
    other.must(&["detach"])?;
    Ok(())
}

fn filtered(netguard: &Netguard, iface: &str) -> Result<bool> {
    let doctor = netguard.cli(&["doctor", "-i", iface])?.stdout;
    Ok(doctor.contains("protected by this instance"))
}

/// Found in review: a start that failed on its second interface left the first attached.
#[test]
fn a_start_that_fails_changes_nothing() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    lab.victim.ns.ip(PAIR)?;
    let other = netguard.as_instance("x");
    let refused = other.cli(&["run", "-i", "v9p", "-i", "v9", "-i", IFACE])?;
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(!other.pins().exists());
    // What an earlier daemon left standing is another beginning: it stays, and nothing comes to it.
    let mut daemon = run(&lab, &other, "v9p")?;
    says(
        &other,
        &mut daemon,
        "the first daemon to protect",
        0,
        "protects v9p",
    )?;
    drop(daemon);
    let refused = other.cli(&["run", "-i", "v9p", "-i", "v9", "-i", IFACE])?;
    assert_eq!(refused.status, 1, "{refused:?}");
    // Nobody runs: status says so with 1.
    let status: serde_json::Value = serde_json::from_str(&other.cli(&["status", "--json"])?.stdout)?;
    assert_eq!(status["protected"], serde_json::json!(["v9p"]), "{status}");
    other.must(&["detach"])?;
    Ok(())
}

#[test]
fn the_loopback_interface_is_refused() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    let other = netguard.as_instance("x");
    let output = other.cli(&["run", "-i", "lo"])?;
    assert_eq!(output.status, 2, "{output:?}");
    assert!(output.stderr.contains("loopback"), "{}", output.stderr);
    assert!(!other.pins().exists());
    Ok(())
}
