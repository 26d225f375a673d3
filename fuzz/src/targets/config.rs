//! The configuration: any text, and any value of a variable.

use std::collections::{BTreeMap, BTreeSet};

use hsu_config::{Diagnostics, LoadOptions, Os, Outcome, Source, Span, Surroundings, load};
use hsu_model::master::FleetSpec;
use hsu_model::worker::Unit;

use crate::bytes::Bytes;

fn surroundings(variable: &str) -> Surroundings {
    let environment = [("V", variable), ("NAME", "value"), ("EMPTY", "")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Surroundings {
        os: Os::Linux,
        environment: environment.into(),
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

/// Any bytes: one clean answer.
pub(crate) fn run(input: &[u8]) {
    let source = source(input);
    let surroundings = surroundings("v");
    let options = LoadOptions::default();
    let outcome = load(&source, &surroundings, &options);
    assert_eq!(outcome.fleet.is_none(), outcome.diagnostics.has_errors());
    clean(&outcome.diagnostics, &source);
    let again = load(&source, &surroundings, &options);
    assert_eq!(again.diagnostics, outcome.diagnostics, "the same text has two answers");
    assert_eq!(again.fleet, outcome.fleet, "the same text is two fleets");
    if let Some(fleet) = &outcome.fleet {
        valid(fleet);
        assert!(hsu_config::summary(fleet).is_object());
    }
}

/// Every place is in the text, nothing steers a terminal, and programs get the same.
fn clean(diagnostics: &Diagnostics, source: &Source) {
    let length = source.text.len();
    let inside = |span: &Span| {
        let (start, end) = (span.start.offset as usize, span.end.offset as usize);
        assert!(start <= end && end <= length, "{start}..{end} of {length}");
        assert!(span.start.line >= 1 && span.start.column >= 1, "{span:?}");
    };
    for diagnostic in diagnostics.iter() {
        assert!(!diagnostic.message.is_empty() && !diagnostic.code.is_empty());
        diagnostic.span.iter().for_each(inside);
        diagnostic.related.iter().for_each(|related| inside(&related.span));
    }
    let text = diagnostics.render(source, false);
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    assert!(!text.contains(steers), "{text:?}");
    let most = 400 * 1024 + 64 * length;
    assert!(text.len() <= most, "{} bytes are said about {length}", text.len());
    let json = diagnostics.to_json(source);
    let list = json.get("diagnostics").and_then(|list| list.as_array()).map(Vec::len);
    assert_eq!(list, Some(diagnostics.iter().count()));
}

/// What is resolved can be carried out: nothing is left that means "the default".
fn valid(fleet: &FleetSpec) {
    let names: BTreeSet<String> =
        fleet.workers.iter().map(|worker| worker.id.as_str().to_ascii_lowercase()).collect();
    assert_eq!(names.len(), fleet.workers.len(), "two workers have one name");
    for worker in &fleet.workers {
        let Unit::Managed(managed) = &worker.unit else {
            unreachable!("a file makes managed workers only")
        };
        let execution = &managed.execution;
        assert!(!execution.program.is_empty() && !execution.program.contains('\0'));
        for text in &execution.args {
            assert!(!text.contains('\0') && text.len() < 128 << 10, "{} bytes", text.len());
        }
        for (name, value) in &execution.environment {
            let is_name = !name.is_empty() && !name.contains(['=', '\0']);
            assert!(is_name && !value.contains('\0'), "{name:?}");
        }
        for limit in &execution.rlimits {
            assert!(limit.soft <= limit.hard, "{limit:?}");
        }
        assert!(execution.nice.is_none_or(|nice| (-20..=19).contains(&nice)));
        assert!(execution.umask.is_none_or(|mask| mask <= 0o777));
        let restart = &managed.restart;
        for context in [restart.default, restart.health_failures, restart.resource_violations] {
            assert!(context.retry_delay <= context.max_delay, "{context:?}");
            let sound = context.backoff_rate.is_finite() && context.backoff_rate >= 1.0;
            assert!(sound && (0.0..=1.0).contains(&context.jitter), "{context:?}");
        }
        assert!((1..=64).contains(&managed.stop.signal), "{:?}", managed.stop);
        assert!(managed.pid_file.starts_with('/'), "{}", managed.pid_file);
    }
}

/// Any value of a variable changes one value of the file and nothing else.
pub(crate) fn substitution(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let text = String::from_utf8_lossy(bytes.until_zero()).into_owned();
    let value = String::from_utf8_lossy(bytes.rest()).into_owned();
    let environment: BTreeMap<String, String> =
        [("V".to_owned(), value.clone()), ("NAME".to_owned(), "value".to_owned())].into();
    hsu_config::fuzzing::substitution(&text, &environment);
    let file = "workers:\n  - id: w\n    type: managed\n    unit:\n      managed:\n        control:\n          \
         execution: { executable_path: /bin/w, args: [\"${V}\", last] }\n";
    let source = source(file.as_bytes());
    let Outcome { fleet, diagnostics } =
        load(&source, &surroundings(&value), &LoadOptions::default());
    clean(&diagnostics, &source);
    match fleet {
        None => {
            let shown = diagnostics.render(&source, false);
            let is_long = value.chars().count() > 8;
            assert!(!is_long || !shown.contains(&value), "the value is shown: it may be a secret");
        }
        Some(fleet) => {
            assert_eq!(fleet.workers.len(), 1, "the value made a worker");
            let Some(Unit::Managed(managed)) = fleet.workers.first().map(|worker| &worker.unit)
            else {
                unreachable!("a file makes managed workers only")
            };
            assert_eq!(managed.execution.args, [value.as_str(), "last"]);
        }
    }
}
