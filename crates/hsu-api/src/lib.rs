//! The wire contract: the shapes of requests and answers, and their paths.
//!
//! JSON over HTTP/1.1 on a local socket, version 1. Only this room knows the
//! outside names; conversions from the model are written out, so that a change
//! of the model is never a change of the contract by accident. Times are RFC
//! 3339 in UTC; spans say their unit in the name.

mod event;
mod master;
mod problem;
mod time;
mod worker;

pub use event::{EventList, EventView};
pub use master::{
    CapabilityView, FeatureView, HostView, MasterView, ShutdownRequest, UpgradeRequest, VersionView,
};
pub use problem::Problem;
pub use time::{parse_time, rfc3339};
pub use worker::{
    CommandAnswer, CommandRequest, Description, ExitView, LineView, TransitionView, WhyView,
    WorkerList, WorkerView,
};

/// The version of the contract, as it stands in every path.
pub const VERSION: &str = "v1";
