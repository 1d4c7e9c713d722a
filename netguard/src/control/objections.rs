//! What guards say against additions to the blocklist. All of it is told at once, apart by who objects, and each can be overridden by
//! itself.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::RuleAddition;
use crate::{
    engine::{Guard, GuardKind},
    prefix::Prefix,
};

/// So many of each kind are told; of the others only how many there are.
const FEW: usize = 5;

/// Who objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objector {
    /// Whoever asks would lock somebody out, perhaps themselves: this machine cannot do without.
    LockOut,
    /// A feed with `action = "never-block"`.
    NeverBlock,
}

/// Whose objections are overridden. In JSON `true`, `false`, or the word of the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub enum Force {
    #[default]
    #[value(skip)]
    Nothing,
    /// That this machine cannot do without: its addresses, gateways, name servers, people who are logged in.
    LockOut,
    /// That a feed says never to block.
    NeverBlock,
    /// Both.
    All,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Whole(bool),
    One(Objector),
}

impl From<Written> for Force {
    fn from(written: Written) -> Self {
        match written {
            Written::Whole(false) => Self::Nothing,
            Written::Whole(true) => Self::All,
            Written::One(Objector::LockOut) => Self::LockOut,
            Written::One(Objector::NeverBlock) => Self::NeverBlock,
        }
    }
}

impl From<Force> for Written {
    fn from(force: Force) -> Self {
        match force {
            Force::Nothing => Self::Whole(false),
            Force::All => Self::Whole(true),
            Force::LockOut => Self::One(Objector::LockOut),
            Force::NeverBlock => Self::One(Objector::NeverBlock),
        }
    }
}

impl Force {
    pub const fn overrides(self, objector: Objector) -> bool {
        match self {
            Self::Nothing => false,
            Self::All => true,
            Self::LockOut => matches!(objector, Objector::LockOut),
            Self::NeverBlock => matches!(objector, Objector::NeverBlock),
        }
    }
}

impl Objector {
    /// Who overrides this and nothing else.
    const fn option(self) -> &'static str {
        match self {
            Self::LockOut => "--force=lock-out",
            Self::NeverBlock => "--force=never-block",
        }
    }
}

/// What is said against one addition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objection {
    /// Which of the additions, from 0.
    pub index: usize,
    pub prefix: Prefix,
    pub by: Objector,
    /// A sentence without its end.
    pub why: String,
}

/// What is said against additions: the first few of each kind, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objections {
    pub first: Vec<Objection>,
    pub lock_out: usize,
    pub never_block: usize,
}

impl Objections {
    /// Takes in what `objector` says by its `guard` of `additions` that do not override it; `sentence` tells what is said of a prefix that
    /// touches one that is guarded.
    pub(super) fn find(
        &mut self,
        objector: Objector,
        guard: &Guard,
        additions: &[RuleAddition],
        mut sentence: impl FnMut(Prefix, Prefix, GuardKind) -> String,
    ) {
        let is_theirs = |kind: GuardKind| match objector {
            Objector::LockOut => kind.is_essential(),
            Objector::NeverBlock => kind == GuardKind::NeverBlockList,
        };
        for (index, addition) in additions.iter().enumerate() {
            let prefix = addition.prefix;
            let objection = guard.objection(&prefix).filter(|(_, kind)| is_theirs(*kind));
            if let Some((guarded, kind)) = objection.filter(|_| !addition.force.overrides(objector)) {
                self.add(objector, index, prefix, || sentence(prefix, guarded, kind));
            }
        }
    }

    /// Takes in that `objector` objects to the addition of `prefix`.
    pub fn add(&mut self, objector: Objector, index: usize, prefix: Prefix, why: impl FnOnce() -> String) {
        let count = match objector {
            Objector::LockOut => &mut self.lock_out,
            Objector::NeverBlock => &mut self.never_block,
        };
        *count += 1;
        if *count <= FEW {
            self.first.push(Objection {
                index,
                prefix,
                by: objector,
                why: why(),
            });
        }
    }

    pub const fn is_empty(&self) -> bool {
        self.lock_out + self.never_block == 0
    }

    /// The first addition of which something is said.
    pub fn index(&self) -> Option<usize> {
        self.first.iter().map(|objection| objection.index).min()
    }

