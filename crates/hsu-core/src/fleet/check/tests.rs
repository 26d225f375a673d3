//! What does not hold is found, and called by its name.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use hsu_model::exit::UnknownExit;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::restart::{self, Restart, RestartContext, RestartPolicy, StartRate};
use hsu_model::time::{Now, Tick, WallTime};
use hsu_model::worker::{Departure, WorkerSpec};

use super::*;
use crate::fleet::Settings;
use crate::input::{Command, Input, Ticket};
use crate::record::{Resume, Transition};

fn id() -> WorkerId {
    WorkerId::new("web").expect("an id")
}

/// A fleet whose worker is being ended as run 1: it was found running.
fn fleet() -> Fleet {
    let mut fleet = Fleet::new(Settings {
        start_rate: StartRate::DEFAULT,
        force_shutdown_timeout: Duration::from_secs(30),
        next_run: 1,
    });
    fleet.add(Arc::new(WorkerSpec::departed(id(), Departure::default())), None, Resume::Fresh);
    let process = hsu_model::process::ProcessKey { pid: 7, started_at: 7 };
    let started = (Tick(1), WallTime(1));
    let (worker, run) = (id(), RunId(1));
    let now = Now { tick: Tick(1), wall: WallTime(1) };
    let mut out = Vec::new();
    fleet.step(now, 0, Input::Adopted { worker, run, process, started }, &mut out);
    fleet.step(now, 0, Input::Settled { unknown: UnknownExit::KeeperLost }, &mut out);
    fleet
}

#[track_caller]
fn expect_broken(name: &str, breaks: impl FnOnce(&mut Fleet)) {
    let mut fleet = fleet();
    assert_eq!(fleet.check(), Ok(()));
    breaks(&mut fleet);
    let found = fleet.check();
    assert!(found.is_err_and(|broken| broken.0.starts_with(name)), "{found:?}");
}

#[test]
fn what_does_not_hold_is_named() {
    expect_broken("I1: the index", |fleet| fleet.runs.clear());
    expect_broken("I27", |fleet| fleet.next_run = 1);
    expect_broken("I3", |fleet| {
        fleet.workers.get_mut(&id()).expect("a worker").accounted = Some(RunId(1));
    });
    expect_broken("L1: every rest", |fleet| fleet.deadlines.clear());
    expect_broken("I6", |fleet| {
        fleet.deadlines.insert((Tick(99), WorkerId::new("other").expect("an id")));
    });
    expect_broken("I23", |fleet| {
        fleet.runs.insert(RunId(9), id());
    });
}

#[test]
fn a_worker_whose_state_contradicts_itself_is_named() {
    let change = |change: fn(&mut crate::worker::Worker)| {
        move |fleet: &mut Fleet| change(fleet.workers.get_mut(&id()).expect("a worker"))
    };
    expect_broken("I8: a tripped", change(|worker| worker.state = State::Tripped));
    let open =
        |worker: &mut crate::worker::Worker| worker.breaker = Breaker::Open { trial_at: None };
    expect_broken("I8: an open", change(open));
    expect_broken(
        "I8: a half-open",
        change(|worker| {
            (worker.state, worker.breaker) = (State::Stopped, Breaker::HalfOpen);
        }),
    );
    expect_broken(
        "L3",
        change(|worker| {
            worker.state = State::Stopped;
            let (ticket, command) = (Ticket(1), Command::Start);
            worker.pending = Some(crate::worker::Pending { ticket, command });
        }),
    );
    expect_broken("I17", change(|worker| worker.monitor.spoil()));
    expect_broken(
        "I20",
        change(|worker| {
            let (from, to) = (worker.visible(), worker.visible());
            let change = Transition { at: WallTime(1), from, to, reason: "it shall".into() };
            worker.history = (0..=crate::worker::HISTORY).map(|_| change.clone()).collect();
        }),
    );
}

