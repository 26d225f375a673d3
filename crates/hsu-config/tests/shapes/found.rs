//! Shapes of discovery: how a process is found, and what may be done to it.

use hsu_model::discovery::Unmanaged;
use hsu_model::master::FleetSpec;
use hsu_model::worker::Unit;

use super::{At, Shape, built, debug, holds, load, older};

pub(crate) fn shapes() -> Vec<Shape> {
    let mut all = searches();
    all.extend(more_searches());
    all.extend(combinations());
    all.extend(validations());
    all.extend(rights());
    all.extend(files());
    all
}

fn unmanaged(fleet: &FleetSpec) -> &Unmanaged {
    let unit = &fleet.workers[0].unit;
    let Unit::Unmanaged(unmanaged) = unit else { unreachable!("{unit:?}") };
    unmanaged
}

fn searches() -> Vec<Shape> {
    let search = |text, means| {
        let look = |fleet: &FleetSpec| debug(&unmanaged(fleet).discovery.searches[0]);
        built(At::Unmanaged, text, look, means)
    };
    vec![
        search("discovery: { method: pid-file, pid_file: /run/x.pid }", "PidFile(\"/run/x.pid\")"),
        search("discovery: { method: pid_file, pid_file: /run/x.pid }", "PidFile(\"/run/x.pid\")"),
        search(
            "discovery: { method: process-name, process_name: nginx, process_args: [-g] }",
            "Name { name: Exactly(\"nginx\"), args: [\"-g\"] }",
        ),
        search(
            "discovery: { method: process_name, process_name: nginx }",
            "Name { name: Exactly(\"nginx\"), args: [] }",
        ),
        search(
            "discovery: { strategy: process_name_pattern, pattern: \"llama*\" }",
            "Name { name: Pattern(\"llama*\"), args: [] }",
        ),
        search(
            "discovery: { method: port, port: 80, protocol: udp }",
            "Port { port: 80, protocol: Udp }",
        ),
        search(
            "discovery: { strategy: port_based, port: 8080 }",
            "Port { port: 8080, protocol: Tcp }",
        ),
        search("discovery: { method: service-name, service_name: nginx }", "Unit(\"nginx\")"),
        search(
            "discovery: { method: systemd_unit, unit: nginx.service }",
            "Unit(\"nginx.service\")",
        ),
        search(
            "discovery: { method: parent, parent_name: runit }",
            "ParentName(Exactly(\"runit\"))",
        ),
        search(
            "discovery: { method: parent, parent_pattern: ^runsv }",
            "ParentName(Pattern(\"^runsv\"))",
        ),
        search(
            "discovery: { method: parent, parent_pid_file: /run/p.pid }",
            "ParentPidFile(\"/run/p.pid\")",
        ),
    ]
}

fn more_searches() -> Vec<Shape> {
    let search = |text, means| {
        let look = |fleet: &FleetSpec| debug(&unmanaged(fleet).discovery.searches[0]);
        built(At::Unmanaged, text, look, means)
    };
    vec![
        search(
            "discovery: { method: command_line_pattern, pattern: \"-jar app\" }",
            "CommandLine(\"-jar app\")",
        ),
        search(
            "discovery: { method: environment, variable: ROLE, value: web }",
            "Environment { variable: \"ROLE\", value: Some(Exactly(\"web\")) }",
        ),
        search(
            "discovery: { method: environment, variable: ROLE, pattern: ^w }",
            "Environment { variable: \"ROLE\", value: Some(Pattern(\"^w\")) }",
        ),
        search(
            "discovery: { method: environment, variable: ROLE }",
            "Environment { variable: \"ROLE\", value: None }",
        ),
        search(
            "discovery: { method: working-directory, working_directory: /srv }",
            "WorkingDirectory(\"/srv\")",
        ),
        search("discovery: { method: user, user: www-data }", "User(\"www-data\")"),
        search("discovery: { method: file, file: /var/log/x }", "File(\"/var/log/x\")"),
        search("discovery: { method: socket, socket: /run/x.sock }", "Socket(\"/run/x.sock\")"),
        search(
            "discovery: { method: consul, url: \"http://127.0.0.1:8500\", service_name: web, token_file: /etc/t }",
            "Registry(Registry { kind: Consul, url: \"http://127.0.0.1:8500\", service: \"web\", token_file: Some(\"/etc/t\") })",
        ),
        search(
            "discovery: { method: etcd, url: \"http://127.0.0.1:2379\", key: /web/ }",
            "Registry(Registry { kind: Etcd, url: \"http://127.0.0.1:2379\", service: \"/web/\", token_file: None })",
        ),
    ]
}

