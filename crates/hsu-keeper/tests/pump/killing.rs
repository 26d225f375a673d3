//! SIGKILL of a real pump, again and again, under a worker that floods.
//!
//! The pump is this test program in another role: the test `a_pump_to_be_killed`
//! carries its standard input. `HSU_PUMP_KILLS` asks for the long form.

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use hsu_keeper::pump::{Pump, PumpOptions};
use hsu_model::id::RunId;
use hsu_model::spool::HEAD_FILE;
use hsu_model::spool::head::Head;

use crate::fixture::{Folder, segments, spool};

const FOLDER: &str = "HSU_PUMP_FOLDER";

#[test]
#[ignore = "a role of the test below, not a test"]
fn a_pump_to_be_killed() {
    let folder = std::path::PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let options = PumpOptions { spools: folder.join("spools"), notices: folder.join("logs.sock") };
    let mut pump = Pump::open(&options).unwrap();
    let pipe = io::stdin().as_fd().try_clone_to_owned().unwrap();
    pump.carry(RunId(1), spool(), pipe).unwrap();
    while pump.turn(None).unwrap().drained.is_empty() {}
}

fn start_pump(folder: &Folder, pipe: &OwnedFd) -> Child {
    let role = ["--exact", "killing::a_pump_to_be_killed", "--ignored", "--nocapture"];
    Command::new(std::env::current_exe().unwrap())
        .args(role)
        .env(FOLDER, &folder.0)
        .stdin(Stdio::from(pipe.try_clone().unwrap()))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// A stream of lines of every length in which each byte is known from its place.
struct Stream {
    number: u64,
    line: Vec<u8>,
    used: usize,
}

impl Stream {
    fn new() -> Self {
        Self { number: 0, line: Vec::new(), used: 0 }
    }

    fn next(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count);
        while bytes.len() < count {
            if self.used == self.line.len() {
                let length = usize::try_from(self.number * 7919 % 300).unwrap();
                self.line = format!("{} {}\n", self.number, "k".repeat(length)).into_bytes();
                self.number += 1;
                self.used = 0;
            }
            let part = (count - bytes.len()).min(self.line.len() - self.used);
            bytes.extend_from_slice(&self.line[self.used..self.used + part]);
            self.used += part;
        }
        bytes
    }
}

/// Compares closed segments with the stream and deletes them, so that the long form
/// needs no large disk.
fn check_closed(log: &Path, spool: &Path, expected: &mut Stream, checked: &mut u64) {
    let head = fs::read(spool.join(HEAD_FILE)).unwrap_or_default();
    let base = head.first_chunk().and_then(Head::decode).map_or(0, |head| head.base);
    for (at, bytes) in segments(log) {
        // Only what the head has left behind is final.
        let Some(at) = at.filter(|at| *at < base) else {
            continue;
        };
        assert_eq!(at, *checked, "segments are without gap");
        assert!(bytes == expected.next(bytes.len()), "segment {at} differs");
        *checked += bytes.len() as u64;
        fs::remove_file(format!("{}.{at:020}", log.display())).unwrap();
    }
}

#[test]
fn a_pump_that_is_killed_at_any_instant_loses_and_doubles_nothing() {
    let kills: u64 = std::env::var("HSU_PUMP_KILLS").map_or(40, |text| text.parse().unwrap());
    let folder = Folder::new();
    folder.write_plan(folder.plan(300_000, 0));
    let (reader, mut worker) = io::pipe().unwrap();
    let pipe = OwnedFd::from(reader);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = std::sync::Arc::clone(&stop);
    let writer = thread::spawn(move || {
        let (mut stream, mut written) = (Stream::new(), 0);
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            let block = stream.next(10_007);
            worker.write_all(&block).unwrap();
            written += block.len() as u64;
        }
        written
    });
    let (mut expected, mut checked) = (Stream::new(), 0);
    for kill in 0..kills {
        let mut pump = start_pump(&folder, &pipe);
        // Another instant each time, after the few milliseconds of its start.
        thread::sleep(Duration::from_micros(4_000 + kill * 977 % 25_000));
        pump.kill().unwrap();
        pump.wait().unwrap();
        check_closed(&folder.log(), &folder.spool_folder(), &mut expected, &mut checked);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut last = start_pump(&folder, &pipe);
    let written = writer.join().unwrap();
    drop(pipe);
    assert!(last.wait().unwrap().success());
    check_closed(&folder.log(), &folder.spool_folder(), &mut expected, &mut checked);
    let rest = folder.content();
    // The last line has an end of the pump's, unless the worker wrote one.
    let left = usize::try_from(written - checked).unwrap();
    assert!(rest[..left] == expected.next(left)[..], "the last segment differs");
    assert!(rest.len() - left <= 1);
    assert!(checked > 0, "the pumps lived long enough to rotate");
}
