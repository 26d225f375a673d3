//! A master that knows what a test says, and remembers what it was asked.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Output, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hsu_config::{LoadOptions, Source, Surroundings};
use hsu_core::answer::{Answer, Refusal};
use hsu_core::input::{Command, ShutdownMode};
use hsu_logs::query::Spools;
use hsu_model::event::{Actor, Event, EventKind};
use hsu_model::exit::Exit;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;
use hsu_model::spool::index::{Mark, Record};
use hsu_model::spool::index_name;
use hsu_model::status::{BreakerState, Desired, LastExit, WorkerState, WorkerStatus};
use hsu_model::time::{Now, Tick, WallTime};
use hsu_model::worker::WorkerSpec;
use hsu_runtime::control::{Control, ControlError, Facts, Pending, Unreplaced};
use hsu_runtime::{Entry, Snapshot};
use hsu_server::{Server, Socket};
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

/// The wall clock of every fake: 2023-11-14T22:13:20Z.
pub(crate) const NOW: WallTime = WallTime(1_700_000_000_000_000_000);

/// What a fake knows.
pub(crate) struct Fake {
    pub(crate) folder: TempDir,
    workers: Mutex<Arc<Snapshot>>,
    events: Mutex<Vec<Event>>,
    pub(crate) used: Mutex<Vec<(WorkerId, hsu_runtime::Used)>>,
    asked: Mutex<Vec<String>>,
    /// Commands that are never answered; kept, so that their ends stay open.
    open: Mutex<Vec<oneshot::Sender<Answer>>>,
    version: watch::Sender<u64>,
    /// Nanoseconds from [`NOW`] to what is written next.
    moments: AtomicI64,
    /// Whether this master knows what an earlier life left.
    pub(crate) opened: watch::Sender<bool>,
    /// How often this master went on after another had failed to replace it.
    pub(crate) regained: watch::Sender<u64>,
}

/// A fake that is served at a socket.
pub(crate) struct Served {
    pub(crate) fake: Arc<Fake>,
    server: Option<Server>,
}

fn spec(id: &str) -> Arc<WorkerSpec> {
    let text = format!(
        r#"{{"workers": [{{"id": "{id}", "type": "managed", "unit": {{"managed": {{"control": {{
            "execution": {{"executable_path": "/bin/sleep", "args": ["7"]}}}}}}}}}}]}}"#
    );
    let source = Source { name: "test".to_owned(), text: text.into_bytes() };
    let options = LoadOptions::default();
    let outcome = hsu_config::load(&source, &Surroundings::of_this_process(), &options);
    let mut workers = outcome.fleet.expect("the text is valid").workers;
    Arc::new(workers.remove(0))
}

/// A worker that runs, and whose run before was killed.
pub(crate) fn running(id: &str) -> WorkerStatus {
    WorkerStatus {
        health: None,
        id: WorkerId::new(id).unwrap(),
        enabled: true,
        desired: Desired::Running,
        state: WorkerState::Running,
        ready: true,
        told: None,
        run: Some(RunId(4)),
        // No process has this key, so there is nothing to sample.
        process: Some(ProcessKey { pid: 4_194_305, started_at: 1 }),
        started_at: Some((Tick(0), NOW)),
        restarts: 1,
        attempts: 0,
        breaker: BreakerState::Closed,
        last_exit: Some(LastExit {
            run: RunId(3),
            exit: Exit::Signal { number: 9, core: false },
            at: NOW,
            lasted: Duration::from_millis(1500),
        }),
        next_attempt: None,
        reason: "restarted after signal SIGKILL".to_owned(),
        survivors: Vec::new(),
        attached: Vec::new(),
    }
}

impl Fake {
    pub(crate) fn new(statuses: Vec<WorkerStatus>) -> Self {
        let fake = Self {
            folder: tempfile::tempdir().unwrap(),
            workers: Mutex::default(),
            events: Mutex::default(),
            used: Mutex::default(),
            asked: Mutex::default(),
            open: Mutex::default(),
            version: watch::Sender::new(0),
            moments: AtomicI64::new(0),
            opened: watch::Sender::new(true),
            regained: watch::Sender::new(0),
        };
        fake.set(statuses);
        fake
    }

