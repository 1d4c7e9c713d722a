//! What is known to be normal when a replay begins, and what is kept of what it learnt: files as the daemon writes them. How old one is does not
//! matter here: its hours are compared by the clock of the capture.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    ReplayError,
    report::{Known, Learning},
};
use crate::{
    daemon::{NormalFileError, read_normal_of_any_age, write_normal},
    engine::Learnt,
};

/// Seconds that must have been learnt before anything is believed.
const BELIEVED: u64 = 300;

/// Reads what is normal.
///
/// # Errors
/// When it is not there, or not what this version writes.
pub(super) fn read(path: &Path) -> Result<(Learnt, Known), ReplayError> {
    let read = read_normal_of_any_age(path).map_err(ReplayError::Normal)?;
    let kept = read.ok_or_else(|| ReplayError::NoNormal(path.to_owned()))?;
    let known = Known {
        file: super::told(path),
        learnt_s: kept.learnt.seconds(),
        services: kept.learnt.baselines.service_names().len() as u64,
        written: kept.written(),
        left: kept.learnt.calm.left.clone(),
    };
    Ok((kept.learnt, known))
}

/// Where what was learnt is written, if nothing else stands there: a capture named by mistake is not overwritten.
///
/// # Errors
/// When something does.
pub(super) fn place(path: &Path) -> Result<PathBuf, ReplayError> {
    let foreign = matches!(
        read_normal_of_any_age(path),
        Err(NormalFileError::Foreign(_) | NormalFileError::Huge { .. })
    );
    // An empty file is nobody's.
    let is_empty = fs::metadata(path).is_ok_and(|about| about.len() == 0);
    if foreign && !is_empty {
        return Err(ReplayError::Occupied(path.to_owned()));
    }
    let absolute = std::path::absolute(path);
    absolute.map_err(|source| not_kept(path, source))
}

/// Writes what was learnt until `wall_s` of the capture's clock.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write(path: &Path, learnt: &Learnt, wall_s: u64) -> Result<Learning, ReplayError> {
    write_normal(path, learnt, wall_s).map_err(|error| match error {
        NormalFileError::Write { path, source } => not_kept(&path, source),
        other => ReplayError::Normal(other),
    })?;
    Ok(Learning {
        file: super::told(path),
        learnt_s: learnt.seconds(),
        services: learnt.baselines.service_names().len() as u64,
    })
}

fn not_kept(path: &Path, source: std::io::Error) -> ReplayError {
    ReplayError::NotKept {
        path: path.to_owned(),
        source,
    }
}

/// What is to be said of it, in sentences.
pub(super) fn sentences(known: Option<&Known>, learnt: Option<&Learning>) -> Vec<String> {
    let mut told = Vec::new();
    told.push(match known {
        None => "nothing was known to be normal when the capture began (--normal FILE says what is)".to_owned(),
        Some(known) => format!(
            "normal is what {} says, learnt in {} seconds until {}, of {} services; which hour it is says the clock of the capture",
            known.file, known.learnt_s, known.written, known.services
        ),
    });
    let left = known.iter().flat_map(|known| &known.left);
    told.extend(left.map(|why| format!("of calm times was left out, for another version wrote it: {why}")));
    if let Some(learnt) = learnt {
        let too_little = match learnt.learnt_s < BELIEVED {
            true => format!("; nothing is believed before {BELIEVED} seconds of calm"),
            false => String::new(),
        };
        told.push(format!(
            "what was learnt in {} seconds, of {} services, is kept in {}{too_little}",
            learnt.learnt_s, learnt.services, learnt.file
        ));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_told_with_what_to_do() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("normal.json");
        let why = |path: &Path| match read(path) {
            Ok(_) => "it was taken".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(why(&path).contains("normal.json is not there") && why(&path).contains("--learn"));
        for (text, part) in [
            ("{}", "not a file that netguard wrote"),
            ("{\"kind\":\"netguard-normal\",\"version\":99}\n", "form 99"),
            (
                "{\"kind\":\"netguard-normal\",\"version\":1,\"written_s\":7,\"sha256\":\"\"}\n{}",
                "damaged",
            ),
        ] {
            fs::write(&path, text).expect("it is written");
            assert!(
                why(&path).contains(part) && why(&path).contains("--normal"),
                "{}",
                why(&path)
            );
        }
    }

    #[test]
    fn what_was_learnt_is_known_and_takes_no_others_place() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("normal.json");
        let place_of = |path: &Path| place(path).map_err(|error| error.to_string());
        assert_eq!(place_of(&path).as_deref(), Ok(path.as_path()));
        // Of long ago, as captures are.
        let kept = write(&path, &Learnt::new(0), 1_000_000).expect("it is written");
        let (_, known) = read(&path).expect("it is read");
        assert_eq!(
            (known.learnt_s, known.written.as_str()),
            (0, "1970-01-12T13:46:40Z")
        );
        assert_eq!(
            place_of(&path).as_deref(),
            Ok(path.as_path()),
            "it is learnt again"
        );
        let told = sentences(Some(&known), Some(&kept));
        assert!(told[1].contains("nothing is believed before 300"), "{told:?}");
        assert!(sentences(None, None)[0].contains("--normal FILE"));
        let capture = directory.path().join("attack.pcap");
        fs::write(&capture, [0xd4, 0xc3, 0xb2, 0xa1]).expect("it is written");
        assert!(place_of(&capture).is_err_and(|why| why.contains("attack.pcap") && why.contains("--learn")));
        let nowhere = write(Path::new("/proc/nowhere/normal.json"), &Learnt::new(0), 1);
        assert!(nowhere.is_err_and(|error| error.to_string().contains("/proc/nowhere/normal.json")));
    }
}
