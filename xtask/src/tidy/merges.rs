//! What a merge left open: the marks between which both sides stand. No compiler looks into documents.

use super::Violation;

/// Begin and end of a conflict, as git marks them.
const MARKS: [&str; 2] = ["<<<<<<< ", ">>>>>>> "];

pub(super) fn check(name: &str, text: &str) -> Vec<Violation> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| MARKS.iter().any(|mark| line.starts_with(mark)))
        .map(|(index, _)| Violation {
            file: name.to_owned(),
            line: index + 1,
            problem: "a conflict of a merge stands here: decide it".to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_marks_are_found_where_a_line_begins_with_them() {
        let conflict = ["<<<<<<< HEAD", "ours", "=======", "theirs", ">>>>>>> branch"].join("\n");
        let lines: Vec<usize> = check("README.md", &conflict)
            .iter()
            .map(|found| found.line)
            .collect();
        assert_eq!(lines, [1, 5]);
        assert_eq!(check("README.md", "a <<<<<<< b\n=======\n"), []);
    }
}
