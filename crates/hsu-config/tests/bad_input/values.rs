//! Rows 20 to 24: numbers, ports, durations, sizes and words that look like something else.

use std::time::Duration;

use hsu_model::logs::LogTarget;

use super::{Bad, LINE, bad, control, execution, load, managed, refuse};

#[test]
fn a_number_of_the_wrong_kind_is_refused_with_its_range() {
    let range = "from 0 to 4294967295";
    let retries = |text: &str, code, says| {
        let line = format!("context_aware_restart: {{ default: {{ max_retries: {text} }} }}");
        bad(20, control(&line), code, LINE, says)
    };
    let mut cases: Vec<Bad> = vec![
        retries("\"3x\"", "type", "a text, where a number is expected"),
        retries("\"3\"", "type", "without quotes"),
        retries("[3]", "type", "a list"),
        retries("{ a: 3 }", "type", "a mapping"),
    ];
    for text in [
        "3x",
        "3.5",
        "1e3",
        "0x10",
        "0o17",
        "+3",
        "3_000",
        "-1",
        "9223372036854775808",
        "18446744073709551616",
        "1e999",
        ".nan",
        ".inf",
        "true",
        "4294967296",
    ] {
        cases.push(retries(text, "value", range));
    }
    let rate = |text: &str, says| {
        let line = format!("context_aware_restart: {{ default: {{ backoff_rate: {text} }} }}");
        bad(20, control(&line), "value", LINE, says)
    };
    for text in ["1e999", ".nan", ".inf", "1e3", "0x1"] {
        cases.push(rate(text, "is not a number"));
    }
    cases.push(rate("0", "is not greater than 0"));
    cases.push(rate("-1.5", "is not greater than 0"));
    cases.push(rate(&"9".repeat(400), "is not a number"));
    refuse(&cases);
}

#[test]
fn a_port_is_a_number_from_1_to_65535() {
    let port = |text: &str, code, says| {
        bad(21, format!("master:\n  port: {text}\nworkers: []\n"), code, 2, says)
    };
    refuse(&[
        port("0", "value", "from 1 to 65535"),
        port("65536", "value", "from 1 to 65535"),
        port("-1", "value", "from 1 to 65535"),
        port("http", "value", "from 1 to 65535"),
        port("\"http\"", "type", "where a number is expected"),
        port("99999999999999999999", "value", "from 1 to 65535"),
        bad(
            21,
            control("limits: {}").replace(
                "control:",
                "health_check: { type: tcp, tcp: { address: h, port: 0 } }\n        control:",
            ),
            "value",
            6,
            "from 1 to 65535",
        ),
    ]);
}

#[test]
fn a_duration_has_a_unit_and_no_sign() {
    let timeout = |text: &str, says| {
        bad(22, control(&format!("graceful_timeout: {text}")), "value", LINE, says)
    };
    refuse(&[
        timeout("5", "write `5s` for seconds"),
        timeout("0", "write `0s`"),
        timeout("5 s", "has a space"),
        timeout("-5s", "has a sign"),
        timeout("+5s", "has a sign"),
        timeout("1e9h", "has the unit `e`"),
        timeout("9999999999h", "longer than 292 years"),
        timeout("\u{221e}", "is not a duration"),
        timeout("1y", "has the unit `y`"),
        timeout("5sec", "write `s` for seconds"),
        timeout("unlimited", "is not a duration"),
        timeout("\"\"", "is not a duration"),
    ]);
}