    pub(crate) fn set(&self, mut statuses: Vec<WorkerStatus>) {
        statuses.sort_by(|a, b| a.id.cmp(&b.id));
        let any = spec("any");
        let workers = statuses.into_iter().map(|status| {
            let spec = WorkerSpec { id: status.id.clone(), ..(*any).clone() };
            let outdated = status.id.as_str() == "outdated";
            Entry { spec: Arc::new(spec), status: Arc::new(status), outdated }
        });
        let version = *self.version.borrow() + 1;
        *self.workers.lock().unwrap() = Arc::new(Snapshot { version, workers: workers.collect() });
        self.version.send_replace(version);
    }

    pub(crate) fn happened(&self, worker: &str, kind: EventKind) {
        let mut events = self.events.lock().unwrap();
        let sequence = events.last().map_or(1, |event| event.sequence + 1);
        let worker = WorkerId::new(worker).ok();
        events.push(Event { sequence, at: NOW, worker, actor: Actor::Master, kind });
        drop(events);
        self.version.send_modify(|version| *version += 1);
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Puts bytes where the pump would have written them, a millisecond after those before.
    pub(crate) fn wrote(&self, worker: &str, stream: &str, bytes: &[u8]) {
        self.wrote_in_run(worker, stream, RunId(4), bytes);
    }

    /// The same for another run than the present one.
    pub(crate) fn wrote_in_run(&self, worker: &str, stream: &str, run: RunId, bytes: &[u8]) {
        let folder = self.folder.path().join(worker).join(stream);
        std::fs::create_dir_all(&folder).unwrap();
        let append = |name: &str, bytes: &[u8]| {
            let file = OpenOptions::new().create(true).append(true).open(folder.join(name));
            file.unwrap().write_all(bytes).unwrap();
        };
        let at = std::fs::metadata(folder.join("data")).map_or(0, |data| data.len());
        let time = WallTime(NOW.0 + self.moments.fetch_add(1_000_000, Ordering::Relaxed));
        for mark in [Mark::Run(run), Mark::Arrived(time)] {
            append(&index_name(0), &Record { at, mark }.encode());
        }
        append("data", bytes);
    }

    fn note(&self, text: String) {
        self.asked.lock().unwrap().push(text);
    }

    pub(crate) fn serve(self) -> Served {
        let fake = Arc::new(self);
        let control: Arc<dyn Control> = Arc::clone(&fake) as _;
        let server = hsu_server::start(&fake.folder.path().join("s"), control).unwrap();
        Served { fake, server: Some(server) }
    }
}

impl Control for Fake {
    fn past(&self) -> Result<hsu_store::Reader, ControlError> {
        let folder = self.folder.path().join("past");
        std::fs::create_dir_all(&folder).unwrap();
        let store = hsu_store::Store::open(&folder, Box::new(|| {})).unwrap().store;
        let (at, worker) = (WallTime(1), WorkerId::new("web").ok());
        let (actor, kind) = (Actor::Master, EventKind::Registered);
        let events = vec![Event { sequence: 1, at, worker, actor, kind }];
        store.submit(hsu_store::Batch { events, ..hsu_store::Batch::default() });
        let past = store.reader();
        store.close().unwrap();
        Ok(past)
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.workers.lock().unwrap())
    }

    fn command(
        &self,
        actor: Actor,
        worker: WorkerId,
        command: Command,
    ) -> Result<Pending<Answer>, ControlError> {
        assert!(matches!(actor, Actor::Operator { .. }));
        self.note(format!("{worker} {command:?}"));
        let (reply, answer) = oneshot::channel();
        let state = self.snapshot().worker(worker.as_str()).map(|entry| entry.status.state);
        let done = match (worker.as_str(), state) {
            (_, None) => Answer::Refused(Refusal::Unknown { worker }),
            ("busy", _) => return Err(ControlError::Busy),
            // Its first order meets a master that goes.
            ("leaving", _) if self.asked().len() == 1 => return Err(ControlError::Ending),
            ("ending", _) => Answer::Refused(Refusal::ShuttingDown),
            ("slow", _) => {
                self.open.lock().unwrap().push(reply);
                return Ok(answer);
            }
            ("broken", _) => Answer::Refused(Refusal::Failed { reason: "no \x1b[31m".to_owned() }),
            (_, Some(state)) if command == Command::Signal(1) => {
                let (operation, hint) = ("signal", "start it first");
                Answer::Refused(Refusal::Conflict { state, operation, hint })
            }
            (_, Some(state)) => Answer::Done { state, message: "done".to_owned() },
        };
        reply.send(done).unwrap();
        Ok(answer)
    }

