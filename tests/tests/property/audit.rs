//! The audit trail: whatever was written verifies, and whatever is done to it afterwards is found.

use std::{collections::VecDeque, fs, path::PathBuf};

use netguard::audit::{Author, Head, Place, Record, Report, Trail, encode, files, verify};
use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::json;
use tempfile::TempDir;

/// A trail of a few files, with anything in its notes, and where it ended.
struct Written {
    _directory: TempDir,
    files: Vec<PathBuf>,
    head: Head,
}

fn written(notes: &[String]) -> Written {
    let directory = tempfile::tempdir().expect("a directory");
    let place = Place {
        file: directory.path().join("audit.jsonl"),
        max_bytes: 3_000,
        keep: 100,
        on: true,
    };
    let mut head = None;
    // Half of it by a process, the other half by the next.
    for notes in notes.chunks(notes.len().div_ceil(2).max(1)) {
        let mut trail = Trail::open(&place, None).expect("open");
        let mut records: VecDeque<Record> = notes.iter().map(|note| record(note)).collect();
        trail.append(&mut records).expect("written");
        head = Some(trail.head());
    }
    Written {
        files: files(&place.file).expect("files"),
        head: head.expect("some notes"),
        _directory: directory,
    }
}

fn record(note: &str) -> Record {
    let author = Author::Operator {
        uid: Some(0),
        user: Some(note.to_owned()),
        login_uid: None,
        login: None,
        pid: None,
    };
    let event = json!({"event": "rule-added", "list": "block", "note": note});
    Record::new("2026-01-01T00:00:00.000Z".to_owned(), 1, author, &event)
}

impl Written {
    fn look(&self, expected: &[Head]) -> Report {
        verify(&self.files, true, expected).expect("read")
    }

    /// The lines of one of its files.
    fn lines(&self, file: usize) -> Vec<Vec<u8>> {
        let bytes = fs::read(&self.files[file]).expect("a file");
        bytes
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect()
    }

    fn change(&self, file: usize, lines: &[Vec<u8>]) {
        fs::write(&self.files[file], lines.concat()).expect("a file");
    }
}

fn notes() -> impl Strategy<Value = Vec<String>> {
    let hostile = prop_oneof![
        any::<String>(),
        Just("\"event\":\"audit-file\",\"oldest\":9".to_owned()),
        Just("\",\"prev\":\"0\",\"hash\":\"0\"}\n{\"seq\":3,".to_owned()),
    ];
    vec(hostile, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_was_written_verifies(notes in notes()) {
        let written = written(&notes);
        let report = written.look(&[written.head]);
        prop_assert!(report.findings.is_empty(), "{:?}", report.findings);
        prop_assert_eq!(report.last, Some(written.head));
        prop_assert_eq!(report.lines, written.head.seq);
    }

    #[test]
    fn each_byte_counts(notes in notes(), file: Index, at: Index, change in 1_u8..=255) {
        let written = written(&notes);
        let file = file.index(written.files.len());
        let mut bytes = fs::read(&written.files[file]).expect("a file");
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        fs::write(&written.files[file], bytes).expect("a file");
        prop_assert!(!written.look(&[]).findings.is_empty(), "byte {} of {}", at, file);
    }

    #[test]
    fn each_line_counts(notes in notes(), file: Index, at: Index, other: Index) {
        let written = written(&notes);
        let file = file.index(written.files.len());
        let lines = written.lines(file);
        let at = at.index(lines.len());

        let mut removed = lines.clone();
        removed.remove(at);
        written.change(file, &removed);
        // That the last one is missing is told by who knows the end.
        prop_assert!(!written.look(&[written.head]).findings.is_empty(), "line {} of {} removed", at, file);

        let mut twice = lines.clone();
        twice.insert(other.index(lines.len() + 1), lines[at].clone());
        written.change(file, &twice);
        prop_assert!(!written.look(&[]).findings.is_empty(), "line {} of {} twice", at, file);

        let mut swapped = lines.clone();
        let other = other.index(lines.len());
        swapped.swap(at, other);
        written.change(file, &swapped);
        prop_assert_eq!(written.look(&[]).findings.is_empty(), at == other);

        written.change(file, &lines);
        prop_assert!(written.look(&[written.head]).findings.is_empty(), "as it was");
    }

    /// Also by who knows how hashes are made, as long as what follows is not made anew with it.
    #[test]
    fn a_forged_line_is_found(notes in notes(), at: Index) {
        let written = written(&notes);
        let file = written.files.len() - 1;
        let mut lines = written.lines(file);
        let at = at.index(lines.len());
        let before = match at {
            0 => written.files[..file].last().and_then(end).unwrap_or_default(),
            at => head(&lines[at - 1]),
        };
        let mut forged = Vec::new();
        encode(&record("forged"), before, &mut forged);
        lines[at] = forged;
        written.change(file, &lines);
        prop_assert!(!written.look(&[written.head]).findings.is_empty());
    }

    #[test]
    fn a_file_that_is_gone_is_missed(notes in vec("[a-z]{200}", 24..40), file: Index) {
        let mut written = written(&notes);
        prop_assert!(written.files.len() > 2);
        written.files.remove(file.index(written.files.len()));
        prop_assert!(!written.look(&[written.head]).findings.is_empty());
    }
}

fn head(line: &[u8]) -> Head {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    netguard::audit::Line::read(line).expect("a line").head
}

fn end(file: &PathBuf) -> Option<Head> {
    let bytes = fs::read(file).expect("a file");
    bytes.split_inclusive(|byte| *byte == b'\n').next_back().map(head)
}
