//! Lists compiled for the kernel: any number of feeds, countries and autonomous systems become one sorted table of address
//! ranges, each with the policies that hold in it (`netguard_common::ranges`). No files, no clock, no kernel.

mod bounds;
mod lines;
mod slots;

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use netguard_common::{
    ranges::{
        LINES, Line, Mark, POLICIES, Policy,
        layout::{MARKS, V4_LINES, V6_BOUNDS},
    },
    rule::has_ended,
};

use crate::prefix::Prefix;

pub use slots::Slots;

/// Addresses, and what is done with them.
#[derive(Clone, Debug)]
pub struct Listing<'a> {
    pub effect: Effect,
    pub prefixes: Cow<'a, [Prefix]>,
}

/// What a listing does with its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// No list touches them.
    Spare,
    /// They are on a published list. Any one that is enforced decides, else the first in shadow.
    Feed { policy: Policy, shadow: bool },
    /// They belong to something with a policy. The one of the highest rank decides alone, the first among equals.
    Place {
        /// How closely it describes an address: an autonomous system more than a country.
        rank: u8,
        /// `None`: they pass.
        policy: Option<Policy>,
        shadow: bool,
    },
}

impl Effect {
    const fn policy(&self) -> Option<&Policy> {
        match self {
            Self::Spare => None,
            Self::Feed { policy, .. } => Some(policy),
            Self::Place { policy, .. } => policy.as_ref(),
        }
    }
}

/// A generation: what the kernel gets.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// As `netguard_common::ranges` describes them.
    pub lines: Arc<[Line]>,
    /// The hints that announce them, IPv6 ones for `seed`.
    pub slots: Slots,
    /// How many ranges of addresses there are.
    pub ranges: usize,
}

/// Why lists cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    #[error(
        "feeds, countries and autonomous systems are {0} policies together: at most {POLICIES} are possible"
    )]
    Policies(usize),
    #[error("the lists overlap in more than {MARKS} different ways: use fewer of them")]
    Marks,
    #[error("the lists need more than {V4_LINES} lines for their IPv4 ranges: use smaller ones")]
    V4Bounds,
    #[error("the lists have more than {V6_BOUNDS} bounds of IPv6 ranges: use smaller ones")]
    V6Bounds,
    #[error("the lists need more than {LINES} lines: use smaller ones")]
    Lines,
}

/// Compiles `listings`. The policy of listing i is number i of the generation. `seed` spreads the IPv6 hints.
///
/// # Errors
/// When there is more than a generation can hold.
pub fn compile(listings: &[Listing<'_>], seed: u64) -> Result<Compiled, CompileError> {
    if listings.len() > POLICIES as usize {
        return Err(CompileError::Policies(listings.len()));
    }
    if listings.is_empty() {
        return Ok(Compiled {
            lines: [lines::EMPTY].into(),
            slots: Slots::new(seed),
            ranges: 0,
        });
    }
    let effects: Vec<Effect> = listings.iter().map(|listing| listing.effect).collect();
    let mut marks = Marks::new(&effects);
    let v4 = bounds::v4(listings, &mut marks)?;
    let v6 = bounds::v6(listings, &mut marks)?;
    let mut slots = Slots::new(seed);
    slots.mark_v4(&v4);
    for listing in listings
        .iter()
        .filter(|listing| listing.effect.policy().is_some())
    {
        let prefixes = listing.prefixes.iter();
        prefixes
            .filter(|prefix| prefix.address().is_ipv6())
            .for_each(|prefix| slots.mark_v6(*prefix));
    }
    Ok(Compiled {
        ranges: bounds::marked(&v4) + bounds::marked(&v6),
        lines: lines::lay_out(&effects, &marks.list, &v4, &v6)?.into(),
        slots,
    })
}

/// The verdict on packets of an address whose listings have `effects`, behind `shadow-` when it is only counted; `None` when
/// no listing is against them, or all of those have ended at `now_ns`.
pub fn verdict_of(effects: &[Effect], now_ns: u64) -> Option<String> {
    let active: Vec<u16> = (0..effects.len() as u16).collect();
    let mark = Marks::new(effects).resolve(&active);
    let name = |number: u16| {
        let policy = effects.get(usize::from(number.checked_sub(1)?))?.policy()?;
        (!has_ended(policy.expires_at, now_ns)).then(|| policy.subject.verdict().name())
    };
    let shadow = || name(mark.shadow).map(|name| format!("shadow-{name}"));
    name(mark.enforced).map(str::to_owned).or_else(shadow)
}

/// The sets of policies that occur, numbered.
struct Marks<'a> {
    effects: &'a [Effect],
    list: Vec<Mark>,
    numbers: HashMap<Mark, u16>,
}

