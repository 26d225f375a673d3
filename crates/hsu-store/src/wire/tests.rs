//! What is written is read back.

use hsu_model::event::{Actor, Event, EventKind};
use hsu_model::health::{Condition, Verdict};
use hsu_model::id::WorkerId;
use hsu_model::status::ToldPhase;

use super::*;

fn record() -> WorkerRecord {
    WorkerRecord {
        state: WorkerState::BackingOff,
        run: Some(RunId(9)),
        accounted: Some(RunId(8)),
        started: Some((Tick(5), WallTime(6))),
        restarts: 3,
        counts_as_restart: true,
        attempts: 2,
        breaker: Breaker::Open { trial_at: Some(Tick(77)) },
        next_attempt: Some(Tick(70)),
        last_exit: Some(LastExit {
            run: RunId(8),
            exit: Exit::Signal { number: 11, core: true },
            at: WallTime(4),
            lasted: Duration::from_millis(12),
        }),
        history: [Transition {
            at: WallTime(1),
            from: WorkerState::Running,
            to: WorkerState::BackingOff,
            reason: "because".into(),
        }]
        .into(),
        removed: false,
        departure: Departure {
            stop: Stop { signal: 2, graceful_timeout: Duration::from_secs(7) },
            pid_file: "/run/web.pid".to_owned(),
        },
        attached: Some(vec![Hint {
            run: RunId(9),
            process: ProcessKey { pid: 4711, started_at: 12 },
            program: ProgramId { device: 3, inode: 4 },
        }]),
        started_as: Some(Fingerprint(17)),
        ready_run: Some(RunId(9)),
        raised: vec![Raised {
            limit: "storage.directories".to_owned(),
            paths: vec!["/srv".to_owned()],
            most: 7,
        }],
        ..removed_record()
    }
}

#[test]
fn what_an_older_build_kept_without_knowing_it_counts_for_its_own_run_alone() {
    let mut record = record();
    record.run = Some(RunId(9));
    let kept = encode_record(&record);
    assert_eq!(decode_record(&kept).unwrap().started_as, Some(Fingerprint(17)));
    let mut later: serde_json::Value = serde_json::from_str(&kept).unwrap();
    later["run"] = 10.into();
    assert_eq!(decode_record(&later.to_string()).unwrap().started_as, None);
}

#[test]
fn a_record_is_read_back_as_it_was_written() {
    let text = encode_record(&record());
    assert_eq!(decode_record(&text), Some(record()));
    assert!(decode_record(STONE).unwrap().removed);
    for garbage in ["", "{", "[]", "{\"wanted\":1}", "null"] {
        assert_eq!(decode_record(garbage), None, "{garbage}");
    }
}

#[test]
fn every_kind_of_event_is_read_back_as_it_was_written() {
    let run = RunId(7);
    let text = || "text".to_owned();
    let kinds = [
        EventKind::Registered,
        EventKind::Removed,
        EventKind::StateChanged {
            from: WorkerState::Running,
            to: WorkerState::Tripped,
            reason: text(),
        },
        EventKind::Spawned { run, pid: 4 },
        EventKind::Adopted { run, pid: 4 },
        EventKind::Released { run, reason: text() },
        EventKind::NotFound { reason: text() },
        EventKind::SpawnFailed { run, error: text() },
        EventKind::Exited {
            run,
            exit: Exit::Unknown(UnknownExit::KeeperLost),
            lasted: Duration::from_nanos(3),
        },
        EventKind::RestartScheduled { attempt: 1, limit: 2, delay: Duration::from_secs(3) },
        EventKind::RestartRefused { reason: text() },
        EventKind::Signalled { run, signal: 15 },
        EventKind::Told { run, phase: ToldPhase::Reloading },
        EventKind::MainProcess { run, pid: 9 },
        EventKind::MainProcessRefused { run, pid: 9, reason: text() },
        EventKind::Killed { run },
        EventKind::LeftBehind { run, count: 2 },
        EventKind::Survived { run, count: 2 },
        EventKind::Breaker { to: BreakerState::HalfOpen },
        EventKind::CheckChanged { run, check: text(), to: Verdict::Failing, reason: text() },
        EventKind::HealthChanged {
            run,
            from: Condition::Unknown,
            to: Condition::Degraded,
            ready: true,
            reason: text(),
        },
        EventKind::Commanded { verb: text() },
        EventKind::OutputStuck { output: text(), reason: text() },
        EventKind::OutputFlows { output: text() },
        EventKind::OutputDropped { bytes: 9 },
        EventKind::MasterStarted { adopted: 3 },
        EventKind::MasterStopping { reason: text() },
        EventKind::StateReplaced { reason: text() },
        EventKind::StateUnwritable { reason: text() },
        EventKind::StateWritable,
        EventKind::RoleLost { role: text(), reason: text() },
    ];
    let actors = [
        Actor::Master,
        Actor::Configuration,
        Actor::Operator { uid: 7 },
        Actor::Signal(15),
        Actor::Worker,
    ];
    for (place, kind) in kinds.into_iter().enumerate() {
        let event = Event {
            sequence: 5,
            at: WallTime(6),
            worker: Some(WorkerId::new("web").unwrap()),
            actor: actors[place % actors.len()].clone(),
            kind,
        };
        assert_eq!(decode_event(&encode_event(&event)), Some(event));
    }
}
