//! What is on the interface already, and what its driver can do, is said in words.

use std::time::Duration;

use anyhow::Result;
use netguard_tests::lab::{IFACE, Running, wait_until};

use crate::{lab, protect};

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
    let made = lab
        .victim
        .ns
        .command("ip")?
        .args(["link", "add", "br9", "type", "bridge"])
        .status()?;
    assert!(made.success());
    let other = netguard.as_instance("x");
    let mut command = other.command()?;
    command.args(["run", "-i", "br9"]);
    let mut daemon = Running::start(&mut command, &lab.dir.path().join("generic.log"))?;
    let status = wait_until("the bridge to be protected", Duration::from_secs(10), || {
        daemon.must_run()?;
        let status = other.cli(&["status", "--json"])?;
        Ok((status.status == 0).then_some(status.stdout))
    })?;
    assert!(status.contains("generic"), "{status}");
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
