//! Figures that take longer to count than all others together: rules one by one, the memory of maps, lists. They are counted again after ten
//! seconds at the earliest, however often somebody asks.

use netguard_common::rule::Origin;
use tracing::debug;

use super::{Family, Labels};
use crate::{
    bpf::{BpfError, List, Pins, Rules, list_maps},
    clock::monotonic_ns,
    daemon::{ListReport, State},
};

/// How old they may be.
const FRESH_NS: u64 = 10_000_000_000;

/// What was counted last.
#[derive(Default)]
pub(super) struct Tables {
    at_ns: Option<u64>,
    families: Vec<Family>,
    /// As they were when nobody was reading them.
    lists: Vec<ListReport>,
}

impl Tables {
    pub(super) fn families(&mut self, state: &State, pins: &Pins) -> Vec<Family> {
        let now_ns = monotonic_ns();
        if self
            .at_ns
            .is_none_or(|at_ns| now_ns.saturating_sub(at_ns) >= FRESH_NS)
        {
            self.at_ns = Some(now_ns);
            if let Some(lists) = state.try_lists() {
                // Places that are held come from packets, and a stranger must not be able to make rows.
                self.lists = lists.report();
                self.lists.retain(|list| !list.kind.starts_with("held-"));
            }
            self.families = match rules(pins, now_ns).and_then(|rules| Ok([rules, maps(pins)?])) {
                Ok(families) => families.into(),
                // A scrape without them is better than none.
                Err(error) => {
                    debug!("rules and maps are not counted for metrics: {error}");
                    Vec::new()
                }
            };
            self.families.extend(lists(&self.lists));
        }
        self.families.clone()
    }
}

/// Read past the daemon's own handles: no tick waits for it.
fn rules(pins: &Pins, now_ns: u64) -> Result<Family, BpfError> {
    let rules = Rules::open(pins)?;
    let mut rows = Vec::new();
    for list in [List::Allow, List::Block] {
        let entries = rules.entries(list)?;
        for origin in [Origin::Operator, Origin::Config, Origin::Detector] {
            let of_origin = entries.iter().filter(|(_, rule)| rule.origin == origin as u8);
            let count = of_origin.filter(|(_, rule)| !rule.expired(now_ns)).count();
            let labels = vec![
                ("list", list.name().to_owned()),
                ("origin", origin.name().to_owned()),
            ];
            rows.push((labels, count as f64));
        }
    }
    Ok(Family::gauge(
        "netguard_rules",
        "Rules in force, by list and by who made them",
        rows,
    ))
}

fn maps(pins: &Pins) -> Result<Family, BpfError> {
    let maps = list_maps(pins)?;
    let row = |map: &crate::bpf::MapInfo| (vec![("map", map.name.to_owned())], map.memory_bytes as f64);
    Ok(Family::gauge(
        "netguard_map_memory_bytes",
        "Kernel memory of each map",
        maps.iter().map(row).collect(),
    ))
}

/// Published lists, countries and systems, by the names of the configuration.
fn lists(lists: &[ListReport]) -> Vec<Family> {
    let labels = |list: &ListReport| -> Labels {
        vec![
            ("list", list.name.clone()),
            ("kind", list.kind.clone()),
            ("mode", list.mode.clone()),
        ]
    };
    let gauge = |name, help, of: &dyn Fn(&ListReport) -> Option<f64>| {
        let rows = lists.iter().filter_map(|list| Some((labels(list), of(list)?)));
        Family::gauge(name, help, rows.collect())
    };
    let packets = lists.iter().map(|list| (labels(list), list.packets)).collect();
    vec![
        gauge(
            "netguard_list_prefixes",
            "Prefixes of a feed, country or autonomous system",
            &|list| Some(list.prefixes as f64),
        ),
        gauge(
            "netguard_list_age_seconds",
            "Time since the file of a list was written, or its server confirmed it",
            &|list| Some(list.age_s? as f64),
        ),
        gauge(
            "netguard_list_fault",
            "Whether a list is not in force as it is now: see `netguard feed list`",
            &|list| Some(f64::from(u8::from(list.fault.is_some()))),
        ),
        gauge(
            "netguard_list_refused_entries",
            "Entries of a list that are no prefixes, or too wide",
            &|list| Some(list.skipped as f64),
        ),
        gauge(
            "netguard_list_trimmed_entries",
            "Entries of a list that something protects, or that lie in private space",
            &|list| Some(list.trimmed as f64),
        ),
        Family::counter(
            "netguard_list_packets",
            "Packets that a list was against since this daemon began, shadow ones included",
            packets,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Rows;

    #[test]
    fn what_is_not_known_of_a_list_has_no_row() {
        let list = ListReport {
            name: "drop".to_owned(),
            prefixes: 7,
            fault: Some("gone".to_owned()),
            ..ListReport::default()
        };
        let rows = |families: &[Family], name: &str| {
            let family = families
                .iter()
                .find(|family| family.name == name)
                .expect("a family");
            match &family.rows {
                Rows::Gauge(rows) => rows.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
                Rows::Counter(rows) => rows.iter().map(|(_, value)| *value as f64).collect(),
                Rows::Seconds(value) => vec![*value],
            }
        };
        let families = lists(&[list]);
        assert_eq!(rows(&families, "netguard_list_prefixes"), [7.0]);
        assert_eq!(rows(&families, "netguard_list_fault"), [1.0]);
        assert_eq!(rows(&families, "netguard_list_age_seconds"), [0.0; 0]);
    }
}
