//! Adds, removes and lists rules of the allowlist and the blocklist in their kernel tables.
//!
//! A trie answers with the longest prefix only, so a rule that ends early must not hide a wider one that
//! lasts longer: such a rule is not inserted, and wider rules replace those narrower ones that would end
//! before them. Permanent rules hide nothing and always stay.

use std::net::IpAddr;

use netguard_common::{hint, layout::Rule, maps::Table, rule::Origin};

use super::{
    Batch, BpfError, Entry, InsertOutcome, List, Pins, SettingsMap,
    announced::Announced,
    batch::Put,
    hiding::{covered_by, hidden, outlasts},
    notes::Notes,
    own::OwnAddresses,
    storage::{Storage, table_of, tables_of},
    wide,
};
use crate::prefix::Prefix;

/// A rule with its note.
pub type NotedRule = (Rule, Option<String>);

/// The rule tables of an instance.
pub struct Rules {
    tables: Vec<Storage>,
    announced: Announced,
    notes: Notes,
    own: OwnAddresses,
}

impl Rules {
    /// Opens the pinned tables.
    ///
    /// # Errors
    /// When nothing is pinned or it may not be opened.
    pub fn open(pins: &Pins) -> Result<Self, BpfError> {
        let tables = Table::ALL
            .iter()
            .map(|&table| Storage::open(pins, table))
            .collect::<Result<_, _>>()?;
        let seed = SettingsMap::open(pins)?.read()?.seed;
        Ok(Self {
            tables,
            announced: Announced::open(pins, seed)?,
            notes: Notes::open(pins)?,
            own: OwnAddresses::open(pins)?,
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
        let mut batch = Batch::new(list);
        let outcome = batch.insert(self, prefix, rule, note)?;
        batch.finish(self);
        Ok(outcome)
    }

    /// [`Rules::insert`] at `now_ns`, unless a rule for exactly `prefix` lasts at least as long already or was made by a person.
    ///
    /// # Errors
    /// As for [`Rules::insert`].
    pub fn insert_unless_outlasted(
        &mut self,
        list: List,
        prefix: Prefix,
        rule: Rule,
        now_ns: u64,
    ) -> Result<(), BpfError> {
        let mut standing = None;
        for table in tables_of(list, prefix) {
            standing = standing.or(self.storage(table)?.exact(prefix)?);
        }
        // A person's rule stays as it is: a detector's would spare connections that theirs does not.
        let theirs = |standing: &Rule| standing.origin != Origin::Detector as u8 && !standing.expired(now_ns);
        if standing.is_some_and(|standing| theirs(&standing) || outlasts(&standing, &rule)) {
            return Ok(());
        }
        self.insert(list, prefix, rule, None).map(|_| ())
    }

    /// [`Rules::insert`] for many prefixes under one rule, all or none.
    ///
    /// # Errors
    /// As for one.
    pub fn insert_all(
        &mut self,
        list: List,
        prefixes: impl IntoIterator<Item = Prefix>,
        rule: Rule,
    ) -> Result<(), BpfError> {
        Batch::new(list).insert_all(self, prefixes, rule)
    }

    /// Removes the rule for exactly `prefix`; answers it, if there was one, with its note.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove(&mut self, list: List, prefix: Prefix) -> Result<Option<NotedRule>, BpfError> {
        let mut removed = None;
        for table in tables_of(list, prefix) {
            removed = self.take(table, prefix)?.or(removed);
        }
        let note = removed.and_then(|_| self.notes.read(list, prefix));
        self.notes.write(list, prefix, None)?;
        Ok(removed.map(|rule| (rule, note)))
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
            self.remove_ending(list, prefix)?;
        }
        Ok(ended)
    }

    /// Puts `rule` where nothing stands in its way; answers what it replaces.
    pub(super) fn put(
        &mut self,
        list: List,
        prefix: Prefix,
        rule: Rule,
        note: Option<&str>,
    ) -> Result<Put, BpfError> {
        if !rule.is_permanent()
            && let Some(wider) = self.covered_by(list, prefix, &rule)?
        {
            return Ok(Put::CoveredBy(wider));
        }
        let before = self.place(list, prefix, rule)?;
        let note_before = self.notes.read(list, prefix);
        if let Err(error) = self.notes.write(list, prefix, note) {
            self.put_back(list, prefix, before, note_before.as_deref())?;
            return Err(error);
        }
        Ok(Put::Added {
            before: before.map(|rule| (rule, note_before)),
        })
    }

    fn covered_by(&mut self, list: List, prefix: Prefix, rule: &Rule) -> Result<Option<Prefix>, BpfError> {
        if list == List::Block
            && prefix.address().is_ipv4()
            && let Some(wider) = wide::around(self.storage(Table::BlockWideV4)?, prefix)?
        {
            return Ok(Some(wider));
        }
        covered_by(self.storage(table_of(list, prefix, rule))?, prefix, rule)
    }

    /// Puts `rule` into its table, and out of the other that `prefix` may be in; answers what it replaces. After an error all
    /// is as it was.
    fn place(&mut self, list: List, prefix: Prefix, rule: Rule) -> Result<Option<Rule>, BpfError> {
        let table = table_of(list, prefix, &rule);
        let before = self.write(table, prefix, rule)?;
        let mut tables = tables_of(list, prefix).into_iter();
        let Some(other) = tables.find(|other| *other != table) else {
            return Ok(before);
        };
        match self.take(other, prefix) {
            Ok(taken) => Ok(before.or(taken)),
            Err(error) => {
                match before {
                    Some(before) => self.write(table, prefix, before)?,
                    None => self.take(table, prefix)?,
                };
                Err(error)
            }
        }
    }

