//! The life of a worker that somebody else starts: which process is taken, what may be
//! done to it, and what its end means.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed step is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use hsu_core::answer::{Answer, Refusal};
use hsu_core::effect::{Effect, Scope, ServiceVerb};
use hsu_core::fleet::{Fleet, Grip, Settings};
use hsu_core::input::{Command, Input, ShutdownMode, Ticket};
use hsu_core::record::{Resume, WorkerRecord};
use hsu_model::discovery::{
    Candidate, Combine, Discovery, Manager, Matches, ProgramId, Rights, Search, Sighting, Unmanaged,
};
use hsu_model::event::{Actor, EventKind};
use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;
use hsu_model::restart::{Breaker, Restart, RestartContext, RestartPolicy, StartRate};
use hsu_model::status::{WorkerState, WorkerStatus};
use hsu_model::time::{Now, Tick, WallTime};
use hsu_model::worker::{Metadata, Profile, Unit, WorkerSpec};

#[path = "attachment/edges.rs"]
mod edges;
#[path = "attachment/ending.rs"]
mod ending;
#[path = "attachment/mending.rs"]
mod mending;
#[path = "attachment/orders.rs"]
mod orders;

const STOP: Command = Command::Stop { force: false };
const KILL: Command = Command::Stop { force: true };
const RESTART: Command = Command::Restart { force: false };
const SECOND: u64 = 1_000_000_000;

#[path = "attachment/limits.rs"]
mod limits;

