//! Slots: roles are killed while operators order workers about, and no worker
//! ever has two processes.
//!
//! Promise R8. Each process holds a lock while it lives, and the kernel tells
//! the second one.

use std::time::Duration;

use super::commands::{add_workers, while_ordering};
use super::report::{Times, Unknown};
use super::roles::kill_and_recover;
use super::{Load, Random, Report};
use crate::error::TestError;
use crate::fleet::Role;
use crate::sandbox::Sandbox;

/// How many workers are ordered about, and how many kills fall among that.
#[derive(Clone, Debug)]
pub struct Slots {
    /// The roles that are killed, each chosen at random.
    pub victims: Vec<Role>,
    /// How many kills.
    pub kills: u32,
    /// Workers that are ordered about, each by an operator of its own.
    pub workers: u32,
    /// What runs besides.
    pub load: Load,
    /// The longest time between two kills.
    pub pause: Duration,
    /// What all chance comes from.
    pub seed: u64,
}

impl Slots {
    /// Runs the campaign in a sandbox of its own.
    ///
    /// # Errors
    /// [`TestError`] when the fleet does not start, come back or stop.
    pub fn run(&self) -> Result<Report, TestError> {
        let sandbox = Sandbox::new()?;
        let loaded =
            self.load.start(&sandbox, |builder| add_workers(builder, &sandbox, self.workers))?;
        let mut random = Random::new(self.seed);
        let mut recoveries = Times::default();
        let fleet = &loaded.fleet;
        let (kills, tally) = while_ordering(fleet, &sandbox, self.workers, self.seed, || {
            let mut kills = 0;
            while kills < self.kills && !self.victims.is_empty() {
                let victim = self.victims[random.below(self.victims.len())];
                std::thread::sleep(random.up_to(self.pause));
                kills += kill_and_recover(fleet, victim, &mut recoveries)?;
                loaded.keep_up();
            }
            Ok(kills)
        })?;
        let toll = loaded.finish()?;
        let is_keeper = self.victims.contains(&Role::Keeper);
        let unknown = if is_keeper { Unknown::Possible } else { Unknown::Never };
        let mut findings = toll.findings(unknown);
        findings.extend(tally.broken.iter().cloned());
        Ok(Report {
            totals: format!(
                "{kills} kills; orders done {} repeated {} broken {}; {toll}; answers again after \
                 {recoveries}",
                tally.done,
                tally.repeated,
                tally.broken.len()
            ),
            findings,
        })
    }
}
