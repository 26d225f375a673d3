//! Real servers as workers, each checked by what fits it: by its template, and where
//! there is a login by a real question.

use std::time::Duration;

use hsu_testkit::binaries::python;
use hsu_testkit::ports::free_port;
use hsu_testkit::{Fleet, FleetBuilder, Sandbox, Worker, eventually};
use serde_json::{Value, json};

// The same certificates as where bad ones are shown to the prober alone.
#[path = "../../hsu-probe/tests/hostile/authority.rs"]
mod authority;

use authority::{Certified, authority, server as certificate};

/// An authority and a server of its; what a check is told of it.
fn certified(folder: &std::path::Path) -> (Certified, Certified, Value) {
    let ours = authority(folder, "authority");
    let server = certificate(folder, "server", ("localhost", "2025-01-01"), Some(&ours));
    let tls =
        json!({"ca_file": ours.certificate.display().to_string(), "server_name": "localhost"});
    (ours, server, tls)
}

/// Servers of others take their time to come up.
const SOON: Duration = Duration::from_secs(90);

fn server(id: &str, program: &str, arguments: &[String], checks: &Value) -> Worker {
    let fast = json!({"interval": "500ms", "timeout": "450ms", "retries": 1});
    let mut checks = checks.clone();
    for check in checks.as_array_mut().into_iter().flatten() {
        check["run_options"] = fast.clone();
    }
    Worker::new(id, program)
        .arguments(arguments.iter().cloned())
        .managed("health", json!({"readiness": checks}))
}

/// Waits until every check of a worker passes, or tells what each one says.
fn passes(fleet: &Fleet<'_>, worker: &str) {
    eventually(&format!("{worker} is healthy"), SOON, || {
        let described = fleet.ask(&["describe", worker]).map_err(|error| error.to_string())?;
        let checks = described["checks"].as_array().cloned().unwrap_or_default();
        let good = checks.iter().all(|check| check["verdict"] == "passing");
        let told =
            || checks.iter().map(|c| format!("{}: {}\n", c["name"], c["last_note"])).collect();
        if good && !checks.is_empty() { Ok(()) } else { Err(told()) }
    })
    .expect("every check passes");
}

