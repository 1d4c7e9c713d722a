//! The name server in the victim's namespace: unbound, which knows one name.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

use super::{Family, Lab, Output, Running, output, wait_until};

/// The name that it knows, and its address.
pub const NAME: &str = "www.lab.example";
/// See [`NAME`].
pub const NAME_ADDRESS: &str = "192.0.2.80";

/// A running name server; ended on drop.
#[derive(Debug)]
pub struct Unbound {
    _running: Running,
}

impl Unbound {
    /// Starts it and waits until the client gets an answer over both families.
    pub fn start(lab: &Lab) -> Result<Self> {
        let dir = lab.dir.path().join("unbound");
        fs::create_dir_all(&dir)?;
        let config = dir.join("unbound.conf");
        fs::write(&config, configuration(&dir.display().to_string()))?;
        let mut command = lab.victim.ns.command("unbound")?;
        command.args(["-d", "-p", "-c"]).arg(&config);
        let mut running = Running::start(&mut command, &dir.join("log"))?;
        for family in [Family::V4, Family::V6] {
            wait_until("the name server to answer", Duration::from_secs(10), || {
                running.must_run()?;
                let asked = dig(lab, family, &["+tries=1", "+time=1"])?;
                Ok((asked.stdout.trim() == NAME_ADDRESS).then_some(()))
            })
            .with_context(|| format!("over {}", family.name()))?;
        }
        Ok(Self { _running: running })
    }
}

/// What dig in the client's namespace gets when it asks for [`NAME`], with these options.
pub fn dig(lab: &Lab, family: Family, options: &[&str]) -> Result<Output> {
    let mut command = lab.client.ns.command("dig")?;
    let server = format!("@{}", lab.victim.ip(family));
    command.args([server.as_str(), NAME, "A", "+short"]).args(options);
    output(&mut command, Duration::from_secs(20))
}

fn configuration(dir: &str) -> String {
    format!(
        "server:\n  username: \"\"\n  chroot: \"\"\n  directory: \"{dir}\"\n  pidfile: \"\"\n  use-syslog: no\n  \
         interface: 0.0.0.0\n  interface: ::0\n  access-control: 0.0.0.0/0 allow\n  access-control: ::/0 allow\n  \
         module-config: \"iterator\"\n  local-zone: \"lab.example.\" static\n  local-data: \"{NAME}. A {NAME_ADDRESS}\"\n\
         remote-control:\n  control-enable: no\n"
    )
}
