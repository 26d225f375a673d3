//! The body: owns the clock, the loop and the hands.
//!
//! [`start`] finds out what an earlier life left behind (records in the store,
//! processes with the keeper), and gives back a [`Body`] to run and a [`Handle`]
//! for everybody else. Decisions are `hsu-core`'s; this room performs them.
//! Absent on purpose: any knowledge of files of the configuration, HTTP or formats.

mod alerts;
mod board;
mod body;
mod boot;
mod chores;
pub mod control;
mod handle;
mod journal;
mod launch;
mod listening;
mod mass_stop;
mod notice;
mod pid_files;
mod refusal;
mod request;
mod steward;
mod successor;
mod usage_board;
mod warden;

pub use board::{Entry, Snapshot};
pub use body::{Body, Ending};
pub use boot::{Loss, Options, StartError, start};
pub use handle::Handle;
pub use mass_stop::MassStop;
pub use successor::{REPORT_VARIABLE, asked_to_end, begin_anew};
pub use usage_board::Used;
