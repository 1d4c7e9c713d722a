//! Drafts of signatures: from packets of an attack and packets of calm times, the conjunction of header fields that most of the
//! attack has and ordinary packets do not. It installs nothing.
//!
//! Greedy: of all single conditions the one is taken that keeps most of the attack by what it keeps of ordinary packets, until few
//! enough of these are left; then every condition that the rest of the attack fulfils anyway, which costs nothing and makes a
//! mistake less likely.

mod condition;

use std::{collections::BTreeMap, fmt};

use netguard_common::{
    layout::Mode,
    packet::protocol,
    shared::Field as _,
    signature::{FAMILY, PORT, PROTOCOL, Signature, WORDS},
};

use super::{
    Account,
    peace::{Peace, Share, share},
    seen::{Seen, Stratum},
};
use condition::{Condition, candidates};

/// Packets of an attack that a draft must be made of, and fit.
const LEAST: usize = 48;
/// The part of the attack that a signature must fit to be of use.
const LEAST_PART: f64 = 0.3;
/// The part of ordinary packets of the kind that it may fit.
pub const COLLATERAL: f64 = 0.001;
/// The part of those to any one port that a signature for all ports may fit.
const ONE_SERVICE: f64 = 0.01;
/// Ordinary packets that must be known to the port, or for a signature for all ports, of the kind; for a kind without ports that is
/// seldom, of all kinds together.
const KNOWN: usize = 128;
const KNOWN_AT_ALL: usize = 512;
/// Packets of one source of which a draft may be made: what a few send, limits are for.
const OF_ONE: usize = 4;
/// A condition that so much of the rest fulfils is taken for free.
const FREE: f64 = 0.995;
/// Drafts for one attack.
const DRAFTS: usize = 4;

/// A signature that can be installed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draft {
    /// Its mode is to enforce, and it does not end.
    pub signature: Signature,
    /// Packets of the attack that it fits.
    pub covers: Share,
    /// Ordinary packets of the same kind that it would fit whatever port it is for: those to the same port, and those to others.
    pub collateral: Share,
    pub elsewhere: Share,
}

/// Why there is no draft.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NoDraft {
    /// Too few packets of the attack were seen.
    FewPackets { seen: usize },
    /// Too few ordinary packets of the kind are known to tell what it would hit.
    Unknown { known: usize },
    /// What most of the attack has in common ordinary packets have, too.
    Alike { part: f64 },
    /// The one that was found fitted packets of clients that are connected.
    Withdrawn,
    /// Those that were found did not fit what came next.
    Unfit,
    /// Somebody took one back.
    Given,
}

impl fmt::Display for NoDraft {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FewPackets { seen } => {
                write!(out, "{seen} of its packets were looked at, {LEAST} are needed")
            }
            Self::Unknown { known } => write!(
                out,
                "{known} ordinary packets to the port are known, {KNOWN} are needed to tell what a signature would hit"
            ),
            Self::Withdrawn => {
                out.write_str("the one that was found fitted packets of clients that are connected")
            }
            Self::Unfit => out.write_str("those that were found did not fit what came next"),
            Self::Given => out.write_str("somebody took one back"),
            Self::Alike { part } => write!(
                out,
                "what its packets have in common {:.1} % of the ordinary ones have, too",
                part * 100.0
            ),
        }
    }
}

/// Drafts for the packets `attack`, the one that covers most first. They may be mixed with ordinary ones.
///
/// # Errors
/// Why there is none.
pub fn drafts(attack: &[Seen], peace: &Peace) -> Result<Vec<Draft>, NoDraft> {
    let mut sources = BTreeMap::<Account, usize>::new();
    let mut is_one_of_many = |seen: &&Seen| {
        let count = sources.entry(Account::of(seen.source)).or_default();
        *count += 1;
        *count <= OF_ONE
    };
    let mut rest: Vec<Seen> = attack.iter().filter(&mut is_one_of_many).copied().collect();
    let mut drafts: Vec<Draft> = Vec::new();
    while drafts.len() < DRAFTS {
        let draft = match draft(&rest, peace) {
            Ok(draft) => draft,
            Err(why) if drafts.is_empty() => return Err(why),
            Err(_) => break,
        };
        rest.retain(|seen| !draft.signature.fits(&seen.vector));
        let covers = Share {
            of: attack.len(),
            ..draft.covers
        };
        drafts.push(Draft { covers, ..draft });
    }
    Ok(drafts)
}

