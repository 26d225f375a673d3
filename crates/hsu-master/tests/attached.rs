//! An nginx and a PostgreSQL that runit starts: found by each way that fits, checked,
//! restarted through whoever starts them, and their log files followed.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hsu_testkit::ports::free_port;
use hsu_testkit::{Fleet, FleetBuilder, Process, Role, Sandbox, eventually, http};
use rustix::process::Signal;
use serde_json::{Value, json};

#[path = "attached/lines.rs"]
mod lines;

const SOON: Duration = Duration::from_secs(60);

/// A server that a supervisor starts, and starts again whenever it ends.
struct Service {
    folder: PathBuf,
    port: u16,
    pid_file: PathBuf,
}

impl Service {
    /// Puts a script under the care of runit.
    fn supervise(sandbox: &Sandbox, name: &str, script: &str) -> PathBuf {
        let folder = sandbox.folder().join(name);
        fs::create_dir_all(&folder).unwrap();
        let run = folder.join("run");
        fs::write(&run, format!("#!/bin/sh\nexec 2>&1\n{script}\n")).unwrap();
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
        let line = "setsid runsv \"$0\" > /dev/null 2>&1 < /dev/null &";
        let mut shell = sandbox.command("/bin/sh");
        assert!(shell.args(["-c", line]).arg(&folder).status().unwrap().success());
        folder
    }

    /// An nginx with a page that is there as long as a file is.
    fn nginx(sandbox: &Sandbox) -> Self {
        let port = free_port().unwrap();
        let site = sandbox.folder().join("site");
        fs::create_dir_all(&site).unwrap();
        fs::write(site.join("page"), "hello").unwrap();
        let (pid_file, temp) = (site.join("nginx.pid"), site.join("temp"));
        let config = format!(
            "daemon off; pid {pid}; error_log {site}/error.log; worker_processes 1; events {{}}\n\
             http {{ log_format short '$request_uri'; access_log {site}/access.log short;\n\
             client_body_temp_path {temp}; proxy_temp_path {temp}; fastcgi_temp_path {temp};\n\
             uwsgi_temp_path {temp}; scgi_temp_path {temp};\n\
             server {{ listen 127.0.0.1:{port}; root {site}; try_files /page =503; }} }}\n",
            pid = pid_file.display(),
            site = site.display(),
            temp = temp.display(),
        );
        fs::write(site.join("nginx.conf"), config).unwrap();
        // Its master is root, its workers are not, and the folder of a test is ours alone.
        sandbox
            .run_shell(&format!("chmod 755 {} {}", sandbox.folder().display(), site.display()))
            .unwrap();
        let script = format!(
            "exec /usr/sbin/nginx -c {site}/nginx.conf -e {site}/error.log",
            site = site.display()
        );
        let folder = Self::supervise(sandbox, "web", &script);
        let service = Self { folder, port, pid_file };
        service.answers();
        service
    }

    fn postgres(sandbox: &Sandbox) -> Self {
        let port = free_port().unwrap();
        let data = sandbox.folder().join("data");
        let pid_file = sandbox.folder().join("run/postgres.pid");
        let become_it = "setpriv --reuid=postgres --regid=postgres --clear-groups";
        sandbox
            .run_shell(&format!(
                "set -e; bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1); cd /; \
                 chmod 755 {base}; mkdir -p {data} {base}/run; chown postgres {data} {base}/run; \
                 {become_it} $bin/initdb -D {data} -A trust > /dev/null",
                base = sandbox.folder().display(),
                data = data.display(),
            ))
            .unwrap();
        let script = format!(
            "cd /; exec {become_it} $(ls -d /usr/lib/postgresql/*/bin | tail -n 1)/postgres -D {data} \
             -p {port} -h 127.0.0.1 -k {data} -c external_pid_file={pid} -c fsync=off",
            data = data.display(),
            pid = pid_file.display(),
        );
        let folder = Self::supervise(sandbox, "database", &script);
        let service = Self { folder, port, pid_file };
        eventually("PostgreSQL listens", SOON, || {
            std::net::TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|e| e.to_string())
        })
        .unwrap();
        service
    }

    /// What nginx answers, once it does.
    fn answers(&self) -> u16 {
        self.get("/").unwrap()
    }

    fn get(&self, path: &str) -> Result<u16, hsu_testkit::TestError> {
        eventually("nginx answers", SOON, || {
            let address = ([127, 0, 0, 1], self.port).into();
            http::status(address, path, Duration::from_secs(5)).map_err(|error| error.to_string())
        })
    }

    fn pid(&self) -> u32 {
        eventually("it has a PID file", SOON, || {
            let text = fs::read_to_string(&self.pid_file).map_err(|error| error.to_string())?;
            text.trim().parse().map_err(|_| text)
        })
        .unwrap()
    }

    /// What asks its supervisor.
    fn restart_command(&self) -> Value {
        json!(["sv", "-w", "30", "restart", self.folder])
    }

    /// Its supervisor ends it and itself.
    fn end(&self, sandbox: &Sandbox) {
        sandbox
            .run_shell(&format!("sv -w 30 force-stop {0}; sv exit {0}", self.folder.display()))
            .unwrap();
    }
}

