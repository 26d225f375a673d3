//! Edges: behaviour that shows only when two things meet in a seldom order.
//!
//! Each of these was a change of the core that no other test noticed
//! (docs/reference/mutants.md). A bare fleet is fed here; the simulated world
//! answers too well to reach them.

use std::sync::Arc;
use std::time::Duration;

use hsu_core::answer::{Answer, Refusal};
use hsu_core::breaker::Breaker;
use hsu_core::effect::Effect;
use hsu_core::fleet::Fleet;
use hsu_core::input::{Command, Input, ShutdownMode, Ticket};
use hsu_core::record::{Resume, WorkerRecord};
use hsu_model::event::{Actor, EventKind};
use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::notify::{Bond, Named, Said};
use hsu_model::process::ProcessKey;
use hsu_model::restart::RestartPolicy;
use hsu_model::status::{Desired, WorkerState, WorkerStatus};
use hsu_model::time::{Now, Tick, WallTime};

use crate::world::specs::{GRACE, STEADY, plain, restart, worker};
use crate::world::{id, settings};

const ONE: Exit = Exit::Code(1);

/// A fleet with the worker `web`, and a clock that stands.
struct Bench {
    fleet: Fleet,
    now: Tick,
    tickets: u64,
}

impl Bench {
    /// A fleet that goes on where a record ends, and has not heard its keeper.
    fn resumed(record: Option<&WorkerRecord>) -> Self {
        let mut fleet = Fleet::new(settings());
        fleet.add(Arc::new(plain("web")), record, Resume::Continue);
        Self { fleet, now: Tick(1_000_000_000), tickets: 0 }
    }

    /// A fleet whose worker is being started as run 1.
    fn starting() -> Self {
        let mut bench = Self::resumed(None);
        bench.settle();
        bench
    }

    /// A fleet whose worker runs as run 1.
    fn running() -> Self {
        let mut bench = Self::starting();
        bench.spawned(1);
        bench
    }

    /// What a fleet knows durably of a worker that has been at rest for ever.
    fn record() -> WorkerRecord {
        let record = Self::starting().fleet.export(&id("web")).expect("a record");
        let (state, desired) = (WorkerState::Stopped, Desired::Stopped);
        WorkerRecord { state, desired, run: None, accounted: None, ..record }
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        let now = Now { tick: self.now, wall: WallTime(1) };
        self.fleet.step(now, 0, input, &mut out);
        self.fleet.check().expect("every invariant holds");
        out
    }

    fn settle(&mut self) -> Vec<Effect> {
        self.step(Input::Settled { unknown: UnknownExit::KeeperLost })
    }

    fn spawned(&mut self, run: u64) -> Vec<Effect> {
        self.step(Input::Spawned { run: RunId(run), process: process(run) })
    }

    fn adopted(&mut self, run: u64) -> Vec<Effect> {
        let (run, process, started) = (RunId(run), process(run), (self.now, WallTime(1)));
        self.step(Input::Adopted { worker: id("web"), run, process, started })
    }

    fn exited(&mut self, run: u64, exit: Exit) -> Vec<Effect> {
        let (worker, at, wall) = (id("web"), self.now, WallTime(1));
        self.step(Input::Exited { worker, run: RunId(run), exit, at, wall })
    }

    fn survivors(&mut self, run: u64) -> Vec<Effect> {
        self.step(Input::Survivors { worker: id("web"), run: RunId(run), pids: vec![] })
    }

    fn command(&mut self, command: Command) -> Vec<Effect> {
        self.tickets += 1;
        let (ticket, actor) = (Ticket(self.tickets), Actor::Operator { uid: 0 });
        self.step(Input::Command { ticket, actor, worker: id("web"), command })
    }

    fn stop(&mut self) -> Vec<Effect> {
        self.command(Command::Stop { force: false })
    }

    fn shut_down(&mut self, mode: ShutdownMode) -> Vec<Effect> {
        self.step(Input::Shutdown { mode, actor: Actor::Signal(15) })
    }