impl<'a> Marks<'a> {
    fn new(effects: &'a [Effect]) -> Self {
        Self {
            effects,
            list: vec![Mark::default()],
            numbers: HashMap::from([(Mark::default(), 0)]),
        }
    }

    /// The number of the mark of addresses that all listings in `active` hold, in their order.
    fn number(&mut self, active: &[u16]) -> Result<u16, CompileError> {
        let mark = self.resolve(active);
        if let Some(number) = self.numbers.get(&mark) {
            return Ok(*number);
        }
        if self.list.len() >= MARKS as usize {
            return Err(CompileError::Marks);
        }
        let number = self.list.len() as u16;
        self.list.push(mark);
        self.numbers.insert(mark, number);
        Ok(number)
    }

    fn resolve(&self, active: &[u16]) -> Mark {
        let mut mark = Mark::default();
        let mut place: Option<(u8, u16, bool, bool)> = None;
        for &index in active {
            match self.effects[usize::from(index)] {
                Effect::Spare => return Mark::default(),
                Effect::Feed { shadow, .. } => mark.add(index, shadow),
                Effect::Place { rank, policy, shadow } => {
                    if place.is_none_or(|(highest, ..)| rank > highest) {
                        place = Some((rank, index, policy.is_some(), shadow));
                    }
                }
            }
        }
        if let Some((_, index, true, shadow)) = place {
            mark.add(index, shadow);
        }
        mark
    }
}

/// Adds a listing to a mark where its place is free.
trait Add {
    fn add(&mut self, index: u16, shadow: bool);
}