/// A fleet with one worker that somebody else starts.
fn watching<'a>(sandbox: &'a Sandbox, discovery: &Value, more: &Value) -> Fleet<'a> {
    watching_as(sandbox, "web", discovery, more)
}

fn watching_as<'a>(sandbox: &'a Sandbox, name: &str, discovery: &Value, more: &Value) -> Fleet<'a> {
    let mut unit = more.clone();
    unit["discovery"] = discovery.clone();
    unit["discovery"]["check_interval"] = json!("500ms");
    let worker = json!({ "id": name, "type": "unmanaged", "unit": { "unmanaged": unit } });
    FleetBuilder::new(sandbox).section("workers", json!([worker])).start().unwrap()
}

/// Waits until another process than this one is attached; its PID.
fn attached(fleet: &Fleet<'_>, other_than: Option<u32>) -> u32 {
    attached_to(fleet, "web", other_than)
}

fn attached_to(fleet: &Fleet<'_>, name: &str, other_than: Option<u32>) -> u32 {
    let is_it = |view: &hsu_testkit::WorkerView| {
        view.state() == "running" && view.pid().is_some() && view.pid() != other_than
    };
    let view = fleet.wait_until(name, "attached", SOON, is_it).unwrap();
    view.pid().unwrap()
}

/// The master ends, and its keeper and pump with it.
fn leave(fleet: &Fleet<'_>) {
    for master in fleet.players(Role::Master).unwrap() {
        master.signal(Signal::TERM).unwrap();
    }
    eventually("the fleet has left", SOON, || {
        let left: Vec<Process> =
            Role::ALL.into_iter().flat_map(|role| fleet.players(role).unwrap()).collect();
        if left.is_empty() { Ok(()) } else { Err(left.len().to_string()) }
    })
    .unwrap();
}

/// Finds a service by each of these, and its head each time.
fn is_found_by(sandbox: &Sandbox, service: &Service, searches: &[Value]) {
    let head = service.pid();
    for (place, search) in searches.iter().enumerate() {
        // Each has a name of its own: the master remembers what the one before has found.
        let name = format!("by-way-{place}");
        let fleet = watching_as(sandbox, &name, search, &json!({}));
        assert_eq!(attached_to(&fleet, &name, None), head, "{search}");
        leave(&fleet);
    }
}

#[test]
fn an_nginx_that_runit_starts_is_found_by_each_way_that_fits() {
    let sandbox = Sandbox::new().unwrap();
    let nginx = Service::nginx(&sandbox);
    let config = sandbox.folder().join("site/nginx.conf");
    is_found_by(
        &sandbox,
        &nginx,
        &[
            json!({ "method": "pid-file", "pid_file": nginx.pid_file }),
            json!({ "method": "process-name", "process_name": "nginx" }),
            json!({ "strategy": "process_name_pattern", "pattern": "^ngin.$" }),
            json!({ "method": "port", "port": nginx.port }),
            json!({ "method": "command-line", "pattern": config }),
            json!({ "method": "parent", "parent_name": "runsv" }),
            // Its supervisor works in the same folder, and is the head of that family.
            json!({ "method": "working-directory", "working_directory": nginx.folder,
                "exclude": [{ "method": "process-name", "process_name": "runsv" }] }),
            json!({ "method": "file", "file": sandbox.folder().join("site/error.log") }),
        ],
    );
    nginx.end(&sandbox);
    sandbox.empty_within(SOON).unwrap();
}

