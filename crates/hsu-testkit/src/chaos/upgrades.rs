//! Upgrades: one master takes over from another under load, back and forth, and now
//! and then one of the two or their keeper is killed on the way, or the other one is
//! no master.
//!
//! Promise R5. Two installations in two folders take turns; both are of the same
//! build, so what differs between two releases is not tried here.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::commands::{add_workers, while_ordering};
use super::report::{Times, Unknown};
use super::roles::answers;
use super::{Load, RECOVERY_LIMIT, Random, Report};
use crate::binaries::binary;
use crate::error::TestError;
use crate::fleet::{Fleet, Role};
use crate::patience::eventually;
use crate::process::Process;
use crate::sandbox::Sandbox;

/// How long a candidate that is no good may keep the old master waiting.
const ROLLBACK_LIMIT: Duration = Duration::from_secs(10);
/// The latest moment of a kill, counted from the order to upgrade.
const MIDDLE: Duration = Duration::from_millis(150);

/// How often a master is replaced, and beside what.
#[derive(Clone, Debug)]
pub struct Upgrades {
    /// How many upgrades are begun.
    pub upgrades: u32,
    /// How each of them may go, chosen at random.
    pub manners: Vec<Manner>,
    /// What runs meanwhile.
    pub load: Load,
    /// Workers that are ordered about meanwhile.
    pub slots: u32,
    /// The longest time between two upgrades.
    pub pause: Duration,
    /// What all chance comes from.
    pub seed: u64,
}

/// How one upgrade goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Nobody disturbs it.
    Orderly,
    /// Somebody who takes part is killed on the way.
    Killed(Side),
    /// The other program ends at once.
    Broken,
    /// The other program never says a word.
    Silent,
}

/// Who takes part in an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The master that serves.
    Old,
    /// The one that shall take over.
    Candidate,
    /// Both of them.
    Both,
    /// The keeper of both.
    Keeper,
}

impl Manner {
    /// Every manner, the orderly one as often as all others.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let sides = [Side::Old, Side::Candidate, Side::Both, Side::Keeper];
        let killed = sides.map(Self::Killed);
        let mut all: Vec<Self> = killed.into_iter().chain(killed).collect();
        all.extend([Self::Broken, Self::Silent]);
        all.extend([Self::Orderly; 10]);
        all
    }

    /// Whether it ends keepers.
    fn ends_keepers(self) -> bool {
        self == Self::Killed(Side::Keeper)
    }
}

/// What came of all upgrades.
#[derive(Debug, Default)]
struct Course {
    done: u32,
    refused: u32,
    kills: u32,
    recoveries: Times,
    rollbacks: Times,
    findings: Vec<String>,
}

impl Upgrades {
    /// Runs the campaign in a sandbox of its own.
    ///
    /// # Errors
    /// [`TestError`] when the fleet does not start, come back or stop.
    pub fn run(&self) -> Result<Report, TestError> {
        let sandbox = Sandbox::new()?;
        let programs = Programs::install(sandbox.folder())?;
        let loaded =
            self.load.start(&sandbox, |builder| add_workers(builder, &sandbox, self.slots))?;
        let fleet = &loaded.fleet;
        let (course, tally) = while_ordering(fleet, &sandbox, self.slots, self.seed, || {
            let mut random = Random::new(self.seed);
            let mut course = Course::default();
            for number in 0..self.upgrades {
                std::thread::sleep(random.up_to(self.pause));
                let place = random.below(self.manners.len());
                let manner = self.manners.get(place).copied().unwrap_or(Manner::Orderly);
                course.upgrade(fleet, manner, programs.of(manner, number), &mut random)?;
                loaded.keep_up();
            }
            Ok(course)
        })?;
        let toll = loaded.finish()?;
        let mut findings = toll.findings(self.unknown());
        findings.extend(course.findings);
        findings.extend(tally.broken.iter().cloned());
        Ok(Report {
            totals: format!(
                "{} upgrades: done {}, refused {}, {} kills in the middle; orders done {} \
                 repeated {} broken {}; {toll}; answers again after {}; rolled back after {}",
                self.upgrades,
                course.done,
                course.refused,
                course.kills,
                tally.done,
                tally.repeated,
                tally.broken.len(),
                course.recoveries,
                course.rollbacks,
            ),
            findings,
        })
    }

    fn unknown(&self) -> Unknown {
        let is_possible = self.manners.iter().any(|manner| manner.ends_keepers());
        if is_possible { Unknown::Possible } else { Unknown::Never }
    }
}

