//! Relative links in the documents lead to files that exist.

use std::path::{Component, Path, PathBuf};

use super::Violation;

/// Checks `[text](target)` and `[name]: target` outside code. `exists` answers for paths relative to the root.
pub(crate) fn check(name: &str, text: &str, exists: &dyn Fn(&Path) -> bool) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for target in targets(&without_code(line)) {
            if let Some(path) = relative(name, &target)
                && !path.is_some_and(|path| exists(&path))
            {
                found.push(Violation {
                    file: name.to_owned(),
                    line: index + 1,
                    problem: format!("link to `{target}`: no such file in the repository"),
                });
            }
        }
    }
    found
}

/// The text outside `code spans`.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("``")
}

fn targets(line: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for (at, opening) in line.match_indices("](") {
        let rest = &line[at + opening.len()..];
        let end = rest.find([')', ' ']).unwrap_or(rest.len());
        targets.push(rest[..end].to_owned());
    }
    if line.trim_start().starts_with('[')
        && let Some((_, rest)) = line.split_once("]: ")
    {
        targets.extend(rest.split_whitespace().next().map(str::to_owned));
    }
    targets
}

/// `None`: not a link to a file. `Some(None)`: leads out of the repository.
fn relative(name: &str, target: &str) -> Option<Option<PathBuf>> {
    let target = target.trim_matches(['<', '>']);
    let file = target.split('#').next().unwrap_or_default();
    if file.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let mut path = Path::new(name).parent().unwrap_or(Path::new("")).to_path_buf();
    for component in Path::new(file).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir if path.pop() => {}
            _ => return Some(None),
        }
    }
    Some(Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(name: &str, text: &str) -> Vec<usize> {
        let exists = |path: &Path| path == Path::new("docs/map.md") || path == Path::new("README.md");
        check(name, text, &exists)
            .into_iter()
            .map(|found| found.line)
            .collect()
    }

    #[test]
    fn links_are_resolved_from_their_file() {
        assert!(
            broken(
                "README.md",
                "[a](docs/map.md) [b](./docs/map.md#part)\n[c]: docs/map.md\n"
            )
            .is_empty()
        );
        assert!(broken("docs/map.md", "[up](../README.md) [here](map.md)\n").is_empty());
        assert_eq!(
            broken(
                "docs/map.md",
                "x\n[gone](README.md) and ![p](no.png)\n[d]: gone.md\n"
            ),
            [2, 2, 3]
        );
        assert_eq!(
            broken("README.md", "[out](../other/README.md)\n[abs](/etc/passwd)\n"),
            [1, 2]
        );
    }

    #[test]
    fn the_web_anchors_and_code_are_left_alone() {
        let text =
            "[w](https://example.org/x) [m](mailto:a@b.c) [h](#part) `[c](gone)`\n```\n[f](gone)\n```\n";
        assert!(broken("README.md", text).is_empty());
    }
}
