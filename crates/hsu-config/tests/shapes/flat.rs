//! Shapes of the flat form, of workers by name, and of files that mix the dialects.

use super::limits::limits;
use super::{At, Shape, cause, debug, holds, load, managed, older};

const FLAT: &str = "`control` is an old form";

pub(crate) fn shapes() -> Vec<Shape> {
    let mut all = controls();
    all.extend(flat_sections());
    all
}

fn controls() -> Vec<Shape> {
    use At::{Flat, FlatControl};
    vec![
        older(
            FlatControl,
            "arguments: [--config, prod.yaml]",
            |f| debug(&managed(f).execution.args),
            r#"["--config", "prod.yaml"]"#,
            &["an old form"],
        ),
        older(
            FlatControl,
            "working_directory: /opt",
            |f| debug(&managed(f).execution.working_directory),
            "At(\"/opt\")",
            &["an old form"],
        ),
        older(
            FlatControl,
            "environment: { ENV: production }",
            |f| debug(&managed(f).execution.environment),
            r#"[("ENV", "production")]"#,
            &["an old form"],
        ),
        older(
            FlatControl,
            "shutdown_timeout: 10s",
            |f| debug(managed(f).stop.graceful_timeout),
            "10s",
            &["an old form"],
        ),
        older(
            FlatControl,
            "startup_timeout: 60s",
            |f| managed(f).execution.program.clone(),
            "/bin/w",
            &[FLAT, "`startup_timeout` is not built yet"],
        ),
        older(
            Flat,
            "metadata: { name: N }",
            |f| f.workers[0].metadata.name.clone(),
            "N",
            &["an old form"],
        ),
    ]
}

fn flat_sections() -> Vec<Shape> {
    use At::Flat;
    vec![
        older(
            Flat,
            "restart_policy: { strategy: always, max_attempts: 7, restart_delay: 2s, backoff_multiplier: 3 }",
            |f| format!("{:?} {}", managed(f).restart.policy, cause(managed(f).restart.default)),
            "Always 7 2s 3",
            &["an old form"],
        ),
        older(
            Flat,
            "restart_policy: { strategy: on_failure }",
            |f| debug(managed(f).restart.policy),
            "OnFailure",
            &["an old form"],
        ),
        older(
            Flat,
            "restart_policy: { strategy: never }",
            |f| debug(managed(f).restart.policy),
            "Never",
            &["an old form"],
        ),
        older(
            Flat,
            "logging: { capture_stdout: true, capture_stderr: false }",
            |f| debug((managed(f).logs.stdout.capture, managed(f).logs.stderr.capture)),
            "(true, false)",
            &["an old form"],
        ),
        older(
            Flat,
            "logging: { buffer_size: 8192 }",
            |f| debug(managed(f).logs.stdout.capture),
            "false",
            &["an old form", "`buffer_size` is not built yet"],
        ),
        older(
            Flat,
            "health_check: { enabled: true, interval: 30s, timeout: 5s, initial_delay: 1s, failure_threshold: 3, http_endpoint: \"http://h/\", method: GET, expected_status: [200, 204], expected_body: ok, grpc_service: \"h:1\", grpc_health_check: true }",
            super::checks::checks,
            "http http [Readiness, Liveness] 30s/5s/1s 3:1",
            &["an old form"],
        ),
        older(
            Flat,
            "health_check_run_options: { enabled: true, interval: 30s, timeout: 5s, initial_delay: 1s, retries: 3 }",
            super::checks::checks,
            "process process [Readiness, Liveness] 30s/5s/1s 3:1",
            &["an old form"],
        ),
        older(
            Flat,
            "health_check: { grpc_service: \"h:1\" }, health_check_run_options: { failure_threshold: 4 }",
            super::checks::checks,
            "grpc grpc [Readiness, Liveness] 30s/5s/0ns 4:1",
            &["an old form"],
        ),
        older(
            Flat,
            "resource_limits: { max_memory_mb: 512, max_cpu_percent: 80.0, max_file_descriptors: 64 }",
            limits,
            "memory.max_rss=536870912 cpu.max_percent=800 process.max_file_descriptors=64",
            &["an old form"],
        ),
    ]
}

#[test]
fn the_flat_form_means_what_is_documented() {
    holds(&shapes());
}

