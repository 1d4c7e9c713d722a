//! wrk, a load generator that others wrote, and what it tells.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::lab::{Host, output};

/// What wrk tells of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Told {
    pub(super) requests_per_s: f64,
    /// How long answers took.
    pub(super) mean_s: f64,
    pub(super) p99_s: f64,
}

/// Asks for `seconds` from `host` over so many connections, with more arguments, of which the last is the URL; `None` where wrk is not installed.
pub(super) fn wrk(host: &Host, seconds: u32, connections: u32, args: &[&str]) -> Result<Option<Told>> {
    let Ok(mut command) = host.ns.command("wrk") else {
        eprintln!("bench: this needs wrk, which is not here: install the package of that name");
        return Ok(None);
    };
    command.args(["-t1", "--latency", "-d"]).arg(seconds.to_string());
    command.arg(format!("-c{connections}")).args(args);
    let told = output(&mut command, Duration::from_secs(u64::from(seconds) + 25))?;
    ensure!(told.status == 0, "wrk: {}", told.stderr);
    read(&told.stdout).map(Some)
}

fn read(report: &str) -> Result<Told> {
    Ok(Told {
        requests_per_s: field(report, "Requests/sec:").context("wrk tells no rate")?,
        mean_s: field(report, "Latency  ").context("wrk tells no mean")?,
        p99_s: field(report, "99%").context("wrk tells no percentile")?,
    })
}

/// The first value behind `name` in a report, durations in seconds.
fn field(report: &str, name: &str) -> Option<f64> {
    let line = report.lines().find_map(|line| line.trim().strip_prefix(name))?;
    let text = line.split_whitespace().next()?;
    // Divided by whole numbers, since 1e-6 is not one that a float can hold.
    let units = [("us", 1e6), ("ms", 1e3), ("s", 1.0)];
    for (unit, parts) in units {
        if let Some(number) = text.strip_suffix(unit) {
            return Some(number.parse::<f64>().ok()? / parts);
        }
    }
    text.parse().ok()
}

/// The middle of `values`; 0 of none.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_tells_is_read() {
        let report = "  Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency   480.28us    1.21ms  19.39ms   95.29%\n  \
                      Latency Distribution\n     50%   76.00us\n     99%    1.21ms\n  512 requests in 5.00s\nRequests/sec: 101234.56\n";
        let told = Told {
            requests_per_s: 101_234.56,
            mean_s: 480.28e-6,
            p99_s: 1.21e-3,
        };
        assert_eq!(read(report).expect("it is whole"), told);
        assert_eq!(field(report, "75%"), None);
    }
}
