//! Services in a replay, for people: what came to which port, and what became of it.

use tabled::Tabled;

use crate::{
    cli::output::table,
    replay::{Report, Service},
};

/// Services that are printed; JSON has more.
const PRINTED: usize = 10;

#[derive(Tabled)]
#[tabled(rename_all = "UPPERCASE")]
struct Row {
    service: String,
    packets: u64,
    dropped: u64,
    answered: u64,
    /// As the capture shows.
    served: &'static str,
}

pub(super) fn services(report: &Report) -> Option<String> {
    let most = report.services.iter().take(PRINTED);
    let rows: Vec<Row> = most.map(row).collect();
    (!rows.is_empty()).then(|| format!("what was sent most:\n{}", table(rows, &[1, 2, 3])))
}

fn row(service: &Service) -> Row {
    Row {
        service: service.service.clone(),
        packets: service.packets,
        dropped: service.dropped,
        answered: service.answered,
        served: match service.served {
            Some(true) => "yes",
            Some(false) => "no",
            None => "-",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_services_are_printed() {
        let service = |port: u16, served| Service {
            service: format!("udp/{port}"),
            packets: u64::MAX,
            bytes: u64::MAX,
            dropped: u64::MAX,
            answered: 0,
            served,
        };
        let mut report = Report::default();
        assert_eq!(services(&report), None);
        report.services = (1..=11)
            .map(|port| service(port, (port < 3).then_some(port == 1)))
            .collect();
        let text = services(&report).expect("there are some");
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines.len(), 2 + PRINTED, "{text}");
        assert_eq!(lines[1], ["SERVICE", "PACKETS", "DROPPED", "ANSWERED", "SERVED"]);
        assert_eq!(
            (lines[2][0], lines[2][4], lines[3][4], lines[4][4]),
            ("udp/1", "yes", "no", "-")
        );
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
