//! The daemon under test in the victim's network namespace, and its command line.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{
    IFACE, Lab,
    process::{self, Output, Running, wait_until},
};

/// A netguard that protects the victim of a lab. When dropped, daemon and protection are removed.
#[derive(Debug)]
pub struct Netguard<'lab> {
    lab: &'lab Lab,
    instance: String,
    program: PathBuf,
    run_args: Vec<String>,
    daemon: Option<Running>,
}

/// Where the audit trails of instances are, each in a directory of its name.
pub(super) const TRAILS: &str = "/var/lib/netguard";

/// Packets by the verdict that they got; verdicts that drop only, or all of them.
pub type Verdicts = BTreeMap<String, u64>;

/// The netguard to test: `NETGUARD_BIN`, or the one built beside the calling program, release before debug.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("NETGUARD_BIN") {
        return Ok(path.into());
    }
    let program = env::current_exe()?;
    let candidates = program.ancestors().skip(1).flat_map(|dir| {
        let target = dir.parent().unwrap_or(dir);
        [target.join("release/netguard"), target.join("debug/netguard")]
    });
    candidates.into_iter().find(|path| path.is_file()).with_context(|| {
        format!(
            "no netguard beside {}: build it (cargo build --release -p netguard) or name it in NETGUARD_BIN",
            program.display()
        )
    })
}

impl<'lab> Netguard<'lab> {
    /// Starts the daemon with this configuration (TOML; may be empty) and waits until it protects the
    /// victim's interface.
    pub fn start(lab: &'lab Lab, program: &Path, config: &str) -> Result<Self> {
        Self::start_with(lab, program, config, &[])
    }

    /// As [`Self::start`], with more arguments to `netguard run`.
    pub fn start_with(lab: &'lab Lab, program: &Path, config: &str, args: &[&str]) -> Result<Self> {
        let path = lab.dir.path().join("netguard.toml");
        fs::write(&path, config)?;
        let path = path.display().to_string();
        let run_args = ["run", "-i", IFACE, "-c", &path]
            .iter()
            .chain(args)
            .map(|&arg| arg.to_owned())
            .collect();
        let program = program.to_owned();
        let mut netguard = Self {
            lab,
            instance: lab.name.clone(),
            program,
            run_args,
            daemon: None,
        };
        netguard.restart()?;
        Ok(netguard)
    }

    /// The command line of another instance, which is not running.
    #[must_use]
    pub fn as_instance(&self, suffix: &str) -> Self {
        let instance = format!("{}-{suffix}", self.lab.name);
        let (program, run_args) = (self.program.clone(), self.run_args.clone());
        Self {
            lab: self.lab,
            instance,
            program,
            run_args,
            daemon: None,
        }
    }

    /// Starts the daemon again, after [`Self::kill9`] or [`Self::stop`], and waits until it protects the
    /// interface.
    pub fn restart(&mut self) -> Result<()> {
        self.daemon = None;
        let mut command = self.command()?;
        command.args(&self.run_args);
        let mut daemon = Running::start(&mut command, &self.lab.dir.path().join("netguard.log"))?;
        let protects = wait_until(
            "netguard to protect the interface",
            Duration::from_secs(20),
            || {
                daemon.must_run()?;
                Ok(self.protects()?.then_some(()))
            },
        );
        protects.with_context(|| format!("its log: {}", daemon.log()))?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Whether a daemon answers and the victim's interface is protected.
    pub fn protects(&self) -> Result<bool> {
        let status = self.cli(&["status", "--json"])?;
        if status.status != 0 {
            return Ok(false);
        }
        let status: Value =
            serde_json::from_str(&status.stdout).context("netguard status printed no JSON")?;
        let protected = status["protected"]
            .as_array()
            .context("netguard status has no list `protected`")?;
        Ok(status["running"] == true && protected.iter().any(|interface| interface == IFACE))
    }

    /// Runs the command line for this instance in the victim's network namespace, to its end (at most 20 s).
    pub fn cli(&self, args: &[&str]) -> Result<Output> {
        process::output(self.command()?.args(args), Duration::from_secs(20))
    }

    /// As [`Self::cli`], but anything but success is an error.
    pub fn must(&self, args: &[&str]) -> Result<String> {
        let output = self.cli(args)?;
        if output.status != 0 {
            bail!(
                "netguard {} ended with {}: {}",
                args.join(" "),
                output.status,
                output.stderr.trim()
            );
        }
        Ok(output.stdout)
    }

    /// What `feed list` says of the list `name`.
    pub fn list(&self, name: &str) -> Result<Value> {
        let lists = self.json(&["feed", "list", "--json"])?;
        let found = lists
            .as_array()
            .and_then(|lists| lists.iter().find(|list| list["name"] == name));
        found
            .cloned()
            .with_context(|| format!("no list {name} in {lists}"))
    }

    /// As [`Self::must`], with the output read as JSON.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let text = self.must(args)?;
        serde_json::from_str(&text)
            .with_context(|| format!("netguard {} printed no JSON: {text}", args.join(" ")))
    }

