//! The verdict: what `validate` says about a file, the same from every program.
//!
//! A file that cannot be read is one more finding, so that programs see one shape
//! whatever is wrong.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::source::{ReadError, Source, named, read, read_stream};
use crate::surroundings::Surroundings;
use crate::{LoadOptions, Outcome};

/// The name that stands for standard input.
const STREAM: &str = "-";

/// What is to be said about a configuration.
#[derive(Debug)]
pub struct Verdict {
    source: Source,
    diagnostics: Diagnostics,
    /// How many workers a valid one has.
    workers: Option<usize>,
    readability: Readability,
}

/// Whether the bytes of a configuration could be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readability {
    /// They could.
    Read,
    /// They could not: the one finding says why.
    Unreadable,
}

/// Judges the file at `path`, or `stream` when the path is `-`.
///
/// A file that cannot be read has a verdict too.
#[must_use]
pub fn validate(
    path: &Path,
    stream: impl Read,
    surroundings: &Surroundings,
    options: &LoadOptions,
) -> Verdict {
    let source = if path == Path::new(STREAM) {
        read_stream("<stdin>", stream, options.limits.bytes)
    } else {
        read(path)
    };
    match source {
        Ok(source) => {
            let Outcome { fleet, diagnostics } = crate::load(&source, surroundings, options);
            let workers = fleet.map(|fleet| fleet.workers.len());
            Verdict { source, diagnostics, workers, readability: Readability::Read }
        }
        Err(error) => Verdict::unreadable(path, &error),
    }
}

impl Verdict {
    fn unreadable(path: &Path, error: &ReadError) -> Self {
        let causes = std::iter::successors(std::error::Error::source(error), |e| e.source());
        let finding = Diagnostic {
            severity: Severity::Error,
            code: "unreadable",
            message: causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}")),
            span: None,
            label: String::new(),
            hint: None,
            related: Vec::new(),
        };
        Self {
            source: Source { name: named(path), text: Vec::new() },
            diagnostics: Diagnostics::new(vec![finding]),
            workers: None,
            readability: Readability::Unreadable,
        }
    }

    /// Whether a master would run it.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.workers.is_some()
    }

    /// Whether there was a text to judge.
    #[must_use]
    pub fn readability(&self) -> Readability {
        self.readability
    }

    /// For people: every finding with its place, and how many workers there are.
    #[must_use]
    pub fn text(&self, color: bool) -> String {
        if self.readability == Readability::Unreadable {
            let lines = self.diagnostics.iter().map(|d| format!("error: {}\n", d.message));
            return lines.collect();
        }
        let mut text = self.diagnostics.render(&self.source, color);
        if let Some(workers) = self.workers {
            // A string takes whatever it is given.
            let noun = if workers == 1 { "worker" } else { "workers" };
            let _ = writeln!(text, "{}: valid, {workers} {noun}", self.source.name);
        }
        text
    }

    /// For programs: `{"file", "valid", "errors", "warnings", "diagnostics": [...]}`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        self.diagnostics.to_json(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[u8] = b"master: {base_directory: /b}\nworkers: [{id: a, type: managed, unit: \
        {managed: {control: {execution: {executable_path: /bin/sleep}}}}}]\n";

    fn keys(verdict: &Verdict) -> Vec<String> {
        let value = verdict.to_json();
        let finding = value["diagnostics"][0].as_object().unwrap();
        value.as_object().unwrap().keys().chain(finding.keys()).cloned().collect()
    }

    fn judge(path: &str, text: &[u8]) -> Verdict {
        let here = Surroundings::of_this_process();
        validate(Path::new(path), text, &here, &LoadOptions::default())
    }

    #[test]
    fn a_dash_is_the_stream_and_a_bad_text_in_it_is_named_after_it() {
        let bad = judge("-", b"workers: [{}]\n");
        assert!(!bad.is_valid());
        assert!(bad.text(false).contains("<stdin>:1"), "{}", bad.text(false));
        let good = judge("-", ONE);
        assert!(good.text(false).ends_with("<stdin>: valid, 1 worker\n"), "{}", good.text(false));
    }

    #[test]
    fn what_cannot_be_read_has_the_same_keys_as_what_is_wrong() {
        let wrong = judge("-", b"workers: [{}]\n");
        let too_long = judge("-", &vec![b'#'; (1 << 20) + 1]);
        assert!(too_long.text(false).contains("has more than 1048576 bytes"));
        for unreadable in [judge("/no/such/file", b""), too_long] {
            assert_eq!(unreadable.readability(), Readability::Unreadable);
            assert_eq!(keys(&unreadable), keys(&wrong));
            assert_eq!(unreadable.to_json()["errors"], 1);
        }
    }
}
