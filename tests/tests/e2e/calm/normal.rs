//! What is normal outlives the daemon: learnt, killed, restarted, known; what is damaged is refused in words; what is unwanted is
//! forgotten. Five minutes must be learnt before it is believed, so the tests begin with a file that the library made.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use netguard::{
    clock::wall_clock_s,
    daemon::write_normal,
    engine::{Controller, Features, Learnt, feature::ServiceFeatures, observe},
};
use netguard_common::telemetry::Kind;
use netguard_tests::lab::{Family, Lab, Netguard, Nginx, binary, output, wait_until};
use serde_json::Value;

use crate::{audit::is, audit::shown, calm::lab};

/// Seconds that were learnt before.
const LEARNT: u64 = 900;

/// What a server learns in a quarter of an hour that is asked for a hundred connections a second.
fn learnt() -> Learnt {
    let mut controller = Controller::new(Learnt::new(7));
    for second in 1..=LEARNT {
        let mut features = Features {
            at_ns: second * 1_000_000_000,
            length_ns: 1_000_000_000,
            services: vec![ServiceFeatures {
                service: "tcp/80".to_owned(),
                packets: 600.0,
                bytes: 60_000.0,
                opening: 100.0,
                ..ServiceFeatures::default()
            }],
            ..Features::default()
        };
        features.kinds[Kind::Syn as usize] = 100.0 + (second % 7) as f64;
        features.kinds[Kind::Ack as usize] = 500.0 - (second % 5) as f64;
        controller.tick(
            &features,
            &observe(&[], &[], &[], 0, features.at_ns, features.length_ns),
            &BTreeMap::new(),
        );
        controller.second(&features);
    }
    controller.learnt().clone()
}

/// Where the instance of `lab` keeps what is normal.
fn file(lab: &Lab) -> PathBuf {
    PathBuf::from("/var/lib/netguard")
        .join(&lab.name)
        .join("normal.json")
}

/// Has the daemon that begins next know what is normal.
pub(crate) fn prepare(lab: &Lab) -> Result<()> {
    let now_s = wall_clock_s().context("a clock")?;
    Ok(write_normal(&file(lab), &learnt(), now_s)?)
}

fn protect<'lab>(lab: &'lab Lab, save_every: &str) -> Result<Netguard<'lab>> {
    Netguard::start(lab, &binary()?, &format!("normal.save_every = \"{save_every}\""))
}

fn normal(netguard: &Netguard<'_>) -> Result<Value> {
    netguard.json(&["normal", "show", "--json"])
}

/// Seconds that were learnt of all traffic.
fn seconds(normal: &Value) -> u64 {
    normal["totals"]["packets"]["learnt_s"].as_u64().unwrap_or(0)
}

fn wait_for_seconds(netguard: &Netguard<'_>, seconds_wanted: u64) -> Result<Value> {
    wait_until("seconds to be learnt", Duration::from_secs(15), || {
        let normal = normal(netguard)?;
        Ok((seconds(&normal) >= seconds_wanted).then_some(normal))
    })
}

#[test]
fn what_was_learnt_is_known_after_a_kill() -> Result<()> {
    let (lab, _server) = lab()?;
    prepare(&lab)?;
    let mut netguard = protect(&lab, "1s")?;
    let known = wait_for_seconds(&netguard, LEARNT + 3)?;
    ensure!(known["totals"]["syn"]["usual"].as_f64() > Some(90.0), "{known}");
    ensure!(
        known["services"]["tcp/80"]["opening"]["p99"].as_f64() > Some(90.0),
        "{known}"
    );
    ensure!(known["unusual"]["learnt"].as_u64() >= Some(LEARNT), "{known}");
    ensure!(known["now"]["packets"].is_number(), "{known}");
    limits_stand_beside_it(&netguard)?;
    let text = netguard.must(&["normal", "show"])?;
    ensure!(text.contains("all traffic") && text.contains("tcp/80"), "{text}");
    let one = netguard.must(&["normal", "show", "--service", "tcp/80"])?;
    ensure!(!one.contains("all traffic"), "{one}");
    ensure!(netguard.cli(&["normal", "show", "--service", "tcp/1"])?.status == 1);
    let restored = |event: &Value| event["event"] == "normal-restored" && event["learnt_s"] == LEARNT;
    ensure!(shown(&netguard)?.iter().any(restored), "it is in the audit trail");

    // What it learnt itself is there too: it writes every second, and once more a second or two later.
    let before = seconds(&known);
    wait_for_seconds(&netguard, before + 4)?;
    netguard.kill9();
    ensure!(
        netguard.cli(&["normal", "show"])?.status == 1,
        "no daemon, no answer"
    );
    netguard.restart()?;
    let known = normal(&netguard)?;
    ensure!(seconds(&known) >= before, "{} of {before} s", seconds(&known));
    ensure!(known["services"]["tcp/80"]["packets"]["learnt_s"].as_u64() >= Some(before));
    Ok(())
}

