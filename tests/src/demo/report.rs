//! What the demonstration found, as a table for people and as JSON.

use std::fmt;

use serde::Serialize;

use crate::lab::{Felt, Verdicts};

/// The result of the demonstration.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// One row for each flood.
    pub floods: Vec<Row>,
    /// Whether every flood was cut and no request of the honest client failed behind netguard.
    pub ok: bool,
}

/// One flood, endured without and with netguard.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Protocol and family.
    pub name: String,
    /// Packets that the attacker sent to the protected server.
    pub sent: u64,
    /// Packets that netguard dropped meanwhile.
    pub dropped: u64,
    /// The same by verdict.
    pub dropped_by: Verdicts,
    /// Share of honest requests served behind netguard, 0 to 1.
    pub honest_success: f64,
    /// 99th percentile of their time in ms; failed ones count with the timeout of a second.
    pub honest_p99_ms: f64,
    /// Share of honest requests served without netguard, 0 to 1.
    pub unprotected_success: f64,
    /// 99th percentile of their time in ms.
    pub unprotected_p99_ms: f64,
}

impl Row {
    pub(super) fn new(
        name: &str,
        sent: u64,
        dropped_by: Verdicts,
        protected: &Felt,
        unprotected: &Felt,
    ) -> Self {
        Self {
            name: name.to_owned(),
            sent,
            dropped: dropped_by.values().sum(),
            dropped_by,
            honest_success: protected.success(),
            honest_p99_ms: protected.p99_ms,
            unprotected_success: unprotected.success(),
            unprotected_p99_ms: unprotected.p99_ms,
        }
    }

    fn is_good(&self) -> bool {
        self.honest_success >= 1.0 && self.dropped > 0
    }

    fn dropped_by_text(&self) -> String {
        let verdicts: Vec<_> = self
            .dropped_by
            .iter()
            .map(|(name, packets)| format!("{name} {packets}"))
            .collect();
        verdicts.join(", ")
    }
}

impl Report {
    pub(super) fn new(floods: Vec<Row>) -> Self {
        let ok = floods.iter().all(Row::is_good);
        Self { floods, ok }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdicts = self
            .floods
            .iter()
            .map(|row| row.dropped_by_text().len())
            .max()
            .unwrap_or(0)
            .max(18);
        let line = "-".repeat(10 + 2 + 9 + 2 + 9 + 2 + verdicts + 2 + 19 + 2 + 19);
        writeln!(
            out,
            "{:<10}  {:>9}  {:>9}  {:<verdicts$}  {:>19}  {:>19}",
            "flood", "sent", "dropped", "dropped by verdict", "honest: protected", "unprotected"
        )?;
        writeln!(out, "{line}")?;
        for row in &self.floods {
            writeln!(
                out,
                "{:<10}  {:>9}  {:>9}  {:<verdicts$}  {:>19}  {:>19}",
                row.name,
                row.sent,
                row.dropped,
                row.dropped_by_text(),
                felt(row.honest_success, row.honest_p99_ms),
                felt(row.unprotected_success, row.unprotected_p99_ms),
            )?;
        }
        writeln!(out, "{line}")?;
        writeln!(
            out,
            "honest: share of requests served within a second, and the time that 99% of them stayed below"
        )?;
        let verdict = if self.ok {
            "every flood was cut and every honest request was served"
        } else {
            "NOT OK"
        };
        write!(out, "result: {verdict}")
    }
}

fn felt(success: f64, p99_ms: f64) -> String {
    // Rounded down, so that 100 % means every request.
    format!("{:.1} % {p99_ms:>8.1} ms", (success * 1000.0).floor() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(honest_success: f64, dropped: u64) -> Row {
        Row {
            name: "SYN IPv4".to_owned(),
            sent: 1000,
            dropped,
            dropped_by: Verdicts::from([("limit-syn".to_owned(), dropped)]),
            honest_success,
            honest_p99_ms: 1.25,
            unprotected_success: 0.0,
            unprotected_p99_ms: 1000.0,
        }
    }

    #[test]
    fn good_means_every_honest_request_and_some_drops() {
        assert!(Report::new(vec![row(1.0, 900)]).ok);
        assert!(!Report::new(vec![row(1.0, 900), row(0.999, 900)]).ok);
        assert!(!Report::new(vec![row(1.0, 0)]).ok);
    }

    #[test]
    fn the_table_never_rounds_up_to_everybody() {
        let text = Report::new(vec![row(0.9999, 900)]).to_string();
        assert!(
            text.contains("99.9 %") && text.contains("limit-syn 900") && text.contains("NOT OK"),
            "{text}"
        );
    }

    #[test]
    fn json_has_the_names_that_others_rely_on() {
        let json = serde_json::to_value(Report::new(vec![row(1.0, 900)])).unwrap();
        assert_eq!(json["ok"], true);
        assert_eq!(json["floods"][0]["dropped_by"]["limit-syn"], 900);
        for key in [
            "name",
            "sent",
            "dropped",
            "honest_success",
            "honest_p99_ms",
            "unprotected_success",
            "unprotected_p99_ms",
        ] {
            assert!(!json["floods"][0][key].is_null(), "{key}");
        }
    }
}
