//! Rows 16 to 37: names, keys, and what a text asks for that cannot be.

use super::{Bad, LINE, bad, control, execution, load, managed, named, refuse};

#[test]
fn a_name_that_a_file_system_or_a_command_would_misread_is_refused() {
    let two = |one: &str, two: &str| {
        format!("{}{}", named(one), named(two).trim_start_matches("workers:\n"))
    };
    let mut cases = vec![
        bad(16, two("web", "web"), "duplicate-id", 5, "the first one"),
        bad(17, two("web", "WEB"), "duplicate-id", 5, "differ in upper and lower case only"),
        bad(17, named("caf\u{e9}"), "id", 2, "ASCII letters"),
        bad(17, named("cafe\u{301}"), "id", 2, "ASCII letters"),
        // A Cyrillic letter that looks like a Latin one.
        bad(17, named("w\u{435}b"), "id", 2, "ASCII letters"),
        bad(17, named("w\u{202e}b"), "id", 2, "ASCII letters"),
    ];
    for (name, says) in [
        ("..", "ASCII letters"),
        ("a/b", "ASCII letters"),
        ("\"a\\\\b\"", "ASCII letters"),
        ("CON", "a device on Windows"),
        ("nul", "a device on Windows"),
        ("lpt1", "a device on Windows"),
        ("-rf", "does not start with `-`"),
        ("--all", "does not start with `-`"),
        ("\"\"", "is not empty"),
        ("\"a b\"", "ASCII letters"),
        ("\"a\\nb\"", "ASCII letters"),
        ("\u{1f600}", "ASCII letters"),
    ] {
        cases.push(bad(18, named(name), "id", 2, says));
    }
    cases.push(bad(18, named(&"x".repeat(65)), "id", 2, "at most 64 characters"));
    cases.push(bad(18, named("[w]"), "type", 2, "a list, where a text is expected"));
    refuse(&cases);
    let longest = "x".repeat(64);
    for good in ["w", "_", "0", "com0", longest.as_str()] {
        assert!(load(named(good).as_bytes()).fleet.is_some(), "{good}");
    }
}

#[test]
fn a_folder_in_which_no_socket_can_be_is_refused() {
    let base =
        |length| format!("master: {{ base_directory: /{} }}\nworkers: []\n", "x".repeat(length));
    // Row 18: a name that a file system would misread.
    refuse(&[bad(18, base(105), "folders", 1, "12 bytes too long for a socket in it")]);
    assert!(load(base(80).as_bytes()).fleet.is_some());
}

#[test]
fn a_worker_that_its_first_connection_shall_start_is_refused() {
    let line = "sockets: [{ listen: \"127.0.0.1:80\", on_demand: true }]";
    // Row 19: a wish that nobody would carry out.
    refuse(&[bad(19, control(line), "unsupported", LINE, "clients wait in the backlog")]);
}

#[test]
fn a_key_that_nobody_reads_is_refused_with_what_was_meant() {
    let unknown = |row, text: String, line, says| bad(row, text, "unknown-key", line, says);
    refuse(&[
        unknown(19, control("restrat: { policy: never }"), LINE, "did you mean `restart`?"),
        unknown(19, control("restart_polcy: never"), LINE, "did you mean `restart_policy`?"),
        unknown(19, control("gracefull_timeout: 1s"), LINE, "did you mean `graceful_timeout`?"),
        unknown(19, execution("nize: 3"), LINE, "did you mean `nice`?"),
        unknown(19, execution("arguments: []"), LINE, "unknown key `arguments`"),
        unknown(19, "wrokers: []\n".to_owned(), 1, "did you mean `workers`?"),
        unknown(19, control("graceful_timeout : 1s\n          \"\\e[31m\": 1"), 9, "\\u{1b}[31m"),
        // There is no inheritance, there are no dependencies and no includes: none is read as one.
        unknown(27, control("extends: base"), LINE, "unknown key `extends`"),
        unknown(28, control("depends_on: [w]"), LINE, "unknown key `depends_on`"),
        unknown(28, named("w\n    depends_on: [w]"), 3, "unknown key `depends_on`"),
        unknown(31, "include: hsu.yaml\nworkers: []\n".to_owned(), 1, "unknown key `include`"),
        unknown(36, control("schedule: \"* * * * *\""), LINE, "unknown key `schedule`"),
    ]);
}

