//! Shapes of the root, the master, a worker's entry and what it executes.

use super::{At, Shape, built, debug, holds, later, managed, older};

pub(crate) fn shapes() -> Vec<Shape> {
    let mut all = masters();
    all.extend(master_folders());
    all.extend(master_sections());
    all.extend(entries());
    all.extend(executions());
    all.extend(identities());
    all.extend(process_files());
    all
}

fn masters() -> Vec<Shape> {
    use At::Master;
    vec![
        Shape {
            look: |f| debug(f.master.port),
            means: "50056",
            ..later(Master, "port: 50056", &["`port` is not built yet"])
        },
        built(Master, "log_level: error", |f| debug(f.master.log_level), "Error"),
        built(Master, "log_level: warn", |f| debug(f.master.log_level), "Warn"),
        built(Master, "log_level: warning", |f| debug(f.master.log_level), "Warn"),
        built(Master, "log_level: info", |f| debug(f.master.log_level), "Info"),
        built(Master, "log_level: debug", |f| debug(f.master.log_level), "Debug"),
        built(Master, "log_level: trace", |f| debug(f.master.log_level), "Trace"),
        built(
            Master,
            "force_shutdown_timeout: 1.5h",
            |f| debug(f.master.force_shutdown_timeout),
            "5400s",
        ),
        built(
            Master,
            "force_shutdown_timeout: 2h45m",
            |f| debug(f.master.force_shutdown_timeout),
            "9900s",
        ),
        built(
            Master,
            "force_shutdown_timeout: 3d",
            |f| debug(f.master.force_shutdown_timeout),
            "259200s",
        ),
        older(
            Master,
            "force_shutdown_timeout: 0s",
            |f| debug(f.master.force_shutdown_timeout),
            "30s",
            &["the default of 30s"],
        ),
        built(
            Master,
            "base_directory: /base",
            |f| debug(&f.master.directories),
            r#"Directories { runtime: "/base", state: "/base/state", logs: "/base/logs/logs", worker_logs: "/base/logs/logs/workers" }"#,
        ),
        built(
            Master,
            "base_directory: there",
            |f| f.master.directories.runtime.clone(),
            "/srv/there",
        ),
    ]
}

fn master_folders() -> Vec<Shape> {
    use At::Master;
    vec![
        built(
            Master,
            "service_context: system",
            folders,
            "/run/hsu-master /var/log/hsu-master/logs",
        ),
        built(
            Master,
            "service_context: daemon",
            folders,
            "/run/hsu-master /var/log/hsu-master/logs",
        ),
        built(
            Master,
            "service_context: service",
            folders,
            "/run/hsu-master /var/log/hsu-master/logs",
        ),
        built(
            Master,
            "service_context: user",
            folders,
            "/tmp/hsu-master /home/u/.local/share/logs/hsu-master/logs",
        ),
        built(
            Master,
            "scenario: personal",
            folders,
            "/tmp/hsu-master /home/u/.local/share/logs/hsu-master/logs",
        ),
        built(
            Master,
            "scenario: session",
            folders,
            "/run/user/1000/hsu-master /run/user/1000/logs/logs",
        ),
        built(
            Master,
            "scenario: desktop",
            folders,
            "/run/user/1000/hsu-master /run/user/1000/logs/logs",
        ),
        built(
            Master,
            "scenario: development",
            folders,
            "/tmp/hsu-master-dev /tmp/hsu-master-dev/logs/logs",
        ),
        built(
            Master,
            "scenario: dev",
            folders,
            "/tmp/hsu-master-dev /tmp/hsu-master-dev/logs/logs",
        ),
        built(
            Master,
            "scenario: test",
            folders,
            "/tmp/hsu-master-dev /tmp/hsu-master-dev/logs/logs",
        ),
    ]
}

fn master_sections() -> Vec<Shape> {
    use At::{Master, Root};
    vec![
        built(
            Master,
            "start_rate: { per_second: 2, burst: 3 }",
            |f| debug(f.master.start_rate),
            "StartRate { per_second: 2.0, burst: 3 }",
        ),
        built(
            Master,
            "start_rate: { per_second: unlimited }",
            |f| debug(f.master.start_rate.per_second),
            "inf",
        ),
        later(
            Master,
            "logging: { backend: zap, level: info, format: json, output: /var/log/m.log }",
            &["`logging` is not built yet"],
        ),
        older(
            Master,
            "log_collection: { enabled: true }",
            |f| debug(managed(f).logs.stdout.capture),
            "true",
            &["`log_collection` is an old form"],
        ),
        built(Root, "log_collection: {}", |f| debug(managed(f).logs.stdout.capture), "true"),
    ]
}

fn folders(fleet: &hsu_model::master::FleetSpec) -> String {
    let directories = &fleet.master.directories;
    format!("{} {}", directories.runtime, directories.logs)
}

fn entries() -> Vec<Shape> {
    use At::{Managed, Worker};
    let mut all = vec![
        built(Worker, "enabled: true", |f| debug(f.workers[0].enabled), "true"),
        built(Worker, "enabled: false", |f| debug(f.workers[0].enabled), "false"),
        built(Worker, "enabled: ~", |f| debug(f.workers[0].enabled), "true"),
        built(
            Worker,
            "log_collection: { enabled: true }",
            |f| debug(managed(f).logs.stderr.capture),
            "true",
        ),
        built(
            Managed,
            "metadata: { name: N, description: D, version: 1.10, tags: [a, b], labels: { team: core } }",
            |f| debug(&f.workers[0].metadata),
            r#"Metadata { name: "N", description: "D", version: "1.10", tags: ["a", "b"], labels: {"team": "core"} }"#,
        ),
    ];
    // The words of `profile_type`, those of the predecessors' examples among them.
    for (text, means) in [
        ("profile_type: batch", "batch"),
        ("profile_type: web", "web"),
        ("profile_type: database", "database"),
        ("profile_type: worker", "worker"),
        ("profile_type: scheduler", "scheduler"),
        ("profile_type: default", "default"),
        ("profile_type: \"\"", "default"),
        ("profile_type: short_running_task", "batch"),
        ("profile_type: long_running_service", "default"),
        ("profile_type: test", "default"),
    ] {
        all.push(built(Worker, text, |f| f.workers[0].profile.as_str().to_owned(), means));
    }
    all
}

