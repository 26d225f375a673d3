//! The API: any method, path, query and body, from whoever may and whoever may not.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use hsu_core::answer::Answer;
use hsu_core::input::{Command, ShutdownMode};
use hsu_logs::query::Spools;
use hsu_model::event::{Actor, Event, EventKind};
use hsu_model::id::WorkerId;
use hsu_model::limits::{Cgroups, LimitKind};
use hsu_model::status::WorkerState;
use hsu_model::time::WallTime;
use hsu_runtime::control::{Control, ControlError, Facts, Pending, Unreplaced};
use hsu_runtime::{Entry, MassStop, Snapshot, Used};
use hsu_server::fuzzing::{Question, Reply, ask};
use hsu_store::{Batch, Reader, Store, UsageRecord};
use hsu_sys::limits::{Mechanism, Survey};
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};

use crate::bytes::Bytes;
use crate::targets::brain::entries;

const METHODS: [&str; 8] = ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "BREW"];
const PATHS: [&str; 21] = [
    "/v1/workers",
    "/v1/workers/a",
    "/v1/workers/a/start",
    "/v1/workers/a/stop",
    "/v1/workers/a/restart",
    "/v1/workers/a/signal",
    "/v1/workers/a/disable",
    "/v1/workers/a/why",
    "/v1/workers/a/logs",
    "/v1/workers/a/wait",
    "/v1/workers/a/usage",
    "/v1/usage",
    "/v1/workers/a/history",
    "/v1/diff",
    "/v1/journal",
    "/v1/events",
    "/v1/master",
    "/v1/master/shutdown",
    "/v1/master/upgrade",
    "/v1/capabilities",
    "/v1/version",
];

/// A journal of two events, for whoever asks for the past.
fn journal() -> &'static Reader {
    static JOURNAL: OnceLock<Reader> = OnceLock::new();
    JOURNAL.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("hsu-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let store = Store::open(&folder, Box::new(|| {})).expect("a store can be made").store;
        let event = |sequence| Event {
            sequence,
            at: WallTime(1_700_000_000_000_000_000),
            worker: WorkerId::new("a").ok(),
            actor: Actor::Master,
            kind: EventKind::Registered,
        };
        store.submit(Batch { events: vec![event(1), event(2)], ..Batch::default() });
        let reader = store.reader();
        store.close().expect("a store can be closed");
        // Its connection is open from here on, and the folder is nobody's any more.
        reader.extent().expect("a journal can be read");
        drop(std::fs::remove_dir_all(&folder));
        reader
    })
}

/// A master that notes what it is asked.
#[derive(Debug)]
struct Noted {
    workers: Vec<Entry>,
    asked: Mutex<Vec<String>>,
    /// Nothing changes, and nobody says that nothing ever will.
    changes: watch::Sender<u64>,
}

impl Noted {
    fn note(&self, what: String) {
        self.asked.lock().expect("nobody panics here").push(what);
    }

    fn answered<T>(answer: T) -> Pending<T> {
        let (sender, receiver) = oneshot::channel();
        drop(sender.send(answer));
        receiver
    }
}

impl Control for Noted {
    fn past(&self) -> Result<Reader, ControlError> {
        Ok(journal().clone())
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(Snapshot { version: 1, workers: self.workers.clone() })
    }

    fn used(&self) -> Vec<(WorkerId, Used)> {
        Vec::new()
    }

    fn used_by(&self, _: &WorkerId) -> Option<Used> {
        None
    }

    fn usage_records(&self, _: &WorkerId, _: WallTime) -> std::io::Result<Vec<UsageRecord>> {
        Ok(Vec::new())
    }

    fn mechanisms(&self, _: &WorkerId) -> Vec<(LimitKind, Mechanism)> {
        Vec::new()
    }

    fn survey(&self) -> Survey {
        Survey::look(Cgroups::None)
    }

    fn command(
        &self,
        _: Actor,
        worker: WorkerId,
        command: Command,
    ) -> Result<Pending<Answer>, ControlError> {
        if let Command::Signal(number) = command {
            assert!((1..=64).contains(&number), "signal {number}");
        }
        self.note(format!("{worker} {command:?}"));
        let (state, message) = (WorkerState::Running, "done".to_owned());
        Ok(Self::answered(Answer::Done { state, message }))
    }

    fn events(
        &self,
        after: u64,
        _: Option<&WorkerId>,
        limit: usize,
    ) -> Result<Vec<Event>, ControlError> {
        assert!(limit <= 1_000_000, "{limit} events at once");
        Ok(self
            .last_events(None, limit)?
            .into_iter()
            .filter(|event| event.sequence > after)
            .collect())
    }

