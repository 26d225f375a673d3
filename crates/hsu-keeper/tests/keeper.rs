//! Black-box tests of the keeper: a real one, real workers, real kills.
//!
//! Each test runs in a PID namespace of its own, by executing this very binary
//! again as its init: whatever a test leaves behind dies with it.
#![cfg(target_os = "linux")]
#![expect(unsafe_code, reason = "signals and the reaping of orphans, by the C library")]
#![expect(clippy::unwrap_used, reason = "what a fixture cannot do fails its test")]
#![expect(clippy::print_stdout, reason = "what is not tried is said, and how long it took")]
#![expect(clippy::exit, reason = "a played master ends in the middle")]
#![expect(clippy::zombie_processes, reason = "the namespace's init reaps them")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test waits for one message among all")]

#[path = "keeper/ending.rs"]
mod ending;
#[path = "keeper/fixture.rs"]
mod fixture;
#[path = "keeper/following.rs"]
mod following;
#[path = "keeper/giving.rs"]
mod giving;
#[path = "keeper/isolation.rs"]
mod isolation;
#[path = "keeper/losing.rs"]
mod losing;
#[path = "keeper/passing.rs"]
mod passing;
#[path = "keeper/policing.rs"]
mod policing;
#[path = "keeper/refusing.rs"]
mod refusing;
#[path = "keeper/replacing.rs"]
mod replacing;
#[path = "keeper/speaking.rs"]
mod speaking;
#[path = "keeper/starting.rs"]
mod starting;