fn executions() -> Vec<Shape> {
    use At::{Execution, Managed};
    let own = |text, look, means| built(Execution, text, look, means);
    vec![
        own("executable_path: bin/w", |f| managed(f).execution.program.clone(), "bin/w"),
        own("executable_path: w", |f| managed(f).execution.program.clone(), "w"),
        older(
            Execution,
            "command: /bin/w",
            |f| managed(f).execution.program.clone(),
            "/bin/w",
            &["`command` is an old spelling of `executable_path`"],
        ),
        built(
            Managed,
            "metadata: { name: n }, health_check: { type: process }",
            |f| f.workers[0].metadata.name.clone(),
            "n",
        ),
        own(
            "executable_path: w, args: [--port, 80, no]",
            |f| debug(&managed(f).execution.args),
            r#"["--port", "80", "no"]"#,
        ),
        own(
            "executable_path: w, environment: [A=1, B=x=y, C=]",
            |f| debug(&managed(f).execution.environment),
            r#"[("A", "1"), ("B", "x=y"), ("C", "")]"#,
        ),
        own(
            "executable_path: w, environment: { A: 1, B: 0755, C: no }",
            |f| debug(&managed(f).execution.environment),
            r#"[("A", "1"), ("B", "0755"), ("C", "no")]"#,
        ),
        own(
            "executable_path: w, environment: { A: \"${SECRET}\" }",
            |f| debug(&managed(f).execution.environment),
            r#"[("A", "hidden")]"#,
        ),
        own(
            "executable_path: w, working_directory: /data",
            |f| debug(&managed(f).execution.working_directory),
            "At(\"/data\")",
        ),
        own(
            "executable_path: w, working_directory: .",
            |f| debug(&managed(f).execution.working_directory),
            "At(\"/srv\")",
        ),
    ]
}

fn identities() -> Vec<Shape> {
    use At::{Execution, Managed};
    let own = |text, look, means| built(Execution, text, look, means);
    vec![
        later(Execution, "executable_path: w, wait_delay: 10s", &["`wait_delay` is not built yet"]),
        own(
            "executable_path: w, user: www-data, group: 33",
            |f| debug((&managed(f).execution.user, &managed(f).execution.group)),
            r#"(Some("www-data"), Some("33"))"#,
        ),
        own(
            "executable_path: w, umask: 0027, nice: -5",
            |f| debug((managed(f).execution.umask, managed(f).execution.nice)),
            "(Some(23), Some(-5))",
        ),
        own(
            "executable_path: w, make_executable: true",
            |f| debug(managed(f).execution.make_executable),
            "true",
        ),
        own(
            "executable_path: w, rlimits: { nofile: { soft: 1, hard: 2 }, as: 1MiB, cpu: 1500ms, core: unlimited }",
            |f| {
                managed(f)
                    .execution
                    .rlimits
                    .iter()
                    .map(|l| format!("{:?} {} {} ", l.resource, l.soft, l.hard))
                    .collect()
            },
            "OpenFiles 1 2 AddressSpace 1048576 1048576 Cpu 2 2 Core 18446744073709551615 18446744073709551615 ",
        ),
        own(
            "executable_path: w, rlimits: { address_space: 1, data: 1, file_size: 1, locked_memory: 1, open_files: 1, processes: 1, stack: 1 }",
            |f| debug(managed(f).execution.rlimits.len()),
            "7",
        ),
        own(
            "executable_path: w, rlimits: { fsize: 1, memlock: 1, nproc: 1 }",
            |f| debug(managed(f).execution.rlimits.len()),
            "3",
        ),
        older(
            Managed,
            "metadata: {}, limits: { memory: 1MB }",
            super::limits::limits,
            "memory.max_rss=1000000",
            &["`limits` is an old form", "a limit that stands alone"],
        ),
    ]
}

fn process_files() -> Vec<Shape> {
    use At::Control;
    let own = |text, means| built(Control, text, |f| managed(f).pid_file.clone(), means);
    vec![
        own("process_file: {}", "/tmp/hsu-master/w.pid"),
        own("process_file: { base_directory: /own }", "/own/w.pid"),
        own("process_file: { basedirectory: /own }", "/own/w.pid"),
        own(
            "process_file: { basedirectory: /own, appname: app, usesubdirectory: true }",
            "/own/app/w.pid",
        ),
        own("process_file: { servicecontext: system }", "/run/hsu-master/w.pid"),
        own("process_file: { service_context: system, app_name: app }", "/run/app/w.pid"),
        own("process_file: { service_context: system, use_subdirectory: false }", "/run/w.pid"),
        own("process_file: { service_context: session }", "/run/user/1000/w.pid"),
        own("process_file: { scenario: development }", "/tmp/hsu-master-dev/w.pid"),
        later(
            Control,
            "process_file: { use_process_id: true }",
            &["`use_process_id` is not built yet"],
        ),
    ]
}

#[test]
fn the_master_the_entry_and_the_program_mean_what_is_documented() {
    holds(&shapes());
}