/// What the check of a worker says at present, once it fails.
fn complaint(fleet: &Fleet<'_>, worker: &str, check: &str) -> String {
    eventually(&format!("{check} of {worker} fails"), SOON, || {
        let described = fleet.ask(&["describe", worker]).map_err(|error| error.to_string())?;
        let checks = described["checks"].as_array().cloned().unwrap_or_default();
        let found = checks.into_iter().find(|one| one["name"] == check).unwrap_or_default();
        match found["verdict"] == "failing" {
            true => Ok(found["last_note"].as_str().unwrap_or_default().to_owned()),
            false => Err(found.to_string()),
        }
    })
    .expect("it fails")
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_redis_is_asked_with_and_without_its_password() {
    let sandbox = Sandbox::new().expect("a sandbox");
    let port = free_port().expect("a port");
    let number = port.to_string();
    let folder = sandbox.folder().display().to_string();
    let (ours, certified, tls) = certified(sandbox.folder());
    let private = free_port().expect("a port");
    let mut words =
        texts(&["--port", &number, "--dir", &folder, "--requirepass", "s3cret", "--save", ""]);
    words.extend([
        "--tls-port".to_owned(),
        private.to_string(),
        "--tls-cert-file".to_owned(),
        certified.certificate.display().to_string(),
        "--tls-key-file".to_owned(),
        certified.key.display().to_string(),
        "--tls-ca-cert-file".to_owned(),
        ours.certificate.display().to_string(),
        "--tls-auth-clients".to_owned(),
        "no".to_owned(),
    ]);
    let with = |password: &str, more: &Value| {
        let mut database = json!({"engine": "redis", "port": port, "password": password});
        for (key, value) in more.as_object().into_iter().flatten() {
            database[key] = value.clone();
        }
        database
    };
    let asked = json!({"query": "INFO server", "expected_result": "redis_version:"});
    let good = json!([
        {"type": "template", "template": {"service": "redis", "port": port}},
        {"name": "asked", "type": "database", "database": with("s3cret", &asked)},
        {"name": "protected", "type": "database",
            "database": with("s3cret", &json!({"port": private, "tls": tls}))},
        {"name": "said", "type": "protocol", "protocol": {"address": "localhost", "port": port,
            "exchange": [{"send": "AUTH s3cret\r\nPING\r\n", "expect": "\\+PONG"}]}},
        {"name": "told", "type": "log", "log": {"pattern": "Ready to accept connections"}},
    ]);
    let bad = json!([{"name": "wrong", "type": "database", "database": with("other", &json!({}))}]);
    let redis = server("redis", "/usr/bin/redis-server", &words, &good);
    let log = json!({"enabled": true, "capture_stdout": true, "capture_stderr": true});
    let mut fleet = FleetBuilder::new(&sandbox)
        .worker(redis.set("log_collection", log))
        .worker(server("other", "/bin/sleep", &texts(&["1000"]), &bad))
        .start()
        .expect("a fleet");
    passes(&fleet, "redis");
    // Before it was up the check could only say that nobody was there.
    eventually("a wrong password is told", SOON, || {
        let why = complaint(&fleet, "other", "wrong");
        if why.contains("WRONGPASS") { Ok(()) } else { Err(why) }
    })
    .expect("it is told");
    fleet.stop(SOON).expect("an end");
}

/// A site with a page, a login that gives a token, and a place for whoever has it; the
/// configuration of its server.
fn web_site(folder: &std::path::Path, web: u16) -> std::path::PathBuf {
    let temp = folder.join("temp");
    let config = format!(
        "daemon off; pid {pid}; error_log stderr; events {{}}\n\
         http {{ access_log off; client_body_temp_path {temp}; proxy_temp_path {temp}; \
         fastcgi_temp_path {temp}; uwsgi_temp_path {temp}; scgi_temp_path {temp}; \
         server {{ listen 127.0.0.1:{web}; \
         location /login {{ default_type application/json; return 200 '{{\"token\": \"abc\"}}'; }} \
         location /own {{ if ($http_x_token != abc) {{ return 403; }} return 204; }} \
         location / {{ return 200 'hello'; }} }} }}\n",
        pid = folder.join("nginx.pid").display(),
        temp = temp.display(),
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, config).expect("a configuration");
    file
}

#[test]
fn an_nginx_and_an_etcd_are_checked_by_their_templates_and_by_steps() {
    let sandbox = Sandbox::new().expect("a sandbox");
    let (web, client, peer) =
        (free_port().expect("a port"), free_port().expect("a port"), free_port().expect("a port"));
    let folder = sandbox.folder().to_owned();
    let file = web_site(&folder, web);
    let url = |path: &str| format!("http://127.0.0.1:{web}{path}");
    let login = json!({"type": "http", "http": {"url": url("/login")}});
    let own = json!({"type": "http", "http": {"url": url("/own"), "headers": {"X-Token": "{token}"},
        "expected_status": [204]}});
    let checks = json!([
        {"type": "template", "template": {"service": "nginx", "address": "127.0.0.1", "port": web}},
        {"type": "http", "http": {"url": url("/"), "expected_body": "^hello$"}},
        {"type": "steps", "steps": [
            {"name": "login", "check": login, "capture": {"token": {"json": "/token"}}},
            {"name": "own", "check": own},
        ]},
        {"name": "fast", "type": "performance", "performance": {
            "check": {"type": "http", "http": {"url": url("/")}}, "at_most": "400ms", "samples": 2}},
        {"name": "small", "type": "performance", "performance": {
            "measure": "memory", "at_most": "1GiB", "samples": 2}},
    ]);
    let words = texts(&["-c", &file.display().to_string(), "-e", "stderr"]);
    let nginx = server("nginx", "/usr/sbin/nginx", &words, &checks);
    let http = |port: u16| format!("http://127.0.0.1:{port}");
    let etcd = server(
        "etcd",
        "/usr/bin/etcd",
        &texts(&[
            "--data-dir",
            &folder.join("etcd").display().to_string(),
            "--listen-client-urls",
            &http(client),
            "--advertise-client-urls",
            &http(client),
            "--listen-peer-urls",
            &http(peer),
            "--initial-advertise-peer-urls",
            &http(peer),
            "--initial-cluster",
            &format!("default={}", http(peer)),
        ]),
        // etcd answers grpc.health.v1 on its client port too.
        &json!([
            {"type": "template", "template": {"service": "etcd", "address": "127.0.0.1", "port": client}},
            {"type": "grpc", "grpc": {"address": format!("127.0.0.1:{client}")}},
        ]),
    );
    let unknown = json!([{"name": "unknown", "type": "grpc",
        "grpc": {"address": format!("127.0.0.1:{client}"), "service": "no.such.Service"}}]);
    let mut fleet = FleetBuilder::new(&sandbox)
        .worker(nginx)
        .worker(etcd)
        .worker(server("other", "/bin/sleep", &texts(&["1000"]), &unknown))
        .start()
        .expect("a fleet");
    passes(&fleet, "nginx");
    passes(&fleet, "etcd");
    eventually("it is told that there is no such service", SOON, || {
        let why = complaint(&fleet, "other", "unknown");
        if why.contains("NOT_FOUND") || why.contains("SERVICE_UNKNOWN") { Ok(()) } else { Err(why) }
    })
    .expect("it is told");
    fleet.stop(SOON).expect("an end");
}

#[test]
fn a_postgresql_is_logged_in_to_and_asked() {
    let sandbox = Sandbox::new().expect("a sandbox");
    let port = free_port().expect("a port");
    let data = sandbox.folder().join("data");
    let (_, certified, tls) = certified(sandbox.folder());
    // PostgreSQL refuses to run as root.
    let line = format!(
        "set -e; bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1); mkdir -p {data}; \
         printf s3cret > {data}.password; chmod 600 {key}; \
         chown postgres {data} {data}.password {key}; cd /; \
         setpriv --reuid=postgres --regid=postgres --clear-groups \
         $bin/initdb -D {data} -A scram-sha-256 --pwfile={data}.password > /dev/null; echo $bin",
        data = data.display(),
        key = certified.key.display(),
    );
    let output = sandbox.command("/bin/sh").args(["-c", &line]).output().expect("a shell");
    assert!(output.status.success(), "{output:?}");
    let program = format!("{}/postgres", String::from_utf8_lossy(&output.stdout).trim());
    let words = texts(&[
        "-D",
        &data.display().to_string(),
        "-p",
        &port.to_string(),
        "-k",
        "",
        "-h",
        "127.0.0.1",
        "-c",
        "ssl=on",
        "-c",
        &format!("ssl_cert_file={}", certified.certificate.display()),
        "-c",
        &format!("ssl_key_file={}", certified.key.display()),
    ]);
    let database = |password: &str, query: &str| {
        json!({"engine": "postgresql", "address": "127.0.0.1", "port": port, "user": "postgres",
            "password": password, "query": query, "expected_result": "^42$"})
    };
    let is_private =
        "select case when ssl then 42 end from pg_stat_ssl where pid = pg_backend_pid()";
    let mut protected = database("s3cret", is_private);
    protected["tls"] = tls;
    let checks = json!([
        {"type": "template", "template": {"service": "postgresql", "address": "127.0.0.1", "port": port}},
        {"name": "asked", "type": "database", "database": database("s3cret", "select 6 * 7")},
        {"name": "protected", "type": "database", "database": protected},
    ]);
    let wrong = json!([
        {"name": "password", "type": "database", "database": database("other", "select 42")},
        {"name": "query", "type": "database", "database": database("s3cret", "select 41")},
    ]);
    let postgres = server("postgres", &program, &words, &checks).execution("user", "postgres");
    let mut fleet = FleetBuilder::new(&sandbox)
        .worker(postgres.execution("working_directory", "/"))
        .worker(server("other", "/bin/sleep", &texts(&["1000"]), &wrong))
        .start()
        .expect("a fleet");
    passes(&fleet, "postgres");
    eventually("a wrong password is told", SOON, || {
        let why = complaint(&fleet, "other", "password");
        if why.contains("28P01") { Ok(()) } else { Err(why) }
    })
    .expect("it is told");
    let why = complaint(&fleet, "other", "query");
    assert!(why.contains("does not match"), "{why}");
    fleet.stop(SOON).expect("an end");
}

#[test]
fn a_mariadb_is_logged_in_to_and_asked() {
    let sandbox = Sandbox::new().expect("a sandbox");
    let port = free_port().expect("a port");
    let folder = sandbox.folder().to_owned();
    let (_, certified, tls) = certified(&folder);
    let (data, first) = (folder.join("data"), folder.join("first.sql"));
    let grant = "CREATE USER monitor@'%' IDENTIFIED BY 's3cret';\n";
    std::fs::write(&first, grant).expect("a file");
    let line = format!(
        "cd /; mariadb-install-db --no-defaults --user=root --datadir={} \
         --auth-root-authentication-method=normal --skip-test-db > /dev/null",
        data.display()
    );
    let output = sandbox.command("/bin/sh").args(["-c", &line]).output().expect("a shell");
    assert!(output.status.success(), "{output:?}");
    let option = |name: &str, value: &str| format!("--{name}={value}");
    let words = [
        "--no-defaults".to_owned(),
        option("user", "root"),
        option("datadir", &data.display().to_string()),
        option("socket", &folder.join("db.sock").display().to_string()),
        option("pid-file", &folder.join("db.pid").display().to_string()),
        option("port", &port.to_string()),
        option("bind-address", "127.0.0.1"),
        option("init-file", &first.display().to_string()),
        option("ssl-cert", &certified.certificate.display().to_string()),
        option("ssl-key", &certified.key.display().to_string()),
    ];
    let database = |password: &str| {
        json!({"engine": "mariadb", "address": "127.0.0.1", "port": port, "user": "monitor",
            "password": password, "query": "select 6 * 7", "expected_result": "^42$"})
    };
    let mut protected = database("s3cret");
    protected["tls"] = tls;
    protected["query"] = "select variable_value from information_schema.session_status \
                          where variable_name = 'Ssl_version'"
        .into();
    protected["expected_result"] = "^TLS".into();
    let checks = json!([
        {"type": "template", "template": {"service": "mariadb", "address": "127.0.0.1", "port": port}},
        {"name": "asked", "type": "database", "database": database("s3cret")},
        {"name": "protected", "type": "database", "database": protected},
    ]);
    let wrong = json!([{"name": "wrong", "type": "database", "database": database("other")}]);
    let mut fleet = FleetBuilder::new(&sandbox)
        .worker(server("mariadb", "/usr/sbin/mariadbd", &words, &checks))
        .worker(server("other", "/bin/sleep", &texts(&["1000"]), &wrong))
        .start()
        .expect("a fleet");
    passes(&fleet, "mariadb");
    eventually("a wrong password is told", SOON, || {
        let why = complaint(&fleet, "other", "wrong");
        if why.contains("1045") { Ok(()) } else { Err(why) }
    })
    .expect("it is told");
    fleet.stop(SOON).expect("an end");
}

/// A server that serves `shop`, does not serve `closed`, and answers as gRPC's own package
/// for Python does; `toggle` serves or does not, by a file.
const GRPC: &str = r#"
import os, sys, time
from concurrent import futures
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
port, folder = sys.argv[1], sys.argv[2]
server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
servicer = health.HealthServicer()
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
states = health_pb2.HealthCheckResponse
servicer.set("", states.SERVING)
servicer.set("shop", states.SERVING)
servicer.set("closed", states.NOT_SERVING)
assert server.add_insecure_port("127.0.0.1:" + port) == int(port)
server.start()
while True:
    good = os.path.exists(folder + "/good")
    servicer.set("toggle", states.SERVING if good else states.NOT_SERVING)
    time.sleep(0.05)
"#;

#[test]
fn a_grpc_health_server_of_pythons_is_asked_about_each_of_its_services() {
    let sandbox = Sandbox::new().expect("a sandbox");
    let port = free_port().expect("a port");
    let folder = sandbox.folder().to_owned();
    let python = python().expect("gRPC for Python");
    let address = format!("127.0.0.1:{port}");
    let about = |name: &str, service: &str| json!({"name": name, "type": "grpc", "grpc": {"address": address, "service": service}});
    let good = json!([
        {"name": "whole", "type": "grpc", "grpc": {"address": address}},
        about("shop", "shop"),
        about("toggle", "toggle"),
    ]);
    let bad = json!([
        about("closed", "closed"),
        about("unknown", "no.such.Service"),
        {"name": "ping", "type": "grpc",
            "grpc": {"address": address, "service": "CoreService", "method": "Ping"}},
    ]);
    let words = texts(&["-c", GRPC, &port.to_string(), &folder.display().to_string()]);
    let server_of = server("grpc", python.to_str().expect("a path"), &words, &good);
    let mut fleet = FleetBuilder::new(&sandbox)
        .worker(server_of)
        .worker(server("other", "/bin/sleep", &texts(&["1000"]), &bad))
        .start()
        .expect("a fleet");
    for (check, says) in
        [("closed", "NOT_SERVING"), ("unknown", "NOT_FOUND"), ("ping", "UNIMPLEMENTED")]
    {
        eventually(&format!("{check} is told"), SOON, || {
            let why = complaint(&fleet, "other", check);
            if why.contains(says) { Ok(()) } else { Err(why) }
        })
        .expect("it is told");
    }
    let why = complaint(&fleet, "grpc", "toggle");
    assert!(why.contains("NOT_SERVING") || why.contains("refused"), "{why}");
    std::fs::write(folder.join("good"), "").expect("a file");
    passes(&fleet, "grpc");
    fleet.stop(SOON).expect("an end");
}