/// Each limit is shown next to what a second seldom exceeds: of a service by the common limits, then by its own, and of all together.
fn limits_stand_beside_it(netguard: &Netguard<'_>) -> Result<()> {
    let service = || -> Result<Value> {
        let services = netguard.json(&["service", "list", "--json"])?;
        let mut rows = services.as_array().context("a list")?.iter();
        let web = rows.find(|row| row["service"] == "tcp/80");
        Ok(web.with_context(|| format!("tcp/80 in {services}"))?.clone())
    };
    let quantiles = |usual: &Value| ["p50", "p95", "p99"].map(|part| usual[part].as_f64());
    let common = service()?;
    ensure!(common["own"] == false && common["common"] == true, "{common}");
    // Sketches know a value within one percent.
    let is_about = |value: Option<f64>| value.is_some_and(|value| (90.0..110.0).contains(&value));
    ensure!(quantiles(&common["usual"]).into_iter().all(is_about), "{common}");
    let text = netguard.must(&["service", "list"])?;
    ensure!(
        text.contains("common limits hold") && text.contains("P50/P95/P99"),
        "{text}"
    );

    netguard.must(&["service", "set", "tcp/80", "--rate", "4000"])?;
    let own = service()?;
    ensure!(own["own"] == true && own["rate_per_s"] == 4_000, "{own}");
    ensure!(quantiles(&own["usual"]) == quantiles(&common["usual"]), "{own}");
    netguard.must(&["service", "reset", "tcp/80"])?;

    let limits = netguard.json(&["limit", "list", "--json"])?;
    let mut rows = limits.as_array().context("a list")?.iter();
    let syn = rows.find(|row| row["class"] == "syn" && row["level"] == "service");
    let syn = syn.with_context(|| format!("syn.service in {limits}"))?;
    ensure!(quantiles(&syn["usual_total"]).into_iter().all(is_about), "{syn}");
    Ok(())
}

/// Has the client ask nginx over IPv4 and IPv6, and for something that fails, until what was learnt of tcp/80 is as `is_it` wants it.
fn ask_until(
    lab: &Lab,
    server: &Nginx,
    netguard: &Netguard<'_>,
    what: &str,
    is_it: impl Fn(&Value) -> bool,
) -> Result<Value> {
    wait_until(what, Duration::from_secs(20), || {
        for family in [Family::V4, Family::V6] {
            ensure!(server.curl(lab, family, "/")?.0 == 200);
            ensure!(server.curl(lab, family, "/upload")?.0 == 502);
        }
        let normal = normal(netguard)?;
        Ok(is_it(&normal["services"]["tcp/80"]).then_some(normal))
    })
}

