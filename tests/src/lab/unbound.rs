//! A name server on a host of the lab: one unbound process, both families, with a small and a big answer; and dig, which asks it.

use std::{fs, time::Duration};

use anyhow::{Context, Result, bail};

use super::{Family, Host, Lab, Output, Running, process, wait_until};

/// A name with an address, and that.
pub const NAME: &str = "www.lab";
/// See [`NAME`].
pub const NAME_ADDRESS: &str = "192.0.2.80";

/// A name with an answer that takes three fragments.
pub const BIG_NAME: &str = "big.lab";

/// A name with a small answer.
pub const SMALL_NAME: &str = "small.lab";

/// A running unbound; ended on drop.
#[derive(Debug)]
pub struct Unbound {
    running: Running,
}

impl Unbound {
    /// Starts it on `host` and waits until it answers there.
    pub fn start(lab: &Lab, host: &Host) -> Result<Self> {
        let dir = lab.dir.path().join(format!("unbound-{}", host.ns.name()));
        fs::create_dir_all(&dir)?;
        let config = dir.join("unbound.conf");
        fs::write(&config, configuration(host))?;
        let mut command = host.ns.command("unbound")?;
        command.arg("-d").arg("-c").arg(&config);
        let mut running = Running::start(&mut command, &dir.join("unbound.log"))?;
        for family in [Family::V4, Family::V6] {
            wait_until("unbound to answer", Duration::from_secs(10), || {
                running.must_run()?;
                Ok(Dig::from(host).ask(host, family, SMALL_NAME).ok())
            })
            .with_context(|| running.log())?;
        }
        Ok(Self { running })
    }

    /// An error if it has ended.
    pub fn must_run(&mut self) -> Result<()> {
        self.running.must_run()
    }
}

/// Who asks, and from which port.
#[derive(Debug, Clone, Copy)]
pub struct Dig<'lab> {
    host: &'lab Host,
    port: u16,
}

impl<'lab> Dig<'lab> {
    /// From `host`, by a port that its kernel chooses.
    #[must_use]
    pub fn from(host: &'lab Host) -> Self {
        Self { host, port: 0 }
    }

    /// The same from `port`.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// Asks `server` for the text under `name`, by UDP and once only; tells the length of the answer in bytes.
    pub fn ask(&self, server: &Host, family: Family, name: &str) -> Result<usize> {
        let server = format!("@{}", server.ip(family));
        let from = format!("{}#{}", self.host.ip(family), self.port);
        let mut command = self.host.ns.command("dig")?;
        command.args([&server, "-b", &from, name, "TXT", "+tries=1", "+time=2"]);
        command.args(["+ignore", "+notcp", "+bufsize=4096", "+nocookie"]);
        let said = process::output(&mut command, Duration::from_secs(5))?.stdout;
        if !said.contains("status: NOERROR") || said.contains(" tc") {
            bail!("no whole answer: {said}");
        }
        let len = said
            .lines()
            .find_map(|line| line.strip_prefix(";; MSG SIZE  rcvd: "));
        len.context("dig tells the length")?.parse().context("a length")
    }
}

/// What dig in the client's namespace gets when it asks the victim for [`NAME`], with these options.
pub fn dig(lab: &Lab, family: Family, options: &[&str]) -> Result<Output> {
    let mut command = lab.client.ns.command("dig")?;
    let server = format!("@{}", lab.victim.ip(family));
    command.args([server.as_str(), NAME, "A", "+short"]).args(options);
    process::output(&mut command, Duration::from_secs(20))
}

fn configuration(host: &Host) -> String {
    let text = "x".repeat(250);
    let mut data =
        format!("  local-data: '{SMALL_NAME}. TXT \"hello\"'\n  local-data: '{NAME}. A {NAME_ADDRESS}'\n");
    for number in 0..14 {
        data.push_str(&format!("  local-data: '{BIG_NAME}. TXT \"{number}{text}\"'\n"));
    }
    format!(
        "server:\n  interface: {}\n  interface: {}\n  access-control: 0.0.0.0/0 allow\n  access-control: ::/0 allow\n  \
         do-daemonize: no\n  chroot: \"\"\n  username: \"\"\n  directory: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  \
         module-config: iterator\n  max-udp-size: 4096\n  edns-buffer-size: 4096\n  minimal-responses: yes\n  \
         local-zone: 'lab.' static\n{data}remote-control:\n  control-enable: no\n",
        host.ip4, host.ip6
    )
}
