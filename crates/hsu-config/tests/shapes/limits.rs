//! Shapes of resource limits.

use hsu_model::limits::{Limits, Rule};
use hsu_model::master::FleetSpec;

use super::{At, Shape, built, debug, holds, managed, older};

pub(crate) fn shapes() -> Vec<Shape> {
    let mut all = numbers();
    all.extend(policies());
    all.extend(brakes());
    all.extend(surroundings());
    all.extend(older_spellings());
    all
}

fn of(fleet: &FleetSpec) -> &Limits {
    managed(fleet).limits.as_ref().expect("limits")
}

fn first(fleet: &FleetSpec) -> &Rule {
    of(fleet).rules.first().expect("a limit")
}

/// Every limit and its number.
pub(crate) fn limits(fleet: &FleetSpec) -> String {
    let rules = of(fleet).rules.iter();
    let words: Vec<_> = rules.map(|rule| format!("{}={}", rule.kind.as_str(), rule.most)).collect();
    words.join(" ")
}

/// What is done, and when.
fn ladder(fleet: &FleetSpec) -> String {
    let steps = first(fleet).ladder.iter();
    let words: Vec<_> =
        steps.map(|step| format!("{} {:?}", step.action.as_str(), step.after)).collect();
    words.join(", ")
}

fn numbers() -> Vec<Shape> {
    [
        (
            "limits: { memory: { max_rss: 1048576, max_virtual: 1GB, max_swap: 0, max_heap: 1MiB } }",
            "memory.max_rss=1048576 memory.max_virtual=1000000000 memory.max_swap=0 memory.max_heap=1048576",
        ),
        ("limits: { memory: { limit_mb: 128, max_rss: 1 } }", "memory.max_rss=134217728"),
        ("limits: { cpu: { max_cores: 1.5, max_time: 1h } }", "cpu.max_percent=1500 cpu.max_time=3600000"),
        ("limits: { cpu: { max_cores: 2, max_percent: 50% } }", "cpu.max_percent=500"),
        (
            "limits: { io: { max_read_bps: 1MB, max_write_bps: 2, max_read_ops: 3, max_write_ops: 4 } }",
            "io.max_read_bps=1000000 io.max_write_bps=2 io.max_read_ops=3 io.max_write_ops=4",
        ),
        (
            "limits: { process: { max_processes: 1, max_threads: 2, max_file_descriptors: 3, max_child_processes: 0 } }",
            "process.max_processes=1 process.max_threads=2 process.max_child_processes=0 process.max_file_descriptors=3",
        ),
        ("limits: { network: { max_connections: 9 } }", "network.max_connections=9"),
        ("limits: { storage: { directories: { /srv/a: 1MB, /srv/b: 2 } } }", "storage.directories=1000000 storage.directories=2"),
        (
            "log_collection: { enabled: true, outputs: { separate: { stdout: [{ type: file, path: a.log }] } } }, limits: { storage: { max_logs: 3MB } }",
            "storage.max_logs=3000000",
        ),
    ]
    .map(|(text, means)| built(At::Control, text, limits, means))
    .into()
}

/// The text, what is looked at, and what it is.
type Looked = (&'static str, fn(&FleetSpec) -> String, &'static str);

