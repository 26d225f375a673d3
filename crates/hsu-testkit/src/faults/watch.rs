//! What is watched while something is missing: whether the master answers, how
//! fast, and what the roles use of the CPU.

use std::fmt;
use std::time::{Duration, Instant};

use super::ANSWER_LIMIT;
use crate::chaos::Times;
use crate::figures::Figures;
use crate::fleet::{Fleet, Role};
use crate::process::Process;

/// A role that uses more than this share of one core, in percent, spins.
const SPINS: u128 = 70;
/// Less is too short to tell.
const LONG_ENOUGH: Duration = Duration::from_secs(1);

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Watch {
    answers: Times,
    busiest: u128,
    pub(super) findings: Vec<String>,
}

/// The CPU time of every role at one moment.
#[derive(Debug)]
pub(super) struct Spell {
    began: Instant,
    roles: Vec<(Role, Process, Figures)>,
}

impl Watch {
    /// Begins to measure the roles.
    pub(super) fn begin(fleet: &Fleet<'_>) -> Spell {
        let of = |role: Role| {
            let player = fleet.players(role).ok()?.into_iter().next()?;
            let figures = Figures::of(&player)?;
            Some((role, player, figures))
        };
        Spell { began: Instant::now(), roles: Role::ALL.into_iter().filter_map(of).collect() }
    }

    /// Says which role has used more CPU than any honest work of a small fleet needs.
    pub(super) fn end(&mut self, spell: &Spell, during: &str) {
        let passed = spell.began.elapsed();
        if passed < LONG_ENOUGH {
            return;
        }
        for (role, player, before) in &spell.roles {
            // One that was replaced meanwhile is not measured.
            let Some(after) = Figures::of(player).filter(|_| player.is_alive()) else {
                continue;
            };
            let used = after.cpu.saturating_sub(before.cpu);
            let share = used.as_micros() * 100 / passed.as_micros();
            self.busiest = self.busiest.max(share);
            if share > SPINS {
                let found = format!("{role:?} used {share} % of a core for {passed:.1?}, {during}");
                self.findings.push(found);
            }
        }
    }

    /// Asks for the list, and notes how long the answer took or that there was none.
    pub(super) fn ask(&mut self, fleet: &Fleet<'_>, during: &str) -> bool {
        let begin = Instant::now();
        loop {
            match fleet.list() {
                Ok(_) => {
                    self.answers.add(begin.elapsed());
                    return true;
                }
                Err(error) if begin.elapsed() > ANSWER_LIMIT => {
                    self.findings.push(format!("no answer {during}: {error}"));
                    return false;
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (answers, busiest) = (&self.answers, self.busiest);
        write!(f, "{} answers after {answers}; busiest role {busiest} % of a core", answers.len())
    }
}
