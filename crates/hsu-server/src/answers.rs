//! Answers: what the master knows, in the shapes of the API.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hsu_api::{
    CheckView, Description, EventView, LineView, MasterView, StuckOutputView, WhyView, WorkerList,
    WorkerView,
};
use hsu_logs::query::{Extent, Line};
use hsu_model::exit::signal_name;
use hsu_model::health::{CheckStatus, Verdict};
use hsu_model::id::WorkerId;
use hsu_model::logs::Stream;
use hsu_model::process::ProcessKey;
use hsu_model::restart::RestartPolicy;
use hsu_model::status::WorkerState;
use hsu_model::worker::Unit;
use hsu_runtime::Entry;
use hsu_runtime::control::{Control, StuckOutput};
use hsu_sys::process::{Activity, activity};
use hsu_sys::usage::Usage;

use crate::story;

/// How old CPU, memory and a list that holds them may be.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// Events that explain a state.
const CAUSES: usize = 12;
/// Events that describe a worker.
const RECENT: usize = 20;
/// Lines of standard error that explain an exit.
const LAST_WORDS: usize = 10;
/// Lines that are looked at for them: a later run may have written since.
const LOOKED_AT: usize = 500;

/// The master, and what was made of it a moment ago.
pub(crate) struct Answers {
    pub(crate) control: Arc<dyn Control>,
    list: Mutex<Option<List>>,
    samples: Mutex<Samples>,
}

/// A list that was made already.
struct List {
    version: u64,
    made: Instant,
    bytes: Arc<[u8]>,
}

/// Looks at processes, kept for [`FRESH_FOR`], so that asking often costs no more than asking once.
struct Samples {
    since: Instant,
    known: HashMap<ProcessKey, Option<Usage>>,
}

impl Samples {
    fn of(&mut self, process: ProcessKey) -> Option<Usage> {
        *self.known.entry(process).or_insert_with(|| hsu_sys::usage::sample(process))
    }

    fn refresh(&mut self) {
        if self.since.elapsed() >= FRESH_FOR {
            self.known.clear();
            self.since = Instant::now();
        }
    }
}

impl Answers {
    pub(crate) fn new(control: Arc<dyn Control>) -> Self {
        let samples = Samples { since: Instant::now(), known: HashMap::new() };
        Self { control, list: Mutex::new(None), samples: Mutex::new(samples) }
    }

    /// Every worker, as JSON. Made at most once a second while nothing changes.
    pub(crate) fn list(&self) -> Arc<[u8]> {
        let snapshot = self.control.snapshot();
        let mut cached = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = &*cached
            && list.version == snapshot.version
            && list.made.elapsed() < FRESH_FOR
        {
            return Arc::clone(&list.bytes);
        }
        let workers = snapshot.workers.iter().map(|entry| self.view(entry)).collect();
        let bytes = serde_json::to_vec(&WorkerList { workers }).unwrap_or_default();
        let bytes: Arc<[u8]> = bytes.into();
        *cached = Some(List {
            version: snapshot.version,
            made: Instant::now(),
            bytes: Arc::clone(&bytes),
        });
        bytes
    }

    pub(crate) fn entry(&self, id: &str) -> Option<Entry> {
        self.control.snapshot().worker(id).cloned()
    }

    pub(crate) fn view(&self, entry: &Entry) -> WorkerView {
        let mut view = WorkerView::new(&entry.status, self.control.now());
        view.outdated = entry.outdated;
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.refresh();
        if let Some(usage) = entry.status.process.and_then(|process| samples.of(process)) {
            view.cpu_seconds = Some(usage.cpu.as_secs_f64());
            view.memory_bytes = Some(usage.resident.0);
        }
        view
    }

    fn events_of(&self, id: &WorkerId, count: usize) -> Vec<EventView> {
        let events = self.control.last_events(Some(id), count).unwrap_or_default();
        events.iter().map(EventView::from).collect()
    }