fn combinations() -> Vec<Shape> {
    let whole = |text, look, means| built(At::Unmanaged, text, look, means);
    vec![
        whole(
            "discovery: { method: any, strategies: [{ method: port, port: 1 }, { strategy: user, user: u }] }",
            |fleet| {
                let found = &unmanaged(fleet).discovery;
                debug((found.combine, found.searches.len()))
            },
            "(Any, 2)",
        ),
        whole(
            "discovery: { method: first, strategies: [{ method: port, port: 1 }], matches: many, check_interval: 5s }",
            |fleet| {
                let found = &unmanaged(fleet).discovery;
                debug((found.combine, found.matches, found.check_interval))
            },
            "(First, Many, 5s)",
        ),
        whole(
            "discovery: { method: all, strategies: [{ method: port, port: 1 }], include: [{ method: user, user: u }], exclude: [{ method: command-line, pattern: x }] }",
            |fleet| {
                let found = &unmanaged(fleet).discovery;
                debug((found.combine, &found.include, &found.exclude))
            },
            "(All, [User(\"u\")], [CommandLine(\"x\")])",
        ),
    ]
}

fn validations() -> Vec<Shape> {
    vec![built(
        At::Unmanaged,
        "discovery: { method: port, port: 1, validation: [{ type: port_check, port: 1, host: h, timeout: 1s }, { type: port_check, port: 2 }, { type: file_exists, path: /x }, { type: file_exists, file: /y }, { type: http_health, url: \"http://h/\", expected_status: 204 }, { type: http_health, endpoint: \"http://h/\" }, { type: user, user: u }, { type: exe, path: /bin/x }, { type: age, min: 1s, max: 2s }] }",
        |fleet| debug(&unmanaged(fleet).discovery.validation),
        "[PortCheck { host: \"h\", port: 1, timeout: 1s }, PortCheck { host: \"127.0.0.1\", port: 2, timeout: 2s }, FileExists(\"/x\"), FileExists(\"/y\"), HttpHealth { url: \"http://h/\", expected: Some(204), timeout: 2s }, HttpHealth { url: \"http://h/\", expected: None, timeout: 2s }, User(\"u\"), Exe(\"/bin/x\"), Age { at_least: 1s, at_most: Some(2s) }]",
    )]
}

fn rights() -> Vec<Shape> {
    vec![
        built(
            At::Unmanaged,
            "discovery: { method: port, port: 1 }, metadata: { name: n }, control: { can_terminate: true, allowed_signals: [SIGTERM, 9], graceful_timeout: 7s }",
            |fleet| {
                let rights = &unmanaged(fleet).rights;
                debug((rights.can_terminate, &rights.allowed_signals, rights.graceful_timeout))
            },
            "(true, [15, 9], 7s)",
        ),
        built(
            At::Unmanaged,
            "discovery: { method: port, port: 1 }, health_check: { type: process }, health: { readiness: [{ type: tcp, tcp: { address: localhost, port: 1 } }] }",
            |fleet| {
                let checks = &fleet.workers[0].health.checks;
                debug(checks.iter().map(|check| (&check.name, &check.duties)).collect::<Vec<_>>())
            },
            "[(\"process\", [Readiness, Liveness]), (\"tcp\", [Readiness])]",
        ),
        built(
            At::Unmanaged,
            "discovery: { method: port, port: 1 }, control: { can_restart: true, service_manager: systemd, service_name: x.service }",
            |fleet| {
                let rights = &unmanaged(fleet).rights;
                debug((rights.can_restart, &rights.manager))
            },
            "(true, Systemd(\"x.service\"))",
        ),
        built(
            At::Unmanaged,
            "discovery: { method: port, port: 1 }, control: { can_limit: true }, limits: { memory: { max_rss: 5 } }",
            |fleet| {
                let Unmanaged { rights, limits, .. } = unmanaged(fleet);
                let most = limits.as_ref().map(|limits| limits.rules[0].most);
                debug((rights.can_limit, most))
            },
            "(true, Some(5))",
        ),
        built(
            At::Unmanaged,
            "discovery: { method: port, port: 1 }, control: { can_restart: true, restart_command: [sv, restart, x], context_aware_restart: { startup_grace_period: 1s, health_failures: { max_retries: 9 } } }",
            |fleet| {
                let Unmanaged { rights, restart, .. } = unmanaged(fleet);
                let retries = restart.health_failures.max_retries;
                debug((&rights.manager, restart.startup_grace, retries))
            },
            "(Command([\"sv\", \"restart\", \"x\"]), 1s, 9)",
        ),
    ]
}

