//! What a check costs: a real HTTP client (wrk) over kept connections on loopback, in the name of ten thousand clients, each under two limits.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

use super::{Objects, report::Figure};
use crate::lab::{ENDPOINT, Lab, Netguard, output};

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
        let mut command = match lab.victim.ns.command("wrk") {
            Ok(command) => command,
            Err(_) => return Ok(not_here()),
        };
        command
            .args(["-t1", "--latency", "-d"])
            .arg(SECONDS.to_string())
            .arg(format!("-c{CONNECTIONS}"))
            .arg("-s")
            .arg(&script)
            .arg(format!("http://{ENDPOINT}/v1/check"));
        let Ok(told) = output(&mut command, Duration::from_secs(30)) else {
            return Ok(not_here());
        };
        let cpu = cpu_seconds(process)? - before;
        let per_s = field(&told.stdout, "Requests/sec:").context("wrk tells no rate")?;
        let p99 = field(&told.stdout, "99%").context("wrk tells no percentile")?;
        checks.push(per_s * f64::from(SECONDS) / cpu);
        slowest.push(1e3 * p99);
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

fn not_here() -> Vec<Figure> {
    eprintln!("bench: decision needs wrk, which is not here: install the package of that name");
    Vec::new()
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

/// What stands behind `name` in wrk's report, durations in seconds.
fn field(report: &str, name: &str) -> Option<f64> {
    let line = report.lines().find_map(|line| line.trim().strip_prefix(name))?;
    let text = line.trim();
    // Divided by whole numbers, since 1e-6 is not one that a float can hold.
    let units = [("us", 1e6), ("ms", 1e3), ("s", 1.0)];
    for (unit, parts) in units {
        if let Some(number) = text.strip_suffix(unit) {
            return Some(number.trim().parse::<f64>().ok()? / parts);
        }
    }
    text.parse().ok()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_tells_is_read() {
        let report = "  Latency Distribution\n     50%   76.00us\n     99%    1.21ms\n  512 requests in 5.00s\nRequests/sec: 101234.56\n";
        assert_eq!(field(report, "Requests/sec:"), Some(101_234.56));
        assert_eq!(field(report, "50%"), Some(76e-6));
        assert_eq!(field(report, "99%"), Some(1.21e-3));
        assert_eq!(field(report, "75%"), None);
    }
}
