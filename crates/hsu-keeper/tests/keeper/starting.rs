//! Starting: one or many at once, captured or not, and how long it takes.

use std::ffi::CString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hsu_keeper::{Capture, FromKeeper, SpawnRequest, ToKeeper};
use hsu_model::exit::Exit;
use hsu_model::id::RunId;

use crate::fixture::{Folder, eventually, kill, request, shell, sleeper, text, worker};
use crate::isolation::isolated;

#[test]
fn the_same_order_twice_is_one_start() {
    isolated("starting::the_same_order_twice_is_one_start", || {
        let folder = Folder::new();
        let mut master = folder.master();
        master.spawn(sleeper(1));
        master.spawn(sleeper(1));
        let pid = master.started(1);
        master.spawn(sleeper(1));
        assert_eq!(master.inventory(), [(1, pid)]);
    });
}

#[test]
fn captured_streams_are_kept_apart_and_reach_their_spools() {
    isolated("starting::captured_streams_are_kept_apart_and_reach_their_spools", || {
        let folder = Folder::new();
        let mut master = folder.master();
        let both = Capture { stdout: true, stderr: true };
        let line = "echo out; echo err >&2; printf last";
        master.spawn(SpawnRequest { capture: both, worker: worker("both"), ..shell(1, line) });
        let quiet = SpawnRequest { worker: worker("quiet"), ..shell(2, line) };
        master.spawn(quiet);
        master.exited(1);
        master.exited(2);
        eventually("the spools are filled", || {
            let (out, err) = (folder.spooled("both", "stdout"), folder.spooled("both", "stderr"));
            // The pump ends the last line of a run.
            (out == b"out\nlast\n" && err == b"err\n").then_some(())
        });
        assert!(!folder.plan().spools.join("quiet").exists(), "nobody asked for that");
    });
}

#[test]
fn the_start_time_that_is_told_is_the_kernels() {
    isolated("starting::the_start_time_that_is_told_is_the_kernels", || {
        let folder = Folder::new();
        let mut master = folder.master();
        // Over several clock ticks, so that some starts are beside the beginning of one.
        for run in 1..=300 {
            master.queue_spawn(sleeper(run));
        }
        master.flush();
        for wanted in 1..=300 {
            let process = master.expect("start", |message| match message {
                FromKeeper::Spawned { run, process, .. } if run.0 == wanted => Ok(process),
                other => Err(other),
            });
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap();
            let (_, fields) = stat.rsplit_once(") ").unwrap();
            let started_at = fields.split(' ').nth(19).unwrap();
            assert_eq!(process.started_at.to_string(), started_at, "run {wanted}");
        }
    });
}

/// A cgroup of version 2 of our own; none where none can be made.
struct Cgroup(PathBuf);

impl Cgroup {
    fn make() -> Option<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
        let folder = format!("{}/hsu-born-{}", mount.split(' ').nth(4)?, std::process::id());
        std::fs::create_dir(&folder).ok().map(|()| Self(PathBuf::from(folder)))
    }

    fn name(&self) -> CString {
        text(self.0.to_str().unwrap())
    }

    fn processes(&self) -> String {
        std::fs::read_to_string(self.0.join("cgroup.procs")).unwrap()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        std::fs::write(self.0.join("cgroup.kill"), "1").unwrap();
        eventually("the cgroup is gone", || std::fs::remove_dir(&self.0).ok());
    }
}

#[test]
fn a_worker_is_born_in_its_cgroup_and_without_one_all_the_same() {
    isolated("starting::a_worker_is_born_in_its_cgroup_and_without_one_all_the_same", || {
        let folder = Folder::new();
        let mut master = folder.master();
        let mut start = |run: u64, cgroup: CString| {
            let line = "sleep 1000 & wait";
            master.spawn(SpawnRequest { cgroup: Some(cgroup), ..shell(run, line) });
            master.expect("start", |message| match message {
                FromKeeper::Spawned { process, is_enclosed, .. } => Ok((process.pid, is_enclosed)),
                other => Err(other),
            })
        };
        let (_, is_enclosed) = start(1, text("/nowhere"));
        assert!(!is_enclosed);
        // Not every host lets us make one.
        let Some(cgroup) = Cgroup::make() else { return };
        let (pid, is_enclosed) = start(2, cgroup.name());
        assert!(is_enclosed);
        eventually("parent and child are in it", || {
            let processes = cgroup.processes();
            let has_parent = processes.lines().any(|line| line == pid.to_string());
            (has_parent && processes.lines().count() == 2).then_some(())
        });
        drop(cgroup);
        master.exited(2);
    });
}

