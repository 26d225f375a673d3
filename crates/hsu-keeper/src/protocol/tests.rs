//! Tests of the protocol: what goes in comes out, and garbage is an error.

use super::*;

fn request() -> SpawnRequest {
    let text = |text: &str| CString::new(text).unwrap();
    SpawnRequest {
        run: RunId(7),
        worker: WorkerId::new("web").unwrap(),
        program: Program {
            executable: text("/bin/sleep"),
            args: vec![text("sleep"), text("1")],
            env: vec![text("A=b")],
            cwd: text("/"),
        },
        identity: Some(Identity { uid: 33, gid: 33, groups: vec![33, 4] }),
        umask: Some(0o77),
        nice: Some(-3),
        rlimits: vec![ResourceLimit { resource: Resource::OpenFiles, soft: 10, hard: 20 }],
        entrances: vec![text("/cg/web/cgroup.procs")],
        capture: Capture { stdout: true, stderr: false },
        cgroup: Some(text("/sys/fs/cgroup/web")),
        ready_descriptor: Some(5),
    }
}

#[test]
fn a_batch_of_messages_comes_out_as_it_went_in() {
    let mut sent = vec![
        ToKeeper::Spawn(Box::new(request())),
        ToKeeper::Signal { run: RunId(7), signal: 15, scope: SignalScope::Group },
        ToKeeper::Acknowledge { run: RunId(1) },
        ToKeeper::Follow {
            run: RunId(7),
            process: ProcessKey { pid: 9, started_at: 90 },
            handle: None,
        },
        ToKeeper::Inventory,
        ToKeeper::Keep {
            worker: WorkerId::new("web").unwrap(),
            keep: Keep { passed: true, name: "http".into(), label: "socket http".into() },
            descriptor: None,
        },
        ToKeeper::Discard { worker: WorkerId::new("web").unwrap(), label: None },
        ToKeeper::Goodbye { mode: GoodbyeMode::Keep },
    ];
    let mut bytes = Vec::new();
    for message in &mut sent {
        assert_eq!(message.encode(&mut bytes), None);
    }
    let mut got: Vec<ToKeeper> = Vec::new();
    decode_all(&bytes, VecDeque::new(), &mut got).unwrap();
    assert_eq!(got, sent);
}

#[test]
fn a_message_cut_anywhere_is_malformed_and_never_a_panic() {
    let mut bytes = Vec::new();
    ToKeeper::Spawn(Box::new(request())).encode(&mut bytes);
    for length in 1..bytes.len() {
        let mut got: Vec<ToKeeper> = Vec::new();
        assert_eq!(decode_all(&bytes[..length], VecDeque::new(), &mut got), Err(Malformed));
    }
}

#[test]
fn a_changed_byte_is_never_a_panic() {
    let mut bytes = Vec::new();
    ToKeeper::Spawn(Box::new(request())).encode(&mut bytes);
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut changed = bytes.clone();
            changed[at] = value;
            let mut got: Vec<ToKeeper> = Vec::new();
            let _ = decode_all(&changed, VecDeque::new(), &mut got);
        }
    }
}

#[test]
fn a_run_number_that_nobody_ever_gave_is_malformed() {
    for (run, taken) in
        [(RunId::LAST, true), (RunId(RunId::LAST.0 + 1), false), (RunId(u64::MAX), false)]
    {
        let mut bytes = Vec::new();
        let worker = WorkerId::new("web").unwrap();
        FromKeeper::Pending { run, worker }.encode(&mut bytes);
        let mut got: Vec<FromKeeper> = Vec::new();
        assert_eq!(decode_all(&bytes, VecDeque::new(), &mut got).is_ok(), taken, "{run}");
    }
}
