//! The river: everything that reads a spool.
//!
//! The pump carries the workers' bytes into spools (`hsu_model::spool`); this
//! room decides which spools exist ([`plan`]), reads them by stream offset while
//! they are written, rotated and retired ([`spool`]), writes formatted outputs
//! exactly once ([`engine`]) and answers questions about recent lines
//! ([`query`]).
//!
//! Deliberately absent: sockets, signals, `unsafe`, an async runtime. The master
//! receives the pump's notices and passes them on with [`engine::Engine::wake`].
//! Why: docs/design/0005-spools.md.

pub mod engine;
pub mod error;
pub mod format;
#[doc(hidden)]
pub mod fuzzing;
mod output;
pub mod plan;
pub mod query;
pub mod spool;

pub use error::LogError;
pub use output::file::{OpenFile, open_any};
