//! Sets protection up: load or adopt, settings before attachment, rules of the configuration, guard list.

use netguard_common::{
    layout::Rule,
    rule::{Origin, Proof, Reason},
};
use tokio::sync::watch;
use tracing::{info, warn};

use super::{DaemonError, EventKind, Options, Protected, State, Stop, settings::settings, state::Parts};
use crate::{
    bpf::{
        self, AttachError, AttachMode, Attached, BpfError, Counters, Entry, List, Loaded, Pins, Rules,
        Samples, SettingsMap, TableSizes,
    },
    clock::monotonic_ns,
    config::{Attach, Config, Mode, PolicyMode},
    control::essentials,
    engine::{FlooderSettings, Guard, GuardKind},
    host::{self, LinkLayer},
    prefix::Prefix,
};

/// What the tick reads.
pub(super) struct Inputs {
    pub(super) counters: Counters,
    pub(super) samples: Samples,
    pub(super) flooder: FlooderSettings,
    pub(super) block_for_ns: u64,
    /// `guard.never_block` of the configuration.
    pub(super) never_block: Vec<Prefix>,
}

/// Protects the interfaces of `options`.
pub(super) async fn set_up(
    options: &Options,
    pins: &Pins,
    stop: watch::Sender<Option<Stop>>,
) -> Result<(State, Inputs), DaemonError> {
    let config = &options.config;
    if config.interfaces.is_empty() {
        return Err(DaemonError::NoInterface);
    }
    for warning in config.warnings() {
        warn!("{warning}");
    }
    // Every name is checked before anything is loaded: a misspelt one leaves nothing behind.
    let mut interfaces = Vec::new();
    for name in &config.interfaces {
        let interface = host::interface(name.as_str()).await?;
        match interface.link_layer {
            LinkLayer::Ethernet => interfaces.push(interface),
            LinkLayer::Loopback => return Err(DaemonError::Loopback(interface.name)),
            LinkLayer::Other => return Err(DaemonError::NotEthernet(interface.name)),
        }
    }
    let facts = host::facts().await?;
    let existed = pins.exist();
    let mut loaded = bpf::load(pins, sizes(config))?;
    if let Some(log) = bpf::trace_log(&mut loaded)? {
        tokio::spawn(log);
    }
    let attached = prepare_and_attach(&mut loaded, config, pins, &interfaces);
    let protected = match attached {
        Ok(protected) => protected,
        Err(error) => {
            if !existed {
                pins.remove()?;
            }
            return Err(error);
        }
    };
    warn_of_leftovers(&loaded, config, pins)?;
    let rules = Rules::open(pins)?;
    let allowed = rules.list(List::Allow, monotonic_ns())?;
    let never_block = config.guard.never_block.clone();
    let guard = guard(facts, &allowed, &never_block);
    let mode = if config.mode == Mode::Shadow {
        "shadow"
    } else {
        "enforce"
    };
    let parts = Parts {
        instance: options.instance.clone(),
        started_ns: monotonic_ns(),
        mode: mode.to_owned(),
        interfaces: protected,
        rules,
        settings: SettingsMap::open(pins)?,
        guard,
    };
    let state = State::new(parts, stop);
    state.journal.record(EventKind::Started {
        interfaces: state
            .interfaces
            .iter()
            .map(|protected| protected.interface.clone())
            .collect(),
        adopted: loaded.adopted,
        mode: mode.to_owned(),
    });
    let flooder = &config.detect.flooder;
    let inputs = Inputs {
        counters: Counters::open(pins)?,
        samples: Samples::open(pins)?,
        flooder: FlooderSettings {
            over_for_ns: nanoseconds(flooder.over_for.duration()),
            min_dropped_per_s: u64::from(flooder.min_dropped_per_s.value()),
            // Where blocks are not enforced anyway, shadow evidence may show what would be blocked.
            count_shadow: config.blocklist.mode.under(config.mode) != PolicyMode::Enforce,
        },
        block_for_ns: nanoseconds(flooder.block_for.duration()),
        never_block,
    };
    Ok((state, inputs))
}

/// The guard list: what this machine cannot do without, what the operator allows, and what they configured.
pub(super) fn guard(facts: host::Facts, allowed: &[Entry], never_block: &[Prefix]) -> Guard {
    Guard::new(
        essentials(facts)
            .chain(allowed.iter().map(|entry| (entry.prefix, GuardKind::Allowlist)))
            .chain(never_block.iter().map(|prefix| (*prefix, GuardKind::Configured))),
    )
}

