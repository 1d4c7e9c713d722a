//! Adds, removes and lists rules of the allowlist and the blocklist in their kernel tables.
//!
//! A trie answers with the longest prefix only, so a rule that ends early must not hide a wider one that
//! lasts longer: such a rule is not inserted, and wider rules replace those narrower ones that would end
//! before them. Permanent rules hide nothing and always stay.

use std::net::IpAddr;

use aya::maps::{Array, MapData};
use netguard_common::{layout::Rule, maps::Table, rule::Origin};

use super::{
    BpfError, Pins,
    hiding::{covered_by, hidden, outlasts},
    notes::Notes,
    storage::{Storage, table_of},
};
use crate::{clock::monotonic_ns, prefix::Prefix};

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

    const fn tables(self) -> &'static [Table] {
        match self {
            Self::Allow => &[Table::AllowV4, Table::AllowV6],
            Self::Block => &[
                Table::BlockV4,
                Table::BlockV6,
                Table::BlockV6Net64,
                Table::BlockNetV4,
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

/// What an insertion did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InsertOutcome {
    /// The rule stands, in place of an older one for the same prefix if there was one.
    Added,
    /// Nothing was changed: this wider rule says the same and lasts at least as long.
    CoveredBy(Prefix),
}

/// Insertions into one list; without [`Batch::finish`] rules that they hide stay.
pub struct Batch<'a> {
    rules: &'a mut Rules,
    list: List,
    tries: bool,
}

impl Batch<'_> {
    /// [`Rules::insert`].
    ///
    /// # Errors
    /// As for that; the insertions before it are in force.
    pub fn insert(
        &mut self,
        prefix: Prefix,
        rule: Rule,
        note: Option<&str>,
    ) -> Result<InsertOutcome, BpfError> {
        self.tries |= self.rules.storage(table_of(self.list, prefix))?.is_trie();
        self.rules.put(self.list, prefix, rule, note)
    }

    /// Removes what the new rules hide.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn finish(self) -> Result<(), BpfError> {
        if self.tries {
            self.rules.drop_hidden(self.list)?;
        }
        Ok(())
    }
}

/// The rule tables of an instance.
pub struct Rules {
    tables: Vec<(Table, Storage)>,
    in_use: Array<MapData, u32>,
    notes: Notes,
}

impl Rules {
    /// Opens the pinned tables.
    ///
    /// # Errors
    /// When nothing is pinned or it may not be opened.
    pub fn open(pins: &Pins) -> Result<Self, BpfError> {
        let tables = Table::ALL
            .iter()
            .map(|&table| Ok((table, Storage::open(pins, table)?)))
            .collect::<Result<_, BpfError>>()?;
        let in_use = pins
            .open("IN_USE")?
            .try_into()
            .map_err(BpfError::map("IN_USE", 0))?;
        Ok(Self {
            tables,
            in_use,
            notes: Notes::open(pins)?,
        })
    }

    /// Puts `rule` for `prefix` on `list`, in place of an older rule for the same prefix.
    ///
    /// # Errors
    /// [`BpfError::Full`] when the table is full: nothing was changed then.
    pub fn insert(
        &mut self,
        list: List,
        prefix: Prefix,
        rule: Rule,
        note: Option<&str>,
    ) -> Result<InsertOutcome, BpfError> {
        let mut batch = self.batch(list);
        let outcome = batch.insert(prefix, rule, note)?;
        batch.finish()?;
        Ok(outcome)
    }

    /// [`Rules::insert`], unless a rule for exactly `prefix` lasts at least as long already or was made by a person.
    ///
    /// # Errors
    /// As for [`Rules::insert`].
    pub fn insert_unless_outlasted(
        &mut self,
        list: List,
        prefix: Prefix,
        rule: Rule,
    ) -> Result<(), BpfError> {
        let table = table_of(list, prefix);
        let standing = self.storage(table)?.exact(table, prefix)?;
        // A person's rule stays as it is: a detector's would spare connections that theirs does not.
        let theirs =
            |standing: &Rule| standing.origin != Origin::Detector as u8 && !standing.expired(monotonic_ns());
        if standing.is_some_and(|standing| theirs(&standing) || outlasts(&standing, &rule)) {
            return Ok(());
        }
        self.insert(list, prefix, rule, None).map(|_| ())
    }

