//! Refusing: starts that cannot be, and what becomes of the others.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;

use hsu_keeper::{Capture, FromKeeper, Identity, Program, SpawnRequest, Stage, ToKeeper};
use hsu_model::execution::{Resource, ResourceLimit};
use hsu_model::id::RunId;

use crate::fixture::{EXECUTABLE, Folder, eventually, kill, request, sleeper, text};
use crate::isolation::{is_root, isolated};

#[test]
fn a_start_that_fails_tells_the_stage_and_the_reason() {
    isolated("refusing::a_start_that_fails_tells_the_stage_and_the_reason", || {
        let folder = Folder::new();
        let mut master = folder.master();
        let script = folder.0.join("no-interpreter");
        fs::write(&script, "exit 0\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let script = script.to_str().unwrap();
        for (run, program, errno) in [
            (1, "/no/such/program", libc::ENOENT),
            (2, "/etc/passwd", libc::EACCES),
            (3, "/usr", libc::EACCES),
            (4, script, libc::ENOEXEC),
        ] {
            master.spawn(request(run, &[program]));
            assert_eq!(master.failed(run), (Stage::Execute, errno), "{program}");
        }
        let mut lost = sleeper(5);
        lost.program.cwd = text("/no/such/folder");
        master.spawn(lost);
        assert_eq!(master.failed(5), (Stage::Directory, libc::ENOENT));
        let limit = ResourceLimit { resource: Resource::OpenFiles, soft: 9, hard: 8 };
        master.spawn(SpawnRequest { rlimits: vec![limit], ..sleeper(6) });
        assert_eq!(master.failed(6), (Stage::Limits, libc::EINVAL));
        assert_eq!(master.inventory(), [], "nothing of it is held");
        let identity = Some(Identity { uid: 1234, gid: 1234, groups: vec![] });
        let mut hidden = SpawnRequest { identity, ..sleeper(7) };
        hidden.program.cwd = text("/root");
        if is_root() && fs::metadata("/root").unwrap().permissions().mode() & 0o7 == 0 {
            master.spawn(hidden);
            let refused = (Stage::Directory, libc::EACCES);
            assert_eq!(master.failed(7), refused, "entered as the user");
        }
    });
}

/// A worker of another user.
fn someone(run: u64, uid: u32, gid: u32, groups: &[u32]) -> SpawnRequest {
    let identity = Identity { uid, gid, groups: groups.to_vec() };
    SpawnRequest { identity: Some(identity), ..sleeper(run) }
}

#[test]
fn numbers_that_are_no_user_are_refused_and_never_mean_ourselves() {
    isolated("refusing::numbers_that_are_no_user_are_refused_and_never_mean_ourselves", || {
        let folder = Folder::new();
        let mut master = folder.master();
        // For the kernel, the last number leaves the user as it is: root.
        for (run, uid, gid, groups) in [
            (1, u32::MAX, 1234, &[][..]),
            (2, 1234, u32::MAX, &[][..]),
            (3, 1234, 1234, &[u32::MAX][..]),
        ] {
            master.spawn(someone(run, uid, gid, groups));
            let (stage, errno) = master.failed(run);
            assert_eq!(stage, Stage::Identity, "{uid} {gid} {groups:?}");
            // Whoever may not take groups at all hears of that first.
            assert!(errno == libc::EINVAL || !is_root() && errno == libc::EPERM, "{errno}");
        }
        assert_eq!(master.inventory(), []);
    });
}

#[test]
fn a_keeper_without_privilege_starts_its_own_user_and_no_other() {
    isolated("refusing::a_keeper_without_privilege_starts_its_own_user_and_no_other", || {
        if !is_root() {
            return println!("not tried: only root can become another user");
        }
        let folder = Folder::new();
        let executable = folder.0.join("hsu-keeper");
        fs::copy(EXECUTABLE, &executable).unwrap();
        for path in [&folder.0, &folder.plan().runtime, &folder.plan().spools] {
            chown(path, Some(1234), Some(1234)).unwrap();
        }
        folder.command(&executable).uid(1234).gid(1234).current_dir("/").spawn().unwrap();
        let mut master = folder.connect(Program::default());
        master.spawn(sleeper(1));
        master.started(1);
        // Groups cannot be taken, but nothing is gained by keeping one's own.
        master.spawn(someone(2, 1234, 1234, &[10]));
        master.started(2);
        for (run, uid, gid) in [(3, 0, 0), (4, 2345, 1234), (5, 1234, 2345)] {
            master.spawn(someone(run, uid, gid, &[]));
            assert_eq!(master.failed(run), (Stage::Identity, libc::EPERM), "{uid} {gid}");
        }
        master.spawn(SpawnRequest { nice: Some(-5), ..sleeper(6) });
        assert_eq!(master.failed(6), (Stage::Nice, libc::EACCES));
        let files = ResourceLimit { resource: Resource::OpenFiles, soft: 1, hard: 1 << 40 };
        master.spawn(SpawnRequest { rlimits: vec![files], ..sleeper(7) });
        assert_eq!(master.failed(7), (Stage::Limits, libc::EPERM));
        assert_eq!(master.inventory().len(), 2);
    });
}

#[test]
fn an_environment_of_a_megabyte_arrives() {
    isolated("refusing::an_environment_of_a_megabyte_arrives", || {
        let folder = Folder::new();
        let mut master = folder.master();
        let mut large = sleeper(1);
        let variable = |number| text(&format!("V{number}={}", "x".repeat(100_000)));
        large.program.env.extend((0..10).map(variable));
        master.spawn(large);
        master.spawn(sleeper(2));
        let pid = master.started(1);
        eventually("all of it is there", || {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap();
            (environ.len() > 1_000_000).then_some(())
        });
        master.started(2);
    });
}

#[test]
fn more_than_the_kernel_gives_a_program_is_refused_and_the_link_stands() {
    isolated(
        "refusing::more_than_the_kernel_gives_a_program_is_refused_and_the_link_stands",
        || {
            let folder = Folder::new();
            let mut master = folder.master();
            // One text of more than 128 KB; texts of more than 6 MB together.
            for (run, texts, length) in [(1, 1, 200_000), (2, 80, 100_000), (3, 400, 100_000)] {
                let mut large = sleeper(run);
                let variable = |number| text(&format!("V{number}={}", "x".repeat(length)));
                large.program.env.extend((0..texts).map(variable));
                master.spawn(large);
                assert_eq!(
                    master.failed(run),
                    (Stage::Execute, libc::E2BIG),
                    "{texts} of {length}"
                );
            }
            master.spawn(sleeper(4));
            let pid = master.started(4);
            assert_eq!(master.inventory(), [(4, pid)]);
        },
    );
}

#[test]
fn without_free_descriptors_starts_fail_and_everything_else_goes_on() {
    isolated("refusing::without_free_descriptors_starts_fail_and_everything_else_goes_on", || {
        let folder = Folder::new();
        let limit = libc::rlimit { rlim_cur: 192, rlim_max: 192 };
        let mut command = folder.command(EXECUTABLE);
        let set = move || {
            // SAFETY: the structure outlives the call.
            unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
            Ok(())
        };
        // SAFETY: nothing but one system call happens in between.
        unsafe { command.pre_exec(set) }.spawn().unwrap();
        let mut master = folder.connect(Program::default());
        let capture = Capture { stdout: true, stderr: true };
        for run in 1..=60 {
            master.spawn(SpawnRequest { capture, ..sleeper(run) });
            let errno = master.expect("answer", |message| match message {
                FromKeeper::Spawned { .. } => Ok(0),
                FromKeeper::SpawnFailed { errno, .. } => Ok(errno),
                other => Err(other),
            });
            assert!(errno == 0 || errno == libc::EMFILE, "{errno}");
        }
        let held = master.inventory();
        assert!(held.len() < 60, "there is room for all of them");
        assert!(held.len() > 5, "some were started: {}", held.len());
        assert_eq!(folder.connect(Program::default()).inventory().len(), held.len());
        let mut master = folder.connect(Program::default());
        for (run, pid) in held {
            kill(pid, libc::SIGKILL);
            master.exited(run);
        }
    });
}

#[test]
#[ignore = "starts 4,096 processes"]
fn a_full_table_refuses_another_start_and_takes_one_when_there_is_room() {
    let name = "refusing::a_full_table_refuses_another_start_and_takes_one_when_there_is_room";
    isolated(name, || {
        let folder = Folder::new();
        let mut master = folder.master();
        for run in 1..=4096 {
            master.queue_spawn(sleeper(run));
        }
        master.flush();
        let first = master.started(1);
        master.started(4096);
        master.spawn(sleeper(5000));
        assert_eq!(master.failed(5000), (Stage::Resources, libc::ENOBUFS));
        kill(first, libc::SIGKILL);
        master.exited(1);
        master.say(ToKeeper::Acknowledge { run: RunId(1) });
        master.spawn(sleeper(5001));
        master.started(5001);
    });
}

#[test]
fn whoever_starts_it_by_hand_is_told_what_it_is() {
    let said = |word: Option<&str>| {
        let program = env!("CARGO_BIN_EXE_hsu-keeper");
        let output = std::process::Command::new(program).args(word).output().unwrap();
        let words = [output.stdout, output.stderr].map(|words| String::from_utf8(words).unwrap());
        (output.status.code(), words)
    };
    let (code, [out, err]) = said(Some("--help"));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("started by hsu-master, never by hand"), "{out}");
    let (code, [out, _]) = said(Some("--version"));
    assert_eq!((code, out.trim()), (Some(0), concat!("hsu-keeper ", env!("CARGO_PKG_VERSION"))));
    for word in [None, Some("dance")] {
        let (code, [out, err]) = said(word);
        assert_eq!((code, out.as_str()), (Some(1), ""));
        assert!(err.contains("never by hand"), "{err}");
    }
}