#[test]
fn a_burst_of_a_thousand_starts_and_ends() {
    isolated("starting::a_burst_of_a_thousand_starts_and_ends", || {
        let folder = Folder::new();
        let mut master = folder.master();
        let begin = Instant::now();
        for run in 1..=1000 {
            master.queue_spawn(request(run, &["/bin/true"]));
        }
        master.flush();
        for run in 1..=1000 {
            master.exited(run);
            master.link.queue(ToKeeper::Acknowledge { run: RunId(run) });
        }
        println!("1,000 starts and ends in {:?}", begin.elapsed());
        master.flush();
        assert_eq!(master.inventory(), []);
    });
}

#[test]
fn each_of_two_hundred_instant_exits_is_told_once_and_after_its_start() {
    isolated(
        "starting::each_of_two_hundred_instant_exits_is_told_once_and_after_its_start",
        || {
            let folder = Folder::new();
            let mut master = folder.master();
            let code = |run: u64| i32::try_from(run % 250).unwrap();
            for run in 1..=200 {
                master.queue_spawn(shell(run, &format!("exit {}", code(run))));
            }
            master.flush();
            // Everything that is ever said, in its order.
            let mut said = Vec::new();
            let is_exit = |message: &&FromKeeper| matches!(message, FromKeeper::Exited { .. });
            eventually("two hundred exits", || {
                master.hear(Duration::from_millis(10));
                said.append(&mut master.heard);
                (said.iter().filter(is_exit).count() >= 200).then_some(())
            });
            for run in 1..=200 {
                master.link.queue(ToKeeper::Acknowledge { run: RunId(run) });
            }
            assert_eq!(master.inventory(), [], "all of them are forgotten");
            said.append(&mut master.heard);
            for wanted in 1..=200 {
                let of_run: Vec<_> = said
                    .iter()
                    .filter_map(|message| match message {
                        FromKeeper::Spawned { run, .. } if run.0 == wanted => Some(None),
                        FromKeeper::Exited { run, exit, .. } if run.0 == wanted => {
                            Some(Some(*exit))
                        }
                        _ => None,
                    })
                    .collect();
                assert_eq!(of_run, [None, Some(Exit::Code(code(wanted)))], "run {wanted}");
            }
            assert_eq!(said.len(), 400, "nothing else was said");
        },
    );
}

/// Kills a worker and starts the next as soon as its end is told; the half and
/// the hundredth part that take longest take at least this long.
fn measure_restarts(capture: Capture, name: &str) {
    let folder = Folder::new();
    let mut master = folder.master();
    let next = |run| SpawnRequest { capture, ..sleeper(run) };
    master.spawn(next(1));
    let mut pid = master.started(1);
    let mut spans = Vec::new();
    for run in 2..=1001 {
        let begin = Instant::now();
        kill(pid, libc::SIGKILL);
        master.exited(run - 1);
        master.link.queue(ToKeeper::Acknowledge { run: RunId(run - 1) });
        master.spawn(next(run));
        pid = master.started(run);
        spans.push(begin.elapsed());
    }
    spans.sort();
    println!("{name}: half {:?}, one in a hundred {:?}", spans[500], spans[990]);
}

#[test]
#[ignore = "measures the path from an end to the next start, 1,000 times each"]
fn an_end_is_followed_by_the_next_start() {
    isolated("starting::an_end_is_followed_by_the_next_start", || {
        for _ in 0..3 {
            measure_restarts(Capture::default(), "not captured");
            measure_restarts(Capture { stdout: true, stderr: true }, "captured");
        }
    });
}
