//! Real servers that somebody else started: an nginx and a PostgreSQL, found in every way
//! that fits them, watched, and ended where that is allowed.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed step is a failed test")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use hsu_testkit::ports::free_port;
use hsu_testkit::{Fleet, FleetBuilder, Role, Sandbox, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);

fn watching<'a>(sandbox: &'a Sandbox, discovery: &Value) -> Fleet<'a> {
    let mut discovery = discovery.clone();
    discovery["check_interval"] = json!("500ms");
    let control = json!({ "can_terminate": true });
    let unit = json!({ "unmanaged": { "discovery": discovery, "control": control } });
    let worker = json!({ "id": "server", "type": "unmanaged", "unit": unit });
    FleetBuilder::new(sandbox).section("workers", json!([worker])).start().unwrap()
}

/// The fleet ends, and what it watched does not.
fn leave(fleet: &Fleet<'_>) {
    for master in fleet.players(Role::Master).unwrap() {
        master.signal(Signal::TERM).unwrap();
    }
    eventually("the fleet has left", SOON, || {
        let left = Role::ALL.into_iter().flat_map(|role| fleet.players(role).unwrap()).count();
        if left == 0 { Ok(()) } else { Err(left.to_string()) }
    })
    .unwrap();
}

/// The PID in a file, once it is there.
fn pid_in(file: &Path) -> u32 {
    eventually("the server has written its PID", SOON, || {
        let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
        text.lines().next().unwrap_or_default().trim().parse().map_err(|_| text.clone())
    })
    .unwrap()
}

/// Finds the server in each way, and ends it through the last one.
fn found_in_each_way(sandbox: &Sandbox, pid: u32, searches: &[Value]) {
    let last = searches.len() - 1;
    for (place, search) in searches.iter().enumerate() {
        let mut fleet = watching(sandbox, search);
        let view = fleet
            .wait_until("server", "attached", SOON, |view| view.state() == "running")
            .unwrap_or_else(|error| panic!("{search}: {error}"));
        assert_eq!(view.pid(), Some(pid), "{search}");
        if place < last {
            leave(&fleet);
            continue;
        }
        fleet.tell(&["stop", "server"]).unwrap();
        let view =
            fleet.wait_until("server", "ended", SOON, |view| view.state() == "stopped").unwrap();
        assert_eq!(view.field("last_exit")["code"], 0, "an orderly end, told by the kernel");
        fleet.stop(SOON).unwrap();
    }
}

#[test]
fn an_nginx_of_somebody_else_is_found_in_every_way_and_ended() {
    let sandbox = Sandbox::new().unwrap();
    let (folder, port) = (sandbox.folder().to_owned(), free_port().unwrap());
    let (pids, log) = (folder.join("nginx.pid"), folder.join("error.log"));
    let config = format!(
        "pid {};\nerror_log {};\nworker_processes 2;\nevents {{}}\n\
         http {{ access_log off; client_body_temp_path {temp}; proxy_temp_path {temp}; \
         fastcgi_temp_path {temp}; uwsgi_temp_path {temp}; scgi_temp_path {temp}; \
         server {{ listen 127.0.0.1:{port}; return 204; }} }}\n",
        pids.display(),
        log.display(),
        temp = folder.join("temp").display(),
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, config).unwrap();
    let mut nginx = sandbox.command("nginx");
    let output = nginx.arg("-c").arg(&file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let pid = pid_in(&pids);
    let master = format!("nginx: master process.*{}", file.display());
    found_in_each_way(
        &sandbox,
        pid,
        &[
            json!({ "method": "process-name", "process_name": "nginx" }),
            json!({ "method": "port", "port": port }),
            json!({ "method": "command-line", "pattern": master }),
            json!({ "method": "file", "file": log }),
            json!({ "method": "all", "strategies": [
                { "method": "process-name", "pattern": "^nginx$" }, { "method": "port", "port": port }
            ], "validation": [
                { "type": "exe", "path": "/usr/sbin/nginx" },
                { "type": "http_health", "url": format!("http://127.0.0.1:{port}/") }
            ] }),
            json!({ "method": "pid-file", "pid_file": pids }),
        ],
    );
}

#[test]
fn a_postgresql_of_somebody_else_is_found_in_every_way_and_ended() {
    let sandbox = Sandbox::new().unwrap();
    let (folder, port) = (sandbox.folder().to_owned(), free_port().unwrap());
    let (data, run) = (folder.join("data"), folder.join("run"));
    let pids = run.join("postgres.pid");
    // PostgreSQL refuses to run as root.
    let line = format!(
        "set -e; bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1); \
         mkdir -p {data} {run}; chown postgres {data} {run}; cd /; \
         as=\"setpriv --reuid=postgres --regid=postgres --clear-groups\"; \
         $as $bin/initdb -D {data} -A trust > /dev/null; \
         HSU_MARK=db $as $bin/pg_ctl -D {data} -l {run}/log -w start -o \
         '-p {port} -k {run} -c external_pid_file={pids}' > /dev/null",
        data = data.display(),
        run = run.display(),
        pids = pids.display(),
    );
    let mut shell = sandbox.command("/bin/sh");
    let output = shell.args(["-c", &line]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let pid = pid_in(&pids);
    let socket = run.join(format!(".s.PGSQL.{port}"));
    found_in_each_way(
        &sandbox,
        pid,
        &[
            json!({ "method": "process-name", "process_name": "postgres" }),
            json!({ "method": "port", "port": port }),
            json!({ "method": "working-directory", "working_directory": data }),
            json!({ "method": "environment", "variable": "HSU_MARK", "value": "db" }),
            json!({ "method": "socket", "socket": socket }),
            json!({ "method": "user", "user": "postgres", "validation": [
                { "type": "user", "user": "postgres" }, { "type": "port_check", "port": port }
            ] }),
            json!({ "method": "pid-file", "pid_file": pids }),
        ],
    );
}