#[test]
fn how_a_service_answers_is_learnt_where_http_is_read() -> Result<()> {
    let (lab, server) = lab()?;
    let config = "http.mode = \"shadow\"\nnormal.save_every = \"365days\"";
    let mut netguard = Netguard::start(&lab, &binary()?, config)?;
    let seconds = |service: &Value, number: &str| service[number]["learnt_s"].as_u64().unwrap_or(0);
    let known = ask_until(&lab, &server, &netguard, "answers to be learnt", |service| {
        seconds(service, "response_ms") >= 8 && service["now"]["requests"].as_f64() > Some(0.0)
    })?;
    let service = &known["services"]["tcp/80"];
    // Of the pages that were asked for half fail; a second may begin between two of them.
    let failing = service["errors_percent"]["median"].as_f64();
    ensure!(failing > Some(20.0) && failing < Some(80.0), "{service}");
    let response = service["response_ms"]["median"].as_f64();
    ensure!(response > Some(0.0) && response < Some(5_000.0), "{service}");
    ensure!(service["requests"]["p99"].as_f64() >= Some(1.0), "{service}");
    ensure!(service["payload"]["median"].as_f64() > Some(40.0), "{service}");
    let come_about = known["come_about"]["now"].as_f64();
    ensure!(come_about > Some(0.5), "{}", known["come_about"]);
    let text = netguard.must(&["normal", "show", "--service", "tcp/80"])?;
    for number in ["payload", "requests", "errors-percent", "response-ms"] {
        ensure!(text.contains(number), "{number}: {text}");
    }
    ensure!(!text.contains("come about"), "that is of all traffic: {text}");
    let text = netguard.must(&["normal", "show"])?;
    ensure!(text.contains("connections that come about"), "{text}");

    // It is written at the end, and known to the next.
    let before = seconds(service, "response_ms");
    netguard.stop()?;
    netguard.restart()?;
    let known = normal(&netguard)?;
    let service = &known["services"]["tcp/80"];
    ensure!(seconds(service, "response_ms") >= before, "{service}");
    ensure!(seconds(service, "requests") >= before, "{service}");
    Ok(())
}

#[test]
fn where_nobody_reads_http_nothing_is_told_of_answers() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "365days")?;
    let known = ask_until(&lab, &server, &netguard, "packets to be learnt", |service| {
        service["payload"]["learnt_s"].as_u64() >= Some(2)
    })?;
    let service = &known["services"]["tcp/80"];
    for number in ["requests", "errors_percent", "response_ms"] {
        ensure!(
            service[number].is_null() && service["now"][number].is_null(),
            "{number}: {service}"
        );
    }
    let text = netguard.must(&["normal", "show", "--service", "tcp/80"])?;
    ensure!(
        text.contains("payload") && !text.contains("response-ms"),
        "{text}"
    );
    Ok(())
}

/// When tcp/80 was served last, as the file says.
fn served(lab: &Lab) -> Result<Option<u64>> {
    let text = fs::read_to_string(file(lab))?;
    let (_, body) = text.split_once('\n').context("a first line")?;
    let body: Value = serde_json::from_str(body)?;
    let served = body["calm"]["served"].as_array().context("a list")?;
    let web = serde_json::json!({ "protocol": 6, "port": 80 });
    Ok(served
        .iter()
        .find(|entry| entry[0] == web)
        .and_then(|entry| entry[1].as_u64()))
}

#[test]
fn an_ordinary_end_writes_what_is_normal() -> Result<()> {
    let (lab, server) = lab()?;
    let mut netguard = protect(&lab, "365days")?;
    let before = seconds(&wait_for_seconds(&netguard, 3)?);
    ensure!(!file(&lab).exists(), "it is not due");
    netguard.stop()?;
    let served_s = served(&lab)?.context("the server is known")?;
    // Clients of a service that has not come up again ask where somebody was.
    drop(server);
    netguard.restart()?;
    netguard.stop()?;
    ensure!(served(&lab)? == Some(served_s), "{served_s}: {:?}", served(&lab)?);
    netguard.restart()?;
    ensure!(seconds(&normal(&netguard)?) >= before);
    ensure!(
        netguard
            .must(&["doctor", "--json"])
            .is_ok_and(|doctor| doctor.contains("normal.json"))
    );
    Ok(())
}

#[test]
fn what_is_damaged_foreign_or_outdated_is_refused_and_kept() -> Result<()> {
    let (lab, _server) = lab()?;
    prepare(&lab)?;
    let good = fs::read_to_string(file(&lab))?;
    let mut netguard = protect(&lab, "365days")?;
    let old = {
        let written = good.find("\"written_s\":").context("a date")? + 12;
        let end = written + good[written..].find(',').context("its end")?;
        format!("{}1000000000{}", &good[..written], &good[end..])
    };
    for (text, why) in [
        (good[..good.len() - 9].to_owned(), "damaged"),
        (
            good.replacen("\"version\":1", "\"version\":9", 1),
            "another version",
        ),
        ("#!/bin/sh\n".to_owned(), "not a file that netguard wrote"),
        (old, "days old"),
    ] {
        netguard.kill9();
        fs::write(file(&lab), &text)?;
        netguard.restart()?;
        let status = netguard.must(&["status"])?;
        ensure!(
            status.contains(why) && status.contains("learning begins anew"),
            "{why}: {status}"
        );
        ensure!(seconds(&normal(&netguard)?) < LEARNT, "{why}");
        let kept = file(&lab).with_extension("json.refused");
        ensure!(fs::read_to_string(kept)? == text, "{why}: it is kept");
        let doctor: Value = serde_json::from_str(&netguard.cli(&["doctor", "--json"])?.stdout)?;
        let checks = doctor["checks"].as_array().context("checks")?;
        let check = checks.iter().find(|check| check["check"] == "what is normal");
        ensure!(check.is_some_and(|check| check["state"] == "warn"), "{doctor}");
    }
    let refused = shown(&netguard)?.into_iter().filter(is("normal-refused")).count();
    ensure!(refused == 4, "{refused} of 4 are told");
    Ok(())
}

