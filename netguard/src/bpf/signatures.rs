//! The maps of the signature stage: entries, the ports that they are for, and how many packets each fits.

use aya::maps::{Array, MapData, PerCpuArray};
use netguard_common::{
    layout::{Counter, Mode},
    maps::PORT_WORDS,
    shared::Field as _,
    signature::{SIGNATURES, Signature},
};

use super::{BpfError, Pins, raw::Raw};

/// The signatures of an instance.
pub struct Signatures {
    entries: Array<MapData, Raw<Signature>>,
    ports: Array<MapData, u64>,
    hits: PerCpuArray<MapData, Raw<Counter>>,
}

impl Signatures {
    /// Opens the pinned maps.
    ///
    /// # Errors
    /// When nothing is pinned or they may not be opened.
    pub fn open(pins: &Pins) -> Result<Self, BpfError> {
        let (entries, ports, hits) = (
            pins.open("SIGNATURES")?,
            pins.open("SIGNATURE_PORTS")?,
            pins.open("SIGNATURE_HITS")?,
        );
        Ok(Self {
            entries: entries
                .try_into()
                .map_err(BpfError::map("SIGNATURES", SIGNATURES))?,
            ports: ports.try_into().map_err(BpfError::map("SIGNATURE_PORTS", 0))?,
            hits: hits.try_into().map_err(BpfError::map("SIGNATURE_HITS", 0))?,
        })
    }

    /// Number, signature and hits of those in force at `now_ns`.
    ///
    /// # Errors
    /// When the kernel refuses a read.
    pub fn list(&self, now_ns: u64) -> Result<Vec<(u32, Signature, Counter)>, BpfError> {
        let mut listed = Vec::new();
        for (slot, signature) in self.standing()? {
            if !signature.ended(now_ns) {
                listed.push((slot, signature, self.hits_of(slot)?));
            }
        }
        Ok(listed)
    }

    /// Puts `signature` into a free entry; answers its number.
    ///
    /// # Errors
    /// [`BpfError::SignaturesFull`] when there is none.
    pub fn add(&mut self, signature: Signature, now_ns: u64) -> Result<u32, BpfError> {
        self.remove_ended(now_ns)?;
        let standing = self.standing()?;
        let taken = |slot: &u32| standing.iter().any(|(standing, _)| standing == slot);
        let slot = (0..SIGNATURES)
            .find(|slot| !taken(slot))
            .ok_or(BpfError::SignaturesFull(SIGNATURES))?;
        let cpus = aya::util::nr_cpus().map_err(|(_, source)| BpfError::Read {
            map: "SIGNATURE_HITS",
            source,
        })?;
        let zeros = aya::maps::PerCpuValues::try_from(vec![Raw(Counter::ZERO); cpus]);
        let zeros = zeros.map_err(|source| BpfError::Read {
            map: "SIGNATURE_HITS",
            source,
        })?;
        self.hits
            .set(slot, zeros, 0)
            .map_err(BpfError::map("SIGNATURE_HITS", 0))?;
        // A packet that comes meanwhile must not meet half of it: the mode is written last.
        let mode = Mode::Off as u32;
        self.write(slot, Signature { mode, ..signature })?;
        let all = standing.iter().copied().chain([(slot, signature)]);
        self.flag(all)?;
        self.write(slot, signature)?;
        Ok(slot)
    }

    /// Puts `after`, which is for the same port, into the entry `slot`; false unless that holds `before`, whatever its end is.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn replace(&mut self, slot: u32, before: &Signature, after: Signature) -> Result<bool, BpfError> {
        let holds = self.holds(slot, before)?;
        if holds {
            self.write(slot, after)?;
        }
        Ok(holds)
    }

    /// Whether the entry `slot` holds `signature`, whatever its end is.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn holds(&self, slot: u32, signature: &Signature) -> Result<bool, BpfError> {
        let standing = self.standing()?;
        let same = |standing: &Signature| {
            Signature {
                expires_at: signature.expires_at,
                ..*standing
            } == *signature
        };
        Ok(standing
            .iter()
            .any(|(index, standing)| *index == slot && same(standing)))
    }

    /// Whether the entry `slot` holds `signature`, with this end.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn stands(&self, slot: u32, signature: &Signature) -> Result<bool, BpfError> {
        Ok(self.standing()?.contains(&(slot, *signature)))
    }

    /// Frees entry `slot`; false when it is free.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove(&mut self, slot: u32) -> Result<bool, BpfError> {
        let standing = self.standing()?;
        let Some((_, signature)) = standing.iter().find(|(standing, _)| *standing == slot) else {
            return Ok(false);
        };
        let mode = Mode::Off as u32;
        self.write(slot, Signature { mode, ..*signature })?;
        self.write(slot, Signature::ZERO)?;
        let left = standing.iter().filter(|(standing, _)| *standing != slot);
        self.flag(left.copied())?;
        Ok(true)
    }

    /// Frees the entries of those that ended before `now_ns`; answers their numbers.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove_ended(&mut self, now_ns: u64) -> Result<Vec<u32>, BpfError> {
        let ended = self.standing()?.into_iter();
        let ended: Vec<u32> = ended
            .filter(|(_, signature)| signature.ended(now_ns))
            .map(|(slot, _)| slot)
            .collect();
        for slot in &ended {
            self.remove(*slot)?;
        }
        Ok(ended)
    }

    fn standing(&self) -> Result<Vec<(u32, Signature)>, BpfError> {
        let mut standing = Vec::new();
        for slot in 0..SIGNATURES {
            let signature = self
                .entries
                .get(&slot, 0)
                .map_err(BpfError::map("SIGNATURES", 0))?
                .0;
            if signature.mode != Mode::Off as u32 {
                standing.push((slot, signature));
            }
        }
        Ok(standing)
    }

    /// Packets and bytes that the entry `slot` fitted since it was taken.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn hits_of(&self, slot: u32) -> Result<Counter, BpfError> {
        let cpus = self
            .hits
            .get(&slot, 0)
            .map_err(BpfError::map("SIGNATURE_HITS", 0))?;
        Ok(cpus.iter().fold(Counter::ZERO, |sum, cpu| Counter {
            packets: sum.packets.wrapping_add(cpu.0.packets),
            bytes: sum.bytes.wrapping_add(cpu.0.bytes),
        }))
    }

    fn write(&mut self, slot: u32, signature: Signature) -> Result<(), BpfError> {
        self.entries
            .set(slot, Raw(signature), 0)
            .map_err(BpfError::map("SIGNATURES", SIGNATURES))
    }

    /// Flags the ports of `signatures` and their entries, and no others.
    fn flag(&mut self, signatures: impl Iterator<Item = (u32, Signature)>) -> Result<(), BpfError> {
        let wrap = BpfError::map("SIGNATURE_PORTS", 0);
        for (word, wanted) in (0..).zip(flags(signatures)) {
            if self.ports.get(&word, 0).map_err(&wrap)? != wanted {
                self.ports.set(word, wanted, 0).map_err(&wrap)?;
            }
        }
        Ok(())
    }
}

/// A bit for each port that one of `signatures` is for, then one for each of their entries.
pub(super) fn flags(signatures: impl Iterator<Item = (u32, Signature)>) -> Vec<u64> {
    let mut flags = vec![0_u64; PORT_WORDS];
    let mut used = 0;
    for (slot, signature) in signatures {
        used |= 1 << slot;
        match signature.port() {
            Some(port) => flags[usize::from(port / 64)] |= 1 << (port % 64),
            None => flags.fill(u64::MAX),
        }
    }
    flags.push(used);
    flags
}
