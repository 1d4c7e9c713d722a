//! Reverse proxies in the victim's namespace that ask the decision endpoint before they serve what the server there has: nginx and HAProxy, by the
//! files that are shipped for them.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail, ensure};

use super::{Family, Host, Lab, Running, nginx, wait_until};

/// Where proxies ask.
pub const ENDPOINT: &str = "127.0.0.1:9465";

/// A running proxy; ended on drop.
#[derive(Debug)]
pub struct ReverseProxy<'lab> {
    lab: &'lab Lab,
    port: u16,
    running: Running,
}

/// What somebody was answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    head: String,
    /// What stands behind the head.
    pub body: String,
}

impl Reply {
    /// The value of a header, of several of that name the first.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl<'lab> ReverseProxy<'lab> {
    /// nginx at port 8080.
    pub fn nginx(lab: &'lab Lab) -> Result<Self> {
        let dir = lab.dir.path().join("proxy-nginx");
        fs::create_dir_all(&dir)?;
        let config = dir.join("nginx.conf");
        let shipped = shipped("packaging/nginx/netguard.conf");
        let of = dir.display();
        let temp = nginx::temporary(&of);
        let text = format!(
            "daemon off;\nmaster_process off;\nworker_processes 1;\npid {of}/pid;\nevents {{ worker_connections 512; }}\n\
             http {{\n  access_log off;\n{temp}  upstream netguard {{ server {ENDPOINT}; keepalive 32; }}\n  server {{\n    \
             listen 8080;\n    listen [::]:8080 ipv6only=on;\n    include {shipped};\n    \
             location / {{ post_action /netguard-report; proxy_pass http://127.0.0.1:80; }}\n  }}\n}}\n"
        );
        fs::write(&config, text)?;
        let running = nginx::run(&lab.victim.ns, &dir, &config)?;
        Self::ready(lab, 8080, running)
    }

    /// HAProxy at port 8081.
    pub fn haproxy(lab: &'lab Lab) -> Result<Self> {
        let dir = lab.dir.path().join("proxy-haproxy");
        fs::create_dir_all(&dir)?;
        let config = dir.join("haproxy.cfg");
        let shipped = shipped("packaging/haproxy/netguard.lua");
        let text = format!(
            "global\n  setenv NETGUARD_ENDPOINT http://{ENDPOINT}\n  lua-load {shipped}\ndefaults\n  mode http\n  timeout connect 2s\n  timeout client 5s\n  \
             timeout server 5s\nfrontend www\n  bind 0.0.0.0:8081\n  bind [::]:8081 v6only\n  http-request lua.netguard\n  \
             http-response lua.netguard-report\n  default_backend web\nbackend web\n  server one 127.0.0.1:80\n"
        );
        fs::write(&config, text)?;
        let mut command = lab.victim.ns.command("haproxy")?;
        command.arg("-db").arg("-f").arg(&config);
        let running = Running::start(&mut command, &dir.join("log"))?;
        Self::ready(lab, 8081, running)
    }

    fn ready(lab: &'lab Lab, port: u16, running: Running) -> Result<Self> {
        let mut proxy = Self { lab, port, running };
        // Something that no limit of a test is about.
        let answers = |proxy: &mut Self| {
            proxy.running.must_run()?;
            let reply = proxy.ask(&proxy.lab.victim, Family::V4, "/is-it-there", &[]).ok();
            // The server behind it says so, as soon as netguard lets the request through.
            Ok(reply.filter(|reply| reply.status == 404))
        };
        let there = wait_until("the proxy to answer", Duration::from_secs(10), || {
            answers(&mut proxy)
        });
        there.with_context(|| proxy.running.log())?;
        Ok(proxy)
    }

    /// What `from` is answered for `path` by curl with more arguments.
    pub fn ask(&self, from: &Host, family: Family, path: &str, args: &[&str]) -> Result<Reply> {
        let host = family.of(
            self.lab.victim.ip4.to_owned(),
            format!("[{}]", self.lab.victim.ip6),
        );
        curl(from, &format!("http://{host}:{}{path}", self.port), args)
    }

    /// What it complained of.
    #[must_use]
    pub fn log(&self) -> String {
        self.running.log()
    }
}

/// What `from` is answered at `url` by curl with more arguments.
pub fn curl(from: &Host, url: &str, args: &[&str]) -> Result<Reply> {
    let mut command = from.ns.command("curl")?;
    command
        .args(["-s", "-S", "-i", "-g", "-m", "5"])
        .args(args)
        .arg(url);
    let output = command.output()?;
    ensure!(
        output.status.success(),
        "curl {url}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        bail!("curl {url}: no answer of HTTP: {text}");
    };
    let status = head.split_whitespace().nth(1).context("no status")?;
    Ok(Reply {
        status: status.parse()?,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    path.display().to_string()
}
