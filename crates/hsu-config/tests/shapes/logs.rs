//! Shapes of log collection.

use hsu_model::logs::{LogOutput, LogTarget};
use hsu_model::master::FleetSpec;

use super::{At, Shape, built, debug, holds, later, managed, older};

pub(crate) fn shapes() -> Vec<Shape> {
    let mut all = switches();
    all.extend(workers());
    all.extend(targets());
    all.extend(templates_and_rotations());
    all.extend(unbuilt_targets());
    all.extend(unbuilt());
    all
}

/// An output in one line: where, how, and what is before each line.
fn shown(output: &LogOutput) -> String {
    let mut target = debug(&output.target);
    if let LogTarget::File { path, .. } = &output.target {
        target.clone_from(path);
    }
    format!("{target} {:?} {:?}", output.format, output.prefix)
}

fn all_shown(outputs: &[LogOutput]) -> String {
    outputs.iter().map(shown).collect::<Vec<_>>().join("; ")
}

fn together(fleet: &FleetSpec) -> String {
    all_shown(&fleet.aggregation.outputs)
}

fn stdout(fleet: &FleetSpec) -> String {
    all_shown(&managed(fleet).logs.stdout.outputs)
}

fn stderr(fleet: &FleetSpec) -> String {
    all_shown(&managed(fleet).logs.stderr.outputs)
}

fn captured(fleet: &FleetSpec) -> String {
    debug((managed(fleet).logs.stdout.capture, managed(fleet).logs.stderr.capture))
}

fn rotation(fleet: &FleetSpec) -> String {
    let target = &fleet.aggregation.outputs.first().unwrap().target;
    let LogTarget::File { rotation, .. } = target else { unreachable!("{target:?}") };
    format!("{} {} {:?}", rotation.max_size.0, rotation.max_files, rotation.max_age)
}

const FOLDER: &str = "/home/u/.local/share/logs/hsu-master/logs";

fn switches() -> Vec<Shape> {
    use At::Logs;
    vec![
        built(
            Logs,
            "enabled: true",
            together,
            leaked(format!("{FOLDER}/aggregated.log EnhancedPlain \"\"")),
        ),
        built(
            Logs,
            "enabled: true",
            stdout,
            leaked(format!("{FOLDER}/workers/w-stdout.log EnhancedPlain \"\"")),
        ),
        built(
            Logs,
            "enabled: true",
            stderr,
            leaked(format!("{FOLDER}/workers/w-stderr.log EnhancedPlain \"\"")),
        ),
        built(
            Logs,
            "enabled: true, global_aggregation: {}",
            rotation,
            "100000000 10 Some(604800s)",
        ),
        built(Logs, "enabled: false", captured, "(false, false)"),
        built(Logs, "global_aggregation: { enabled: false }", together, ""),
    ]
}

fn workers() -> Vec<Shape> {
    use At::{Control, Logs, Worker};
    vec![
        built(Logs, "default_worker: { capture_stderr: false }", captured, "(true, false)"),
        built(Logs, "default: { capture_stdout: false }", captured, "(false, true)"),
        built(Logs, "default_worker: { enabled: false }", captured, "(false, false)"),
        built(
            Logs,
            "default_worker: { on_full: drop }",
            |f| debug(managed(f).logs.on_full),
            "Drop",
        ),
        built(
            Control,
            "log_collection: { enabled: true, on_full: block }",
            |f| debug(managed(f).logs.on_full),
            "Block",
        ),
        built(
            Control,
            "log_collection: { enabled: true, capture_stdout: false }",
            captured,
            "(false, true)",
        ),
        built(
            Worker,
            "log_collection: { enabled: true, capture_stderr: false }",
            captured,
            "(true, false)",
        ),
        built(
            Logs,
            "default_worker: { outputs: { separate: { stdout: [], stderr: [{ type: file, path: /e.log }] } } }",
            |f| format!("{} | {}", stdout(f), stderr(f)),
            " | /e.log EnhancedPlain \"\"",
        ),
        built(
            Logs,
            "system: { worker_directory: own }",
            stdout,
            leaked(format!("{FOLDER}/own/w-stdout.log EnhancedPlain \"\"")),
        ),
        built(
            Logs,
            "system: { process_directory: /own }",
            stdout,
            "/own/w-stdout.log EnhancedPlain \"\"",
        ),
    ]
}

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn targets() -> Vec<Shape> {
    use At::Target;
    let own = |text, means| built(Target, text, together, means);
    vec![
        own("type: file, path: /a.log", "/a.log EnhancedPlain \"\""),
        own("type: file, path: /a.log, format: plain", "/a.log Plain \"\""),
        own("type: file, path: /a.log, format: enhanced_plain", "/a.log EnhancedPlain \"\""),
        own("type: file, path: /a.log, format: json, prefix: \"[x]\"", "/a.log Json \"[x]\""),
        own("type: file, path: /a.log, format: structured_json", "/a.log Json \"\""),
        own("type: stdout", "MasterStdout EnhancedPlain \"\""),
        own("type: master_stdout", "MasterStdout EnhancedPlain \"\""),
        own("type: process_manager_stdout", "MasterStdout EnhancedPlain \"\""),
        own("type: stderr", "MasterStderr EnhancedPlain \"\""),
        own("type: master_stderr", "MasterStderr EnhancedPlain \"\""),
        own("type: process_manager_stderr", "MasterStderr EnhancedPlain \"\""),
    ]
}

