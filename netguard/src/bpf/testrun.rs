//! Runs the kernel's programs on frames without an interface (`BPF_PROG_TEST_RUN`): for tests, benchmarks and
//! replay. Nothing is pinned or attached.

mod listening;
mod program;

use std::{collections::BTreeMap, net::IpAddr};

use aya::{
    Ebpf, TestRun as _, TestRunOptions,
    maps::{Array, HashMap, LpmTrie, Map, MapData, RingBuf, lpm_trie::Key},
    programs::SchedClassifier,
};
use netguard_common::{
    bucket::{self, BucketLine},
    head::Head,
    hint,
    layout::{Question, Rule, Sample, Settings},
    limit::source_hash,
    maps::Table,
    packet::Address,
    shared::{Field as _, Shared},
    signature::Signature,
    throttle::{FILTER_WORDS, Throttle, filter_bit},
};

use super::{
    BpfError, Counters, TableSizes, Telemetry,
    announced::Announced,
    load::{EGRESS_PROGRAM, classifier, loader, refused_load, refused_program, xdp},
    ranges,
    raw::Raw,
    signatures::flags,
};
use crate::{prefix::Prefix, ranges::Compiled};

pub(super) use program::refused_run;
use program::verified_instructions;
pub use program::{Attachment, ProgramUnderTest};

/// An object loaded for test runs, with maps of its own.
pub struct TestObject {
    pub(super) ebpf: Ebpf,
    /// Mapped once: each mapping touches all of it.
    pub(super) announced: Option<Announced>,
}

impl TestObject {
    /// Loads `object` (netguard's own, or a reference object for benchmarks).
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn load(object: &[u8], sizes: TableSizes) -> Result<Self, BpfError> {
        Ok(Self {
            ebpf: loader(sizes, None).load(object).map_err(refused_load)?,
            announced: None,
        })
    }

    /// Loads the XDP program `name` of the object, if it is not loaded yet.
    ///
    /// # Errors
    /// When there is no such program or the verifier refuses it.
    pub fn program(&mut self, name: &'static str) -> Result<ProgramUnderTest<'_>, BpfError> {
        let program = xdp(&mut self.ebpf, name)?;
        if program.fd().is_err() {
            program.load().map_err(|error| refused_program(name, &error))?;
        }
        Ok(ProgramUnderTest { program })
    }

    /// Has `frame` leave past the program that remembers questions; tells the program's answer.
    ///
    /// # Errors
    /// When the kernel refuses the program or the frame.
    pub fn send(&mut self, frame: &[u8]) -> Result<u32, BpfError> {
        let options = TestRunOptions {
            data_in: Some(frame),
            ..TestRunOptions::default()
        };
        match self.egress()?.test_run(options) {
            Ok(result) => Ok(result.return_value),
            Err(error) => Err(BpfError::Load(format!("test run: {error}"))),
        }
    }

    /// As [`ProgramUnderTest::verified_instructions`], of the program that remembers questions.
    ///
    /// # Errors
    /// When the kernel refuses the program or does not say.
    pub fn egress_verified_instructions(&mut self) -> Result<u32, BpfError> {
        verified_instructions(self.egress()?.info().ok())
    }

    fn egress(&mut self) -> Result<&mut SchedClassifier, BpfError> {
        let program = classifier(&mut self.ebpf)?;
        if program.fd().is_err() {
            program
                .load()
                .map_err(|error| refused_program(EGRESS_PROGRAM, &error))?;
        }
        Ok(program)
    }

    /// Has `question` been asked at `asked_ns`.
    ///
    /// # Errors
    /// When the kernel refuses the entry.
    pub fn ask(&mut self, question: Question, asked_ns: u64) -> Result<(), BpfError> {
        let mut questions: HashMap<&mut MapData, Raw<Question>, u64> = self.map("QUESTIONS")?;
        questions
            .insert(Raw(question), asked_ns, 0)
            .map_err(BpfError::map("QUESTIONS", 0))
    }

    /// Lets the source with this key (`netguard_common::limit::source_key`) count as proven until `until_ns`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn prove(&mut self, key: u64, until_ns: u64) -> Result<(), BpfError> {
        let mut proven: HashMap<&mut MapData, u64, u64> = self.map("PROVEN")?;
        proven
            .insert(key, until_ns, 0)
            .map_err(BpfError::map("PROVEN", 0))
    }