#[test]
fn a_postgresql_that_runit_starts_is_found_by_each_way_that_fits_and_restarted() {
    let sandbox = Sandbox::new().unwrap();
    let postgres = Service::postgres(&sandbox);
    let data = sandbox.folder().join("data");
    let by_user = json!({ "method": "all", "strategies": [
        { "method": "user", "user": "postgres" },
        { "method": "process-name", "process_name": "postgres" },
    ] });
    is_found_by(
        &sandbox,
        &postgres,
        &[
            json!({ "method": "pid-file", "pid_file": postgres.pid_file }),
            json!({ "method": "port", "port": postgres.port }),
            json!({ "method": "socket", "socket": data.join(format!(".s.PGSQL.{}", postgres.port)) }),
            json!({ "method": "working-directory", "working_directory": data }),
            by_user.clone(),
        ],
    );
    let database = json!({ "engine": "postgresql", "address": "127.0.0.1", "port": postgres.port });
    let more = json!({
        "health_check": {
            "type": "database", "database": database,
            "run_options": { "interval": "1s", "timeout": "900ms", "retries": 2 },
        },
        "control": { "can_restart": true, "restart_command": postgres.restart_command() },
    });
    let fleet = watching(&sandbox, &by_user, &more);
    fleet.tell(&["wait", "web", "--for=ready"]).unwrap();
    let first = attached(&fleet, None);
    fleet.tell(&["restart", "web"]).unwrap();
    let second = attached(&fleet, Some(first));
    assert_eq!(second, postgres.pid());
    fleet.tell(&["wait", "web", "--for=ready"]).unwrap();
    leave(&fleet);
    postgres.end(&sandbox);
    sandbox.empty_within(SOON).unwrap();
}

#[test]
fn an_nginx_that_fails_its_check_is_restarted_by_whoever_starts_it() {
    let sandbox = Sandbox::new().unwrap();
    let nginx = Service::nginx(&sandbox);
    let search = json!({ "method": "pid-file", "pid_file": nginx.pid_file });
    let check = json!({
        "type": "http", "http": { "url": format!("http://127.0.0.1:{}/", nginx.port) },
        "run_options": { "interval": "1s", "timeout": "900ms", "retries": 2 },
    });
    let more = |control: Value| json!({ "health_check": check, "control": control });

    // Without the right it is called what it is, and left alone.
    let fleet = watching(&sandbox, &search, &more(json!({})));
    fleet.tell(&["wait", "web", "--for=ready"]).unwrap();
    let first = attached(&fleet, None);
    let page = sandbox.folder().join("site/page");
    fs::remove_file(&page).unwrap();
    eventually("it is told that nothing restarts it", SOON, || {
        let why = fleet.tell(&["events", "--worker", "web"]).map_err(|error| error.to_string())?;
        if why.contains("can_restart") { Ok(()) } else { Err(why) }
    })
    .unwrap();
    assert_eq!(attached(&fleet, None), first);
    let described = fleet.ask(&["describe", "web"]).unwrap();
    assert_eq!((&described["health"], &described["ready"]), (&json!("unhealthy"), &json!(false)));
    leave(&fleet);

    let control = json!({
        "can_restart": true, "restart_command": nginx.restart_command(),
        "context_aware_restart": {
            "startup_grace_period": "0s", "health_failures": { "retry_delay": "100ms" },
        },
    });
    let fleet = watching(&sandbox, &search, &more(control));
    attached(&fleet, Some(first));
    fs::write(&page, "hello").unwrap();
    fleet.tell(&["wait", "web", "--for=ready"]).unwrap();
    // A host that is slow may let it fail once more, and have it restarted once more.
    eventually("it is healthy and told so", SOON, || {
        let why = fleet.tell(&["why", "web"]).map_err(|error| error.to_string())?;
        if why.contains("it is healthy and ready") { Ok(()) } else { Err(why) }
    })
    .unwrap();
    assert_eq!(nginx.answers(), 200);
    let events = fleet.tell(&["events", "--worker", "web"]).unwrap();
    assert!(events.contains("unhealthy"), "{events}");
    leave(&fleet);
    nginx.end(&sandbox);
    sandbox.empty_within(SOON).unwrap();
}

