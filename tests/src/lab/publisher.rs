//! A publisher of lists in the client's namespace: one nginx that speaks https, with a certificate made for it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use super::{Family, Lab, Running, nginx, process, wait_until};

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// With the file, or that it has not changed; who has no token gets 403.
    Good,
    /// With status 500.
    Broken,
    /// With a kibibyte a second.
    Slow,
    /// With an address that is not encrypted.
    Elsewhere,
}

/// A running publisher; ended on drop. Another one goes on with its files and its certificate.
#[derive(Debug)]
pub struct Publisher {
    running: Running,
    dir: PathBuf,
}

/// What it wants to be sent.
pub const TOKEN: &str = "X-Token: s3cret";

impl Publisher {
    /// Starts it and waits until it answers.
    pub fn start(lab: &Lab, manner: Manner) -> Result<Self> {
        let dir = Self::dir(lab);
        fs::create_dir_all(dir.join("www"))?;
        if !dir.join("cert.pem").exists() {
            certify(lab, &dir)?;
        }
        let config = dir.join("nginx.conf");
        fs::write(&config, configuration(&dir, manner))?;
        let mut running = nginx::run(&lab.client.ns, &dir, &config)?;
        wait_until("the publisher to answer", Duration::from_secs(10), || {
            running.must_run()?;
            let mut curl = lab.client.ns.command("curl")?;
            let url = format!("{}ready", Self::url(lab, Family::V4));
            let answer = process::output(curl.args(["-ksS", "-m", "1", &url]), Duration::from_secs(3))?;
            Ok((answer.status == 0).then_some(()))
        })?;
        Ok(Self { running, dir })
    }

    /// What its lists begin with, as URLs.
    #[must_use]
    pub fn url(lab: &Lab, family: Family) -> String {
        family.of(
            format!("https://{}:8443/", lab.client.ip4),
            format!("https://[{}]:8443/", lab.client.ip6),
        )
    }

    /// The certificate by which it is known.
    #[must_use]
    pub fn certificate(lab: &Lab) -> PathBuf {
        Self::dir(lab).join("cert.pem")
    }

    /// Publishes `content` under `name`; a file that is replaced within a second is another one all the same.
    pub fn publish(lab: &Lab, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let directory = Self::dir(lab).join("www");
        fs::create_dir_all(&directory)?;
        Ok(fs::write(directory.join(name), content)?)
    }

    /// The status of each answer to a list so far.
    pub fn answers(&self) -> Result<Vec<String>> {
        let log = fs::read_to_string(self.dir.join("access.log"))?;
        Ok(log.lines().map(str::to_owned).collect())
    }

    /// Kills it, in the middle of whatever it sends.
    pub fn kill(self) {
        drop(self.running);
    }

    fn dir(lab: &Lab) -> PathBuf {
        lab.dir.path().join("publisher")
    }
}

fn certify(lab: &Lab, dir: &Path) -> Result<()> {
    let config = dir.join("openssl.conf");
    fs::write(
        &config,
        format!(
            "[req]\ndistinguished_name = name\nx509_extensions = is\nprompt = no\n[name]\nCN = publisher\n\
             [is]\nbasicConstraints = critical,CA:FALSE\nsubjectAltName = IP:{},IP:{}\n",
            lab.client.ip4, lab.client.ip6
        ),
    )?;
    let mut openssl = Command::new("openssl");
    openssl
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .arg("-config")
        .arg(&config)
        .arg("-keyout")
        .arg(dir.join("key.pem"))
        .arg("-out")
        .arg(dir.join("cert.pem"));
    process::run(&mut openssl)
        .map(drop)
        .context("making a certificate")
}

fn configuration(dir: &Path, manner: Manner) -> String {
    let dir = dir.display();
    let temp = nginx::temporary(&dir);
    let list = match manner {
        Manner::Good => "if ($http_x_token != \"s3cret\") { return 403; }",
        Manner::Broken => "return 500;",
        Manner::Slow => "limit_rate 1k;",
        Manner::Elsewhere => "return 302 http://$host/list;",
    };
    format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid {dir}/pid;\nevents {{ worker_connections 64; }}\nhttp {{\n  \
         log_format status '$status';\n{temp}  server {{\n    listen 8443 ssl;\n    listen [::]:8443 ssl ipv6only=on;\n    \
         ssl_certificate {dir}/cert.pem;\n    ssl_certificate_key {dir}/key.pem;\n    root {dir}/www;\n    \
         gzip on;\n    gzip_types *;\n    \
         location = /ready {{ access_log off; return 200; }}\n    \
         location / {{ access_log {dir}/access.log status; {list} }}\n  }}\n}}\n"
    )
}
