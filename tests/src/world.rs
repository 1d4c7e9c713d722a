//! Settings, rules and limiter cells that one test lays into memory and into the kernel alike; it judges nothing.

mod effects;
mod limits;

use netguard::{
    bpf::{BpfError, List, TableSizes, TestObject, embedded_object, table_of},
    engine::response::breaker::newcomers,
    prefix::Prefix,
    ranges::{Compiled, Effect, Listing, compile},
};
use netguard_common::{
    bucket::BucketLine,
    layout::{CLASSES, Mode, Question, Rate, Rule, Settings},
    maps::{ALLOW_PREFIXES, BLOCK_ADDRESSES, BLOCK_PREFIXES, HOLDERS, OWN, Table},
    memory::Memory,
    packet::Address,
    reflection::hints_of,
    rule::Origin,
    signature::Signature,
    tables::Tables as _,
};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

pub use effects::{country, feed, held_country};

/// A rule that never ends.
pub const PERMANENT: u32 = 0;
/// An expiry that has passed on any machine that is up for a few seconds.
pub const EXPIRED: u32 = 1;
/// An expiry that no test will see.
pub const DISTANT: u32 = u32::MAX;

/// How long a world remembers a question.
pub const REMEMBERED_NS: u64 = 10_000_000_000;

/// The default capacities of the tables.
pub const DEFAULT_SIZES: TableSizes = TableSizes {
    block_addresses: BLOCK_ADDRESSES as u32,
    block_prefixes: BLOCK_PREFIXES as u32,
    allow_prefixes: ALLOW_PREFIXES as u32,
    connection_holders: HOLDERS as u32,
    own_addresses: OWN as u32,
};

/// What a packet is judged by, apart from its own bytes and the clock.
#[derive(Clone, Debug)]
pub struct World {
    /// Modes, limits, seed and sample budget.
    pub settings: Settings,
    rules: Vec<(List, Prefix, Rule)>,
    listings: Vec<Listing<'static>>,
    /// Made of `listings` when they are needed.
    compiled: OnceLock<Arc<Compiled>>,
    buckets: BTreeMap<u32, [u64; 8]>,
    cells: Vec<(u32, u64)>,
    own: Vec<IpAddr>,
    signatures: Vec<Signature>,
    questions: Vec<(Question, u64)>,
    proven: Vec<IpAddr>,
    throttled: Vec<(IpAddr, u8)>,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// Every policy enforced, no limits, no samples, no rules.
    pub fn new() -> Self {
        Self {
            settings: Memory::enforcing(),
            rules: Vec::new(),
            listings: Vec::new(),
            compiled: OnceLock::new(),
            buckets: BTreeMap::new(),
            cells: Vec::new(),
            own: Vec::new(),
            signatures: Vec::new(),
            questions: Vec::new(),
            proven: Vec::new(),
            throttled: Vec::new(),
        }
    }

    /// The world in which the addresses of [`crate::generate`] meet every kind of rule, dead ones included.
    pub fn populated() -> Self {
        static POPULATED: LazyLock<World> = LazyLock::new(World::with_every_rule);
        POPULATED.compiled();
        POPULATED.clone()
    }

    fn with_every_rule() -> Self {
        Self::new()
            .block("192.0.2.66")
            .block_until("192.0.2.67", DISTANT)
            .block_until("192.0.2.68", EXPIRED)
            .block("198.18.0.0/15")
            .block_until("203.0.113.0/25", EXPIRED)
            .block("192.0.2.7")
            .allow("192.0.2.7")
            .allow("198.18.7.0/24")
            .allow_until("192.0.2.66", EXPIRED)
            .block_flooder("192.0.2.69")
            .block_flooder("2001:db8:0:2::/64")
            .block("2001:db8::66")
            .block("2001:db8:bad::/64")
            .block_until("2001:db8:0:1::/64", EXPIRED)
            .block("2001:db8:f000::/36")
            .block_until("2001:db8::68", EXPIRED)
            .allow("2001:db8:f000:7::/64")
            .allow("2001:db8:bad::7")
            .list(
                feed(false),
                &["192.0.2.72", "203.0.113.128/26", "2001:db8:0:3::/64"],
            )
            .list(feed(true), &["192.0.2.72/29", "2001:db8:0:4::/64"])
            .list(
                country(),
                &["198.51.100.0/24", "203.0.113.128/25", "2001:db8:0:5::/64"],
            )
            .list(Effect::Spare, &["203.0.113.129", "2001:db8:0:3::1"])
    }

    /// The world under the same mode for every policy.
    pub fn in_mode(self, mode: Mode) -> Self {
        self.in_modes([mode; 3])
    }

    /// The world with these modes of sanity, blocklist and limit.
    pub fn in_modes(mut self, [sanity, blocklist, limit]: [Mode; 3]) -> Self {
        self.settings.sanity = sanity as u32;
        self.settings.blocklist = blocklist as u32;
        self.settings.limit = limit as u32;
        self
    }