    /// For people; `place` says where an addition stands. Of several each has a line.
    pub fn text<'a>(&self, place: impl Fn(usize) -> Option<&'a str>) -> String {
        let line = |objection: &Objection| match place(objection.index) {
            Some(place) => format!("{place}: {}", objection.why),
            None => objection.why.clone(),
        };
        if let ([only], 1) = (&self.first[..], self.lock_out + self.never_block) {
            return format!("{}: add {} if you mean it", line(only), only.by.option());
        }
        let mut lines = Vec::new();
        for (objector, count) in [
            (Objector::LockOut, self.lock_out),
            (Objector::NeverBlock, self.never_block),
        ] {
            let theirs = self.first.iter().filter(|objection| objection.by == objector);
            lines.extend(theirs.map(line));
            if count > FEW {
                lines.push(format!("and {} more of that kind", count - FEW));
            }
            if count > 0 {
                let option = objector.option();
                lines.push(format!(
                    "add {option} if you mean it, or leave out what this is about"
                ));
            }
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addition(text: &str, force: Force) -> RuleAddition {
        RuleAddition {
            prefix: text.parse().expect("a prefix"),
            ttl_s: None,
            note: None,
            force,
        }
    }

    fn found(additions: &[RuleAddition]) -> Objections {
        let guard = Guard::new([
            ("192.0.2.1".parse().expect("a prefix"), GuardKind::Gateway),
            ("2001:db8::1".parse().expect("a prefix"), GuardKind::Session),
            (
                "203.0.113.9".parse().expect("a prefix"),
                GuardKind::NeverBlockList,
            ),
        ]);
        let mut objections = Objections::default();
        for objector in [Objector::LockOut, Objector::NeverBlock] {
            objections.find(objector, &guard, additions, |prefix, guarded, kind| {
                format!("{prefix} touches {guarded}, {}", kind.describe())
            });
        }
        objections
    }

    #[test]
    fn each_guard_is_overridden_by_itself() {
        for (force, expected) in [
            (Force::Nothing, (1, 1)),
            (Force::LockOut, (0, 1)),
            (Force::NeverBlock, (1, 0)),
            (Force::All, (0, 0)),
        ] {
            let objections = found(&[
                addition("192.0.2.0/24", force),
                addition("203.0.113.0/24", force),
                addition("198.51.100.0/24", force),
            ]);
            assert_eq!(
                (objections.lock_out, objections.never_block),
                expected,
                "{force:?}"
            );
            assert_eq!(objections.is_empty(), force == Force::All);
        }
    }

    /// Found in review: one prefix was named, however many were refused, and not which guard it was that objected.
    #[test]
    fn the_first_few_are_told_and_how_many_there_are() {
        let one = found(&[
            addition("198.18.0.1", Force::Nothing),
            addition("203.0.113.9", Force::Nothing),
        ]);
        assert_eq!(one.index(), Some(1));
        let told = one.text(|index| (index == 1).then_some("list:2"));
        assert!(
            told.starts_with("list:2: 203.0.113.9/32 touches")
                && told.ends_with(": add --force=never-block if you mean it"),
            "{told}"
        );
        let mut many = vec![addition("203.0.113.9", Force::Nothing)];
        many.extend((0..20).map(|_| addition("2001:db8::/64", Force::Nothing)));
        let many = found(&many);
        assert_eq!(
            (many.first.len(), many.lock_out, many.never_block),
            (FEW + 1, 20, 1)
        );
        let told = many.text(|_| None);
        assert_eq!(told.lines().count(), FEW + 4, "{told}");
        assert!(
            told.contains("and 15 more of that kind\nadd --force=lock-out")
                && told.contains("add --force=never-block"),
            "{told}"
        );
    }

    #[test]
    fn what_was_written_before_means_the_same() {
        for (force, written) in [
            (Force::Nothing, "false"),
            (Force::All, "true"),
            (Force::LockOut, "\"lock-out\""),
            (Force::NeverBlock, "\"never-block\""),
        ] {
            assert_eq!(serde_json::to_string(&force).expect("JSON"), written);
            assert_eq!(serde_json::from_str::<Force>(written).expect("JSON"), force);
        }
        assert!(serde_json::from_str::<Force>("\"both\"").is_err());
    }
}