    /// Packets by verdict since the counters were made.
    pub fn stats(&self) -> Result<Verdicts> {
        self.verdicts(|_| true)
    }

    /// As [`Self::stats`], of the verdicts that drop.
    pub fn drops(&self) -> Result<Verdicts> {
        self.verdicts(|action| action == "drop")
    }

    fn verdicts(&self, wanted: impl Fn(&str) -> bool) -> Result<Verdicts> {
        let stats = self.json(&["stats", "--json"])?;
        let rows = stats["verdicts"]
            .as_array()
            .context("netguard stats has no list of verdicts")?;
        let rows = rows
            .iter()
            .filter(|row| row["action"].as_str().is_some_and(&wanted));
        rows.map(|row| Some((row["name"].as_str()?.to_owned(), row["packets"].as_u64()?)))
            .collect::<Option<_>>()
            .with_context(|| format!("a verdict without name or packets: {stats}"))
    }

    /// The prefixes on the blocklist, as `block list` prints them.
    pub fn blocked(&self) -> Result<Vec<String>> {
        let list = self.json(&["block", "list", "--json"])?;
        let rows = list
            .as_array()
            .with_context(|| format!("block list is no list: {list}"))?;
        Ok(rows
            .iter()
            .filter_map(|row| Some(row["prefix"].as_str()?.to_owned()))
            .collect())
    }

    /// The process of the daemon, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.daemon.as_ref().map(Running::id)
    }

    /// Kills the daemon without a chance to clean up.
    pub fn kill9(&mut self) {
        self.daemon = None;
    }

    /// Asks the daemon to end and waits for it.
    pub fn stop(&mut self) -> Result<()> {
        match self.daemon.take() {
            Some(mut daemon) => daemon.stop(Signal::SIGTERM, Duration::from_secs(10)).map(drop),
            None => Ok(()),
        }
    }

    /// What the daemon has logged, over all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.lab.dir.path().join("netguard.log")).unwrap_or_default()
    }

    /// The directory where this instance pins what lives in the kernel.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        Path::new("/sys/fs/bpf/netguard").join(&self.instance)
    }

    /// The audit trail of this instance, as long as no configuration says otherwise.
    #[must_use]
    pub fn trail(&self) -> PathBuf {
        Path::new(TRAILS).join(&self.instance).join("audit.jsonl")
    }

    /// A command line of this instance, to be completed and run.
    pub fn command(&self) -> Result<Command> {
        let mut command = self.lab.victim.ns.command(&self.program)?;
        command.args(["--instance", &self.instance]);
        Ok(command)
    }
}

impl Drop for Netguard<'_> {
    fn drop(&mut self) {
        self.kill9();
        if self.pins().exists()
            && let Err(error) = self.must(&["detach"])
        {
            eprintln!("lab: {error:#}");
        }
        // The daemon's lock outlives it on purpose, as do its audit trail and copies of feeds; the name of this instance never comes again.
        for kind in ["lock", "audit"] {
            let _ = fs::remove_file(Path::new("/run/netguard").join(format!("{}.{kind}", self.instance)));
        }
        let _ = fs::remove_dir_all(Path::new(TRAILS).join(&self.instance));
    }
}

/// How much each count has grown, without those that have not.
#[must_use]
pub fn growth(before: &Verdicts, after: &Verdicts) -> Verdicts {
    let grown = after.iter().map(|(name, count)| {
        (
            name.clone(),
            count.saturating_sub(*before.get(name).unwrap_or(&0)),
        )
    });
    grown.filter(|(_, count)| *count > 0).collect()
}
