//! The secrets of the endpoint: its own, and those of who may sign. A file that cannot be used is told, and lets nobody in.

use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use crate::{
    config::DecisionSigned,
    decision::{LEAST_SECRET_BYTES, Scope, SignedRule, signers},
};

/// No file of secrets is longer.
const MOST_BYTES: u64 = 1 << 20;

/// The secret in `file`, without the white space around it; without a file one that nobody knows, and that ends with this process.
pub(super) fn secret(file: Option<&Path>, faults: &mut Vec<String>) -> Vec<u8> {
    let own = || -> Vec<u8> {
        use std::hash::{BuildHasher as _, RandomState};
        // The library draws these keys from the kernel.
        let word = |number: u64| RandomState::new().hash_one(number).to_ne_bytes();
        (0..8).flat_map(word).collect()
    };
    let Some(file) = file else {
        return own();
    };
    match read(file, faults) {
        Ok(text) if text.trim().len() >= LEAST_SECRET_BYTES => return text.trim().into(),
        Ok(_) => faults.push(format!(
            "{}: a secret has at least {LEAST_SECRET_BYTES} characters; passes end with the daemon now",
            file.display()
        )),
        Err(why) => faults.push(format!("{why}; passes end with the daemon now")),
    }
    own()
}

/// What must be signed, with who may sign it. Where that is not known nobody may.
pub(super) fn signing<'a>(
    rules: impl IntoIterator<Item = &'a DecisionSigned>,
    faults: &mut Vec<String>,
) -> Vec<SignedRule> {
    let mut rule = |signed: &DecisionSigned| {
        let file = &signed.key_file;
        let signers = read(file, faults)
            .and_then(|text| signers(&text).map_err(|why| format!("{}: {why}", file.display())));
        SignedRule {
            scope: Scope::new(&signed.paths, &signed.methods),
            window_s: signed.window.duration().as_secs().max(1),
            signers: signers.unwrap_or_else(|why| {
                faults.push(format!("{why}; what must be signed by it is refused"));
                Vec::new()
            }),
        }
    };
    rules.into_iter().map(&mut rule).collect()
}

/// A small text. That others can read it, too, is told.
fn read(path: &Path, faults: &mut Vec<String>) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let found = fs::metadata(path).map_err(unreadable)?;
    if !found.is_file() {
        return Err(format!("{} is no regular file", path.display()));
    }
    if found.permissions().mode() & 0o007 != 0 {
        faults.push(format!(
            "{} is a secret that everybody on this machine may use: chmod o= {0}",
            path.display()
        ));
    }
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MOST_BYTES)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_secret_is_what_its_file_says_or_nobody_knows_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let mut faults = Vec::new();
        assert_eq!(secret(None, &mut faults).len(), 64);
        assert_ne!(secret(None, &mut faults), secret(None, &mut faults));
        assert_eq!(faults, Vec::<String>::new());
        secret(Some(&path), &mut faults);
        assert!(faults.pop().unwrap().contains("cannot be read"));
        let long = "x".repeat(40);
        for (text, mode, told) in [
            (&*long, 0o600, None),
            ("short", 0o600, Some("at least 32")),
            (&*long, 0o644, Some("everybody on this machine")),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let found = secret(Some(&path), &mut faults);
            assert_eq!(found == long.as_bytes(), text == long, "{text}");
            let fault = faults.pop();
            assert_eq!(fault.is_some(), told.is_some(), "{fault:?}");
            assert!(fault.unwrap_or_default().contains(told.unwrap_or_default()));
        }
    }

    #[test]
    fn without_signers_nobody_signs() {
        let text = "[[decision.signed]]\npaths = [\"/admin/*\"]\nkey_file = \"/nowhere/signers\"\n";
        let config = Config::parse("test", text).unwrap();
        let mut faults = Vec::new();
        let rules = signing(config.decision.signed.iter(), &mut faults);
        assert_eq!(
            (rules.len(), rules[0].signers.len(), rules[0].window_s),
            (1, 0, 60)
        );
        assert!(faults[0].contains("is refused"), "{faults:?}");
    }
}