/// Settings and rules are in force before the first packet is judged.
fn prepare_and_attach(
    loaded: &mut Loaded,
    config: &Config,
    pins: &Pins,
    interfaces: &[host::Interface],
) -> Result<Vec<Protected>, DaemonError> {
    let mut map = SettingsMap::open(pins)?;
    let before = map.read()?;
    map.write(&settings(config, &before))?;
    apply_rules(&mut Rules::open(pins)?, config)?;
    interfaces
        .iter()
        .map(|interface| protect(loaded, config, pins, interface))
        .collect()
}

fn protect(
    loaded: &mut Loaded,
    config: &Config,
    pins: &Pins,
    interface: &host::Interface,
) -> Result<Protected, DaemonError> {
    let modes: &[AttachMode] = match config.attach {
        Attach::Auto => &[AttachMode::Native, AttachMode::Generic],
        Attach::Native => &[AttachMode::Native],
        Attach::Generic => &[AttachMode::Generic],
    };
    let name = interface.name.as_str();
    let current = interface.xdp.map(|xdp| xdp.program_id);
    let attached =
        bpf::attach(loaded, pins, name, current, modes).map_err(|error| match (error, current) {
            (AttachError::Occupied { interface }, Some(id)) => {
                let name = bpf::program_name(id).unwrap_or_else(|| "without a name".to_owned());
                DaemonError::Occupied {
                    interface,
                    program: format!("{name} (id {id})"),
                }
            }
            (error, _) => DaemonError::Attach(error),
        })?;
    let (mode, adopted) = match attached {
        Attached::Fresh { mode, fallback } => {
            if let Some(reason) = fallback {
                warn!(
                    interface = name,
                    driver = interface.driver.as_deref().unwrap_or("unknown"),
                    "the driver refuses native XDP ({reason}): attached in generic mode, which is slower"
                );
            }
            (mode.to_string(), false)
        }
        Attached::Adopted => (
            interface.xdp.map_or_else(String::new, |xdp| xdp.mode.to_string()),
            true,
        ),
    };
    info!(interface = name, mode, adopted, "protecting");
    Ok(Protected {
        interface: name.to_owned(),
        mode,
        adopted,
    })
}

/// What an earlier daemon left stays in force where this configuration does not say otherwise: better than less
/// protection, and told.
fn warn_of_leftovers(loaded: &Loaded, config: &Config, pins: &Pins) -> Result<(), DaemonError> {
    if !loaded.adopted {
        return Ok(());
    }
    for name in pins.interfaces() {
        if !config.interfaces.iter().any(|wanted| wanted.as_str() == name) {
            warn!(
                interface = name,
                "still protected by the filter of an earlier daemon, under the same rules; `netguard detach` ends it"
            );
        }
    }
    let standing = bpf::list_maps(pins)?;
    for (map, wanted) in sizes(config).by_map() {
        let entries = standing
            .iter()
            .find(|info| info.name == map)
            .map(|info| info.max_entries);
        if let Some(entries) = entries.filter(|entries| *entries != wanted) {
            warn!(
                map,
                entries, wanted, "the table of an earlier daemon keeps its size until `netguard detach`"
            );
        }
    }
    Ok(())
}

/// Makes the rules that come from the configuration those of this configuration. Rules of operators and
/// detectors stay.
fn apply_rules(rules: &mut Rules, config: &Config) -> Result<(), BpfError> {
    let block: Vec<Prefix> = config.block.iter().map(|block| block.prefix()).collect();
    for (list, wanted) in [(List::Allow, &config.allow), (List::Block, &block)] {
        let standing = rules.list(list, monotonic_ns())?;
        let ours = Origin::Config as u8;
        for entry in standing.iter().filter(|entry| entry.rule.origin == ours) {
            if !wanted.contains(&entry.prefix) {
                rules.remove(list, entry.prefix)?;
            }
        }
        let rule = Rule {
            expires_at: 0,
            reason: Reason::Requested as u16,
            origin: ours,
            proof: Proof::Operator as u8,
        };
        let permanent = |prefix: &Prefix| {
            standing
                .iter()
                .any(|entry| entry.prefix == *prefix && entry.rule.is_permanent())
        };
        rules.insert_all(
            list,
            wanted.iter().filter(|prefix| !permanent(prefix)).copied(),
            rule,
        )?;
    }
    Ok(())
}

fn sizes(config: &Config) -> TableSizes {
    TableSizes {
        block_addresses: config.tables.block_addresses.value(),
        block_prefixes: config.tables.block_prefixes.value(),
        allow_prefixes: config.tables.allow_prefixes.value(),
    }
}

fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
