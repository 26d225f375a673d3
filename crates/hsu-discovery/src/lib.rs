//! Finding things: processes that somebody else started, by what tells them from others.
//!
//! One thread looks for the processes of all workers: a pass over the processes of the
//! host is shared, and what has not changed is not looked at again. Each way of finding
//! is a `strategy::Strategy`. Nothing here decides: a search ends with a
//! [`hsu_model::discovery::Sighting`], and which process is taken is `hsu-core`'s. Nor
//! is anything remembered of a process but its identity: whoever acts on one takes hold
//! of it first, through [`hold::hold`].
//!
//! The log files of such processes are read in [`following`].

mod facts;
pub mod family;
pub mod following;
pub mod hold;
mod http;
mod kin;
mod query;
mod searcher;
mod searching;
mod strategy;
mod validation;

pub use kin::Kin;
pub use searcher::Searcher;
pub use searching::{Searching, Told};
pub use strategy::InvalidPattern;
