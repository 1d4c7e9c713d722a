//! `tidy`: the rules of the repository that no compiler checks, one small file per group of rules.

mod imports;
mod links;
mod machine_paths;
mod merges;
mod names;
mod packages;
mod paths;
mod purity;
mod shape;
mod source;

use std::{fmt, fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::{process, workspace};

use self::source::Source;

/// One place where a rule does not hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    /// Path relative to the repository's root, with `/`.
    pub(crate) file: String,
    /// Counted from 1; 0 when the whole file is meant.
    pub(crate) line: usize,
    pub(crate) problem: String,
}

/// Checks every file that git tracks or would track; an error if any rule is broken anywhere.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root();
    let files = tracked(&root)?;
    let mut violations = Vec::new();
    for name in &files {
        let Ok(bytes) = fs::read(root.join(name)) else {
            continue;
        };
        // Files that are not text (captures, pictures) have names, and no lines.
        let text = String::from_utf8(bytes).unwrap_or_default();
        violations.extend(check(name, &text, &|path| root.join(path).exists()));
    }
    violations.sort();
    for violation in &violations {
        println!("{violation}");
    }
    if !violations.is_empty() {
        bail!("tidy: {} violations in {} files", violations.len(), files.len());
    }
    println!("tidy: {} files, no violation", files.len());
    Ok(())
}

/// Applies every rule to one file. `exists` answers for paths relative to the root.
fn check(name: &str, text: &str, exists: &dyn Fn(&Path) -> bool) -> Vec<Violation> {
    let mut found = names::check_file(name);
    found.extend(machine_paths::check(name, text));
    found.extend(merges::check(name, text));
    if name.ends_with(".rs") {
        let source = Source::new(name, text);
        found.extend(shape::check(&source));
        found.extend(names::check(&source));
        found.extend(imports::check(&source));
        found.extend(purity::check(&source));
    } else if name.ends_with(".md") {
        found.extend(links::check(name, text, exists));
    } else if name.ends_with("Cargo.toml") {
        found.extend(packages::check(name, text));
    }
    found
}

fn tracked(root: &Path) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let list = process::output(&mut git).context("tidy reads the list of files from git")?;
    let mut files: Vec<String> = list.split_terminator('\0').map(str::to_owned).collect();
    files.sort();
    Ok(files)
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each kind of file reaches its rules: a rule that is no longer called would go unnoticed otherwise.
    #[test]
    fn every_group_of_rules_is_applied() {
        let broken = [
            (
                "netguard/src/engine/observe.rs",
                "//! A.\nuse tokio::time;\n",
                "tokio",
            ),
            (
                "netguard-common/src/parse.rs",
                "//! A.\npub fn f(x: f64) {}\n",
                "f64",
            ),
            ("netguard/src/lib.rs", "//! A.\nfn f() { todo!() }\n", "todo!"),
            (
                "netguard/src/lib.rs",
                "//! A.\nstruct MapManager;\n",
                "MapManager",
            ),
            ("netguard/src/helpers.rs", "//! A.\n", "helpers"),
            ("README.md", "[a](missing.md)\n", "missing.md"),
            ("README.md", "see /root/x\n", "/root/"),
            (
                "netguard-common/Cargo.toml",
                "[dependencies]\nnetguard = {}\n",
                "netguard",
            ),
        ];
        for (name, text, part) in broken {
            let found = check(name, text, &|_| false);
            assert!(
                found.len() == 1 && found[0].problem.contains(part),
                "{name} {text:?}: {found:?}"
            );
        }
    }

    #[test]
    fn a_violation_reads_as_file_line_problem() {
        let violation = Violation {
            file: "a/b.rs".into(),
            line: 7,
            problem: "no".into(),
        };
        assert_eq!(violation.to_string(), "a/b.rs:7: no");
    }
}
