//! Shapes of health checks, and of workers that are not created yet.

use hsu_model::health::{Check, Source};
use hsu_model::master::FleetSpec;

use super::{At, Shape, built, debug, holds, later};

pub(crate) fn shapes() -> Vec<Shape> {
    let mut all = health();
    all.extend(kinds_of_checks());
    all.extend(kinds());
    all
}

/// The checks of the first worker: name, kind, duties, interval/timeout/delay, thresholds.
pub(super) fn checks(fleet: &FleetSpec) -> String {
    let one = |check: &Check| {
        let kind = match &check.source {
            Source::Probed { judgement: Some(_), .. } => "performance",
            Source::Probed { probe, .. } => probe.kind(),
            Source::Composed(_) => "composite",
        };
        let rhythm = &check.rhythm;
        let times = (rhythm.interval, rhythm.timeout, rhythm.initial_delay);
        format!(
            "{} {kind} {:?} {:?}/{:?}/{:?} {}:{}",
            check.name,
            check.duties,
            times.0,
            times.1,
            times.2,
            rhythm.failure_threshold,
            rhythm.success_threshold
        )
    };
    let checks = &fleet.workers.first().unwrap().health.checks;
    checks.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What the first check looks at.
fn probe(fleet: &FleetSpec) -> String {
    let check = fleet.workers.first().unwrap().health.checks.first().unwrap();
    match &check.source {
        Source::Probed { probe, judgement: None, .. } => debug(probe),
        other @ (Source::Probed { .. } | Source::Composed(_)) => debug(other),
    }
}

fn health() -> Vec<Shape> {
    let single = |text, means| built(At::Managed, text, checks, means);
    vec![
        single(
            "health_check: { type: http, http: { url: \"http://h/\", method: GET, headers: { a: b } }, run_options: { enabled: true, interval: 30s, timeout: 5s, initial_delay: 2s, retries: 2 } }",
            "http http [Readiness, Liveness] 30s/5s/2s 2:1",
        ),
        single(
            "health_check: { type: http, http_endpoint: \"http://h/\" }",
            "http http [Readiness, Liveness] 30s/5s/0ns 2:1",
        ),
        single("health_check: { type: process, run_options: { enabled: false } }", ""),
        single("health_check: {}", ""),
        single(
            "health_check: { type: process, run_options: { interval: 1m, retries: 0, success_threshold: 3 } }",
            "process process [Readiness, Liveness] 60s/5s/0ns 1:3",
        ),
        single(
            "health: { startup: [{ type: process, name: up }], readiness: [{ tcp: { address: h, port: 1 } }], liveness: [{ type: process, run_options: { failure_threshold: 7 } }], dependencies: [{ type: template, template: { service: redis }, restart: true }], checks: [{ type: process }] }",
            "up process [Startup] 30s/5s/0ns 2:1; tcp tcp [Readiness] 30s/5s/0ns 2:1; process process [Liveness] 30s/5s/0ns 7:1; template database [Dependency, Liveness] 30s/5s/0ns 2:1; process-2 process [] 30s/5s/0ns 2:1",
        ),
        built(
            At::Managed,
            "health: { readiness: [{ name: all, type: composite, composite: { all: [a, { any: [b, { not: c }] }, { at_least: 2, of: [a, b, c] }] } }], checks: [{ name: a, type: process }, { name: b, type: process, after: [a] }, { name: c, type: process, severity: emergency }] }",
            |f| {
                let checks = &f.workers.first().unwrap().health.checks;
                let all = checks.last().unwrap();
                debug((&all.name, &all.source, &checks[1].after, checks[2].severity))
            },
            "(\"all\", Composed(AtLeast(3, [Check(0), AtLeast(1, [Check(1), Not(Check(2))]), AtLeast(2, [Check(0), Check(1), Check(2)])])), [0], Emergency)",
        ),
        built(
            At::Managed,
            "health_check: { type: tcp, tcp: { address: h, port: 1 }, shared_for: 10s, run_options: { jitter: 5%, adaptive: { shortest: 10s, longest: 2m }, flapping: { changes: 4, window: 5m, hold: 1m } } }",
            |f| {
                let check = f.workers.first().unwrap().health.checks.first().unwrap();
                let Source::Probed { shared_for, .. } = &check.source else { unreachable!() };
                let rhythm = &check.rhythm;
                debug((shared_for, rhythm.jitter, rhythm.adaptive, rhythm.flapping))
            },
            "(10s, 0.05, Some(Adaptive { shortest: 10s, longest: 120s }), Some(Flapping { changes: 4, window: 300s, hold: 60s }))",
        ),
    ]
}

/// One of each kind, with every key of its section.
fn kinds_of_checks() -> Vec<Shape> {
    let seen = |text, means| built(At::Managed, text, probe, means);
    let mut all = more_kinds();
    all.extend([
        seen(
            "health_check: { http: { url: \"https://h:8443/x?y\", method: post, body: hi, expected_status: [200, 301-308], expected_body: ok, follow_redirects: 2, allow_link_local: true, answered_by: worker, tls: { ca_file: /ca, server_name: n, cert_file: /c, key_file: k } } }",
            r#"Http(Http { endpoint: Endpoint { place: Port { host: "h", port: 8443, reach: Anywhere }, tls: Some(Tls { authority: Some("/ca"), server_name: Some("n"), client: Some(("/c", "/srv/k")), trust: Proven }), answerer: Worker }, host: "h:8443", path: "/x?y", method: "POST", headers: [], body: Some("hi"), statuses: [(200, 200), (301, 308)], expect: Some(Pattern("ok")), redirects: 2 })"#,
        ),
        seen(
            "health_check: { http: { url: \"http://[::1]:80\", unix_socket: run.sock } }",
            r#"Http(Http { endpoint: Endpoint { place: Socket("/srv/run.sock"), tls: None, answerer: Anybody }, host: "[::1]:80", path: "/", method: "GET", headers: [], body: None, statuses: [(200, 299)], expect: None, redirects: 0 })"#,
        ),
        seen(
            "health_check: { type: grpc, grpc: { address: \"h:1\", service: S, method: M, headers: { a: b }, tls: { insecure: true }, allow_link_local: false, answered_by: { user: www } } }",
            r#"Grpc(Grpc { endpoint: Endpoint { place: Port { host: "h", port: 1, reach: Usual }, tls: Some(Tls { authority: None, server_name: None, client: None, trust: Anybody }), answerer: User("www") }, authority: "h:1", question: Call("/S/M"), headers: [("a", "b")] })"#,
        ),
        seen(
            "health_check: { type: grpc, grpc: { address: \"h:1\", service: web, unix_socket: /s } }",
            r#"Grpc(Grpc { endpoint: Endpoint { place: Socket("/s"), tls: None, answerer: Anybody }, authority: "h:1", question: Health("web"), headers: [] })"#,
        ),
        seen(
            "health_check: { type: tcp, tcp: { unix_socket: /s, answered_by: anybody } }",
            r#"Tcp(Endpoint { place: Socket("/s"), tls: None, answerer: Anybody })"#,
        ),
        seen(
            "health_check: { type: exec, exec: { command: /bin/true, args: [-x], environment: { A: b }, working_directory: w, expected_exit_codes: [0, 2], expected_output: fine } }",
            r#"Exec(Exec { program: "/bin/true", args: ["-x"], input: None, environment: [("A", "b")], working_directory: Some("/srv/w"), codes: [0, 2], expect: Some(Pattern("fine")) })"#,
        ),
        seen(
            "health_check: { type: script, script: { inline: \"exit 0\", interpreter: bash } }",
            r#"Exec(Exec { program: "bash", args: [], input: Some("exit 0"), environment: [], working_directory: None, codes: [0], expect: None })"#,
        ),
        seen(
            "health_check: { type: script, script: { file: check.sh, args: [a], environment: [B=c], working_directory: /w, expected_exit_codes: [1], expected_output: x } }",
            r#"Exec(Exec { program: "/bin/sh", args: ["/srv/check.sh", "a"], input: None, environment: [("B", "c")], working_directory: Some("/w"), codes: [1], expect: Some(Pattern("x")) })"#,
        ),
        seen(
            "health_check: { type: file, file: { path: /f, exists: true, max_age: 1m, min_age: 1s, min_size: 1, max_size: 1KiB, expected_content: ok } }",
            r#"File(File { path: "/f", presence: Present, newest: Some(60s), oldest: Some(1s), least_size: Some(1), most_size: Some(1024), expect: Some(Pattern("ok")) })"#,
        ),
        seen("health_check: { type: process }", "Process"),
    ]);
    all
}

fn more_kinds() -> Vec<Shape> {
    let seen = |text, means| built(At::Managed, text, probe, means);
    let mut all = judged_kinds();
    all.extend([
        seen(
            "health_check: { type: database, database: { engine: mariadb, address: db, port: 1, user: u, password: p, database: d, query: SELECT 2, expected_result: \"2\", tls: {}, allow_link_local: true, answered_by: worker } }",
            r#"Database(Database { engine: Mysql, endpoint: Endpoint { place: Port { host: "db", port: 1, reach: Anywhere }, tls: Some(Tls { authority: None, server_name: None, client: None, trust: Proven }), answerer: Worker }, login: Some(Login { user: "u", .. }), query: Some("SELECT 2"), expect: Some(Pattern("2")) })"#,
        ),
        seen(
            "health_check: { type: database, database: { engine: redis, password_file: /p, unix_socket: /s } }",
            r#"Database(Database { engine: Redis, endpoint: Endpoint { place: Socket("/s"), tls: None, answerer: Anybody }, login: Some(Login { user: "", .. }), query: None, expect: None })"#,
        ),
        seen(
            "health_check: { type: protocol, protocol: { transport: udp, address: h, port: 1, allow_link_local: true, answered_by: worker, exchange: [{ send: hi, expect: ok }] } }",
            r#"Protocol(Protocol { endpoint: Endpoint { place: Port { host: "h", port: 1, reach: Anywhere }, tls: None, answerer: Worker }, transport: Datagram, exchanges: [Exchange { send: [104, 105], expect: Some(Pattern("ok")) }] })"#,
        ),
        seen(
            "health_check: { type: protocol, protocol: { unix_socket: /s, tls: {}, exchange: [{ expect: ok }] } }",
            r#"Protocol(Protocol { endpoint: Endpoint { place: Socket("/s"), tls: Some(Tls { authority: None, server_name: None, client: None, trust: Proven }), answerer: Anybody }, transport: Stream, exchanges: [Exchange { send: [], expect: Some(Pattern("ok")) }] })"#,
        ),
        Shape {
            warns: &["the output that the check `log` reads is not collected"],
            ..seen(
                "health_check: { type: log, log: { pattern: ready, stream: stdout, exists: false, within: 5m } }",
                r#"Log(Log { pattern: Pattern("ready"), stream: Some(Stdout), presence: Absent, lasting: Some(300s) })"#,
            )
        },
        seen(
            "health_check: { type: steps, steps: [{ name: one, check: { type: process }, capture: { a: { text: x }, b: { json: /y }, c: { header: z }, d: { status: true } }, required: false }, { name: two, check: { type: process }, when: { captured: a, matches: q } }, { name: three, check: { type: process }, when: { passed: one } }, { name: four, check: { type: process }, when: { failed: one } }] }",
            r#"Steps([Step { name: "one", probe: Process, when: Always, captures: [Capture { name: "a", from: Text(Pattern("x")) }, Capture { name: "b", from: Json("/y") }, Capture { name: "c", from: Header("z") }, Capture { name: "d", from: Status }], weight: Tells }, Step { name: "two", probe: Process, when: Matches("a", Pattern("q")), captures: [], weight: Decides }, Step { name: "three", probe: Process, when: Passed(0), captures: [], weight: Decides }, Step { name: "four", probe: Process, when: Failed(0), captures: [], weight: Decides }])"#,
        ),
    ]);
    all
}

fn judged_kinds() -> Vec<Shape> {
    let seen = |text, means| built(At::Managed, text, probe, means);
    vec![
        seen(
            "health_check: { type: performance, performance: { check: { type: process }, statistic: p99, window: 1m, samples: 5, at_most: 200ms } }",
            r"Probed { probe: Process, judgement: Some(Judgement { measure: Latency, statistic: Percentile(99), window: 60s, samples: 5, at_least: None, at_most: Some(0.2) }), shared_for: 0ns }",
        ),
        seen(
            "health_check: { type: performance, performance: { measure: cpu, at_most: 150% } }",
            r"Probed { probe: Usage(Cpu), judgement: Some(Judgement { measure: Value, statistic: Rate, window: 300s, samples: 3, at_least: None, at_most: Some(1.5) }), shared_for: 0ns }",
        ),
        seen(
            "health_check: { type: performance, performance: { measure: value, check: { type: process }, value: { text: \"[0-9]+\" }, statistic: rate, at_least: 10 } }",
            r#"Probed { probe: Steps([Step { name: "read", probe: Process, when: Always, captures: [Capture { name: "value", from: Text(Pattern("[0-9]+")) }], weight: Decides }]), judgement: Some(Judgement { measure: Value, statistic: Rate, window: 300s, samples: 3, at_least: Some(10.0), at_most: None }), shared_for: 0ns }"#,
        ),
        seen(
            "health_check: { type: template, template: { service: memcached, address: h, port: 1, allow_link_local: true, answered_by: { user: memcache } } }",
            r#"Protocol(Protocol { endpoint: Endpoint { place: Port { host: "h", port: 1, reach: Anywhere }, tls: None, answerer: User("memcache") }, transport: Stream, exchanges: [Exchange { send: [118, 101, 114, 115, 105, 111, 110, 13, 10], expect: Some(Pattern("^VERSION ")) }] })"#,
        ),
        seen(
            "health_check: { type: template, template: { service: etcd, unix_socket: /s } }",
            r#"Http(Http { endpoint: Endpoint { place: Socket("/s"), tls: None, answerer: Anybody }, host: "localhost:2379", path: "/health", method: "GET", headers: [], body: None, statuses: [(200, 299)], expect: Some(Pattern("\"health\"\\s*:\\s*\"true\"")), redirects: 0 })"#,
        ),
        Shape {
            warns: &["a `http` section in a check of type `process`"],
            ..seen("health_check: { type: process, http: { url: \"http://h/\" } }", "Process")
        },
    ]
}

/// Workers of the type that is not built: one warning, and no worker.
fn kinds() -> Vec<Shape> {
    let gone = |at, text, warns| Shape {
        look: |fleet| debug(fleet.workers.len()),
        means: "0",
        ..later(at, text, warns)
    };
    let mut all = Vec::new();
    all.extend(
        [
            "metadata: { name: n }",
            "health_check_run_options: { enabled: true, interval: 30s, timeout: 5s }",
            "health_check: { type: process }",
            "health: { liveness: [{ type: process }] }",
        ]
        .map(|text| gone(At::Integrated, text, &["`integrated` is not built yet"])),
    );
    all
}

#[test]
fn checks_mean_what_is_documented_and_what_is_not_built_is_told() {
    holds(&shapes());
}

#[test]
fn every_template_is_a_look_that_can_be_taken() {
    let page = hsu_config::reference();
    let row = page.lines().find(|line| line.starts_with("| `service` | `nginx`")).unwrap();
    let words: Vec<_> = row.split('|').nth(2).unwrap().split('`').skip(1).step_by(2).collect();
    assert!(words.len() >= 12, "{words:?}");
    for word in words {
        let text = format!("health_check: {{ type: template, template: {{ service: {word} }} }}");
        let shape = built(At::Managed, Box::leak(text.into_boxed_str()), checks, "");
        let outcome = super::load(&shape.file());
        let fleet = outcome.fleet.expect(word);
        assert_eq!(fleet.workers.first().unwrap().health.checks.len(), 1, "{word}");
    }
}

/// What is refused, and what is said of it.
const REFUSED: [(&str, &str); 32] = [
    ("health_check: { type: http, http: { url: \"ftp://h/\" } }", "is no URL of a web server"),
    ("health_check: { type: http, http: { url: \"http://u:p@h/\" } }", "holds a user"),
    ("health_check: { type: http, http: { url: \"http:///x\" } }", "does not say which host"),
    ("health_check: { type: http, http: { url: \"http://h/a b\" } }", "no URL has"),
    ("health_check: { http: { url: \"http://h\", tls: {} } }", "begins with `http://`"),
    (
        "health_check: { http: { url: \"http://h\", expected_body: \"(\" } }",
        "no regular expression",
    ),
    ("health_check: { http: { url: \"http://h\", expected_body: \"(?=x)\" } }", "look-around"),
    (
        "health_check: { http: { url: \"http://h\", expected_status: [299-200] } }",
        "ends before it begins",
    ),
    (
        "health_check: { http: { url: \"http://h\", headers: { \"a b\": c } } }",
        "cannot stand in a header",
    ),
    ("health_check: { type: grpc, grpc: { address: h } }", "is not a host and a port"),
    ("health_check: { type: grpc, grpc: { address: \"h:1\", method: M } }", "`service` is missing"),
    (
        "health_check: { type: tcp, tcp: { address: h, port: 1, tls: { insecure: true, ca_file: /x } } }",
        "believes any certificate",
    ),
    ("health_check: { type: script, script: {} }", "`inline` or `file` is missing"),
    (
        "health_check: { type: file, file: { path: /f, exists: false, max_age: 1s } }",
        "must not be there",
    ),
    (
        "health_check: { type: database, database: { engine: mysql, query: SELECT 1 } }",
        "without a login",
    ),
    (
        "health_check: { type: protocol, protocol: { address: h, port: 1, exchange: [{ send: x }] } }",
        "nothing is expected",
    ),
    (
        "health_check: { type: steps, steps: [{ name: a, check: { type: process }, when: { passed: b } }] }",
        "no earlier step",
    ),
    (
        "health_check: { type: steps, steps: [{ name: a, check: { type: process, run_options: {} } }] }",
        "of a look inside",
    ),
    (
        "health_check: { type: performance, performance: { measure: cpu } }",
        "`at_most` or `at_least` is missing",
    ),
    (
        "health_check: { type: performance, performance: { measure: memory, at_most: 5 parsecs } }",
        "`5 parsecs`",
    ),
    ("health_check: { type: process, shared_for: 5s }", "of the worker itself"),
    ("health_check: { type: process, restart: true }", "no dependency"),
    (
        "health_check: { type: process, run_options: { retries: 1, failure_threshold: 1 } }",
        "in two places",
    ),
    (
        "health_check: { type: process, run_options: { interval: 10s, adaptive: { shortest: 5s } } }",
        "checks would overlap",
    ),
    (
        "health: { liveness: [{ name: a, type: process }, { name: a, type: process }] }",
        "two checks are called `a`",
    ),
    ("health: { liveness: [{ name: \"a b\", type: process }] }", "cannot be the name of a check"),
    ("health: { liveness: [{ run_options: {} }] }", "`type` is missing"),
    ("health: { liveness: [{ type: process, after: [proces] }] }", "no check is called `proces`"),
    (
        "health: { liveness: [{ name: a, type: composite, composite: { all: [a] } }] }",
        "composed of itself",
    ),
    (
        "health: { liveness: [{ name: a, type: composite, composite: { all: [b] } }, { name: b, type: composite, composite: { not: a } }] }",
        "composed of itself",
    ),
    (
        "health: { checks: [{ name: a, type: process }], liveness: [{ type: composite, composite: { at_least: 2, of: [a] } }] }",
        "from 1 to 1",
    ),
    (
        "health: { checks: [{ name: a, type: process }], liveness: [{ type: composite, composite: { all: [a], any: [a] } }] }",
        "one of `all`",
    ),
];

#[test]
fn what_a_check_cannot_mean_is_refused_with_a_way_out() {
    for (text, says) in REFUSED {
        let shape = built(At::Managed, text, checks, "");
        let outcome = super::load(&shape.file());
        let told = outcome.diagnostics.errors().any(|error| {
            error.message.contains(says)
                || error.hint.as_deref().is_some_and(|hint| hint.contains(says))
        });
        assert!(told, "{text}: {:?}", outcome.diagnostics.errors().collect::<Vec<_>>());
    }
}
