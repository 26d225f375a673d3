//! Seeds: what every corpus begins with, made by code from the catalogue of bad inputs.

use hsu_keeper::{
    Capture, FromKeeper, GoodbyeMode, Identity, Keep, Program, Role, SignalScope, SpawnRequest,
    Stage, ToKeeper, VERSION, fuzzing,
};
use hsu_model::execution::{Resource, ResourceLimit};
use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::logs::Stream;
use hsu_model::process::ProcessKey;
use hsu_model::time::{Tick, WallTime};

mod texts;

pub(crate) use texts::{
    configs, cursors, escapes, lines, proc, records, requests, spools, state, values, words,
};

fn worker() -> WorkerId {
    WorkerId::new("w").expect("a valid id")
}

fn program() -> Program {
    Program {
        executable: c"/bin/sleep".to_owned(),
        args: vec![c"sleep".to_owned(), c"1".to_owned()],
        env: vec![c"A=b".to_owned(), c"LD_PRELOAD=/tmp/x".to_owned()],
        cwd: c"/".to_owned(),
    }
}

fn request() -> SpawnRequest {
    SpawnRequest {
        run: RunId(7),
        worker: worker(),
        program: program(),
        identity: Some(Identity { uid: 33, gid: 33, groups: vec![33, 4] }),
        umask: Some(0o77),
        nice: Some(-3),
        rlimits: vec![ResourceLimit { resource: Resource::OpenFiles, soft: 10, hard: 20 }],
        entrances: vec![c"/cg/web/cgroup.procs".to_owned()],
        capture: Capture { stdout: true, stderr: false },
        cgroup: None,
        ready_descriptor: Some(5),
    }
}

fn keep() -> Keep {
    Keep { passed: true, name: "http".to_owned(), label: "stream 127.0.0.1:80".to_owned() }
}

fn all_orders() -> Vec<ToKeeper> {
    let run = RunId(7);
    vec![
        ToKeeper::Hello { role: Role::Master, version: VERSION, relaunch: program() },
        ToKeeper::Spawn(Box::new(request())),
        ToKeeper::Signal { run, signal: 15, scope: SignalScope::Group },
        ToKeeper::Acknowledge { run },
        ToKeeper::Inventory,
        ToKeeper::Keep { worker: worker(), keep: keep(), descriptor: None },
        ToKeeper::Discard { worker: worker(), label: None },
        ToKeeper::Follow { run, process: ProcessKey { pid: 70, started_at: 5 }, handle: None },
        ToKeeper::Pong,
        ToKeeper::Upgrade { program: program() },
        ToKeeper::Yielded,
        ToKeeper::Ready,
        ToKeeper::Goodbye { mode: GoodbyeMode::Keep },
        ToKeeper::Drained { run, stream: Stream::Stdout },
        ToKeeper::Have { run, worker: worker(), stream: Stream::Stderr, pipe: None },
    ]
}

fn all_answers() -> Vec<FromKeeper> {
    let (run, process) = (RunId(1), ProcessKey { pid: 70, started_at: 5 });
    let (at, wall) = (Tick(1_000_000_000), WallTime(1_000_000_000));
    vec![
        FromKeeper::Welcome { version: VERSION, keeper: 5 },
        FromKeeper::Spawned { run, process, handle: None, is_enclosed: true },
        FromKeeper::SpawnFailed { run, stage: Stage::Execute, errno: 2 },
        FromKeeper::Exited { run, worker: worker(), process, exit: Exit::Code(1), at, wall },
        FromKeeper::Exited {
            run,
            worker: worker(),
            process,
            exit: Exit::Signal { number: 11, core: true },
            at,
            wall,
        },
        FromKeeper::Exited {
            run,
            worker: worker(),
            process,
            exit: Exit::Unknown(UnknownExit::KeeperLost),
            at,
            wall,
        },
        FromKeeper::Held { run, worker: worker(), process, started: (at, wall), handle: None },
        FromKeeper::Pending { run, worker: worker() },
        FromKeeper::Followed { run, process, is_held: true },
        FromKeeper::InventoryEnd,
        FromKeeper::Ping,
        FromKeeper::PumpLost,
        FromKeeper::Yield,
        FromKeeper::Proceed,
        FromKeeper::Resume,
        FromKeeper::Fenced,
        FromKeeper::UpgradeFailed { reason: "no".to_owned() },
        FromKeeper::Stream { run, worker: worker(), stream: Stream::Stdout, pipe: None },
        FromKeeper::Finish,
    ]
}

/// Every order alone, and all of them.
pub(crate) fn orders() -> Vec<Vec<u8>> {
    let one = |order| fuzzing::datagram(vec![order], Vec::new());
    let mut seeds: Vec<_> = all_orders().into_iter().map(one).collect();
    seeds.push(fuzzing::datagram(all_orders(), Vec::new()));
    seeds
}

/// Policies that allow the start of [`request`], nearly allow it, or mean nothing.
pub(crate) fn policies() -> Vec<Vec<u8>> {
    let order = fuzzing::datagram(vec![ToKeeper::Spawn(Box::new(request()))], Vec::new());
    let plain = SpawnRequest {
        program: Program { env: Vec::new(), ..program() },
        identity: None,
        ..request()
    };
    let plain = fuzzing::datagram(vec![ToKeeper::Spawn(Box::new(plain))], Vec::new());
    let policies = [
        "user 33\ngroup 0-40\nprogram /bin/sleep\n",
        "# all\nuser 0\ngroup 0\nprogram /bin/\nmaster /usr/bin/hsu-master\n",
        "user 0-4294967294\ngroup 0-4294967294\nprogram /\n",
        "user 5-4\n",
        "program /a/../b\n",
    ];
    let with =
        |policy: &str| [&order, &plain].map(|order| [policy.as_bytes(), b"\0", order].concat());
    policies.into_iter().flat_map(with).collect()
}

/// Every answer alone, and all of them.
pub(crate) fn answers() -> Vec<Vec<u8>> {
    let one = |answer| fuzzing::datagram(Vec::new(), vec![answer]);
    let mut seeds: Vec<_> = all_answers().into_iter().map(one).collect();
    seeds.push(fuzzing::datagram(Vec::new(), all_answers()));
    seeds
}

/// Lives of a fleet: a datagram each, an inventory that ends, starts and ends of runs.
pub(crate) fn lives() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for answer in answers() {
        let length = u8::try_from(answer.len()).unwrap_or(u8::MAX);
        seeds.push([&[2, length][..], &answer].concat());
    }
    // Message kind 5 ends the inventory; 0 and 2 tell of a start and of an end.
    let settled = [3, 5, 0];
    let started = [3, 0, 2, 0, 9];
    let ended = [3, 2, 2, 0, 9, 1, 0];
    let waited = [1, 4, 9];
    seeds.push([&settled[..], &started, &ended, &waited, &started, &ended].concat());
    seeds.push([&started[..], &settled, &waited, &ended, &[0, 1, 0], &[0, 4, 0]].concat());
    seeds
}
