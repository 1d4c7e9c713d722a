//! The two lists, and what stands on them.

use netguard_common::{layout::Rule, maps::Table};

use crate::prefix::Prefix;

/// Which list a rule stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    Allow,
    Block,
}

impl List {
    /// The word for it in messages and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
        }
    }

    pub(super) const fn tables(self) -> &'static [Table] {
        match self {
            Self::Allow => &[Table::AllowV4, Table::AllowV6],
            Self::Block => &[
                Table::BlockV4,
                Table::BlockV6,
                Table::BlockV6Net64,
                Table::BlockNetV4,
                Table::BlockWideV4,
                Table::BlockNetV6,
            ],
        }
    }
}

/// A rule with the prefix it is for, and the operator's words about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub prefix: Prefix,
    pub rule: Rule,
    pub note: Option<String>,
}
