//! What becomes of frames that somebody sends to the victim, by the counters.

use std::time::Duration;

use anyhow::Result;
use netguard_tests::{
    frames::{Frame, frame},
    lab::{IFACE, Lab, Netguard, Verdicts, growth, send_frames, wait_until},
};

/// Frames of each kind; more than one, so that a count cannot be right by accident.
pub(crate) const COPIES: usize = 7;

/// `source` sends untagged datagrams to the victim: all of them get the verdict `expected`.
pub(crate) fn judged(lab: &Lab, netguard: &Netguard<'_>, source: &str, expected: &str) -> Result<()> {
    let before = netguard.stats()?;
    send_frames(
        &lab.attacker.ns,
        IFACE,
        &vec![datagram(frame(), source, lab); COPIES],
    )?;
    wait_for(netguard, &before, expected).map_err(|error| error.context(format!("{source}, {expected}")))
}

/// A datagram from `source` to the victim, behind `start`.
pub(crate) fn datagram(start: Frame, source: &str, lab: &Lab) -> Vec<u8> {
    let start = if source.contains(':') {
        start.ipv6(source, lab.victim.ip6)
    } else {
        start.ipv4(source, lab.victim.ip4)
    };
    start.udp(4000, 9999).payload(32).build()
}

/// Exactly the frames sent, or for `pass` at least those: neighbour discovery and the like pass as well.
pub(crate) fn wait_for(netguard: &Netguard<'_>, before: &Verdicts, verdict: &str) -> Result<()> {
    let sent = u64::try_from(COPIES)?;
    let grown = wait_until("the verdicts", Duration::from_secs(5), || {
        let grown = growth(before, &netguard.stats()?);
        Ok((grown.get(verdict).copied().unwrap_or(0) >= sent).then_some(grown))
    })?;
    let dropped: u64 = grown
        .iter()
        .filter(|(name, _)| !name.starts_with("pass"))
        .map(|(_, packets)| packets)
        .sum();
    assert_eq!(
        dropped,
        if verdict.starts_with("pass") { 0 } else { sent },
        "{grown:?}"
    );
    Ok(())
}
