//! `detach` and the end of the daemon: afterwards nothing of netguard is in the kernel, and traffic flows.

use std::{path::Path, time::Duration};

use anyhow::Result;
use netguard_tests::lab::{Attack, Family, Flood, IFACE, Lab, growth, wait_until};

use crate::{lab, protect};

#[test]
fn detach_removes_everything() -> Result<()> {
    let (lab, server) = lab()?;
    let mut netguard = protect(&lab, "")?;
    assert!(has_program(&lab)? && netguard.pins().exists());
    netguard.must(&["block", "add", lab.client.ip4])?;
    assert!(server.curl(&lab, Family::V4, "/").is_err());

    netguard.kill9();
    netguard.must(&["detach"])?;
    assert!(!has_program(&lab)?, "a program is left on the interface");
    assert!(!netguard.pins().exists(), "{} is left", netguard.pins().display());
    assert!(
        !Path::new("/run/netguard")
            .join(format!("{}.sock", lab.name))
            .exists()
    );
    assert_eq!(server.curl(&lab, Family::V4, "/")?.0, 200);

    // Nothing to do is not a failure, and a new start begins afresh.
    netguard.must(&["detach"])?;
    netguard.restart()?;
    assert!(netguard.blocked()?.is_empty());
    Ok(())
}

/// Found in review: without its socket a daemon lost its pins, and `detach` said that all was done.
#[test]
fn a_daemon_that_cannot_be_asked_keeps_its_pins() -> Result<()> {
    let (lab, _server) = lab()?;
    let mut netguard = protect(&lab, "")?;
    let socket = Path::new("/run/netguard").join(format!("{}.sock", lab.name));
    std::fs::remove_file(&socket)?;
    let refused = netguard.cli(&["detach"])?;
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.stderr.contains("kill "), "{}", refused.stderr);
    assert!(netguard.pins().exists() && has_program(&lab)?);
    let status = netguard.cli(&["status"])?;
    assert_eq!(status.status, 1);
    assert!(status.stdout.contains("cannot be asked"), "{}", status.stdout);
    netguard.kill9();
    netguard.must(&["detach"])?;
    assert!(!netguard.pins().exists() && !has_program(&lab)?);
    Ok(())
}

#[test]
fn protection_survives_a_clean_stop_unless_configured_otherwise() -> Result<()> {
    let (lab, _server) = lab()?;
    let mut netguard = protect(&lab, "limit.udp = { rate_per_s = 100, burst = 100 }")?;
    netguard.stop()?;
    assert!(
        has_program(&lab)?,
        "a stopped daemon is to leave protection standing"
    );
    let before = netguard.drops()?;
    let flood = Flood::start(&lab, Attack::Udp, Family::V4)?;
    wait_until("dropped UDP packets", Duration::from_secs(10), || {
        Ok(growth(&before, &netguard.drops()?).get("limit-udp").copied())
    })?;
    flood.stop()?;
    Ok(())
}

fn has_program(lab: &Lab) -> Result<bool> {
    let output = lab
        .victim
        .ns
        .command("ip")?
        .args(["link", "show", IFACE])
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).contains("xdp"))
}
