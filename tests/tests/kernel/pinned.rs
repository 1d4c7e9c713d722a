//! Rules in pinned tables, as daemon and command line write them: what is taken back leaves what stood there.

use std::process;

use netguard::{
    bpf::{Batch, InsertOutcome, InstanceName, List, Pins, Rules, load},
    prefix::Prefix,
};
use netguard_common::{
    layout::Rule,
    rule::{Origin, Proof, Reason},
};
use netguard_tests::world::DEFAULT_SIZES;

/// Maps of an instance of its own, which are gone with it.
struct Instance(Pins);

impl Instance {
    fn new(name: &str) -> Self {
        let name: InstanceName = format!("kernel-rung-{name}-{}", process::id())
            .parse()
            .expect("an instance's name");
        let instance = Self(Pins::of(&name));
        load(&instance.0, DEFAULT_SIZES).expect("the kernel rung needs root and bpffs");
        instance
    }

    fn rules(&self) -> Rules {
        Rules::open(&self.0).expect("pinned tables")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _gone = self.0.remove();
    }
}

fn prefix(text: &str) -> Prefix {
    text.parse().expect("a prefix")
}

const PERMANENT: Rule = Rule {
    expires_at: 0,
    reason: Reason::Requested as u16,
    origin: Origin::Operator as u8,
    proof: Proof::Operator as u8,
};

/// All that stands on `list`, in words.
fn standing(rules: &Rules, list: List) -> Vec<String> {
    let entries = rules.list(list, 0).expect("a list");
    entries
        .iter()
        .map(|entry| {
            format!(
                "{} from {}: {}",
                entry.prefix,
                entry.rule.origin,
                entry.note.as_deref().unwrap_or("-")
            )
        })
        .collect()
}

/// Found in review: a trie answers with the longest match, so a rule that said the same as a wider one was taken for none, and
/// an insertion in its place that was taken back took it along.
#[test]
fn what_a_failed_import_replaced_stands_again_in_a_wider_rule_that_says_the_same() {
    let instance = Instance::new("undone");
    let mut rules = instance.rules();
    let tries = [
        (List::Allow, "192.0.2.0/24", "192.0.2.7"),
        (List::Allow, "2001:db8::/32", "2001:db8::7"),
        (List::Block, "192.0.2.0/25", "192.0.2.8/30"),
        (List::Block, "2001:db8::/32", "2001:db8:7::/48"),
    ];
    for (list, wide, narrow) in tries {
        for origin in [Origin::Operator, Origin::Config] {
            let mut put = |text: &str, note: &str| {
                rules
                    .insert(list, prefix(text), PERMANENT, Some(note))
                    .expect("it fits")
            };
            put(narrow, "narrow");
            put(wide, "wide");
            let before = standing(&rules, list);
            assert_eq!(before.len(), 2, "{before:?}");
            let mut batch = Batch::new(list);
            let replacing = Rule {
                origin: origin as u8,
                ..PERMANENT
            };
            batch
                .insert(&mut rules, prefix(narrow), replacing, None)
                .expect("it fits");
            while batch.undo(&mut rules, 1) {}
            assert_eq!(standing(&rules, list), before, "{narrow} in {wide}");
            for text in [wide, narrow] {
                assert!(
                    rules
                        .remove(list, prefix(text))
                        .expect("the kernel agrees")
                        .is_some(),
                    "{text}"
                );
            }
        }
    }
}

#[test]
fn a_trie_tells_what_a_rule_replaces_and_not_what_holds_around_it() {
    let instance = Instance::new("replaced");
    let mut rules = instance.rules();
    for (list, wide, narrow) in [
        (List::Allow, "192.0.2.0/24", "192.0.2.7"),
        (List::Block, "2001:db8::/32", "2001:db8:7::/48"),
    ] {
        let mut put = |text: &str| {
            rules
                .insert(list, prefix(text), PERMANENT, None)
                .expect("it fits")
        };
        let added = |before: Option<Rule>| InsertOutcome::Added { before };
        assert_eq!(put(wide), added(None));
        assert_eq!(put(narrow), added(None), "only a wider one stands");
        assert_eq!(
            put(narrow),
            added(Some(PERMANENT)),
            "it says what the wider one says"
        );
        assert_eq!(put(wide), added(Some(PERMANENT)));
    }
}
