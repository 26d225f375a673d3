//! The guide to health: every snippet of it loads as it stands, and checks something.

use std::path::Path;

use hsu_config::{Found, LoadOptions, Os, Source, Surroundings};

#[test]
fn every_snippet_of_the_guide_to_health_loads_and_checks_something() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/health.md");
    let page = std::fs::read_to_string(path).unwrap();
    let here = Surroundings {
        os: Os::Linux,
        environment: [].into(),
        home: Some("/home/u".to_owned()),
        uid: Some(1000),
        temp: "/tmp".to_owned(),
        current: "/srv".to_owned(),
        found: |_| Some(Found::File),
    };
    let mut kinds = std::collections::BTreeSet::new();
    let snippets: Vec<_> = page.split("```yaml\n").skip(1).collect();
    for snippet in &snippets {
        let text = snippet.split("```").next().unwrap();
        let source = Source { name: "guide".to_owned(), text: text.as_bytes().to_vec() };
        let outcome = hsu_config::load(&source, &here, &LoadOptions::default());
        let shown = outcome.diagnostics.render(&source, false);
        let fleet = outcome.fleet.unwrap_or_else(|| panic!("{text}\n{shown}"));
        assert_eq!(outcome.diagnostics.warnings().count(), 0, "{text}\n{shown}");
        let checks = &fleet.workers.first().unwrap().health.checks;
        assert!(!checks.is_empty(), "{text}");
        kinds.extend(
            text.split("type: ").skip(1).map(|word| {
                word.split(|c: char| !c.is_ascii_lowercase()).next().unwrap().to_owned()
            }),
        );
    }
    let wanted = [
        "http",
        "grpc",
        "tcp",
        "exec",
        "script",
        "process",
        "file",
        "database",
        "protocol",
        "log",
        "steps",
        "composite",
        "performance",
        "template",
    ];
    let missing: Vec<_> = wanted.iter().filter(|kind| !kinds.contains(**kind)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