    fn status(&self) -> WorkerStatus {
        self.fleet.status(&id("web")).expect("a known worker")
    }

    fn state(&self) -> WorkerState {
        self.status().state
    }

    /// How the durable record calls its state.
    fn recorded(&self) -> WorkerState {
        self.fleet.export(&id("web")).expect("a record").state
    }
}

fn process(run: u64) -> ProcessKey {
    ProcessKey { pid: 100 + u32::try_from(run).unwrap_or(0), started_at: run }
}

fn kills(effects: &[Effect]) -> Vec<bool> {
    let whole = |effect: &Effect| {
        if let Effect::KillTree { whole, .. } = effect { Some(*whole) } else { None }
    };
    effects.iter().filter_map(whole).collect()
}

fn answers(effects: &[Effect]) -> Vec<&Answer> {
    let mut all = Vec::new();
    for effect in effects {
        if let Effect::Reply { answer, .. } = effect {
            all.push(answer);
        }
    }
    all
}

fn is_restart_scheduled(effects: &[Effect]) -> bool {
    let is_it = |effect: &Effect| {
        matches!(effect, Effect::Event { kind: EventKind::RestartScheduled { .. }, .. })
    };
    effects.iter().any(is_it)
}

#[test]
fn a_worker_and_the_one_of_a_run_can_be_looked_up() {
    let bench = Bench::running();
    assert_eq!(bench.fleet.spec(&id("web")).map(|spec| spec.id.clone()), Some(id("web")));
    assert_eq!(bench.fleet.worker_of(RunId(1)), Some(&id("web")));
    assert_eq!((bench.fleet.spec(&id("api")), bench.fleet.worker_of(RunId(2))), (None, None));
}

#[test]
fn the_history_holds_each_change_of_state_once_and_the_latest_sixteen() {
    let mut bench = Bench::running();
    let changes: Vec<_> =
        bench.fleet.history(&id("web")).iter().map(|change| (change.from, change.to)).collect();
    let started = (WorkerState::Registered, WorkerState::Starting);
    assert_eq!(changes, [started, (WorkerState::Starting, WorkerState::Running)]);
    for round in 1..10 {
        bench.exited(round, ONE);
        bench.command(Command::Start);
        bench.spawned(round + 1);
    }
    let history = bench.fleet.history(&id("web"));
    assert_eq!(history.len(), 16);
    assert_eq!(history.last().map(|change| change.to), Some(WorkerState::Running));
}

#[test]
fn the_record_says_how_to_end_what_nobody_configures_any_more() {
    let departure = Bench::running().fleet.export(&id("web")).expect("a record").departure;
    assert_eq!(
        (departure.pid_file.as_str(), departure.stop.graceful_timeout),
        ("/run/web.pid", GRACE)
    );
    // And it goes on saying so after it has left.
    let record = Bench::running().fleet.export(&id("web")).expect("a record");
    let mut fleet = Fleet::new(settings());
    fleet.depart(id("web"), &record);
    assert_eq!(fleet.export(&id("web")).expect("a record").departure, departure);
}

#[test]
fn the_end_of_a_worker_that_was_removed_is_not_told_twice() {
    let removed = WorkerRecord { removed: true, ..Bench::record() };
    let mut bench = Bench { fleet: Fleet::new(settings()), now: Tick(0), tickets: 0 };
    bench.fleet.depart(id("web"), &removed);
    let effects = bench.exited(1, ONE);
    assert!(effects.contains(&Effect::Acknowledge { run: RunId(1) }), "{effects:?}");
    let told = |effect: &Effect| matches!(effect, Effect::Event { .. });
    assert!(!effects.iter().any(told), "{effects:?}");
    let effects = bench.settle();
    assert!(effects.contains(&Effect::Forget { worker: id("web"), last: None }), "{effects:?}");
}

