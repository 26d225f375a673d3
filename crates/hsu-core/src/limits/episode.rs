//! Episodes: one limit, from the moment it is exceeded until it is kept again.
//!
//! An episode begins when a value is beyond the critical threshold and stays there
//! for the spike tolerance. It ends when the value is below the threshold by more
//! than the hysteresis. Each step of the ladder is taken once within it (I18).

use core::time::Duration;

use hsu_model::limits::{Action, Hold, Rule};
use hsu_model::time::Tick;

/// A worker that was slowed down stays so for at least this long: what a limit that
/// is in force lets through says nothing about what would come without it.
const SLOWED_FOR: Duration = Duration::from_secs(30);

/// What a brake reaches is near the limit: this part beyond it.
const FAR: u64 = 10;

/// One limit of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Episode {
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Within the limit.
    #[default]
    Calm,
    /// Near it.
    Warned,
    /// Beyond it, for less time than a spike may last.
    Rising { since: Tick, warned: bool },
    /// Beyond it.
    Over { since: Tick, taken: usize, slowed: Option<Tick>, is_vain: bool },
}

/// What was seen of a limit at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// How much is used, in the unit of the limit.
    pub value: u64,
    /// Whether the kernel has held the worker back since the look before.
    pub held: bool,
}

/// What follows from a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is near the limit.
    Near,
    /// It is beyond the limit.
    Exceeded,
    /// This is to be done.
    Do(Action),
    /// It was slowed down long enough, and is far beyond the limit still.
    Vain,
    /// It is within the limit again, after so long.
    Eased {
        /// How long it was beyond it.
        lasted: Duration,
        /// Whether it was slowed down meanwhile.
        slowed: bool,
    },
}

impl Episode {
    /// Takes a look into account and appends what follows. Nothing that restarts is
    /// done before `grace` is over.
    pub fn see(
        &mut self,
        rule: &Rule,
        hysteresis: u32,
        now: Tick,
        grace: Tick,
        level: Level,
        findings: &mut impl Extend<Finding>,
    ) {
        let is_over = level.held || level.value > self.threshold(rule);
        let keeps_on = is_over || level.value > below(self.threshold(rule), hysteresis);
        let is_near = level.value > rule.warning;
        match self.phase {
            Phase::Calm | Phase::Warned if is_over => {
                let warned = self.phase == Phase::Warned;
                self.phase = Phase::Rising { since: now, warned };
                self.rise(rule, now, grace, findings);
            }
            Phase::Calm if is_near => {
                self.phase = Phase::Warned;
                findings.extend([Finding::Near]);
            }
            Phase::Warned if level.value <= below(rule.warning, hysteresis) => {
                self.phase = Phase::Calm;
            }
            Phase::Calm | Phase::Warned => {}
            Phase::Rising { .. } if keeps_on => self.rise(rule, now, grace, findings),
            // A spike, which is none.
            Phase::Rising { warned, .. } => {
                self.phase = if warned { Phase::Warned } else { Phase::Calm };
            }
            Phase::Over { since, slowed, is_vain, .. } => {
                let is_slow = slowed.is_some_and(|at| now.since(at) < SLOWED_FOR);
                if keeps_on || is_slow {
                    let is_far = level.value > far_beyond(rule);
                    if slowed.is_some() && !is_slow && is_far && !is_vain {
                        findings.extend([Finding::Vain]);
                        self.note_vain();
                    }
                    if keeps_on {
                        self.climb(rule, now, grace, findings);
                    }
                    return;
                }
                self.phase = if is_near { Phase::Warned } else { Phase::Calm };
                let lasted = now.since(since);
                findings.extend([Finding::Eased { lasted, slowed: slowed.is_some() }]);
            }
        }
    }

    /// Beyond what it is exceeded. A rate that something holds at the limit never goes
    /// beyond it: being at it says that more was wanted.
    fn threshold(&self, rule: &Rule) -> u64 {
        let is_slowed = matches!(self.phase, Phase::Over { slowed: Some(_), .. });
        let is_held = rule.hold == Hold::Kernel || is_slowed;
        if rule.kind.is_rate() && is_held {
            rule.critical.min(below(rule.most, 5))
        } else {
            rule.critical
        }
    }

    fn rise(&mut self, rule: &Rule, now: Tick, grace: Tick, findings: &mut impl Extend<Finding>) {
        if let Phase::Rising { since, .. } = self.phase
            && now.since(since) >= rule.spike_tolerance
        {
            self.phase = Phase::Over { since, taken: 0, slowed: None, is_vain: false };
            findings.extend([Finding::Exceeded]);
            self.climb(rule, now, grace, findings);
        }
    }

    fn note_vain(&mut self) {
        if let Phase::Over { is_vain, .. } = &mut self.phase {
            *is_vain = true;
        }
    }

    /// Takes every step whose time has come.
    fn climb(&mut self, rule: &Rule, now: Tick, grace: Tick, findings: &mut impl Extend<Finding>) {
        let Phase::Over { since, taken, slowed, .. } = &mut self.phase else { return };
        while let Some(step) = rule.ladder.get(*taken) {
            let too_early = now.since(*since) < step.after;
            if too_early || step.action.restarts() && now < grace {
                return;
            }
            *taken += 1;
            if step.action == Action::Throttle {
                *slowed = Some(now);
            }
            findings.extend([Finding::Do(step.action)]);
        }
    }

    /// When the next step is due, or a spike becomes a violation.
    #[must_use]
    pub fn due(&self, rule: &Rule, grace: Tick) -> Option<Tick> {
        match self.phase {
            Phase::Calm | Phase::Warned => None,
            Phase::Rising { since, .. } => Some(since.after(rule.spike_tolerance)),
            Phase::Over { since, taken, .. } => rule.ladder.get(taken).map(|step| {
                let due = since.after(step.after);
                if step.action.restarts() { due.max(grace) } else { due }
            }),
        }
    }

    /// Whether the limit is exceeded, and since when.
    #[must_use]
    pub fn since(&self) -> Option<Tick> {
        match self.phase {
            Phase::Over { since, .. } => Some(since),
            Phase::Calm | Phase::Warned | Phase::Rising { .. } => None,
        }
    }
}

/// From where on an amount is far beyond its limit.
pub(super) fn far_beyond(rule: &Rule) -> u64 {
    rule.most.saturating_add(rule.most / FAR)
}

/// So many percent below an amount.
fn below(amount: u64, percent: u32) -> u64 {
    let share = u128::from(amount) * u128::from(percent.min(100)) / 100;
    amount.saturating_sub(u64::try_from(share).unwrap_or(amount))
}

#[cfg(test)]
mod tests;