fn id(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

fn key(pid: u32) -> ProcessKey {
    ProcessKey { pid, started_at: u64::from(pid) }
}

fn candidate(pid: u32) -> Candidate {
    let program = ProgramId { device: 1, inode: u64::from(pid) };
    Candidate { process: key(pid), program, what: "nginx (root)".to_owned() }
}

fn sight(pids: &[u32]) -> Sighting {
    let candidates = pids.iter().map(|pid| candidate(*pid)).collect();
    Sighting { candidates, ..Sighting::default() }
}

fn spec(name: &str, change: impl FnOnce(&mut Unmanaged)) -> Arc<WorkerSpec> {
    let mut unit = Unmanaged {
        discovery: Discovery {
            searches: vec![Search::User("u".to_owned())],
            combine: Combine::All,
            include: Vec::new(),
            exclude: Vec::new(),
            validation: Vec::new(),
            check_interval: Duration::from_secs(30),
            matches: Matches::One,
        },
        rights: Rights {
            can_terminate: false,
            can_restart: false,
            can_limit: false,
            allowed_signals: Vec::new(),
            graceful_timeout: Duration::from_secs(5),
            manager: Manager::Unknown,
        },
        restart: restart(),
        log_files: Vec::new(),
        logs: Default::default(),
        limits: None,
    };
    change(&mut unit);
    Arc::new(WorkerSpec {
        health: hsu_model::health::Health::default(),
        id: id(name),
        enabled: true,
        profile: Profile::Default,
        metadata: Metadata::default(),
        unit: Unit::Unmanaged(unit),
    })
}

/// Two attempts, after 5 s and after 10 s.
fn restart() -> Restart {
    let cause = RestartContext {
        max_retries: 2,
        retry_delay: Duration::from_secs(5),
        backoff_rate: 2.0,
        max_delay: Duration::from_secs(300),
        jitter: 0.0,
    };
    Restart {
        policy: RestartPolicy::OnFailure,
        on_clean_exit: false,
        default: cause,
        health_failures: cause,
        resource_violations: cause,
        severity_multipliers: Default::default(),
        profile_multipliers: Default::default(),
        startup_grace: Duration::from_secs(30),
        sustained_violation: Duration::ZERO,
        spike_tolerance: Duration::ZERO,
        reset_after: Duration::from_secs(60),
        breaker: Breaker { half_open_after: Some(Duration::from_secs(300)) },
    }
}

fn by_systemd(unit: &mut Unmanaged) {
    unit.rights.can_restart = true;
    unit.rights.can_terminate = true;
    unit.rights.manager = Manager::Systemd("nginx.service".to_owned());
}

struct Scene {
    fleet: Fleet,
    now: Now,
    ticket: u64,
}

impl Scene {
    fn new(specs: &[Arc<WorkerSpec>], records: &[&WorkerRecord]) -> Self {
        let mut fleet = Fleet::new(Settings {
            start_rate: StartRate::DEFAULT,
            force_shutdown_timeout: Duration::from_secs(30),
            next_run: 1,
        });
        for (place, spec) in specs.iter().enumerate() {
            fleet.add(Arc::clone(spec), records.get(place).copied(), Resume::Continue);
        }
        Self { fleet, now: Now { tick: Tick(100 * SECOND), wall: WallTime(0) }, ticket: 0 }
    }

    /// One worker that is looked for.
    fn searching(change: impl FnOnce(&mut Unmanaged)) -> Self {
        let mut scene = Self::new(&[spec("web", change)], &[]);
        let effects = scene.settle(UnknownExit::KeeperLost);
        assert!(effects.contains(&Effect::Search { worker: id("web"), wanted: true }));
        assert_eq!(scene.state(), WorkerState::Searching);
        scene
    }

    /// One worker with an attached process, 7, as run 1.
    fn attached(change: impl FnOnce(&mut Unmanaged)) -> Self {
        let mut scene = Self::searching(change);
        scene.sighted("web", sight(&[7]));
        scene.hold(1);
        assert_eq!(scene.state(), WorkerState::Running);
        scene
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.fleet.step(self.now, 7, input, &mut effects);
        self.fleet.check().unwrap();
        effects
    }

    fn settle(&mut self, unknown: UnknownExit) -> Vec<Effect> {
        self.step(Input::Settled { unknown })
    }

    fn sighted(&mut self, worker: &str, sighting: Sighting) -> Vec<Effect> {
        self.step(Input::Sighted { worker: id(worker), sighting })
    }

    fn hold(&mut self, run: u64) -> Vec<Effect> {
        self.step(Input::Attached { run: RunId(run), started: (Tick(0), WallTime(0)) })
    }

    fn exit(&mut self, run: u64, exit: Exit) -> Vec<Effect> {
        let (at, wall) = (self.now.tick, self.now.wall);
        self.step(Input::Exited { worker: id("web"), run: RunId(run), exit, at, wall })
    }

    fn ask(&mut self, command: Command) -> Vec<Effect> {
        self.ticket += 1;
        let (ticket, actor) = (Ticket(self.ticket), Actor::Operator { uid: 0 });
        self.step(Input::Command { ticket, actor, worker: id("web"), command })
    }

    fn wake_after(&mut self, seconds: u64) -> Vec<Effect> {
        self.now.tick = Tick(self.now.tick.0 + seconds * SECOND);
        assert!(self.now.tick < Tick(10_000 * SECOND), "what is waited for does not come");
        self.step(Input::Wake)
    }

    fn status(&self) -> WorkerStatus {
        self.fleet.status(&id("web")).unwrap()
    }

    fn state(&self) -> WorkerState {
        self.status().state
    }

    fn record(&self) -> WorkerRecord {
        self.fleet.export(&id("web")).unwrap()
    }
}

fn asks_for(effects: &[Effect]) -> Vec<(u64, u32)> {
    let asked = |effect: &Effect| {
        let Effect::Attach { run, process, .. } = effect else { return None };
        Some((run.0, process.pid))
    };
    effects.iter().filter_map(asked).collect()
}

fn signals(effects: &[Effect]) -> Vec<(i32, Scope)> {
    let sent = |effect: &Effect| {
        let Effect::Signal { signal, scope, .. } = effect else { return None };
        Some((*signal, *scope))
    };
    effects.iter().filter_map(sent).collect()
}

fn answer(effects: &[Effect]) -> Option<&Answer> {
    effects.iter().find_map(|effect| {
        let Effect::Reply { answer, .. } = effect else { return None };
        Some(answer)
    })
}

fn refusal(effects: &[Effect]) -> String {
    match answer(effects) {
        Some(Answer::Refused(Refusal::Conflict { hint, .. })) => (*hint).to_owned(),
        Some(Answer::Refused(other)) => format!("{other:?}"),
        other => panic!("{other:?}"),
    }
}

fn told(effects: &[Effect], wanted: impl Fn(&EventKind) -> bool) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Event { kind, .. } if wanted(kind)))
}