#[test]
fn a_worker_without_a_past_needs_no_timer_and_one_with_failures_does() {
    let mut bench = Bench::running();
    assert_eq!(bench.fleet.next_deadline(), None);
    bench.exited(1, ONE);
    bench.now = bench.fleet.next_deadline().expect("a rest");
    bench.step(Input::Wake);
    bench.spawned(2);
    assert!(bench.fleet.next_deadline().is_some(), "its failure is forgotten when it is stable");
}

#[test]
fn a_stop_without_force_gives_a_process_its_grace_although_it_was_only_being_started() {
    let mut bench = Bench::starting();
    bench.stop();
    let effects = bench.spawned(1);
    assert_eq!(kills(&effects), Vec::<bool>::new());
    assert_eq!(bench.fleet.next_deadline(), Some(bench.now.after(GRACE)));
}

#[test]
fn what_ended_while_it_was_being_started_and_stopped_is_cleared_as_a_whole() {
    let mut bench = Bench::starting();
    bench.stop();
    assert_eq!(kills(&bench.exited(1, ONE)), [true]);
    assert_eq!(bench.state(), WorkerState::Stopping);
    assert!(matches!(answers(&bench.survivors(1))[..], [Answer::Done { .. }]));
    assert_eq!(bench.state(), WorkerState::Stopped);
}

#[test]
fn a_start_that_fails_after_a_stop_is_the_stop() {
    let mut bench = Bench::starting();
    bench.stop();
    let error = "no descriptors".to_owned();
    let effects = bench.step(Input::SpawnFailed { run: RunId(1), error, transient: true });
    assert!(matches!(answers(&effects)[..], [Answer::Done { .. }]));
    assert_eq!(bench.state(), WorkerState::Stopped);
}

#[test]
fn the_process_of_an_order_under_way_is_taken_when_an_inventory_names_it() {
    let mut bench = Bench::starting();
    bench.adopted(1);
    assert_eq!((bench.state(), bench.status().process), (WorkerState::Running, Some(process(1))));
}

#[test]
fn another_process_is_not_taken_for_the_one_that_is_being_started() {
    let record = WorkerRecord {
        state: WorkerState::Registered,
        desired: Desired::Running,
        run: Some(RunId(7)),
        accounted: Some(RunId(5)),
        ..Bench::record()
    };
    let mut fleet = Fleet::new(hsu_core::fleet::Settings { next_run: 9, ..settings() });
    fleet.add(Arc::new(plain("web")), Some(&record), Resume::Continue);
    let mut bench = Bench { fleet, now: Tick(1), tickets: 0 };
    bench.settle();
    assert_eq!(bench.status().run, Some(RunId(9)));
    bench.adopted(6);
    assert_eq!((bench.state(), bench.status().process), (WorkerState::Starting, None));
}

#[test]
fn what_ended_before_the_keeper_has_told_all_is_not_yet_at_rest_when_it_shall_stop() {
    let record = WorkerRecord {
        state: WorkerState::Stopping,
        run: Some(RunId(3)),
        accounted: Some(RunId(2)),
        ..Bench::record()
    };
    let mut bench = Bench::resumed(Some(&record));
    assert_eq!(kills(&bench.exited(3, ONE)), Vec::<bool>::new());
    assert_eq!(bench.state(), WorkerState::Stopping, "a later run may still turn up");
    assert!(kills(&bench.settle()).contains(&true));
    bench.survivors(3);
    assert_eq!(bench.state(), WorkerState::Stopped);
}

#[test]
fn an_earlier_run_that_nobody_knew_decides_nothing() {
    let record = WorkerRecord {
        state: WorkerState::Running,
        desired: Desired::Running,
        run: Some(RunId(7)),
        accounted: Some(RunId(5)),
        ..Bench::record()
    };
    let mut bench = Bench::resumed(Some(&record));
    let effects = bench.exited(6, ONE);
    assert!(kills(&effects).is_empty() && !is_restart_scheduled(&effects), "{effects:?}");
    bench.adopted(7);
    assert_eq!(bench.state(), WorkerState::Running);
}

