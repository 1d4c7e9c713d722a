//! Countries and autonomous systems by databases in the format that those who publish them use, and their limits for both families.

use std::{fs, time::Duration};

use anyhow::{Result, ensure};
use netguard_tests::{
    frames::frame,
    lab::{Family, IFACE, Lab, Netguard, Verdicts, growth, send_frames, wait_until},
    mmdb,
};

use crate::{
    calm::lab,
    protect,
    verdicts::{datagram, judged},
};

/// Sends twenty datagrams of each family from places that are limited; what was counted once `verdict` was on most of them.
fn twenty_of_each(lab: &Lab, netguard: &Netguard<'_>, verdict: &str) -> Result<Verdicts> {
    let before = netguard.stats()?;
    let frames: Vec<_> = (1..=20)
        .flat_map(|host| [format!("198.20.4.{host}"), format!("2001:db8:78:{host:x}::1")])
        .map(|source| datagram(frame(), &source, lab))
        .collect();
    send_frames(&lab.attacker.ns, IFACE, &frames)?;
    wait_until("the limit", Duration::from_secs(5), || {
        let grown = growth(&before, &netguard.stats()?);
        Ok((grown.get(verdict).copied().unwrap_or(0) >= 35).then_some(grown))
    })
}

#[test]
fn countries_of_an_mmdb_file_follow_their_policies() -> Result<()> {
    let (lab, server) = lab()?;
    let database = lab.dir.path().join("country.mmdb");
    let countries = mmdb::countries(&[
        ("198.18.0.0", 16, "AQ"),
        ("198.20.4.0", 24, "BV"),
        ("192.0.2.77", 32, "HM"),
        ("198.51.100.0", 24, "AQ"),
        ("2001:db8:77::", 48, "AQ"),
        ("2001:db8:78::", 48, "BV"),
        ("2001:db8:79::1", 128, "HM"),
    ]);
    fs::write(&database, countries)?;
    let netguard = protect(
        &lab,
        &format!(
            "allow = [\"198.51.100.0/24\"]\n[geo]\ncountry_database = \"{}\"\n\
             [[geo.policy]]\ncountries = [\"AQ\"]\naction = \"block\"\n\
             [[geo.policy]]\ncountries = [\"BV\"]\naction = \"limit\"\nlimit = {{ rate_per_s = 1, burst = 3 }}\n\
             [[geo.policy]]\ncountries = [\"HM\"]\naction = \"block\"\nmode = \"shadow\"\n",
            database.display()
        ),
    )?;
    for (source, expected) in [
        ("198.18.0.1", "block-country"),
        ("198.18.255.255", "block-country"),
        ("198.19.0.0", "pass"),
        ("192.0.2.77", "shadow-block-country"),
        ("192.0.2.78", "pass"),
        ("198.51.100.9", "pass-allow"),
        ("2001:db8:77:ffff::1", "block-country"),
        ("2001:db8:76::1", "pass"),
        ("2001:db8:79::1", "shadow-block-country"),
        ("2001:db8:79::2", "pass"),
    ] {
        judged(&lab, &netguard, source, expected)?;
    }
    // A country has one limit, whatever the family: twenty of each at once.
    twenty_of_each(&lab, &netguard, "limit-country")?;

    ensure!(server.curl(&lab, Family::V4, "/")?.0 == 200 && server.curl(&lab, Family::V6, "/")?.0 == 200);

    // What is cut short is no database, and what was read before stays.
    let whole = fs::read(&database)?;
    fs::write(&database, &whole[..whole.len() / 2])?;
    ensure!(netguard.cli(&["feed", "sync"])?.status == 1);
    judged(&lab, &netguard, "198.18.0.1", "block-country")
}