#[test]
fn a_second_restart_is_told_of_the_first_and_a_command_that_fails_is_told() {
    let sandbox = Sandbox::new().unwrap();
    let nginx = Service::nginx(&sandbox);
    let (gate, failing) = (sandbox.folder().join("gate"), sandbox.folder().join("failing"));
    let begun = sandbox.folder().join("begun");
    let line = format!(
        "test -e {failing} && exit 7; touch {begun}; while ! test -e {gate}; do sleep 0.05; done; \
         exec sv -w 30 restart {service}",
        failing = failing.display(),
        begun = begun.display(),
        gate = gate.display(),
        service = nginx.folder.display(),
    );
    let control = json!({ "can_restart": true, "restart_command": ["/bin/sh", "-c", line] });
    let search = json!({ "method": "pid-file", "pid_file": nginx.pid_file });
    let fleet = watching(&sandbox, &search, &json!({ "control": control }));
    let first = attached(&fleet, None);
    std::thread::scope(|scope| {
        let restarting = scope.spawn(|| fleet.tell(&["restart", "web"]));
        eventually("the first one is under way", SOON, || {
            begun.exists().then_some(()).ok_or_else(|| "it is not".to_owned())
        })
        .unwrap();
        eventually("a second one is refused", SOON, || {
            let output = fleet.client(&["restart", "web"]).map_err(|error| error.to_string())?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let is_told = !output.status.success() && said.contains("is being asked");
            if is_told { Ok(()) } else { Err(said) }
        })
        .unwrap();
        fs::write(&gate, "").unwrap();
        restarting.join().unwrap().unwrap();
    });
    let second = attached(&fleet, Some(first));
    fs::write(&failing, "").unwrap();
    let output = fleet.client(&["restart", "web"]).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("exit code 7"), "{said}");
    assert_eq!(attached(&fleet, None), second, "it goes on");
    leave(&fleet);
    nginx.end(&sandbox);
    sandbox.empty_within(SOON).unwrap();
}

#[test]
fn systemd_is_asked_where_it_runs_and_missed_where_it_does_not() {
    let sandbox = Sandbox::new().unwrap();
    // Whatever this host is, inside there is no systemd, and then one that hands on to runit.
    sandbox.run_shell("mount -t tmpfs none /run").unwrap();
    let nginx = Service::nginx(&sandbox);
    let bin = sandbox.folder().join("bin");
    fs::create_dir_all(&bin).unwrap();
    let heard = sandbox.folder().join("heard");
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {}\ntest \"$4\" = web.service || {{ echo \"Unit $4 not found.\" >&2; exit 5; }}\n\
         exec sv -w 30 \"$2\" {}\n",
        heard.display(),
        nginx.folder.display()
    );
    fs::write(bin.join("systemctl"), script).unwrap();
    fs::set_permissions(bin.join("systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let control = |unit: &str| json!({ "can_restart": true, "service_manager": "systemd", "service_name": unit });
    let start = |unit: &str| {
        let discovery =
            json!({ "method": "pid-file", "pid_file": nginx.pid_file, "check_interval": "500ms" });
        let unit = json!({ "discovery": discovery, "control": control(unit) });
        let worker = json!({ "id": "web", "type": "unmanaged", "unit": { "unmanaged": unit } });
        FleetBuilder::new(&sandbox)
            .variable("PATH", path.clone())
            .section("workers", json!([worker]))
            .start()
            .unwrap()
    };
    let fleet = start("web.service");
    let first = attached(&fleet, None);
    let refused = |fleet: &Fleet<'_>, says: &str| {
        let output = fleet.client(&["restart", "web"]).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(says), "{said}");
    };
    refused(&fleet, "systemd does not run here");
    assert!(!heard.exists());
    sandbox.run_shell("mkdir -p /run/systemd/system").unwrap();
    fleet.tell(&["restart", "web"]).unwrap();
    let second = attached(&fleet, Some(first));
    assert_eq!(fs::read_to_string(&heard).unwrap(), "--no-ask-password restart -- web.service\n");
    // `stop` asks it too, and so does `start`.
    leave(&fleet);
    let fleet = start("other.service");
    attached(&fleet, None);
    refused(&fleet, "Unit other.service not found.");
    assert_eq!(attached(&fleet, None), second);
    leave(&fleet);
    nginx.end(&sandbox);
    sandbox.empty_within(SOON).unwrap();
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap()
}
