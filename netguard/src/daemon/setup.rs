//! Sets protection up: load or adopt, settings before attachment, rules of the configuration, guard list.

use std::collections::{BTreeSet, HashSet};

use netguard_common::layout::{Segments, Settings};
use tokio::sync::watch;
use tracing::{debug, warn};

use super::{
    CookieState, DaemonError, EventKind, Journal, Lists, Options, ReflectionState, State, Stop, Tls,
    attachment::{Attachment, filtered},
    before::Before,
    campaigns::Ground,
    configured::Configured,
    connections,
    cookies::{CookieSwitch, Wanted},
    database::Databases,
    own,
    places::Whereabouts,
    reach,
    reflection::{self, Beginning},
    respond::{self, Known, Stands},
    segments::segments,
    settings::{services, settings},
    state::Parts,
    tls::{self, Refusals},
    traffic::{Opened, TrafficWatch},
};
use crate::{
    bpf::{
        self, Counters, Entry, Handshakes, Heads, List, ListenError, Listening, Loaded, NotCounted,
        OwnAddresses, Pins, Proven, Rules, Samples, Services, SettingsMap, Signatures, TableSizes, Throttled,
    },
    clock::{monotonic_ns, wall_clock_s},
    config::{Config, CookieMode, CookieTimestamps, Mode, PolicyMode},
    control::essentials,
    engine::{FlooderSettings, Guard, GuardKind, response::Responder},
    host::{self, Interface, LinkLayer, Ports},
    prefix::Prefix,
};

/// What the tick reads.
pub(super) struct Inputs {
    pub(super) counters: Counters,
    pub(super) samples: Samples,
    pub(super) heads: Heads,
    pub(super) refusals: Refusals,
    pub(super) stands: Stands,
    pub(super) known: Known,
    pub(super) flooder: FlooderSettings,
    pub(super) configured: Configured,
    pub(super) own: OwnAddresses,
    pub(super) proven: Proven,
    pub(super) throttled: Throttled,
    pub(super) cookies: CookieSwitch,
    pub(super) attachment: Attachment,
    pub(super) traffic: TrafficWatch,
    pub(super) opened: Opened,
    pub(super) databases: Databases,
    /// What this machine serves.
    pub(super) ground: Ground,
    /// Why the kernel does not count connections.
    pub(super) not_counted: Option<NotCounted>,
    /// Who listens to services; `None`: nobody is to.
    pub(super) listening: Option<Result<Listening, ListenError>>,
    pub(super) config: Config,
}

/// Protects the interfaces of `options`.
pub(super) async fn set_up(
    options: &Options,
    pins: &Pins,
    stop: watch::Sender<Option<Stop>>,
    journal: Journal,
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
        suitable(&interface)?;
        interfaces.push(interface);
    }
    let standing = host::interfaces().await?;
    bpf::follow_names(pins, &standing)?;
    let facts = host::facts().await?;
    let loaded = bpf::load(pins, sizes(config))?;
    let before = Before::of(pins, loaded.adopted, &standing)?;
    // From here on nothing is waited for: who is asked to stop meanwhile leaves nothing half made.
    let start = Start {
        options,
        pins,
        loaded,
        to_protect: interfaces,
        standing,
        facts,
        from_nothing: before.is_nothing(),
    };
    start
        .protect(stop, journal)
        .map_err(|error| error.and_left(before.restore(pins)))
}

/// What a start begins with.
struct Start<'a> {
    options: &'a Options,
    pins: &'a Pins,
    loaded: Loaded,
    to_protect: Vec<Interface>,
    /// All interfaces.
    standing: Vec<Interface>,
    facts: host::Facts,
    /// Whether no earlier daemon left anything.
    from_nothing: bool,
}

