//! Modules: no dead file, no `mod.rs`, no name that says nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Finding;
use super::source::Source;

/// Names that fit everything and so say nothing.
const EMPTY_NAMES: [&str; 8] =
    ["util", "utils", "helper", "helpers", "common", "misc", "manager", "impl"];

pub(super) fn check(crates: &[PathBuf], texts: &BTreeMap<PathBuf, String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut reached = BTreeSet::new();
    for path in texts.keys().filter(|path| is_root(crates, path)) {
        follow(path, true, texts, &mut reached, &mut findings);
    }
    for path in texts.keys().filter(|path| is_rust(path)) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if name == "mod" {
            let what = "a module is `name.rs`, and never `name/mod.rs`";
            findings.push(Finding::new(path, 0, what));
        }
        if EMPTY_NAMES.contains(&name.as_ref()) {
            findings.push(Finding::new(path, 0, nameless(&name)));
        }
        let inside = crates.iter().any(|folder| path.starts_with(folder));
        if inside && !reached.contains(path) {
            findings.push(Finding::new(path, 0, "a dead file: no `mod` leads here"));
        }
    }
    findings
}

fn nameless(name: &str) -> String {
    format!("`{name}` says nothing about what is inside")
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// Whether cargo starts reading here.
fn is_root(crates: &[PathBuf], path: &Path) -> bool {
    let Some(inner) = crates.iter().find_map(|folder| path.strip_prefix(folder).ok()) else {
        return false;
    };
    let parts: Vec<_> = inner.iter().map(|part| part.to_string_lossy()).collect();
    let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
    match parts.as_slice() {
        ["build.rs"] | ["src", "lib.rs" | "main.rs"] | ["src", "bin", _, "main.rs"] => true,
        ["src", "bin", file] | ["tests" | "benches" | "examples", file] => is_rust(Path::new(file)),
        ["tests" | "benches" | "examples", _, "main.rs"] => true,
        _ => false,
    }
}

/// Marks a file and everything that its `mod` lines lead to.
fn follow(
    path: &Path,
    is_root: bool,
    texts: &BTreeMap<PathBuf, String>,
    reached: &mut BTreeSet<PathBuf>,
    findings: &mut Vec<Finding>,
) {
    let Some(text) = texts.get(path) else { return };
    if !reached.insert(path.to_owned()) {
        return;
    }
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let own = if is_root { folder.to_owned() } else { path.with_extension("") };
    for module in declarations(text) {
        for name in &module.nesting {
            if EMPTY_NAMES.contains(&name.as_str()) {
                findings.push(Finding::new(path, module.line, nameless(name)));
            }
        }
        let Some(name) = module.file else { continue };
        let place = match &module.path {
            Some(explicit) => folder.join(explicit),
            None => module.nesting.iter().fold(own.clone(), |at, part| at.join(part)).join(&name),
        };
        let next = if module.path.is_some() { place } else { place.with_extension("rs") };
        follow(&next, false, texts, reached, findings);
    }
}

/// One `mod` line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Declaration {
    line: usize,
    /// The inline modules around it; for an inline module, itself included.
    nesting: Vec<String>,
    /// The name, when the module is in a file of its own.
    file: Option<String>,
    /// What a `#[path]` attribute says.
    path: Option<String>,
}

fn declarations(text: &str) -> Vec<Declaration> {
    let source = Source::new(text);
    let mut all = Vec::new();
    let mut open: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    let mut explicit = None;
    for ((number, code), original) in source.code_lines().zip(text.lines()) {
        if code.trim_start().starts_with("#[path") {
            explicit = original.split('"').nth(1).map(str::to_owned);
        }
        if let Some((name, rest)) = module_name(code) {
            let mut declaration = Declaration {
                line: number,
                nesting: open.iter().map(|(name, _)| name.clone()).collect(),
                path: explicit.take(),
                file: None,
            };
            if rest.starts_with(';') {
                declaration.file = Some(name.to_owned());
            } else {
                open.push((name.to_owned(), depth));
                declaration.nesting.push(name.to_owned());
            }
            all.push(declaration);
        }
        for c in code.chars() {
            match c {
                '{' => depth += 1,
                '}' => {
                    depth -= 1;
                    open.retain(|(_, at)| *at < depth);
                }
                _ => {}
            }
        }
    }
    all
}

/// The name after `mod` at the start of an item, and what follows it.
fn module_name(code: &str) -> Option<(&str, &str)> {
    let mut rest = code.trim_start();
    while rest.starts_with("#[") {
        rest = rest.split_once(']')?.1.trim_start();
    }
    if let Some(after) = rest.strip_prefix("pub") {
        rest = after.trim_start();
        if rest.starts_with('(') {
            rest = rest.split_once(')')?.1.trim_start();
        }
    }
    let rest = rest.strip_prefix("mod ")?.trim_start();
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some((&rest[..end], rest[end..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let texts =
            files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
        let found = check(&[PathBuf::from("crates/a")], &texts);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_file_that_a_mod_leads_to_is_alive() {
        let found = findings(&[
            ("crates/a/src/lib.rs", "pub(crate) mod b;\n#[cfg(test)] mod e;\nmod f { mod g; }\n"),
            ("crates/a/src/b.rs", "mod c;\n#[path = \"odd.rs\"]\nmod d;\n"),
            ("crates/a/src/b/c.rs", ""),
            ("crates/a/src/odd.rs", ""),
            ("crates/a/src/e.rs", ""),
            ("crates/a/src/f/g.rs", ""),
            ("crates/a/src/main.rs", ""),
            ("crates/a/src/bin/x.rs", ""),
            ("crates/a/src/bin/y/main.rs", "mod z;\n"),
            ("crates/a/src/bin/y/z.rs", ""),
            ("crates/a/tests/t.rs", ""),
            ("crates/a/build.rs", ""),
            ("elsewhere/script.rs", ""),
        ]);
        // `mod f { mod g; }` in one line is written on three by rustfmt.
        assert_eq!(found, ["crates/a/src/f/g.rs: a dead file: no `mod` leads here"]);
    }

    #[test]
    fn a_file_inside_an_inline_module_is_alive() {
        let found = findings(&[
            ("crates/a/src/lib.rs", "mod f {\n    mod g;\n}\nmod h;\n"),
            ("crates/a/src/f/g.rs", ""),
            ("crates/a/src/h.rs", ""),
        ]);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn a_file_that_only_a_comment_names_is_dead() {
        let found = findings(&[("crates/a/src/lib.rs", "// mod b;\n"), ("crates/a/src/b.rs", "")]);
        assert_eq!(found, ["crates/a/src/b.rs: a dead file: no `mod` leads here"]);
    }

    #[test]
    fn a_module_that_says_nothing_is_found_as_a_file_and_inline() {
        let found = findings(&[
            ("crates/a/src/lib.rs", "mod utils;\nmod helpers {\n}\n"),
            ("crates/a/src/utils.rs", ""),
        ]);
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn a_mod_file_is_found() {
        let found = findings(&[("crates/a/src/lib.rs", ""), ("crates/a/src/b/mod.rs", "")]);
        assert!(found.iter().any(|line| line.contains("never `name/mod.rs`")), "{found:?}");
    }
}
