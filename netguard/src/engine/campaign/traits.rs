//! Traits: what is compared of an attack, or of sources that try where nobody is. All of it but the times is the same on every host: classes,
//! accounts, networks, header fields. So another node's traits can be held against these, once its times are translated.

use std::collections::{BTreeMap, BTreeSet};

use netguard_common::signature::{
    FAMILY, FIELDS, FLAGS, FieldSpec, HEADER_LENGTH, LENGTH, PAYLOAD_AT, PORT, PROTOCOL, Signature, TTL,
    WINDOW, WORDS,
};

use super::{
    Network, Sources,
    network::{Asn, networks},
};
use crate::engine::{Account, Attack, detect::Class, response::Course};

/// Packets of an attack that are compared, the newest.
const PACKETS: usize = 128;
/// Packets that tell what an attack looks like.
const TELLING: usize = 16;
/// The part of the packets of an attack that have what it looks like.
const MOST: f64 = 0.8;
/// Header fields of which a program's packets are known; ports, numbers and addresses change.
const TOLD: [FieldSpec; 5] = [TTL, LENGTH, WINDOW, HEADER_LENGTH, FLAGS];
/// Fields that must be the same in both: of UDP and ICMP some are nought, which says nothing.
const SAME: usize = 3;
/// Conditions that a signature must have beside what service it is for.
const CONDITIONS: usize = 2;

/// What is compared.
#[derive(Clone, Debug, Default)]
pub struct Traits {
    /// `None`: sources that try where nobody is.
    pub class: Option<Class>,
    /// When it began, came back and ended, in ascending order.
    pub turns_ns: Vec<u64>,
    pub sources: Sources,
    pub networks: BTreeMap<Network, u32>,
    /// What it was aimed at.
    pub services: BTreeSet<String>,
    /// Signatures drafted against it, without what says which service they are for.
    pub signatures: Vec<Signature>,
    /// Packets of it.
    pub packets: Vec<[u64; WORDS]>,
}

impl Traits {
    /// Those of `attack`, of which `course` saw packets; `proven` are sources that had an established connection meanwhile.
    pub fn of(
        attack: &Attack,
        course: Option<&Course>,
        turns_ns: Vec<u64>,
        proven: &BTreeSet<Account>,
        asn: Asn<'_>,
    ) -> Self {
        let mut accounts: BTreeSet<Account> = attack.met().collect();
        let samples = course.map(|course| &course.samples);
        accounts.extend(samples.into_iter().flatten().map(|seen| Account::of(seen.source)));
        let sources: Sources = accounts
            .into_iter()
            .map(|account| (account, proven.contains(&account)))
            .collect();
        let taken = course.into_iter().flat_map(|course| &course.taken);
        let newest = samples.into_iter().flatten().rev().take(PACKETS);
        Self {
            class: Some(attack.class),
            turns_ns,
            networks: networks(&sources, asn),
            sources,
            services: attack
                .services
                .iter()
                .map(|(service, _)| service.clone())
                .collect(),
            signatures: taken
                .filter_map(|taken| stripped(taken.measure.signature()?))
                .collect(),
            packets: newest.map(|seen| seen.vector).collect(),
        }
    }

    /// A signature drafted against one that fits the packets of the other as well, told by its conditions.
    pub fn drafted_alike(&self, other: &Self) -> Option<Vec<String>> {
        let fits = |ours: &Self, theirs: &Self| {
            let found = ours.signatures.iter().find(|signature| {
                let fitted = theirs
                    .packets
                    .iter()
                    .filter(|vector| signature.fits(vector))
                    .count();
                let packets = theirs.packets.len();
                packets >= TELLING && fitted as f64 >= MOST * packets as f64
            });
            found.map(crate::signature::conditions)
        };
        let same = self.signatures.iter().find(|ours| {
            let mut theirs = other.signatures.iter();
            theirs.any(|theirs| (ours.mask, ours.value) == (theirs.mask, theirs.value))
        });
        same.map(crate::signature::conditions)
            .or_else(|| fits(self, other))
            .or_else(|| fits(other, self))
    }

    /// Header fields that nearly all packets of both have the same, where they tell something.
    pub fn looks_alike(&self, other: &Self) -> Option<Vec<String>> {
        let [ours, theirs] = [self, other].map(Self::look);
        let same: Vec<String> = ours
            .iter()
            .filter(|(name, value)| theirs.get(*name) == Some(*value))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let differ = ours.len().max(theirs.len()) - same.len();
        (same.len() >= SAME && differ <= 1).then_some(same)
    }

