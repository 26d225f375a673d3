//! The workbench of the black-box tests: real processes, in a box that empties itself.
//!
//! A test opens a [`Sandbox`] (its own PID namespace and folder), starts a
//! [`Fleet`] in it (a configuration, a master, a client), waits for conditions
//! with deadlines instead of sleeping, kills what it likes, and lets
//! [`LineCheck`] judge the logs. `hsu-dummy` is the worker that misbehaves on
//! request. Linux only, and never a dependency of a product crate.
//!
//! Deliberately absent, but for [`simulator`], which lives inside: any knowledge of how
//! HSU Master works. What a black-box test learns here, it learns from the command line,
//! the files and the kernel.

pub mod binaries;
pub mod chaos;
pub mod cost;
pub mod error;
pub mod faults;
pub mod figures;
pub mod fleet;
pub mod http;
pub mod lines;
pub mod page;
pub mod patience;
pub mod ports;
pub mod process;
pub mod sandbox;
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a judge looks at what concerns it; what must be complete is `schedule::source`"
)]
pub mod simulator;
pub mod soak;

pub use error::TestError;
pub use figures::Figures;
pub use fleet::{Fleet, FleetBuilder, Role, Worker, WorkerView};
pub use lines::{LineCheck, Verdict};
pub use patience::eventually;
pub use process::Process;
pub use sandbox::Sandbox;
