//! Installing packages on a Debian-like distribution; nothing else here knows about apt.

use std::{cell::Cell, fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::process;

use super::machine;

/// The package installer of this machine, if it has one that these tasks know.
pub(crate) struct Apt {
    may_change: bool,
    updated: Cell<bool>,
}

impl Apt {
    /// `None` unless `/etc/os-release` names Debian or a relative and `apt-get` is there. Without `may_change`
    /// it only answers questions, from the lists as they are.
    pub(crate) fn detect(may_change: bool) -> Option<Self> {
        let release = fs::read_to_string("/etc/os-release").ok()?;
        let usable = is_debian_like(&release) && process::find_program("apt-get").is_some();
        usable.then(|| Self {
            may_change,
            updated: Cell::new(false),
        })
    }

    /// Whether this run and this user may install packages.
    pub(crate) fn may_install(&self) -> bool {
        self.may_change && machine::is_root()
    }

    /// Whether the distribution offers a package; the lists are brought up to date first if that is allowed.
    pub(crate) fn offers(&self, package: &str) -> bool {
        if self.may_install() {
            self.update();
        }
        process::output(Command::new("apt-cache").args(["policy", package]))
            .is_ok_and(|policy| has_candidate(&policy))
    }

    /// Installs packages without starting the services among them and without removing any other.
    pub(crate) fn install(&self, packages: &[&str]) -> Result<()> {
        if !self.may_install() {
            bail!("cannot install {} without root", packages.join(" "));
        }
        self.update();
        let _quiet = NoServices::begin()?;
        process::output(
            apt_get()
                .args([
                    "install",
                    "--yes",
                    "--no-install-recommends",
                    "-o",
                    "Dpkg::Use-Pty=0",
                ])
                .args(["-o", "Dpkg::Options::=--force-confold"])
                .args(packages),
        )
        .map(drop)
    }

    /// Once per run. A failure is only told: a machine may have a broken list beside those that matter, and
    /// an install that lacks something says so itself.
    fn update(&self) {
        if self.updated.replace(true) {
            return;
        }
        println!("setup: doing    apt-get update");
        if let Err(error) = process::output(apt_get().arg("update")) {
            println!("setup: note     {error:#}");
        }
    }
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .args(["-q", "-o", "DPkg::Lock::Timeout=300"])
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// While this lives, packages that bring a service do not start it: Debian asks `policy-rc.d` first,
/// and 101 means "forbidden by policy" (invoke-rc.d(8)). A policy that somebody else put there stands.
struct NoServices {
    ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";
const POLICY_TEXT: &str = "#!/bin/sh\n# written by netguard's setup for the time of one install\nexit 101\n";

impl NoServices {
    fn begin() -> Result<Self> {
        let path = Path::new(POLICY);
        // A copy with our text is what an interrupted run left: take it over and remove it at the end.
        let left_over = fs::read_to_string(path).is_ok_and(|text| text == POLICY_TEXT);
        if path.exists() && !left_over {
            return Ok(Self { ours: false });
        }
        fs::write(path, POLICY_TEXT)
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("cannot write {POLICY}"))?;
        Ok(Self { ours: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            // If it cannot be removed, the next run does.
            let _ = fs::remove_file(POLICY);
        }
    }
}

fn is_debian_like(os_release: &str) -> bool {
    os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .any(|names| {
            names
                .trim_matches(['"', '\''])
                .split_whitespace()
                .any(|name| name == "debian")
        })
}

fn has_candidate(policy: &str) -> bool {
    policy
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Candidate:"))
        .any(|version| version.trim() != "(none)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relatives_of_debian_are_recognised() {
        assert!(is_debian_like("NAME=\"Debian GNU/Linux\"\nID=debian\n"));
        assert!(is_debian_like("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"));
        assert!(!is_debian_like("ID=fedora\nVARIANT_ID=debian\n"));
        assert!(!is_debian_like("ID=arch\nHOME_URL=debian\n"));
    }

    #[test]
    fn a_package_without_candidate_is_not_offered() {
        assert!(has_candidate(
            "gcc:\n  Installed: (none)\n  Candidate: 4:12.2.0-3\n"
        ));
        assert!(!has_candidate("gcc:\n  Installed: (none)\n  Candidate: (none)\n"));
        assert!(!has_candidate(""));
    }
}
