//! Fuzz targets: everything that reads what others wrote, and what must hold of it.
//!
//! A target takes any bytes and asserts properties; that it does not panic is only
//! one of them. The engine is libFuzzer (`src/bin/hsu-fuzz.rs`, feature `engine`);
//! `tests/kept.rs` runs every seed and every kept input without it, with the other
//! tests. Seeds are made by code, from the catalogue of bad inputs; what the engine
//! found on top is kept in `corpus`, one file a target.
//!
//! How to run them: docs/guide/fuzzing.md.

#[path = "../../crates/hsu-cli/src/arguments.rs"]
mod arguments;
mod bytes;
pub mod kept;
#[path = "../../crates/hsu-cli/src/screen.rs"]
mod screen;
mod seeds;
mod targets;
#[path = "../../crates/hsu-cli/src/timing.rs"]
mod timing;

use targets::{
    brain, command_line, config, control, keeper, lines, process_files, spools, state, values,
};

/// One target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// The longest input that makes sense.
    pub longest: usize,
    /// Takes any bytes; a broken property is a panic.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target, by name.
pub const TARGETS: &[Target] = &[
    Target { name: "command-line", longest: 512, run: command_line::run, seeds: seeds::words },
    Target { name: "config", longest: 8192, run: config::run, seeds: seeds::configs },
    Target { name: "control-api", longest: 2048, run: control::run, seeds: seeds::requests },
    Target { name: "cursors", longest: 2048, run: spools::cursors, seeds: seeds::cursors },
    Target { name: "from-keeper", longest: 2048, run: keeper::answers, seeds: seeds::answers },
    Target { name: "hostile-keeper", longest: 2048, run: brain::run, seeds: seeds::lives },
    Target { name: "keeper-policy", longest: 2048, run: keeper::policy, seeds: seeds::policies },
    Target { name: "lines", longest: 4096, run: lines::run, seeds: seeds::lines },
    Target { name: "process-files", longest: 4096, run: process_files::run, seeds: seeds::proc },
    Target { name: "records", longest: 4096, run: state::records, seeds: seeds::records },
    Target { name: "spools", longest: 4096, run: spools::run, seeds: seeds::spools },
    Target { name: "state-files", longest: 2048, run: state::run, seeds: seeds::state },
    Target { name: "substitution", longest: 1024, run: config::substitution, seeds: seeds::values },
    Target { name: "terminal", longest: 1024, run: lines::terminal, seeds: seeds::escapes },
    Target { name: "to-keeper", longest: 2048, run: keeper::orders, seeds: seeds::orders },
    Target { name: "values", longest: 128, run: values::run, seeds: seeds::values },
];

/// The target with this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
