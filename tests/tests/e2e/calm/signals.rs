//! A daemon goes on without whoever started it: no terminal, nobody who reads its log.

use std::time::{Duration, Instant};

use anyhow::Result;
use netguard_tests::lab::{Lab, Netguard, Running, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{calm::lab, protect};

/// Found in review: a line of the log that could not be written ended the daemon, and so did the one that said that it stops.
#[test]
fn a_full_disk_under_the_log_stops_nothing() -> Result<()> {
    goes_on(r#"exec "$@" 2>/dev/full"#, |_| Ok(()))
}

#[test]
fn a_log_that_nobody_reads_any_more_stops_nothing() -> Result<()> {
    // The reader of the pipe ends at once.
    goes_on(
        r#"mkfifo "$0.log"; true <"$0.log" & exec "$@" 2>"$0.log""#,
        |_| Ok(()),
    )
}

/// Found in review: under `nohup` the end of the terminal was the daemon's, too.
#[test]
fn a_daemon_that_is_to_ignore_hangups_does() -> Result<()> {
    goes_on(r#"trap "" HUP; exec "$@""#, |daemon| {
        Ok(kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGHUP)?)
    })
}

/// A daemon that `script` starts protects, goes on protecting after `trouble`, and stops in order when it is asked to.
fn goes_on(script: &str, trouble: impl FnOnce(&Running) -> Result<()>) -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    lab.victim.ns.ip("link add v9 type veth peer name v9p")?;
    let other = netguard.as_instance("x");
    let mut daemon = start(&lab, &other, script)?;
    let protects = || Ok((other.cli(&["status"])?.status == 0).then_some(()));
    wait_until("the daemon to protect", Duration::from_secs(10), || {
        daemon.must_run()?;
        protects()
    })?;
    trouble(&daemon)?;
    let begun = Instant::now();
    wait_until("some seconds", Duration::from_secs(10), || {
        daemon.must_run()?;
        Ok((begun.elapsed() > Duration::from_secs(2)).then_some(()))
    })?;
    protects()?.ok_or_else(|| anyhow::anyhow!("nothing is protected any more"))?;
    let status = daemon.stop(Signal::SIGTERM, Duration::from_secs(10))?;
    assert!(status.success(), "{status}");
    assert!(other.pins().exists(), "protection ended with the daemon");
    other.must(&["detach"])?;
    Ok(())
}

/// `script` gets the command line of the daemon as its arguments, and a path of its own as its name.
fn start(lab: &Lab, netguard: &Netguard<'_>, script: &str) -> Result<Running> {
    let mut shell = lab.victim.ns.command("sh")?;
    let command = netguard.command()?;
    shell
        .args(["-c", script])
        .arg(lab.dir.path().join("script"))
        .arg(command.get_program())
        .args(command.get_args())
        .args(["run", "-i", "v9"]);
    Running::start(&mut shell, &lab.dir.path().join("second.log"))
}
