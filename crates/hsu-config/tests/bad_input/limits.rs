//! Limits that contradict themselves, or that nothing can keep.

use super::{LINE, bad, control, refuse};

/// The catalogue's row of limits and scarcity.
const ROW: u8 = 130;

/// What is written in `limits`, the kind of the error, and what it says.
const CASES: [(&str, &str, &str); 35] = [
    ("memory: { max_rss: 0 }", "range", "with which nothing runs"),
    ("process: { max_processes: 0 }", "range", "with which nothing runs"),
    ("io: { max_write_bps: 0 }", "range", "with which nothing goes on"),
    (
        "memory: { max_rss: 1, warning_threshold: 90, critical_threshold: 80 }",
        "range",
        "`warning_threshold` is above",
    ),
    ("memory: { max_rss: 1, warning_threshold: 101 }", "value", "not within 0 and 100"),
    ("memory: { max_rss: 1, policy: explode }", "value", "the words here are none, log, alert"),
    ("memory: { max_rss: 1, enforce: maybe }", "value", "kernel, watch"),
    ("memory: { max_rss: 1, policy: escalate }", "missing-key", "`escalation` is missing"),
    (
        "memory: { max_rss: 1, escalation: [{ policy: log }] }",
        "conflict",
        "steps that the policy does not take",
    ),
    ("memory: { max_rss: 1, policy: escalate, escalation: [] }", "range", "without steps"),
    (
        "memory: { max_rss: 1, policy: escalate, escalation: [{ after: 1m, policy: log }, { after: 1s, policy: alert }] }",
        "range",
        "before the one that stands before it",
    ),
    (
        "memory: { max_rss: 1, policy: escalate, escalation: [{ policy: restart }, { after: 1s, policy: log }] }",
        "conflict",
        "the run is over after this step",
    ),
    (
        "memory: { max_rss: 1, policy: escalate, escalation: [{ policy: none }] }",
        "value",
        "no step of an escalation",
    ),
    (
        "memory: { max_rss: 1, policy: escalate, escalation: [{ after: 1s }] }",
        "missing-key",
        "`policy` is missing",
    ),
    ("memory: { max_rss: 1, adjustment: { factor: 2 } }", "conflict", "nothing raises the limit"),
    (
        "memory: { max_rss: 1, policy: restart_adjusted, adjustment: { factor: 1 } }",
        "range",
        "does not raise",
    ),
    (
        "memory: { max_rss: 1, policy: restart_adjusted, adjustment: { max: 0.5 } }",
        "range",
        "below the limit itself",
    ),
    ("cpu: { max_cores: 1, throttle_by: nice }", "conflict", "nothing slows the worker down"),
    ("cpu: { max_cores: 1, policy: throttle, throttle_by: magic }", "value", "quota, nice"),
    ("network: { max_send_bps: 1MB }", "unsupported", "bandwidth cannot be limited"),
    ("network: { max_receive_bps: 1MB }", "unsupported", "bandwidth cannot be limited"),
    ("storage: { max_temporary: 1MB }", "missing-key", "set `TMPDIR`"),
    ("storage: { max_logs: 1MB }", "conflict", "no log files of its own"),
    ("storage: { directories: { srv: 1MB } }", "value", "no absolute path"),
    ("monitoring: { check_interval: 1ms }", "range", "too often to look"),
    ("monitoring: { interval: 1ms }", "range", "too often to remember"),
    ("monitoring: { interval: 1s, history_retention: 365d }", "range", "more than 100,000 records"),
    ("monitoring: { hysteresis: 60 }", "range", "more than half"),
    ("alerts: { webhook: \"https://h/x\" }", "value", "no address that can be posted to"),
    ("alerts: { webhook: \"http:///x\" }", "value", "no address that can be posted to"),
    ("cpu: { max_cores: 0 }", "value", "not greater than 0"),
    ("cpu: { weight: 0 }", "value", "from 1 to 10000"),
    ("nice: 20", "value", "from -20 to 19"),
    ("max_processes: 1, process: { max_processes: 2 }", "duplicate-key", "given in two places"),
    ("memory: { max_rsss: 1 }", "unknown-key", "max_rss"),
];

#[test]
fn a_limit_that_makes_no_sense_is_refused_with_the_reason() {
    let all: Vec<_> = CASES
        .into_iter()
        .map(|(text, code, says)| {
            bad(ROW, control(&format!("limits: {{ {text} }}")), code, LINE, says)
        })
        .collect();
    refuse(&all);
}

#[test]
fn what_would_be_set_before_a_start_is_refused_for_what_somebody_else_starts() {
    let unmanaged = |limits: &str| {
        format!(
            "workers:\n  - id: w\n    type: unmanaged\n    unit:\n      unmanaged:\n        \
             discovery: {{ method: user, user: root }}\n        limits: {{ {limits} }}\n"
        )
    };
    let line = 7;
    refuse(&[
        bad(ROW, unmanaged("nice: 5"), "conflict", line, "set before a program starts"),
        bad(
            ROW,
            unmanaged("cpu: { max_cores: 1, policy: throttle, throttle_by: nice }"),
            "conflict",
            line,
            "`throttle_by: quota`",
        ),
        bad(ROW, unmanaged("storage: { max_temporary: 1MB }"), "missing-key", line, "`TMPDIR`"),
        bad(ROW, unmanaged("storage: { max_logs: 1MB }"), "conflict", line, "no log files"),
        bad(ROW, unmanaged("memory: { max_rss: 0 }"), "range", line, "with which nothing runs"),
    ]);
}

#[test]
fn cgroups_are_one_of_four_words() {
    let text = "master:\n  cgroups: v3\nworkers: []\n";
    refuse(&[bad(ROW, text, "value", 2, "auto, v2, v1, none")]);
}