    /// The world with these limits, in the order of [`netguard_common::limit::Class`].
    pub fn limits(mut self, limits: [Rate; CLASSES]) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Limits that no clock moves during a test: a full bucket stays full, an empty one takes a million packets.
    pub fn still_limits(self) -> Self {
        const HOUR_NS: u64 = 3_600_000_000_000;
        let still = Rate {
            interval_ns: HOUR_NS,
            tolerance_ns: 1_000_000 * HOUR_NS,
        };
        let mut world = self.limits([still; CLASSES]);
        world.settings.levels.prefix = [still; CLASSES];
        world.settings.levels.service_udp = still;
        world
    }

    /// Adds a permanent allow rule. Panics if `prefix` is none.
    pub fn allow(self, prefix: &str) -> Self {
        self.allow_until(prefix, PERMANENT)
    }

    /// Adds an allow rule that ends at `expires_at`, in units of [`netguard_common::rule::EXPIRY_SHIFT`].
    pub fn allow_until(self, prefix: &str, expires_at: u32) -> Self {
        self.rule(List::Allow, prefix, expires_at)
    }

    /// Adds a permanent block rule. Panics if `prefix` is none.
    pub fn block(self, prefix: &str) -> Self {
        self.block_until(prefix, PERMANENT)
    }

    /// Adds a block rule that ends at `expires_at`, in units of [`netguard_common::rule::EXPIRY_SHIFT`].
    pub fn block_until(self, prefix: &str, expires_at: u32) -> Self {
        self.rule(List::Block, prefix, expires_at)
    }

    /// Adds permanent block rules for all of `prefixes`.
    pub fn block_all(mut self, prefixes: impl IntoIterator<Item = Prefix>) -> Self {
        self.rules.extend(
            prefixes
                .into_iter()
                .map(|prefix| (List::Block, prefix, rule(PERMANENT))),
        );
        self
    }

    /// Adds a block rule as the daemon makes it for a source that floods.
    pub fn block_flooder(self, prefix: &str) -> Self {
        let mut world = self.block_until(prefix, DISTANT);
        if let Some((_, _, rule)) = world.rules.last_mut() {
            rule.origin = Origin::Detector as u8;
        }
        world
    }

    /// Adds a list that is compiled with the others. Panics if one of `prefixes` is none.
    pub fn list(self, effect: Effect, prefixes: &[&str]) -> Self {
        let parsed = prefixes
            .iter()
            .map(|text| text.parse().unwrap_or_else(|error| panic!("{error}")));
        let prefixes = parsed.collect();
        self.lists([Listing { effect, prefixes }])
    }

    /// Adds lists.
    pub fn lists(mut self, listings: impl IntoIterator<Item = Listing<'static>>) -> Self {
        self.listings.extend(listings);
        self.compiled = OnceLock::new();
        self
    }

    fn compiled(&self) -> &Compiled {
        self.compiled.get_or_init(|| {
            let compiled = compile(&self.listings, self.settings.seed);
            Arc::new(compiled.unwrap_or_else(|error| panic!("{error}")))
        })
    }

    /// Makes `address` one of this machine. Panics if it is none.
    pub fn own(mut self, address: &str) -> Self {
        self.own
            .push(address.parse().unwrap_or_else(|error| panic!("{error}")));
        self
    }

    /// Adds a signature, by its conditions. Panics if they are none.
    pub fn signature(mut self, mode: Mode, expires_at: u32, conditions: &[&str]) -> Self {
        let conditions: Vec<String> = conditions.iter().map(|&text| text.to_owned()).collect();
        let parsed = netguard::signature::parse(&conditions, true).unwrap_or_else(|error| panic!("{error}"));
        self.settings.suspicion.signatures = Mode::Enforce as u32;
        self.signatures.push(Signature {
            mode: mode as u32,
            expires_at,
            ..parsed
        });
        self
    }

    /// Has the service take nobody new. Panics if it is none.
    pub fn broken(mut self, service: &str) -> Self {
        let signature = newcomers(service).unwrap_or_else(|| panic!("{service} is no service"));
        self.settings.suspicion.signatures = Mode::Enforce as u32;
        self.signatures.push(signature);
        self
    }

    /// The world that minds answers from these ports to `own`, which nobody here asked for.
    pub fn minding(mut self, mode: Mode, ports: &[u16], own: &[IpAddr]) -> Self {
        let reflection = &mut self.settings.reflection;
        reflection.mode = mode as u32;
        reflection.hints = hints_of(ports);
        reflection.ports[..ports.len()].copy_from_slice(ports);
        reflection.remember_ns = REMEMBERED_NS;
        self.own = own.to_vec();
        self
    }

    /// Has `question` been asked at `asked_ns`.
    pub fn asked(mut self, question: Question, asked_ns: u64) -> Self {
        self.questions.push((question, asked_ns));
        self
    }