impl Course {
    fn upgrade(
        &mut self,
        fleet: &Fleet<'_>,
        manner: Manner,
        program: &Path,
        random: &mut Random,
    ) -> Result<(), TestError> {
        let old = single_master(fleet)?;
        let path = program.display().to_string();
        let begin = Instant::now();
        let (answer, kill) = std::thread::scope(|scope| {
            let order = scope.spawn(|| fleet.tell(&["master", "upgrade", "--executable", &path]));
            let kill = match manner {
                Manner::Killed(side) => {
                    std::thread::sleep(random.up_to(MIDDLE));
                    kill(fleet, &old, side)
                }
                Manner::Orderly | Manner::Broken | Manner::Silent => Ok(0),
            };
            (order.join(), kill)
        });
        self.kills += kill?;
        let answer = answer.unwrap_or_else(|_| Err(TestError::LeftOver("a thread".to_owned())));
        let took = begin.elapsed();
        answers(fleet)?;
        self.recoveries.add(begin.elapsed());
        let now = single_master(fleet)?;
        let is_done = answer.is_ok();
        self.done += u32::from(is_done);
        self.refused += u32::from(!is_done);
        match manner {
            Manner::Orderly if !is_done || now.program.as_deref() != Some(program) => {
                self.findings.push(format!("an orderly upgrade to {path}: {answer:?}, {now:?}"));
            }
            Manner::Broken | Manner::Silent => {
                self.rollbacks.add(took);
                if is_done || now.outer_pid != old.outer_pid || took > ROLLBACK_LIMIT {
                    let text = format!("{manner:?} candidate after {took:?}: {answer:?}, {now:?}");
                    self.findings.push(text);
                }
            }
            Manner::Orderly | Manner::Killed(_) => {}
        }
        Ok(())
    }
}

/// Kills one of those who take part, if it is there; how many were hit.
fn kill(fleet: &Fleet<'_>, old: &Process, side: Side) -> Result<u32, TestError> {
    let role = if side == Side::Keeper { Role::Keeper } else { Role::Master };
    let mut players = fleet.players(role)?;
    players.retain(|process| match side {
        Side::Old => process.outer_pid == old.outer_pid,
        Side::Candidate => process.outer_pid != old.outer_pid,
        Side::Both | Side::Keeper => true,
    });
    let hits = players.iter().filter(|one| one.signal(Signal::KILL).is_ok());
    Ok(u32::try_from(hits.count()).unwrap_or(u32::MAX))
}

/// Waits until exactly one process plays the master.
fn single_master(fleet: &Fleet<'_>) -> Result<Process, TestError> {
    eventually("there is one master", RECOVERY_LIMIT, || {
        let mut players = fleet.players(Role::Master).map_err(|error| error.to_string())?;
        match (players.pop(), players.is_empty()) {
            (Some(one), true) => Ok(one),
            (last, _) => Err(format!("{players:?} {last:?}; {}", fleet.own_words())),
        }
    })
}

/// The executables that take turns.
struct Programs {
    turns: [PathBuf; 2],
    broken: PathBuf,
    silent: PathBuf,
}

impl Programs {
    fn install(folder: &Path) -> Result<Self, TestError> {
        let turns = [folder.join("releases/one"), folder.join("releases/two")];
        for release in &turns {
            fs::create_dir_all(release).map_err(TestError::io("make a folder for a release"))?;
            for name in ["hsu-master", "hsu-keeper"] {
                fs::copy(binary(name)?, release.join(name))
                    .map_err(TestError::io("install a release"))?;
            }
        }
        let silent = folder.join("releases/silent");
        fs::write(&silent, "#!/bin/sh\nexec sleep 1000\n")
            .and_then(|()| fs::set_permissions(&silent, executable()))
            .map_err(TestError::io("write a program"))?;
        let turns = turns.map(|release| release.join("hsu-master"));
        Ok(Self { turns, broken: "/bin/false".into(), silent })
    }

    fn of(&self, manner: Manner, number: u32) -> &Path {
        let [one, two] = &self.turns;
        match manner {
            Manner::Orderly | Manner::Killed(_) if number.is_multiple_of(2) => one,
            Manner::Orderly | Manner::Killed(_) => two,
            Manner::Broken => &self.broken,
            Manner::Silent => &self.silent,
        }
    }
}

fn executable() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}