fn draft(attack: &[Seen], peace: &Peace) -> Result<Draft, NoDraft> {
    let (stratum, is_one_port) = main_stratum(attack).ok_or(NoDraft::FewPackets { seen: attack.len() })?;
    let like = |seen: &Seen| {
        let of = seen.stratum;
        (of.protocol, of.opening) == (stratum.protocol, stratum.opening)
            && (!is_one_port || of.port == stratum.port)
    };
    let packets: Vec<[u64; WORDS]> = attack
        .iter()
        .filter(|seen| like(seen))
        .map(|seen| seen.vector)
        .collect();
    if packets.len() < LEAST {
        return Err(NoDraft::FewPackets { seen: packets.len() });
    }
    let (own, others) = peace.like(stratum);
    // Clients of other ports say nothing of this one's.
    let ordinary = if is_one_port {
        own.clone()
    } else {
        [&own[..], &others].concat()
    };
    let has_ports = matches!(stratum.protocol, protocol::TCP | protocol::UDP);
    let is_rare = !has_ports && own.is_empty() && peace.len() >= KNOWN_AT_ALL;
    if ordinary.len() < KNOWN && !is_rare {
        return Err(NoDraft::Unknown {
            known: ordinary.len(),
        });
    }
    let mut signature = narrow(base(&packets, stratum), &packets, &ordinary)?;
    let (collateral, elsewhere) = (share(&signature, &own), share(&signature, &others));
    if is_one_port {
        Condition::field(&PORT, u64::from(stratum.port)).add_to(&mut signature);
    } else {
        // No service may be hit much more than others are.
        let worst = peace.worst(&signature, stratum);
        if worst > ONE_SERVICE {
            return Err(NoDraft::Alike { part: worst });
        }
    }
    let draft = Draft {
        signature,
        covers: share(&signature, &packets),
        collateral,
        elsewhere,
    };
    if draft.covers.hits < LEAST {
        return Err(NoDraft::FewPackets {
            seen: draft.covers.hits,
        });
    }
    Ok(draft)
}

/// The stratum that most of `attack` is of; false: its packets go to many ports.
fn main_stratum(attack: &[Seen]) -> Option<(Stratum, bool)> {
    let most = |key: fn(&Seen) -> Stratum| {
        let mut counts = BTreeMap::<Stratum, usize>::new();
        for seen in attack {
            *counts.entry(key(seen)).or_default() += 1;
        }
        counts.into_iter().max_by_key(|(_, count)| *count)
    };
    let (kind, of_kind) = most(|seen| Stratum {
        port: 0,
        ..seen.stratum
    })?;
    let (stratum, count) = most(|seen| seen.stratum)?;
    let is_one_port = stratum.port != 0 && count * 2 >= of_kind;
    Some(if is_one_port {
        (stratum, true)
    } else {
        (kind, false)
    })
}

/// What tells the kind of the packets but for their port: the protocol, and the family if they have one.
fn base(packets: &[[u64; WORDS]], stratum: Stratum) -> Signature {
    let mut signature = Signature {
        mode: Mode::Enforce as u32,
        // A guess judges nobody who is known.
        spares: 1,
        ..Signature::ZERO
    };
    Condition::field(&PROTOCOL, u64::from(stratum.protocol)).add_to(&mut signature);
    let family = FAMILY.of(&packets[0]);
    if packets.iter().all(|vector| FAMILY.of(vector) == family) {
        Condition::field(&FAMILY, family).add_to(&mut signature);
    }
    signature
}

