//! Bad configurations: each has one clean answer, and none is taken.
//!
//! A case carries the row of the catalogue of bad inputs it belongs to. "Clean"
//! means: no fleet, an error of the expected kind at the expected line that says
//! the expected words, and nothing in the answer that steers a terminal.
#![expect(clippy::unwrap_used, reason = "what a fixture cannot do fails its test")]

use hsu_config::{Diagnostic, LoadOptions, Os, Outcome, Source, Surroundings};
use hsu_model::worker::{Managed, Unit};

#[path = "bad_input/limits.rs"]
mod limits;
#[path = "bad_input/meaning.rs"]
mod meaning;
#[path = "bad_input/text.rs"]
mod text;
#[path = "bad_input/values.rs"]
mod values;

/// One bad input and its answer.
struct Bad {
    /// Its row in the catalogue.
    row: u8,
    /// The bytes of the file.
    text: Vec<u8>,
    /// The kind of the first error.
    code: &'static str,
    /// The line of the first error; none when it concerns the whole file.
    line: Option<u32>,
    /// What it says, in message, label or hint.
    says: &'static str,
}

fn bad(
    row: u8,
    text: impl Into<Vec<u8>>,
    code: &'static str,
    line: impl Into<Option<u32>>,
    says: &'static str,
) -> Bad {
    Bad { row, text: text.into(), code, line: line.into(), says }
}

/// A host on which nothing exists, with a few variables.
fn surroundings() -> Surroundings {
    let environment = [
        ("NAME", "value".to_owned()),
        ("SNEAKY", "${NAME}\n- id: evil".to_owned()),
        ("BIG", "x".repeat(10 << 20)),
        ("LARGE", "x".repeat(100 << 10)),
    ];
    Surroundings {
        os: Os::Linux,
        environment: environment.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
        home: Some("/home/u".to_owned()),
        uid: Some(1000),
        temp: "/tmp".to_owned(),
        current: "/srv".to_owned(),
        found: |_| None,
    }
}

fn source(text: &[u8]) -> Source {
    Source { name: "hsu.yaml".to_owned(), text: text.to_vec() }
}

fn load(text: &[u8]) -> Outcome {
    hsu_config::load(&source(text), &surroundings(), &LoadOptions::default())
}

/// Everything that an error says.
fn words(error: &Diagnostic) -> String {
    let hint = error.hint.as_deref().unwrap_or_default();
    let related = error.related.iter().map(|related| related.label.as_str());
    let related: Vec<_> = related.collect();
    format!("{} | {} | {hint} | {}", error.message, error.label, related.join(", "))
}

/// Checks every case, and tells all that are answered otherwise at once.
fn refuse(cases: &[Bad]) {
    let mut wrong = Vec::new();
    for case in cases {
        let outcome = load(&case.text);
        let first = outcome.diagnostics.errors().next();
        let got = first.map(|error| (error.code, error.span.map(|s| s.start.line), words(error)));
        let rendered = outcome.diagnostics.render(&source(&case.text), false);
        let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
        let is_clean = outcome.fleet.is_none() && !rendered.contains(steers);
        let expected = got.as_ref().is_some_and(|(code, line, words)| {
            *code == case.code && *line == case.line && words.contains(case.says)
        });
        if !expected || !is_clean {
            let text: String = String::from_utf8_lossy(&case.text).chars().take(300).collect();
            wrong.push(format!(
                "row {}: {text:?}\n  wanted {} at {:?} saying {:?}\n  got {got:?}\n{}",
                case.row,
                case.code,
                case.line,
                case.says,
                rendered.chars().take(800).collect::<String>()
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// The line that [`control`] puts its text on.
const LINE: u32 = 8;

/// A worker with one more line in its `control` section.
fn control(line: &str) -> String {
    format!(
        "workers:\n  - id: w\n    type: managed\n    unit:\n      managed:\n        control:\n          \
         execution: {{ executable_path: /bin/w }}\n          {line}\n"
    )
}

/// A worker with one more line in its `execution` section.
fn execution(line: &str) -> String {
    format!(
        "workers:\n  - id: w\n    type: managed\n    unit:\n      managed:\n        control:\n          \
         execution:\n            {line}\n            executable_path: /bin/w\n"
    )
}

/// A worker, with its name still open; the name is on line 2.
fn named(id: &str) -> String {
    format!(
        "workers:\n  - id: {id}\n    type: managed\n    unit: {{ managed: {{ control: {{ execution: \
         {{ executable_path: /bin/w }} }} }} }}\n"
    )
}

/// The only worker of a file that is taken.
fn managed(text: &str) -> Managed {
    let outcome = load(text.as_bytes());
    let shown = outcome.diagnostics.render(&source(text.as_bytes()), false);
    assert!(outcome.fleet.is_some(), "{text}\n{shown}");
    let unit = outcome.fleet.unwrap().workers.remove(0).unit;
    let Unit::Managed(managed) = unit else { unreachable!("{unit:?}") };
    managed
}
