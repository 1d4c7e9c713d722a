//! Absolute paths that hold on one machine only, in any text file.

use super::Violation;

const PLACES: [&str; 3] = ["/root/", "/home/", "/work/"];
/// These files name the places in order to find them.
const EXCEPT: [&str; 2] = ["xtask/src/tidy/machine_paths.rs", "xtask/src/tidy.rs"];

/// Finds such a path where it begins, not inside a longer one (`target/work/x`).
pub(crate) fn check(name: &str, text: &str) -> Vec<Violation> {
    if EXCEPT.contains(&name) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for place in PLACES.iter().filter(|place| begins(line, place)) {
            found.push(Violation {
                file: name.to_owned(),
                line: index + 1,
                problem: format!("`{place}` is a path of one machine: make it relative or an argument"),
            });
        }
    }
    found
}

fn begins(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-})*~".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_machine_are_found_and_parts_of_others_are_not() {
        for bad in ["cd /work/x", "\"/root/.cargo\"", "a:/home/me/b", "(/work/)"] {
            assert_eq!(check("a.md", bad).len(), 1, "{bad}");
        }
        for fine in [
            "target/work/x",
            "$HOME/work/",
            "/tmp/x",
            "/sys/fs/bpf",
            "~/work/",
            "$(x)/work/",
            "/workshop",
        ] {
            assert!(check("a.md", fine).is_empty(), "{fine}");
        }
    }
}