    /// Begins insertions into `list` that are finished together: what they hide is looked for once.
    pub fn batch(&mut self, list: List) -> Batch<'_> {
        Batch {
            rules: self,
            list,
            tries: false,
        }
    }

    /// [`Rules::insert`] for many prefixes under one rule.
    ///
    /// # Errors
    /// As for one; the prefixes before the one that failed are in force.
    pub fn insert_all(
        &mut self,
        list: List,
        prefixes: impl IntoIterator<Item = Prefix>,
        rule: Rule,
    ) -> Result<(), BpfError> {
        let mut batch = self.batch(list);
        for prefix in prefixes {
            batch.insert(prefix, rule, None)?;
        }
        batch.finish()
    }

    /// Removes the rule for exactly `prefix`; false when there is none.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove(&mut self, list: List, prefix: Prefix) -> Result<bool, BpfError> {
        let table = table_of(list, prefix);
        let removed = self.storage(table)?.remove(table, prefix)?;
        self.notes.write(list, prefix, None)?;
        Ok(removed)
    }

    /// The rules of `list` that have not ended at `now_ns`, sorted by prefix.
    ///
    /// # Errors
    /// When the kernel refuses a read.
    pub fn list(&self, list: List, now_ns: u64) -> Result<Vec<Entry>, BpfError> {
        self.list_where(list, |_, rule| !rule.expired(now_ns))
    }

    /// Removes the rules that ended before `now_ns`; answers their prefixes.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove_expired(&mut self, list: List, now_ns: u64) -> Result<Vec<Prefix>, BpfError> {
        let ended: Vec<Prefix> = self
            .entries(list)?
            .into_iter()
            .filter(|(_, rule)| rule.expired(now_ns))
            .map(|(prefix, _)| prefix)
            .collect();
        for &prefix in &ended {
            self.remove(list, prefix)?;
        }
        Ok(ended)
    }

    fn put(
        &mut self,
        list: List,
        prefix: Prefix,
        rule: Rule,
        note: Option<&str>,
    ) -> Result<InsertOutcome, BpfError> {
        let table = table_of(list, prefix);
        let storage = self.storage(table)?;
        if !rule.is_permanent()
            && let Some(wider) = covered_by(storage, table, prefix, &rule)?
        {
            return Ok(InsertOutcome::CoveredBy(wider));
        }
        storage.insert(table, prefix, rule)?;
        self.in_use
            .set(table as u32, 1, 0)
            .map_err(BpfError::map("IN_USE", 0))?;
        self.notes.write(list, prefix, note)?;
        Ok(InsertOutcome::Added)
    }

    /// Removes rules of tries that a wider rule outlasts.
    fn drop_hidden(&mut self, list: List) -> Result<(), BpfError> {
        for &table in list.tables() {
            let storage = self.storage(table)?;
            if !storage.is_trie() {
                continue;
            }
            let mut entries = Vec::new();
            storage.read(table, &mut entries)?;
            for prefix in hidden(entries) {
                self.remove(list, prefix)?;
            }
        }
        Ok(())
    }

    /// How many rules of `list` have not ended at `now_ns`.
    ///
    /// # Errors
    /// As for [`Rules::list`].
    pub fn count(&self, list: List, now_ns: u64) -> Result<usize, BpfError> {
        let entries = self.entries(list)?;
        Ok(entries.iter().filter(|(_, rule)| !rule.expired(now_ns)).count())
    }

    /// The rules of `list` for `address` that have not ended at `now_ns`, sorted by prefix.
    ///
    /// # Errors
    /// As for [`Rules::list`].
    pub fn matching(&self, list: List, address: IpAddr, now_ns: u64) -> Result<Vec<Entry>, BpfError> {
        self.list_where(list, |prefix, rule| {
            prefix.contains(address) && !rule.expired(now_ns)
        })
    }

    fn list_where(
        &self,
        list: List,
        wanted: impl Fn(&Prefix, &Rule) -> bool,
    ) -> Result<Vec<Entry>, BpfError> {
        let mut entries: Vec<Entry> = self
            .entries(list)?
            .into_iter()
            .filter(|(prefix, rule)| wanted(prefix, rule))
            .map(|(prefix, rule)| Entry {
                prefix,
                rule,
                note: self.notes.read(list, prefix),
            })
            .collect();
        entries.sort_by_key(|entry| entry.prefix);
        Ok(entries)
    }

    fn entries(&self, list: List) -> Result<Vec<(Prefix, Rule)>, BpfError> {
        let mut entries = Vec::new();
        for (table, storage) in &self.tables {
            if list.tables().contains(table) {
                storage.read(*table, &mut entries)?;
            }
        }
        Ok(entries)
    }

    fn storage(&mut self, wanted: Table) -> Result<&mut Storage, BpfError> {
        self.tables
            .iter_mut()
            .find(|(table, _)| *table == wanted)
            .map(|(_, storage)| storage)
            .ok_or_else(|| BpfError::NoSuchMap(wanted.map().to_owned()))
    }
}