    pub(crate) fn describe(&self, entry: &Entry) -> Description {
        let spec = &entry.spec;
        let status = self.view(entry);
        let (command, policy, grace, pid_file) = match &spec.unit {
            Unit::Managed(managed) => {
                let program = std::iter::once(managed.execution.program.clone());
                let policy = match managed.restart.policy {
                    RestartPolicy::Never => "never",
                    RestartPolicy::OnFailure => "on-failure",
                    RestartPolicy::Always => "always",
                    RestartPolicy::UnlessStopped => "unless-stopped",
                };
                (
                    program.chain(managed.execution.args.iter().cloned()).collect(),
                    policy,
                    managed.stop.graceful_timeout.as_secs_f64(),
                    managed.pid_file.clone(),
                )
            }
            Unit::Unmanaged(unmanaged) => {
                let grace = unmanaged.rights.graceful_timeout.as_secs_f64();
                // Its checks and limits have it restarted; its end is its manager's.
                let policy = if unmanaged.rights.can_restart { "on-failure" } else { "never" };
                (Vec::new(), policy, grace, String::new())
            }
            Unit::Departed(departure) => {
                let grace = departure.stop.graceful_timeout.as_secs_f64();
                (Vec::new(), "never", grace, departure.pid_file.clone())
            }
            _ => (Vec::new(), "never", 0.0, String::new()),
        };
        Description {
            status,
            name: spec.metadata.name.clone(),
            description: spec.metadata.description.clone(),
            command,
            restart_policy: policy.to_owned(),
            graceful_timeout_seconds: grace,
            pid_file,
            settings: crate::settings::settings(spec),
            collected: collected(&spec.unit),
            limits: crate::limits::limits(&*self.control, spec),
            pressure: crate::limits::pressure(&*self.control, spec),
            checks: checks(entry),
            events: self.events_of(&spec.id, RECENT),
        }
    }

    /// The causal chain: what happened, what was said, what was decided, what comes next.
    pub(crate) fn why(&self, entry: &Entry) -> WhyView {
        let worker = self.view(entry);
        let events = self.events_of(&entry.spec.id, CAUSES);
        let last_stderr = self.last_words(entry);
        let entered = |event: &&EventView| {
            event.kind == "state_changed"
                && event.fields.get("to") == Some(&worker.state.as_str().into())
        };
        let since = events.iter().rev().find(entered).map(|event| event.at.clone());
        let when = since.as_deref().map_or_else(String::new, |at| format!(" since {at}"));
        let mut chain = vec![format!("{} is {}{when}: {}", worker.id, worker.state, worker.reason)];
        chain.extend(story::of_an_earlier_stop(&events, &worker));
        if !worker.survivors.is_empty() {
            chain
                .push(format!("these processes of it survived their kill: {:?}", worker.survivors));
        }
        if let Some(exit) = &worker.last_exit {
            chain.push(format!(
                "its latest ended run ({}) ended with {} at {}, after {:.3} s",
                exit.run.unwrap_or(0),
                exit.text,
                exit.at.as_deref().unwrap_or("an unknown time"),
                exit.lasted_seconds.unwrap_or(0.0),
            ));
        }
        chain.extend(story::of_a_kill(&events, worker.last_exit.as_ref(), grace(entry)));
        chain.extend(story::of_leftovers(&events, &worker));
        chain.extend(story::of_limits(&events, worker.run));
        chain.extend(of_health(entry));
        let decided = |event: &&EventView| {
            matches!(event.kind.as_str(), "restart_scheduled" | "restart_refused" | "spawn_failed")
        };
        // What was decided before an order is not what holds.
        let is_order = |event: &&EventView| {
            let verb = event.fields.get("verb").and_then(serde_json::Value::as_str);
            event.kind == "commanded" && verb != Some("signal")
        };
        let mut since_order = events.iter().rev().take_while(|event| !is_order(event));
        if let Some(event) = since_order.find(decided) {
            chain.push(format!("at {}: {}", event.at, event.text));
        }
        let stuck = self.control.facts().stuck;
        let own = stuck.iter().filter(|stuck| stuck.worker.as_ref() == Some(&entry.spec.id));
        chain.extend(own.map(|stuck| {
            format!("its {} takes nothing at present: {}", stuck.output, stuck.reason)
        }));
        chain.push(next_step(entry, &worker));
        WhyView { worker, since, last_stderr, events, chain }
    }