fn policies() -> Vec<Shape> {
    let mut all: Vec<_> = [
        ("limits: { memory: { max_rss: 1, policy: none } }", ""),
        ("limits: { memory: { max_rss: 1, policy: log } }", "log 0ns"),
        ("limits: { memory: { max_rss: 1, policy: alert } }", "alert 0ns"),
        ("limits: { memory: { max_rss: 1, policy: throttle } }", "throttle 0ns"),
        ("limits: { memory: { max_rss: 1, policy: graceful_shutdown } }", "graceful_shutdown 0ns"),
        ("limits: { memory: { max_rss: 1, policy: immediate-kill } }", "immediate_kill 0ns"),
        // The documented time that a violation has to last.
        ("limits: { memory: { max_rss: 1, policy: restart } }", "restart 300s"),
        ("limits: { memory: { max_rss: 1, policy: restart_adjusted } }", "restart_adjusted 300s"),
        (
            "limits: { memory: { max_rss: 1, policy: restart, sustained_violation_time: 7s } }",
            "restart 7s",
        ),
        (
            "context_aware_restart: { sustained_violation_time: 9s }, limits: { memory: { max_rss: 1, policy: restart } }",
            "restart 9s",
        ),
        (
            "limits: { memory: { max_rss: 1, policy: escalate, escalation: [{ policy: log }, { policy: throttle, after: 1m }, { after: 5m, policy: restart }] } }",
            "log 0ns, throttle 60s, restart 300s",
        ),
    ]
    .map(|(text, means)| built(At::Control, text, ladder, means))
    .into();
    let more: [Looked; 8] = [
        (
            "limits: { memory: { max_rss: 1000, warning_threshold: 50%, critical_threshold: 90 } }",
            |f| format!("{} {}", first(f).warning, first(f).critical),
            "500 900",
        ),
        (
            "limits: { cpu: { max_percent: 100 } }",
            |f| format!("{} {}", first(f).warning, first(f).critical),
            "800 1000",
        ),
        ("limits: { memory: { max_rss: 1 } }", |f| debug(first(f).hold), "Kernel"),
        ("limits: { memory: { max_rss: 1, policy: log } }", |f| debug(first(f).hold), "Watch"),
        (
            "limits: { memory: { max_rss: 1, policy: log, enforce: kernel } }",
            |f| debug(first(f).hold),
            "Kernel",
        ),
        ("limits: { memory: { max_rss: 1, enforce: watch } }", |f| debug(first(f).hold), "Watch"),
        (
            "limits: { memory: { max_rss: 1000, policy: restart_adjusted, adjustment: { factor: 1.2, max: 3 } } }",
            |f| debug(first(f).raise),
            "Raise { percent: 120, cap: 3000 }",
        ),
        (
            "limits: { memory: { max_rss: 1, spike_tolerance_time: 3s } }",
            |f| debug(first(f).spike_tolerance),
            "3s",
        ),
    ];
    all.extend(more.map(|(text, look, means)| built(At::Control, text, look, means)));
    all
}

fn brakes() -> Vec<Shape> {
    fn brakes(fleet: &FleetSpec) -> String {
        let rules = of(fleet).rules.iter();
        rules
            .map(|rule| format!("{} {:?}", rule.kind.as_str(), rule.brake))
            .collect::<Vec<_>>()
            .join(", ")
    }
    let slowed = [
        ("limits: { cpu: { max_cores: 1, policy: throttle } }", "cpu.max_percent Hold"),
        (
            "limits: { cpu: { max_cores: 1, policy: throttle, throttle_by: quota } }",
            "cpu.max_percent Hold",
        ),
        (
            "limits: { cpu: { max_cores: 1, policy: throttle, throttle_by: nice }, memory: { max_rss: 1, policy: throttle } }",
            "memory.max_rss Hold, cpu.max_percent Nice",
        ),
    ];
    slowed.map(|(text, means)| built(At::Control, text, brakes, means)).into()
}

