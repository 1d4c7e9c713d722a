//! Counting what test binaries say they ran, and the table at the end.

use std::time::Duration;

/// Counts of one rung, added up over its test binaries.
#[derive(Default, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) ignored: u64,
}

impl Tally {
    /// Adds the closing line of a test binary: `test result: ok. 3 passed; 0 failed; 1 ignored; ...`.
    pub(super) fn read(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else {
            return;
        };
        let Some((_, counts)) = rest.split_once(". ") else {
            return;
        };
        for count in counts.split(';') {
            let mut words = count.split_whitespace();
            let Some(Ok(number)) = words.next().map(str::parse::<u64>) else {
                continue;
            };
            match words.next() {
                Some("passed") => self.passed += number,
                Some("failed") => self.failed += number,
                Some("ignored") => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// How one rung ended; `error` says why it failed.
pub(super) struct Outcome {
    pub(super) rung: &'static str,
    pub(super) tally: Tally,
    pub(super) time: Duration,
    pub(super) error: Option<String>,
}

/// One line for each rung, the reasons of failures, and a total.
pub(super) fn table(results: &[Outcome]) -> String {
    let mut text = format!(
        "{:<11}{:<8}{:>7}{:>7}{:>8}{:>8}\n",
        "rung", "result", "passed", "failed", "ignored", "seconds"
    );
    let mut total = Tally::default();
    for Outcome {
        rung,
        tally,
        time,
        error,
    } in results
    {
        let result = if error.is_some() { "FAILED" } else { "ok" };
        text += &format!(
            "{rung:<11}{result:<8}{:>7}{:>7}{:>8}{:>8.1}\n",
            tally.passed,
            tally.failed,
            tally.ignored,
            time.as_secs_f64()
        );
        total.passed += tally.passed;
        total.failed += tally.failed;
    }
    for (rung, error) in results
        .iter()
        .filter_map(|result| Some((result.rung, result.error.as_ref()?)))
    {
        text += &format!("{rung}: {error}\n");
    }
    text + &format!("total: {} passed, {} failed\n", total.passed, total.failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_added_up_and_others_ignored() {
        let mut tally = Tally::default();
        tally.read("running 3 tests");
        tally.read(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s",
        );
        tally.read("test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s");
        assert_eq!(
            tally,
            Tally {
                passed: 7,
                failed: 2,
                ignored: 1
            }
        );
    }

    #[test]
    fn the_table_names_what_failed_and_why() {
        let time = Duration::from_millis(1500);
        let good = Outcome {
            rung: "unit",
            tally: Tally {
                passed: 5,
                failed: 0,
                ignored: 0,
            },
            time,
            error: None,
        };
        let bad = Outcome {
            rung: "kernel",
            tally: Tally::default(),
            time,
            error: Some("it found no test to run".into()),
        };
        let text = table(&[good, bad]);
        assert!(
            text.contains("unit       ok            5      0       0     1.5"),
            "{text}"
        );
        assert!(text.contains("kernel: it found no test to run"), "{text}");
        assert!(text.ends_with("total: 5 passed, 0 failed\n"), "{text}");
    }
}
