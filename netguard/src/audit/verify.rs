//! Checks a trail: each line by itself, and that it follows the one before. It changes nothing and needs no daemon.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{AuditError, Fault, Head, Line, each_line, read::RawLine};

/// Findings that are told one by one.
const TOLD: usize = 1_000;

/// What a look at a trail found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub files: Vec<PathBuf>,
    pub lines: u64,
    /// The first and the last line that are as they were written.
    pub first: Option<Head>,
    pub last: Option<Head>,
    /// In the order of the files.
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub more: u64,
    /// What the trail tells of itself: outages, losses, torn lines, by event.
    pub told: BTreeMap<String, u64>,
}

/// A place where a trail is not as it was written.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub file: PathBuf,
    /// From 1.
    pub line: u64,
    pub what: String,
}

/// The events that a line can tell of the trail itself.
#[derive(Deserialize)]
struct Told {
    event: String,
    oldest: Option<u64>,
}

/// A daemon writes a file with its first line; only a full disk keeps it from that.
const EMPTY: &str = "is empty, without the line that a file begins with: what was in it was removed";

/// Checks `files`, which stand in the order of their lines. If they are the `whole` trail, its beginning must be there, too;
/// `expected` are ends that it had earlier.
///
/// # Errors
/// When a file cannot be read.
pub fn verify(files: &[PathBuf], whole: bool, expected: &[Head]) -> Result<Report, AuditError> {
    let mut check = Check {
        report: Report {
            files: files.to_vec(),
            ..Report::default()
        },
        whole,
        expected: expected.iter().map(|head| (*head, false)).collect(),
        before: None,
        loose: false,
        oldest: None,
    };
    let mut end = 0;
    for file in files {
        end = 0;
        each_line(file, |line| {
            end = line.number;
            check.look(file, line);
        })
        .map_err(AuditError::file(file))?;
        if end == 0 {
            check.find(file, 1, EMPTY.to_owned());
        }
    }
    check.look_back(files, end);
    Ok(check.report)
}

struct Check {
    report: Report,
    whole: bool,
    /// And whether it was met.
    expected: Vec<(Head, bool)>,
    before: Option<Head>,
    /// The line before was not as it was written: what follows it cannot be told.
    loose: bool,
    /// The number of the first line that was kept when the newest file began.
    oldest: Option<u64>,
}

impl Check {
    fn look(&mut self, file: &Path, raw: RawLine) {
        self.report.lines += 1;
        if !raw.ended {
            self.find(file, raw.number, "ends in the middle of a line".to_owned());
        }
        let line = match Line::read(raw.bytes) {
            Ok(line) => line,
            Err(fault) => {
                if raw.ended {
                    self.find(file, raw.number, sentence(fault));
                }
                self.loose = true;
                return;
            }
        };
        let told = about(raw.bytes);
        let begins = told.as_ref().is_some_and(|told| told.event == "audit-file");
        if raw.number == 1 && !begins && !self.loose {
            let what = "is not the line that a file begins with: lines before it were removed";
            self.find(file, 1, what.to_owned());
        } else if let Some(what) = self.gap(line) {
            self.find(file, raw.number, what);
        }
        if let Some(told) = told {
            self.oldest = told.oldest.or(self.oldest);
            *self.report.told.entry(told.event).or_default() += u64::from(!begins);
        }
        self.compare(file, raw.number, line.head);
        self.report.first.get_or_insert(line.head);
        self.report.last = Some(line.head);
        (self.before, self.loose) = (Some(line.head), false);
    }

    /// Why `line` does not follow the one before.
    fn gap(&self, line: Line) -> Option<String> {
        let seq = line.head.seq;
        // Nothing stands before the first line; a trail of which the beginning is not here may begin with any.
        let before = self.before.or_else(|| (seq == 1).then(Head::default))?;
        let next = before.seq.saturating_add(1);
        if seq > next && !self.loose {
            return Some(match seq - 1 {
                one if one == next => format!("line {next} of the trail is missing before this one, {seq}"),
                last => format!("lines {next} to {last} of the trail are missing before this one, {seq}"),
            });
        }
        if seq < next {
            return Some(format!(
                "has number {seq} where {next} is expected: it was inserted, repeated or moved"
            ));
        }
        (line.prev != before.hash && !self.loose).then(|| {
            "does not follow the line before it: from here on, or until here, the trail was written anew"
                .to_owned()
        })
    }

