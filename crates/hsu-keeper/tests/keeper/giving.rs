//! Giving: what a worker is given, and what it is not.

use std::fs;
use std::os::unix::process::CommandExt as _;

use hsu_keeper::{Identity, Program, SpawnRequest};
use hsu_model::execution::{Resource, ResourceLimit};

use crate::fixture::{EXECUTABLE, Folder, eventually, sleeper, text};
use crate::isolation::{is_root, isolated};

/// The value of a line in `/proc/PID/status`.
fn status(pid: u32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().trim_start_matches(':').split_whitespace().collect::<Vec<_>>().join(" ")
}

fn limit(pid: u32, name: &str) -> String {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// A field of `/proc/PID/stat`, counted from the state, which is 0.
fn stat(pid: u32, field: usize) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let rest = &stat[stat.rfind(')').unwrap() + 2..];
    rest.split(' ').nth(field).unwrap().to_owned()
}

#[test]
fn a_worker_gets_exactly_what_was_asked_for() {
    isolated("giving::a_worker_gets_exactly_what_was_asked_for", || {
        let folder = Folder::new();
        let mut master = folder.master();
        master.spawn(SpawnRequest {
            umask: Some(0o27),
            nice: Some(5),
            rlimits: vec![
                ResourceLimit { resource: Resource::OpenFiles, soft: 77, hard: 99 },
                ResourceLimit { resource: Resource::Core, soft: 0, hard: u64::MAX },
            ],
            program: Program {
                executable: text("/bin/sleep"),
                args: vec![text("a name"), text("1000")],
                env: vec![text("A=b c"), text("HSU_RUN_ID=1")],
                cwd: text("/usr"),
            },
            ..sleeper(1)
        });
        let pid = master.started(1);
        let proc = |name: &str| format!("/proc/{pid}/{name}");
        eventually("it is loaded", || fs::read(proc("cmdline")).ok().filter(|line| line != b""));
        assert_eq!(fs::read(proc("cmdline")).unwrap(), b"a name\x001000\x00");
        assert_eq!(fs::read(proc("environ")).unwrap(), b"A=b c\0HSU_RUN_ID=1\0");
        assert_eq!(fs::read_link(proc("cwd")).unwrap().to_str(), Some("/usr"));
        assert_eq!(status(pid, "Umask"), "0027");
        assert_eq!(stat(pid, 16), "5", "nice");
        assert_eq!(limit(pid, "Max open files"), "77 99");
        assert_eq!(limit(pid, "Max core file size"), "0 unlimited");
        assert_eq!(stat(pid, 2), pid.to_string(), "it leads a process group");
        assert_eq!(stat(pid, 3), pid.to_string(), "and a session");
        for mask in ["SigBlk", "SigIgn"] {
            assert_eq!(status(pid, mask), "0000000000000000", "{mask}");
        }
        // While it is loaded, it has its libraries open.
        eventually("no descriptor but three", || {
            (fs::read_dir(proc("fd")).unwrap().count() == 3).then_some(())
        });
        for fd in 0..3 {
            let link = fs::read_link(proc(&format!("fd/{fd}"))).unwrap();
            assert_eq!(link.to_str(), Some("/dev/null"), "descriptor {fd}");
        }
    });
}

#[test]
fn a_worker_becomes_the_user_that_was_asked_for() {
    isolated("giving::a_worker_becomes_the_user_that_was_asked_for", || {
        if !is_root() {
            return println!("not tried: only root can become another user");
        }
        let folder = Folder::new();
        let mut master = folder.master();
        let identity = Identity { uid: 1234, gid: 2345, groups: vec![10, 2345] };
        master.spawn(SpawnRequest { identity: Some(identity), ..sleeper(1) });
        let pid = master.started(1);
        assert_eq!(status(pid, "Uid"), "1234 1234 1234 1234");
        assert_eq!(status(pid, "Gid"), "2345 2345 2345 2345");
        assert_eq!(status(pid, "Groups"), "10 2345");
        assert_eq!(status(pid, "CapEff"), "0000000000000000");
        assert_eq!(status(master.keeper, "Uid"), "0 0 0 0", "the keeper itself stays what it is");
    });
}