fn files() -> Vec<Shape> {
    let found = |fleet: &FleetSpec| {
        let Unmanaged { log_files, logs, .. } = unmanaged(fleet);
        let files: Vec<_> =
            log_files.iter().map(|file| (&file.path, file.stream, file.beginning)).collect();
        let outputs = (logs.stdout.outputs.len(), logs.stderr.outputs.len());
        debug((files, outputs, logs.stdout.capture, logs.stderr.capture))
    };
    vec![
        built(
            At::Unmanaged,
            "discovery: { method: port, port: 1 }, log_files: [{ path: /var/log/a.log }, { path: /var/log/b.log, stream: stdout, start_at: beginning }]",
            found,
            "([(\"/var/log/a.log\", Stdout, End), (\"/var/log/b.log\", Stdout, Start)], (1, 0), true, false)",
        ),
        built(
            At::Unmanaged,
            "discovery: { method: port, port: 1 }, log_files: [{ path: /e.log, stream: stderr, start_at: end }], log_collection: { outputs: { separate: { stderr: [] } } }",
            found,
            "([(\"/e.log\", Stderr, End)], (0, 0), false, true)",
        ),
        older(
            At::Unmanaged,
            "discovery: { method: port, port: 1 }, log_collection: { enabled: true }",
            found,
            "([], (0, 0), false, false)",
            &["no file is named"],
        ),
    ]
}

#[test]
fn discovery_means_what_its_page_says() {
    holds(&shapes());
}

#[test]
fn what_contradicts_itself_or_cannot_be_found_is_refused() {
    for (keys, says) in [
        ("method: port, port: 1, pid_file: /x", "`pid_file` says nothing with this method"),
        ("method: process-name", "`process_name` is missing"),
        ("method: process-name, process_name: a, pattern: b", "two ways to say who is meant"),
        ("method: process-name, pattern: \"(\"", "is no pattern: unclosed group"),
        ("method: command-line, pattern: \"(a{1000}){1000}\"", "is no pattern"),
        ("method: port", "`port` is missing"),
        ("method: port, port: 1, strategies: []", "`strategies` beside a single method"),
        ("method: all", "`strategies` is missing"),
        ("method: all, strategies: []", "no searches to put together"),
        ("method: any, strategies: [{ method: all }]", "do not go together twice"),
        ("method: file, file: x", "is absolute"),
        ("method: consul, url: \"https://h\", service_name: s", "not asked here"),
        ("method: etcd, url: \"http://u:p@h\", key: k", "not asked here"),
        ("method: consul, service_name: s", "`url` is missing"),
        ("method: environment, variable: A, value: b, pattern: c", "say the same thing"),
        ("method: port, port: 1, validation: [{ type: exe }]", "`path` is missing"),
        ("method: port, port: 1, validation: [{ type: age, min: 2s, max: 1s }]", "is shorter"),
        (
            "method: port, port: 1, validation: [{ type: port_check, port: 1, timeout: 11s }]",
            "is longer",
        ),
        ("method: nonsense", "is not a word that is known here"),
    ] {
        let file = format!(
            "workers: [{{ id: w, type: unmanaged, unit: {{ unmanaged: {{ discovery: {{ {keys} }} }} }} }}]"
        );
        let outcome = load(&file);
        let errors: Vec<_> = outcome.diagnostics.errors().map(|e| e.message.clone()).collect();
        assert!(errors.iter().any(|error| error.contains(says)), "{keys}: {errors:?}");
        assert!(outcome.fleet.is_none(), "{keys}");
    }
}