#[test]
fn workers_by_name_are_the_workers_of_a_list() {
    let unit =
        "type: managed, unit: { managed: { control: { execution: { executable_path: /bin/w } } } }";
    for text in [
        format!("workers: {{ one: {{ {unit} }} }}"),
        format!("managed_processes: {{ one: {{ id: one, {unit} }} }}"),
    ] {
        let outcome = load(&text);
        assert_eq!(outcome.fleet.unwrap().workers[0].id.as_str(), "one");
        let warnings: Vec<_> = outcome.diagnostics.warnings().map(|w| w.message.clone()).collect();
        assert_eq!(warnings, ["workers by name are an old form"]);
    }
}

#[test]
fn one_file_may_mix_the_dialects() {
    let text = "{ process_manager: { log_level: warn }, workers: [{ id: a, type: standard_managed, management: { managed: { control: \
        { execution: { executable_path: /bin/a }, restart_policy: on_failure } } } }] }";
    let outcome = load(text);
    assert!(outcome.diagnostics.is_empty(), "{:?}", outcome.diagnostics);
    assert_eq!(managed(&outcome.fleet.unwrap()).execution.program, "/bin/a");
}

#[test]
fn an_empty_list_of_workers_is_a_master_that_waits() {
    for text in ["workers: []", "managed_processes: []"] {
        let outcome = load(text);
        assert_eq!(outcome.fleet.unwrap().workers, []);
        assert_eq!(outcome.diagnostics.warnings().count(), 1);
    }
}

#[test]
fn the_section_of_the_type_is_there_and_no_other() {
    let entry = |kind: &str, unit: &str| {
        format!("workers: [{{ id: w, type: {kind}, unit: {{ {unit} }} }}]")
    };
    let control = "control: { execution: { executable_path: /bin/w } }";
    for (kind, unit, says) in [
        ("managed", String::new(), "`managed` is missing"),
        (
            "managed",
            format!("managed: {{ {control} }}, unmanaged: {{}}"),
            "a `unmanaged` section in a worker of type `managed`",
        ),
        ("managed", format!("integrated: {{ {control} }}"), "a `integrated` section"),
        ("unmanaged", "unmanaged: {}".to_owned(), "`discovery` is missing"),
        (
            "unmanaged",
            "unmanaged: { discovery: { method: pid-file } }".to_owned(),
            "`pid_file` is missing",
        ),
        (
            "unmanaged",
            "unmanaged: { discovery: { method: pid-file, pid_file: x } }".to_owned(),
            "is absolute",
        ),
        ("integrated", "integrated: {}".to_owned(), "`control` is missing"),
        (
            "managed",
            format!("managed: {{ {control}, health_check: {{ type: http }} }}"),
            "`http` is missing",
        ),
        (
            "managed",
            format!(
                "managed: {{ {control}, health_check: {{ type: tcp, tcp: {{ address: h }} }} }}"
            ),
            "`port` is missing",
        ),
        (
            "managed",
            format!(
                "managed: {{ {control}, health_check: {{ run_options: {{ interval: 5s, timeout: 5s }} }} }}"
            ),
            "the next begins after",
        ),
        ("robot", format!("managed: {{ {control} }}"), "is not a word that is known here"),
    ] {
        let outcome = load(&entry(kind, &unit));
        let errors: Vec<_> = outcome.diagnostics.errors().map(|e| e.message.clone()).collect();
        assert!(errors.iter().any(|error| error.contains(says)), "{kind} {unit}: {errors:?}");
    }
}

#[test]
fn the_files_of_the_predecessors_load() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for (name, workers) in [
        ("anchors.yaml", 2),
        ("design-document.yaml", 1),
        ("flat-dialect.yaml", 1),
        // All but the integrated one.
        ("kinds.yaml", 8),
        ("legacy.yaml", 3),
        ("log-collection.yaml", 3),
        ("manager-dialect.yaml", 1),
        ("master-dialect.yaml", 2),
        ("minimal.yaml", 1),
        ("own-keys.yaml", 1),
    ] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let outcome = load(&text.replace("${PASSWORD}", "${SECRET}"));
        let errors: Vec<_> = outcome.diagnostics.errors().collect();
        let loaded = outcome.fleet.as_ref().map(|fleet| fleet.workers.len());
        assert_eq!(loaded, Some(workers), "{name}: {errors:?}");
    }
}