#[test]
fn autonomous_systems_of_an_mmdb_file_follow_their_policies() -> Result<()> {
    let (lab, server) = lab()?;
    let [asns, countries] = ["asn.mmdb", "country.mmdb"].map(|name| lab.dir.path().join(name));
    let systems = mmdb::systems(&[
        ("198.18.0.0", 16, 64_496),
        ("198.20.4.0", 24, 64_497),
        ("192.0.2.77", 32, 64_498),
        // More than sixteen bits.
        ("198.20.5.0", 24, 4_200_000_001),
        ("2001:db8:77::", 48, 64_496),
        ("2001:db8:78::", 48, 64_497),
        ("2001:db8:79::1", 128, 64_498),
        ("2001:db8:7a::", 48, 4_200_000_001),
    ]);
    fs::write(&asns, systems)?;
    // All of them lie in a country that is blocked: the system wins.
    let places = mmdb::countries(&[
        ("198.20.4.0", 23, "AQ"),
        ("198.20.6.0", 24, "AQ"),
        ("2001:db8:78::", 48, "AQ"),
        ("2001:db8:7a::", 48, "AQ"),
        ("2001:db8:7b::", 48, "AQ"),
    ]);
    fs::write(&countries, places)?;
    let netguard = protect(
        &lab,
        &format!(
            "[geo]\nasn_database = \"{}\"\ncountry_database = \"{}\"\n\
             [[geo.policy]]\ncountries = [\"AQ\"]\naction = \"block\"\n\
             [[geo.policy]]\nasns = [64496]\naction = \"block\"\n\
             [[geo.policy]]\nasns = [64497]\naction = \"limit\"\nlimit = {{ rate_per_s = 1, burst = 3 }}\n\
             [[geo.policy]]\nasns = [64498]\naction = \"block\"\nmode = \"shadow\"\n\
             [[geo.policy]]\nasns = [4200000001]\naction = \"allow\"\n",
            asns.display(),
            countries.display()
        ),
    )?;
    for (source, expected) in [
        ("198.18.0.1", "block-asn"),
        ("198.18.255.255", "block-asn"),
        ("198.19.0.0", "pass"),
        ("192.0.2.77", "shadow-block-asn"),
        ("192.0.2.78", "pass"),
        ("198.20.5.9", "pass"),
        ("198.20.6.9", "block-country"),
        ("2001:db8:77:ffff::1", "block-asn"),
        ("2001:db8:76::1", "pass"),
        ("2001:db8:79::1", "shadow-block-asn"),
        ("2001:db8:79::2", "pass"),
        ("2001:db8:7a::9", "pass"),
        ("2001:db8:7b::9", "block-country"),
    ] {
        judged(&lab, &netguard, source, expected)?;
    }
    // A system has one limit, whatever the family: twenty of each at once.
    let grown = twenty_of_each(&lab, &netguard, "limit-asn")?;

    ensure!(
        !grown.contains_key("block-country") && !grown.contains_key("limit-country"),
        "{grown:?}"
    );
    ensure!(server.curl(&lab, Family::V4, "/")?.0 == 200 && server.curl(&lab, Family::V6, "/")?.0 == 200);
    let explained = netguard.must(&["explain", "198.20.4.1"])?;
    ensure!(explained.contains("64497"), "{explained}");

    // What is cut short is no database, and what was read before stays.
    let whole = fs::read(&asns)?;
    fs::write(&asns, &whole[..whole.len() / 2])?;
    ensure!(netguard.cli(&["feed", "sync"])?.status == 1);
    judged(&lab, &netguard, "198.18.0.1", "block-asn")?;
    judged(&lab, &netguard, "2001:db8:77::1", "block-asn")
}

/// Found in review: with a database that could not be read, those who were to be served were blocked with all others.
#[test]
fn nobody_is_blocked_by_default_while_the_database_is_missing() -> Result<()> {
    let (lab, server) = lab()?;
    let database = lab.dir.path().join("country.csv");
    let config = format!(
        "[geo]\ndefault = \"block\"\ncountry_database = \"{}\"\n[[geo.policy]]\ncountries = [\"AQ\"]\naction = \"allow\"\n",
        database.display()
    );
    let netguard = protect(&lab, &config)?;
    judged(&lab, &netguard, "198.18.0.1", "pass")?;
    judged(&lab, &netguard, "2001:db8:77::1", "pass")?;
    ensure!(server.curl(&lab, Family::V4, "/")?.0 == 200);
    let status = netguard.must(&["status"])?;
    ensure!(status.contains("who lies elsewhere is not blocked"), "{status}");

    fs::write(&database, "198.18.0.0/16,AQ\n2001:db8:77::/48,AQ\n")?;
    netguard.must(&["feed", "sync"])?;
    let served = || -> Result<()> {
        for (source, expected) in [
            ("198.18.0.1", "pass"),
            ("198.51.100.1", "block-country"),
            ("2001:db8:77::1", "pass"),
            ("2001:db8:78::1", "block-country"),
        ] {
            judged(&lab, &netguard, source, expected)?;
        }
        Ok(())
    };
    served()?;
    let status = netguard.must(&["status"])?;
    ensure!(!status.contains("lists:"), "{status}");
    // A download that broke off after the names of the columns.
    fs::write(&database, "prefix,country\n")?;
    ensure!(netguard.cli(&["feed", "sync"])?.status == 1);
    served()
}
