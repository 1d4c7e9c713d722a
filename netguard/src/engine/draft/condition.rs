//! Single conditions of a signature: a field, or a byte of the payload, that has a value.

use std::collections::HashMap;

use netguard_common::signature::{
    FAMILY, FIELDS, FieldSpec, PAYLOAD_AT, PAYLOAD_LEN, PAYLOAD_LENGTH, PORT, PROTOCOL, Signature, WORDS,
};

/// Values of a field that are considered: those that most packets have.
const VALUES: usize = 2;
/// The part of the packets that must have it.
const LEAST_PART: f64 = 0.3;

/// Bits of one word that must have a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    word: usize,
    mask: u64,
    value: u64,
}

impl Condition {
    pub(super) const fn field(field: &FieldSpec, value: u64) -> Self {
        Self {
            word: field.word,
            mask: field.placed(u64::MAX),
            value: field.placed(value),
        }
    }

    pub(super) const fn fits(&self, vector: &[u64; WORDS]) -> bool {
        vector[self.word] & self.mask == self.value
    }

    pub(super) fn count(&self, vectors: &[[u64; WORDS]]) -> usize {
        vectors.iter().filter(|vector| self.fits(vector)).count()
    }

    pub(super) const fn add_to(&self, signature: &mut Signature) {
        signature.mask[self.word] |= self.mask;
        signature.value[self.word] |= self.value;
    }
}

/// Conditions that many of `vectors` fulfil: for each field the values that most have.
pub(super) fn candidates(vectors: &[[u64; WORDS]]) -> Vec<Condition> {
    let least = (vectors.len() as f64 * LEAST_PART).ceil().max(1.0) as usize;
    let telling = FIELDS.iter().filter(|field| !is_of_the_kind(field));
    let fields = telling.flat_map(|field| {
        let values = vectors.iter().map(|vector| field.of(vector));
        common(values, least)
            .into_iter()
            .map(|value| Condition::field(field, value))
    });
    let bytes = (0..PAYLOAD_LEN).flat_map(|at| {
        let (word, shift) = (PAYLOAD_AT + at / 8, 56 - at % 8 * 8);
        let there = vectors
            .iter()
            .filter(move |vector| PAYLOAD_LENGTH.of(vector) > at as u64);
        let values = there.map(move |vector| vector[word] >> shift & 0xff);
        common(values, least).into_iter().map(move |value| Condition {
            word,
            mask: 0xff << shift,
            value: value << shift,
        })
    });
    fields.chain(bytes).collect()
}

/// Whether `signature` says no more than what service it is for.
pub(super) fn is_ordinary(signature: &Signature) -> bool {
    let mut mask = signature.mask;
    for field in [FAMILY, PROTOCOL, PORT] {
        mask[field.word] &= !field.placed(u64::MAX);
    }
    mask == [0; WORDS]
}

fn is_of_the_kind(field: &FieldSpec) -> bool {
    [FAMILY, PROTOCOL, PORT].contains(field)
}

/// Values that at least so many have, the most common first.
fn common(values: impl Iterator<Item = u64>, least: usize) -> Vec<u64> {
    let mut counts = HashMap::<u64, usize>::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let mut common: Vec<(u64, usize)> = counts.into_iter().filter(|(_, count)| *count >= least).collect();
    common.sort_by_key(|(value, count)| (std::cmp::Reverse(*count), *value));
    common.into_iter().take(VALUES).map(|(value, _)| value).collect()
}
