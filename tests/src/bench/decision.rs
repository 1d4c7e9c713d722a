//! What a check costs: a real HTTP client (wrk) over kept connections on loopback, in the name of ten thousand clients, each under two limits.

use std::fs;

use anyhow::{Context, Result};

use super::{
    Objects,
    report::Figure,
    wrk::{median, wrk},
};
use crate::lab::{ENDPOINT, Lab, Netguard};

const CONFIG: &str = r#"
[decision]
listen = "127.0.0.1:9465"
api_key_headers = ["X-Api-Key"]
[[decision.limit]]
name = "client"
key = ["client", "route"]
requests = 100000
[[decision.limit]]
name = "key"
key = ["api-key"]
requests = 10000000
"#;
/// Each request in another name.
const SCRIPT: &str = r#"
local at = 0
local requests = {}
init = function()
    for host = 0, 9999 do
        local headers = {
            ["X-Original-URI"] = "/api/v1/users/" .. host .. "/orders?page=2",
            ["X-Original-Method"] = "GET",
            ["X-Forwarded-For"] = "10." .. (host // 256) .. "." .. (host % 256) .. ".7",
            ["X-Api-Key"] = "a-key-of-some-length",
        }
        requests[host] = wrk.format("GET", "/v1/check", headers)
    end
end
request = function()
    at = (at + 1) % 10000
    return requests[at]
end
"#;
const SECONDS: u32 = 5;
const CONNECTIONS: u32 = 16;

/// Measures; nothing where there is no wrk.
pub(super) fn measure(objects: &Objects, rounds: u32) -> Result<Vec<Figure>> {
    let lab = Lab::new()?;
    let netguard = Netguard::start(&lab, &objects.netguard, CONFIG)?;
    let script = lab.dir.path().join("checks.lua");
    // LuaJIT has no integer division.
    fs::write(&script, SCRIPT.replace("(host // 256)", "math.floor(host / 256)"))?;
    let process = netguard.id().context("netguard runs")?;
    let (mut checks, mut slowest) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let before = cpu_seconds(process)?;
        let script = script.display().to_string();
        let url = format!("http://{ENDPOINT}/v1/check");
        let Some(told) = wrk(&lab.victim, SECONDS, CONNECTIONS, &["-s", &script, &url])? else {
            return Ok(Vec::new());
        };
        let cpu = cpu_seconds(process)? - before;
        checks.push(told.requests_per_s * f64::from(SECONDS) / cpu);
        slowest.push(1e3 * told.p99_s);
    }
    Ok(vec![
        Figure::at_least(
            "checks of the decision endpoint, per core",
            median(&mut checks),
            "/s",
            100_000.0,
        ),
        Figure::at_most(
            "the slowest 1 % of them take at least",
            median(&mut slowest),
            "ms",
            1.0,
        ),
    ])
}

/// CPU seconds of the thread that decides.
fn cpu_seconds(process: u32) -> Result<f64> {
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm"))?.trim() != "decision" {
            continue;
        }
        // The first number is nanoseconds on a CPU (Documentation/scheduler/sched-stats.rst).
        let spent = fs::read_to_string(task.join("schedstat"))?;
        let spent = spent.split_whitespace().next().context("an empty schedstat")?;
        return Ok(spent.parse::<f64>()? / 1e9);
    }
    anyhow::bail!("netguard has no thread that decides")
}