/// What a keeper is started with by somebody careless.
fn be_careless() -> std::io::Result<()> {
    // SAFETY: no memory is passed.
    unsafe { libc::umask(0o77) };
    // SAFETY: no memory is passed.
    unsafe { libc::dup2(0, 60) };
    for signal in (1..=64).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal)) {
        // The kernel's own structure; the C library's wrapper refuses two signals.
        let ignore = [libc::SIG_IGN as u64, 0, 0, 0];
        let none = std::ptr::null_mut::<u64>();
        // SAFETY: the structure outlives the call.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, ignore.as_ptr(), none, 8) };
    }
    let (all, none) = (u64::MAX, std::ptr::null_mut::<u64>());
    let how = libc::SIG_SETMASK;
    // SAFETY: the kernel reads eight bytes of a live variable.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const all, none, 8) };
    let limit = libc::rlimit { rlim_cur: 300, rlim_max: 4000 };
    // SAFETY: the structure outlives the call.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    Ok(())
}

#[test]
fn nothing_that_the_keeper_was_started_with_leaks_but_limits_and_umask() {
    isolated("giving::nothing_that_the_keeper_was_started_with_leaks_but_limits_and_umask", || {
        let folder = Folder::new();
        let mut command = folder.command(EXECUTABLE);
        command.env("SECRET", "of the keeper").current_dir("/usr");
        // SAFETY: nothing but system calls happens in between.
        unsafe { command.pre_exec(be_careless) }.spawn().unwrap();
        let mut master = folder.connect(Program::default());
        // One on the spot, and some by the threads.
        for run in 1..=5 {
            master.queue_spawn(sleeper(run));
        }
        master.flush();
        for run in 1..=5 {
            let pid = master.started(run);
            let proc = |name: &str| format!("/proc/{pid}/{name}");
            eventually("it is loaded", || {
                let environ = fs::read(proc("environ")).ok()?;
                (!environ.is_empty()).then_some(())
            });
            let environ = format!("PATH=/usr/bin:/bin\0HSU_RUN_ID={run}\0");
            assert_eq!(fs::read(proc("environ")).unwrap(), environ.as_bytes());
            for mask in ["SigBlk", "SigIgn", "SigPnd", "ShdPnd"] {
                assert_eq!(status(pid, mask), "0000000000000000", "{mask}");
            }
            eventually("no descriptor but three", || {
                (fs::read_dir(proc("fd")).unwrap().count() == 3).then_some(())
            });
            assert_eq!(fs::read_link(proc("cwd")).unwrap().to_str(), Some("/"));
            assert_eq!(stat(pid, 4), "0", "no terminal");
            // The keeper has raised its own limit of descriptors, not the worker's.
            assert_eq!(limit(pid, "Max open files"), "300 4000");
            assert_eq!(limit(master.keeper, "Max open files"), "4000 4000");
            assert_eq!(status(pid, "Umask"), "0077");
        }
    });
}

#[test]
fn what_only_root_may_is_done_before_the_worker_becomes_another_user() {
    isolated("giving::what_only_root_may_is_done_before_the_worker_becomes_another_user", || {
        if !is_root() {
            return println!("not tried: only root can become another user");
        }
        let folder = Folder::new();
        let mut master = folder.master();
        let all = [
            (Resource::Cpu, "Max cpu time", 1001),
            (Resource::FileSize, "Max file size", 1002),
            (Resource::Data, "Max data size", 1 << 33),
            (Resource::Stack, "Max stack size", 1 << 24),
            (Resource::Core, "Max core file size", 1003),
            (Resource::Processes, "Max processes", 104),
            (Resource::OpenFiles, "Max open files", 105),
            (Resource::LockedMemory, "Max locked memory", 1 << 15),
            (Resource::AddressSpace, "Max address space", 1 << 38),
        ];
        let rlimits = all.map(|(resource, _, value)| ResourceLimit {
            resource,
            soft: value,
            hard: value * 2,
        });
        master.spawn(SpawnRequest {
            identity: Some(Identity { uid: 1234, gid: 2345, groups: vec![] }),
            nice: Some(-5),
            umask: Some(0o777),
            rlimits: rlimits.to_vec(),
            ..sleeper(1)
        });
        let pid = master.started(1);
        for (_, name, value) in all {
            assert_eq!(limit(pid, name), format!("{value} {}", value * 2), "{name}");
        }
        assert_eq!(stat(pid, 16), "-5", "nice");
        assert_eq!(status(pid, "Umask"), "0777");
        assert_eq!(status(pid, "Uid"), "1234 1234 1234 1234");
        assert_eq!(status(pid, "Groups"), "", "not even those of the keeper");
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(status(pid, set), "0000000000000000", "{set}");
        }
    });
}
