//! Tidy: the rules of the house that no compiler checks.
//!
//! Each rule is a function from text to findings and has a test that shows it
//! can fail. Why the rules are as they are: CONTRIBUTING.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::workspace;

mod cves;
mod files;
mod floors;
mod links;
mod modules;
mod platform;
mod source;
mod words;

use source::Source;

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: PathBuf,
    /// Counted from 1; 0 is the file as a whole.
    line: usize,
    what: String,
}

impl Finding {
    fn new(path: &Path, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path.display(), self.what),
            line => write!(f, "{}:{line}: {}", self.path.display(), self.what),
        }
    }
}

/// Checks everything, prints what is wrong, and says whether nothing is.
pub(crate) fn run(root: &Path) -> Result<bool> {
    let packages = workspace::packages(root)?;
    let texts = workspace::texts(root)?;
    let mut findings = floors::check(&packages);
    findings.extend(check_texts(&texts));
    findings.extend(cves::check(&texts));
    let folders: Vec<_> = packages.iter().map(|package| package.folder.clone()).collect();
    findings.extend(modules::check(&folders, &texts));
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    println!("tidy: {} files, {} findings", texts.len(), findings.len());
    Ok(findings.is_empty())
}

/// Every rule that looks at one file alone.
fn check_texts(texts: &BTreeMap<PathBuf, String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let known: BTreeSet<&Path> = texts.keys().map(PathBuf::as_path).collect();
    for (path, text) in texts {
        findings.extend(words::check_text(path, text));
        if path.extension().is_some_and(|extension| extension == "md") {
            findings.extend(links::check(path, text, &known));
        }
        if path.extension().is_some_and(|extension| extension == "rs") {
            let source = Source::new(text);
            findings.extend(files::check(path, text, &source));
            findings.extend(words::check_source(path, &source));
            findings.extend(platform::check(path, &source));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_itself_is_read() {
        let root = workspace::root();
        let texts = workspace::texts(&root).unwrap();
        assert!(texts.contains_key(Path::new("xtask/src/tidy.rs")));
        assert!(workspace::product(&root).unwrap().contains(&"hsu-core".to_owned()));
    }
}
