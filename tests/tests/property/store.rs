//! The store of reputation: whatever moment its writer is killed at, what was acknowledged is there, and each portion as a whole or not
//! at all.

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead as _, BufReader, Write as _, stdout},
    net::Ipv4Addr,
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use netguard::{
    daemon::Store,
    engine::{
        Account, Reputation,
        reputation::{Evidence, Kind, Record, Settings},
    },
};

/// Set for the process that writes: the file.
const WRITER: &str = "NETGUARD_TEST_STORE_WRITER";
const ROUNDS: u64 = 40;
/// Sources of a portion.
const PORTION: u32 = 300;

#[test]
fn nothing_acknowledged_is_lost_when_the_writer_is_killed() {
    if let Some(file) = env::var_os(WRITER) {
        write(Path::new(&file));
    }
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("reputation.redb");
    let (mut acknowledged, mut rounds_that_wrote) = (0, 0);
    for round in 0..ROUNDS {
        let mut writer = Command::new(env::current_exe().expect("a program"))
            .args([
                "--exact",
                "store::nothing_acknowledged_is_lost_when_the_writer_is_killed",
                "--nocapture",
            ])
            .env(WRITER, &file)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a writer");
        let mut lines = BufReader::new(writer.stdout.take().expect("an output")).lines();
        let mut last = || -> Option<u64> {
            let told = lines.by_ref().map_while(Result::ok);
            told.filter_map(|line| line.strip_prefix("written ")?.parse().ok())
                .next()
        };
        let first = last().expect("the writer writes");
        // At another moment of a portion each time.
        wait(Duration::from_micros(300 + round * 1_171));
        writer.kill().expect("a signal");
        writer.wait().expect("its end");
        let told = std::iter::from_fn(last).last().unwrap_or(first);
        assert!(
            told > acknowledged,
            "the writer goes on where it was: {told} after {acknowledged}"
        );
        rounds_that_wrote += u64::from(told > first);
        acknowledged = told;

        let (store, kept) = Store::open(&file).expect("it opens");
        assert_eq!((kept.damaged, kept.unreadable), (None, 0), "round {round}");
        assert!(
            kept.saved_ns >= acknowledged,
            "{} is there of {acknowledged}",
            kept.saved_ns
        );
        assert_eq!(kept.records.len(), PORTION as usize);
        let portions: BTreeSet<u64> = kept.records.iter().map(|(_, record)| record.seen_ns).collect();
        assert_eq!(
            portions,
            BTreeSet::from([kept.saved_ns]),
            "a portion is there in part"
        );
        drop(store);
        acknowledged = kept.saved_ns;
    }
    assert!(
        rounds_that_wrote > ROUNDS / 4,
        "{rounds_that_wrote}: the kill comes too early"
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "the moment of the kill is what the test is about: nothing is waited for"
)]
fn wait(moment: Duration) {
    sleep(moment);
}

/// Writes portion after portion, and says which are written, until it is killed.
fn write(file: &Path) -> ! {
    let (mut store, kept) = Store::open(file).expect("it opens");
    for number in kept.saved_ns + 1.. {
        let mut reputation = Reputation::new(Settings::default(), number, 0);
        let evidence = Evidence {
            kind: Kind::Flood,
            proven: true,
            detail: "limit-syn".to_owned(),
            packets: number,
        };
        for host in 0..PORTION {
            reputation.take(
                Account::of(Ipv4Addr::from(0x0a00_0000 + host).into()),
                &evidence,
                0,
            );
        }
        let changes: Vec<(Account, Option<Record>)> = reputation.changes();
        store.write(&changes, false, number).expect("written");
        println!("written {number}");
        stdout().flush().expect("told");
    }
    unreachable!("numbers do not end")
}
