//! Cost: what a master takes of the CPUs for looking after workers that do nothing, and how
//! long it takes the next one to look after them.
//!
//! Time is that of the scheduler's own clock, thread by thread, so that a busy machine
//! makes the run longer and not the figures larger.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::binaries::binary;
use crate::error::TestError;
use crate::fleet::{Fleet, FleetBuilder, Role, Worker};
use crate::patience::eventually;
use crate::ports::free_port;
use crate::process::Process;
use crate::sandbox::Sandbox;

const START_LIMIT: Duration = Duration::from_secs(300);

/// What each worker is checked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// Nothing.
    None,
    /// One HTTP question each ten seconds.
    Http,
    /// One TCP connection each ten seconds.
    Tcp,
}

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Workers, each of one process that sleeps.
    pub workers: u32,
    /// Whether they have limits, looked at every ten seconds and remembered every thirty.
    pub limits: bool,
    /// How they are checked.
    pub checks: Checks,
    /// Whether they fail at once, and their breakers stay open.
    pub tripped: bool,
    /// Which cgroups hold them, as `master.cgroups` says it.
    pub cgroups: &'static str,
    /// How long nothing is measured after the start.
    pub settle: Duration,
    /// How long it is measured.
    pub span: Duration,
}

/// CPU time of one role, in milliseconds per second, by the names of its threads.
#[derive(Debug)]
pub struct Share {
    /// Which role.
    pub role: Role,
    /// The threads that took any.
    pub threads: BTreeMap<String, f64>,
}

impl Share {
    /// All its threads together.
    #[must_use]
    pub fn total(&self) -> f64 {
        // The sum of nothing is -0.0.
        self.threads.values().fold(0.0, |sum, share| sum + share)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {:.2} ms of CPU a second", self.role, self.total())?;
        for (thread, share) in &self.threads {
            write!(f, "; {thread} {share:.2}")?;
        }
        Ok(())
    }
}

impl Cost {
    /// Starts everything, waits and measures.
    ///
    /// # Errors
    /// [`TestError`] when the fleet does not start or stop.
    pub fn run(&self) -> Result<Vec<Share>, TestError> {
        let sandbox = Sandbox::new()?;
        let port = free_port()?;
        let option = if self.checks == Checks::Tcp { "--tcp-port" } else { "--health-port" };
        let mut server = sandbox.command(binary("hsu-dummy")?);
        server.args([option, &port.to_string()]);
        let mut server = server.spawn().map_err(TestError::io("start a server"))?;
        let mut fleet = self.start(&sandbox, port)?;
        std::thread::sleep(self.settle);
        let players = |fleet: &Fleet<'_>| -> Result<Vec<(Role, Process)>, TestError> {
            let all = Role::ALL.into_iter().map(|role| {
                let players = fleet.players(role)?;
                Ok(players.into_iter().map(move |player| (role, player)))
            });
            Ok(all.collect::<Result<Vec<_>, TestError>>()?.into_iter().flatten().collect())
        };
        let roles = players(&fleet)?;
        let before: Vec<_> = roles.iter().map(|(_, player)| threads(player)).collect();
        let begin = Instant::now();
        std::thread::sleep(self.span);
        let seconds = begin.elapsed().as_secs_f64();
        let share = |((role, player), before): (&(Role, Process), &Threads)| {
            let mut shares = BTreeMap::new();
            for (thread, (name, time)) in threads(player) {
                let then = before.get(&thread).map_or(Duration::ZERO, |(_, time)| *time);
                let used = time.saturating_sub(then).as_secs_f64() * 1000.0 / seconds;
                if used > 0.0 {
                    *shares.entry(name).or_insert(0.0) += used;
                }
            }
            Share { role: *role, threads: shares }
        };
        let shares = roles.iter().zip(&before).map(share).collect();
        // The fleet has stopped when nobody is left: the server is none of it.
        for stranger in sandbox.processes()?.iter().filter(|one| one.name() == "hsu-dummy") {
            stranger.signal(Signal::KILL)?;
        }
        server.wait().map_err(TestError::io("await the end of the server"))?;
        fleet.stop(START_LIMIT)?;
        Ok(shares)
    }

    /// Kills the master so many times; after how long the next one told of every worker, from
    /// the shortest time to the longest.
    ///
    /// # Errors
    /// [`TestError`] when the fleet does not start or stop, or a master does not come back.
    pub fn take_over(&self, kills: u32) -> Result<Vec<Duration>, TestError> {
        let sandbox = Sandbox::new()?;
        let mut fleet = self.start(&sandbox, free_port()?)?;
        let mut times = Vec::new();
        for _ in 0..kills {
            std::thread::sleep(self.settle);
            let begin = Instant::now();
            fleet.kill(Role::Master)?;
            self.await_all(&fleet)?;
            times.push(begin.elapsed());
        }
        fleet.stop(START_LIMIT)?;
        times.sort();
        Ok(times)
    }

    fn start<'s>(&self, sandbox: &'s Sandbox, port: u16) -> Result<Fleet<'s>, TestError> {
        let mut builder = FleetBuilder::new(sandbox).master("cgroups", self.cgroups);
        for number in 0..self.workers {
            builder = builder.worker(self.worker(number, port));
        }
        let fleet = builder.start()?;
        self.await_all(&fleet)?;
        Ok(fleet)
    }

    /// Waits until every worker is what it is to be.
    fn await_all(&self, fleet: &Fleet<'_>) -> Result<(), TestError> {
        let state = if self.tripped { "tripped" } else { "running" };
        eventually(&format!("every worker is {state}"), START_LIMIT, || {
            let workers = fleet.list().map_err(|error| error.to_string())?;
            let there = workers.iter().filter(|view| view.state() == state).count();
            let all = usize::try_from(self.workers).unwrap_or(usize::MAX);
            if there == all { Ok(()) } else { Err(there.to_string()) }
        })
    }

    fn worker(&self, number: u32, port: u16) -> Worker {
        let name = format!("w-{number}");
        if self.tripped {
            return Worker::new(&name, "/bin/false").retries(1, Duration::ZERO);
        }
        let mut worker = Worker::new(&name, "/bin/sleep").arguments(["1000000".to_owned()]);
        if self.limits {
            let limits = json!({
                "memory": {"max_rss": "100MB"},
                "cpu": {"max_percent": 100},
                "process": {"max_processes": 10},
            });
            worker = worker.set("limits", limits);
        }
        let address = format!("127.0.0.1:{port}");
        let kind = match self.checks {
            Checks::None => return worker,
            // Each asks for a page of its own: equal checks would share one answer.
            Checks::Http => {
                json!({"type": "http", "http": {"url": format!("http://{address}/{number}")}})
            }
            Checks::Tcp => {
                json!({"type": "tcp", "tcp": {"address": "127.0.0.1", "port": port}})
            }
        };
        let mut check = kind;
        check["run_options"] = json!({"interval": "10s"});
        worker.managed("health_check", check)
    }
}

/// The name of each thread and the time that it has used.
type Threads = BTreeMap<String, (String, Duration)>;

fn threads(process: &Process) -> Threads {
    let folder = format!("/proc/{}/task", process.outer_pid);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let one = |entry: fs::DirEntry| {
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        // Source: kernel, scheduler/sched-stats.rst: time on a CPU, in nanoseconds.
        let text = fs::read_to_string(entry.path().join("schedstat")).ok()?;
        let time = Duration::from_nanos(text.split(' ').next()?.parse().ok()?);
        let number = entry.file_name().to_string_lossy().into_owned();
        Some((number, (name.trim().to_owned(), time)))
    };
    entries.filter_map(one).collect()
}
