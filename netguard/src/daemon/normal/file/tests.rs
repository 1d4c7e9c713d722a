//! What is read of such files, and what is refused.

use netguard_common::telemetry::Kind;

use super::*;
use crate::engine::{Calm, Controller, baseline::tests::learnt, campaign::Target};

const NOW: u64 = 1_800_000_000;

fn some() -> Learnt {
    let target = Target {
        protocol: 6,
        port: 443,
    };
    Learnt {
        baselines: learnt(&[(Kind::Udp, 1_000)]),
        calm: Calm {
            served: vec![(target, NOW)],
            ..Calm::default()
        },
        ..Learnt::new(7)
    }
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("x").join("normal.json");
    (directory, path)
}

/// With the right checksum.
fn written(path: &Path, body: &str) {
    make_directory(path).expect("a directory");
    let header = Header {
        kind: KIND.to_owned(),
        version: VERSION,
        written_s: NOW,
        sha256: sha256(body.as_bytes()).to_string(),
    };
    let header = serde_json::to_string(&header).expect("it is JSON");
    fs::write(path, format!("{header}\n{body}")).expect("it is written");
}

fn why(path: &Path) -> String {
    match read(path, NOW) {
        Ok(_) => "it was taken".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_was_written_is_read_and_nothing_is_no_fault() {
    let (_directory, path) = place();
    assert!(matches!(read(&path, NOW), Ok(None)));
    for _ in 0..2 {
        write(&path, &some(), NOW).expect("it is written");
    }
    let kept = read(&path, NOW + 60).expect("it is read").expect("it is there");
    assert_eq!((kept.written_s, kept.from_future), (NOW, false));
    assert_eq!(kept.learnt.calm, some().calm);
    let [before, after] = [some(), kept.learnt].map(|learnt| Controller::new(learnt).normal(None));
    assert_eq!(before, after);
    assert!(!beside(&path, "unfinished").exists());
}

#[test]
fn what_is_none_is_refused_in_words_and_put_aside() {
    let (_directory, path) = place();
    write(&path, &some(), NOW).expect("it is written");
    let whole = fs::read_to_string(&path).expect("it is read");
    let cut = &whole[..whole.len() / 2];
    let flipped = whole.replacen("\"learnt\":600", "\"learnt\":601", 1);
    let newer = whole.replacen("\"version\":1", "\"version\":2", 1);
    for (text, part) in [
        ("", "not a file that netguard wrote"),
        ("\n", "not a file that netguard wrote"),
        ("{}\n{}", "not a file that netguard wrote"),
        ("<html>\n", "not a file that netguard wrote"),
        (cut, "damaged: its checksum"),
        (&flipped, "damaged: its checksum"),
        (&newer, "another version of netguard (form 2"),
    ] {
        fs::write(&path, text).expect("it is written");
        let why = why(&path);
        assert!(why.contains(part) && why.contains("normal.json"), "{why}");
    }
    let aside = put_aside(&path).expect("it is moved");
    assert!(!path.exists() && aside.exists());
    fs::create_dir(&path).expect("a directory");
    assert!(why(&path).contains("not a file that netguard wrote"));
    put_aside(&path).expect_err("a directory does not take the place of a file");
    fs::remove_file(&aside).expect("it is removed");
    put_aside(&path).expect("it is moved");
}

/// With the right checksum, so that somebody must have meant it.
#[test]
fn what_cannot_have_been_learnt_is_refused() {
    let (_directory, path) = place();
    let body = |learnt: &Learnt| serde_json::to_string(learnt).expect("it is JSON");
    let good = body(&some());
    let hex_of_extremes = {
        let mut sketch = sketches_ddsketch::DDSketch::new(sketches_ddsketch::Config::defaults());
        sketch.add(f64::NAN);
        // Infinity itself is too much for the library's own arithmetic.
        sketch.add(f64::MAX);
        let bytes = sketch.to_java_bytes();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let start = good.find("\"values\":[\"").expect("sketches") + 11;
    let end = start + good[start..].find('"').expect("their end");
    for wrong in [
        good.replacen("\"room\":3.0", "\"room\":300.0", 1),
        good.replacen("\"totals\":{\"bytes\"", "\"totals\":{\"bites\"", 1),
        good.replacen("\"points\":[]", "\"points\":[[1.0]]", 1),
        format!("{}{hex_of_extremes}{}", &good[..start], &good[end..]),
        format!("{}ffffffffffff{}", &good[..start], &good[end..]),
        "[".repeat(100_000),
        "null".to_owned(),
    ] {
        written(&path, &wrong);
        let why = why(&path);
        assert!(
            why.contains("damaged"),
            "{why}: {}",
            wrong.chars().take(80).collect::<String>()
        );
    }
}

#[test]
fn what_is_huge_is_not_read() {
    let (_directory, path) = place();
    make_directory(&path).expect("a directory");
    let file = File::create(&path).expect("a file");
    file.set_len(LONGEST + 1).expect("it is sparse");
    assert!(why(&path).contains("more than what is normal ever takes"));
}

#[test]
fn old_files_are_left_and_those_of_the_future_are_taken_in_part() {
    let (_directory, path) = place();
    write(&path, &some(), NOW - OLDEST_S - 1).expect("it is written");
    assert!(why(&path).contains("35 days old"), "{}", why(&path));
    write(&path, &some(), NOW - OLDEST_S).expect("it is written");
    assert!(read(&path, NOW).is_ok());
    write(&path, &some(), NOW + 10 * 86_400).expect("it is written");
    let kept = read(&path, NOW).expect("it is read").expect("it is there");
    assert!(kept.from_future);
    write(&path, &some(), u64::MAX).expect("it is written");
    assert!(read(&path, 0).is_ok());
}

#[test]
fn where_nothing_can_be_written_it_says_so() {
    let path = Path::new("/proc/nowhere/normal.json");
    let error = write(path, &some(), NOW).expect_err("/proc is no place");
    let text = error.to_string();
    assert!(
        text.contains("/proc/nowhere/normal.json cannot be written"),
        "{text}"
    );
}
