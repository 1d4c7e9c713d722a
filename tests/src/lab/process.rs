//! Programs that the lab starts: run to their end, or kept running under a guard that kills them by id; and
//! waiting.

use std::{
    fs::File,
    io::{Read, Seek, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use super::interrupt::interrupted;

/// Runs a program to its end and returns what it printed; failure is told with the program's own words.
pub(super) fn run(command: &mut Command) -> Result<String> {
    run_with_input(command, "")
}

/// As `run`, with text on standard input.
pub(crate) fn run_with_input(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {command:?}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "{command:?}: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// How a program ended and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit status; -1 if a signal ended it.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs a program to its end, whatever that is; only one that takes longer than `patience` is an error.
pub fn output(command: &mut Command, patience: Duration) -> Result<Output> {
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {command:?}"))?;
    let ended = wait_regardless("its end", patience, || Ok(child.try_wait()?));
    if ended.is_err() {
        child.kill()?;
        child.wait()?;
    }
    let text = |file: &mut File| -> Result<String> {
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let (stdout, stderr) = (text(&mut stdout)?, text(&mut stderr)?);
    let status = ended.with_context(|| format!("{command:?}: {stderr}"))?;
    Ok(Output {
        status: status.code().unwrap_or(-1),
        stdout,
        stderr,
    })
}

/// A program in the background, with a process group of its own (trafgen sends from a child); killed and
/// waited for on drop. What it prints goes to a file.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Running {
    /// Starts a program; its output and errors are appended to the file `log`.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = File::options().create(true).append(true).open(log)?;
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        Ok(Self {
            child,
            name,
            log: log.to_owned(),
        })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// An error if the program has ended, with its last words.
    pub fn must_run(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended too early, {status}: {}", self.name, self.last_words()),
        }
    }

    /// Its exit status if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends a signal and waits for the end, at most `patience`; then it is killed, which is an error.
    pub fn stop(&mut self, signal: Signal, patience: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        killpg(self.group(), signal)?;
        let ended = wait_regardless("its end", patience, || Ok(self.child.try_wait()?));
        ended.map_err(|_| {
            self.kill();
            anyhow!(
                "{} did not end within {patience:?} of {signal}: {}",
                self.name,
                self.last_words()
            )
        })
    }

    fn kill(&mut self) {
        // Only while it has not been waited for: later its id may be another program's.
        if let Ok(None) = self.child.try_wait() {
            let _ = killpg(self.group(), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks `answer` again and again until it gives a value.
///
/// An error of `answer` ends the waiting, and so does an interrupt if they are watched for
/// ([`super::stop_on_interrupt`]); `None` until `patience` is over is an error that names `what`.
pub fn wait_until<T>(
    what: &str,
    patience: Duration,
    mut answer: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let answer_or_interrupt = || match interrupted() {
        true => bail!("interrupted while waiting for {what}"),
        false => answer(),
    };
    wait_regardless(what, patience, answer_or_interrupt)
}

/// As `wait_until`, also when interrupted: what cleans up waits like this. The one place in the lab that
/// sleeps.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the polling loop that everybody else uses"
)]
fn wait_regardless<T>(
    what: &str,
    patience: Duration,
    mut answer: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = answer()? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("waited {patience:?} in vain for {what}");
        }
        thread::sleep(Duration::from_millis(10));
    }
}
