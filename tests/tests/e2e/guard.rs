//! What netguard never does to the machine it protects, or to whoever administers it.

use std::{
    net::{TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Result;
use netguard_tests::lab::{IFACE, Netguard, wait_until};

use crate::{lab, protect};

/// Found in review: an address that came after the start could lie in a configured block.
#[test]
fn configured_blocks_spare_what_the_machine_needs_now() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "block = [\"203.0.113.0/24\", \"198.18.0.0/16\"]")?;
    // The victim and its gateway lie in the first: all of it is blocked but for them.
    assert_eq!(spared(&netguard)?, ["203.0.113.1", lab.victim.ip4]);
    let blocked = netguard.blocked()?;
    assert!(blocked.contains(&"198.18.0.0/16".to_owned()), "{blocked:?}");
    assert!(blocked.contains(&"203.0.113.128/25".to_owned()), "{blocked:?}");
    assert!(!blocked.contains(&"203.0.113.0/24".to_owned()), "{blocked:?}");
    assert_eq!(server.curl(&lab, netguard_tests::lab::Family::V4, "/")?.0, 200);

    netguard.must(&["block", "del", "198.18.0.0/16"])?;
    netguard.must(&["block", "add", "198.18.128.0/17", "--reason", "mine"])?;
    lab.victim
        .ns
        .ip(&format!("address add 198.18.7.7/16 dev {IFACE}"))?;
    wait_until("the new address to be spared", Duration::from_secs(20), || {
        Ok(spared(&netguard)?
            .contains(&"198.18.7.7".to_owned())
            .then_some(()))
    })?;
    let blocked = netguard.blocked()?;
    assert!(
        blocked.contains(&"198.18.128.0/17".to_owned()),
        "an operator's rule went: {blocked:?}"
    );
    assert!(blocked.contains(&"198.18.7.6/32".to_owned()), "{blocked:?}");
    let status = netguard.must(&["status"])?;
    assert!(status.contains("198.18.7.7"), "{status}");
    lab.victim
        .ns
        .ip(&format!("address del 198.18.7.7/16 dev {IFACE}"))?;
    wait_until("the whole to be blocked again", Duration::from_secs(20), || {
        Ok(netguard
            .blocked()?
            .contains(&"198.18.0.0/16".to_owned())
            .then_some(()))
    })?;
    let events = netguard.must(&["events"])?;
    for event in ["spared", "spared-no-more"] {
        assert!(events.contains(event), "no {event} in {events}");
    }
    Ok(())
}

/// The addresses that the configured blocks leave out.
fn spared(netguard: &Netguard) -> Result<Vec<String>> {
    let status = netguard.json(&["status", "--json"])?;
    let spared = status["daemon"]["spared"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|spared| spared["spared"].as_str())
        .map(|prefix| prefix.split('/').next().unwrap_or_default().to_owned());
    Ok(spared.collect())
}

/// A shell in tmux knows only the client that it was begun from: sshd's own connections count, too.
#[test]
fn whoever_is_logged_in_by_ssh_is_guarded() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    let listener = TcpListener::bind("127.77.8.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let mut session = Command::new("sleep")
        .arg0("sshd: admin@pts/3")
        .arg("60")
        .stdin(Stdio::from(OwnedFd::from(client)))
        .spawn()?;
    let refused = wait_until("the session to be guarded", Duration::from_secs(20), || {
        let output = netguard.cli(&["block", "add", "127.77.8.0/24"])?;
        if output.status == 0 {
            netguard.must(&["block", "del", "127.77.8.0/24"])?;
        }
        Ok((output.status == 2).then_some(output.stderr))
    });
    session.kill()?;
    session.wait()?;
    let refused = refused?;
    assert!(
        refused.contains("logged in from by ssh") && refused.contains("--force"),
        "{refused}"
    );
    Ok(())
}
