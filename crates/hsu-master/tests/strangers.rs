//! Strangers: whoever gets the PID of an ended worker is neither signalled nor adopted.
//!
//! Each stranger is started at the very PID, and leads the very process group, that
//! a worker had a moment before, while masters and keepers are killed and the PID
//! files name the stranger. PIDs come round fast where the kernel lets a sandbox
//! have its own limit.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use hsu_testkit::binaries::binary;
use hsu_testkit::{Fleet, FleetBuilder, Process, Role, Sandbox, TestError, Worker, eventually};
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(40);
const ROUNDS: u32 = 32;
/// The largest PID inside.
const MOST_PIDS: u32 = 600;

/// A process that is nobody's worker, and notes every signal.
struct Stranger {
    process: Process,
    signals: PathBuf,
}

impl Stranger {
    /// Starts one at the PID of an ended worker, unless somebody was faster: then
    /// it has another PID.
    fn seat(sandbox: &Sandbox, worker: &Process, number: u32) -> Self {
        let pid = worker.pid;
        eventually("the worker is reaped", SOON, || {
            let holder = sandbox.process(pid).map_err(|error| error.to_string())?;
            let holder = holder.filter(|process| process.started_at == worker.started_at);
            holder.map_or(Ok(()), |process| Err(format!("{process:?}")))
        })
        .unwrap();
        let signals = sandbox.folder().join(format!("signals-{number}"));
        let line = format!(
            "echo {} > /proc/sys/kernel/ns_last_pid; \
             setsid \"$0\" --signal-log '{}' > /dev/null 2>&1 & echo $!",
            pid - 1,
            signals.display()
        );
        let dummy = binary("hsu-dummy").unwrap();
        let mut shell = sandbox.command("/bin/sh");
        let output = shell.args(["-c", &line]).arg(dummy).output().unwrap();
        let pid: u32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        let process = eventually("the stranger has come", SOON, || {
            let found = sandbox.process(pid).map_err(|error| error.to_string())?;
            found.filter(|process| process.name() == "hsu-dummy").ok_or_else(|| pid.to_string())
        });
        Self { process: process.unwrap(), signals }
    }

    /// It lives, runs and was never signalled.
    fn check(&self) {
        let noted = fs::read_to_string(&self.signals).unwrap_or_default();
        assert_eq!(noted, "", "signals to {:?}", self.process);
        assert!(self.process.is_alive(), "{:?} was killed", self.process);
    }
}

fn running(fleet: &Fleet<'_>, strangers: &[Stranger]) -> u32 {
    let view = fleet.wait_until("target", "running", SOON, |view| {
        let is_stranger = |pid| strangers.iter().any(|stranger| stranger.process.pid == pid);
        assert!(!view.pid().is_some_and(is_stranger), "adopted: {view:?}");
        view.state() == "running" && view.pid().is_some()
    });
    view.unwrap().pid().unwrap()
}

/// Ends the worker in one of four ways and gives its PID to a stranger, whom the
/// PID files name before the next master reads them.
fn one_round(
    fleet: &Fleet<'_>,
    sandbox: &Sandbox,
    strangers: &[Stranger],
    round: u32,
) -> (Stranger, bool) {
    let pid = running(fleet, strangers);
    let worker = sandbox.process(pid).unwrap().unwrap();
    match round % 4 {
        0 => worker.signal(Signal::KILL).unwrap(),
        1 => {
            fleet.kill(Role::Master).unwrap();
            worker.signal(Signal::KILL).unwrap();
        }
        2 => {
            fleet.kill(Role::Keeper).unwrap();
            worker.signal(Signal::KILL).unwrap();
        }
        _ => {
            fleet.tell(&["stop", "target"]).unwrap();
            fleet.kill(Role::Master).unwrap();
        }
    }
    let stranger = Stranger::seat(sandbox, &worker, round);
    for name in ["target", "churn"] {
        let file = fleet.base().join(format!("{name}.pid"));
        fs::write(file, format!("{}\n", stranger.process.pid)).unwrap();
    }
    if round % 8 >= 4 {
        // Without a keeper nobody would start a master: both lost at once is a known limit.
        let keeper = || {
            let players = fleet.players(Role::Keeper).map_err(|error| error.to_string())?;
            if players.is_empty() { Err("no keeper".to_owned()) } else { Ok(()) }
        };
        eventually("there is a keeper", SOON, keeper).unwrap();
        fleet.kill(Role::Master).unwrap();
    }
    let told = || fleet.tell(&["start", "target"]).map_err(|error| error.to_string());
    eventually("the worker is started", SOON, told).unwrap();
    let is_seated = stranger.process.pid == pid;
    (stranger, is_seated)
}

#[test]
fn a_stranger_with_the_pid_of_an_ended_worker_is_never_signalled_nor_adopted() {
    let sandbox = Sandbox::new().unwrap();
    match sandbox.limit_pids(MOST_PIDS) {
        // Before Linux 6.14 the limit is the host's: only the PIDs of the target are reused.
        Ok(()) | Err(TestError::NoNamespace { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    let target = Worker::new("target", binary("hsu-dummy").unwrap())
        .arguments(["--fork-family", "--ignore-term"])
        .grace(Duration::from_millis(20));
    let churn = Worker::new("churn", "/bin/sh").arguments(["-c", "sleep 0.02 & wait; exit 1"]);
    let mut fleet = FleetBuilder::new(&sandbox).worker(target).worker(churn).start().unwrap();
    let (mut strangers, mut seated) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        let (stranger, is_seated) = one_round(&fleet, &sandbox, &strangers, round);
        seated += u32::from(is_seated);
        strangers.push(stranger);
        running(&fleet, &strangers);
        strangers.iter().for_each(Stranger::check);
    }
    assert!(seated > ROUNDS / 2, "only {seated} strangers got the PID of a worker");
    fleet.tell(&["stop", "target"]).unwrap();
    for master in fleet.players(Role::Master).unwrap() {
        master.signal(Signal::TERM).unwrap();
    }
    eventually("only strangers are left", SOON, || {
        let left = sandbox.processes().map_err(|error| error.to_string())?.len();
        if left == strangers.len() { Ok(()) } else { Err(format!("{left} processes")) }
    })
    .unwrap();
    for stranger in &strangers {
        stranger.check();
        stranger.process.signal(Signal::KILL).unwrap();
    }
    fleet.stop(SOON).unwrap();
}
