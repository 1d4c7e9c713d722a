//! Bad input to the command line: exit status 2, a sentence that names what is wrong, and nothing touched.

use std::{fs, time::Duration};

use anyhow::Result;
use netguard_tests::lab::{IFACE, Netguard, Output, output as run};

use crate::{calm::lab, protect};

#[test]
fn bad_arguments_change_nothing() -> Result<()> {
    let (lab, _server) = lab()?;
    let mut netguard = protect(&lab, "")?;
    netguard.must(&["block", "add", "192.0.2.77", "--ttl", "600s"])?;
    let before = netguard.blocked()?;
    for (args, named) in [
        (&["block", "add", "300.1.2.3"][..], "300.1.2.3"),
        (&["block", "add", "192.0.2.0/33"], "192.0.2.0/33"),
        (&["block", "add", "2001:db8::/129"], "2001:db8::/129"),
        (&["block", "add", "example.test"], "example.test"),
        (&["block", "add", ""], "prefix"),
        (&["block", "add", "192.0.2.1", "--ttl", "soon"], "soon"),
        (&["block", "del", "nobody"], "nobody"),
        (&["allow", "add", "192.0.2.0/99"], "192.0.2.0/99"),
        (&["explain", "somebody"], "somebody"),
        (&["no-such-command"], "no-such-command"),
        (&["stats", "--no-such-option"], "--no-such-option"),
    ] {
        refused(&netguard.cli(args)?, named, args);
        assert_eq!(netguard.blocked()?, before, "after {args:?}");
    }
    netguard.stop()
}

/// Found in review: the prefixes before a guarded one stayed on the list.
#[test]
fn an_import_with_a_mistake_adds_nothing() -> Result<()> {
    let (lab, _server) = lab()?;
    let mut netguard = protect(&lab, "")?;
    let file = lab.dir.path().join("list.txt");
    let import = |netguard: &Netguard, lines: &[&str], args: &[&str]| -> Result<Output> {
        fs::write(&file, lines.join("\n"))?;
        let file = file.display().to_string();
        netguard.cli(&[&["block", "import", &file], args].concat())
    };
    let own = lab.victim.ip4;
    for _ in 0..2 {
        for (line, named) in [
            (own, "an address of this machine"),
            ("10.0.0.0/7", "too wide"),
            ("nonsense", "nonsense"),
        ] {
            let output = import(&netguard, &["192.0.2.1", "# comment", "", line, "192.0.2.2"], &[])?;
            refused(&output, named, &["block", "import"]);
            assert!(output.stderr.contains("list.txt:4: "), "{}", output.stderr);
            assert!(netguard.blocked()?.is_empty(), "{named}");
        }
        // The same again without a daemon.
        netguard.kill9();
    }
    let output = import(
        &netguard,
        &["192.0.2.1", "198.18.0.0/15", "2001:db8:f000::/36"],
        &["--json"],
    )?;
    assert_eq!(output.status, 0, "{output:?}");
    assert_eq!(netguard.blocked()?.len(), 3);
    netguard.stop()
}

#[test]
fn whoever_works_over_ssh_is_not_cut_off() -> Result<()> {
    let (lab, _server) = lab()?;
    let mut netguard = protect(&lab, "")?;
    // As under sudo: the shell above the command has the variable, the command itself has not.
    let mut shell = lab.victim.ns.command("sh")?;
    let command = netguard.command()?;
    let program = command.get_program().to_owned();
    let args = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
    let words: Vec<String> = std::iter::once(program.to_string_lossy().into_owned())
        .chain(args)
        .collect();
    shell.env("SSH_CONNECTION", "192.0.2.99 5000 192.0.2.1 22").args([
        "-c",
        &format!(
            "env -u SSH_CONNECTION {} block add 192.0.2.0/24; exit $?",
            words.join(" ")
        ),
    ]);
    let output = run(&mut shell, Duration::from_secs(20))?;
    refused(
        &output,
        "192.0.2.99, from where you are logged in",
        &["block", "add"],
    );
    assert!(netguard.blocked()?.is_empty());
    netguard.stop()
}

#[test]
fn mistakes_are_json_when_asked() -> Result<()> {
    let (lab, _server) = lab()?;
    let mut netguard = protect(&lab, "")?;
    let output = netguard.cli(&["block", "add", lab.victim.ip4, "--json"])?;
    assert_eq!(output.status, 2);
    let error: serde_json::Value = serde_json::from_str(&output.stderr)?;
    assert!(
        error["error"]
            .as_str()
            .is_some_and(|text| text.contains("--force")),
        "{error}"
    );
    let absent = netguard.cli(&["map", "get", "BLOCK_V4", "192.0.2.1"])?;
    assert_eq!(absent.status, 1, "{absent:?}");
    netguard.stop()
}

#[test]
fn an_unknown_interface_is_refused() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    let other = netguard.as_instance("x");
    let args = ["run", "-i", "nope0"];
    refused(&other.cli(&args)?, "nope0", &args);
    assert!(
        !other.pins().exists(),
        "a refused start left {}",
        other.pins().display()
    );
    still_protects(&netguard)
}

#[test]
fn a_bad_configuration_is_refused_with_its_line() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    let other = netguard.as_instance("x");
    for (text, line, named) in [
        ("# settings\nno_such_key = 1\n", 2, "no_such_key"),
        ("[limit.syn]\n\nrate_per_s = \"many\"\n", 3, "rate_per_s"),
        ("[limit.syn]\nrate_per_s = 0\n", 2, "rate_per_s"),
        ("[limit\n", 1, "limit"),
    ] {
        let file = lab.dir.path().join("bad.toml");
        fs::write(&file, text)?;
        let file = file.display().to_string();
        for args in [
            &["run", "-i", IFACE, "-c", &file][..],
            &["config", "check", &file],
        ] {
            let output = other.cli(args)?;
            refused(&output, named, args);
            assert!(
                output.stderr.contains(&format!("bad.toml:{line}")),
                "no line {line} in: {}",
                output.stderr
            );
            assert!(!other.pins().exists());
        }
    }
    let missing = lab.dir.path().join("missing.toml").display().to_string();
    let args = ["run", "-i", IFACE, "-c", &missing];
    refused(&other.cli(&args)?, "missing.toml", &args);
    still_protects(&netguard)
}

#[test]
fn a_second_daemon_is_told_about_the_first() -> Result<()> {
    let (lab, _server) = lab()?;
    let netguard = protect(&lab, "")?;
    let output = netguard.cli(&["run", "-i", IFACE])?;
    assert_eq!(output.status, 1, "{output:?}");
    assert!(output.stderr.contains(&lab.name), "{}", output.stderr);
    still_protects(&netguard)
}

/// Exit status 2, and what standard error says is for people.
fn refused(output: &Output, named: &str, args: &[&str]) {
    assert_eq!(output.status, 2, "{args:?}: {output:?}");
    assert!(
        output.stderr.contains(named),
        "{args:?} is not told about {named}: {}",
        output.stderr
    );
    assert!(output.stdout.is_empty(), "{args:?}: {}", output.stdout);
    for technical in ["panicked", "RUST_BACKTRACE", "os error 22", "Caused by"] {
        assert!(!output.stderr.contains(technical), "{args:?}: {}", output.stderr);
    }
}

fn still_protects(netguard: &Netguard) -> Result<()> {
    assert!(
        netguard.protects()?,
        "the running daemon was disturbed: {}",
        netguard.log()
    );
    assert!(netguard.pins().exists());
    Ok(())
}
