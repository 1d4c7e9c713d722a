//! Figures are what a real Prometheus understands, tell what happens, and cost the filter nothing, whoever asks.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use netguard_tests::lab::{Attack, Family, Flood, IFACE, Lab, Prometheus, promtool, wait_until};

use crate::{lab, protect};

const LISTEN: &str = "127.0.0.1:9464";
const CONFIG: &str = "metrics.listen = \"127.0.0.1:9464\"\n";

#[test]
fn a_prometheus_sees_a_flood() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, CONFIG)?;
    let prometheus = Prometheus::start(&lab, LISTEN)?;
    let becomes = |expression: &str, wanted: &dyn Fn(f64) -> bool| {
        wait_until(expression, Duration::from_secs(20), || {
            Ok(prometheus.query(expression)?.filter(|value| wanted(*value)))
        })
    };
    becomes("up", &|up| up == 1.0)?;
    ensure!(
        prometheus.target()? == ("up".to_owned(), String::new()),
        "{:?}",
        prometheus.target()?
    );
    becomes("netguard_interface_protected{interface=\"eth0\"}", &|value| {
        value == 1.0
    })?;
    let idle = "sum(netguard_attacks_active{class!=\"flash-crowd\"})";
    assert_eq!(prometheus.query(idle)?, Some(0.0));

    let flood = Flood::start(&lab, Attack::Udp, Family::V4)?;
    becomes("netguard_attacks_active{class=\"udp-flood\"}", &|value| {
        value == 1.0
    })?;
    becomes(
        "rate(netguard_packets_total{verdict=\"limit-udp\",action=\"drop\"}[5s])",
        &|rate| rate > 1_000.0,
    )?;
    becomes(
        "rate(netguard_kind_packets_total{family=\"ipv4\",kind=\"udp\"}[5s])",
        &|rate| rate > 1_000.0,
    )?;
    becomes("netguard_attacks_begun_total{class=\"udp-flood\"}", &|value| {
        value >= 1.0
    })?;
    becomes("netguard_attack_detection_seconds_count", &|value| value >= 1.0)?;
    becomes("netguard_sources", &|value| value >= 1.0)?;
    flood.stop()?;
    becomes(idle, &|value| value == 0.0)?;
    let ticks = prometheus.query("netguard_tick_duration_seconds_count")?;
    assert!(ticks > Some(20.0), "{ticks:?}");
    let told = netguard.must(&["status"])?;
    assert!(
        told.contains("figures for Prometheus: http://127.0.0.1:9464/metrics"),
        "{told}"
    );
    Ok(())
}

#[test]
fn the_page_is_as_it_should_be_and_grows_over_restarts() -> Result<()> {
    let (lab, _server) = lab()?;
    let list = lab.dir.path().join("drop.txt");
    std::fs::write(&list, "198.51.100.192/26\n")?;
    let config = format!(
        "metrics.listen = \"[::1]:9464\"\n[[feed]]\nname = \"drop\"\nfile = \"{}\"\n",
        list.display()
    );
    let mut netguard = protect(&lab, &config)?;
    let page = || get(&lab, "http://[::1]:9464/metrics");
    let flood = Flood::start(&lab, Attack::Syn, Family::V6)?;
    let first = wait_until("a flood in the figures", Duration::from_secs(10), || {
        let page = page()?.1;
        let figures = figures(&page);
        let of = |name: &str| figures.get(name).copied().unwrap_or(0.0);
        let dropped = of("netguard_packets_total{verdict=\"limit-syn\",action=\"drop\",shadow=\"false\"}");
        let service = of("netguard_service_connection_attempts_total{service=\"tcp/80\"}");
        Ok((dropped > 100.0 && service > 100.0).then_some(page))
    })?;
    flood.stop()?;
    assert_eq!(promtool(&lab, &first)?, "");
    for family in [
        "netguard_bytes_total{",
        "netguard_kind_packets_total{",
        "netguard_entropy{of=\"ttl\"}",
        "netguard_evenness_ratio{of=\"source\"}",
        "netguard_rules{list=\"block\",origin=\"detector\"}",
        "netguard_rules_refused_total 0",
        "netguard_reputation_sources ",
        "netguard_list_prefixes{list=\"drop\",kind=\"feed\",mode=\"enforce\"} 1",
        "netguard_limit_packets_per_second{limit=\"syn\"} 200",
        "netguard_map_memory_bytes{map=\"BLOCK_V4\"}",
        "netguard_config_info{instance=",
        "netguard_audit_lost_events_total 0",
        "netguard_samples_sent_total",
        "netguard_heads_lost_total",
        "netguard_decision_duration_seconds_bucket{",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
    ] {
        assert!(first.contains(family), "{family}: {first}");
    }
    // Sources may be forged in any number: they make no rows.
    for address in [lab.attacker.ip4, lab.attacker.ip6, lab.client.ip4] {
        assert!(!first.contains(address), "{address}: {first}");
    }

    let before = figures(&first);
    netguard.stop()?;
    netguard.restart()?;
    let second = wait_until("the figures of the next daemon", Duration::from_secs(10), || {
        Ok(page().ok().map(|(_, page)| page))
    })?;
    let after = figures(&second);
    let kernels = ["netguard_packets_total", "netguard_bytes_total", "netguard_kind_"];
    let kept = before
        .iter()
        .filter(|(name, _)| kernels.iter().any(|kernel| name.starts_with(kernel)));
    let kept: Vec<_> = kept.collect();
    ensure!(kept.len() > 100, "{} rows", kept.len());
    for (name, value) in kept {
        ensure!(
            after.get(name) >= Some(value),
            "{name}: {value}, then {:?}",
            after.get(name)
        );
    }

    for (path, method, status) in [
        ("/", "GET", 404),
        ("/metrics", "POST", 405),
        ("/metrics/x", "GET", 404),
    ] {
        let told = curl(&lab, &format!("http://[::1]:9464{path}"), &["-X", method])?;
        assert_eq!(told.0, status, "{method} {path}: {}", told.1);
    }
    Ok(())
}

