//! The guides: every YAML snippet in them is a configuration that is taken.

use std::path::Path;

use hsu_config::{Found, LoadOptions, Os, Source, Surroundings};
use hsu_model::master::FleetSpec;
use hsu_model::worker::Unit;

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

/// A page of the guide whose snippets are loaded, and the fleet of each, with its line.
fn fleets(page: &str) -> Vec<(usize, FleetSpec)> {
    let load = |(line, text): (usize, String)| {
        let surroundings = Surroundings {
            os: Os::Linux,
            environment: Default::default(),
            home: Some("/home/u".to_owned()),
            uid: Some(1000),
            temp: "/tmp".to_owned(),
            current: "/srv".to_owned(),
            found: |_| Some(Found::File),
        };
        let source = Source { name: format!("{page}, line {line}"), text: text.into_bytes() };
        let outcome = hsu_config::load(&source, &surroundings, &LoadOptions::default());
        let shown = outcome.diagnostics.render(&source, false);
        assert_eq!(outcome.diagnostics.warnings().count(), 0, "{shown}");
        assert!(outcome.fleet.is_some(), "{shown}");
        (line, outcome.fleet.expect("a fleet"))
    };
    snippets(&read(page)).into_iter().map(load).collect()
}

fn read(page: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide").join(page);
    std::fs::read_to_string(path).expect("a page")
}

#[test]
fn every_snippet_about_limits_is_taken_without_a_warning() {
    let all = fleets("limits.md");
    assert!(all.len() > 2, "{all:?}");
    for (line, fleet) in all {
        assert!(fleet.workers.iter().all(|worker| worker.limits().is_some()), "line {line}");
    }
}

#[test]
fn every_policy_of_a_limit_stands_in_a_snippet_and_takes_the_action_of_its_name() {
    let mut taken = std::collections::BTreeSet::new();
    for (_, fleet) in fleets("limits.md") {
        let limits = fleet.workers.iter().filter_map(|worker| worker.limits());
        for rule in limits.flat_map(|limits| &limits.rules) {
            taken.extend(rule.ladder.iter().map(|step| step.action.as_str()));
        }
    }
    let written: String = snippets(&read("limits.md")).into_iter().map(|(_, text)| text).collect();
    let actions = [
        "log",
        "alert",
        "throttle",
        "graceful_shutdown",
        "immediate_kill",
        "restart",
        "restart_adjusted",
    ];
    for policy in actions {
        assert!(taken.contains(policy), "{policy}: {taken:?}");
    }
    for policy in ["none", "escalate"] {
        let words = written.split_whitespace();
        let policies = words.clone().zip(words.skip(1)).filter(|(key, _)| *key == "policy:");
        let mut names = policies.map(|(_, name)| name.trim_end_matches(','));
        assert!(names.any(|name| name == policy), "{policy}");
    }
}

#[test]
fn every_snippet_about_notices_is_taken_and_its_worker_is_heard_or_given_sockets() {
    let all = fleets("notices.md");
    assert!(all.len() > 4, "{all:?}");
    for (line, fleet) in all {
        let is_about_it = fleet.workers.iter().all(|worker| match &worker.unit {
            Unit::Managed(managed) => managed.notify.is_on() || !managed.sockets.is_empty(),
            Unit::Unmanaged(_) | Unit::Departed(_) | _ => false,
        });
        assert!(is_about_it, "line {line}");
    }
}