    /// Puts `rule` into `table`; answers what it replaces there.
    fn write(&mut self, table: Table, prefix: Prefix, rule: Rule) -> Result<Option<Rule>, BpfError> {
        let before = self.storage(table)?.insert(prefix, rule)?;
        self.announced.put(table, prefix, &rule);
        Ok(before)
    }

    /// Takes the rule for exactly `prefix` out of `table`, and its hint where that is an answer; other hints are left. What the
    /// kernel may refuse comes first: a hint that is an answer does not outlast its rule.
    fn take(&mut self, table: Table, prefix: Prefix) -> Result<Option<Rule>, BpfError> {
        let storage = self.storage(table)?;
        // In a trie that of a wider prefix, perhaps: then there is nothing to remove.
        let Some(rule) = storage.get(prefix, u32::from(prefix.bits()))? else {
            return Ok(None);
        };
        let freed = match table {
            Table::BlockWideV4 => wide::alone(storage, prefix)?,
            _ => Vec::new(),
        };
        if !storage.remove(prefix)? {
            return Ok(None);
        }
        self.announced.remove(table, prefix, &freed);
        Ok(Some(rule))
    }

    /// Makes hints and lines those of the rules and own addresses that stand: a writer may have died between the two.
    ///
    /// # Errors
    /// When the kernel refuses a read.
    pub fn rebuild(&mut self) -> Result<(), BpfError> {
        self.rebuild_hints()?;
        let mut rules = Vec::new();
        for storage in self.tables.iter().filter(|storage| storage.table().is_exact()) {
            storage.read(&mut rules)?;
        }
        self.announced.exact.rebuild(rules.into_iter());
        Ok(())
    }

    fn rebuild_hints(&self) -> Result<(), BpfError> {
        let own = self.own.prefixes()?.into_iter();
        let mut hints: Vec<_> = own.map(|prefix| (prefix, hint::OWN)).collect();
        for storage in &self.tables {
            let mut entries = Vec::new();
            storage.read(&mut entries)?;
            let hint = storage.table().hint();
            hints.extend(entries.into_iter().map(|(prefix, _)| (prefix, hint)));
        }
        self.announced.hints.rebuild(hints.into_iter());
        Ok(())
    }

    /// Removes a rule that ends, from the table of those that do: another for good may stand beside it.
    fn remove_ending(&mut self, list: List, prefix: Prefix) -> Result<(), BpfError> {
        let [for_good, ending] = tables_of(list, prefix);
        self.take(ending, prefix)?;
        if for_good == ending || self.storage(for_good)?.exact(prefix)?.is_none() {
            self.notes.write(list, prefix, None)?;
        }
        Ok(())
    }

    /// Whether `rule` is what stands for `prefix`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn stands(&mut self, list: List, prefix: Prefix, rule: &Rule) -> Result<bool, BpfError> {
        let storage = self.storage(table_of(list, prefix, rule))?;
        let standing = storage.get(prefix, u32::from(prefix.bits()))?;
        Ok(standing.is_some_and(|standing| standing == *rule))
    }

    /// Makes the rule for `prefix` what it was `before`.
    pub(super) fn put_back(
        &mut self,
        list: List,
        prefix: Prefix,
        before: Option<Rule>,
        note: Option<&str>,
    ) -> Result<(), BpfError> {
        match before {
            Some(rule) => {
                self.place(list, prefix, rule)?;
                self.notes.write(list, prefix, note)
            }
            None => self.remove(list, prefix).map(|_| ()),
        }
    }

    /// Whether `rule` for `prefix` lives in a trie, where one rule can hide another.
    pub(super) fn in_trie(&mut self, list: List, prefix: Prefix, rule: &Rule) -> Result<bool, BpfError> {
        Ok(self.storage(table_of(list, prefix, rule))?.is_trie())
    }

    /// Removes rules of tries that a wider rule outlasts.
    pub(super) fn drop_hidden(&mut self, list: List) -> Result<(), BpfError> {
        let mut ended = Vec::new();
        for storage in self.of_list(list).filter(|storage| storage.is_trie()) {
            let mut entries = Vec::new();
            storage.read(&mut entries)?;
            ended.extend(hidden(entries));
        }
        for prefix in ended {
            self.remove_ending(list, prefix)?;
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
        // A trie that changes while it is read can tell an entry twice.
        entries.dedup_by_key(|entry| entry.prefix);
        Ok(entries)
    }

    /// All rules of `list` without their notes, ended ones among them, in no order.
    ///
    /// # Errors
    /// As for [`Rules::list`].
    pub fn entries(&self, list: List) -> Result<Vec<(Prefix, Rule)>, BpfError> {
        let mut entries = Vec::new();
        for storage in self.of_list(list) {
            storage.read(&mut entries)?;
        }
        Ok(entries)
    }

    fn of_list(&self, list: List) -> impl Iterator<Item = &Storage> {
        self.tables
            .iter()
            .filter(move |storage| list.tables().contains(&storage.table()))
    }

    fn storage(&mut self, wanted: Table) -> Result<&mut Storage, BpfError> {
        self.tables
            .iter_mut()
            .find(|storage| storage.table() == wanted)
            .ok_or_else(|| BpfError::NoSuchMap(wanted.map().to_owned()))
    }
}
