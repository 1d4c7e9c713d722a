//! The lines that `setup` prints: one for each thing it finds, does or misses.

use std::fmt::Display;

use anyhow::{Result, bail};

/// Prints as it goes and remembers how much is missing.
pub(crate) struct Report {
    may_change: bool,
    missing: usize,
}

impl Report {
    /// For `setup --check`.
    pub(crate) fn looking_only() -> Self {
        Self {
            may_change: false,
            missing: 0,
        }
    }

    /// For `setup`.
    pub(crate) fn installing() -> Self {
        Self {
            may_change: true,
            missing: 0,
        }
    }

    /// Whether this run may change the machine.
    pub(crate) fn may_change(&self) -> bool {
        self.may_change
    }

    /// Something that is there already.
    pub(crate) fn found(&self, what: impl Display) {
        println!("setup: found    {what}");
    }

    /// Something that is being changed now; printed before, because it may take minutes.
    pub(crate) fn doing(&self, what: impl Display) {
        println!("setup: doing    {what}");
    }

    /// Something worth knowing that stops nothing.
    pub(crate) fn note(&self, what: impl Display) {
        println!("setup: note     {what}");
    }

    /// Something that is needed and not there, and how a person gets it.
    pub(crate) fn missing(&mut self, what: impl Display, remedy: impl Display) {
        self.missing += 1;
        println!("setup: missing  {what}: {remedy}");
    }

    /// Ends the run: an error if anything is missing.
    pub(crate) fn close(self) -> Result<()> {
        match (self.missing, self.may_change) {
            (0, _) => Ok(()),
            (count, false) => {
                bail!("{count} missing; `cargo xtask setup` as root installs what a distribution offers")
            }
            (count, true) => bail!("{count} still missing, listed above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_missing_things_fail_a_run() {
        let mut report = Report::looking_only();
        report.found("a");
        report.note("b");
        assert!(report.close().is_ok());
        report = Report::installing();
        report.missing("c", "install c");
        assert!(
            report
                .close()
                .unwrap_err()
                .to_string()
                .contains("1 still missing")
        );
    }
}