    fn last_events(&self, _: Option<&WorkerId>, limit: usize) -> Result<Vec<Event>, ControlError> {
        assert!(limit <= 1_000_000, "{limit} events at once");
        let worker = WorkerId::new("a").ok();
        let reason = "\u{1b}[31m\u{202e}".to_owned();
        let kind = EventKind::RestartRefused { reason };
        let event = Event { sequence: 7, at: WallTime(8), worker, actor: Actor::Master, kind };
        Ok(vec![event].into_iter().take(limit).collect())
    }

    fn before_last(&self, _: Option<&WorkerId>, count: usize) -> Result<u64, ControlError> {
        assert!(count <= 1_000_000, "{count} events at once");
        Ok(if count == 0 { 7 } else { 6 })
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn opened(&self) -> watch::Receiver<bool> {
        watch::channel(true).1
    }

    fn regained(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn spools(&self) -> Spools {
        Spools::new("/nonexistent".as_ref())
    }

    fn shutdown(&self, _: Actor, mode: ShutdownMode, force: bool) -> Result<(), ControlError> {
        self.note(format!("shutdown {mode:?} {force}"));
        Ok(())
    }

    fn upgrade(
        &self,
        _: Actor,
        executable: Option<PathBuf>,
        _: MassStop,
    ) -> Result<Pending<Result<(), Unreplaced>>, ControlError> {
        self.note(format!("upgrade {executable:?}"));
        Ok(Self::answered(Ok(())))
    }

    fn facts(&self) -> Facts {
        Facts {
            pid: 1,
            keeper: 2,
            started_at: WallTime(0),
            config: "/c".into(),
            state: "/s".into(),
            replaced: None,
            degraded: None,
            stuck: Vec::new(),
        }
    }
}

thread_local! {
    static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) };
}

fn wait_for<T>(work: impl Future<Output = T>) -> T {
    RUNTIME.with_borrow_mut(|kept| {
        let runtime = kept.get_or_insert_with(|| {
            let made = tokio::runtime::Builder::new_current_thread().enable_all().build();
            made.expect("a runtime can be made")
        });
        runtime.block_on(work)
    })
}

pub(crate) fn run(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let method = bytes.one(&METHODS).unwrap_or("GET");
    let known = bytes.choice(PATHS.len() + 2);
    let tail = String::from_utf8_lossy(bytes.until_zero()).into_owned();
    let target = match PATHS.get(known) {
        Some(path) => format!("{path}{tail}"),
        None => format!("/{tail}"),
    };
    let content = [Some("application/json"), Some("text/plain"), None];
    let (content, may) = (bytes.one(&content).flatten(), bytes.byte() != 255);
    let question = Question { method, target: &target, content, body: bytes.rest(), may };
    let noted = Arc::new(Noted {
        workers: entries(),
        asked: Mutex::default(),
        changes: watch::Sender::new(0),
    });
    let control = Arc::<Noted>::clone(&noted);
    let reply = wait_for(ask(control, &question));
    let asked = noted.asked.lock().expect("nobody panics here").clone();
    assert!(asked.len() <= 1, "one request asked for {asked:?}");
    let may_change = may && matches!(method, "POST" | "DELETE");
    assert!(asked.is_empty() || may_change, "{method} {target} asked for {asked:?}");
    if let Some(reply) = reply {
        judge(&question, &reply, &asked);
    }
}

fn judge(question: &Question<'_>, reply: &Reply, asked: &[String]) {
    let status = reply.status;
    let known = [200, 202, 400, 403, 404, 405, 408, 410, 413, 415, 422];
    assert!(known.contains(&status), "{question:?} is answered {status}");
    assert!(question.may || status == 403, "{question:?} of a stranger is answered {status}");
    assert!(asked.is_empty() || status < 300, "{asked:?} was done and answered {status}");
    let Some(body) = &reply.body else { return };
    assert!(body.iter().all(|byte| *byte >= 0x20 || *byte == b'\n'), "a control byte: {reply:?}");
    if status >= 400 && question.method != "HEAD" {
        assert_eq!(reply.content, "application/problem+json", "{question:?}");
        let problem: hsu_api::Problem = serde_json::from_slice(body).expect("a problem");
        assert_eq!(problem.status, status);
        assert!(!problem.detail.is_empty() && problem.kind.starts_with("urn:hsu:problem:"));
        assert!(body.len() <= 64 << 10, "{} bytes of problem", body.len());
    } else if reply.content == "application/json" && question.method != "HEAD" {
        let parsed: Result<serde_json::Value, _> = serde_json::from_slice(body);
        assert!(parsed.is_ok(), "{reply:?}");
    }
}
