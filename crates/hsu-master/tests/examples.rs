//! The examples do what their READMEs say, under a real master.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hsu_testkit::{Fleet, FleetBuilder, Process, Role, Sandbox, eventually, http};
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);
const NGINX: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 18080);
const REDIS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 16379);

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

/// The content of every file below `folder` whose name begins with `stem`.
fn logs(folder: &Path, stem: &str) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            all += &logs(&entry.path(), stem);
        } else if entry.file_name().to_string_lossy().starts_with(stem) {
            all += &fs::read_to_string(entry.path()).unwrap();
        }
    }
    all
}

#[test]
fn the_quickstart_runs_restarts_gives_up_and_stops() {
    let sandbox = Sandbox::new().unwrap();
    let base = sandbox.folder().join("target/quickstart");
    let text = fs::read_to_string(example("quickstart/hsu.yaml")).unwrap();
    // Attempts in tenths of the time: the test waits for all of them.
    let text =
        text.replace("retry_delay: 1s", "retry_delay: 100ms").replace("sleep 2;", "sleep 0.2;");
    let mut fleet = FleetBuilder::new(&sandbox).yaml(text, &base).start().unwrap();
    let first = fleet.wait_for("ticker", "running", SOON).unwrap().pid();
    fleet.tell(&["signal", "ticker", "KILL"]).unwrap();
    fleet
        .wait_until("ticker", "another process", SOON, |view| {
            view.state() == "running" && view.pid() != first
        })
        .unwrap();
    let batch = fleet.wait_for("batch", "stopped", SOON).unwrap();
    assert_eq!(batch.restarts(), 0);
    let crasher = fleet.wait_for("crasher", "tripped", SOON).unwrap();
    assert_eq!(crasher.restarts(), 4);
    assert!(fleet.tell(&["why", "crasher"]).unwrap().contains("out of luck"));
    fleet.tell(&["stop", "polite"]).unwrap();
    fleet.stop(SOON).unwrap();
    assert!(logs(&base, "polite.log").ends_with("goodbye\n"));
    assert!(logs(&base, "batch.log").ends_with("item 5 of 5\ndone\n"));
    assert!(logs(&base, "everything.log").contains("[ticker][stdout] tick 1\n"));
}