    /// Has the limits of the source with this key divided as `throttle` says; `seed` is that of the settings.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn throttle(&mut self, key: u64, throttle: Throttle, seed: u64) -> Result<(), BpfError> {
        let mut throttled: HashMap<&mut MapData, u64, u64> = self.map("THROTTLED")?;
        throttled
            .insert(key, throttle.0, 0)
            .map_err(BpfError::map("THROTTLED", 0))?;
        let (index, bit) = filter_bit(source_hash(key, seed));
        let failed = BpfError::map("THROTTLE_FILTER", FILTER_WORDS);
        let mut filter: Array<&mut MapData, u64> = self.map("THROTTLE_FILTER")?;
        let word = filter.get(&index, 0).map_err(&failed)?;
        filter.set(index, word | bit, 0).map_err(&failed)
    }

    /// The questions that are remembered.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn questions(&mut self) -> Result<Vec<Question>, BpfError> {
        let questions: HashMap<&mut MapData, Raw<Question>, u64> = self.map("QUESTIONS")?;
        let keys = questions.keys().map(|key| key.map(|key| key.0));
        keys.collect::<Result<_, _>>()
            .map_err(BpfError::map("QUESTIONS", 0))
    }

    /// # Errors
    /// When the kernel refuses the write.
    pub fn write_settings(&mut self, settings: &Settings) -> Result<(), BpfError> {
        // Their seed is that of the settings.
        self.announced = None;
        let mut map: Array<&mut MapData, Raw<Settings>> = self.map("SETTINGS")?;
        map.set(0, Raw(*settings), 0)
            .map_err(BpfError::map("SETTINGS", 1))
    }

    /// Puts a rule into a hash table; `key` is the address or /64 network in network byte order.
    ///
    /// # Errors
    /// When the table has other keys or refuses the entry.
    pub fn insert_exact<const N: usize>(
        &mut self,
        map: &'static str,
        key: [u8; N],
        rule: Rule,
    ) -> Result<(), BpfError> {
        let mut hash: HashMap<&mut MapData, [u8; N], Raw<Rule>> = self.map(map)?;
        hash.insert(key, Raw(rule), 0).map_err(BpfError::map(map, 0))?;
        self.announce(map, &key, N as u8 * 8, &rule)
    }

    /// Puts a rule into a trie.
    ///
    /// # Errors
    /// When the table has other keys or refuses the entry.
    pub fn insert_prefix<const N: usize>(
        &mut self,
        map: &'static str,
        bits: u32,
        network: [u8; N],
        rule: Rule,
    ) -> Result<(), BpfError> {
        let mut trie: LpmTrie<&mut MapData, [u8; N], Raw<Rule>> = self.map(map)?;
        trie.insert(&Key::new(bits, network), Raw(rule), 0)
            .map_err(BpfError::map(map, 0))?;
        self.announce(map, &network, bits as u8, &rule)
    }

    /// Puts compiled lists in force.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn install(&mut self, compiled: &Compiled) -> Result<(), BpfError> {
        let mut maps: BTreeMap<_, _> = self.ebpf.maps_mut().collect();
        let mut map = |name: &str| {
            let missing = || BpfError::NoSuchMap(name.to_owned());
            maps.remove(name).ok_or_else(missing)
        };
        ranges::install_in(map("RANGES")?, map("GENERATION")?, compiled)?;
        self.announced()?.hints.raise(hint::RANGE, compiled.slots.words());
        Ok(())
    }

    /// Sets one line of buckets.
    ///
    /// # Errors
    /// When the index is out of range.
    pub fn write_buckets(&mut self, index: u32, line: BucketLine) -> Result<(), BpfError> {
        let mut lines: Array<&mut MapData, Raw<BucketLine>> = self.map("BUCKETS")?;
        lines
            .set(index, Raw(line), 0)
            .map_err(BpfError::map("BUCKETS", bucket::LINES))
    }

    /// Sets one cell of the limits of services.
    ///
    /// # Errors
    /// When the index is out of range.
    pub fn write_cell(&mut self, index: u32, arrival_ns: u64) -> Result<(), BpfError> {
        let mut cells: Array<&mut MapData, u64> = self.map("LIMIT_CELLS")?;
        cells
            .set(index, arrival_ns, 0)
            .map_err(BpfError::map("LIMIT_CELLS", 0))
    }

    /// Makes `address` one of this machine.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn own(&mut self, address: IpAddr) -> Result<(), BpfError> {
        let mut own: HashMap<&mut MapData, [u8; 16], u32> = self.map("OWN")?;
        own.insert(Address::of(address).1.octets(), 1, 0)
            .map_err(BpfError::map("OWN", 0))?;
        self.announced()?.hints.set(Prefix::from(address), hint::OWN);
        Ok(())
    }

    /// Makes `signatures` those in force.
    ///
    /// # Errors
    /// When the kernel refuses them.
    pub fn signatures(&mut self, signatures: &[Signature]) -> Result<(), BpfError> {
        let mut entries: Array<&mut MapData, Raw<Signature>> = self.map("SIGNATURES")?;
        for (slot, signature) in (0..).zip(signatures) {
            entries
                .set(slot, Raw(*signature), 0)
                .map_err(BpfError::map("SIGNATURES", 0))?;
        }
        let mut ports: Array<&mut MapData, u64> = self.map("SIGNATURE_PORTS")?;
        for (word, bits) in (0..).zip(flags((0..).zip(signatures.iter().copied()))) {
            ports
                .set(word, bits, 0)
                .map_err(BpfError::map("SIGNATURE_PORTS", 0))?;
        }
        Ok(())
    }

    /// Takes the counters out of the object, to read them between runs.
    ///
    /// # Errors
    /// When they were taken before.
    pub fn take_counters(&mut self) -> Result<Counters, BpfError> {
        Counters::new(self.take("COUNTERS")?, self.take("SAMPLER")?)
    }

    /// Takes the telemetry out of the object, to read it between runs.
    ///
    /// # Errors
    /// When it was taken before.
    pub fn take_telemetry(&mut self) -> Result<Telemetry, BpfError> {
        Telemetry::new(
            self.take("TELEMETRY")?,
            self.take("SKETCHES")?,
            self.take("WATCHED")?,
        )
    }

    /// Takes every sample that waits in the ring buffer.
    ///
    /// # Errors
    /// When the map is missing.
    pub fn samples(&mut self) -> Result<Vec<Sample>, BpfError> {
        self.records("SAMPLES")
    }

    /// Takes every head that waits.
    ///
    /// # Errors
    /// When the map is missing.
    pub fn heads(&mut self) -> Result<Vec<Head>, BpfError> {
        self.records("HEADS")
    }

    fn records<T: Shared>(&mut self, name: &'static str) -> Result<Vec<T>, BpfError> {
        let mut ring: RingBuf<&mut MapData> = self.map(name)?;
        let mut records = Vec::new();
        while let Some(record) = ring.next() {
            records.extend(T::from_bytes(&record));
        }
        Ok(records)
    }

    /// Name, key size, value size and locked memory (bytes) of every map of the object.
    ///
    /// # Errors
    /// When the kernel does not describe one.
    pub fn maps(&self) -> Result<Vec<(String, u32, u32, u64)>, BpfError> {
        self.ebpf
            .maps()
            .map(|(name, map)| {
                super::catalogue::describe(map)
                    .map(|(key, value, memory)| (name.to_owned(), key, value, memory))
                    .ok_or_else(|| BpfError::NoSuchMap(name.to_owned()))
            })
            .collect()
    }

    /// Blocks an IPv4 prefix of /24 or shorter for good, as a hint only.
    ///
    /// # Errors
    /// When the hints cannot be written.
    pub fn block_wide(&mut self, bits: u8, network: [u8; 4]) -> Result<(), BpfError> {
        self.announce("BLOCK_WIDE_V4", &network, bits, &Rule::ZERO)
    }

    /// Announces a rule for the first `bits` of `network` in table `map`.
    fn announce(&mut self, map: &'static str, network: &[u8], bits: u8, rule: &Rule) -> Result<(), BpfError> {
        let Some(table) = Table::ALL.iter().find(|table| table.map() == map) else {
            return Ok(());
        };
        let mut octets = [0; 16];
        octets[..network.len()].copy_from_slice(network);
        let address = match network.len() {
            4 => IpAddr::from([octets[0], octets[1], octets[2], octets[3]]),
            _ => IpAddr::from(octets),
        };
        if let Some(prefix) = Prefix::truncated(address, bits) {
            self.announced()?.put(*table, prefix, rule);
        }
        Ok(())
    }

    fn announced(&mut self) -> Result<&Announced, BpfError> {
        let announced = match self.announced.take() {
            Some(announced) => announced,
            None => {
                let settings: Array<&mut MapData, Raw<Settings>> = self.map("SETTINGS")?;
                let seed = settings.get(&0, 0).map_err(BpfError::map("SETTINGS", 1))?.0.seed;
                let map = |name: &str| {
                    let map = self.ebpf.map(name);
                    map.ok_or_else(|| BpfError::NoSuchMap(name.to_owned()))
                };
                Announced::of(map("HINTS")?, map("EXACT")?, seed)?
            }
        };
        Ok(self.announced.insert(announced))
    }

    pub(super) fn map<'a, M>(&'a mut self, name: &'static str) -> Result<M, BpfError>
    where
        M: TryFrom<&'a mut Map, Error = aya::maps::MapError>,
    {
        let map = self
            .ebpf
            .map_mut(name)
            .ok_or_else(|| BpfError::NoSuchMap(name.to_owned()))?;
        M::try_from(map).map_err(BpfError::map(name, 0))
    }

    fn take(&mut self, name: &'static str) -> Result<Map, BpfError> {
        self.ebpf
            .take_map(name)
            .ok_or_else(|| BpfError::NoSuchMap(name.to_owned()))
    }
}
