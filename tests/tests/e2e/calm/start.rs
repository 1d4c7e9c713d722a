//! A start that fails leaves what stood before, in the kernel as on the interfaces, and tells every error; a daemon that is short of
//! descriptors takes nothing for gone that it cannot read.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use netguard_tests::lab::{IFACE, Lab, Netguard, Running, output, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{calm::lab, protect};

/// A pair of interfaces of which nobody has heard.
const PAIR: &str = "link add v9 type veth peer name v9p";

fn write(lab: &Lab, name: &str, config: &str) -> Result<String> {
    let path = lab.dir.path().join(name);
    fs::write(&path, config)?;
    Ok(path.display().to_string())
}

/// What a packet is judged by, as the kernel has it.
fn in_force(netguard: &Netguard) -> Result<String> {
    let mut all = String::new();
    for question in [
        &["limit", "list"][..],
        &["service", "list"],
        &["block", "list"],
        &["allow", "list"],
        &["map", "dump", "SETTINGS"],
    ] {
        all += &netguard.must(question)?;
    }
    Ok(all)
}

/// Found in review: the settings and rules of a start that failed held for what an earlier daemon protected.
#[test]
fn what_an_earlier_daemon_left_holds_after_a_start_that_fails() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    lab.victim.ns.ip(PAIR)?;
    let other = netguard.as_instance("x");
    let first = write(
        &lab,
        "first.toml",
        "interfaces = [\"v9p\"]\nblock = [\"198.18.1.0/24\"]\nallow = [\"198.18.2.1\"]\nlimit.udp = { rate_per_s = 111, burst = 222 }\n\
         reflection.mode = \"off\"\n[[service]]\nport = \"udp/53\"\nrate_per_s = 77\nburst = 88\n",
    )?;
    let mut command = other.command()?;
    command.args(["run", "-c", &first]);
    let mut daemon = Running::start(&mut command, &lab.dir.path().join("second.log"))?;
    wait_until("the first daemon to protect", Duration::from_secs(10), || {
        daemon.must_run()?;
        Ok((other.cli(&["status"])?.status == 0).then_some(()))
    })?;
    other.must(&["block", "add", "198.18.3.0/24"])?;
    drop(daemon);
    let before = in_force(&other)?;
    assert!(
        before.contains("111") && before.contains("198.18.1.0/24"),
        "{before}"
    );

    let second = write(
        &lab,
        "second.toml",
        "block = [\"198.18.4.0/24\"]\nallow = [\"198.18.5.1\"]\nlimit.udp = { rate_per_s = 333, burst = 444 }\n\
         [[service]]\nport = \"udp/123\"\nrate_per_s = 7\nburst = 8\n",
    )?;
    // The last interface is another instance's.
    let refused = other.cli(&["run", "-c", &second, "-i", "v9p", "-i", "v9", "-i", IFACE])?;
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.stderr.contains("already runs"), "{}", refused.stderr);
    assert_eq!(in_force(&other)?, before);
    let watched = fs::read_dir(other.pins().join("egress"))?.count();
    assert_eq!(watched, 0, "the watch of the start that failed is left");
    other.must(&["detach"])?;
    Ok(())
}

/// Found in review: what cannot be pinned left maps behind, which the next start took for those of a daemon.
#[test]
fn a_load_that_fails_leaves_no_pins() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    lab.victim.ns.ip(PAIR)?;
    let other = netguard.as_instance("x");
    // In the place of the program.
    fs::create_dir_all(other.pins().join("progs/netguard_xdp"))?;
    let refused = other.cli(&["run", "-i", "v9"])?;
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.stderr.contains("netguard_xdp"), "{}", refused.stderr);
    assert!(!other.pins().exists(), "{} is left", other.pins().display());
    Ok(())
}

