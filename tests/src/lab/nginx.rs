//! The server in the victim's namespace: one nginx process with a small page and a big file, both families.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    sys::signal::Signal,
    unistd::Pid,
};

use super::{Family, Lab, Namespace, Running, SYN_BACKLOG, honest, wait_until};

/// The body of `/`.
pub const SMALL_BODY: &str = "hello from the victim\n";

/// The size of `/big`.
pub const BIG_BYTES: usize = 1 << 20;

/// A running nginx; ended on drop.
#[derive(Debug)]
pub struct Nginx {
    running: Running,
}

impl Nginx {
    /// Starts it and waits until the client gets the page over both families.
    pub fn start(lab: &Lab) -> Result<Self> {
        Self::with_room(lab, 4_096)
    }

    /// The same with room for so many connections.
    pub fn with_room(lab: &Lab, connections: u32) -> Result<Self> {
        let dir = lab.dir.path().join("nginx");
        fs::create_dir_all(dir.join("www"))?;
        fs::write(dir.join("www/index.html"), SMALL_BODY)?;
        fs::write(dir.join("www/big"), vec![b'x'; BIG_BYTES])?;
        let config = dir.join("nginx.conf");
        fs::write(&config, configuration(&dir.display().to_string(), connections))?;
        let mut running = run(&lab.victim.ns, &dir, &config)?;
        for family in [Family::V4, Family::V6] {
            wait_until("nginx to answer the client", Duration::from_secs(10), || {
                running.must_run()?;
                let answer = lab
                    .client
                    .ns
                    .enter(|| honest::get(&lab.victim, family, Duration::from_millis(200)))?;
                Ok(answer.ok())
            })
            .with_context(|| format!("over {}", family.name()))?;
        }
        Ok(Self { running })
    }

    /// Keeps it on one CPU.
    pub fn pin_to_cpu(&self, cpu: usize) -> Result<()> {
        let mut cpus = CpuSet::new();
        cpus.set(cpu)?;
        sched_setaffinity(Pid::from_raw(self.running.id().cast_signed()), &cpus).context("moving nginx")
    }

    /// What curl in the client's namespace gets for a path: status and body.
    pub fn curl(&self, lab: &Lab, family: Family, path: &str) -> Result<(u16, Vec<u8>)> {
        let url = family.of(
            format!("http://{}{path}", lab.victim.ip4),
            format!("http://[{}]{path}", lab.victim.ip6),
        );
        let mut command = lab.client.ns.command("curl")?;
        let output = command
            .args(["-s", "-S", "-m", "3", "-w", "%{http_code}", &url])
            .output()?;
        if !output.status.success() {
            bail!("curl {url}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let (body, status) = output.stdout.split_at(output.stdout.len().saturating_sub(3));
        Ok((str::from_utf8(status)?.parse()?, body.to_vec()))
    }

    /// Ends it; half-open connections go with its listeners.
    pub fn stop(mut self) -> Result<()> {
        self.running
            .stop(Signal::SIGTERM, Duration::from_secs(5))
            .map(drop)
    }
}

/// Starts nginx in `ns` with this configuration; what it complains of is in `dir`.
pub(super) fn run(ns: &Namespace, dir: &Path, config: &Path) -> Result<Running> {
    let log = dir.join("error.log");
    let mut command = ns.command("nginx")?;
    command.arg("-e").arg(&log).arg("-c").arg(config);
    Running::start(&mut command, &log)
}

/// Lines by which nginx puts what it keeps for a while under `dir`.
pub(super) fn temporary(dir: impl std::fmt::Display) -> String {
    ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {dir}/{kind};\n"))
        .concat()
}

fn configuration(dir: &str, connections: u32) -> String {
    let temp = temporary(dir);
    format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\nworker_rlimit_nofile 8192;\npid {dir}/pid;\n\
         events {{ worker_connections {connections}; }}\nhttp {{\n  access_log off;\n  keepalive_requests 100000000;\n{temp}  server {{\n    \
         listen 80 backlog={SYN_BACKLOG};\n    listen [::]:80 ipv6only=on backlog={SYN_BACKLOG};\n    \
         root {dir}/www;\n    location /upload {{ client_max_body_size 1g; proxy_pass http://[::1]:9; }}\n  }}\n}}\n"
    )
}
