//! Frozen: workers and roles are stopped by SIGSTOP, go on or die, and nothing is lost.
//!
//! Promise R28, as far as signals go; what the kernel itself holds is in
//! [`super::stuck`].

use std::time::Duration;

use rustix::process::Signal;

use super::commands::{Operator, Tally, add_workers};
use super::load::slot_file;
use super::report::{Times, Unknown};
use super::roles::{answers, kill_and_recover};
use super::{Load, RECOVERY_LIMIT, Random, Report};
use crate::error::TestError;
use crate::fleet::{Fleet, Role};
use crate::sandbox::Sandbox;

/// How often something is frozen, and beside what.
#[derive(Clone, Debug)]
pub struct Frozen {
    /// The roles that are frozen, each chosen at random.
    pub victims: Vec<Role>,
    /// How often a worker or a role is frozen.
    pub kills: u32,
    /// What runs meanwhile.
    pub load: Load,
    /// The longest time that a role stands still, and between two times.
    pub pause: Duration,
    /// What all chance comes from.
    pub seed: u64,
}

/// Workers that are frozen.
const WORKERS: u32 = 3;

/// What was done so far.
#[derive(Debug, Default)]
struct Course {
    thawed: u32,
    killed: u32,
    workers: u32,
    recoveries: Times,
    tally: Tally,
}

impl Frozen {
    /// Runs the campaign in a sandbox of its own.
    ///
    /// # Errors
    /// [`TestError`] when the fleet does not start, come back or stop.
    pub fn run(&self) -> Result<Report, TestError> {
        let sandbox = Sandbox::new()?;
        let loaded =
            self.load.start(&sandbox, |builder| add_workers(builder, &sandbox, WORKERS))?;
        let fleet = &loaded.fleet;
        let mut random = Random::new(self.seed);
        let mut course = Course::default();
        for _ in 0..self.kills {
            std::thread::sleep(random.up_to(self.pause));
            let still_for = random.up_to(self.pause);
            loaded.keep_up();
            match (random.below(4), random.below(self.victims.len())) {
                (0, _) => course.freeze_worker(fleet, &sandbox, random.below(3))?,
                (1, place) => {
                    let victim = self.victims[place];
                    freeze(fleet, victim, still_for)?;
                    course.killed += kill_and_recover(fleet, victim, &mut course.recoveries)?;
                }
                (_, place) => {
                    let victim = self.victims[place];
                    freeze(fleet, victim, still_for)?;
                    for player in fleet.players(victim)? {
                        player.signal(Signal::CONT)?;
                    }
                    course.thawed += 1;
                    answers(fleet)?;
                }
            }
        }
        let toll = loaded.finish()?;
        let is_keeper = self.victims.contains(&Role::Keeper);
        let unknown = if is_keeper { Unknown::Possible } else { Unknown::Never };
        let mut findings = toll.findings(unknown);
        findings.extend(course.tally.broken.iter().cloned());
        Ok(Report {
            totals: format!(
                "{} stops by SIGSTOP: roles thawed {}, roles killed {}, workers ended {}; orders \
                 done {} broken {}; {toll}; answers again after {}",
                self.kills,
                course.thawed,
                course.killed,
                course.workers,
                course.tally.done,
                course.tally.broken.len(),
                course.recoveries
            ),
            findings,
        })
    }
}

fn freeze(fleet: &Fleet<'_>, victim: Role, still_for: Duration) -> Result<(), TestError> {
    for player in fleet.players(victim)? {
        player.signal(Signal::STOP)?;
    }
    std::thread::sleep(still_for);
    Ok(())
}

impl Course {
    /// A frozen worker ends when it is told to, and its next process is no frozen one.
    fn freeze_worker(
        &mut self,
        fleet: &Fleet<'_>,
        sandbox: &Sandbox,
        number: usize,
    ) -> Result<(), TestError> {
        let id = format!("slot-{number}");
        let view = fleet.wait_for(&id, "running", RECOVERY_LIMIT)?;
        if let Some(process) = view.pid().map(|pid| sandbox.process(pid)).transpose()?.flatten() {
            process.signal(Signal::STOP)?;
        }
        let mut operator = Operator::new(fleet, &id, &slot_file(sandbox.folder(), &id));
        operator.stop_and_start(&[]);
        let tally = operator.into_tally();
        self.workers += 1;
        self.tally.done += tally.done;
        self.tally.repeated += tally.repeated;
        self.tally.broken.extend(tally.broken);
        Ok(())
    }
}