#[test]
fn a_later_run_that_nobody_knew_is_restarted_as_any_other() {
    let record = WorkerRecord {
        state: WorkerState::Running,
        desired: Desired::Running,
        run: Some(RunId(7)),
        accounted: Some(RunId(7)),
        ..Bench::record()
    };
    let mut bench = Bench::resumed(Some(&record));
    assert!(is_restart_scheduled(&bench.exited(8, ONE)));
    assert_eq!(bench.status().run, Some(RunId(8)));
}

#[test]
fn a_later_run_of_a_worker_that_shall_not_run_is_not_restarted() {
    let record = WorkerRecord { run: Some(RunId(2)), accounted: Some(RunId(2)), ..Bench::record() };
    let mut bench = Bench::resumed(Some(&record));
    let effects = bench.exited(3, ONE);
    assert!(!is_restart_scheduled(&effects), "{effects:?}");
    assert_eq!(bench.state(), WorkerState::Stopped);
}

#[test]
fn a_failed_trial_opens_the_breaker_again_although_attempts_are_left() {
    let record = WorkerRecord {
        state: WorkerState::Tripped,
        desired: Desired::Running,
        breaker: Breaker::Open { trial_at: None },
        attempts: 1,
        run: Some(RunId(2)),
        accounted: Some(RunId(2)),
        ..Bench::record()
    };
    let mut bench = Bench::resumed(Some(&record));
    bench.settle();
    let effects = bench.exited(3, ONE);
    assert!(!is_restart_scheduled(&effects), "{effects:?}");
    assert_eq!(bench.state(), WorkerState::Tripped);
}

#[test]
fn what_an_operator_stopped_is_stopped_although_everything_ends_meanwhile() {
    let mut bench = Bench::running();
    bench.stop();
    bench.shut_down(ShutdownMode::StopWorkers);
    bench.exited(1, ONE);
    bench.survivors(1);
    assert_eq!(bench.recorded(), WorkerState::Stopped);
}

#[test]
fn what_the_end_of_the_master_stopped_is_started_by_the_next_one() {
    let mut bench = Bench::running();
    bench.shut_down(ShutdownMode::StopWorkers);
    bench.exited(1, ONE);
    bench.survivors(1);
    assert_eq!(bench.recorded(), WorkerState::Registered);
}

#[test]
fn a_stop_that_is_waited_for_ends_with_the_master_and_is_refused_by_one_that_leaves() {
    let mut stopping = Bench::running();
    stopping.stop();
    let effects = stopping.shut_down(ShutdownMode::StopWorkers);
    assert_eq!(answers(&effects), Vec::<&Answer>::new(), "it is still done");
    stopping.exited(1, ONE);
    assert!(matches!(answers(&stopping.survivors(1))[..], [Answer::Done { .. }]));

    let mut leaving = Bench::running();
    leaving.stop();
    let effects = leaving.shut_down(ShutdownMode::KeepWorkers);
    assert_eq!(answers(&effects), [&Answer::Refused(Refusal::ShuttingDown)]);
}

#[test]
fn a_restart_that_is_waited_for_is_refused_when_everything_ends() {
    let mut bench = Bench::running();
    bench.command(Command::Restart { force: false });
    let effects = bench.shut_down(ShutdownMode::StopWorkers);
    assert_eq!(answers(&effects), [&Answer::Refused(Refusal::ShuttingDown)]);
}

#[test]
fn leftovers_of_another_run_clear_nothing() {
    let mut bench = Bench::starting();
    bench.stop();
    bench.exited(1, ONE);
    bench.survivors(9);
    assert_eq!(bench.state(), WorkerState::Stopping);
    bench.survivors(1);
    assert_eq!(bench.state(), WorkerState::Stopped);
}

