//! Chaos: campaigns against a running master on real processes.
//!
//! Each campaign asks one question, runs in a sandbox of its own and answers
//! with a [`Report`]: the figures in one line, and a finding for everything that
//! was hurt. The same campaigns run in short form as tests and in long form by
//! `cargo xtask chaos --campaign NAME --kills N`.

mod client;
mod commands;
mod endings;
mod families;
mod frozen;
mod hangs;
mod load;
mod pids;
mod random;
mod report;
mod roles;
mod slots;
mod strangers;
mod stuck;
mod upgrades;

pub use families::{Families, Host};
pub use frozen::Frozen;
pub use hangs::Hangs;
pub use load::Load;
pub(crate) use load::Loaded;
pub use pids::Pids;
pub use random::Random;
pub use report::Report;
pub(crate) use report::{Times, Unknown};
pub use roles::Roles;
pub(crate) use roles::answers;
pub use slots::Slots;
pub use stuck::DeadMount;
pub use upgrades::{Manner, Side, Upgrades};

use std::time::Duration;

/// How long the master may need to answer again after a kill.
pub(crate) const RECOVERY_LIMIT: Duration = Duration::from_secs(20);
/// How long everything may need to stop at the end.
pub(crate) const STOP_LIMIT: Duration = Duration::from_secs(30);