#[test]
fn a_restart_that_nobody_could_do_is_refused() {
    for (control, says) in [
        ("can_restart: true", "nothing says how it is restarted"),
        ("can_restart: true, service_name: x", "without `service_manager`"),
        ("can_restart: true, service_manager: systemd", "`service_name` is missing"),
        ("service_manager: launchd, service_name: x", "only systemd is asked"),
        ("service_manager: windows, service_name: x", "only systemd is asked"),
        ("service_manager: systemd, service_name: \"a b\"", "no name of a unit"),
        ("service_manager: systemd, service_name: x, restart_command: [y]", "two ways"),
        ("restart_command: []", "without a program"),
        ("restart_command: [\"\"]", "empty"),
        ("}, log_files: [{ path: x.log }], metadata: { name: n", "is absolute"),
        ("}, log_files: [{ stream: stdout }], metadata: { name: n", "`path` is missing"),
        ("}, log_files: [{ path: /x }, { path: /x }], metadata: { name: n", "named twice"),
    ] {
        let file = format!(
            "workers: [{{ id: w, type: unmanaged, unit: {{ unmanaged: {{ discovery: {{ method: port, port: 1 }}, control: {{ {control} }} }} }} }}]"
        );
        let outcome = load(&file);
        let errors: Vec<_> = outcome.diagnostics.errors().map(|e| e.message.clone()).collect();
        assert!(errors.iter().any(|error| error.contains(says)), "{control}: {errors:?}");
        assert!(outcome.fleet.is_none(), "{control}");
    }
}

#[test]
fn bounds_between_which_nothing_is_are_refused() {
    let check = "health_check: { type: performance, performance: { measure: cpu, at_most: 80%, at_least: 90% } }";
    let file = format!(
        "workers: [{{ id: w, type: managed, unit: {{ managed: {{ control: {{ execution: {{ executable_path: /bin/true }} }}, {check} }} }} }}]"
    );
    let outcome = load(&file);
    let errors: Vec<_> = outcome.diagnostics.errors().map(|e| e.message.clone()).collect();
    assert_eq!(errors, ["`at_least` is more than `at_most`: nothing passes"]);
}

#[test]
fn what_can_never_do_what_it_says_is_warned_of() {
    let unmanaged = |more: &str| {
        format!(
            "workers: [{{ id: w, type: unmanaged, unit: {{ unmanaged: {{ discovery: {{ method: port, port: 1 }}, {more} }} }} }}]"
        )
    };
    let managed = |more: &str| {
        format!(
            "workers: [{{ id: w, type: managed, unit: {{ managed: {{ control: {{ execution: {{ executable_path: /bin/true }} }}, {more} }} }} }}]"
        )
    };
    let log = "health_check: { type: log, log: { pattern: x } }";
    for (file, says) in [
        (unmanaged("limits: { memory: { max_rss: 1GB, policy: restart } }"), Some("can_restart")),
        (
            unmanaged("limits: { memory: { max_rss: 1GB, policy: immediate_kill } }"),
            Some("can_terminate"),
        ),
        (unmanaged("limits: { cpu: { max_percent: 5, policy: throttle } }"), Some("can_limit")),
        (
            unmanaged(
                "control: { can_terminate: true }, limits: { memory: { max_rss: 1GB, policy: graceful_shutdown } }",
            ),
            None,
        ),
        (unmanaged(log), Some("is not collected")),
        (unmanaged(&format!("{log}, log_files: [{{ path: /x.log }}]")), None),
        (managed("health_check: { type: file, file: { path: x } }"), Some("this path means")),
        (managed("health_check: { type: file, file: { path: /x } }"), None),
    ] {
        let outcome = load(&file);
        let warnings: Vec<_> = outcome.diagnostics.warnings().map(|w| w.message.clone()).collect();
        assert!(outcome.fleet.is_some(), "{file}: {:?}", outcome.diagnostics);
        match says {
            Some(says) => {
                assert!(warnings.iter().any(|w| w.contains(says)), "{file}: {warnings:?}")
            }
            None => assert_eq!(warnings, Vec::<String>::new(), "{file}"),
        }
    }
}

#[test]
fn whose_answer_counts_is_anybodys_the_workers_or_a_users() {
    for (answered_by, says) in [
        ("somebody", "nobody whose answer could count"),
        ("{}", "`user` is missing"),
        ("{ user: \"\" }", "empty"),
        ("{ group: x }", "`group`"),
    ] {
        let check = format!(
            "health_check: {{ type: tcp, tcp: {{ address: h, port: 1, answered_by: {answered_by} }} }}"
        );
        let file = format!(
            "workers: [{{ id: w, type: managed, unit: {{ managed: {{ control: {{ execution: {{ executable_path: /bin/true }} }}, {check} }} }} }}]"
        );
        let outcome = load(&file);
        let errors: Vec<_> = outcome.diagnostics.errors().map(|e| e.message.clone()).collect();
        assert!(errors.iter().any(|error| error.contains(says)), "{answered_by}: {errors:?}");
    }
}
