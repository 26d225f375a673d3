//! The mind: pure decisions about the life of workers.
//!
//! [`fleet::Fleet::step`] takes the time, a random number and one input, and
//! appends effects. Nothing here can read a clock, a file or a socket: `no_std`
//! makes the compiler check it. The same inputs give the same effects, so a
//! journal of inputs replays a life, and a simulator can live thousands of them.
//!
//! The state table and the reasons: docs/design/0002-core-machine.md.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod answer;
mod attachment;
pub mod breaker;
pub mod clearing;
pub mod effect;
pub mod fleet;
pub mod gate;
mod health;
pub mod input;
pub mod limits;
pub mod mass_stop;
pub mod parting;
pub mod rate;
pub mod reason;
pub mod record;
pub mod restart;
pub mod roll;
mod scatter;
pub mod worker;