    /// The world in memory, at `now_ns`.
    pub fn memory(&self, now_ns: u64) -> Memory {
        let mut memory = Memory::new(self.settings);
        memory.now_ns.set(now_ns);
        memory
            .proven
            .extend(self.proven_keys().map(|key| (key, u64::MAX)));
        memory.throttled.extend(self.throttles());
        for (list, prefix, rule) in &self.rules {
            let bits = u32::from(prefix.bits());
            let replaced = match (table_of(*list, *prefix, rule), prefix.address()) {
                (Table::AllowV4, IpAddr::V4(ip)) => memory.allow_v4.insert((bits, ip.octets()), *rule),
                (Table::BlockNetV4, IpAddr::V4(ip)) => memory.block_net_v4.insert((bits, ip.octets()), *rule),
                (Table::BlockWideV4, IpAddr::V4(ip)) => {
                    memory.block_wide_v4.insert((bits, ip.octets()), *rule)
                }
                (_, IpAddr::V4(ip)) => memory.block_v4.insert(ip.octets(), *rule),
                (Table::AllowV6, IpAddr::V6(ip)) => memory.allow_v6.insert((bits, ip.octets()), *rule),
                (Table::BlockNetV6, IpAddr::V6(ip)) => memory.block_net_v6.insert((bits, ip.octets()), *rule),
                (Table::BlockV6Net64, IpAddr::V6(ip)) => memory
                    .block_v6_net64
                    .insert(Address::v6(ip.octets()).high.to_ne_bytes(), *rule),
                (_, IpAddr::V6(ip)) => memory.block_v6.insert(ip.octets(), *rule),
            };
            assert!(replaced.is_none(), "{prefix} stands twice in the world");
        }
        if !self.listings.is_empty() {
            memory.generation = Some(self.compiled().lines.clone());
        }
        for address in &self.own {
            memory.own.insert(Address::of(*address).1.octets());
        }
        memory.signatures[..self.signatures.len()].copy_from_slice(&self.signatures);
        for (question, asked_ns) in &self.questions {
            memory.remember(question, *asked_ns);
        }
        for (index, line) in &self.buckets {
            memory.buckets[*index as usize] = line.map(AtomicU64::new);
        }
        for (index, arrival_ns) in &self.cells {
            memory.cells[*index as usize].store(*arrival_ns, Relaxed);
        }
        memory
    }

    /// The world in maps of its own in the kernel, with default sizes.
    ///
    /// # Errors
    /// When the kernel refuses the object or an entry.
    pub fn kernel(&self) -> Result<TestObject, BpfError> {
        let mut object = TestObject::load(embedded_object(), DEFAULT_SIZES)?;
        self.lay_into(&mut object)?;
        Ok(object)
    }

    /// Writes settings, rules and cells of this world over those of `object`.
    ///
    /// # Errors
    /// When the kernel refuses an entry.
    pub fn lay_into(&self, object: &mut TestObject) -> Result<(), BpfError> {
        object.write_settings(&self.settings)?;
        for key in self.proven_keys() {
            object.prove(key, u64::MAX)?;
        }
        for (key, throttle) in self.throttles() {
            object.throttle(key, throttle, self.settings.seed)?;
        }
        for (list, prefix, rule) in &self.rules {
            let (table, bits) = (table_of(*list, *prefix, rule), u32::from(prefix.bits()));
            match (table, prefix.address()) {
                (Table::BlockV4, IpAddr::V4(ip)) => object.insert_exact(table.map(), ip.octets(), *rule)?,
                (Table::BlockWideV4, IpAddr::V4(ip)) => object.block_wide(prefix.bits(), ip.octets())?,
                (_, IpAddr::V4(ip)) => object.insert_prefix(table.map(), bits, ip.octets(), *rule)?,
                (Table::BlockV6, IpAddr::V6(ip)) => object.insert_exact(table.map(), ip.octets(), *rule)?,
                (Table::BlockV6Net64, IpAddr::V6(ip)) => {
                    object.insert_exact(table.map(), Address::v6(ip.octets()).high.to_ne_bytes(), *rule)?;
                }
                (_, IpAddr::V6(ip)) => object.insert_prefix(table.map(), bits, ip.octets(), *rule)?,
            }
        }
        if !self.listings.is_empty() {
            object.install(self.compiled())?;
        }
        object.signatures(&self.signatures)?;
        self.own.iter().try_for_each(|address| object.own(*address))?;
        for (question, asked_ns) in &self.questions {
            object.ask(*question, *asked_ns)?;
        }
        for (index, slots) in &self.buckets {
            object.write_buckets(*index, BucketLine { slots: *slots })?;
        }
        self.cells
            .iter()
            .try_for_each(|(index, arrival_ns)| object.write_cell(*index, *arrival_ns))
    }

    fn rule(mut self, list: List, prefix: &str, expires_at: u32) -> Self {
        let prefix = prefix.parse().unwrap_or_else(|error| panic!("{error}"));
        self.rules.push((list, prefix, rule(expires_at)));
        self
    }
}

/// A rule as an operator makes it.
pub const fn rule(expires_at: u32) -> Rule {
    Rule {
        expires_at,
        reason: 0,
        origin: 0,
        proof: 2,
    }
}