impl Start<'_> {
    /// Protects the interfaces. When that fails, they run the filter only if they did before; what was written must be put back.
    fn protect(
        mut self,
        stop: watch::Sender<Option<Stop>>,
        journal: Journal,
    ) -> Result<(State, Inputs), DaemonError> {
        let (config, pins) = (&self.options.config, self.pins);
        if let Some(log) = bpf::trace_log(&mut self.loaded)? {
            tokio::spawn(log);
        }
        warn_of_leftovers(&self.loaded, config, pins)?;
        let mut attachment = Attachment::new(self.loaded, pins.clone(), config.attach);
        let mut configured = Configured::of(config);
        let reach = reach::reach(config);
        let names: Vec<&str> = config.interfaces.iter().map(|name| name.as_str()).collect();
        let filtered = filtered(pins, &names, &self.standing);
        let has_tls = tls::is_configured(config);
        let watch = has_tls || reflection::wanted(config) != ReflectionState::Off;
        let watched = watch.then(|| attachment.watch(&filtered));
        let reflection = Beginning::new(config, watched.as_ref());
        let tls = Tls::begin(has_tls, watched.as_ref());
        let left_out = prepare(
            config,
            &reflection,
            &mut configured,
            pins,
            &self.facts,
            reach,
            segments(&filtered),
        )?;
        let not_counted = connections::count(config, pins, &mut attachment)?;
        let listening = (config.http.mode != PolicyMode::Off).then(|| attachment.listening());
        let mut lists = Lists::of(config, pins, &self.options.instance)?;
        let spared = spared_by_lists(&self.facts, &configured);
        if self.from_nothing {
            lists.follow(spared.clone(), true, &journal);
        }
        let rules = Rules::open(pins)?;
        let allowed = rules.list(List::Allow, monotonic_ns())?;
        let (settings, signatures) = (SettingsMap::open(pins)?, Signatures::open(pins)?);
        let (services, own) = (Services::open(pins)?, OwnAddresses::open(pins)?);
        let (counters, samples) = (Counters::open(pins)?, Samples::open(pins)?);
        let (heads, settings_seed) = (Heads::open(pins)?, settings.read()?.seed);
        let refusals = Refusals::of(Handshakes::open(pins)?);
        let (proven, waiting) = (Proven::open(pins)?, waiting());
        let throttled = Throttled::open(pins, settings_seed)?;
        let traffic = TrafficWatch::begin(pins, config, waiting.as_ref())?;

        let protected = attachment.protect_all(&self.to_protect)?;
        // Nothing fails any more. Only now what could not be put back: the lists of an earlier daemon, and its watch.
        if !self.from_nothing {
            lists.let_go_of_earlier();
            lists.follow(spared, true, &journal);
        }
        let mut ground = Ground::new(config);
        ground.look(
            &self.facts.own,
            waiting.as_ref(),
            wall_clock_s().unwrap_or(0),
            monotonic_ns(),
        );
        let sessions = self.facts.session_ports.iter().copied().collect();
        let guard = guard(self.facts, &allowed, &configured, &lists.never_block().prefixes);
        let watches = reflection.watches() || tls.holds();
        if !watches {
            attachment.watch_nothing();
        }
        let mode = if config.mode == Mode::Shadow {
            "shadow"
        } else {
            "enforce"
        };
        let cookies = match (config.mode, config.syn_cookies.mode) {
            (Mode::Shadow, _) | (_, CookieMode::Off) => CookieState::Off,
            (_, CookieMode::Auto) => CookieState::Auto,
            (_, CookieMode::Always) => CookieState::Always,
        };
        let managed = config.syn_cookies.manage_sysctls;
        let wanted = Wanted {
            used: cookies != CookieState::Off,
            syncookies: managed,
            timestamps: managed && config.syn_cookies.timestamps == CookieTimestamps::Manage,
        };
        let parts = Parts {
            instance: self.options.instance.clone(),
            started_ns: monotonic_ns(),
            mode: mode.to_owned(),
            journal,
            interfaces: protected,
            rules,
            lists,
            settings,
            signatures,
            services,
            guard,
            spared: configured.spared().cloned().collect(),
            cookies,
            reach: reach::told(reach),
            reflection: reflection.state,
            tls,
            sysctls: wanted,
            responder: Responder::new(respond::settings(config), settings_seed),
            confirm: config.guard.confirm,
        };
        let state = State::new(parts, stop);
        own::tell(&state, left_out);
        state.journal.record(EventKind::Started {
            interfaces: state
                .interfaces()
                .iter()
                .map(|protected| protected.interface.clone())
                .collect(),
            adopted: attachment.adopted(),
            mode: mode.to_owned(),
        });
        if let Some(why) = reflection.why {
            state.journal.record(EventKind::ReflectionOff { why });
        }
        if let (true, Some(Err(error))) = (has_tls, &watched) {
            tls::off(&state, error.to_string());
        }
        let cookies = CookieSwitch::new(&self.options.instance, wanted, &state.journal);
        let inputs = Inputs {
            counters,
            samples,
            heads,
            refusals,
            stands: Stands::default(),
            known: Known {
                good: HashSet::new(),
                sessions,
                places: Whereabouts::of(config),
            },
            flooder: flooder(config),
            configured,
            own,
            proven,
            throttled,
            cookies,
            attachment,
            traffic,
            opened: Opened::begin(pins),
            databases: Databases::of(config),
            ground,
            not_counted,
            listening,
            config: config.clone(),
        };
        Ok((state, inputs))
    }
}

