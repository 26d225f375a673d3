//! The simulator: thousands of lives of a whole HSU Master in a second, each made of a seed.
//!
//! Real are the fleet, the gate, the roll call and the clearing of `hsu-core`, the table of
//! `hsu-keeper` and every message, its pump with the spools, the backlog of `hsu-store`. Simulated are the kernel, the
//! disk, the clocks and the operators, with every fault that is known to hurt. What is only a
//! model says so in its first lines. A promise that breaks is a seed that replays.
//!
//! What must hold: docs/reference/promises.md; how it is used: docs/reference/simulation.md.

mod campaign;
mod chance;
mod coverage;
mod disk;
mod foreign;
mod hands;
mod judge;
mod keeper;
mod link;
mod master;
mod model;
mod motif;
mod museum;
mod nature;
mod os;
mod outside;
mod river;
mod roles;
mod schedule;
mod steps;
mod succession;
mod takeover;
mod trace;
mod words;
mod world;

pub use campaign::{Campaign, Report, Scope, Story, replay, run_campaign, tell};
pub use coverage::Coverage;
pub use judge::Finding;
pub use museum::{Bug, Exhibit};
