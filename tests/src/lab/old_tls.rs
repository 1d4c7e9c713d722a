//! A server in the victim's namespace that still speaks every version of TLS, and curl as its client, which is told which one to speak.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{BIG_BYTES, Family, Lab, Running, SMALL_BODY, nginx, process, wait_until};

/// A running nginx at port 443 of both families; ended on drop.
#[derive(Debug)]
pub struct OldTls {
    running: Running,
}

/// What curl got.
#[derive(Debug)]
pub struct Spoken {
    /// Its exit status: 0 served, 35 the handshake failed, 28 it waited in vain.
    pub status: i32,
    /// The length of the body.
    pub bytes: usize,
    /// What it complained of.
    pub words: String,
    /// How long it took.
    pub lasted: Duration,
}

impl Spoken {
    /// Whether all of `bytes` came.
    #[must_use]
    pub fn is_served(&self, bytes: usize) -> bool {
        self.status == 0 && self.bytes == bytes
    }

    /// Whether the connection was reset in its handshake, at once.
    #[must_use]
    pub fn is_reset(&self) -> bool {
        self.status == 35 && self.words.contains("reset by peer") && self.lasted < Duration::from_secs(1)
    }
}

impl OldTls {
    /// Starts it and waits until it speaks TLS 1.0 and 1.3 over both families.
    pub fn start(lab: &Lab) -> Result<Self> {
        let dir = lab.dir.path().join("old-tls");
        fs::create_dir_all(dir.join("www"))?;
        fs::write(dir.join("www/index.html"), SMALL_BODY)?;
        fs::write(dir.join("www/big"), vec![b'x'; BIG_BYTES])?;
        certify(&dir)?;
        let config = dir.join("nginx.conf");
        fs::write(&config, configuration(&dir.display().to_string()))?;
        let mut running = nginx::run(&lab.victim.ns, &dir, &config)?;
        for (family, version) in [(Family::V4, "1.3"), (Family::V6, "1.0")] {
            wait_until("nginx to speak TLS", Duration::from_secs(10), || {
                running.must_run()?;
                let spoken = speak(lab, family, version, "DEFAULT", "/")?;
                Ok(spoken.is_served(SMALL_BODY.len()).then_some(()))
            })?;
        }
        Ok(Self { running })
    }

    /// An error if it has ended.
    pub fn must_run(&mut self) -> Result<()> {
        self.running.must_run()
    }
}

/// Has the client fetch `path` by TLS `version` and no other, with these cipher suites of OpenSSL (for versions before 1.3).
pub fn speak(lab: &Lab, family: Family, version: &str, suites: &str, path: &str) -> Result<Spoken> {
    let url = family.of(
        format!("https://{}{path}", lab.victim.ip4),
        format!("https://[{}]{path}", lab.victim.ip6),
    );
    let mut curl = lab.client.ns.command("curl")?;
    curl.args(["-s", "-S", "-k", "-m", "3", "--tls-max", version])
        .arg(format!("--tlsv{version}"))
        .arg("--ciphers")
        .arg(format!("{suites}:@SECLEVEL=0"))
        .arg(&url);
    let begin = Instant::now();
    let output = process::output(&mut curl, Duration::from_secs(10))?;
    Ok(Spoken {
        status: output.status,
        bytes: output.stdout.len(),
        words: output.stderr,
        lasted: begin.elapsed(),
    })
}

/// Connections at port 443 that the victim holds, whatever state they are in.
pub fn held(lab: &Lab) -> Result<usize> {
    let mut ss = lab.victim.ns.command("ss")?;
    let shown = process::run(ss.args([
        "-tnH",
        "state",
        "connected",
        "exclude",
        "time-wait",
        "sport = :443",
    ]))?;
    Ok(shown.lines().count())
}

fn certify(dir: &Path) -> Result<()> {
    let mut openssl = Command::new("openssl");
    openssl
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=victim",
        ])
        .arg("-keyout")
        .arg(dir.join("key.pem"))
        .arg("-out")
        .arg(dir.join("cert.pem"));
    process::run(&mut openssl)
        .map(drop)
        .context("making a certificate")
}

fn configuration(dir: &str) -> String {
    let temp = nginx::temporary(dir);
    format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid {dir}/pid;\nevents {{ worker_connections 1024; }}\nhttp {{\n  \
         access_log off;\n{temp}  server {{\n    listen 443 ssl;\n    listen [::]:443 ssl ipv6only=on;\n    \
         ssl_certificate {dir}/cert.pem;\n    ssl_certificate_key {dir}/key.pem;\n    \
         ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;\n    ssl_ciphers ALL:@SECLEVEL=0;\n    root {dir}/www;\n  }}\n}}\n"
    )
}