#[test]
fn the_only_process_that_fits_is_attached_and_its_end_is_searched_for_at_once() {
    let mut scene = Scene::searching(|_| {});
    assert_eq!(asks_for(&scene.sighted("web", sight(&[7]))), [(1, 7)]);
    // Until it is held it is not believed to run, and not asked for twice.
    assert_eq!(scene.state(), WorkerState::Searching);
    assert_eq!(asks_for(&scene.sighted("web", sight(&[7]))), []);
    scene.hold(1);
    assert_eq!(scene.status().process, Some(key(7)));
    let effects = scene.exit(1, Exit::Code(3));
    assert!(effects.contains(&Effect::Search { worker: id("web"), wanted: true }));
    assert_eq!(scene.state(), WorkerState::Searching);
    assert_eq!(scene.status().last_exit.map(|last| last.exit), Some(Exit::Code(3)));
    scene.sighted("web", sight(&[9]));
    scene.hold(2);
    assert_eq!((scene.status().process, scene.status().restarts), (Some(key(9)), 0));
    // A stale report: the run it names is already over.
    assert_eq!(scene.exit(1, Exit::Code(4)), []);
    assert_eq!(scene.state(), WorkerState::Running);
}

#[test]
fn of_several_that_fit_none_is_taken_and_they_are_listed_once() {
    let mut scene = Scene::searching(|_| {});
    let effects = scene.sighted("web", sight(&[7, 8]));
    assert_eq!(asks_for(&effects), []);
    let reason = scene.status().reason;
    assert_eq!(
        reason,
        "2 processes fit, and none is taken: PID 7 nginx (root), PID 8 nginx (root)"
    );
    let is_it = |kind: &EventKind| matches!(kind, EventKind::NotFound { .. });
    assert!(told(&effects, is_it));
    assert!(!told(&scene.sighted("web", sight(&[7, 8])), is_it), "said once");
    let effects = scene.sighted("web", sight(&(10..20).collect::<Vec<_>>()));
    assert_eq!(asks_for(&effects), []);
    assert!(scene.status().reason.ends_with("and 5 more"), "{}", scene.status().reason);
}

#[test]
fn a_worker_of_many_takes_each_and_loses_each_by_itself() {
    let mut scene = Scene::searching(|unit| unit.discovery.matches = Matches::Many);
    assert_eq!(asks_for(&scene.sighted("web", sight(&[7, 8]))), [(1, 7), (2, 8)]);
    scene.hold(1);
    scene.hold(2);
    assert_eq!(scene.status().attached, [key(7), key(8)]);
    assert_eq!(asks_for(&scene.sighted("web", sight(&[7, 8, 9]))), [(3, 9)]);
    scene.hold(3);
    scene.exit(1, Exit::Code(0));
    assert_eq!(scene.state(), WorkerState::Running);
    assert_eq!(scene.status().attached, [key(8), key(9)]);
}

