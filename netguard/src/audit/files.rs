//! Which files a trail consists of: the one that is written, and before it those that were full. It reads none of them.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

/// Digits of the number in the name of a full file; in this order names and numbers sort alike.
const DIGITS: usize = 12;

/// Makes the directory of `file`, for its owner only, where there is none.
///
/// # Errors
/// When it cannot be made.
pub fn make_directory(file: &Path) -> io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

/// The name that `file` gets when it is full: behind it the number of its first line.
pub(super) fn full_name(file: &Path, first_seq: u64) -> PathBuf {
    beside(file, &format!("{first_seq:0DIGITS$}"))
}

/// `file` with `.suffix` behind its name.
pub(super) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// The full files of the trail that is written to `file`, with the number of their first line, oldest first.
///
/// # Errors
/// When the directory cannot be read; one that does not exist holds none.
pub(super) fn full(file: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let directory = file.parent().unwrap_or(Path::new("/"));
    let own = file.file_name().unwrap_or_default().to_string_lossy();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut full = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let seq = name
            .to_str()
            .and_then(|name| name.strip_prefix(&*own)?.strip_prefix('.'))
            .filter(|digits| digits.len() >= DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok());
        full.extend(seq.map(|seq: u64| (seq, directory.join(&name))));
    }
    full.sort();
    Ok(full)
}

/// All files of the trail that is written to `file`, in the order of their lines.
///
/// # Errors
/// When the directory cannot be read.
pub fn files(file: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = full(file)?.into_iter().map(|(_, path)| path).collect();
    if file.try_exists()? {
        files.push(file.to_owned());
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_files_stand_in_the_order_of_their_lines() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("audit.jsonl");
        assert!(files(&file).expect("read").is_empty());
        assert!(files(&directory.path().join("no/file")).expect("read").is_empty());
        let wanted = [full_name(&file, 1), full_name(&file, 90), full_name(&file, 1_000)];
        let others = [
            beside(&file, "torn"),
            beside(&file, "7"),
            directory.path().join("audit.jsonl2"),
        ];
        for path in wanted.iter().rev().chain(&others).chain([&file]) {
            fs::write(path, "").expect("a file");
        }
        let mut all = wanted.to_vec();
        all.push(file.clone());
        assert_eq!(files(&file).expect("read"), all);
        assert_eq!(full(&file).expect("read")[1].0, 90);
    }
}