/// What waits at the ports of this machine; `None` where the kernel does not tell, since `doctor` says what is missing. Blocks for as long
/// as the kernel takes to list it.
pub(super) fn waiting() -> Option<Ports> {
    host::waiting_ports()
        .inspect_err(|error| debug!("what listens, and who asks where nobody is, is not noticed: {error}"))
        .ok()
}

/// Refuses what the filter cannot read.
pub(super) fn suitable(interface: &Interface) -> Result<(), DaemonError> {
    match interface.link_layer {
        LinkLayer::Ethernet => Ok(()),
        LinkLayer::Loopback => Err(DaemonError::Loopback(interface.name.clone())),
        LinkLayer::Other => Err(DaemonError::NotEthernet(interface.name.clone())),
    }
}

/// The guard list: what this machine cannot do without, what the operator allows, what they configured, and what feeds protect.
pub(crate) fn guard(
    facts: host::Facts,
    allowed: &[Entry],
    configured: &Configured,
    never_block: &[Prefix],
) -> Guard {
    Guard::new(
        essentials(facts)
            .chain(allowed.iter().map(|entry| (entry.prefix, GuardKind::Allowlist)))
            .chain(configured.never_block())
            .chain(configured.proxies())
            .chain(
                never_block
                    .iter()
                    .map(|prefix| (*prefix, GuardKind::NeverBlockList)),
            ),
    )
}

/// What no list touches: what this machine cannot do without (for IPv6 the whole /64), and what the operator guards.
pub(crate) fn spared_by_lists(facts: &host::Facts, configured: &Configured) -> Vec<Prefix> {
    let essential = essentials(facts.clone()).map(|(prefix, _)| prefix.within(32, 64));
    let guarded = configured.never_block().map(|(prefix, _)| prefix);
    let spared: BTreeSet<Prefix> = essential.chain(guarded).collect();
    spared.into_iter().collect()
}

/// Settings and rules are in force before the first packet is judged. Tells how many own addresses found no room.
fn prepare(
    config: &Config,
    reflection: &Beginning,
    configured: &mut Configured,
    pins: &Pins,
    facts: &host::Facts,
    reach: reach::Found,
    segments: Segments,
) -> Result<usize, DaemonError> {
    let mut map = SettingsMap::open(pins)?;
    let before = map.read()?;
    map.write(&Settings {
        reflection: reflection.settings(config, &before.reflection),
        segments,
        ..settings(config, &before, reach.0)
    })?;
    Services::open(pins)?.replace(&services(config))?;
    let left_out = OwnAddresses::open(pins)?.set(&facts.own)?;
    configured.establish(&mut Rules::open(pins)?, facts)?;
    Ok(left_out)
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

pub(crate) fn sizes(config: &Config) -> TableSizes {
    TableSizes {
        block_addresses: config.tables.block_addresses.value(),
        block_prefixes: config.tables.block_prefixes.value(),
        allow_prefixes: config.tables.allow_prefixes.value(),
        own_addresses: config.tables.own_addresses.value(),
        connection_holders: config.tables.connection_holders.value(),
    }
}

/// What `config` says about sources that keep flooding.
pub(crate) fn flooder(config: &Config) -> FlooderSettings {
    let flooder = &config.detect.flooder;
    FlooderSettings {
        over_for_ns: nanoseconds(flooder.over_for.duration()),
        min_dropped_per_s: u64::from(flooder.min_dropped_per_s.value()),
        // Where blocks are not enforced anyway, shadow evidence may show what would be blocked.
        count_shadow: config.blocklist.mode.under(config.mode) != PolicyMode::Enforce,
    }
}

pub(crate) fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