#[test]
fn what_is_attached_is_kept_beside_another_and_given_up_for_the_only_one_that_fits() {
    let mut scene = Scene::attached(|_| {});
    assert_eq!(asks_for(&scene.sighted("web", sight(&[7, 8]))), []);
    assert_eq!(scene.status().process, Some(key(7)));
    // Nobody fits: it is still the process that was found.
    assert_eq!(asks_for(&scene.sighted("web", sight(&[]))), []);
    assert_eq!(scene.state(), WorkerState::Running);
    let effects = scene.sighted("web", sight(&[8]));
    assert!(effects.contains(&Effect::Release { run: RunId(1) }));
    assert_eq!(asks_for(&effects), [(2, 8)]);
    scene.hold(2);
    let strayed = Sighting { strayed: vec![key(8)], ..Sighting::default() };
    let effects = scene.sighted("web", strayed);
    assert!(effects.contains(&Effect::Release { run: RunId(2) }));
    assert!(told(&effects, |kind| matches!(kind, EventKind::Released { .. })));
    assert_eq!(scene.state(), WorkerState::Searching);
}

#[test]
fn two_workers_never_have_one_process() {
    // Row 80.
    let specs = [spec("web", |_| {}), spec("other", |_| {})];
    let mut scene = Scene::new(&specs, &[]);
    scene.settle(UnknownExit::KeeperLost);
    assert_eq!(asks_for(&scene.sighted("web", sight(&[7]))), [(1, 7)]);
    assert_eq!(asks_for(&scene.sighted("other", sight(&[7]))), []);
    let reason = scene.fleet.status(&id("other")).unwrap().reason;
    assert_eq!(reason, "PID 7 is attached to the worker web");
}

#[test]
fn a_process_that_cannot_be_held_is_not_believed() {
    let mut scene = Scene::searching(|_| {});
    scene.sighted("web", sight(&[7]));
    let error = Some("PID 7 belongs to user 3".to_owned());
    scene.step(Input::AttachFailed { run: RunId(1), error });
    assert_eq!(scene.state(), WorkerState::Searching);
    assert_eq!(scene.status().reason, "PID 7 belongs to user 3");
    // The hold that came too late is let go.
    assert_eq!(scene.hold(1), [Effect::Release { run: RunId(1) }]);
}

#[test]
fn a_process_that_cannot_be_held_is_tried_again_with_each_search_and_told_once() {
    let mut scene = Scene::searching(|_| {});
    let error = || Some("too many open files".to_owned());
    for run in 1..=3 {
        assert_eq!(asks_for(&scene.sighted("web", sight(&[7]))), [(run, 7)]);
        let effects = scene.step(Input::AttachFailed { run: RunId(run), error: error() });
        assert_eq!(told(&effects, |kind| matches!(kind, EventKind::NotFound { .. })), run == 1);
        assert_eq!(scene.status().reason, "too many open files");
    }
    scene.sighted("web", sight(&[7]));
    scene.hold(4);
    assert_eq!(scene.state(), WorkerState::Running);
}

#[test]
fn without_the_right_nothing_is_done_to_it() {
    let mut scene = Scene::attached(|_| {});
    for (command, says) in [
        (Command::Stop { force: true }, "can_terminate"),
        (Command::Restart { force: false }, "can_restart"),
        (Command::Signal(15), "allowed_signals"),
        (Command::Remove, "disable"),
    ] {
        let effects = scene.ask(command);
        assert!(refusal(&effects).contains(says), "{command:?}");
        assert_eq!(signals(&effects), []);
        assert_eq!(scene.state(), WorkerState::Running);
    }
    let effects = scene.ask(Command::Disable);
    assert!(effects.contains(&Effect::Release { run: RunId(1) }));
    assert_eq!(signals(&effects), []);
    assert_eq!(scene.state(), WorkerState::Stopped);
    assert!(refusal(&scene.ask(Command::Start)).contains("enable"));
    scene.ask(Command::Enable);
    let effects = scene.ask(Command::Start);
    assert!(effects.contains(&Effect::Search { worker: id("web"), wanted: true }));
}

