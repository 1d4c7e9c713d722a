//! Which package may depend on which of ours: the arrows of the architecture, read from the manifests.

use toml::Table;

use super::Violation;

/// Manifest and the packages of this repository that it may depend on.
const ARROWS: [(&str, &[&str]); 6] = [
    ("netguard-common/Cargo.toml", &[]),
    ("netguard-ebpf/Cargo.toml", &["netguard-common"]),
    ("netguard/Cargo.toml", &["netguard-common"]),
    ("tests/Cargo.toml", &["netguard", "netguard-common"]),
    (
        "tests/fuzz/Cargo.toml",
        &["netguard", "netguard-common", "netguard-tests"],
    ),
    ("xtask/Cargo.toml", &[]),
];
const OURS: [&str; 5] = [
    "netguard",
    "netguard-common",
    "netguard-ebpf",
    "netguard-tests",
    "xtask",
];
const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
/// Tests may borrow from anywhere for themselves.
const FREE: (&str, &str) = ("tests/Cargo.toml", "dev-dependencies");

/// Checks one manifest.
pub(crate) fn check(name: &str, text: &str) -> Vec<Violation> {
    let violation = |line, problem| Violation {
        file: name.to_owned(),
        line,
        problem,
    };
    let manifest: Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => {
            return vec![violation(
                1,
                format!("not TOML: {}", error.to_string().replace('\n', " ")),
            )];
        }
    };
    let is_workspace_only = manifest.contains_key("workspace") && !manifest.contains_key("package");
    if is_workspace_only {
        return Vec::new();
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(manifest, _)| *manifest == name) else {
        return vec![violation(
            1,
            "a new package: say in xtask/src/tidy/packages.rs which of ours it may use".to_owned(),
        )];
    };
    ours(&manifest)
        .into_iter()
        .filter(|(kind, package)| !allowed.contains(&package.as_str()) && (name, *kind) != FREE)
        .map(|(kind, package)| {
            let problem = format!("[{kind}] `{package}`: this package may use {}", listed(allowed));
            violation(line_of(text, &package), problem)
        })
        .collect()
}

/// `(kind, package)` of each dependency on one of ours, those of single targets included.
fn ours(manifest: &Table) -> Vec<(&'static str, String)> {
    let targets = manifest.get("target").and_then(|target| target.as_table());
    let tables = targets
        .into_iter()
        .flatten()
        .filter_map(|(_, target)| target.as_table());
    let mut found = Vec::new();
    for table in std::iter::once(manifest).chain(tables) {
        for kind in KINDS {
            for (key, value) in table
                .get(kind)
                .and_then(|kind| kind.as_table())
                .into_iter()
                .flatten()
            {
                // `alias = { package = "name" }`
                let package = value
                    .get("package")
                    .and_then(|package| package.as_str())
                    .unwrap_or(key);
                if OURS.contains(&package) {
                    found.push((kind, package.to_owned()));
                }
            }
        }
    }
    found
}

/// The line that names a dependency, for the message only.
fn line_of(text: &str, package: &str) -> usize {
    let names = |line: &str| {
        line.contains(&format!("\"{package}\""))
            || line
                .trim_start()
                .strip_prefix(package)
                .is_some_and(|rest| rest.starts_with([' ', '=', '.']))
    };
    text.lines().position(names).map_or(1, |index| index + 1)
}

fn listed(allowed: &[&str]) -> String {
    if allowed.is_empty() {
        "none of ours".to_owned()
    } else {
        format!("only {}", allowed.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(name: &str, text: &str) -> Vec<usize> {
        check(name, text).into_iter().map(|found| found.line).collect()
    }

    #[test]
    fn arrows_point_one_way() {
        let package = "[package]\nname = \"x\"\n[dependencies]\nanyhow = \"1\"\n";
        assert!(
            lines(
                "netguard/Cargo.toml",
                &format!("{package}netguard-common.workspace = true\n")
            )
            .is_empty()
        );
        assert_eq!(
            lines(
                "netguard-common/Cargo.toml",
                &format!("{package}netguard.workspace = true\n")
            ),
            [5]
        );
        assert_eq!(
            lines(
                "xtask/Cargo.toml",
                &format!("{package}netguard-common = {{ path = \"y\" }}\n")
            ),
            [5]
        );
        assert_eq!(
            lines(
                "netguard/Cargo.toml",
                &format!("{package}[dev-dependencies]\nnetguard-tests = {{}}\n")
            ),
            [6]
        );
        assert!(
            lines(
                "tests/Cargo.toml",
                &format!("{package}[dev-dependencies]\nnetguard-ebpf = {{}}\n")
            )
            .is_empty()
        );
    }

    #[test]
    fn aliases_and_single_targets_do_not_hide_an_arrow() {
        let alias = "[dependencies]\nn = { package = \"netguard\", path = \"../netguard\" }\n";
        assert_eq!(lines("netguard-ebpf/Cargo.toml", alias), [2]);
        let target = "[target.'cfg(unix)'.dependencies]\nnetguard.workspace = true\n";
        assert_eq!(lines("netguard-ebpf/Cargo.toml", target), [2]);
    }

    #[test]
    fn a_package_without_arrows_is_asked_for_them() {
        assert_eq!(lines("extra/Cargo.toml", "[package]\nname = \"extra\"\n"), [1]);
        assert!(
            lines(
                "Cargo.toml",
                "[workspace]\n[workspace.dependencies]\nnetguard = {}\n"
            )
            .is_empty()
        );
        assert_eq!(lines("extra/Cargo.toml", "[package\n"), [1]);
    }
}
