//! What the test suites of other filters demand: the packets of Katran's fixtures, and that no case of the others was forgotten.
//! Both lie beside the project.

use std::{collections::BTreeSet, fs, path::Path};

use netguard::clock::monotonic_ns;
use netguard_common::{Verdict, decide, view::SliceView};
use netguard_tests::{
    captures::{beside, read},
    world::World,
};

use super::{action, judge, kernel};

const CASES: &str = include_str!("../../DEMANDS.md");

/// Packets that a load balancer gets, some with options or other packets inside: all pass but one kind.
#[test]
fn katrans_packets_get_their_verdicts() {
    let (Some(packets), Some(list)) = (
        beside("peers/katran-inputs.pcap"),
        beside("peers/katran-inputs.tsv"),
    ) else {
        println!("Katran's packets are not beside the project: nothing was looked at");
        return;
    };
    let frames = read(&packets).expect("the packets can be read");
    let list = fs::read_to_string(list).expect("their list can be read");
    let names: Vec<_> = list.lines().skip(1).collect();
    assert_eq!((frames.len(), names.len()), (121, 121));
    let world = World::new();
    let mut object = kernel(&world);
    let memory = world.memory(monotonic_ns());
    let judgements: Vec<_> = {
        let program = object.program("netguard_judge").expect("it loads");
        frames.iter().map(|frame| judge(&program, frame)).collect()
    };
    let program = object.program("netguard_xdp").expect("it loads");
    for ((frame, name), judgement) in frames.iter().zip(&names).zip(judgements) {
        assert_eq!(decide(&SliceView(frame), &memory), judgement, "{name}");
        // Cut where nobody cuts: not at a multiple of eight bytes (RFC 791 section 3.2).
        let expected = match *name {
            name if name.contains("arp packet") => Verdict::PassArp,
            name if name.contains("IPv4 fragmented packet") => Verdict::FragmentLength,
            _ => Verdict::Pass,
        };
        assert_eq!(judgement.verdict, expected, "{name}");
        assert_eq!(
            program.run(frame, 1).expect("it runs"),
            action(judgement),
            "{name}"
        );
    }
}

/// What netguard promises by itself, whose tests the other tables name.
fn promised() -> impl Iterator<Item = String> {
    let through = |kind: char, last: u32| (1..=last).map(move |number| format!("{kind}{number}"));
    let few = ["U2", "U4", "U5", "U7"].map(str::to_owned);
    through('C', 10)
        .chain(through('K', 14))
        .chain(through('L', 7))
        .chain(few)
}

/// Each case has a line in the table, so has each promise, and each test that a line names exists.
#[test]
fn every_case_of_other_suites_is_answered() {
    let answered: BTreeSet<&str> = CASES
        .lines()
        .filter_map(|line| line.strip_prefix("| P")?.split(' ').next())
        .collect();
    match beside("peers/cases.tsv") {
        None => println!(
            "the list of cases is not beside the project: whether all are answered was not looked at"
        ),
        Some(list) => {
            let list = fs::read_to_string(list).expect("the list can be read");
            let asked = list
                .lines()
                .filter_map(|line| line.strip_prefix('P')?.split('\t').next());
            let missing: Vec<_> = asked.filter(|id| !answered.contains(id)).collect();
            assert!(missing.is_empty(), "no line for P{missing:?}");
        }
    }
    let rows: BTreeSet<&str> = CASES
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .flat_map(|ids| ids.split(", "))
        .collect();
    let missing: Vec<_> = promised().filter(|id| !rows.contains(id.as_str())).collect();
    assert!(missing.is_empty(), "no line for {missing:?}");
    // `rung::file::test`, or `rung::file` for all of a file; a file may be in a directory.
    let names = CASES
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.contains("::"));
    let mut count = 0;
    for name in names {
        let file = |name: &str| {
            let path = name.replace("::", "/");
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{path}.rs"))
        };
        if !file(name).is_file() {
            let (of, test) = name.rsplit_once("::").unwrap_or_default();
            let source = fs::read_to_string(file(of)).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(source.contains(&format!("fn {test}(")), "there is no test {name}");
        }
        count += 1;
    }
    assert!(count > 30, "only {count} tests are named");
}