    fn compare(&mut self, file: &Path, number: u64, head: Head) {
        let mut wrong = None;
        for (expected, met) in &mut self.expected {
            if expected.seq == head.seq {
                *met = true;
                wrong = wrong.or((*expected != head).then_some(expected.hash));
            }
        }
        if let Some(hash) = wrong {
            let what = format!(
                "line {} had the hash {hash}: the trail was written anew",
                head.seq
            );
            self.find(file, number, what);
        }
    }

    /// What can only be told when all lines were seen; `end` is the number of the last one in its file.
    fn look_back(&mut self, files: &[PathBuf], end: u64) {
        let (Some(first_file), Some(last_file)) = (files.first(), files.last()) else {
            return;
        };
        let first = self.report.first.map(|head| head.seq);
        if let (true, Some(first), Some(oldest)) = (self.whole, first, self.oldest)
            && first > oldest
        {
            let what = format!(
                "lines {oldest} to {} of the trail are missing: a file is gone",
                first - 1
            );
            self.report.findings.insert(
                0,
                Finding {
                    file: first_file.clone(),
                    line: 1,
                    what,
                },
            );
        }
        let last = self.report.last.map_or(0, |head| head.seq);
        for (expected, met) in std::mem::take(&mut self.expected) {
            let seq = expected.seq;
            if met {
                continue;
            }
            let what = if seq > last {
                format!("the trail ends with line {last}, but line {seq} was written: the end is missing")
            } else if first.is_some_and(|first| seq < first) {
                format!("line {seq}, which was expected, is older than these files")
            } else {
                format!("line {seq}, which was expected, is not in these files")
            };
            self.find(last_file, end, what);
        }
    }

    fn find(&mut self, file: &Path, line: u64, what: String) {
        if self.report.findings.len() < TOLD {
            let file = file.to_owned();
            self.report.findings.push(Finding { file, line, what });
        } else {
            self.report.more += 1;
        }
    }
}

fn sentence(fault: Fault) -> String {
    match fault {
        Fault::Form => "is no line of a trail".to_owned(),
        Fault::Edited(line) => format!(
            "was edited: it says that it is line {} with the hash {}, which is not that of its bytes",
            line.head.seq, line.head.hash
        ),
    }
}

