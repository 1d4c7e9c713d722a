//! Packets that cannot be real, made by hping3 (IPv4) and by trafgen (IPv6): each kind is dropped under the reason that is meant
//! for it, and only that.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netguard_tests::{
    frames::{Frame, frame},
    lab::{Family, IFACE, Lab, Netguard, ROUTER_MAC, Running, growth, output, wait_until},
};

use crate::{lab, protect, verdicts::COPIES};

#[test]
fn hping3s_malformed_packets_get_their_reason_ipv4() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "")?;
    // The router would take some of them itself.
    on_the_link(&lab)?;
    let victim = lab.victim.ip4;
    for (args, verdict, of_each) in [
        (&["-p", "80"][..], "tcp-null", 1),
        (&["-p", "80", "-F", "-P", "-U"], "tcp-xmas", 1),
        (&["-p", "80", "-S", "-F"], "tcp-syn-fin", 1),
        (&["-p", "80", "-S", "-R"], "tcp-syn-rst", 1),
        (&["-p", "80", "-U"], "tcp-flags", 1),
        (&["-p", "80", "-S", "-O", "3"], "tcp-data-offset", 1),
        (&["-p", "0", "-S"], "port-zero", 1),
        (&["-p", "80", "-S", "-a", victim], "land", 1),
        (&["-p", "80", "-S", "-a", "127.0.0.1"], "martian-source", 1),
        (&["-p", "80", "-S", "-t", "0"], "ttl-zero", 1),
        (&["-p", "80", "-S", "--lsrr", "203.0.113.99"], "source-route", 1),
        (&["-p", "80", "-S", "-f"], "tiny-fragment", 2),
        // The ping of death: it would end beyond the longest packet.
        (&["--icmp", "-x", "-g", "65528"], "fragment-overflow", 1),
    ] {
        let before = netguard.stats()?;
        let mut hping3 = lab.attacker.ns.command("hping3")?;
        let copies = COPIES.to_string();
        hping3.args(["-I", IFACE, "-q", "-n", "-c", &copies, "-i", "u1000"]);
        // It waits a second for answers, which the test does not.
        let _hping3 = Running::start(hping3.args(args).arg(victim), &lab.dir.path().join("hping3.log"))?;
        only(&netguard, &before, verdict, of_each * COPIES as u64).with_context(|| format!("{args:?}"))?;
    }
    ensure!(server.curl(&lab, Family::V4, "/")?.0 == 200);
    Ok(())
}

#[test]
fn trafgens_malformed_packets_get_their_reason_ipv6() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "")?;
    let (attacker, victim) = (lab.attacker.ip6, lab.victim.ip6);
    let from = |source: &str| frame().macs(ROUTER_MAC, lab.victim.mac).ipv6(source, victim);
    let tcp = |flags: &str| from(attacker).tcp(40_000, 80).flags(flags);
    let syn = |ip: Frame| ip.tcp(40_000, 80).flags("S");
    for (malformed, verdict) in [
        (tcp(""), "tcp-null"),
        (tcp("FPU"), "tcp-xmas"),
        (tcp("SF"), "tcp-syn-fin"),
        (tcp("SR"), "tcp-syn-rst"),
        (tcp("U"), "tcp-flags"),
        (tcp("S").doff(3), "tcp-data-offset"),
        (from(attacker).tcp(40_000, 0).flags("S"), "port-zero"),
        (syn(from(victim)), "land"),
        (syn(from("ff02::1")), "martian-source"),
        (syn(from(attacker).ttl(0)), "ttl-zero"),
        (syn(from(attacker).routing(0, 1)), "routing-header"),
        (syn(from(attacker).dest_options().hop_by_hop()), "extension-order"),
        (
            from(attacker).fragment(0, true).protocol(6).payload(16),
            "tiny-fragment",
        ),
        (
            from(attacker).fragment(65_528, false).protocol(58).payload(64),
            "fragment-overflow",
        ),
        (from(attacker).udp(40_000, 9).udp_len(4).payload(20), "udp-length"),
    ] {
        let before = netguard.stats()?;
        let config = lab.dir.path().join("one.cfg");
        let bytes: Vec<_> = malformed
            .build()
            .iter()
            .map(|byte| format!("0x{byte:02x}"))
            .collect();
        std::fs::write(&config, format!("{{ {} }}\n", bytes.join(", ")))?;
        let mut trafgen = lab.attacker.ns.command("trafgen")?;
        trafgen.args([
            "--dev",
            IFACE,
            "--cpus",
            "1",
            "--no-sock-mem",
            "--no-cpu-stats",
            "--notouch-irq",
        ]);
        trafgen
            .args(["--num", &COPIES.to_string(), "--conf"])
            .arg(&config);
        output(&mut trafgen, Duration::from_secs(10))?;
        only(&netguard, &before, verdict, COPIES as u64)?;
    }
    ensure!(server.curl(&lab, Family::V6, "/")?.0 == 200);
    Ok(())
}

/// The attacker believes that the victim is its neighbour.
fn on_the_link(lab: &Lab) -> Result<()> {
    let mac = lab.victim.mac.map(|byte| format!("{byte:02x}")).join(":");
    let victim = lab.victim.ip4;
    lab.attacker.ns.ip(&format!(
        "route add {victim}/32 dev {IFACE}\nneigh add {victim} lladdr {mac} dev {IFACE}"
    ))
}

/// Waits for `packets` of `verdict`; nothing else is dropped.
fn only(
    netguard: &Netguard<'_>,
    before: &netguard_tests::lab::Verdicts,
    verdict: &str,
    packets: u64,
) -> Result<()> {
    let dropped = || -> Result<Vec<(String, u64)>> {
        let grown = growth(before, &netguard.stats()?).into_iter();
        Ok(grown.filter(|(name, _)| !name.starts_with("pass")).collect())
    };
    let expected = [(verdict.to_owned(), packets)];
    let met = wait_until("the reason", Duration::from_secs(3), || {
        Ok((dropped()? == expected).then_some(()))
    });
    met.with_context(|| {
        format!(
            "{packets} of {verdict} expected: {:?}",
            dropped().unwrap_or_default()
        )
    })
}
