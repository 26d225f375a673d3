//! Hangs: a master that stands still is noticed by its keeper and replaced.
//!
//! Promise R30. A hang costs the keeper's patience, so several fleets hang side
//! by side. Now and then the master stands still before it has said a word.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::report::{Times, Toll, Unknown};
use super::roles::answers;
use super::{Load, RECOVERY_LIMIT, Random, Report};
use crate::error::TestError;
use crate::fleet::{Fleet, Role};
use crate::patience::eventually;
use crate::process::Process;
use crate::sandbox::Sandbox;

/// The promise.
const PROMISED: Duration = Duration::from_secs(40);
/// When waiting for a replacement is given up.
const GIVE_UP: Duration = Duration::from_secs(90);
/// The longest time from one replacement to the next hang.
const PAUSE: Duration = Duration::from_secs(3);

/// How many hangs, in how many fleets.
#[derive(Clone, Debug)]
pub struct Hangs {
    /// How many hangs in all.
    pub hangs: u32,
    /// How many fleets run at the same time.
    pub side_by_side: u32,
    /// What runs in each of them.
    pub load: Load,
    /// What all chance comes from.
    pub seed: u64,
}

/// What one fleet went through.
#[derive(Debug)]
struct Course {
    hangs: u32,
    times: Vec<Duration>,
    toll: Toll,
}

impl Hangs {
    /// Runs the campaign in sandboxes of its own.
    ///
    /// # Errors
    /// [`TestError`] when a fleet does not start, come back or stop.
    pub fn run(&self) -> Result<Report, TestError> {
        let fleets = self.side_by_side.clamp(1, self.hangs.max(1));
        let courses: Result<Vec<Course>, TestError> = std::thread::scope(|scope| {
            let lanes: Vec<_> = (0..fleets)
                .map(|lane| {
                    let hangs = self.hangs / fleets + u32::from(lane < self.hangs % fleets);
                    let random = Random::new(self.seed ^ u64::from(lane) << 32);
                    scope.spawn(move || self.lane(hangs, random))
                })
                .collect();
            let crash = || Err(TestError::LeftOver("a thread crashed".to_owned()));
            lanes.into_iter().map(|lane| lane.join().unwrap_or_else(|_| crash())).collect()
        });
        let courses = courses?;
        let mut times = Times::default();
        let mut findings = Vec::new();
        let (mut hangs, mut requests, mut lines) = (0, 0, 0);
        for course in courses {
            hangs += course.hangs;
            requests += course.toll.requests;
            lines += course.toll.lines.good;
            findings.extend(course.toll.findings(Unknown::Never));
            for time in course.times {
                times.add(time);
                if time > PROMISED {
                    findings.push(format!("a master that stood still was replaced after {time:?}"));
                }
            }
        }
        Ok(Report {
            totals: format!(
                "{hangs} hangs in {fleets} fleets; replaced after {times}; requests {requests}, \
                 lines {lines}; findings {}",
                findings.len()
            ),
            findings,
        })
    }

    fn lane(&self, hangs: u32, mut random: Random) -> Result<Course, TestError> {
        let sandbox = Sandbox::new()?;
        let loaded = self.load.start(&sandbox, Ok)?;
        let mut times = Vec::new();
        for _ in 0..hangs {
            std::thread::sleep(random.up_to(PAUSE));
            let master = match random.below(4) {
                0 => newborn(&loaded.fleet)?,
                _ => master_of(&loaded.fleet)?,
            };
            master.signal(Signal::STOP)?;
            let begin = Instant::now();
            eventually("a master that stands still is ended", GIVE_UP, || {
                if master.is_alive() { Err(format!("{master:?}")) } else { Ok(()) }
            })?;
            answers(&loaded.fleet)?;
            times.push(begin.elapsed());
        }
        Ok(Course { hangs, times, toll: loaded.finish()? })
    }
}

fn master_of(fleet: &Fleet<'_>) -> Result<Process, TestError> {
    eventually("there is a master", RECOVERY_LIMIT, || {
        let players = fleet.players(Role::Master).map_err(|error| error.to_string())?;
        players.into_iter().next().ok_or_else(String::new)
    })
}

/// A master that has only just been started.
fn newborn(fleet: &Fleet<'_>) -> Result<Process, TestError> {
    let old = master_of(fleet)?;
    old.signal(Signal::KILL)?;
    eventually("there is another master", RECOVERY_LIMIT, || {
        let players = fleet.players(Role::Master).map_err(|error| error.to_string())?;
        players.into_iter().find(|player| !player.is_same(&old)).ok_or_else(String::new)
    })
}
