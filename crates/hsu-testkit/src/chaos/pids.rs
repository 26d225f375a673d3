//! PIDs: in a namespace with few of them, where a PID is another's a moment later,
//! no stranger is signalled and none is taken for a worker.
//!
//! Promise R6. A crowd of strangers takes every PID that becomes free, while
//! workers are stopped and killed, roles are killed, and now and then everything
//! dies at once and its inventory is read when the PIDs in it are strangers'.

use std::time::Duration;

use rustix::process::Signal;

use super::report::Times;
use super::roles::kill_and_recover;
use super::strangers::Strangers;
use super::{Load, RECOVERY_LIMIT, Random, Report};
use crate::error::TestError;
use crate::fleet::{Fleet, FleetBuilder, Role, Worker};
use crate::patience::eventually;
use crate::process::Process;
use crate::sandbox::Sandbox;

/// The largest PID. The kernel gives those below 300 only once, so a hundred are left.
const LARGEST: u32 = 400;
/// The births that make every free PID another's.
const BIRTHS_OF_A_ROUND: u64 = 150;

/// How many kills, among how many workers and strangers.
#[derive(Clone, Debug)]
pub struct Pids {
    /// How many ends of workers and roles are brought about.
    pub kills: u32,
    /// Workers that are stopped and killed.
    pub workers: u32,
    /// Strangers that live at the same time.
    pub strangers: u32,
    /// The longest time between two kills.
    pub pause: Duration,
    /// What all chance comes from.
    pub seed: u64,
}

/// What was done so far.
#[derive(Debug, Default)]
struct Course {
    kills: u32,
    disasters: u32,
    recoveries: Times,
    findings: Vec<String>,
}

impl Pids {
    /// Runs the campaign in a sandbox of its own.
    ///
    /// # Errors
    /// [`TestError::NoNamespace`] before Linux 6.14, where the number of PIDs
    /// cannot be limited; else when the fleet does not start, come back or stop.
    pub fn run(&self) -> Result<Report, TestError> {
        let sandbox = Sandbox::new()?;
        let mut loaded = Load::none().start(&sandbox, |builder| self.add_workers(builder))?;
        sandbox.limit_pids(LARGEST)?;
        let strangers = Strangers::gather(&sandbox, self.strangers)?;
        let mut random = Random::new(self.seed);
        let mut course = Course::default();
        while course.kills < self.kills {
            std::thread::sleep(random.up_to(self.pause));
            let worker = format!("worker-{}", random.below(self.workers.try_into().unwrap_or(1)));
            match random.below(12) {
                0..3 => course.order(&loaded.fleet, &["stop", &worker], &["start", &worker])?,
                3..5 => {
                    course.order(
                        &loaded.fleet,
                        &["stop", "--force", &worker],
                        &["start", &worker],
                    )?;
                }
                5..7 => course.order(&loaded.fleet, &["restart", &worker], &[])?,
                7..9 => course.crash(&loaded.fleet, &sandbox, &worker)?,
                9 | 10 => {
                    let victim = Role::ALL[random.below(Role::ALL.len())];
                    course.kills +=
                        kill_and_recover(&loaded.fleet, victim, &mut course.recoveries)?;
                }
                _ => course.disaster(&mut loaded.fleet, &sandbox, &strangers)?,
            }
            course.compare(&loaded.fleet, &sandbox)?;
        }
        let (births, signalled) = strangers.disperse()?;
        let toll = loaded.finish()?;
        let mut findings = course.findings;
        findings.extend(signalled.iter().cloned());
        findings.extend(toll.twice.iter().cloned());
        Ok(Report {
            totals: format!(
                "{} kills, {} times of everything at once; strangers {births} signalled {}; \
                 findings {}; answers again after {}",
                course.kills,
                course.disasters,
                signalled.len(),
                findings.len(),
                course.recoveries
            ),
            findings,
        })
    }