    /// The values that nearly all of its packets have.
    fn look(&self) -> BTreeMap<&'static str, u64> {
        if self.packets.len() < TELLING {
            return BTreeMap::new();
        }
        let common = TOLD.iter().filter_map(|field| {
            let mut counts = BTreeMap::<u64, usize>::new();
            for vector in &self.packets {
                *counts.entry(field.of(vector)).or_default() += 1;
            }
            let (value, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
            let is_common = value != 0 && count as f64 >= MOST * self.packets.len() as f64;
            is_common.then_some((field.name, value))
        });
        common.collect()
    }
}

/// `signature` whatever family, protocol and port it is for, where enough is left of it.
fn stripped(signature: &Signature) -> Option<Signature> {
    let mut left = *signature;
    for field in [FAMILY, PROTOCOL, PORT] {
        left.mask[field.word] &= !field.placed(u64::MAX);
        left.value[field.word] &= left.mask[field.word];
    }
    let fields = FIELDS.iter().filter(|field| field.of(&left.mask) != 0).count();
    let payload: u32 = left.mask[PAYLOAD_AT..]
        .iter()
        .map(|word| word.count_ones().div_ceil(8))
        .sum();
    (fields + payload as usize >= CONDITIONS).then_some(left)
}

#[cfg(test)]
pub(super) mod tests {
    use netguard_common::{Verdict, layout::Mode, shared::Field as _};

    use super::*;
    use crate::engine::seen::{
        Seen,
        tests::{head, syn},
    };

    /// So many packets with this TTL and window, to port 80.
    pub(in crate::engine::campaign) fn packets(count: usize, ttl: u8, window: u16) -> Vec<[u64; WORDS]> {
        let seen = |source: usize| Seen::of(&head(&syn(source as u8, ttl, window, 0), Verdict::Pass));
        (0..count)
            .map(|source| seen(source).expect("a packet").vector)
            .collect()
    }

    pub(in crate::engine::campaign) fn signature(fields: &[(FieldSpec, u64)]) -> Signature {
        let mut signature = Signature {
            mode: Mode::Enforce as u32,
            ..Signature::ZERO
        };
        for (field, value) in fields {
            signature.mask[field.word] |= field.placed(u64::MAX);
            signature.value[field.word] |= field.placed(*value);
        }
        signature
    }

    fn traits(packets: Vec<[u64; WORDS]>, signatures: &[Signature]) -> Traits {
        let signatures = signatures.iter().filter_map(stripped).collect();
        Traits {
            packets,
            signatures,
            ..Traits::default()
        }
    }

    #[test]
    fn a_signature_of_one_that_fits_the_other_is_told_whatever_its_service() {
        let drafted = signature(&[(PORT, 53), (PROTOCOL, 17), (TTL, 57), (WINDOW, 512)]);
        let one = traits(packets(40, 64, 9), &[drafted]);
        let told = |other: &Traits| one.drafted_alike(other);
        assert_eq!(
            told(&traits(packets(40, 57, 512), &[])),
            Some(vec!["ttl=57".to_owned(), "window=512".to_owned()])
        );
        assert_eq!(told(&traits(packets(15, 57, 512), &[])), None, "too few to tell");
        assert_eq!(told(&traits(packets(40, 57, 513), &[])), None);
        let elsewhere = signature(&[(PORT, 80), (PROTOCOL, 6), (TTL, 57), (WINDOW, 512)]);
        assert!(told(&traits(Vec::new(), &[elsewhere])).is_some());
        // What one field alone says anybody may have.
        let vague = signature(&[(PORT, 53), (TTL, 57)]);
        assert_eq!(
            traits(Vec::new(), &[vague]).drafted_alike(&traits(packets(40, 57, 1), &[])),
            None
        );
    }

    #[test]
    fn the_same_header_fields_are_told_where_enough_are() {
        let of = |packets| traits(packets, &[]);
        let one = of(packets(40, 64, 1_024));
        assert!(
            one.looks_alike(&of(packets(40, 64, 1_024)))
                .is_some_and(|same| same.len() == 5)
        );
        assert!(
            one.looks_alike(&of(packets(40, 60, 1_024))).is_some(),
            "from farther away"
        );
        assert_eq!(one.looks_alike(&of(packets(40, 60, 512))), None);
        assert_eq!(one.looks_alike(&of(packets(9, 64, 1_024))), None);
        assert_eq!(Traits::default().looks_alike(&Traits::default()), None);
    }
}
