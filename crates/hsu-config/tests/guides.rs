//! The guides: every YAML snippet in them is a configuration that is taken.

use std::path::Path;

use hsu_config::{LoadOptions, Os, Source, Surroundings};

/// The YAML snippets of a page, with the line that each begins on.
fn snippets(page: &str) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in page.lines().enumerate() {
        match (&mut open, line.trim_end()) {
            (None, "```yaml") => open = Some((number + 2, String::new())),
            (Some(_), "```") => all.extend(open.take()),
            (Some((_, text)), line) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, _) => {}
        }
    }
    all
}

#[test]
fn every_snippet_about_limits_is_taken_without_a_warning() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/limits.md");
    let all = snippets(&std::fs::read_to_string(path).unwrap());
    assert!(all.len() > 2, "{all:?}");
    for (line, text) in all {
        let surroundings = Surroundings {
            os: Os::Linux,
            environment: Default::default(),
            home: Some("/home/u".to_owned()),
            uid: Some(1000),
            temp: "/tmp".to_owned(),
            current: "/srv".to_owned(),
            exists: |_| true,
        };
        let source = Source { name: format!("limits.md, line {line}"), text: text.into_bytes() };
        let outcome = hsu_config::load(&source, &surroundings, &LoadOptions::default());
        let shown = outcome.diagnostics.render(&source, false);
        let fleet = outcome.fleet.unwrap_or_else(|| panic!("{shown}"));
        assert_eq!(outcome.diagnostics.warnings().count(), 0, "{shown}");
        assert!(fleet.workers.iter().all(|worker| worker.limits().is_some()), "line {line}");
    }
}
