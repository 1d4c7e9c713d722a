//! What is done about attacks: signatures that spare honest clients, told and taken back.

use std::{
    fs,
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use netguard::bpf::{Pins, Services};
use netguard_tests::lab::{Family, Flood, Honest, Lab, Netguard, growth, newcomers, output, wait_until};
use serde_json::Value;

use crate::{attacks::attacks, protect, shared_lab};

/// Room for one address to ask as often as is needed to learn from.
const ROOM: &str = "[limit.syn]\nrate_per_s = 5000\nburst = 5000\n";

#[test]
fn a_forged_syn_flood_is_met_by_a_signature_ipv4() -> Result<()> {
    is_met(Family::V4)
}

#[test]
fn a_forged_syn_flood_is_met_by_a_signature_ipv6() -> Result<()> {
    is_met(Family::V6)
}

/// Clients teach what ordinary SYNs look like; then a flood comes whose SYNs look otherwise.
fn is_met(family: Family) -> Result<()> {
    let (lab, _server) = shared_lab()?;
    lab.take_answers()?;
    let netguard = protect(&lab, ROOM)?;
    teach(&lab, family)?;
    let honest = Honest::start(&lab, family, 20)?;
    let flood = Flood::lasting(&lab, family)?;
    let attack = wait_until("a signature", Duration::from_secs(10), || {
        Ok(attacks(&netguard)?.into_iter().find(|attack| {
            let measures = attack["response"]["measures"].as_array();
            measures.is_some_and(|measures| {
                let is_signature = |measure: &Value| measure["measure"] == "signature";
                let fits = |measure: &Value| measure["packets"].as_u64() > Some(1_000);
                measures
                    .iter()
                    .any(|measure| is_signature(measure) && fits(measure))
            })
        }))
    })?;
    let before = netguard.drops()?;
    let felt = honest.stop_after(200)?;
    let after = netguard.drops()?;
    flood.stop()?;
    ensure!(felt.success() > 0.99, "{felt:?}");
    let by_signature = growth(&before, &after);
    ensure!(by_signature.get("signature") > Some(&100), "{by_signature:?}");
    is_answered_at_once(&attack)?;

    let id = attack["id"].to_string();
    let text = netguard.must(&["attacks", "show", &id])?;
    ensure!(
        text.contains("signature, since") && text.contains("in force"),
        "{text}"
    );
    ensure!(
        text.contains("ordinary packets ("),
        "what it costs others: {text}"
    );
    let measures = attack["response"]["measures"].as_array().context("measures")?;
    let signature = measures.iter().find(|measure| measure["measure"] == "signature");
    let collateral = &signature.context("a signature")?["collateral"];
    ensure!(
        collateral["touches"] == "packets" && collateral["of"].as_u64() > Some(100),
        "{attack}"
    );
    ensure!(collateral["part"].as_f64() < Some(0.01), "{attack}");
    is_a_capture(&netguard, &id)?;
    let events = netguard.must(&["events", "--json"])?;
    ensure!(events.contains("measure-taken"), "{events}");

    // It goes with the attack.
    wait_until("the signature to be taken back", Duration::from_secs(60), || {
        let standing = netguard.json(&["signature", "list", "--json"])?;
        Ok(standing.as_array().is_some_and(Vec::is_empty).then_some(()))
    })?;
    ensure!(netguard.must(&["events", "--json"])?.contains("measure-ended"));
    Ok(())
}

/// Something was done about `attack` less than a second after it was recognised, by the daemon's own record of when it decided what; how fast the
/// machine of the test is matters little then. Answers how long after that each measure was taken, by name, in ms.
fn is_answered_at_once(attack: &Value) -> Result<Vec<(String, f64)>> {
    let moment = |value: &Value| -> Result<f64> {
        let text = value.as_str().with_context(|| format!("no time: {attack}"))?;
        let since = humantime::parse_rfc3339(text)?.duration_since(SystemTime::UNIX_EPOCH)?;
        Ok(since.as_secs_f64() * 1e3)
    };
    let after_ms = attack["detected_after_ms"]
        .as_f64()
        .context("when it was recognised")?;
    let recognised = moment(&attack["began"])? + after_ms;
    let measures = attack["response"]["measures"].as_array().context("a list")?;
    let taken: Vec<(String, f64)> = measures
        .iter()
        .map(|measure| {
            let name = measure["measure"].as_str().context("a name")?;
            Ok((name.to_owned(), moment(&measure["since"])? - recognised))
        })
        .collect::<Result<_>>()?;
    let first = taken
        .iter()
        .map(|(_, after)| *after)
        .fold(f64::INFINITY, f64::min);
    // Both are told in ms, by a clock that is read for each.
    ensure!((-200.0..1_000.0).contains(&first), "{taken:?}: {attack}");
    Ok(taken)
}

/// Shows netguard what ordinary packets look like: 32 of each kind in a second are remembered, once five more were calm.
fn teach(lab: &Lab, family: Family) -> Result<()> {
    let victim = match family {
        Family::V4 => lab.victim.ip4.parse()?,
        Family::V6 => lab.victim.ip6.parse()?,
    };
    let crowd = lab
        .client
        .ns
        .enter(|| newcomers(victim, 400, Duration::from_secs(12)))??;
    ensure!(crowd.served > 1_000, "{crowd:?}");
    Ok(())
}

/// The packets of attack `id` can be written as a capture that another tool reads.
fn is_a_capture(netguard: &Netguard<'_>, id: &str) -> Result<()> {
    let packets = netguard.json(&["attacks", "packets", id, "--json"])?;
    let count = packets.as_array().context("a list")?.len();
    ensure!(count > 32, "{count}");
    let file = tempfile::tempdir()?.keep().join("attack.pcap");
    let path = file.to_str().context("a path")?;
    netguard.must(&["attacks", "packets", id, "--write", path])?;
    let again = netguard.cli(&["attacks", "packets", id, "--write", path])?;
    ensure!(again.status == 1 && again.stderr.contains("exists"), "{again:?}");
    let read = output(
        Command::new("tcpdump").args(["-nr", path]),
        Duration::from_secs(20),
    )?;
    let _removed = fs::remove_dir_all(file.parent().context("a directory")?);
    let lines = read
        .stdout
        .lines()
        .filter(|line| line.contains("Flags [S]"))
        .count();
    ensure!(lines == count, "{lines} of {count}: {read:?}");
    Ok(())
}

/// Without signatures, which would leave nothing to be limited; and cookies come late by themselves.
const LIMITS_ONLY: &str =
    "[response]\nsignatures = \"off\"\n[syn_cookies]\nrate_per_s = 1000000\nburst = 1000000\n";

/// A hundred connections a second are usual; who asks beyond twice that must prove itself as long as the flood lasts.
#[test]
fn a_service_that_is_attacked_is_held_at_what_is_usual() -> Result<()> {
    let (lab, _server) = shared_lab()?;
    lab.take_answers()?;
    crate::calm::normal::prepare(&lab)?;
    let netguard = protect(&lab, LIMITS_ONLY)?;
    let before = service(&netguard)?;
    let honest = Honest::start(&lab, Family::V4, 20)?;
    let flood = Flood::lasting(&lab, Family::V4)?;
    let held = wait_until("the service to be held", Duration::from_secs(10), || {
        let held = service(&netguard)?;
        Ok((held != before).then_some(held))
    })?;
    let rate_per_s = held["rate_per_s"].as_u64();
    ensure!((Some(150)..Some(400)).contains(&rate_per_s), "{held}");
    let attack = attacks(&netguard)?
        .into_iter()
        .next()
        .context("there is an attack")?;
    ensure!(
        attack["response"]["measures"][0]["measure"] == "limit",
        "{attack}"
    );
    is_answered_at_once(&attack)?;
    let collateral = &attack["response"]["measures"][0]["collateral"];
    ensure!(
        collateral["touches"] == "seconds" && collateral["part"] == 0.0,
        "{attack}"
    );
    // That is enough: what passes then is less than what is usual, and no more is done.
    let answered =
        |netguard: &Netguard<'_>| anyhow::Ok(netguard.stats()?.get("syn-cookie").copied().unwrap_or(0));
    let cookies = answered(&netguard)?;
    let felt = honest.stop_after(200)?;
    ensure!(answered(&netguard)? > cookies + 1_000, "cookies are made");
    let attack = attacks(&netguard)?
        .into_iter()
        .next()
        .context("there is an attack")?;
    ensure!(attack["response"]["rung"] == "limit", "{attack}");
    flood.stop()?;
    ensure!(felt.success() > 0.99, "{felt:?}");
    // What held before holds again.
    wait_until("the limit to be taken back", Duration::from_secs(60), || {
        Ok((service(&netguard)? == before).then_some(()))
    })?;
    Ok(())
}

#[test]
fn who_asks_a_service_that_is_attacked_is_challenged_within_a_second_ipv4() -> Result<()> {
    is_challenged(Family::V4)
}

#[test]
fn who_asks_a_service_that_is_attacked_is_challenged_within_a_second_ipv6() -> Result<()> {
    is_challenged(Family::V6)
}

/// Where limits may not be tightened, and no signature may be made, the first thing that is done is the challenge.
fn is_challenged(family: Family) -> Result<()> {
    let (lab, _server) = shared_lab()?;
    lab.take_answers()?;
    crate::calm::normal::prepare(&lab)?;
    let config = LIMITS_ONLY.replace("[response]\n", "[response]\nlimits = \"off\"\n");
    let netguard = protect(&lab, &config)?;
    let honest = Honest::start(&lab, family, 20)?;
    let flood = Flood::lasting(&lab, family)?;
    let attack = wait_until("a challenge", Duration::from_secs(10), || {
        Ok(attacks(&netguard)?.into_iter().find(|attack| {
            let measures = attack["response"]["measures"].as_array();
            measures.is_some_and(|measures| !measures.is_empty())
        }))
    })?;
    let taken = is_answered_at_once(&attack)?;
    ensure!(taken.iter().all(|(name, _)| name == "challenge"), "{attack}");
    let cookies = || anyhow::Ok(netguard.stats()?.get("syn-cookie").copied().unwrap_or(0));
    let before = cookies()?;
    let felt = honest.stop_after(100)?;
    ensure!(cookies()? > before + 1_000, "who asks must prove itself");
    flood.stop()?;
    ensure!(felt.success() > 0.99, "{felt:?}");
    Ok(())
}

/// In shadow nothing is tightened, and what would have been refused is counted.
#[test]
fn what_a_limit_in_shadow_would_refuse_is_counted() -> Result<()> {
    let (lab, _server) = shared_lab()?;
    lab.take_answers()?;
    crate::calm::normal::prepare(&lab)?;
    let shadow = LIMITS_ONLY.replace("[response]\n", "[response]\nmode = \"shadow\"\n");
    let netguard = protect(&lab, &shadow)?;
    let flood = Flood::lasting(&lab, Family::V4)?;
    for kind in ["limit", "challenge"] {
        let counted = wait_until(kind, Duration::from_secs(15), || {
            let attacks = attacks(&netguard)?;
            let measures = attacks
                .iter()
                .filter_map(|attack| attack["response"]["measures"].as_array());
            let is_meant =
                |measure: &&Value| measure["measure"] == kind && measure["packets"].as_u64() > Some(1_000);
            Ok(measures.flatten().find(is_meant).cloned())
        })?;
        ensure!(counted["shadow"] == true, "{counted}");
    }
    ensure!(service(&netguard)?.is_null(), "nothing of it stands");
    let id = attacks(&netguard)?[0]["id"].to_string();
    let text = netguard.must(&["attacks", "show", &id])?;
    flood.stop()?;
    ensure!(text.contains("packets would have met it"), "{text}");
    Ok(())
}

/// Who was killed cannot take back what it tightened: that holds until the next start, which begins with what the configuration says.
#[test]
fn a_limit_that_a_killed_daemon_left_tightened_ends_with_the_next_start() -> Result<()> {
    let (lab, _server) = shared_lab()?;
    lab.take_answers()?;
    crate::calm::normal::prepare(&lab)?;
    let mut netguard = protect(&lab, LIMITS_ONLY)?;
    let before = service(&netguard)?;
    let flood = Flood::lasting(&lab, Family::V4)?;
    wait_until("the service to be held", Duration::from_secs(10), || {
        Ok((service(&netguard)? != before).then_some(()))
    })?;
    netguard.kill9();
    flood.stop()?;
    let left = Services::open(&Pins::of(&lab.name.parse()?))?.list()?;
    ensure!(
        left.iter()
            .any(|service| (service.protocol, service.port) == (6, 80)),
        "nobody takes it back: {left:?}"
    );
    let status = netguard.cli(&["status"])?;
    ensure!(
        status.stdout.contains("limits that are not as configured") && status.stdout.contains("tcp/80 at"),
        "{status:?}"
    );
    netguard.restart()?;
    ensure!(service(&netguard)? == before, "{}", service(&netguard)?);
    Ok(())
}

/// What of its own holds for the web server.
fn service(netguard: &Netguard<'_>) -> Result<Value> {
    let services = netguard.json(&["service", "list", "--json"])?;
    let mut services = services.as_array().context("a list")?.iter();
    let found = services.find(|service| service["service"] == "tcp/80" && service["own"] == true);
    let mut found = found.cloned().unwrap_or(Value::Null);
    if let Some(fields) = found.as_object_mut() {
        // What was counted changes.
        fields.retain(|name, _| ["service", "rate_per_s", "burst", "cookies"].contains(&name.as_str()));
    }
    Ok(found)
}

#[test]
fn in_shadow_it_is_told_and_nothing_is_done() -> Result<()> {
    let (lab, _server) = shared_lab()?;
    let netguard = protect(&lab, &format!("{ROOM}[response]\nmode = \"shadow\"\n"))?;
    teach(&lab, Family::V4)?;
    let flood = Flood::spread(&lab, Family::V4)?;
    let taken = wait_until("a measure", Duration::from_secs(10), || {
        let attacks = attacks(&netguard)?;
        let measures = attacks
            .iter()
            .filter_map(|attack| attack["response"]["measures"].as_array());
        Ok(measures
            .flatten()
            .find(|measure| measure["packets"].as_u64() > Some(100))
            .cloned())
    })?;
    flood.stop()?;
    ensure!(
        taken["shadow"] == true && taken["measure"] == "signature",
        "{taken}"
    );
    ensure!(
        netguard
            .drops()?
            .get("signature")
            .is_none_or(|packets| *packets == 0)
    );
    Ok(())
}

#[test]
fn packets_of_an_attack_that_is_not_known_are_an_error_in_words() -> Result<()> {
    let (lab, _server) = shared_lab()?;
    let netguard = protect(&lab, "")?;
    let output = netguard.cli(&["attacks", "packets", "7"])?;
    ensure!(
        output.status == 1 && output.stderr.contains("no packets of an attack 7"),
        "{output:?}"
    );
    Ok(())
}
