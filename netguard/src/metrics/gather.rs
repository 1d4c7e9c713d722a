//! Gathers what a scrape tells: from the pinned maps through handles of its own, and from what the daemon shares, of which each lock is held for
//! a copy only. So no tick waits for a scrape.

use std::sync::{Arc, atomic::Ordering};

use procfs::process::Process;
use tracing::debug;

use super::{Family, decision, families, http, reputation, tables::Tables};
use crate::{
    bpf::{BpfError, Counters, Pins, Services, SettingsMap, Telemetry, tls_counts},
    daemon::{CookieState, ReflectionState, State, decision_report, store_state},
    host,
};

/// Where figures come from.
pub(super) struct Gathering {
    state: Arc<State>,
    pins: Pins,
    /// SHA-256 of the configuration.
    digest: String,
    tables: Tables,
}

impl Gathering {
    pub(super) fn new(state: Arc<State>, digest: String) -> Self {
        Self {
            pins: Pins::of(&state.instance),
            state,
            digest,
            tables: Tables::default(),
        }
    }

    /// All families as they stand now. What cannot be read is missing, and the rest is told.
    pub(super) async fn gather(&mut self) -> Vec<Family> {
        let mut families = self.about();
        match datapath(&self.pins) {
            Ok(more) => families.extend(more),
            Err(error) => debug!("metrics lack the datapath: {error}"),
        }
        let report = self.state.traffic().clone();
        families.extend(report.iter().flat_map(families::traffic));
        families.extend(families::connections(&self.state.connections()));
        families.extend(http::families(&self.state.heard().report()));
        families.push(families::attacks(self.state.controller().tracker()));
        families.push(families::campaigns(&self.state.campaigns()));
        families.push(families::measures(&self.state.responder()));
        families.extend(reputation::families(&self.state.reputation()));
        families.extend(decision_report(&self.state).iter().flat_map(decision::families));
        let standing = host::interfaces().await.unwrap_or_default();
        families.extend(families::interfaces(&self.state.interfaces(), &standing));
        families.extend(self.faults());
        families.extend(self.tables.families(&self.state, &self.pins));
        families.extend(process());
        families
    }

    fn about(&self) -> Vec<Family> {
        let one = |name, help, labels: &[(&'static str, &str)]| {
            let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned()));
            Family::gauge(name, help, vec![(labels.collect(), 1.0)])
        };
        let state = &self.state;
        vec![
            one(
                "netguard_build_info",
                "The version that runs",
                &[("version", env!("CARGO_PKG_VERSION"))],
            ),
            one(
                "netguard_config_info",
                "The mode, and the SHA-256 of the configuration as the audit trail tells it",
                &[
                    ("instance", &state.instance.to_string()),
                    ("mode", &state.mode),
                    ("digest", &self.digest),
                ],
            ),
        ]
    }

    /// What is not as it should be, and what was lost.
    fn faults(&self) -> Vec<Family> {
        let state = &self.state;
        let audit = state.journal.audit();
        let interfaces = state
            .interfaces()
            .iter()
            .filter(|one| one.fault.is_some())
            .count();
        let undelivered = *state.cookies() == CookieState::Undelivered;
        let reputation = store_state(state).and_then(|store| store.sentence());
        let normal = state.normal().sentence();
        let served = state.metrics().as_ref().map(|metrics| metrics.fault.is_some());
        let (tls, ended) = {
            let tls = state.tls();
            (tls.is_faulty(), tls.ended())
        };
        let endpoint = decision_report(state).map_or(0, |report| report.faults.len());
        let questions = *state.reflection() == ReflectionState::Unavailable;
        let faults = [
            ("interfaces", interfaces),
            ("cookies", state.cookie_faults().len() + usize::from(undelivered)),
            ("lists", state.list_faults().len()),
            ("own-addresses", state.own_left_out.load(Ordering::Relaxed)),
            (
                "audit",
                usize::from(audit.as_ref().is_some_and(|audit| audit.fault.is_some())),
            ),
            ("reputation", usize::from(reputation.is_some())),
            ("normal", usize::from(normal.is_some())),
            ("metrics", usize::from(served == Some(true))),
            ("reflection", usize::from(questions)),
            ("connections", state.connections().faults().len()),
            ("tls", usize::from(tls)),
            ("http", state.heard().standing().faults().len()),
            ("decision", endpoint),
        ];
        let row = |(about, count): (&str, usize)| (vec![("about", about.to_owned())], count as f64);
        let mut families = vec![
            Family::gauge(
                "netguard_faults",
                "Things that are not as they should be, as `netguard status` tells them",
                faults.map(row).into(),
            ),
            Family::value(
                "netguard_unconfirmed_changes",
                "Changes of operators that go back unless they are confirmed",
                state.unconfirmed().len() as f64,
            ),
            Family::count(
                "netguard_rules_refused",
                "Rules that could not be placed since the daemon began",
                state.rules_refused.load(Ordering::Relaxed),
            ),
            Family::count(
                "netguard_tls_connections_ended",
                "Connections whose handshake was refused, and that the daemon ended since it began",
                ended,
            ),
        ];
        if let Some(audit) = audit {
            families.extend([
                Family::count(
                    "netguard_audit_lost_events",
                    "Events that the audit trail lacks since the daemon began, because it could not be written",
                    audit.lost,
                ),
                Family::value(
                    "netguard_audit_waiting_events",
                    "Events that wait to be written to the audit trail",
                    audit.waiting as f64,
                ),
            ]);
        }
        families
    }
}

/// What the kernel counts and holds to.
fn datapath(pins: &Pins) -> Result<Vec<Family>, BpfError> {
    let counters = Counters::open(pins)?;
    let settings = SettingsMap::open(pins)?.read()?;
    let mut families: Vec<Family> = families::verdicts(&counters.read()?).into();
    families.extend(families::samples(&counters.sampler()?));
    families.push(families::tls(&tls_counts(pins)?));
    families.extend(families::limits(&settings, &Services::open(pins)?.list()?));
    if settings.telemetry.on != 0 {
        families.extend(families::kinds(&*Telemetry::open(pins)?.read()?));
    }
    Ok(families)
}

/// What every exporter tells of its process, under the names that all use.
fn process() -> Vec<Family> {
    let Ok(stat) = Process::myself().and_then(|process| process.stat()) else {
        return Vec::new();
    };
    let seconds = |ticks: u64| ticks as f64 / procfs::ticks_per_second() as f64;
    let mut families = vec![
        Family::value(
            "process_resident_memory_bytes",
            "Resident memory of the daemon",
            (stat.rss * procfs::page_size()) as f64,
        ),
        Family::seconds(
            "process_cpu_seconds",
            "CPU time of the daemon",
            seconds(stat.utime + stat.stime),
        ),
    ];
    if let Ok(boot_s) = procfs::boot_time_secs() {
        families.push(Family::value(
            "process_start_time_seconds",
            "When the daemon began, Unix time",
            boot_s as f64 + seconds(stat.starttime),
        ));
    }
    families
}