/// `signature`, narrowed until it fits few enough of the `ordinary` packets.
fn narrow(
    mut signature: Signature,
    packets: &[[u64; WORDS]],
    ordinary: &[[u64; WORDS]],
) -> Result<Signature, NoDraft> {
    let fitting = |signature: &Signature, vectors: &[[u64; WORDS]]| -> Vec<[u64; WORDS]> {
        vectors
            .iter()
            .filter(|vector| signature.fits(vector))
            .copied()
            .collect()
    };
    let mut kept = fitting(&signature, packets);
    let mut hit = fitting(&signature, ordinary);
    let part = |hit: &[[u64; WORDS]]| hit.len() as f64 / ordinary.len().max(1) as f64;
    let most_lost = (packets.len() as f64 * LEAST_PART) as usize;
    while part(&hit) > COLLATERAL {
        let best = candidates(&kept)
            .into_iter()
            .filter_map(|condition| {
                let keeps = condition.count(&kept);
                let hits = condition.count(&hit);
                // One that spares no ordinary packet leads nowhere.
                let is_of_use = keeps >= most_lost.max(LEAST) && hits < hit.len();
                let gain = keeps as f64 / kept.len() as f64 - hits as f64 / hit.len() as f64;
                is_of_use.then_some((gain, condition))
            })
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(gain, _)| *gain > 0.0);
        let Some((_, condition)) = best else {
            return Err(NoDraft::Alike { part: part(&hit) });
        };
        condition.add_to(&mut signature);
        kept.retain(|vector| condition.fits(vector));
        hit.retain(|vector| condition.fits(vector));
    }
    let least = (kept.len() as f64 * FREE).ceil() as usize;
    for condition in candidates(&kept) {
        if condition.count(&kept) >= least {
            condition.add_to(&mut signature);
        }
    }
    if condition::is_ordinary(&signature) {
        return Err(NoDraft::Alike { part: 1.0 });
    }
    Ok(signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::{peace::tests::seen_at, seen::tests::syn},
        signature::conditions,
    };

    /// SYNs of ordinary clients: three systems, with options.
    fn clients(count: usize) -> Vec<Seen> {
        let client = |index: usize| {
            let (ttl, window, options) = [(64, 64_240, 20), (128, 65_535, 12), (64, 29_200, 20)][index % 3];
            seen_at(
                index as u64 / 8,
                &syn(index as u8, ttl - index as u8 % 20, window, options),
            )
        };
        (0..count).map(client).collect()
    }

    fn peace(count: usize) -> Peace {
        let mut peace = Peace::new(7);
        clients(count).iter().for_each(|seen| peace.learn(seen));
        peace.settle(u64::MAX);
        peace
    }

    /// SYNs of a tool: no options, one window, any TTL.
    fn flood(count: usize, window: u16) -> Vec<Seen> {
        (0..count)
            .map(|index| seen_at(1_000, &syn(index as u8, 40 + (index * 7 % 90) as u8, window, 0)))
            .collect()
    }

    #[test]
    fn a_tool_is_told_from_clients() {
        let attack: Vec<Seen> = flood(300, 512).into_iter().chain(clients(60)).collect();
        let drafts = drafts(&attack, &peace(600)).expect("a draft");
        let draft = drafts[0];
        assert_eq!(draft.covers, Share { hits: 300, of: 360 });
        assert_eq!((draft.collateral.hits, draft.elsewhere.hits), (0, 0));
        let words = conditions(&draft.signature);
        for condition in ["protocol=tcp", "port=80", "window=512", "header-length=20"] {
            assert!(words.iter().any(|word| word == condition), "{words:?}");
        }
        assert!(!words.iter().any(|word| word.starts_with("ttl")), "{words:?}");
        assert_eq!(drafts.len(), 1, "the rest are clients");
    }

    #[test]
    fn two_tools_are_two_signatures() {
        let attack: Vec<Seen> = flood(200, 512).into_iter().chain(flood(150, 1_024)).collect();
        let drafts = drafts(&attack, &peace(600)).expect("drafts");
        // What both have in common is enough for one, unless ordinary packets have it, too.
        let covered: usize = drafts.iter().map(|draft| draft.covers.hits).sum();
        assert_eq!(covered, 350);
    }

    #[test]
    fn clients_are_no_attack() {
        assert!(matches!(
            drafts(&clients(400), &peace(600)),
            Err(NoDraft::Alike { .. })
        ));
    }

    /// Found in review: packets to other ports stood in for those of a port that nobody had asked.
    #[test]
    fn a_port_that_nobody_is_known_to_ask_has_no_signature() {
        let to_ssh = |mut frame: Vec<u8>| {
            frame[36..38].copy_from_slice(&22_u16.to_be_bytes());
            frame
        };
        let attack: Vec<Seen> = (0..300)
            .map(|index| seen_at(1_000, &to_ssh(syn(index as u8, 64, 512, 20))))
            .collect();
        assert_eq!(
            drafts(&attack, &peace(600)).unwrap_err(),
            NoDraft::Unknown { known: 0 }
        );
    }

    #[test]
    fn of_what_one_source_sends_there_is_none() {
        let attack: Vec<Seen> = (0..300).map(|_| seen_at(1_000, &syn(7, 99, 512, 0))).collect();
        assert_eq!(
            drafts(&attack, &peace(600)).unwrap_err(),
            NoDraft::FewPackets { seen: OF_ONE }
        );
    }

    #[test]
    fn without_knowledge_there_is_none() {
        assert_eq!(
            drafts(&flood(300, 512), &Peace::new(1)).unwrap_err(),
            NoDraft::Unknown { known: 0 }
        );
        assert!(matches!(
            drafts(&flood(40, 512), &peace(600)),
            Err(NoDraft::FewPackets { seen: 40 })
        ));
        assert!(matches!(
            drafts(&[], &peace(600)),
            Err(NoDraft::FewPackets { seen: 0 })
        ));
    }
}
