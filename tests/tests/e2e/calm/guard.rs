//! What netguard never does to the machine it protects, or to whoever administers it.

use std::{
    net::{TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::Result;
use netguard_tests::lab::{IFACE, Lab, Netguard, wait_until};

use crate::{calm::lab, protect};

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

/// Found in review: pieces that did not fit left nothing of a block and an old guard list, and an operator's rule was taken
/// for one of the configuration.
#[test]
fn a_full_table_spares_no_more_than_it_must() -> Result<()> {
    let (lab, _server) = lab()?;
    let config = "block = [\"198.18.0.0/16\", \"198.51.0.0/24\"]\ntables.block_prefixes = 8";
    let netguard = protect(&lab, config)?;
    netguard.must(&["block", "add", "198.51.0.0/24", "--reason", "an operator insists"])?;
    let address =
        |what: &str, address: &str| lab.victim.ns.ip(&format!("address {what} {address} dev {IFACE}"));
    address("add", "198.18.7.7/16")?;
    address("add", "198.51.0.7/24")?;
    wait_until("the failure to be told", Duration::from_secs(25), || {
        let status = netguard.json(&["status", "--json"])?;
        let spared = spared(&netguard)?.contains(&"198.18.7.7".to_owned());
        Ok((spared && status["daemon"]["rules_refused"] != 0).then_some(()))
    })?;
    let refused = netguard.cli(&["block", "add", "198.18.7.7"])?;
    assert_eq!(refused.status, 2, "the guard list is old: {refused:?}");
    address("del", "198.18.7.7/16")?;
    address("del", "198.51.0.7/24")?;
    wait_until("the whole to be blocked again", Duration::from_secs(25), || {
        Ok(netguard
            .blocked()?
            .contains(&"198.18.0.0/16".to_owned())
            .then_some(()))
    })?;
    let list = netguard.must(&["block", "list"])?;
    assert!(list.contains("an operator insists"), "{list}");
    Ok(())
}

/// A shell in tmux knows only the client that it was begun from: sshd's own connections count, too. A title alone does not.
#[test]
fn whoever_is_logged_in_by_ssh_is_guarded() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    let sshd = lab.dir.path().join("sshd");
    std::fs::copy("/bin/sleep", &sshd)?;
    let pretender = login(&lab, Path::new("/bin/sleep"), "127.77.7.1")?;
    let session = login(&lab, &sshd, "127.77.8.1")?;
    let refused = wait_until("the session to be guarded", Duration::from_secs(20), || {
        let output = netguard.cli(&["block", "add", "127.77.8.0/24"])?;
        if output.status == 0 {
            netguard.must(&["block", "del", "127.77.8.0/24"])?;
        }
        Ok((output.status == 2).then_some(output.stderr))
    });
    let pretended = netguard.cli(&["block", "add", "127.77.7.0/24"])?;
    for (mut child, _listener) in [pretender, session] {
        child.kill()?;
        child.wait()?;
    }
    let refused = refused?;
    assert!(
        refused.contains("logged in from by ssh") && refused.contains("--force"),
        "{refused}"
    );
    assert_eq!(pretended.status, 0, "{pretended:?}");
    Ok(())
}

/// A process in the victim's namespace that calls itself a login from `address`, and holds a connection with it. The other
/// end waits in the listener.
fn login(lab: &Lab, program: &Path, address: &str) -> Result<(Child, TcpListener)> {
    let (listener, client) = lab.victim.ns.enter(|| -> std::io::Result<_> {
        let listener = TcpListener::bind((address, 0))?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        Ok((listener, client))
    })??;
    let child = lab
        .victim
        .ns
        .command(program)?
        .arg0("sshd: admin@pts/3")
        .arg("60")
        .stdin(Stdio::from(OwnedFd::from(client)))
        .spawn()?;
    Ok((child, listener))
}