fn surroundings() -> Vec<Shape> {
    let all: [Looked; 12] = [
        ("limits: {}", |f| debug(of(f).check_interval), "Some(10s)"),
        (
            "limits: { monitoring: { check_interval: 5s }, memory: { max_rss: 1, check_interval: 3s }, cpu: { max_cores: 1, check_interval: 4s } }",
            |f| debug(of(f).check_interval),
            "Some(3s)",
        ),
        ("limits: { monitoring: { enabled: false } }", |f| debug(of(f).check_interval), "None"),
        ("limits: { monitoring: { enabled: false } }", |f| debug(of(f).history), "None"),
        ("limits: { monitoring: { hysteresis: 20% } }", |f| debug(of(f).hysteresis), "20"),
        (
            "limits: {}",
            |f| debug(of(f).history),
            "Some(UsageHistory { interval: 30s, retention: 86400s })",
        ),
        (
            "limits: { monitoring: { interval: 1m, history_retention: 2h } }",
            |f| debug(of(f).history),
            "Some(UsageHistory { interval: 60s, retention: 7200s })",
        ),
        ("limits: { monitoring: { history_retention: 0s } }", |f| debug(of(f).history), "None"),
        (
            "limits: { cpu: { weight: 200 }, io: { weight: 50 }, nice: 5 }",
            |f| debug(of(f).shares),
            "Shares { cpu_weight: Some(200), io_weight: Some(50), nice: Some(5) }",
        ),
        (
            "limits: { alerts: { command: [/bin/mail, root], webhook: \"http://h:8/x\", timeout: 2s } }",
            |f| debug(&of(f).alert),
            r#"Alert { command: ["/bin/mail", "root"], webhook: Some("http://h:8/x"), timeout: 2s }"#,
        ),
        (
            "limits: { alerts: { command: [/bin/mail] }, monitoring: { alerting_enabled: false } }",
            |f| debug(&of(f).alert.command),
            "[]",
        ),
        (
            "execution: { executable_path: w, environment: { TMPDIR: /srv/tmp } }, limits: { storage: { max_temporary: 5 } }",
            |f| debug(&first(f).paths),
            r#"["/srv/tmp"]"#,
        ),
    ];
    let mut shapes: Vec<_> = all
        .into_iter()
        .map(|(text, look, means)| {
            let at = if text.starts_with("execution") { At::Whole } else { At::Control };
            built(at, text, look, means)
        })
        .collect();
    for (text, means) in [
        ("cgroups: auto", "Auto"),
        ("cgroups: v1", "Version1"),
        ("cgroups: v2", "Version2"),
        ("cgroups: none", "None"),
    ] {
        shapes.push(built(At::Master, text, |f| debug(f.master.cgroups), means));
    }
    shapes
}

/// The text, what is looked at, what it is, and the warnings.
type Older = (&'static str, fn(&FleetSpec) -> String, &'static str, &'static [&'static str]);

const OLDER: [Older; 13] = [
    (
        "limits: { memory: { limit_bytes: 7 } }",
        limits,
        "memory.max_rss=7",
        &["`limit_bytes` is an old spelling of `max_rss`"],
    ),
    (
        "limits: { cpu: { limit_percent: 80 } }",
        limits,
        "cpu.max_percent=800",
        &["`limit_percent` is an old spelling of `max_percent`"],
    ),
    (
        "limits: { memory_limits: { max_rss: 7 } }",
        limits,
        "memory.max_rss=7",
        &["`memory_limits` is an old spelling of `memory`"],
    ),
    (
        "limits: { cpu_limits: { max_percent: 1 } }",
        limits,
        "cpu.max_percent=10",
        &["`cpu_limits` is an old spelling of `cpu`"],
    ),
    (
        "limits: { io_limits: { max_read_ops: 1 } }",
        limits,
        "io.max_read_ops=1",
        &["`io_limits` is an old spelling of `io`"],
    ),
    (
        "limits: { process_limits: { max_processes: 1 } }",
        limits,
        "process.max_processes=1",
        &["`process_limits` is an old spelling of `process`"],
    ),
    (
        "limits: { memory: 512MB }",
        limits,
        "memory.max_rss=512000000",
        &["a limit that stands alone is an old form"],
    ),
    (
        "limits: { cpu: 1.5 }",
        limits,
        "cpu.max_percent=1500",
        &["a limit that stands alone is an old form"],
    ),
    (
        "limits: { max_processes: 3 }",
        limits,
        "process.max_processes=3",
        &["`max_processes` is an old form"],
    ),
    (
        "limits: { max_open_files: 3 }",
        limits,
        "process.max_file_descriptors=3",
        &["`max_open_files` is an old form"],
    ),
    (
        "limits: { cpu_shares: 512 }",
        |f| debug(of(f).shares.cpu_weight),
        "Some(50)",
        &["`cpu_shares` is an old form"],
    ),
    (
        "limits: { priority: 5 }",
        |f| debug(of(f).shares.nice),
        "Some(5)",
        &["`priority` is an old form"],
    ),
    ("limits: { memory: { policy: restart } }", limits, "", &["a policy without a limit"]),
];

fn older_spellings() -> Vec<Shape> {
    OLDER.map(|(text, look, means, warns)| older(At::Control, text, look, means, warns)).into()
}

#[test]
fn limits_mean_what_is_documented() {
    holds(&shapes());
}
