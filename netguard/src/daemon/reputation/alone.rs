//! What is remembered of sources where no daemon runs: read from where the last one kept it, and forgotten there. The lock of the instance is
//! the caller's.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use super::{Forgotten, ReputationReport, Store, StoreError, StoreState, report::of, wall_ns};
use crate::{
    bpf::{InstanceName, List, Pins, Rules},
    clock::monotonic_ns,
    config::Config,
    daemon::{blocks, configuration},
    engine::{Account, Guard, Reputation, reputation::Settings},
};

/// Where the last daemon of `instance` kept it, as far as that is known; with the configuration that it had.
pub fn reputation_place(instance: &InstanceName) -> (PathBuf, Config) {
    let config = configuration::last_of(instance).unwrap_or_default();
    (config.reputation.file.of_instance(&instance.to_string()), config)
}

/// What `file` keeps, with the `top` highest scores; what is blocked the kernel says. `None`: there is no such file.
///
/// # Errors
/// When it cannot be read, or somebody uses it.
pub fn kept_reputation(
    file: &Path,
    config: &Config,
    pins: &Pins,
    top: usize,
) -> Result<Option<ReputationReport>, StoreError> {
    let Some((_store, kept)) = Store::standing(file)? else {
        return Ok(None);
    };
    let now_ns = monotonic_ns();
    let epoch_ns = wall_ns().max(kept.saved_ns).saturating_sub(now_ns);
    let mut reputation = Reputation::new(Settings::from(config), epoch_ns, 0);
    let store = StoreState {
        file: file.to_owned(),
        fault: None,
        damaged: None,
        unreadable: kept.unreadable,
        without_room: reputation.adopt(kept.records, now_ns),
    };
    let rules = Rules::open(pins).and_then(|rules| rules.entries(List::Block));
    // Where nothing is pinned nobody is blocked.
    blocks::take_over(rules.unwrap_or_default(), &mut reputation, now_ns);
    let mut report = of(&reputation, &Guard::default(), Some(store), top, now_ns);
    for source in &mut report.sources {
        // That depends on who is connected, which a daemon knows.
        source.not_blocked = None;
    }
    Ok(Some(report))
}

/// Has the source at `address` forgotten in `file`, or everybody.
///
/// # Errors
/// When it cannot be read or written, or somebody uses it.
pub fn forget_kept(file: &Path, address: Option<IpAddr>) -> Result<Forgotten, StoreError> {
    let both = address.map(|address| [Account::of(address), Account::alone(address)]);
    let mut forgotten = Forgotten {
        source: both.map(|[account, _]| account.to_string()),
        forgotten: 0,
        fault: None,
    };
    let Some((mut store, kept)) = Store::standing(file)? else {
        return Ok(forgotten);
    };
    match both {
        Some(both) => {
            let is_kept = |account: &Account| kept.records.iter().any(|(known, _)| known == account);
            if let Some(known) = both.into_iter().find(is_kept) {
                forgotten.forgotten = 1;
                forgotten.source = Some(known.to_string());
                store.write(&both.map(|account| (account, None)), false, kept.saved_ns)?;
            }
        }
        None => {
            forgotten.forgotten = kept.records.len();
            store.write(&[], true, kept.saved_ns)?;
        }
    }
    store.close();
    Ok(forgotten)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::reputation::{Evidence, Kind};

    fn address(host: u8) -> IpAddr {
        [192, 0, 2, host].into()
    }

    /// A file that keeps five sources, met just now.
    fn kept(file: &Path) {
        let (now_ns, epoch_ns) = (monotonic_ns(), wall_ns().saturating_sub(monotonic_ns()));
        let mut reputation = Reputation::new(Settings::default(), epoch_ns, 0);
        for host in 1..=5 {
            let evidence = Evidence {
                kind: Kind::Flood,
                proven: true,
                detail: "limit-syn".to_owned(),
                packets: 5,
            };
            reputation.take(Account::of(address(host)), &evidence, now_ns);
        }
        let (mut store, _) = Store::open(file).expect("it is begun");
        store
            .write(&reputation.changes(), true, reputation.at(now_ns))
            .expect("written");
        store.close();
    }

    fn told(file: &Path) -> Option<ReputationReport> {
        let nobody: InstanceName = "nobody-ever-had-this-name".parse().expect("a name");
        kept_reputation(file, &Config::default(), &Pins::of(&nobody), 3).expect("it can be read")
    }

    #[test]
    fn what_was_kept_is_told_and_forgotten() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("r.redb");
        assert_eq!(told(&file), None);
        assert_eq!(forget_kept(&file, None).expect("nothing").forgotten, 0);
        assert!(!file.exists(), "nothing is begun");
        kept(&file);
        let report = told(&file).expect("a file");
        assert_eq!((report.remembered, report.sources.len()), (5, 3));
        let source = &report.sources[0];
        assert!(
            source.score > 0 && source.not_blocked.is_none() && !source.blocked,
            "{source:?}"
        );
        assert_eq!(source.reasons[0].detail, "limit-syn");

        let one = forget_kept(&file, Some(address(2))).expect("written");
        assert_eq!((one.source.as_deref(), one.forgotten), (Some("192.0.2.2/32"), 1));
        assert_eq!(
            forget_kept(&file, Some(address(2))).expect("written").forgotten,
            0
        );
        assert_eq!(told(&file).expect("a file").remembered, 4);
        assert_eq!(forget_kept(&file, None).expect("written").forgotten, 4);
        assert_eq!(told(&file).expect("a file").remembered, 0);
    }

    #[test]
    fn what_is_used_or_damaged_is_left_and_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("r.redb");
        kept(&file);
        let (store, _) = Store::open(&file).expect("it is there");
        let used = forget_kept(&file, None).expect_err("in use").to_string();
        assert!(used.contains("used by another process"), "{used}");
        store.close();
        std::fs::write(&file, b"no database at all".repeat(1_000)).expect("a file");
        let damaged = forget_kept(&file, None).expect_err("damaged").to_string();
        assert!(damaged.contains("a daemon that starts puts"), "{damaged}");
        let names = std::fs::read_dir(directory.path()).expect("a directory");
        assert_eq!(names.count(), 1, "nothing is put beside");
    }
}
