//! Links: what a Markdown file points at inside the repository is there.
//!
//! Two forms are checked: the target of a link, and a path in backquotes that
//! begins with a folder of ours. A map that leads nowhere is worse than none.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::Finding;

/// A quoted path that begins so is meant from the root of the repository.
const FOLDERS: [&str; 7] =
    ["crates/", "fuzz/", "docs/", "xtask/", "examples/", "bench/adapters/", ".ci/"];

/// `known` holds every file that git knows.
pub(super) fn check(path: &Path, text: &str, known: &BTreeSet<&Path>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    for (at, line) in text.lines().enumerate() {
        for target in targets(line) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !is_there(&normal(&folder.join(file)), known) {
                findings.push(Finding::new(path, at + 1, format!("a link to nowhere: {target}")));
            }
        }
        for quoted in line.split('`').skip(1).step_by(2) {
            let is_ours = FOLDERS.iter().any(|folder| quoted.starts_with(folder));
            let is_pattern = quoted.contains(['*', '<', '{', ' ', ':']);
            if is_ours && !is_pattern && !is_there(&normal(Path::new(quoted)), known) {
                findings.push(Finding::new(path, at + 1, format!("no such file: {quoted}")));
            }
        }
    }
    findings
}

/// The targets of the links of a line that stay inside the repository.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(')')?.0))
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
}

/// A file, or a folder that holds one.
fn is_there(path: &Path, known: &BTreeSet<&Path>) -> bool {
    known.iter().any(|file| file.starts_with(path))
}

/// The path without `.` and `..`; a `..` too many is dropped.
fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name),
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        let known = BTreeSet::from([Path::new("docs/design/0001-a.md"), Path::new("README.md")]);
        check(Path::new("docs/guide/a.md"), text, &known).len()
    }

    #[test]
    fn links_to_what_is_there_are_fine() {
        for text in [
            "[a](../design/0001-a.md)",
            "[a](../design/0001-a.md#context) and [b](../../README.md)",
            "[a](../design)",
            "[a](https://example.org/x) [b](#below)",
            "`docs/design/0001-a.md` and `docs/design/` and `crates/*/src` and `target/x`",
        ] {
            assert_eq!(count(text), 0, "{text}");
        }
    }

    #[test]
    fn links_to_nowhere_are_found() {
        for text in ["[a](0001-a.md)", "see [b](../../readme.md).", "`docs/design/0002-b.md`"] {
            assert_eq!(count(text), 1, "{text}");
        }
    }
}
