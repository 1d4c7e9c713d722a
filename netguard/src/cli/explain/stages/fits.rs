//! Whether signatures in force fit packets of a source. They look at headers, and addresses are none of their fields, so that
//! mostly the packet decides; the family and whom they spare are known.

use netguard_common::{
    Verdict,
    layout::Mode,
    signature::{FAMILY, Signature},
};

use super::{super::facts::Facts, Outcome, Stage};

/// What is known without a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// They are for the other family, or spare the source.
    Never,
    Depends,
    Every,
}

pub(super) fn signatures(facts: &Facts) -> Stage {
    let mode = Mode::from_number(facts.settings.suspicion.signatures);
    let count = facts.signatures.len();
    if count == 0 {
        return Stage::new("signatures", Some(mode), Outcome::Passes, "none is in force");
    }
    let of = |wanted: Fit, is_in_shadow: bool| -> Vec<u32> {
        let those = facts.signatures.iter().filter(|(_, signature)| {
            (signature.mode == Mode::Shadow as u32) == is_in_shadow && fit(facts, signature) == wanted
        });
        those.map(|(id, _)| *id).collect()
    };
    let (every, every_in_shadow) = (of(Fit::Every, false), of(Fit::Every, true));
    if !every.is_empty() {
        let why = format!("{} fits every packet of it", numbers(&every));
        return Stage::dropping("signatures", mode, Verdict::Signature, why).ending();
    }
    let (some, some_in_shadow) = (of(Fit::Depends, false), of(Fit::Depends, true));
    if some.is_empty() && !every_in_shadow.is_empty() {
        let why = format!(
            "{} fits every packet of it, and is only counted",
            numbers(&every_in_shadow)
        );
        return Stage::dropping("signatures", mode.at_most(Mode::Shadow), Verdict::Signature, why);
    }
    let may = [&some[..], &some_in_shadow[..], &every_in_shadow[..]].concat();
    if may.is_empty() {
        let why = format!("{count} in force, which are for others, or spare it");
        return Stage::new("signatures", Some(mode), Outcome::Passes, why);
    }
    let only_counted = match (some.is_empty(), mode) {
        (true, _) => "; only counted",
        _ => "",
    };
    let why = format!(
        "{} of {count} in force may fit: {}{only_counted} (`netguard signature list`)",
        may.len(),
        numbers(&may)
    );
    Stage::new("signatures", Some(mode), Outcome::Depends, why)
}

fn numbers(ids: &[u32]) -> String {
    ids.iter()
        .map(|id| format!("signature {id}"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn fit(facts: &Facts, signature: &Signature) -> Fit {
    // In shadow nobody is spared.
    let spares = signature.spares != 0 && signature.mode != Mode::Shadow as u32;
    let family = if facts.address.is_ipv4() { 4 } else { 6 };
    let of_family = FAMILY.of(&signature.mask);
    if FAMILY.of(&signature.value) != family & of_family || (spares && facts.is_proven) {
        return Fit::Never;
    }
    let mut others = signature.mask;
    others[FAMILY.word] &= !FAMILY.placed(FAMILY.most());
    // Who is spared is decided by what a service knows, too.
    match others.iter().all(|word| *word == 0) && !spares {
        true => Fit::Every,
        false => Fit::Depends,
    }
}