    /// The last lines of the run that ended last; of the one that runs when none has ended.
    fn last_words(&self, entry: &Entry) -> Vec<LineView> {
        let run = entry.status.last_exit.as_ref().map(|exit| exit.run).or(entry.status.run);
        let spools = self.control.spools();
        let lines = spools.last_lines(&entry.spec.id, Stream::Stderr, LOOKED_AT);
        let mut lines = lines.unwrap_or_default();
        // A line whose run is not known may be its own.
        lines.retain(|line| line.run.is_none() || line.run == run);
        let first = lines.len().saturating_sub(LAST_WORDS);
        lines.iter().skip(first).map(line_view).collect()
    }

    pub(crate) fn master(&self) -> MasterView {
        let facts = self.control.facts();
        let snapshot = self.control.snapshot();
        let runs = |entry: &&Entry| entry.status.state == WorkerState::Running;
        MasterView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: facts.pid,
            keeper_pid: facts.keeper,
            started_at: hsu_api::rfc3339(facts.started_at),
            config: facts.config.display().to_string(),
            state_directory: facts.state.display().to_string(),
            workers: snapshot.workers.len(),
            running: snapshot.workers.iter().filter(runs).count(),
            degraded: facts.degraded,
            state_replaced: facts.replaced,
            stuck_outputs: facts.stuck.iter().map(stuck_view).collect(),
        }
    }
}

fn stuck_view(stuck: &StuckOutput) -> StuckOutputView {
    StuckOutputView {
        worker: stuck.worker.as_ref().map(|worker| worker.as_str().to_owned()),
        output: stuck.output.clone(),
        reason: stuck.reason.clone(),
    }
}

/// The checks of a worker.
fn checks(entry: &Entry) -> Vec<CheckView> {
    let health = entry.status.health.as_ref();
    health.map_or_else(Vec::new, |health| health.checks.iter().map(CheckView::from).collect())
}

/// How a worker is, and each check that says otherwise than it should.
fn of_health(entry: &Entry) -> Vec<String> {
    let Some(health) = entry.status.health.as_ref() else { return Vec::new() };
    if entry.status.state != WorkerState::Running {
        return Vec::new();
    }
    let ready = if entry.status.ready { "ready" } else { "not ready" };
    let mut chain = vec![format!("it is {} and {ready}", health.condition.as_str())];
    let is_bad = |check: &&CheckStatus| check.verdict != Verdict::Passing || check.failures > 0;
    chain.extend(health.checks.iter().filter(is_bad).map(|check| {
        let duties: Vec<_> = check.duties.iter().map(|duty| duty.as_str()).collect();
        let note = check.last.as_ref().map_or("no result yet", |look| look.note.as_str());
        let (name, verdict) = (&check.name, check.verdict.as_str());
        match check.failures {
            0 => format!("check {name} ({}) is {verdict}: {note}", duties.join(", ")),
            times => {
                let duties = duties.join(", ");
                format!("check {name} ({duties}) is {verdict}, failed {times} times: {note}")
            }
        }
    }));
    chain
}

/// How long a worker may take to end.
fn grace(entry: &Entry) -> Duration {
    match &entry.spec.unit {
        Unit::Managed(managed) => managed.stop.graceful_timeout,
        Unit::Unmanaged(unmanaged) => unmanaged.rights.graceful_timeout,
        Unit::Departed(departure) => departure.stop.graceful_timeout,
        _ => Duration::ZERO,
    }
}

/// The streams that are collected; none for what we know nothing of.
fn collected(unit: &Unit) -> Option<Vec<String>> {
    let logs = match unit {
        Unit::Managed(managed) => &managed.logs,
        Unit::Unmanaged(unmanaged) => &unmanaged.logs,
        Unit::Departed(_) | _ => return None,
    };
    let streams = [(Stream::Stdout, &logs.stdout), (Stream::Stderr, &logs.stderr)];
    let captured = streams.into_iter().filter(|(_, logs)| logs.capture);
    Some(captured.map(|(stream, _)| stream.as_str().to_owned()).collect())
}

