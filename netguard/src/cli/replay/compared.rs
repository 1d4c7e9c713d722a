//! What differs between two replays, for people.

use tabled::Tabled;

use super::{
    Compared,
    text::{PRINTED, wrapped},
};
use crate::{cli::output::table, replay::Comparison};

#[derive(Tabled)]
#[tabled(rename_all = "UPPERCASE")]
struct DifferenceRow {
    #[tabled(rename = "DIFFERS")]
    what: String,
    first: u64,
    second: u64,
}

pub(super) fn comparison(compared: &Compared) -> String {
    let Comparison {
        verdicts,
        passed,
        dropped,
        blocked_by_first,
        blocked_by_second,
        honest: [first, second],
    } = &compared.differences;
    let row = |what: &str, first, second| DifferenceRow {
        what: what.to_owned(),
        first,
        second,
    };
    let mut rows: Vec<DifferenceRow> = verdicts
        .iter()
        .map(|verdict| row(&verdict.name, verdict.first, verdict.second))
        .collect();
    rows.push(row("all that passed", passed.first, passed.second));
    rows.push(row("all that was dropped", dropped.first, dropped.second));
    rows.push(row(
        "packets of honest sources dropped",
        first.dropped,
        second.dropped,
    ));
    let mut lines = vec![
        wrapped("", &format!("second: under {}", compared.config)),
        table(rows, &[1, 2]),
    ];
    for (which, blocked) in [("first", blocked_by_first), ("second", blocked_by_second)] {
        let names: Vec<String> = blocked.iter().take(PRINTED).map(ToString::to_string).collect();
        if !names.is_empty() {
            let more = blocked.len().saturating_sub(names.len());
            let and = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            let line = format!("blocked under the {which} only: {}{and}", names.join(", "));
            lines.push(wrapped("", &line));
        }
    }
    lines.join("\n")
}