#[test]
fn an_address_that_is_not_there_is_told_and_tried_again() -> Result<()> {
    let (lab, _server) = lab()?;
    let address = "203.0.113.77";
    let netguard = protect(&lab, &format!("metrics.listen = \"{address}:9464\"\n"))?;
    let state = || Ok::<_, anyhow::Error>(netguard.json(&["status", "--json"])?["daemon"]["metrics"].take());
    let fault = wait_until("the fault to be told", Duration::from_secs(10), || {
        Ok(state()?["fault"].as_str().map(str::to_owned))
    })?;
    assert!(
        fault.contains("203.0.113.77:9464") && fault.contains("is the address this machine's"),
        "{fault}"
    );
    assert!(netguard.protects()?, "the filter does not depend on it");
    assert!(netguard.log().contains("figures for Prometheus are NOT served"));
    lab.victim
        .ns
        .ip(&format!("addr add {address}/24 dev {IFACE}\n"))?;
    wait_until("the figures to be served", Duration::from_secs(20), || {
        Ok(state()?["fault"].is_null().then_some(()))
    })?;
    assert_eq!(get(&lab, &format!("http://{address}:9464/metrics"))?.0, 200);
    Ok(())
}

#[test]
fn who_keeps_connections_to_himself_costs_the_filter_nothing() -> Result<()> {
    let (lab, _server) = lab()?;
    let _netguard = protect(&lab, CONFIG)?;
    wait_until("the figures to be served", Duration::from_secs(10), || {
        Ok(get(&lab, "http://127.0.0.1:9464/metrics").ok())
    })?;
    lab.victim.ns.enter(|| -> Result<()> {
        let connect = || TcpStream::connect(LISTEN);
        let mut idle = (0..30).map(|_| connect()).collect::<Result<Vec<_>, _>>()?;
        // Those that are taken are closed when they say nothing.
        let first = idle.first_mut().context("one")?;
        first.set_read_timeout(Some(Duration::from_secs(8)))?;
        let mut rest = Vec::new();
        first.read_to_end(&mut rest)?;
        Ok(())
    })??;
    // Thirty that asked nothing are gone, eight at a time.
    let (status, page) = wait_until("a scrape", Duration::from_secs(15), || {
        Ok(get(&lab, "http://127.0.0.1:9464/metrics").ok())
    })?;
    assert_eq!(status, 200);
    let late = figures(&page)["netguard_ticks_missed_total"];
    // A thousand requests are answered from what was gathered twice a second, and no tick is late because of them.
    let began = Instant::now();
    let mut asked = 0;
    while began.elapsed() < Duration::from_secs(3) {
        assert_eq!(get(&lab, "http://127.0.0.1:9464/metrics")?.0, 200);
        asked += 1;
    }
    let (_, page) = get(&lab, "http://127.0.0.1:9464/metrics")?;
    let missed = figures(&page)["netguard_ticks_missed_total"] - late;
    ensure!(
        missed <= 6.0,
        "{missed} ticks were left out under {asked} requests"
    );
    Ok(())
}

/// Rows of a page by name and labels. Each is there once.
fn figures(page: &str) -> BTreeMap<String, f64> {
    let rows = page.lines().filter(|line| !line.starts_with('#'));
    let rows: Vec<(String, f64)> = rows
        .filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        })
        .collect();
    let names: BTreeSet<&String> = rows.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), rows.len(), "{page}");
    rows.into_iter().collect()
}

fn get(lab: &Lab, url: &str) -> Result<(u16, String)> {
    curl(lab, url, &[])
}

/// Status and body.
fn curl(lab: &Lab, url: &str, args: &[&str]) -> Result<(u16, String)> {
    let mut command = lab.victim.ns.command("curl")?;
    command.args(["-s", "-S", "-g", "-m", "8", "-w", "%{http_code}"]);
    let output = command.args(args).arg(url).output()?;
    ensure!(
        output.status.success(),
        "curl {url}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let text = String::from_utf8(output.stdout)?;
    let (body, status) = text.split_at(text.len().saturating_sub(3));
    Ok((status.parse()?, body.to_owned()))
}