/// A worker that somebody else starts.
fn watched(name: &str) -> Arc<WorkerSpec> {
    use hsu_model::discovery::{Combine, Discovery, Manager, Matches, Rights, Search, Unmanaged};
    let discovery = Discovery {
        searches: [Search::User("u".into())].into(),
        combine: Combine::All,
        include: Vec::new(),
        exclude: Vec::new(),
        validation: Vec::new(),
        check_interval: Duration::from_secs(30),
        matches: Matches::One,
    };
    let rights = Rights {
        can_limit: false,
        can_terminate: true,
        can_restart: false,
        allowed_signals: Vec::new(),
        graceful_timeout: Duration::from_secs(5),
        manager: Manager::Unknown,
    };
    let departed = WorkerSpec::departed(WorkerId::new(name).expect("an id"), Departure::default());
    let restart = Restart {
        policy: RestartPolicy::OnFailure,
        on_clean_exit: false,
        default: RestartContext::DEFAULT,
        health_failures: RestartContext::DEFAULT,
        resource_violations: RestartContext::DEFAULT,
        severity_multipliers: Default::default(),
        profile_multipliers: Default::default(),
        startup_grace: Restart::DEFAULT_STARTUP_GRACE,
        sustained_violation: Duration::ZERO,
        spike_tolerance: Duration::ZERO,
        reset_after: Restart::DEFAULT_RESET_AFTER,
        breaker: restart::Breaker { half_open_after: None },
    };
    let (log_files, logs) = (Vec::new(), Default::default());
    let unmanaged = Unmanaged { discovery, rights, restart, limits: None, log_files, logs };
    let unit = hsu_model::worker::Unit::Unmanaged(unmanaged);
    Arc::new(WorkerSpec { enabled: true, unit, ..departed })
}

/// A fleet that watches a process, which is asked to end.
fn watching() -> Fleet {
    use hsu_model::discovery::{Candidate, ProgramId, Sighting};
    let mut fleet = Fleet::new(Settings {
        start_rate: StartRate::DEFAULT,
        force_shutdown_timeout: Duration::from_secs(30),
        next_run: 1,
    });
    fleet.add(watched("web"), None, Resume::Fresh);
    let process = hsu_model::process::ProcessKey { pid: 7, started_at: 7 };
    let found = Candidate { process, program: ProgramId::default(), what: "web".into() };
    let sighting = Sighting { candidates: [found].into(), ..Sighting::default() };
    let (worker, run, started) = (id(), RunId(1), (Tick(1), WallTime(1)));
    let actor = hsu_model::event::Actor::Operator { uid: 0 };
    let (ticket, command) = (Ticket(1), Command::Stop { force: false });
    for input in [
        Input::Settled { unknown: UnknownExit::KeeperLost },
        Input::Sighted { worker: worker.clone(), sighting },
        Input::Attached { run, started },
        Input::Command { ticket, actor, worker, command },
    ] {
        let now = Now { tick: Tick(1), wall: WallTime(1) };
        fleet.step(now, 0, input, &mut Vec::new());
    }
    fleet
}

#[test]
fn what_does_not_hold_of_a_watched_worker_is_named() {
    let broken = |name: &str, breaks: fn(&mut Fleet)| {
        let mut fleet = watching();
        assert_eq!(fleet.check(), Ok(()));
        breaks(&mut fleet);
        let found = fleet.check();
        assert!(found.is_err_and(|broken| broken.0.starts_with(name)), "{name}: {found:?}");
    };
    broken("I1: the index", |fleet| fleet.watched_runs.clear());
    broken("I2", |fleet| {
        let mut record = fleet.export(&id()).expect("a record");
        record.attached.iter_mut().flatten().for_each(|hint| hint.run = RunId(0));
        fleet.add(watched("other"), Some(&record), Resume::Continue);
    });
    broken("I17", |fleet| {
        fleet.watched.get_mut(&id()).expect("a worker").monitor.spoil();
    });
    broken("I27", |fleet| fleet.next_run = 1);
    broken("L1: every end", |fleet| fleet.deadlines.clear());
    broken("I23", |fleet| {
        fleet.watched_runs.insert(RunId(9), id());
    });
    broken("I6", |fleet| {
        fleet.deadlines.insert((Tick(99), WorkerId::new("other").expect("an id")));
    });
    let record = watching().export(&id()).expect("a record");
    expect_broken("I1: the index", |fleet| {
        fleet.add(watched("other"), Some(&record), Resume::Continue);
    });
}