    fn add_workers<'a>(
        &self,
        mut builder: FleetBuilder<'a>,
    ) -> Result<FleetBuilder<'a>, TestError> {
        let dummy = crate::binaries::binary("hsu-dummy")?;
        for number in 0..self.workers {
            // A third has relatives that outlive it, a third ends only by SIGKILL.
            let manner = ["--fork-family", "--ignore-term", "--echo-env"];
            let manner = manner[usize::try_from(number).unwrap_or(0) % manner.len()];
            let worker = Worker::new(&format!("worker-{number}"), &dummy)
                .arguments([manner.to_owned()])
                .grace(Duration::from_millis(100));
            builder = builder.worker(worker);
        }
        Ok(builder)
    }
}

impl Course {
    /// Ends a worker by an order; another one may bring it back.
    fn order(&mut self, fleet: &Fleet<'_>, end: &[&str], begin: &[&str]) -> Result<(), TestError> {
        insist(fleet, end)?;
        self.kills += 1;
        if begin.is_empty() { Ok(()) } else { insist(fleet, begin) }
    }

    /// A worker ends by itself, and is started again.
    fn crash(&mut self, fleet: &Fleet<'_>, sandbox: &Sandbox, id: &str) -> Result<(), TestError> {
        let view = fleet.wait_for(id, "running", RECOVERY_LIMIT)?;
        if let Some(process) = view.pid().map(|pid| sandbox.process(pid)).transpose()?.flatten()
            && is_worker(&process, id)
        {
            // It may have ended meanwhile.
            self.kills += u32::from(process.signal(Signal::KILL).is_ok());
        }
        Ok(())
    }

    /// Everything of the fleet is killed at once. When a master comes again, the
    /// PIDs of its inventory belong to strangers.
    fn disaster(
        &mut self,
        fleet: &mut Fleet<'_>,
        sandbox: &Sandbox,
        strangers: &Strangers<'_>,
    ) -> Result<(), TestError> {
        let is_of_fleet = |process: &Process| {
            let is_role = Role::ALL.iter().any(|role| role.is_played_by(process));
            is_role || process.variable("HSU_WORKER_ID").is_some()
        };
        eventually("everything of the fleet is dead", RECOVERY_LIMIT, || {
            let all = sandbox.processes().map_err(|error| error.to_string())?;
            let left: Vec<_> =
                all.into_iter().filter(|one| !one.is_zombie() && is_of_fleet(one)).collect();
            for process in &left {
                self.kills += u32::from(process.signal(Signal::KILL).is_ok());
            }
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        })?;
        let enough = strangers.births() + BIRTHS_OF_A_ROUND;
        eventually("every PID is a stranger's", RECOVERY_LIMIT, || {
            let births = strangers.births();
            if births >= enough { Ok(()) } else { Err(format!("{births} of {enough} births")) }
        })?;
        self.disasters += 1;
        fleet.launch()
    }

    /// Whoever the master says is a worker must be one.
    fn compare(&mut self, fleet: &Fleet<'_>, sandbox: &Sandbox) -> Result<(), TestError> {
        let told = |fleet: &Fleet<'_>| -> Result<Vec<(String, Option<u32>)>, TestError> {
            Ok(fleet.list()?.iter().map(|view| (view.id().to_owned(), view.pid())).collect())
        };
        let before = told(fleet)?;
        let processes = sandbox.processes()?;
        let after = told(fleet)?;
        // What changed meanwhile is looked at another time.
        for (id, pid) in before.iter().filter(|one| after.contains(one)) {
            let process = processes.iter().find(|process| Some(process.pid) == *pid);
            if let Some(process) = process.filter(|one| !one.is_zombie() && !is_worker(one, id)) {
                self.findings.push(format!("{id} is said to be {process:?}"));
            }
        }
        Ok(())
    }
}

fn is_worker(process: &Process, id: &str) -> bool {
    // It may have ended since it was read, or be about to become the worker.
    !process.is_alive()
        || process.variable("HSU_WORKER_ID").is_none_or(|name| name == id)
            && !process.name().ends_with("sleep")
}

/// Repeats an order until it is done: a fleet with few PIDs may lack one for a moment.
fn insist(fleet: &Fleet<'_>, words: &[&str]) -> Result<(), TestError> {
    eventually("the order is done", RECOVERY_LIMIT, || {
        fleet.tell(words).map(drop).map_err(|error| error.to_string())
    })
}
