//! Puts a configuration in force for a replay, by what puts it in force for a daemon. What depends on the machine, or on when it is asked,
//! is left out and told: a replay says the same everywhere and always.

use std::net::IpAddr;

use netguard_common::{
    layout::{Mode as StageMode, Settings},
    memory::Memory,
    packet::Address,
    shared::Field as _,
    state::Reach,
};

use super::{ReplayError, sandbox::Sandbox, servers::Directions};
use crate::{
    bpf::{InstanceName, List, OwnAddresses, Pins, Rules, Services, SettingsMap},
    config::{Config, CookieMode, Feed, Mode, PolicyMode},
    daemon::{
        Journal, Lists,
        configured::Configured,
        reflection::replayed,
        settings::{services, settings},
        setup::{guard, spared_by_lists},
    },
    engine::Guard,
    host::Facts,
    prefix::Prefix,
};

/// Each replay spreads its sources alike: nobody attacks a capture.
const SEED: u64 = 0x6e65_7467_7561_7264;

/// What is in force.
pub(super) struct Prepared {
    pub(super) rules: Rules,
    pub(super) guard: Guard,
    /// Tells which frames from the server are questions.
    pub(super) asking: Memory,
    /// What holds here and not on a machine, in sentences.
    pub(super) notes: Vec<String>,
}

/// Puts `config` in force in the maps of `pins`; also its lists. `counts_services`: whether services are counted by themselves.
pub(super) fn prepare(
    config: &Config,
    servers: &Directions,
    sandbox: &Sandbox,
    counts_services: bool,
) -> Result<(Prepared, Lists), ReplayError> {
    let Sandbox { pins, instance } = sandbox;
    let own = servers.own();
    let mut notes = Vec::new();
    let mut reflection = replayed(config);
    if own.is_empty() {
        reflection.mode = StageMode::Off as u32;
    }
    let before = Settings {
        seed: SEED,
        ..Settings::ZERO
    };
    let settings = Settings {
        reflection,
        ..settings(config, &before, Reach::Nothing)
    };
    SettingsMap::open(pins)?.write(&settings)?;
    Services::open(pins)?.replace(&services(config))?;
    OwnAddresses::open(pins)?.set(&own)?;
    let facts = Facts {
        own: own.clone(),
        ..Facts::default()
    };
    let mut configured = Configured::of(config);
    let mut rules = Rules::open(pins)?;
    configured.establish(&mut rules, &facts)?;
    notes.extend(configured.spared().map(|spared| spared.sentence()));
    let spared = spared_by_lists(&facts, &configured);
    let lists = put_lists(config, spared, pins, instance)?;
    notes.extend(lists.faults());
    let allowed = rules.list(List::Allow, 0)?;
    notes.extend(sentences(config, servers, counts_services));
    let prepared = Prepared {
        guard: guard(facts, &allowed, &configured, &lists.never_block().prefixes),
        rules,
        asking: asking(settings, &own),
        notes,
    };
    Ok((prepared, lists))
}

/// The lists of `config`, as its files are now; nothing is fetched.
fn put_lists(
    config: &Config,
    spared: Vec<Prefix>,
    pins: &Pins,
    instance: &InstanceName,
) -> Result<Lists, ReplayError> {
    // How old a file is today says nothing about the day of the capture.
    let ageless = config.feed.iter().cloned().map(|feed| Feed {
        max_age: None,
        ..feed
    });
    let feed = ageless
        .collect::<Vec<_>>()
        .try_into()
        .map_err(ReplayError::Broken)?;
    let config = Config {
        feed,
        ..config.clone()
    };
    let mut lists = Lists::of(&config, pins, instance)?;
    lists.follow(spared, true, &Journal::default());
    Ok(lists)
}

/// The same function that notes questions on egress, on the host: `asking` remembers what it would have noted.
fn asking(settings: Settings, own: &[IpAddr]) -> Memory {
    let mut asking = Memory::new(settings);
    asking.own = own
        .iter()
        .map(|address| Address::of(*address).1.octets())
        .collect();
    asking
}

fn sentences(config: &Config, servers: &Directions, counts_services: bool) -> Vec<String> {
    let in_force = |mode: PolicyMode| mode.under(config.mode) != PolicyMode::Off;
    let not_counted = match counts_services {
        true => "no connections of a kernel: connections that are kept are not recognised",
        false => {
            "no services and no connections of a kernel: scans, carpet bombing, crowds of clients and connections that are kept are not recognised"
        }
    };
    let mut notes = vec![not_counted.to_owned()];
    if in_force(config.state.mode) {
        notes.push(
            "no sockets: segments without a connection and datagrams to closed ports are not judged ([state] is off here)"
                .to_owned(),
        );
    }
    if config.mode != Mode::Shadow && config.syn_cookies.mode != CookieMode::Off {
        notes.push(
            "no sockets: SYNs beyond the rate of a service pass here, where a listening server's would be answered with cookies"
                .to_owned(),
        );
    }
    if servers.all {
        notes.push(
            "all frames are judged as if they arrived: nothing is known of own addresses, so neither reflections nor forged \
             own sources are"
                .to_owned(),
        );
    }
    notes
}
