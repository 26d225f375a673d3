//! Roles: each of the three is killed at random moments, and nothing else may change.
//!
//! Promises R1 to R4: no worker is disturbed, no request fails, no line is lost
//! or doubled, every exit is known.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::report::{Times, Unknown};
use super::{Load, RECOVERY_LIMIT, Random, Report};
use crate::error::TestError;
use crate::fleet::{Fleet, Role};
use crate::patience::eventually;
use crate::process::Process;
use crate::sandbox::Sandbox;

/// What is killed, how often, and beside what.
#[derive(Clone, Debug)]
pub struct Roles {
    /// The roles that are killed, each chosen at random.
    pub victims: Vec<Role>,
    /// How many kills.
    pub kills: u32,
    /// What runs meanwhile.
    pub load: Load,
    /// The longest time between two kills.
    pub pause: Duration,
    /// What all chance comes from; the same seed makes the same choices.
    pub seed: u64,
}

impl Roles {
    /// Runs the campaign in a sandbox of its own.
    ///
    /// # Errors
    /// [`TestError`] when the fleet does not start, does not come back after a
    /// kill, or does not stop; harm to workers is a finding instead.
    pub fn run(&self) -> Result<Report, TestError> {
        let sandbox = Sandbox::new()?;
        let loaded = self.load.start(&sandbox, Ok)?;
        let mut random = Random::new(self.seed);
        let mut recoveries = Times::default();
        let mut kills = 0;
        while kills < self.kills && !self.victims.is_empty() {
            let victim = self.victims[random.below(self.victims.len())];
            std::thread::sleep(random.up_to(self.pause));
            kills += kill_and_recover(&loaded.fleet, victim, &mut recoveries)?;
            loaded.keep_up();
        }
        let toll = loaded.finish()?;
        let is_keeper = self.victims.contains(&Role::Keeper);
        let unknown = if is_keeper { Unknown::Possible } else { Unknown::Never };
        Ok(Report {
            totals: format!("{kills} kills; {toll}; answers again after {recoveries}"),
            findings: toll.findings(unknown),
        })
    }
}

/// Kills whoever plays a role and waits until it is played again; how many were hit.
pub(super) fn kill_and_recover(
    fleet: &Fleet<'_>,
    victim: Role,
    recoveries: &mut Times,
) -> Result<u32, TestError> {
    let players = fleet.players(victim)?;
    let mut hits = 0;
    for player in &players {
        player.signal(Signal::KILL)?;
        hits += 1;
    }
    let killed = Instant::now();
    answers(fleet)?;
    recoveries.add(killed.elapsed());
    eventually("the killed role is played again", RECOVERY_LIMIT, || {
        let now = fleet.players(victim).map_err(|error| error.to_string())?;
        let is_old = |player: &Process| players.iter().any(|old| old.is_same(player));
        let is_new = !now.is_empty() && !now.iter().any(is_old);
        if is_new || players.is_empty() { Ok(()) } else { Err(format!("{now:?}")) }
    })?;
    Ok(hits)
}

/// Waits until the master answers.
pub(crate) fn answers(fleet: &Fleet<'_>) -> Result<(), TestError> {
    eventually("the master answers", RECOVERY_LIMIT, || {
        fleet.list().map(drop).map_err(|error| format!("{error}; {}", fleet.own_words()))
    })
}