impl Add for Mark {
    fn add(&mut self, index: u16, shadow: bool) {
        let place = if shadow {
            &mut self.shadow
        } else {
            &mut self.enforced
        };
        if *place == 0 {
            *place = index + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use netguard_common::{
        Judgement, Verdict, decide,
        layout::{Mode, Rate, Settings},
        memory::Memory,
        ranges::{Subject, layout::MARKED},
        view::SliceView,
    };

    use super::*;

    fn prefixes(texts: &[&str]) -> Vec<Prefix> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    const fn policy(subject: Subject) -> Policy {
        Policy {
            subject,
            expires_at: 0,
            // One packet is one too many.
            rate: Rate {
                interval_ns: 2,
                tolerance_ns: 1,
            },
            spares: false,
        }
    }

    fn listing(effect: Effect, texts: &[&str]) -> Listing<'static> {
        Listing {
            effect,
            prefixes: prefixes(texts).into(),
        }
    }

    const fn feed(shadow: bool) -> Effect {
        Effect::Feed {
            policy: policy(Subject::Feed),
            shadow,
        }
    }

    fn place(rank: u8, subject: Option<Subject>) -> Effect {
        Effect::Place {
            rank,
            policy: subject.map(policy),
            shadow: false,
        }
    }

    /// What becomes of an empty packet from `source`.
    fn judged(compiled: &Compiled, source: &str) -> Judgement {
        let mut memory = Memory::new(Settings {
            sanity: Mode::Off as u32,
            ..Memory::enforcing()
        });
        memory.generation = Some(compiled.lines.clone());
        let frame = match source.parse().unwrap() {
            IpAddr::V4(source) => [
                &[0; 12][..],
                &[8, 0, 0x45, 0, 0, 20, 0, 0, 0, 0, 64, 253, 0, 0],
                &source.octets(),
                &[9; 4],
            ]
            .concat(),
            IpAddr::V6(source) => [
                &[0; 12][..],
                &[0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 253, 64],
                &source.octets(),
                &[9; 16],
            ]
            .concat(),
        };
        decide(&SliceView(&frame), &memory)
    }

    #[test]
    fn each_address_meets_the_lists_that_hold_it() {
        let compiled = compile(
            &[
                listing(
                    feed(false),
                    &["192.0.2.0/25", "192.0.2.7", "10.0.0.0/8", "2001:db8::/32", "::/0"],
                ),
                listing(feed(true), &["192.0.2.64/26", "198.51.100.1", "2001:db8:1::/48"]),
                listing(Effect::Spare, &["192.0.2.100", "2001:db8::1", "fe80::/10"]),
            ],
            7,
        )
        .unwrap();
        let judgement = |verdict, shadow| Judgement { verdict, shadow };
        let none = judgement(Verdict::Pass, false);
        let block = judgement(Verdict::BlockFeed, false);
        let shadow = judgement(Verdict::BlockFeed, true);
        for (source, wanted) in [
            ("192.0.2.0", block),
            ("192.0.2.7", block),
            ("192.0.2.63", block),
            ("192.0.2.64", block),
            ("192.0.2.99", block),
            ("192.0.2.100", none),
            ("192.0.2.101", block),
            ("192.0.2.127", block),
            ("192.0.2.128", none),
            ("9.255.255.255", none),
            ("10.0.0.0", block),
            ("10.77.0.1", block),
            ("10.255.255.255", block),
            ("11.0.0.0", none),
            ("198.51.100.1", shadow),
            ("198.51.100.2", none),
            ("255.255.255.255", none),
            ("2001:db8::1", none),
            ("2001:db8::2", block),
            ("2001:db8:1::", block),
            ("fe80::1", none),
            ("::", block),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", block),
        ] {
            assert_eq!(judged(&compiled, source), wanted, "{source}");
        }
    }

    #[test]
    fn the_closest_description_of_a_place_decides() {
        let compiled = compile(
            &[
                listing(place(0, Some(Subject::CountryBlock)), &["0.0.0.0/0", "::/0"]),
                listing(place(1, Some(Subject::CountryLimit)), &["20.0.0.0/8"]),
                listing(place(1, None), &["30.0.0.0/8"]),
                listing(place(2, Some(Subject::AsnBlock)), &["30.5.0.0/16"]),
                listing(place(2, None), &["20.6.0.0/16"]),
            ],
            7,
        )
        .unwrap();
        for (source, wanted) in [
            ("40.0.0.1", Verdict::BlockCountry),
            ("2001:db8::1", Verdict::BlockCountry),
            ("20.0.0.1", Verdict::LimitCountry),
            ("30.0.0.1", Verdict::Pass),
            ("30.5.0.1", Verdict::BlockAsn),
            ("20.6.0.1", Verdict::Pass),
        ] {
            assert_eq!(judged(&compiled, source).verdict, wanted, "{source}");
        }
    }

    /// Found in review: whoever changed marks took what lies behind them for marks, too.
    #[test]
    fn a_generation_tells_which_lines_are_marks() {
        let effects = [feed(false), feed(true), feed(false), Effect::Spare];
        let listings = effects.map(|effect| listing(effect, &["192.0.2.0/24", "2001:db8:101::/48"]));
        for (count, expected) in [(1, 2), (2, 2), (4, 1)] {
            let compiled = compile(&listings[..count], 7).unwrap();
            assert_eq!(compiled.lines[0][MARKED], expected, "{count}");
        }
        assert_eq!(compile(&[], 7).unwrap().lines[0][MARKED], 0);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let many = vec![listing(feed(false), &["192.0.2.1"]); POLICIES as usize + 1];
        assert_eq!(compile(&many, 7).err(), Some(CompileError::Policies(many.len())));
        assert!(compile(&many[1..], 7).is_ok());
    }
}
