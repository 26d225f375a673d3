//! The watchdog: a service manager that wants to hear that the loop lives.

use std::time::Duration;

use hsu_model::time::{Now, Tick};

/// Says so in time, when a service manager asked for it; costs nothing otherwise.
#[derive(Debug)]
pub(crate) struct Watchdog {
    every: Option<Duration>,
    due: Tick,
}

impl Watchdog {
    /// As the environment of this process demands.
    pub(crate) fn of_this_process() -> Self {
        Self { every: hsu_sys::notify::watchdog_interval(), due: Tick(0) }
    }

    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        self.every.map(|_| self.due)
    }

    pub(crate) fn tend(&mut self, now: Now) {
        if let Some(every) = self.every
            && self.due <= now.tick
        {
            hsu_sys::notify::watchdog();
            self.due = now.tick.after(every);
        }
    }
}
