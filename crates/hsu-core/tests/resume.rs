//! A new master goes on where the old one was, at whatever instant that was.

use std::sync::Arc;

use hsu_core::effect::Effect;
use hsu_core::fleet::{Fleet, Settings};
use hsu_core::input::{Command, Input, Ticket};
use hsu_core::record::Resume;
use hsu_model::event::Actor;
use hsu_model::execution::{Execution, Stop, WorkingDirectory};
use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::health::Health;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::logs::WorkerLogs;
use hsu_model::notify::Notify;
use hsu_model::process::ProcessKey;
use hsu_model::restart::{Breaker, Restart, RestartContext, RestartPolicy, StartRate};
use hsu_model::status::WorkerState;
use hsu_model::time::{Now, Tick, WallTime};
use hsu_model::worker::{Managed, Metadata, Profile, Unit, WorkerSpec};

fn id() -> WorkerId {
    WorkerId::new("web").expect("an id")
}

fn spec() -> Arc<WorkerSpec> {
    let restart = Restart {
        policy: RestartPolicy::Always,
        on_clean_exit: false,
        default: RestartContext::DEFAULT,
        health_failures: RestartContext::DEFAULT,
        resource_violations: RestartContext::DEFAULT,
        severity_multipliers: std::collections::BTreeMap::new(),
        profile_multipliers: std::collections::BTreeMap::new(),
        startup_grace: Restart::DEFAULT_STARTUP_GRACE,
        sustained_violation: Restart::DEFAULT_SUSTAINED_VIOLATION,
        spike_tolerance: std::time::Duration::ZERO,
        reset_after: Restart::DEFAULT_RESET_AFTER,
        breaker: Breaker { half_open_after: None },
    };
    let execution = Execution {
        program: "/bin/web".to_owned(),
        args: vec![],
        environment: vec![],
        working_directory: WorkingDirectory::OfProgram,
        user: None,
        group: None,
        umask: None,
        nice: None,
        rlimits: vec![],
        make_executable: false,
    };
    let stop = Stop { signal: Stop::DEFAULT_SIGNAL, graceful_timeout: Stop::DEFAULT_TIMEOUT };
    let unit = Unit::Managed(Managed {
        execution,
        restart,
        stop,
        pid_file: "/run/web.pid".to_owned(),
        logs: WorkerLogs::default(),
        notify: Notify::default(),
        sockets: vec![],
        limits: None,
    });
    let (metadata, profile) = (Metadata::default(), Profile::Default);
    Arc::new(WorkerSpec {
        id: id(),
        enabled: true,
        profile,
        metadata,
        health: Health::default(),
        unit,
    })
}

fn fleet() -> Fleet {
    Fleet::new(Settings {
        start_rate: StartRate::DEFAULT,
        force_shutdown_timeout: std::time::Duration::from_secs(30),
        next_run: 1,
    })
}

fn step(fleet: &mut Fleet, input: Input) -> Vec<Effect> {
    let mut out = Vec::new();
    fleet.step(Now { tick: Tick(1), wall: WallTime(1) }, 0, input, &mut out);
    fleet.check().expect("every invariant holds");
    out
}

#[test]
fn a_stop_whose_leftovers_were_not_reported_is_finished_by_the_next_master() {
    let run = RunId(1);
    let mut old = fleet();
    old.add(spec(), None, Resume::Fresh);
    step(&mut old, Input::Settled { unknown: UnknownExit::KeeperLost });
    step(&mut old, Input::Spawned { run, process: ProcessKey { pid: 7, started_at: 7 } });
    let command = Command::Stop { force: false };
    let (ticket, actor) = (Ticket(1), Actor::Operator { uid: 0 });
    step(&mut old, Input::Command { ticket, actor, worker: id(), command });
    let exit = Exit::Signal { number: 15, core: false };
    step(&mut old, Input::Exited { worker: id(), run, exit, at: Tick(1), wall: WallTime(1) });
    let record = old.export(&id()).expect("a record");

    let mut new = fleet();
    new.add(spec(), Some(&record), Resume::Continue);
    let effects = step(&mut new, Input::Settled { unknown: UnknownExit::KeeperLost });
    assert!(effects.contains(&Effect::KillTree { worker: id(), run, whole: true }));
    step(&mut new, Input::Survivors { worker: id(), run, pids: vec![] });
    let status = new.status(&id()).expect("a status");
    assert_eq!(status.state, WorkerState::Stopped);
}
