//! Prints answers: JSON, or tables and sentences for people.

use std::io::{self, Write as _};

use serde::Serialize;
use tabled::{
    Table, Tabled,
    settings::{Alignment, Style, object::Columns},
};

use super::CliError;

/// How answers are printed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub(super) json: bool,
}

impl Output {
    /// Prints `value` as JSON, or what `text` makes of it.
    pub(super) fn print<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), CliError> {
        let answer = if self.json {
            serde_json::to_string_pretty(value).map_err(|error| CliError::Failed(error.to_string()))?
        } else {
            text(value)
        };
        line(&answer)
    }
}

/// Prints one line, or several. A reader that went away (`| head`) is no failure.
pub(super) fn line(text: &str) -> Result<(), CliError> {
    match writeln!(io::stdout().lock(), "{}", text.trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::Failed(format!("the answer cannot be printed: {error}")))
        }
        _ => Ok(()),
    }
}

/// `rows` under their headings; columns from `numbers` on are aligned to the right.
pub(super) fn table<R: Tabled>(rows: impl IntoIterator<Item = R>, numbers: &[usize]) -> String {
    let mut table = Table::new(rows);
    table.with(Style::blank());
    for &column in numbers {
        table.modify(Columns::one(column), Alignment::right());
    }
    // Cells are padded: lines would end in spaces.
    table
        .to_string()
        .lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

/// A duration in seconds, as people say it.
pub(super) fn seconds(seconds: u64) -> String {
    humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string()
}

/// `text` behind `begin`, in lines of at most `columns` unless a word is longer; all but the first behind `indent`.
pub(super) fn wrapped(begin: &str, indent: &str, columns: usize, text: &str) -> String {
    let mut lines = vec![begin.to_owned()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        let fits = lines[last].chars().count() + word.chars().count() < columns;
        if lines[last].ends_with(' ') || lines[last].is_empty() {
            lines[last].push_str(word);
        } else if fits {
            lines[last].push(' ');
            lines[last].push_str(word);
        } else {
            lines.push(format!("{indent}{word}"));
        }
    }
    lines.join("\n")
}
