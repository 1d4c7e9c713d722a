//! What a source asks services for, as `explain` tells it.

pub(super) use crate::engine::l7::SourceReport;

/// What of it a person wants to know.
pub(super) fn sentence(report: &SourceReport) -> Option<String> {
    let figures = [
        (report.requests_per_s, "requests/s"),
        (report.hellos_per_s, "handshakes of TLS/s"),
        (report.work_ms_per_s, "ms of answers/s"),
    ];
    let figures: Vec<String> = figures
        .into_iter()
        .filter(|(figure, _)| *figure >= 0.05)
        .map(|(figure, unit)| format!("{figure:.1} {unit}"))
        .collect();
    (!figures.is_empty()).then(|| format!("services were asked by it of late: {}", figures.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_there_is_is_told() {
        let mut report = SourceReport::default();
        assert_eq!(sentence(&report), None);
        (report.requests_per_s, report.work_ms_per_s) = (12.34, 0.01);
        assert_eq!(
            sentence(&report).as_deref(),
            Some("services were asked by it of late: 12.3 requests/s")
        );
    }
}
