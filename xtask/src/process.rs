//! Child processes: how the tasks start, watch and name them. Standard input is always closed.

use std::{
    env,
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// The cargo that runs this task, in the workspace root: for everything that is built for the host.
pub(crate) fn host_cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace::root());
    // What `cargo run` says about this package would make some build scripts believe that theirs had changed.
    for (name, _) in env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            command.env_remove(name);
        }
    }
    command
}

/// A compiler, cargo or linker of a toolchain other than the one that runs this task: nothing that
/// `cargo xtask` or the user set for the host's toolchain reaches it.
pub(crate) fn foreign(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(belongs_to_host_toolchain) {
            command.env_remove(name);
        }
    }
    command.env("RUSTUP_AUTO_INSTALL", "0");
    command
}

/// Runs a command with its output shown. An error names the command and its exit status.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {}", line_of(command)))?;
    succeed(command, status)
}

/// Runs a command and returns its standard output. An error carries what it said on standard error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let out = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", line_of(command)))?;
    if !out.status.success() {
        bail!(
            "{} ended with {}\n{}",
            line_of(command),
            out.status,
            String::from_utf8_lossy(&out.stderr).trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Runs a command with its output shown, and hands each line of standard output to `watch` as well.
pub(crate) fn watch(command: &mut Command, mut watch: impl FnMut(&str)) -> Result<()> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", line_of(command)))?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            watch(&line);
        }
    }
    let status = child.wait()?;
    succeed(command, status)
}

/// Looks a program up in `PATH` and in the system directories that an ordinary user's `PATH` leaves out.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| is_executable(file))
}

/// Whether a file exists and somebody may execute it.
pub(crate) fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn succeed(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("{} ended with {status}", line_of(command));
    }
    Ok(())
}

fn line_of(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}

/// Variables of cargo, rustc and rustup, except those that say where packages come from and how output looks.
/// `LD_LIBRARY_PATH` goes too: `cargo run` points it at the host toolchain's libraries.
fn belongs_to_host_toolchain(name: &str) -> bool {
    const KEPT: [&str; 5] = [
        "CARGO_HOME",
        "CARGO_BUILD_JOBS",
        "RUSTUP_HOME",
        "RUST_BACKTRACE",
        "RUST_LOG",
    ];
    const KEPT_PREFIXES: [&str; 5] = [
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_TERM_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
    ];
    if name == "LD_LIBRARY_PATH" {
        return true;
    }
    let of_rust = name == "CARGO" || name.starts_with("CARGO_") || name.starts_with("RUST");
    of_rust && !KEPT.contains(&name) && !KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_toolchain_keeps_registries_and_loses_flags() {
        for name in [
            "CARGO",
            "CARGO_TARGET_DIR",
            "RUSTFLAGS",
            "RUSTC_WRAPPER",
            "RUSTUP_TOOLCHAIN",
            "CARGO_ENCODED_RUSTFLAGS",
        ] {
            assert!(belongs_to_host_toolchain(name), "{name}");
        }
        for name in [
            "CARGO_HOME",
            "CARGO_REGISTRIES_CRATES_IO_PROTOCOL",
            "CARGO_HTTP_CAINFO",
            "RUSTUP_HOME",
            "PATH",
        ] {
            assert!(!belongs_to_host_toolchain(name), "{name}");
        }
    }

    #[test]
    fn failures_name_the_command() {
        let error = output(Command::new("sh").args(["-c", "echo why >&2; exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("exit 3") && error.contains("exit status: 3") && error.contains("why"),
            "{error}"
        );
    }

    #[test]
    fn watched_lines_are_handed_over() {
        let mut lines = Vec::new();
        watch(Command::new("printf").arg("a\\nb\\n"), |line| {
            lines.push(line.to_owned())
        })
        .unwrap();
        assert_eq!(lines, ["a", "b"]);
    }

    #[test]
    fn programs_are_found_by_name() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-anywhere").is_none());
    }
}