#[test]
fn every_kill_of_a_run_is_waited_for_and_no_other() {
    let mut bench = Bench::running();
    assert_eq!(kills(&bench.command(Command::Stop { force: true })), [true]);
    bench.survivors(9);
    assert_eq!(kills(&bench.exited(1, Exit::Signal { number: 9, core: false })), [true]);
    bench.survivors(1);
    assert_eq!(bench.state(), WorkerState::Stopping, "one kill is still under way");
    bench.survivors(1);
    assert_eq!(bench.state(), WorkerState::Stopped);
}

#[test]
fn workers_that_end_in_the_same_step_do_not_rest_for_the_same_time() {
    let names = ["a", "b", "c", "d"];
    let mut jittery = restart(RestartPolicy::Always);
    jittery.default = hsu_model::restart::RestartContext { jitter: 1.0, ..STEADY };
    let record = WorkerRecord {
        state: WorkerState::Running,
        desired: Desired::Running,
        run: Some(RunId(1)),
        ..Bench::record()
    };
    let mut fleet = Fleet::new(settings());
    for (run, name) in (1..).zip(names) {
        let record = WorkerRecord { run: Some(RunId(run)), ..record.clone() };
        fleet.add(Arc::new(worker(name, jittery.clone())), Some(&record), Resume::Continue);
    }
    let mut out = Vec::new();
    let now = Now { tick: Tick(1), wall: WallTime(1) };
    fleet.step(now, 42, Input::Settled { unknown: UnknownExit::KeeperLost }, &mut out);
    let due = |name: &&str| -> Option<Tick> {
        let known: WorkerId = id(name);
        fleet.status(&known)?.next_attempt
    };
    let mut rests: Vec<Tick> = names.iter().filter_map(due).collect();
    assert_eq!(rests.len(), names.len());
    rests.sort_unstable();
    let closest = rests.windows(2).map(|pair| pair[1].since(pair[0])).min();
    assert!(closest > Some(Duration::from_millis(10)), "{rests:?}");
}

#[test]
fn at_a_glance_each_worker_shows_where_it_is() {
    let mut bench = Bench::running();
    let glance = bench.fleet.glance(&id("web")).expect("a known worker");
    assert_eq!((glance.state, glance.process), (WorkerState::Running, Some(process(1))));
    assert_eq!(
        (glance.run, glance.latest, glance.accounted),
        (Some(RunId(1)), Some(RunId(1)), None)
    );
    assert!(glance.enabled && !glance.unsettled && !glance.unkillable);
    let all: Vec<_> = bench.fleet.glances().map(|(id, glance)| (id.clone(), glance)).collect();
    assert_eq!(all, [(id("web"), glance)]);
    assert_eq!(bench.fleet.glance(&id("api")), None);
    assert!(bench.fleet.is_settled());
    bench.exited(1, ONE);
    let glance = bench.fleet.glance(&id("web")).expect("a known worker");
    assert_eq!((glance.state, glance.run), (WorkerState::BackingOff, None));
    assert_eq!(glance.next_attempt, bench.fleet.next_deadline());
    let record = WorkerRecord {
        state: WorkerState::Running,
        desired: Desired::Running,
        run: Some(RunId(7)),
        ..Bench::record()
    };
    let bench = Bench::resumed(Some(&record));
    assert!(bench.fleet.glance(&id("web")).expect("a known worker").unsettled);
    assert!(!bench.fleet.is_settled());
}

#[test]
fn the_other_process_of_a_run_counts_until_its_end_is_accounted() {
    let record = WorkerRecord {
        state: WorkerState::Stopping,
        run: Some(RunId(3)),
        accounted: Some(RunId(2)),
        ..Bench::record()
    };
    let mut bench = Bench::resumed(Some(&record));
    let named = Named { pid: 7, process: Some(process(9)), bond: Some(Bond::Cgroup) };
    let name = || Input::Told { run: RunId(3), said: Said::MainProcess(named) };
    let (worker, run, process) = (id("web"), RunId(3), process(9));
    assert_eq!(bench.step(name()), [Effect::Follow { worker, run, process }]);
    bench.exited(3, ONE);
    assert_eq!(bench.state(), WorkerState::Stopping, "what it left behind is not cleared");
    assert_eq!(bench.step(name()), []);
}