fn templates_and_rotations() -> Vec<Shape> {
    use At::Target;
    vec![
        built(
            Target,
            "type: file, path: \"/{worker_id}.log\"",
            stdout,
            leaked(format!(
                "{FOLDER}/workers/w-stdout.log EnhancedPlain \"\"; /w.log EnhancedPlain \"\""
            )),
        ),
        built(
            Target,
            "type: stdout, prefix: \"[{process_id}-OUT]\"",
            stdout,
            leaked(format!(
                "{FOLDER}/workers/w-stdout.log EnhancedPlain \"\"; MasterStdout EnhancedPlain \"[w-OUT]\""
            )),
        ),
        built(
            Target,
            "type: file, path: a, rotation: { max_size: 512KB, max_files: 2, max_age: 1d }",
            rotation,
            "512000 2 Some(86400s)",
        ),
        built(
            Target,
            "type: file, path: a, rotation: { max_size: 50MB }",
            rotation,
            "50000000 10 Some(604800s)",
        ),
        built(
            Target,
            "type: file, path: a, rotation: { max_size: 1048576 }",
            rotation,
            "1048576 10 Some(604800s)",
        ),
        built(
            Target,
            "type: file, path: a, rotation: { max_size: unlimited, max_files: unlimited, max_age: unlimited }",
            rotation,
            "18446744073709551615 0 None",
        ),
    ]
}

fn unbuilt_targets() -> Vec<Shape> {
    use At::Target;
    vec![
        later(
            Target,
            "type: syslog, facility: local0, severity: error",
            &[
                "outputs of type `syslog`",
                "`facility` is not built yet",
                "`severity` is not built yet",
            ],
        ),
        later(
            Target,
            "type: elasticsearch, endpoint: \"http://h\", index: i, config: { any: [thing] }",
            &[
                "outputs of type `elasticsearch`",
                "`endpoint` is not",
                "`index` is not",
                "`config` is not",
            ],
        ),
        later(
            Target,
            "type: file, path: a, authentication: { type: basic, username: u, password: \"${SECRET}\" }",
            &["`authentication` is not built yet"],
        ),
        later(
            Target,
            "type: file, path: a, authentication: { type: token, token: t }",
            &["`authentication` is not"],
        ),
        later(
            Target,
            "type: file, path: a, authentication: { type: certificate, cert_file: c, key_file: k }",
            &["`authentication` is not"],
        ),
    ]
}

fn unbuilt() -> Vec<Shape> {
    use At::{Control, Logs};
    let both = "aggregation: { mode: both, targets: { aggregate: [{ type: file, path: a }], separate: { stdout: [], stderr: [] } } }";
    vec![
        later(
            Logs,
            "enhancement: { enabled: true, parsers: [{ type: json, config: {}, enabled: true }, { type: logfmt }, { type: timestamp_extraction }], metadata: { add_master_id: true, add_hostname: true, add_timestamp: true, add_sequence: true, add_line_number: true }, enrichers: [{ type: regex, config: { pattern: x }, enabled: true }, { type: json_extract }, { type: geo_ip }] }",
            &["`enhancement` is not built yet"],
        ),
        later(
            Logs,
            "enhancement: { metadata: { add_process_manager_id: true } }",
            &["`enhancement` is not built yet"],
        ),
        later(
            Logs,
            "default_worker: { buffering: { size: 1MB, flush_interval: 3s, max_lines: 2000 } }",
            &["`buffering` is not built yet"],
        ),
        later(
            Logs,
            "default_worker: { processing: { parse_structured: true, add_metadata: true, filters: { exclude_patterns: [a], include_patterns: [b], level_filter: debug }, parsers: [{ type: json }] } }",
            &["`processing` is not built yet"],
        ),
        later(
            Control,
            "log_collection: { processing: { filters: { level_filter: warning } } }",
            &["`processing` is not built yet"],
        ),
        later(
            Logs,
            "default_worker: { outputs: { forwarding: [{ type: elasticsearch }] } }",
            &["`forwarding` is not built yet"],
        ),
        later(Logs, "system: { buffer_size: 1MB }", &["`buffer_size` is not built yet"]),
        later(Logs, "system: { flush_interval: 5s }", &["`flush_interval` is not built yet"]),
        later(Logs, "system: { max_workers: 100 }", &["`max_workers` is not built yet"]),
        later(Logs, "system: { max_managed_processes: 100 }", &["`max_workers` is not built yet"]),
        later(Logs, "system: { max_processes: 100 }", &["`max_workers` is not built yet"]),
        later(
            Logs,
            "system: { metrics: { enabled: true, interval: 30s, targets: [{ type: file, path: m }] } }",
            &["`metrics` is not built yet"],
        ),
        older(
            Control,
            leaked(format!("log_collection: {{ {both} }}")),
            |_| String::new(),
            "",
            &["`aggregation` is not built yet"],
        ),
        later(
            Control,
            "log_collection: { aggregation: { mode: separate } }",
            &["`aggregation` is not built yet"],
        ),
        later(
            Control,
            "log_collection: { aggregation: { mode: aggregate } }",
            &["`aggregation` is not built yet"],
        ),
        later(
            Control,
            "log_collection: { aggregation: { mode: disabled } }",
            &["`aggregation` is not built yet"],
        ),
    ]
}

#[test]
fn log_collection_means_what_is_documented() {
    holds(&shapes());
}
