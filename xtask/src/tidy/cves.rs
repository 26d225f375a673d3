//! Security map: every test that `docs/security/cve-map.md` names exists.
//!
//! A row of a table names a test as `file.rs:name`, or says that it is not
//! applicable or open. A map that leads nowhere is worse than none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Finding;
use super::source::has_word;

/// The map.
const MAP: &str = "docs/security/cve-map.md";
/// Rows that it has at least.
const LEAST: usize = 60;

pub(super) fn check(texts: &BTreeMap<PathBuf, String>) -> Vec<Finding> {
    let map = Path::new(MAP);
    let Some(text) = texts.get(map) else {
        return vec![Finding::new(map, 0, "the map of CVEs and incidents is missing")];
    };
    let (findings, rows) = check_map(map, text, texts);
    let few = (rows < LEAST).then(|| format!("{rows} rows; it has at least {LEAST}"));
    few.into_iter().map(|what| Finding::new(map, 0, what)).chain(findings).collect()
}

fn check_map(map: &Path, text: &str, texts: &BTreeMap<PathBuf, String>) -> (Vec<Finding>, usize) {
    let (mut findings, mut rows) = (Vec::new(), 0);
    for (at, line) in text.lines().enumerate() {
        let tests: Vec<_> = line.split('`').skip(1).step_by(2).filter_map(test).collect();
        for (file, name) in &tests {
            let known = texts.get(Path::new(file)).is_some_and(|source| defines(source, name));
            if !known {
                let what = format!("no such test: {file}:{name}");
                findings.push(Finding::new(map, at + 1, what));
            }
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let is_row = cells.len() == 6 && cells.get(1) != Some(&"source") && !line.contains("---");
        if is_row {
            rows += 1;
            let here = cells.get(4).copied().unwrap_or_default();
            let is_told = here.starts_with("not applicable: ") || here.contains("open: ");
            if tests.is_empty() && !is_told {
                let what = "a row names a test, or says `not applicable: ...` or `open: ...`";
                findings.push(Finding::new(map, at + 1, what));
            }
        }
    }
    (findings, rows)
}

/// A quoted text that names a test.
fn test(quoted: &str) -> Option<(&str, &str)> {
    let (file, name) = quoted.split_once(".rs:")?;
    let file = quoted.get(..file.len() + ".rs".len())?;
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some((file, name))
}

fn defines(source: &str, name: &str) -> bool {
    source.lines().any(|line| line.trim_start().starts_with("fn ") && has_word(line, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(row: &str) -> Vec<String> {
        let source = "#[test]\nfn a_test_that_exists() {}\n";
        let texts = BTreeMap::from([(PathBuf::from("a/b.rs"), source.to_owned())]);
        let (found, _) = check_map(Path::new("map.md"), row, &texts);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_row_with_a_test_that_exists_or_with_a_reason_is_fine() {
        for here in ["`a/b.rs:a_test_that_exists`", "not applicable: x", "open: y", "a; open: y"] {
            assert_eq!(findings(&format!("| CVE | of | what | {here} |")), [""; 0], "{here}");
        }
        assert_eq!(findings("| source | of | what | here |\n|---|---|---|---|"), [""; 0]);
    }

    #[test]
    fn a_row_that_names_nothing_or_what_is_not_there_is_found() {
        for here in ["", "fine", "`a/b.rs:a_test`", "`a/c.rs:a_test_that_exists`"] {
            assert!(!findings(&format!("| CVE | of | what | {here} |")).is_empty(), "{here}");
        }
    }
}
