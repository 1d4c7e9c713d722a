//! Figures for Prometheus: what the daemon and the kernel count, in its words, at an address of its own. They are gathered when they are
//! asked for: what nobody asks for costs nothing, and nothing is decided here.

mod decision;
mod families;
mod figures;
mod gather;
mod http;
mod reputation;
mod serve;
mod tables;

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, prometheus_text, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use serde::{Deserialize, Serialize};

pub use figures::Figures;
pub(crate) use serve::serve;

/// How the endpoint stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsState {
    /// `http://127.0.0.1:9464/metrics`
    pub url: String,
    /// Why nothing is served at the moment.
    pub fault: Option<String>,
}

impl MetricsState {
    /// For a person.
    pub fn sentence(&self) -> String {
        match &self.fault {
            None => format!("figures for Prometheus: {}", self.url),
            Some(fault) => format!("figures for Prometheus are NOT served: {fault}"),
        }
    }
}

/// A form in which figures are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// OpenMetrics 1.0, which Prometheus asks for.
    OpenMetrics,
    /// Prometheus' own text, version 0.0.4, for all others.
    Text,
}

impl Format {
    /// The one that somebody who accepts `accept` gets.
    fn accepted(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Self::OpenMetrics,
            _ => Self::Text,
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Names and values, such as `verdict="limit-syn"`. Values come from closed lists and from the configuration, never from packets:
/// a stranger must not be able to make new rows.
type Labels = Vec<(&'static str, String)>;

/// What is counted under one name.
#[derive(Clone, Debug)]
struct Family {
    /// Without the `_total` that a counter gets.
    name: &'static str,
    help: &'static str,
    rows: Rows,
}

#[derive(Clone, Debug)]
enum Rows {
    /// What only grows.
    Counter(Vec<(Labels, u64)>),
    /// The same of time.
    Seconds(f64),
    Gauge(Vec<(Labels, f64)>),
}

impl Family {
    fn counter(name: &'static str, help: &'static str, rows: Vec<(Labels, u64)>) -> Self {
        let rows = Rows::Counter(rows);
        Self { name, help, rows }
    }

    fn gauge(name: &'static str, help: &'static str, rows: Vec<(Labels, f64)>) -> Self {
        let rows = Rows::Gauge(rows);
        Self { name, help, rows }
    }

    /// One without labels.
    fn count(name: &'static str, help: &'static str, value: u64) -> Self {
        Self::counter(name, help, vec![(Vec::new(), value)])
    }

    /// One without labels.
    fn seconds(name: &'static str, help: &'static str, value: f64) -> Self {
        let rows = Rows::Seconds(value);
        Self { name, help, rows }
    }

    /// One without labels.
    fn value(name: &'static str, help: &'static str, value: f64) -> Self {
        Self::gauge(name, help, vec![(Vec::new(), value)])
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        match &self.rows {
            Rows::Counter(rows) => {
                let mut family =
                    encoder.encode_descriptor(self.name, self.help, None, MetricType::Counter)?;
                for (labels, value) in rows {
                    ConstCounter::new(*value).encode(family.encode_family(labels)?)?;
                }
            }
            Rows::Seconds(value) => {
                let family = encoder.encode_descriptor(self.name, self.help, None, MetricType::Counter)?;
                ConstCounter::new(*value).encode(family)?;
            }
            Rows::Gauge(rows) => {
                let mut family = encoder.encode_descriptor(self.name, self.help, None, MetricType::Gauge)?;
                for (labels, value) in rows {
                    ConstGauge::new(*value).encode(family.encode_family(labels)?)?;
                }
            }
        }
        Ok(())
    }
}

/// The families of one scrape.
#[derive(Debug)]
struct Scrape(Vec<Family>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        // A family without rows would be a name without a meaning.
        let told = self.0.iter().filter(|family| match &family.rows {
            Rows::Counter(rows) => !rows.is_empty(),
            Rows::Gauge(rows) => !rows.is_empty(),
            Rows::Seconds(_) => true,
        });
        told.into_iter()
            .try_for_each(|family| family.encode(&mut encoder))
    }
}

/// `families`, and what `figures` counted, in `format`.
fn page(families: Vec<Family>, figures: &Figures, format: Format) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(families)));
    figures.register(&mut registry);
    let mut page = String::new();
    match format {
        Format::OpenMetrics => text::encode(&mut page, &registry)?,
        Format::Text => prometheus_text::encode(&mut page, &registry)?,
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_tell_the_same() {
        let families = || {
            vec![
                Family::counter(
                    "x_packets",
                    "Packets",
                    vec![(vec![("verdict", "a\"b".to_owned())], 7)],
                ),
                Family::value("x_ratio", "A part", 0.5),
                Family::gauge("x_none", "Nothing", Vec::new()),
            ]
        };
        let figures = Figures::default();
        let openmetrics = page(families(), &figures, Format::OpenMetrics).expect("a page");
        assert!(openmetrics.ends_with("# EOF\n"), "{openmetrics}");
        assert!(
            openmetrics.contains("# TYPE x_packets counter\n"),
            "{openmetrics}"
        );
        let text = page(families(), &figures, Format::Text).expect("a page");
        assert!(text.contains("# TYPE x_packets_total counter\n"), "{text}");
        for page in [openmetrics, text] {
            assert!(page.contains("x_packets_total{verdict=\"a\\\"b\"} 7\n"), "{page}");
            assert!(page.contains("x_ratio 0.5\n"), "{page}");
            assert!(!page.contains("x_none"), "{page}");
            assert!(
                page.contains("netguard_tick_duration_seconds_bucket{le="),
                "{page}"
            );
        }
    }

    #[test]
    fn prometheus_gets_what_it_asks_for() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Format::accepted(Some(prometheus)), Format::OpenMetrics);
        assert_eq!(Format::accepted(Some("*/*")), Format::Text);
        assert_eq!(Format::accepted(None), Format::Text);
    }
}
