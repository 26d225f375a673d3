//! Lives of fleets in simulated time.

mod breaker;
mod commands;
mod edges;
mod health;
mod liars;
mod limited;
mod masters;
mod reported;
mod restarts;
mod schedules;
mod stopping;
mod words;
mod world;
