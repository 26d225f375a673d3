//! The pump against real files and pipes.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what a fixture cannot do fails its test")]

#[path = "pump/carrying.rs"]
mod carrying;
#[path = "pump/fixture.rs"]
mod fixture;