/// What comes next, or what an operator can do.
fn next_step(entry: &Entry, worker: &WorkerView) -> String {
    let id = &worker.id;
    match entry.status.state {
        WorkerState::BackingOff => format!(
            "the next attempt is due in {:.1} s",
            worker.next_attempt_seconds.unwrap_or(0.0)
        ),
        WorkerState::Tripped => {
            let trial = worker.next_attempt_seconds.map_or_else(
                || "its breaker stays open".to_owned(),
                |seconds| format!("its breaker allows one trial in {seconds:.0} s"),
            );
            format!("{trial}; `hsu-master-cli reset {id}` starts it now")
        }
        WorkerState::Failed => {
            format!("nothing starts it by itself; `hsu-master-cli start {id}` tries again")
        }
        WorkerState::Stopped | WorkerState::Registered if !worker.enabled => {
            format!("it is disabled; `hsu-master-cli enable {id}` allows it to run")
        }
        WorkerState::Stopped | WorkerState::Registered => {
            format!("`hsu-master-cli start {id}` starts it")
        }
        WorkerState::Searching => {
            format!("its process is looked for again; `hsu-master-cli start {id}` looks now")
        }
        WorkerState::Starting => "the keeper is starting it".to_owned(),
        WorkerState::Running if is_stopped(entry) => {
            let what = "its process is stopped (SIGSTOP) and does nothing";
            if takes_cont(entry) {
                format!("{what}; `hsu-master-cli signal {id} CONT` lets it go on")
            } else {
                format!("{what} until somebody sends it SIGCONT")
            }
        }
        WorkerState::Running if worker.outdated => format!(
            "it was started before its settings were changed; `hsu-master-cli restart {id}` applies them"
        ),
        WorkerState::Running if !worker.ready => "it is not ready until its checks pass".to_owned(),
        WorkerState::Running => "nothing is pending".to_owned(),
        WorkerState::Stopping => "it is killed when its grace period is over".to_owned(),
    }
}

/// Whether the process of a worker is stopped, as by SIGSTOP.
fn is_stopped(entry: &Entry) -> bool {
    let process = entry.status.process;
    process.is_some_and(|key| activity(key).is_ok_and(|activity| activity == Activity::Stopped))
}

/// Whether an order may send it SIGCONT.
fn takes_cont(entry: &Entry) -> bool {
    match &entry.spec.unit {
        Unit::Unmanaged(unmanaged) => {
            let mut allowed = unmanaged.rights.allowed_signals.iter();
            allowed.any(|signal| signal_name(*signal) == Some("SIGCONT"))
        }
        Unit::Managed(_) | Unit::Departed(_) | _ => true,
    }
}

/// A line on the wire: a text always, and the bytes when they are no text.
pub(crate) fn line_view(line: &Line) -> LineView {
    let (text, bytes) = match std::str::from_utf8(&line.bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (String::from_utf8_lossy(&line.bytes).into_owned(), Some(line.bytes.clone())),
    };
    let (text, is_cut) = match line.extent {
        Extent::Missing(bytes) => (format!("[hsu-master] {bytes} bytes are missing here"), true),
        Extent::Shortened => (text, true),
        Extent::Whole | Extent::Unfinished => (text, false),
    };
    LineView {
        time: hsu_api::rfc3339(line.at),
        stream: line.stream.as_str().to_owned(),
        run: line.run.map(|run| run.0),
        line: text,
        lossy: is_cut || bytes.is_some(),
        shortened: line.extent == Extent::Shortened,
        bytes,
    }
}

#[cfg(test)]
mod tests {
    use hsu_model::time::WallTime;

    use super::*;

    #[test]
    fn a_line_is_lossy_when_its_text_is_not_all_that_was_written() {
        for (bytes, extent, text, lossy) in [
            (&b"plain"[..], Extent::Whole, "plain", false),
            (b"begun", Extent::Unfinished, "begun", false),
            (b"long", Extent::Shortened, "long", true),
            (b"a\xffb", Extent::Whole, "a\u{fffd}b", true),
            (b"", Extent::Missing(7), "[hsu-master] 7 bytes are missing here", true),
        ] {
            let (at, stream) = (WallTime(0), Stream::Stderr);
            let line = Line { at, stream, run: None, bytes: bytes.to_vec(), extent };
            let view = line_view(&line);
            assert_eq!((view.line.as_str(), view.lossy), (text, lossy));
            assert_eq!(view.shortened, extent == Extent::Shortened);
            assert_eq!(view.bytes.is_some(), std::str::from_utf8(bytes).is_err());
        }
    }
}