#[test]
fn with_the_right_it_is_asked_to_end_and_then_killed_with_its_family() {
    let mut scene = Scene::attached(|unit| unit.rights.can_terminate = true);
    let effects = scene.ask(Command::Stop { force: false });
    assert_eq!(signals(&effects), [(15, Scope::Process), (18, Scope::Process)]);
    assert_eq!(answer(&effects), None);
    assert_eq!(scene.state(), WorkerState::Stopping);
    assert_eq!(signals(&scene.wake_after(4)), []);
    assert_eq!(signals(&scene.wake_after(1)), [(9, Scope::Tree)]);
    let effects = scene.exit(1, Exit::Signal { number: 9, core: false });
    assert!(matches!(answer(&effects), Some(Answer::Done { .. })), "{effects:?}");
    assert_eq!(scene.state(), WorkerState::Stopped);
    // Nobody is looked for any more, and a late sighting is nothing.
    assert_eq!(scene.sighted("web", sight(&[8])), []);
}

#[test]
fn only_a_signal_that_is_allowed_is_sent() {
    let mut scene = Scene::attached(|unit| unit.rights.allowed_signals = vec![1]);
    assert_eq!(signals(&scene.ask(Command::Signal(1))), [(1, Scope::Process)]);
    assert_eq!(signals(&scene.ask(Command::Signal(9))), []);
    scene.exit(1, Exit::Code(0));
    assert!(refusal(&scene.ask(Command::Signal(1))).contains("attached"));
}

#[test]
fn a_restart_is_asked_of_its_manager_and_done_when_another_process_is_found() {
    let mut scene = Scene::attached(|unit| {
        unit.rights.can_restart = true;
        unit.rights.manager = Manager::Systemd("nginx.service".to_owned());
    });
    let verb = ServiceVerb::Restart;
    let effects = scene.ask(Command::Restart { force: false });
    assert!(effects.contains(&Effect::Service { worker: id("web"), verb }));
    scene.exit(1, Exit::Code(0));
    scene.sighted("web", sight(&[8]));
    assert_eq!(answer(&scene.hold(2)), None, "the manager has not said so");
    let effects = scene.step(Input::Serviced { worker: id("web"), error: None });
    assert!(matches!(answer(&effects), Some(Answer::Done { .. })), "{effects:?}");
    // The other way round.
    scene.ask(Command::Restart { force: false });
    scene.step(Input::Serviced { worker: id("web"), error: None });
    scene.exit(2, Exit::Code(0));
    scene.sighted("web", sight(&[9]));
    assert!(matches!(answer(&scene.hold(3)), Some(Answer::Done { .. })));
    // And a manager that fails, or does nothing.
    scene.ask(Command::Restart { force: false });
    let error = Some("no such unit".to_owned());
    let effects = scene.step(Input::Serviced { worker: id("web"), error });
    assert!(refusal(&effects).contains("no such unit"));
    scene.ask(Command::Restart { force: false });
    scene.step(Input::Serviced { worker: id("web"), error: None });
    assert!(refusal(&scene.wake_after(5)).contains("no process of it was found"));
}

#[test]
fn the_end_of_a_process_whose_worker_was_removed_ends_nothing_else() {
    let mut scene = Scene::attached(|_| {});
    scene.ask(Command::Disable);
    assert!(told(&scene.ask(Command::Remove), |kind| *kind == EventKind::Removed));
    assert_eq!(scene.exit(1, Exit::Code(0)), [], "it may end before it is let go");
}

