//! A Prometheus in the victim's namespace that fetches the figures of one netguard, and the checker that comes with it.

use std::{fs, io::Write as _, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Lab, Running, wait_until};

const LISTEN: &str = "127.0.0.1:9090";

/// A running Prometheus; ended on drop.
#[derive(Debug)]
pub struct Prometheus<'lab> {
    lab: &'lab Lab,
    running: Running,
}

impl<'lab> Prometheus<'lab> {
    /// Starts one that fetches from `target` (address and port) every second, and waits until it answers.
    pub fn start(lab: &'lab Lab, target: &str) -> Result<Self> {
        let dir = lab.dir.path().join("prometheus");
        fs::create_dir_all(&dir)?;
        let config = dir.join("prometheus.yml");
        fs::write(
            &config,
            format!(
                "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n- job_name: netguard\n  static_configs:\n  - targets: ['{target}']\n"
            ),
        )?;
        let mut command = lab.victim.ns.command("prometheus")?;
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address={LISTEN}"))
            .arg("--log.level=warn");
        let running = Running::start(&mut command, &dir.join("log"))?;
        let mut prometheus = Self { lab, running };
        wait_until("Prometheus to answer", Duration::from_secs(20), || {
            prometheus.running.must_run()?;
            Ok(prometheus.query("up").is_ok().then_some(()))
        })
        .with_context(|| prometheus.running.log())?;
        Ok(prometheus)
    }

    /// The value of `expression`, if it has one.
    pub fn query(&self, expression: &str) -> Result<Option<f64>> {
        let answer = self.ask("query", &format!("query={expression}"))?;
        let value = &answer["data"]["result"][0]["value"][1];
        value
            .as_str()
            .map(|text| text.parse().with_context(|| format!("{expression}: {text}")))
            .transpose()
    }

    /// Health and last error of the target.
    pub fn target(&self) -> Result<(String, String)> {
        let answer = self.ask("targets", "state=active")?;
        let target = &answer["data"]["activeTargets"][0];
        let text = |name: &str| target[name].as_str().unwrap_or_default().to_owned();
        Ok((text("health"), text("lastError")))
    }

    fn ask(&self, what: &str, parameter: &str) -> Result<Value> {
        let mut command = self.lab.victim.ns.command("curl")?;
        command.args(["-s", "-S", "-m", "5", "-G", "--data-urlencode", parameter]);
        let output = command.arg(format!("http://{LISTEN}/api/v1/{what}")).output()?;
        ensure!(
            output.status.success(),
            "curl {what}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).with_context(|| format!("the answer of Prometheus to {what}"))
    }
}

/// What `promtool check metrics` finds wrong with `page`; empty: nothing.
pub fn promtool(lab: &Lab, page: &str) -> Result<String> {
    let mut command = lab.victim.ns.command("promtool")?;
    let mut child = command
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting promtool")?;
    child
        .stdin
        .take()
        .context("its input")?
        .write_all(page.as_bytes())?;
    let output = child.wait_with_output()?;
    let found = [output.stdout, output.stderr].concat();
    let found = String::from_utf8_lossy(&found).into_owned();
    ensure!(
        output.status.success() || !found.is_empty(),
        "promtool: {}",
        output.status
    );
    Ok(found)
}