#[test]
fn the_web_stack_survives_every_role_under_load() {
    let sandbox = Sandbox::new().unwrap();
    let folder = sandbox.folder().join("stack");
    let setup = sandbox.command(example("web-stack/setup.sh")).arg(&folder).output().unwrap();
    assert!(setup.status.success(), "{}", String::from_utf8_lossy(&setup.stderr));
    let text = fs::read_to_string(example("web-stack/hsu.yaml")).unwrap();
    let base = folder.join("hsu");
    let mut fleet = FleetBuilder::new(&sandbox)
        .yaml(text, &base)
        .variable("HSU_WEB_STACK", folder.to_str().unwrap())
        .start()
        .unwrap();
    let mut session = Session::open(&sandbox, &folder);
    session.wait_until_it_answers();
    let before = wait_for_service(&fleet);
    let load = Load::start();
    for role in Role::ALL {
        let old = fleet.players(role).unwrap();
        assert_ne!(fleet.kill(role).unwrap(), 0, "{role:?}");
        eventually("the role is played again", SOON, || {
            let now = fleet.players(role).map_err(|error| error.to_string())?;
            let is_old = |player: &Process| old.iter().any(|one| one.is_same(player));
            let is_new = !now.is_empty() && !now.iter().any(is_old);
            if is_new { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .unwrap();
        assert_eq!(wait_for_service(&fleet), before, "after {role:?}");
        assert_eq!(session.ask("select 1"), "1", "the same session, after {role:?}");
    }
    let requests = load.finish();
    drop(session);
    for worker in ["nginx", "redis", "postgres"] {
        fleet.tell(&["signal", worker, "KILL"]).unwrap();
        fleet
            .wait_until(worker, "another process", SOON, |view| {
                view.state() == "running" && view.restarts() == 1
            })
            .unwrap();
        assert_eq!(fleet.ask(&["describe", worker]).unwrap()["last_exit"]["signal"], json!(9));
    }
    wait_for_service(&fleet);
    fleet.stop(SOON).unwrap();
    let seen = logs(&base, "nginx.log").matches("\"GET /load HTTP/1.1\" 404").count();
    assert_eq!(seen, requests, "lines in nginx's log, and requests that it answered");
}

/// The PIDs of the three, once all of them answer.
fn wait_for_service(fleet: &Fleet<'_>) -> Vec<Option<u32>> {
    let pids = ["nginx", "redis", "postgres"]
        .map(|worker| fleet.wait_for(worker, "running", SOON).unwrap().pid());
    eventually("nginx answers", SOON, || match http::status(NGINX, "/health", SOON) {
        Ok(200) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .unwrap();
    eventually("redis answers", SOON, || {
        let mut stream = TcpStream::connect(REDIS).map_err(|error| error.to_string())?;
        ping(&mut stream).map_err(|error| error.to_string())
    })
    .unwrap();
    pids.to_vec()
}

fn ping(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    if &answer == b"+PONG\r\n" { Ok(()) } else { Err(std::io::ErrorKind::InvalidData.into()) }
}

/// Clients that ask without a pause; the first failure ends them.
struct Load {
    is_over: Arc<AtomicBool>,
    web: JoinHandle<usize>,
    cache: JoinHandle<()>,
}

impl Load {
    fn start() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (for_web, for_cache) = (Arc::clone(&is_over), Arc::clone(&is_over));
        let web = thread::spawn(move || {
            let mut requests = 0;
            while !for_web.load(Ordering::Relaxed) {
                // Not found, but answered and logged under a name of its own.
                assert_eq!(http::status(NGINX, "/load", SOON).unwrap(), 404);
                requests += 1;
                thread::sleep(Duration::from_millis(1));
            }
            requests
        });
        let cache = thread::spawn(move || {
            let mut stream = TcpStream::connect(REDIS).unwrap();
            while !for_cache.load(Ordering::Relaxed) {
                ping(&mut stream).unwrap();
                thread::sleep(Duration::from_millis(1));
            }
        });
        Self { is_over, web, cache }
    }

    /// How many requests nginx answered; panics when one failed.
    fn finish(self) -> usize {
        self.is_over.store(true, Ordering::Relaxed);
        self.cache.join().unwrap();
        self.web.join().unwrap()
    }
}

/// One session with PostgreSQL, as its own user over its own socket.
struct Session<'a> {
    sandbox: &'a Sandbox,
    folder: PathBuf,
    client: Child,
}

impl<'a> Session<'a> {
    fn open(sandbox: &'a Sandbox, folder: &Path) -> Self {
        let client = Self::client(sandbox, folder);
        Self { sandbox, folder: folder.to_owned(), client }
    }

    fn client(sandbox: &Sandbox, folder: &Path) -> Child {
        sandbox
            .command("runuser")
            .args(["-u", "postgres", "--", "psql", "-XAtq", "-p", "15432", "-d", "postgres", "-h"])
            .arg(folder.join("postgres/socket"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Connects again until the server is up.
    fn wait_until_it_answers(&mut self) {
        eventually("PostgreSQL answers", SOON, || match self.try_to_ask("select 1") {
            Some(answer) if answer == "1" => Ok(()),
            answer => {
                self.close();
                self.client = Self::client(self.sandbox, &self.folder);
                Err(format!("{answer:?}"))
            }
        })
        .unwrap();
    }

    fn ask(&mut self, question: &str) -> String {
        self.try_to_ask(question).unwrap()
    }

    fn try_to_ask(&mut self, question: &str) -> Option<String> {
        writeln!(self.client.stdin.as_mut()?, "{question};").ok()?;
        let mut answer = Vec::new();
        let stdout = self.client.stdout.as_mut()?;
        // One byte at a time, so that nothing of the next answer is taken.
        BufReader::with_capacity(1, stdout).read_until(b'\n', &mut answer).ok()?;
        (!answer.is_empty()).then(|| String::from_utf8_lossy(&answer).trim().to_owned())
    }

    /// The client ends by itself at the end of its input. Killed, only the door of
    /// the sandbox would end, and the client be nobody's child.
    fn close(&mut self) {
        drop(self.client.stdin.take());
        let _ = self.client.wait();
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.close();
    }
}