#[test]
fn zero_is_never_no_limit_by_accident() {
    // Row 22: what a duration of zero means, key by key.
    let zero = managed(&control("graceful_timeout: 0s"));
    assert_eq!(zero.stop.graceful_timeout, Duration::from_secs(20));
    let warned = load(control("graceful_timeout: 0s").as_bytes());
    let warning = warned.diagnostics.warnings().next().unwrap();
    assert!(warning.message.contains("the default of 20s, not \"at once\""), "{warning:?}");
    let aware = |text: &str| control(&format!("context_aware_restart: {{ {text} }}"));
    let at_once = managed(&aware("default: { retry_delay: 0s }"));
    assert_eq!(at_once.restart.default.retry_delay, Duration::ZERO);
    let rotation = |text: &str| {
        let target = format!("{{ type: file, path: a, rotation: {{ {text} }} }}");
        control(&format!("log_collection: {{ outputs: {{ separate: {{ stdout: [{target}] }} }} }}"))
    };
    refuse(&[
        bad(22, aware("reset_after: 0s"), "range", LINE, "every attempt would be forgotten"),
        bad(22, aware("circuit_breaker: { half_open_after: 0s }"), "range", LINE, "never rest"),
        bad(
            22,
            aware("default: { retry_delay: 2s, max_delay: 1s }"),
            "range",
            LINE,
            "shorter than",
        ),
        bad(22, rotation("max_age: 0s"), "range", LINE, "write `unlimited` for no limit"),
        bad(23, rotation("max_size: 0"), "range", LINE, "write `unlimited` for no limit"),
    ]);
}

/// A worker that writes a file of this size.
fn sized(text: &str) -> String {
    let target = format!("{{ type: file, path: a, rotation: {{ max_size: {text} }} }}");
    let outputs = format!("outputs: {{ separate: {{ stdout: [{target}] }} }}");
    control(&format!("log_collection: {{ enabled: true, {outputs} }}"))
}

#[test]
fn decimal_and_binary_sizes_are_told_apart_and_none_overflows() {
    let size = |text: &str, says| bad(23, sized(text), "value", LINE, says);
    refuse(&[
        size("99999999999GiB", "more than 16 EiB"),
        size("18446744073709551616", "more than 16 EiB"),
        size("-1", "has a sign"),
        size("10M", "means two things"),
        size("1.5", "a part of a byte"),
        size("ten", "is not a size"),
        size("0x10", "is not a size"),
    ]);
    for (text, bytes) in [("1GB", 1_000_000_000), ("1GiB", 1 << 30), ("1048576", 1 << 20)] {
        let logs = managed(&sized(text)).logs;
        let target = &logs.stdout.outputs.first().unwrap().target;
        let LogTarget::File { rotation, .. } = target else { unreachable!("{target:?}") };
        assert_eq!(rotation.max_size.0, bytes, "row 23: {text}");
    }
}

#[test]
fn a_word_that_yaml_1_1_would_turn_into_something_else_stays_a_text() {
    let words =
        ["no", "off", "yes", "on", "y", "22:22", "0777", "1e3", "1.10", "2026-11-23", "0x1F"];
    for word in words {
        let args = managed(&execution(&format!("args: [{word}]"))).execution.args;
        assert_eq!(args, [word], "row 24");
        let variables = managed(&execution(&format!("environment: {{ A: {word} }}")));
        assert_eq!(variables.execution.environment, [("A".to_owned(), word.to_owned())], "row 24");
    }
    let switch = |text: &str, code, says| {
        bad(24, control(&format!("restart_on_clean_exit: {text}")), code, LINE, says)
    };
    refuse(&[
        switch("no", "value", "write `false`"),
        switch("off", "value", "write `false`"),
        switch("yes", "value", "write `true`"),
        switch("1", "value", "write `true`"),
        switch("maybe", "value", "is neither true nor false"),
        switch("\"true\"", "type", "without quotes"),
        bad(24, control("restart_policy: sometimes"), "value", LINE, "never, on-failure, always"),
        bad(24, control("restart_policy: Always"), "value", LINE, "did you mean `always`?"),
        bad(24, control("restart_policy: [always]"), "type", LINE, "here are never, on-failure"),
        bad(24, control("restart_policy: { type: always }"), "type", LINE, "here are never"),
        bad(24, execution("nice: \"abc\""), "type", LINE, "write a number without quotes"),
        bad(24, execution("nice: \"3\""), "type", LINE, "write `3` without quotes"),
        bad(24, execution("rlimits: { nofil: 3 }"), "value", LINE, "did you mean `nofile`?"),
        bad(24, "workers:\n  - id: w\n", "missing-key", 2, "add `type: "),
        bad(
            24,
            control("restart_policy: never\n          restart_policy: always"),
            "duplicate-key",
            9,
            "keep one",
        ),
    ]);
}