/// What a line tells of the trail; `None`: it tells of something else. A string in it cannot look like this: its quotes are
/// escaped.
fn about(bytes: &[u8]) -> Option<Told> {
    const SIGN: &[u8] = b"\"event\":\"audit-";
    bytes
        .windows(SIGN.len())
        .any(|window| window == SIGN)
        .then(|| serde_json::from_slice(bytes).ok())?
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, fs};

    use serde_json::json;

    use super::*;
    use crate::audit::{Author, Place, Record, Trail};

    /// A trail of ten lines, as they stand in its file.
    fn trail(directory: &Path) -> (PathBuf, Vec<String>) {
        let file = directory.join("audit.jsonl");
        let place = Place {
            file: file.clone(),
            max_bytes: 1 << 20,
            keep: 1,
            on: true,
        };
        let record = |number: u64| {
            let event = json!({"event": "rule-removed", "list": "block", "number": number});
            Record::new("2026-01-01T00:00:00Z".into(), number, Author::Daemon, &event)
        };
        let mut records: VecDeque<Record> = (0..9).map(record).collect();
        let mut trail = Trail::open(&place, None).expect("open");
        trail.append(&mut records).expect("written");
        let text = fs::read_to_string(&file).expect("a file");
        (file, text.lines().map(str::to_owned).collect())
    }

    fn found(file: &Path, lines: &[String], expected: &[Head]) -> Vec<(u64, String)> {
        fs::write(file, lines.join("\n") + "\n").expect("a file");
        let report = verify(&[file.to_owned()], true, expected).expect("read");
        report
            .findings
            .into_iter()
            .map(|finding| (finding.line, finding.what))
            .collect()
    }

    /// Found in review: whoever emptied the file heard that there was nothing to check.
    #[test]
    fn an_emptied_file_is_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, _) = trail(directory.path());
        fs::write(&file, "").expect("a file");
        let report = verify(&[file], true, &[]).expect("read");
        let found: Vec<&str> = report.findings.iter().map(|finding| &*finding.what).collect();
        assert_eq!(found, [EMPTY]);
    }

    #[test]
    fn each_kind_of_change_is_found_where_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, lines) = trail(directory.path());
        assert_eq!(found(&file, &lines, &[]), []);
        type Change = fn(&mut Vec<String>);
        let changes: [(Change, u64, &str); 7] = [
            (
                |lines| lines[4] = lines[4].replace("block", "allow"),
                5,
                "was edited",
            ),
            (|lines| lines[4] = "{}".to_owned(), 5, "is no line"),
            (|lines| drop(lines.remove(4)), 5, "line 5 of the trail is missing"),
            (
                |lines| drop(lines.drain(2..5)),
                3,
                "lines 3 to 5 of the trail are missing",
            ),
            (|lines| lines.swap(6, 7), 7, "line 7 of the trail is missing"),
            (
                |lines| lines.insert(4, lines[4].clone()),
                6,
                "has number 5 where 6",
            ),
            (|lines| drop(lines.remove(0)), 1, "lines before it were removed"),
        ];
        for (change, line, what) in changes {
            let mut changed = lines.clone();
            change(&mut changed);
            let found = found(&file, &changed, &[]);
            assert!(
                found[0].0 == line && found[0].1.contains(what),
                "{what}: {found:?}"
            );
        }
    }

    #[test]
    fn an_end_that_is_missing_is_found_by_who_knows_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, lines) = trail(directory.path());
        let head = |index: usize| Line::read(lines[index].as_bytes()).expect("a line").head;
        assert_eq!(found(&file, &lines, &[head(9), head(3)]), []);
        let cut = &lines[..8];
        assert_eq!(found(&file, cut, &[]), [], "the chain alone does not tell");
        let missing = found(&file, cut, &[head(9)]);
        assert!(
            missing[0].1.contains("ends with line 8, but line 10"),
            "{missing:?}"
        );
        let other = Head {
            hash: head(2).hash,
            ..head(3)
        };
        let anew = found(&file, &lines, &[other]);
        assert!(anew[0].0 == 4 && anew[0].1.contains("written anew"), "{anew:?}");
    }

    #[test]
    fn a_line_that_was_written_anew_with_its_hash_breaks_the_chain() {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, mut lines) = trail(directory.path());
        let before = Line::read(lines[3].as_bytes()).expect("a line").head;
        let event = json!({"event": "rule-removed", "list": "allow"});
        let forged = Record::new(String::new(), 0, Author::Daemon, &event);
        let mut bytes = Vec::new();
        crate::audit::encode(&forged, before, &mut bytes);
        lines[4] = String::from_utf8(bytes).expect("text").trim_end().to_owned();
        let found = found(&file, &lines, &[]);
        assert!(found.len() == 1 && found[0].0 == 6, "{found:?}");
        assert!(found[0].1.contains("does not follow"), "{found:?}");
    }

    #[test]
    fn a_torn_end_is_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, lines) = trail(directory.path());
        for torn in [lines.join("\n"), lines.join("\n") + "\n{\"seq\""] {
            fs::write(&file, torn).expect("a file");
            let report = verify(std::slice::from_ref(&file), true, &[]).expect("read");
            assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
            assert!(report.findings[0].what.contains("middle of a line"));
        }
    }
}
