//! The tables of rules: their maps, and the hints that announce them.

use crate::hint;

/// Rule tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    AllowV4,
    AllowV6,
    BlockV4,
    BlockV6,
    BlockV6Net64,
    BlockNetV4,
    BlockWideV4,
    BlockNetV6,
}

impl Table {
    pub const ALL: [Self; 8] = [
        Self::AllowV4,
        Self::AllowV6,
        Self::BlockV4,
        Self::BlockV6,
        Self::BlockV6Net64,
        Self::BlockNetV4,
        Self::BlockWideV4,
        Self::BlockNetV6,
    ];

    /// The hint that announces the table's rules.
    pub const fn hint(self) -> u8 {
        match self {
            Self::AllowV4 | Self::AllowV6 => hint::ALLOW,
            Self::BlockV4 | Self::BlockV6 | Self::BlockV6Net64 => hint::ADDRESS,
            Self::BlockNetV4 | Self::BlockNetV6 => hint::PREFIX,
            Self::BlockWideV4 => hint::BLOCKED,
        }
    }

    /// Whether its rules are for addresses or IPv6 /64s, which have lines, too: see [`crate::exact`].
    pub const fn is_exact(self) -> bool {
        self.hint() == hint::ADDRESS
    }

    /// Name of the map that holds the table.
    pub const fn map(self) -> &'static str {
        match self {
            Self::AllowV4 => "ALLOW_V4",
            Self::AllowV6 => "ALLOW_V6",
            Self::BlockV4 => "BLOCK_V4",
            Self::BlockV6 => "BLOCK_V6",
            Self::BlockV6Net64 => "BLOCK_V6_NET64",
            Self::BlockNetV4 => "BLOCK_NET_V4",
            Self::BlockWideV4 => "BLOCK_WIDE_V4",
            Self::BlockNetV6 => "BLOCK_NET_V6",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{layout::Rule, maps::MAPS};

    #[test]
    fn every_rule_table_is_a_map_of_the_catalogue() {
        for table in Table::ALL {
            let spec = MAPS.iter().find(|spec| spec.name == table.map()).unwrap();
            assert_eq!(spec.value_size as usize, size_of::<Rule>());
        }
    }
}