/// Found in review: a link whose description could not be read was detached as one that filters nothing.
#[test]
fn a_daemon_short_of_descriptors_keeps_its_filter() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    lab.victim.ns.ip(PAIR)?;
    let other = netguard.as_instance("x");
    let mut daemon = protecting(&lab, &other)?;
    let pid = Pid::from_raw(daemon.id().cast_signed());
    let link = pinned_link(&other)?;
    for spare in 0..4 {
        let free = free_descriptor(pid, spare)?;
        let told = daemon.log().len();
        limit_descriptors(pid, &free.to_string())?;
        // Two looks at the interfaces, of which nothing may be seen.
        let begun = Instant::now();
        wait_until("some looks", Duration::from_secs(5), || {
            Ok((begun.elapsed() > Duration::from_millis(2_500)).then_some(()))
        })?;
        limit_descriptors(pid, "256")?;
        let told = daemon.log().split_off(told);
        assert_eq!(pinned_link(&other)?, link, "{spare} descriptors left: {told}");
    }
    protects(&other, &mut daemon)?;
    let events = other.must(&["events"])?;
    assert!(!events.contains("unprotected"), "{events}");
    assert!(!events.contains("reflection-off"), "{events}");
    other.must(&["detach"])?;
    Ok(())
}

/// Found in review: a daemon that hangs takes connections, and was said to run.
#[test]
fn a_daemon_that_hangs_is_told_as_one() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    lab.victim.ns.ip(PAIR)?;
    let other = netguard.as_instance("x");
    let daemon = protecting(&lab, &other)?;
    kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGSTOP)?;
    let ask = |args: &[&str]| output(other.command()?.args(args), Duration::from_secs(40));
    let doctor = ask(&["doctor"])?;
    assert_eq!(doctor.status, 1, "{doctor:?}");
    assert!(doctor.stdout.contains("it hangs"), "{}", doctor.stdout);
    // What the kernel does is told all the same.
    let status = ask(&["status"])?;
    assert_eq!(status.status, 1, "{status:?}");
    for part in [
        "it hangs",
        &daemon.id().to_string(),
        "still protects v9",
        "rules: ",
    ] {
        assert!(status.stdout.contains(part), "{part}: {status:?}");
    }
    let status: serde_json::Value = serde_json::from_str(&ask(&["status", "--json"])?.stdout)?;
    assert_eq!(
        (&status["running"], &status["protected"][0]),
        (&false.into(), &"v9".into())
    );
    assert!(
        status["daemon_fault"].to_string().contains("it hangs"),
        "{status}"
    );
    drop(daemon);
    other.must(&["detach"])?;
    Ok(())
}

/// A daemon of the instance `other`, which protects the interface beside the lab's.
fn protecting(lab: &Lab, other: &Netguard<'_>) -> Result<Running> {
    let mut command = other.command()?;
    command.args(["run", "-i", "v9"]);
    let mut daemon = Running::start(&mut command, &lab.dir.path().join("second.log"))?;
    protects(other, &mut daemon)?;
    Ok(daemon)
}

fn protects(other: &Netguard<'_>, daemon: &mut Running) -> Result<()> {
    wait_until("the daemon to protect", Duration::from_secs(10), || {
        daemon.must_run()?;
        Ok((other.cli(&["status"])?.status == 0).then_some(()))
    })
}

/// The links that are pinned, as the kernel numbers them.
fn pinned_link(netguard: &Netguard) -> Result<String> {
    let mut all = String::new();
    for directory in ["links", "egress"] {
        for pin in fs::read_dir(netguard.pins().join(directory))? {
            let mut show = std::process::Command::new("bpftool");
            show.args(["link", "show", "pinned"]).arg(pin?.path());
            let shown = output(&mut show, Duration::from_secs(5))?.stdout;
            let id = shown.split(':').next().context("a link has a number")?;
            all += &format!("{directory} {id}\n");
        }
    }
    Ok(all)
}

/// A limit of descriptors that leaves `spare` of them free.
fn free_descriptor(pid: Pid, spare: usize) -> Result<usize> {
    let mut taken = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        taken.push(entry?.file_name().to_string_lossy().parse::<usize>()?);
    }
    (0..)
        .filter(|number| !taken.contains(number))
        .nth(spare)
        .context("numbers do not end")
}

/// Sets the soft limit.
fn limit_descriptors(pid: Pid, limit: &str) -> Result<()> {
    let mut command = std::process::Command::new("prlimit");
    command.args([&format!("--pid={pid}"), &format!("--nofile={limit}:")]);
    let done = output(&mut command, Duration::from_secs(5))?;
    assert_eq!(done.status, 0, "{done:?}");
    Ok(())
}
