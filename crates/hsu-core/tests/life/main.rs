//! Lives of fleets in simulated time.

mod breaker;
mod commands;
mod liars;
mod edges;
mod masters;
mod restarts;
mod schedules;
mod stopping;
mod world;
