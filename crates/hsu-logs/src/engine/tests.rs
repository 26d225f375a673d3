//! The engine on spools written by hand, killed wherever it can be.

use std::fs;
use std::io;
use std::path::Path;

use hsu_model::id::WorkerId;
use hsu_model::logs::{LogFormat, Rotation, Stream};
use hsu_model::spool::{CONSUMED_FILE, base_in_name, decode_consumed};
use hsu_model::units::ByteSize;
use tempfile::TempDir;

use super::*;
use crate::plan::{Input, OutputPlan, Sink};
use crate::spool::script::{Script, spool_id};

/// A folder with spools, cursors and outputs.
struct House {
    folder: TempDir,
    plan: LogPlan,
}

fn id(worker: &str) -> SpoolId {
    SpoolId { worker: WorkerId::new(worker).unwrap(), stream: Stream::Stdout }
}

fn input(spool: SpoolId, format: LogFormat) -> Input {
    Input { spool, format, prefix: String::new() }
}

impl House {
    /// One output file of at most `max_size` bytes for the spools of these workers.
    fn new(workers: &[&str], max_size: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.log").to_str().unwrap().to_owned();
        let rotation = Rotation { max_size: ByteSize(max_size), max_files: 0, max_age: None };
        let inputs = workers.iter().map(|worker| input(id(worker), LogFormat::Plain)).collect();
        let outputs = vec![OutputPlan { sink: Sink::File { path, rotation }, inputs }];
        Self { folder, plan: LogPlan { outputs, ..LogPlan::default() } }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn script(&self, worker: &str) -> Script {
        Script::new(&self.path().join("spools"), &id(worker))
    }

    fn options(&self, stdout: Box<dyn Write + Send>) -> EngineOptions {
        let console = |out| Console { out, kind: ConsoleKind::Stream };
        EngineOptions {
            plan: self.plan.clone(),
            spools: self.path().join("spools"),
            cursors: self.path().join("cursors"),
            stdout: console(stdout),
            stderr: console(Box::new(io::sink())),
            zone: Zone::utc(),
            open: crate::open_any,
            trouble: Trouble::ignored(),
        }
    }

    fn engine(&self) -> Engine {
        Engine::start(self.options(Box::new(io::sink()))).unwrap()
    }

    /// The engine without its thread, to be stopped between any two steps.
    fn work(&self) -> Work {
        let next = NextPlan {
            beginnings: beginnings(&self.plan, &self.path().join("spools"), &BTreeSet::new()),
            plan: self.plan.clone(),
        };
        let options = self.options(Box::new(io::sink()));
        Work::new(options, &next, Arc::new(Shared::default())).unwrap()
    }

    /// Everything in the output, closed files first.
    fn output(&self) -> String {
        let closed = |name: &str| base_in_name("out.log", name).is_some();
        let names = fs::read_dir(self.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| closed(name)).collect();
        names.sort();
        names.push("out.log".to_owned());
        let read = |name| fs::read_to_string(self.path().join(name)).unwrap_or_default();
        names.iter().map(read).collect()
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn what_is_in_the_spools_is_in_the_outputs_when_the_engine_stops() {
    let house = House::new(&["a", "b"], 0);
    let engine = house.engine();
    house.script("a").write(b"one\ntwo\nunfinished");
    house.script("b").write(b"three\n").rotate().write(b"four\n");
    engine.wake(&id("a"));
    assert_eq!(engine.flush_and_stop(PATIENCE), Flushed::All);
    let mut lines: Vec<_> = house.output().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["four", "one", "three", "two"]);
    let told = fs::read(house.path().join("spools/a/stdout").join(CONSUMED_FILE)).unwrap();
    assert_eq!(decode_consumed(told.first_chunk().unwrap()), Some(8));
}

#[test]
fn the_next_engine_goes_on_where_the_last_one_stopped() {
    let house = House::new(&["a"], 0);
    let engine = house.engine();
    let mut script = house.script("a");
    script.write(b"one\nhalf");
    assert_eq!(engine.flush_and_stop(PATIENCE), Flushed::All);
    script.write(b" line\n");
    assert_eq!(house.engine().flush_and_stop(PATIENCE), Flushed::All);
    assert_eq!(house.output(), "one\nhalf line\n");
}

#[test]
fn an_output_that_is_new_does_not_repeat_what_was_there_before() {
    let mut house = House::new(&[], 0);
    let mut script = house.script("a");
    script.write(b"old\n");
    let engine = house.engine();
    house.plan.outputs[0].inputs.push(input(id("a"), LogFormat::Plain));
    engine.update(house.plan.clone());
    script.write(b"new\n");
    assert_eq!(engine.flush_and_stop(PATIENCE), Flushed::All);
    assert_eq!(house.output(), "new\n");
}

#[test]
fn an_input_that_goes_is_written_to_its_end_first() {
    let mut house = House::new(&["a"], 0);
    let engine = house.engine();
    house.script("a").write(b"last words\n");
    house.plan.outputs[0].inputs.clear();
    engine.update(house.plan.clone());
    assert_eq!(engine.flush_and_stop(PATIENCE), Flushed::All);
    assert_eq!(house.output(), "last words\n");
}

/// A generator of schedules: small, and the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[test]
fn every_line_is_in_the_output_once_wherever_the_engine_is_killed() {
    for seed in 0..60 {
        let house = House::new(&["w"], 300);
        let (mut dice, mut expected) = (Dice(seed), String::new());
        let mut work = house.work();
        let mut script = house.script("w");
        for number in 0..120 {
            let line =
                format!("{seed} {number} {}\n", "x".repeat(dice.roll(40).try_into().unwrap()));
            script.write(line.as_bytes());
            expected.push_str(&line);
            if dice.roll(5) == 0 {
                script.rotate();
            }
            work.wake_all();
            match dice.roll(4) {
                // Written, staged, never flushed.
                0 => {
                    advance_only(&mut work);
                    work = house.work();
                }
                1 => work.turn(),
                2 => {
                    work.turn();
                    work = house.work();
                }
                _ => {}
            }
        }
        work.wake_all();
        (0..4).for_each(|_| work.turn());
        assert_eq!(house.output(), expected, "seed {seed}");
    }
}

/// What a turn does before its commit.
fn advance_only(work: &mut Work) {
    let now = Instant::now();
    for output in &mut work.outputs {
        output.advance(&mut work.buffers, &mut work.cursors, now);
    }
}

#[test]
fn a_closed_output_file_has_whole_lines_within_its_size() {
    let house = House::new(&["w"], 100);
    let mut script = house.script("w");
    let engine = house.engine();
    let lines: String = (0..200).map(|n| format!("line {n}\n")).collect();
    script.write(lines.as_bytes());
    engine.flush_and_stop(PATIENCE);
    assert_eq!(house.output(), lines);
    for entry in fs::read_dir(house.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            assert!(bytes.len() <= 100 && bytes.ends_with(b"\n"), "{}", path.display());
        }
    }
}

#[test]
fn a_gap_in_a_spool_is_told_in_the_output() {
    let house = House::new(&["w"], 0);
    let mut work = house.work();
    let mut script = house.script("w");
    script.write(b"one\n").rotate().write(b"two\n").rotate().write(b"three\n");
    script.retire(4);
    work.wake_all();
    work.turn();
    assert_eq!(house.output(), "one\n[hsu-master] 4 bytes of w/stdout are missing here\nthree\n");
    assert_eq!(work.outputs[0].counters.status().missed, 4);
}

#[test]
fn a_line_without_end_is_written_in_parts_and_never_kept_whole() {
    let mut house = House::new(&[], 0);
    house.plan.outputs[0].inputs.push(input(spool_id(), LogFormat::Json));
    let mut script = house.script("w");
    let engine = house.engine();
    script.arrive(1, 1);
    let long = "\u{20ac}".repeat(1_000_000);
    script.write(long.as_bytes()).write(b"\nnext\n");
    assert_eq!(engine.flush_and_stop(PATIENCE), Flushed::All);
    let output = house.output();
    let parts: Vec<serde_json::Value> =
        output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let text: String = parts.iter().map(|part| part["line"].as_str().unwrap()).collect();
    assert_eq!(text, long + "next");
    let partial: Vec<_> = parts.iter().map(|part| part.get("partial").is_some()).collect();
    assert_eq!(partial, [true, true, false, false]);
}

#[test]
fn an_output_that_cannot_be_written_says_why_and_loses_nothing() {
    let house = House::new(&["w"], 0);
    fs::create_dir(house.path().join("out.log")).unwrap();
    let mut work = house.work();
    house.script("w").write(b"kept\n");
    work.wake_all();
    work.turn();
    let status = work.outputs[0].counters.status();
    assert!(status.stuck.unwrap().contains("out.log"), "{:?}", work.outputs[0]);
    assert!(work.outputs[0].retry_at().is_some());
    fs::remove_dir(house.path().join("out.log")).unwrap();
    let later = Instant::now() + Duration::from_secs(5);
    let Work { outputs, buffers, cursors, .. } = &mut work;
    outputs[0].advance(buffers, cursors, later);
    cursors.flush().unwrap();
    assert_eq!(house.output(), "kept\n");
    assert_eq!(outputs[0].counters.status().stuck, None);
}

#[test]
fn consumed_segments_of_an_internal_spool_are_deleted() {
    let house = House::new(&["w"], 0);
    let mut work = house.work();
    let mut script = house.script("w");
    let megabyte = "a line of sixteen\n".repeat(1 << 16);
    for _ in 0..6 {
        script.write(megabyte.as_bytes()).rotate();
    }
    work.wake_all();
    (0..8).for_each(|_| work.turn());
    let closed = fs::read_dir(&script.folder).unwrap();
    let closed = closed.filter(|e| {
        base_in_name("data", e.as_ref().unwrap().file_name().to_str().unwrap()).is_some()
    });
    assert!(closed.count() <= 3);
    assert_eq!(house.output().len(), 6 * megabyte.len());
}

/// A console that waits until it is told to go on.
struct Valve(Receiver<()>, Arc<Mutex<Vec<u8>>>);

impl Write for Valve {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        self.1.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_console_that_blocks_holds_up_no_file() {
    let mut house = House::new(&["w"], 0);
    let inputs = house.plan.outputs[0].inputs.clone();
    house.plan.outputs.push(OutputPlan { sink: Sink::Stdout, inputs });
    let (open, valve) = std::sync::mpsc::channel();
    let shown = Arc::new(Mutex::new(Vec::new()));
    let stdout = Valve(valve, Arc::clone(&shown));
    let engine = Engine::start(house.options(Box::new(stdout))).unwrap();
    house.script("w").write(b"line\n");
    assert_eq!(engine.flush_and_stop(Duration::from_millis(50)), Flushed::Behind);
    assert_eq!(house.output(), "line\n");
    assert_eq!(*shown.lock().unwrap(), b"");
    drop(open);
    // The next engine shows what the blocked one could not.
    let shown = Arc::new(Mutex::new(Vec::new()));
    let (open, valve) = std::sync::mpsc::channel();
    drop(open);
    let stdout = Valve(valve, Arc::clone(&shown));
    let engine = Engine::start(house.options(Box::new(stdout))).unwrap();
    assert_eq!(engine.flush_and_stop(PATIENCE), Flushed::All);
    assert_eq!(*shown.lock().unwrap(), b"line\n");
    assert_eq!(house.output(), "line\n");
}

#[test]
fn outputs_are_told_apart_in_the_status() {
    let house = House::new(&["w"], 0);
    let engine = house.engine();
    let status = engine.status();
    assert_eq!(status.len(), 1);
    assert_eq!(status[0].sink, house.plan.outputs[0].sink);
}