#[test]
fn a_variable_that_cannot_be_filled_in_is_refused_and_never_shown() {
    let args = |text: &str| execution(&format!("args: [{text}]"));
    let wrong = |text: &str, says| bad(29, args(text), "substitution", LINE, says);
    let deep = format!("\"{}x{}\"", "${NONE:-".repeat(9), "}".repeat(9));
    let many = |count: usize| {
        let list: Vec<_> = (0..count).map(|_| "\"${LARGE}\"").collect();
        args(&list.join(", "))
    };
    refuse(&[
        wrong("\"${NONE}\"", "the variable `NONE` is not set"),
        wrong("\"${NONE:-${ALSO}}\"", "the variable `ALSO` is not set"),
        wrong("\"${\"", "`${` without `}`"),
        wrong("\"${NAME\"", "`${` without `}`"),
        wrong("\"${NAME:-\"", "`${` without `}`"),
        wrong("\"${}\"", "is not the name of a variable"),
        wrong("\"${A-B}\"", "is not the name of a variable"),
        wrong(&deep, "too many defaults"),
        wrong("\"${BIG}\"", "longer than 131072 bytes"),
        bad(29, many(60), "budget", LINE, "variables fill in more than"),
        // A value is never shown: it may be a secret.
        bad(29, control("graceful_timeout: ${NAME}"), "value", LINE, "`${NAME}` "),
    ]);
    for (text, made) in [
        ("\"${NAME}\"", "value"),
        ("\"${NONE:-${ALSO:-${NAME}}}\"", "value"),
        ("\"${SNEAKY}\"", "${NAME}\n- id: evil"),
        ("\"$${NAME} $HOME\"", "${NAME} $HOME"),
    ] {
        assert_eq!(managed(&args(text)).execution.args, [made], "row 29: {text}");
    }
}

#[test]
fn a_template_that_does_not_exist_is_refused() {
    let path = |path: &str| {
        format!(
            "log_collection:\n  global_aggregation:\n    targets:\n      - type: file\n        path: \"{path}\"\nworkers: []\n"
        )
    };
    refuse(&[
        bad(30, path("{host}.log"), "template", 5, "unknown template `{host}`"),
        bad(30, path("{{worker_id}}.log"), "template", 5, "unknown template"),
        bad(30, path("{worker_id}-{worker_id:09}.log"), "template", 5, "unknown template"),
    ]);
}

/// What cannot be executed whatever the host, in `execution`.
fn impossible() -> Vec<Bad> {
    let long = "x".repeat(128 << 10);
    let wrong = |row, line: &str, code, says| bad(row, execution(line), code, LINE, says);
    vec![
        wrong(34, "args: [\"a\\0b\"]", "control-character", "NUL"),
        wrong(34, &format!("args: [{long}]"), "range", "an argument of more than 131071 bytes"),
        wrong(34, "args: a b", "type", "a list is expected"),
        wrong(34, "args: [[a]]", "type", "a list, where a text is expected"),
        wrong(34, "args: [~]", "type", "an item is empty"),
        wrong(34, "environment: [A]", "value", "a variable without `=`"),
        wrong(34, "environment: [=A]", "value", "cannot be the name of a variable"),
        wrong(34, "environment: { \"A=B\": c }", "value", "cannot be the name of a variable"),
        wrong(34, "environment: [HSU_RUN_ID=1]", "value", "`HSU_RUN_ID` is set by the master"),
        wrong(34, "environment: [A=1, A=2]", "duplicate-key", "is given twice"),
        wrong(35, "working_directory: \"\"", "value", "an empty text"),
        wrong(35, "user: \"\"", "value", "is not a name"),
        wrong(35, "user: -1", "value", "is not an id"),
        wrong(35, "user: 4294967295", "value", "is not an id"),
        wrong(35, "user: 4294967296", "value", "is not an id"),
        wrong(35, "group: -1", "value", "is not an id"),
        wrong(35, "group: 4294967295", "value", "is not an id"),
        wrong(35, "user: \"a:b\"", "value", "is not a name"),
        wrong(35, "user: \"../root\"", "value", "is not a name"),
        wrong(35, "umask: 0888", "value", "is not octal"),
        wrong(35, "nice: -21", "value", "from -20 to 19"),
        wrong(35, "rlimits: { open_files: -1 }", "value", "is out of range"),
        wrong(
            35,
            "rlimits: { open_files: { soft: 2, hard: 1 } }",
            "range",
            "`soft` is more than `hard`",
        ),
        wrong(35, "rlimits: { nofile: 1, open_files: 1 }", "duplicate-key", "limited twice"),
    ]
}

#[test]
fn what_no_host_could_execute_is_refused_when_it_is_read() {
    refuse(&impossible());
    let root = managed(&execution("user: 0"));
    assert_eq!(root.execution.user.as_deref(), Some("0"), "row 35: numeric 0 is root");
    let without = "workers:\n  - id: w\n    type: managed\n    unit: { managed: { control: { execution: {} } } }\n";
    refuse(&[
        bad(34, without, "missing-key", 4, "`executable_path` is missing"),
        bad(34, without.replace("{}", "{ executable_path: \"\" }"), "value", 4, "an empty text"),
    ]);
    for missing in ["gone", "./gone", "../gone", "/gone/at/all"] {
        // A missing program fails its own worker when it starts, and not the file.
        assert!(load(named("w").replace("/bin/w", missing).as_bytes()).fleet.is_some(), "row 34");
    }
}

#[test]
fn a_pattern_that_says_nothing_is_refused() {
    let filters = |text: &str| {
        control(&format!("log_collection: {{ processing: {{ filters: {{ {text} }} }} }}"))
    };
    refuse(&[
        bad(36, filters("exclude_patterns: [\"\"]"), "value", LINE, "an empty text"),
        bad(36, filters("include_patterns: \"x\""), "type", LINE, "a list is expected"),
        bad(
            36,
            filters(&format!("include_patterns: [\"{}\"]", "x".repeat(1 << 20))),
            "too-large",
            None,
            "the limit is 1048576",
        ),
    ]);
}