/// What follows when the keeper holds the process 109, which was named by a run.
fn followed(bench: &mut Bench, run: u64) -> Vec<Effect> {
    let (worker, run) = (id("web"), RunId(run));
    bench.step(Input::Followed { worker, run, process: process(9), error: None })
}

fn ends(run: u64) -> [Effect; 1] {
    [Effect::KillTree { worker: id("web"), run: RunId(run), whole: false }]
}

#[test]
fn what_goes_on_of_a_run_that_is_over_is_ended_and_stands_for_no_other_run() {
    let mut bench = Bench::running();
    bench.exited(1, ONE);
    bench.command(Command::Start);
    bench.spawned(2);
    assert_eq!(followed(&mut bench, 1), ends(1));
    assert_eq!(bench.status().process, Some(process(2)));
    bench.stop();
    assert_eq!(followed(&mut bench, 1), ends(1));
    assert_eq!(bench.status().process, Some(process(2)));
    followed(&mut bench, 2);
    assert_eq!(bench.status().process, Some(process(9)));
}

#[test]
fn what_goes_on_of_the_run_of_an_earlier_life_is_that_run_unless_its_end_is_accounted() {
    let record = WorkerRecord {
        state: WorkerState::Running,
        run: Some(RunId(3)),
        accounted: Some(RunId(2)),
        ..Bench::record()
    };
    let wanted = WorkerRecord { desired: Desired::Running, ..record.clone() };
    let mut bench = Bench::resumed(Some(&wanted));
    assert_eq!(followed(&mut bench, 4), ends(4), "nobody knows such a run");
    followed(&mut bench, 3);
    assert_eq!((bench.state(), bench.status().process), (WorkerState::Running, Some(process(9))));
    // The same of a worker that shall not run, whose end was told before the keeper has told all.
    let mut bench = Bench::resumed(Some(&record));
    bench.exited(3, ONE);
    assert_eq!(followed(&mut bench, 3), ends(3));
}

#[test]
fn of_a_worker_that_has_departed_its_last_run_is_kept_so_that_no_exit_of_it_counts_again() {
    let record = Bench::running().fleet.export(&id("web")).expect("a record");
    let mut bench = Bench { fleet: Fleet::new(settings()), now: Tick(1), tickets: 0 };
    bench.fleet.depart(id("web"), &record);
    bench.adopted(1);
    bench.settle();
    bench.exited(1, ONE);
    let effects = bench.survivors(1);
    let last = effects.iter().find_map(|effect| {
        if let Effect::Forget { last, .. } = effect { last.as_deref() } else { None }
    });
    let last = last.expect("what is kept");
    assert_eq!((last.run, last.accounted), (Some(RunId(1)), Some(RunId(1))));
}

#[test]
fn a_start_of_what_ended_before_the_keeper_has_told_all_follows_when_nothing_is_left_of_it() {
    let record = WorkerRecord {
        state: WorkerState::Stopping,
        run: Some(RunId(3)),
        accounted: Some(RunId(2)),
        ..Bench::record()
    };
    let mut bench = Bench::resumed(Some(&record));
    bench.exited(3, ONE);
    assert!(answers(&bench.command(Command::Start)).is_empty());
    bench.settle();
    let effects = bench.survivors(3);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Spawn { .. })), "{effects:?}");
    // Without it the worker is at rest, and how it ended is known.
    let mut bench = Bench::resumed(Some(&record));
    bench.exited(3, ONE);
    bench.settle();
    bench.survivors(3);
    assert_eq!(bench.state(), WorkerState::Stopped);
    assert!(bench.status().reason.ends_with("exit code 1"), "{}", bench.status().reason);
}