#[test]
fn the_end_of_the_master_ends_nothing_and_the_next_one_verifies() {
    let mut scene = Scene::attached(|unit| unit.rights.can_terminate = true);
    let (mode, actor) = (ShutdownMode::StopWorkers, Actor::Signal(15));
    let effects = scene.step(Input::Shutdown { mode, actor });
    assert_eq!(signals(&effects), []);
    assert!(effects.contains(&Effect::AllStopped));
    let record = scene.record();

    let mut next = Scene::new(&[spec("web", |_| {})], &[&record]);
    let effects = next.settle(UnknownExit::KeeperLost);
    assert_eq!(asks_for(&effects), [(1, 7)]);
    assert_eq!(next.state(), WorkerState::Searching, "not trusted");
    next.hold(1);
    assert_eq!((next.status().run, next.status().restarts), (Some(RunId(1)), 0));

    let mut later = Scene::new(&[spec("web", |_| {})], &[&record]);
    later.settle(UnknownExit::KeeperLost);
    later.step(Input::AttachFailed { run: RunId(1), error: None });
    let unwatched = Exit::Unknown(UnknownExit::Unwatched);
    assert_eq!(later.status().last_exit.map(|last| last.exit), Some(unwatched));
    assert_eq!(asks_for(&later.sighted("web", sight(&[9]))), [(2, 9)], "no run number twice");

    let mut rebooted = Scene::new(&[spec("web", |_| {})], &[&record]);
    assert_eq!(asks_for(&rebooted.settle(UnknownExit::Reboot)), []);
    let last = rebooted.status().last_exit.map(|last| last.exit);
    assert_eq!(last, Some(Exit::Unknown(UnknownExit::Reboot)));
}

#[test]
fn a_worker_that_left_the_configuration_is_forgotten_and_its_process_goes_on() {
    let record = Scene::attached(|_| {}).record();
    let mut scene = Scene::new(&[], &[]);
    scene.fleet.depart(id("web"), &record);
    let effects = scene.settle(UnknownExit::KeeperLost);
    assert!(effects.contains(&Effect::Forget { worker: id("web"), last: None }));
    assert_eq!(signals(&effects), []);
    let kills = |effect: &Effect| matches!(effect, Effect::KillTree { .. });
    assert!(!effects.iter().any(kills));
}

#[test]
fn whoever_waits_for_a_process_is_answered_when_its_worker_is_removed() {
    let mut scene = Scene::searching(|unit| {
        unit.rights.can_restart = true;
        unit.rights.manager = Manager::Systemd("nginx.service".to_owned());
    });
    assert_eq!(answer(&scene.ask(Command::Start)), None, "it is looked for");
    scene.sighted("web", sight(&[]));
    let effects = scene.ask(Command::Remove);
    let superseded = Answer::Refused(Refusal::Superseded { by: "remove" });
    assert!(effects.contains(&Effect::Reply { ticket: Ticket(1), answer: superseded }));
    let removed = |effect: &Effect| {
        matches!(effect, Effect::Reply { ticket: Ticket(2), answer: Answer::Done { .. } })
    };
    assert!(effects.iter().any(removed), "{effects:?}");
}

#[test]
fn of_two_processes_of_a_worker_that_may_have_one_by_now_none_is_kept() {
    let mut scene = Scene::searching(|unit| unit.discovery.matches = Matches::Many);
    scene.sighted("web", sight(&[7, 8]));
    scene.hold(1);
    scene.hold(2);
    let record = scene.record();
    let mut next = Scene::new(&[spec("web", |_| {})], &[&record]);
    assert_eq!(asks_for(&next.settle(UnknownExit::KeeperLost)), []);
    assert_eq!(asks_for(&next.sighted("web", sight(&[7, 8]))), [], "nobody knows which");
    assert_eq!(asks_for(&next.sighted("web", sight(&[8]))), [(3, 8)]);
}

#[test]
fn nothing_is_told_of_a_worker_before_it_is_known_what_an_earlier_master_left() {
    let record = Scene::attached(|_| {}).record();
    let mut scene = Scene::new(&[spec("web", |_| {})], &[&record]);
    let severity = hsu_model::severity::Severity::Critical;
    assert_eq!(scene.step(Input::HealthFailed { run: RunId(1), severity }), []);
    let effects = scene.settle(UnknownExit::KeeperLost);
    assert!(told(&effects, |kind| matches!(
        kind,
        EventKind::StateChanged { from: WorkerState::Running, to: WorkerState::Searching, .. }
    )));
}