    fn events(
        &self,
        after: u64,
        worker: Option<&WorkerId>,
        limit: usize,
    ) -> Result<Vec<Event>, ControlError> {
        let events = self.events.lock().unwrap();
        let about = |event: &&Event| worker.is_none() || event.worker.as_ref() == worker;
        let after = events.iter().filter(|event| event.sequence > after).filter(about);
        Ok(after.take(limit).cloned().collect())
    }

    fn last_events(
        &self,
        worker: Option<&WorkerId>,
        limit: usize,
    ) -> Result<Vec<Event>, ControlError> {
        let mut all = self.events(0, worker, usize::MAX)?;
        Ok(all.split_off(all.len().saturating_sub(limit)))
    }

    fn before_last(&self, worker: Option<&WorkerId>, count: usize) -> Result<u64, ControlError> {
        let of = if count == 0 { None } else { worker };
        let last = self.last_events(of, count.max(1))?;
        let first = last.first().map_or(0, |event| event.sequence);
        Ok(if count == 0 { first } else { first.saturating_sub(1) })
    }

    fn used(&self) -> Vec<(WorkerId, hsu_runtime::Used)> {
        self.used.lock().unwrap().clone()
    }

    fn used_by(&self, worker: &WorkerId) -> Option<hsu_runtime::Used> {
        self.used().into_iter().find(|(id, _)| id == worker).map(|(_, used)| used)
    }

    fn usage_records(
        &self,
        worker: &WorkerId,
        since: WallTime,
    ) -> std::io::Result<Vec<hsu_store::UsageRecord>> {
        hsu_store::usage_records(self.folder.path(), worker, since)
    }

    fn mechanisms(
        &self,
        _: &WorkerId,
    ) -> Vec<(hsu_model::limits::LimitKind, hsu_sys::limits::Mechanism)> {
        Vec::new()
    }

    fn survey(&self) -> hsu_sys::limits::Survey {
        hsu_sys::limits::Survey::look(hsu_model::limits::Cgroups::None)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn regained(&self) -> watch::Receiver<u64> {
        self.regained.subscribe()
    }

    fn opened(&self) -> watch::Receiver<bool> {
        self.opened.subscribe()
    }

    fn spools(&self) -> Spools {
        Spools::new(self.folder.path())
    }

    fn shutdown(&self, _: Actor, mode: ShutdownMode, force: bool) -> Result<(), ControlError> {
        self.note(format!("shutdown {mode:?} {force}"));
        Ok(())
    }

    fn upgrade(
        &self,
        _: Actor,
        executable: Option<PathBuf>,
        _: hsu_runtime::MassStop,
    ) -> Result<Pending<Result<(), Unreplaced>>, ControlError> {
        let (reply, answer) = oneshot::channel();
        let done = match executable {
            None => Ok(()),
            Some(path) if path.ends_with("twice") => Err(Unreplaced::UnderWay),
            Some(path) if path.ends_with("late") => Err(Unreplaced::Ending),
            Some(path) => Err(Unreplaced::Failed(format!("{} does not start", path.display()))),
        };
        reply.send(done).unwrap();
        Ok(answer)
    }

    fn facts(&self) -> Facts {
        Facts {
            pid: 7,
            keeper: 6,
            started_at: NOW,
            config: "/etc/hsu.yaml".into(),
            state: "/var/lib/hsu-master".into(),
            replaced: None,
            degraded: None,
            stuck: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        Now { tick: Tick(65_000_000_000), wall: NOW }
    }
}

impl Served {
    pub(crate) fn socket(&self) -> PathBuf {
        self.fake.folder.path().join("s")
    }

    /// One master goes, the socket with it, and another one serves what it knew.
    pub(crate) fn replace(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop(Socket::Remove);
        }
        let control: Arc<dyn Control> = Arc::clone(&self.fake) as _;
        self.server = Some(hsu_server::start(&self.socket(), control).unwrap());
    }

    /// The client, asked at this socket.
    pub(crate) fn client(&self, words: &[&str]) -> Program {
        client(&self.socket(), words)
    }

    /// What the client writes, and its exit code.
    pub(crate) fn run(&self, words: &[&str]) -> (i32, String, String) {
        said(&self.client(words).output().unwrap())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop(Socket::Remove);
        }
    }
}

/// The client, without anything of the environment of the test.
pub(crate) fn client(socket: &Path, words: &[&str]) -> Program {
    let mut program = Program::new(env!("CARGO_BIN_EXE_hsu-master-cli"));
    program.env_clear().stdin(Stdio::null()).arg("--socket").arg(socket).args(words);
    program
}

/// Exit code, standard output and standard error.
pub(crate) fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}
