//! How long connections last: told and learnt of real ones over IPv4 and IPv6, also of those that outlive the daemon, and of none where nobody
//! counts.

use std::{
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use netguard_tests::lab::{Family, Lab, Netguard, wait_until};
use serde_json::Value;

use super::lab;
use crate::protect;

const SOON: Duration = Duration::from_secs(10);
/// By how many seconds a duration may be off: what it takes a loaded machine to open and close.
const OFF: f64 = 0.5;

fn connect(lab: &Lab, family: Family) -> Result<TcpStream> {
    let server = SocketAddr::new(lab.victim.ip(family).parse()?, 80);
    let connected = lab
        .client
        .ns
        .enter(|| TcpStream::connect_timeout(&server, SOON))?;
    connected.with_context(|| format!("a connection over {}", family.name()))
}

/// Lets go of `standing` once `until` says that it may, and tells for how many seconds they stood.
fn hold(standing: Vec<TcpStream>, since: Instant, seconds: f64) -> Result<f64> {
    wait_until("connections to have stood", SOON, || {
        Ok((since.elapsed().as_secs_f64() >= seconds).then_some(()))
    })?;
    let stood = since.elapsed().as_secs_f64();
    drop(standing);
    Ok(stood)
}

/// What is known of tcp/80.
fn web(netguard: &Netguard<'_>) -> Result<Value> {
    let normal = netguard.json(&["normal", "show", "--json"])?;
    Ok(normal["services"]["tcp/80"].clone())
}

/// Seconds in which connections ended, as far as they were learnt, and the sum of what was learnt of each.
fn learnt(service: &Value) -> (u64, f64) {
    let number = &service["duration_s"];
    let seconds = number["learnt_s"].as_u64().unwrap_or(0);
    (seconds, number["mean"].as_f64().unwrap_or(0.0) * seconds as f64)
}

/// Waits for a second in which connections ended, and sees that they are told to have stood for `seconds`.
fn must_tell(netguard: &Netguard<'_>, seconds: f64, of: &str) -> Result<Value> {
    let service = wait_until(&format!("{of} to be told"), SOON, || {
        let service = web(netguard)?;
        Ok(service["now"]["duration_s"].is_number().then_some(service))
    })?;
    let told = service["now"]["duration_s"].as_f64().unwrap_or(0.0);
    ensure!(
        (told - seconds).abs() < OFF,
        "{of}: {told} of {seconds} s, {service}"
    );
    Ok(service)
}

#[test]
fn how_long_connections_last_is_learnt() -> Result<()> {
    let (lab, _server) = lab()?;
    let mut netguard = protect(&lab, "normal.save_every = \"365days\"")?;
    ensure!(web(&netguard)?["duration_s"].is_null(), "none has ended");
    let mut before = (0, 0.0);
    for (family, seconds) in [(Family::V4, 1.2), (Family::V6, 2.4)] {
        let since = Instant::now();
        let standing = (0..8).map(|_| connect(&lab, family)).collect::<Result<_>>()?;
        let stood = hold(standing, since, seconds)?;
        must_tell(&netguard, stood, family.name())?;
        // It is learnt of each second in which one ended, and of no other.
        let service = wait_until("it to be learnt, and a second without", SOON, || {
            let service = web(&netguard)?;
            let is_quiet = service["now"]["duration_s"].is_null();
            Ok((learnt(&service).0 > before.0 && is_quiet).then_some(service))
        })?;
        let now = learnt(&service);
        let seconds = now.0 - before.0;
        ensure!(seconds <= 2, "{seconds} s: {service}");
        let mean = (now.1 - before.1) / seconds as f64;
        ensure!((mean - stood).abs() < OFF, "{mean} of {stood} s: {service}");
        before = now;
    }
    let text = netguard.must(&["normal", "show", "--service", "tcp/80"])?;
    ensure!(text.contains("duration-s"), "{text}");

    // The kernel knows since when, not the daemon; and what was learnt is known to the next.
    let since = Instant::now();
    let standing = vec![connect(&lab, Family::V4)?, connect(&lab, Family::V6)?];
    netguard.stop()?;
    netguard.restart()?;
    let restored = web(&netguard)?;
    ensure!(learnt(&restored).0 == before.0, "{restored}");
    let stood = hold(standing, since, 1.0)?;
    must_tell(&netguard, stood, "those that outlived the daemon")?;
    Ok(())
}

#[test]
fn where_nobody_counts_connections_last_for_no_known_time() -> Result<()> {
    let (lab, server) = lab()?;
    let netguard = protect(&lab, "connections.mode = \"off\"\n")?;
    wait_until("packets to be learnt", SOON, || {
        for family in [Family::V4, Family::V6] {
            ensure!(server.curl(&lab, family, "/")?.0 == 200);
        }
        let service = web(&netguard)?;
        ensure!(
            service["duration_s"].is_null() && service["now"]["duration_s"].is_null(),
            "{service}"
        );
        Ok((service["payload"]["learnt_s"].as_u64() >= Some(2)).then_some(()))
    })?;
    let text = netguard.must(&["normal", "show", "--service", "tcp/80"])?;
    ensure!(text.contains("payload") && !text.contains("duration-s"), "{text}");
    Ok(())
}
