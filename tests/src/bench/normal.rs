//! What it takes to know what is normal of a busy machine: 256 services with five weeks behind them, all of TCP, of which as many as are heard at the
//! most speak HTTP.

use std::{fs, hint::black_box, time::Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use netguard::{
    daemon::write_normal,
    engine::{
        Controller, Features, Learnt,
        feature::{HttpFeatures, ServiceFeatures},
    },
};
use netguard_common::telemetry::Kind;

use super::report::Figure;

const SERVICES: usize = 256;
/// Those that speak HTTP.
const HEARD: usize = 64;
/// Five weeks, and of each hour as many seconds as make it count.
const HOURS: u64 = 840;
const SECONDS: u64 = 600;
/// Seconds that are timed.
const TIMED: u32 = 300;
const MIB: f64 = 1_048_576.0;

/// Measures.
pub(super) fn measure() -> Result<Vec<Figure>> {
    let mut random = Rng::with_seed(1);
    let before = resident()?;
    let mut controller = Controller::new(Learnt::new(1));
    // A hundred different seconds, over and over, at the busyness of their hour.
    let seconds: Vec<Features> = (0..100).map(|_| second(&mut random)).collect();
    for hour in 0..HOURS {
        let busy = 1.5 + (hour as f64 / 24.0 * std::f64::consts::TAU).sin();
        for index in 0..SECONDS {
            let features = scaled(
                &seconds[random.usize(..seconds.len())],
                busy,
                hour * 3_600 + index,
            );
            controller.second(&features);
        }
    }
    let memory = resident()?.saturating_sub(before) as f64;
    let begun = Instant::now();
    for index in 0..TIMED {
        let features = scaled(
            &seconds[index as usize % 100],
            1.5,
            HOURS * 3_600 + u64::from(index),
        );
        controller.second(&features);
    }
    let learn = begun.elapsed().as_secs_f64() / f64::from(TIMED);
    let begun = Instant::now();
    let copy = controller.learnt().clone();
    let copied = begun.elapsed().as_secs_f64();
    let series = controller.baselines().series();
    let begun = Instant::now();
    let forecasts = series.forecasts();
    let decomposed = begun.elapsed().as_secs_f64();
    controller.baselines_mut().foresee(forecasts);
    let begun = Instant::now();
    black_box(controller.normal(Some(HOURS * 3_600)));
    let told = begun.elapsed().as_secs_f64();
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("normal.json");
    let begun = Instant::now();
    write_normal(&path, &copy, 1_800_000_000)?;
    let written = begun.elapsed().as_secs_f64();
    let bytes = fs::metadata(&path)?.len() as f64;
    Ok(vec![
        Figure::at_most(
            "memory of what is normal, 256 services",
            memory / MIB,
            "MiB",
            64.0,
        ),
        Figure::at_most("its file", bytes / MIB, "MiB", 16.0),
        Figure::at_most("to learn a second of it", 1e3 * learn, "ms", 5.0),
        Figure::at_most("to copy it, while ticks wait", 1e3 * copied, "ms", 50.0),
        Figure::plain("to write it, beside the tick", 1e3 * written, "ms"),
        Figure::plain("to decompose its hours, beside the tick", 1e3 * decomposed, "ms"),
        Figure::at_most("to tell it, while ticks wait", 1e3 * told, "ms", 50.0),
    ])
}

fn second(random: &mut Rng) -> Features {
    let mut around = |rate: f64| rate * (0.5 + random.f64() + 4.0 * random.f64().powi(20));
    let services = (0..SERVICES).map(|port| ServiceFeatures {
        service: format!("tcp/{}", port + 1),
        packets: around(20.0 * (port + 1) as f64),
        bytes: around(2_000.0 * (port + 1) as f64),
        opening: around(2.0 * (port + 1) as f64),
        dropped: 0.0,
        duration_s: Some(around(0.1 * (port + 1) as f64)),
        http: (port < HEARD).then(|| HttpFeatures {
            requests: around(10.0 * (port + 1) as f64),
            errors_percent: Some(around(2.0).min(100.0)),
            response_ms: Some(around(5.0 * (port + 1) as f64)),
        }),
    });
    let mut features = Features {
        services: services.collect(),
        source: Some(0.8),
        ttl: Some(0.4),
        size: Some(0.5),
        destination_port: Some(0.3),
        ..Features::default()
    };
    features.kinds[Kind::Syn as usize] = around(60_000.0);
    features.kinds[Kind::Ack as usize] = around(500_000.0);
    features.kinds[Kind::Udp as usize] = around(9_000.0);
    features
}

fn scaled(second: &Features, busy: f64, wall_s: u64) -> Features {
    let mut features = Features {
        wall_s: Some(wall_s),
        ..second.clone()
    };
    features.kinds.iter_mut().for_each(|rate| *rate *= busy);
    for service in &mut features.services {
        service.packets *= busy;
        service.bytes *= busy;
        service.opening *= busy;
        if let Some(http) = &mut service.http {
            http.requests *= busy;
        }
    }
    features
}

/// Bytes of this process in memory.
fn resident() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/statm")?;
    let pages = text
        .split_whitespace()
        .nth(1)
        .context("no second number in /proc/self/statm")?;
    Ok(pages.parse::<u64>()? * 4_096)
}
