//! Clock: the wall clock of all roles jumps, forth and back.
//!
//! libfaketime (Debian: `faketime`) shifts what the programs read; the monotonic
//! clock is the kernel's own. Nothing may be restarted, given up or thrown away by
//! that: every deadline is monotonic, and a file is not old because the clock says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Form;
use super::watch::Watch;
use crate::chaos::{Load, Random, Report, Unknown, answers};
use crate::error::TestError;
use crate::fleet::Role;
use crate::sandbox::Sandbox;

/// Where the clock goes: an offset or a date, as libfaketime reads them.
const JUMPS: [&str; 9] = [
    "+1h",
    "-1h",
    "+1y",
    "-1y",
    "@1970-01-02 00:00:00",
    "@2038-01-19 03:14:05",
    "@2106-02-07 06:28:13",
    "@2262-04-12 00:00:00",
    "+0",
];

pub(super) fn run(form: Form, seed: u64) -> Result<Report, TestError> {
    let span = form.pick(Duration::from_millis(1200), Duration::from_secs(20));
    let rounds = form.pick(1, 2);
    let library = library()?;
    let sandbox = Sandbox::new()?;
    // The library names its semaphores by PID, and those are not only ours.
    sandbox.mount_disk(Path::new("/dev/shm"), 1 << 20)?;
    let shift = sandbox.folder().join("clock");
    set(&shift, "+0")?;
    let loaded = Load::default().start(&sandbox, |builder| {
        Ok(builder
            .variable("LD_PRELOAD", library.display().to_string())
            .variable("FAKETIME_TIMESTAMP_FILE", shift.display().to_string())
            .variable("FAKETIME_NO_CACHE", "1")
            .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .variable("NO_FAKE_STAT", "1"))
    })?;
    let mut findings = Vec::new();
    for role in Role::ALL {
        for player in loaded.fleet.players(role)? {
            if player.variable("LD_PRELOAD").is_none() {
                findings.push(format!("the clock of the {role:?} is the real one"));
            }
        }
    }
    let mut random = Random::new(seed);
    let mut watch = Watch::default();
    let mut jumps = 0;
    for _ in 0..rounds {
        let mut left = JUMPS.to_vec();
        while !left.is_empty() {
            let jump = left.swap_remove(random.below(left.len()));
            let during = format!("while the clock was at {jump}");
            set(&shift, jump)?;
            let spell = Watch::begin(&loaded.fleet);
            let begin = Instant::now();
            while begin.elapsed() < span {
                if !watch.ask(&loaded.fleet, &during) {
                    break;
                }
                for order in
                    [&["restart", "ender-0"][..], &["why", "writer-0"], &["logs", "writer-0"]]
                {
                    if let Err(error) = loaded.fleet.tell(order) {
                        watch.findings.push(format!("{error} {during}"));
                    }
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            watch.end(&spell, &during);
            loaded.keep_up();
            jumps += 1;
        }
    }
    set(&shift, "+0")?;
    answers(&loaded.fleet)?;
    let toll = loaded.finish()?;
    findings.extend(toll.findings(Unknown::Never));
    findings.append(&mut watch.findings);
    Ok(Report { totals: format!("{jumps} jumps; {watch}; {toll}"), findings })
}

/// Puts another time into effect, as a whole.
fn set(file: &Path, jump: &str) -> Result<(), TestError> {
    let next = file.with_extension("next");
    fs::write(&next, format!("{jump}\n"))
        .and_then(|()| fs::rename(&next, file))
        .map_err(TestError::io("set the clock"))
}

/// Where Debian puts it.
fn library() -> Result<PathBuf, TestError> {
    let places = ["x86_64-linux-gnu", "aarch64-linux-gnu"];
    let path = |place| Path::new("/usr/lib").join(place).join("faketime/libfaketime.so.1");
    places.into_iter().map(path).find(|path| path.is_file()).ok_or_else(|| TestError::NoBinary {
        path: PathBuf::from("/usr/lib/*/faketime/libfaketime.so.1 (Debian: faketime)"),
    })
}