#[test]
fn what_is_forgotten_stays_forgotten_and_is_told() -> Result<()> {
    let (lab, _server) = lab()?;
    prepare(&lab)?;
    let mut netguard = protect(&lab, "365days")?;
    netguard.must(&["normal", "forget", "--service", "tcp/80"])?;
    let absent = netguard.cli(&["normal", "forget", "--service", "tcp/8080"])?;
    ensure!(
        absent.status == 1 && absent.stdout.contains("nothing was learnt"),
        "{absent:?}"
    );
    ensure!(netguard.cli(&["normal", "forget", "--service", "http"])?.status == 2);
    // It is written soon: what is killed a moment later has forgotten, too.
    wait_until("it to be written", Duration::from_secs(5), || {
        Ok(
            (!fs::read_to_string(file(&lab))?.contains("\"tcp/80\":{\"packets\":{\"learnt\":9"))
                .then_some(()),
        )
    })?;
    netguard.kill9();
    // With the daemon dead, in the file.
    netguard.must(&["normal", "forget"])?;
    netguard.restart()?;
    ensure!(seconds(&normal(&netguard)?) < 100);
    let lines = shown(&netguard)?;
    let told: Vec<&Value> = lines
        .iter()
        .filter(|line| line["event"] == "normal-forgotten")
        .collect();
    ensure!(told.len() == 2, "{told:?}");
    ensure!(
        told[0]["service"] == "tcp/80" && told[1]["service"].is_null(),
        "{told:?}"
    );
    ensure!(
        told.iter().all(|line| line["author"]["by"] == "operator"),
        "{told:?}"
    );
    Ok(())
}

#[test]
fn a_full_disk_is_told_and_tried_again() -> Result<()> {
    let (lab, _server) = lab()?;
    let directory = file(&lab).parent().context("a directory")?.to_owned();
    fs::create_dir_all(&directory)?;
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "-o", "size=64k", "netguard-test"])
        .arg(&directory);
    let mounted = output(&mut mount, Duration::from_secs(5))?;
    ensure!(mounted.status == 0, "{mounted:?}");
    let told = full_disk(&lab, &directory.join("filler"));
    output(
        Command::new("umount").arg("-l").arg(&directory),
        Duration::from_secs(5),
    )?;
    told
}

fn full_disk(lab: &Lab, filler: &std::path::Path) -> Result<()> {
    // The audit trail has a disk of its own.
    let trail = lab.dir.path().join("audit.jsonl");
    let config = format!("normal.save_every = \"1s\"\naudit.file = \"{}\"", trail.display());
    // It fails, as it should.
    let _ = fs::write(filler, vec![b'x'; 1 << 20]);
    let netguard = Netguard::start(lab, &binary()?, &config)?;
    let status = wait_until("the fault to be told", Duration::from_secs(15), || {
        let status = netguard.must(&["status"])?;
        Ok(status.contains("normal.json cannot be written").then_some(status))
    })?;
    ensure!(
        status.contains("No space") && status.contains("protects"),
        "{status}"
    );
    fs::remove_file(filler)?;
    wait_until("it to be written", Duration::from_secs(15), || {
        Ok((!netguard.must(&["status"])?.contains("cannot be written")).then_some(()))
    })?;
    ensure!(file(lab).exists());
    let events = netguard.must(&["events", "--json"])?;
    ensure!(
        events.contains("normal-not-saved") && events.contains("normal-saved-again"),
        "{events}"
    );
    Ok(())
}
