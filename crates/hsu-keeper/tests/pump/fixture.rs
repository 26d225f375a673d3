//! A pump with a folder of its own, and the files it leaves as one would read them.

use std::fs;
use std::io::{self, PipeWriter};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hsu_keeper::pump::{Pump, PumpOptions};
use hsu_model::id::RunId;
use hsu_model::logs::{OnFull, Rotation};
use hsu_model::spool::index::{Mark, Record};
use hsu_model::spool::plan::{PumpPlan, SpoolPlan};
use hsu_model::spool::{PLAN_FILE, SpoolId, base_in_name, index_name};
use hsu_model::units::ByteSize;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A folder that is deleted at the end of its test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("hsu-pump-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn spools(&self) -> PathBuf {
        self.0.join("spools")
    }

    /// The log file that `plan_of` names.
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("w.log")
    }

    pub(crate) fn options(&self) -> PumpOptions {
        PumpOptions { spools: self.spools(), notices: self.0.join("logs.sock") }
    }

    /// Writes a plan for `w/stdout` and opens a pump.
    pub(crate) fn pump(&self, plan: SpoolPlan) -> Pump {
        self.write_plan(plan);
        Pump::open(&self.options()).unwrap()
    }

    pub(crate) fn write_plan(&self, plan: SpoolPlan) {
        fs::create_dir_all(self.spools()).unwrap();
        let plan = PumpPlan { spools: [(spool(), plan)].into_iter().collect() };
        fs::write(self.spools().join("plan.draft"), plan.encode()).unwrap();
        fs::rename(self.spools().join("plan.draft"), self.spools().join(PLAN_FILE)).unwrap();
    }

    /// A plan whose spool is [`Self::log`].
    pub(crate) fn plan(&self, max_size: u64, max_files: u32) -> SpoolPlan {
        let path = self.log().to_str().unwrap().to_owned();
        SpoolPlan {
            log_file: Some(path),
            rotation: Rotation { max_size: ByteSize(max_size), max_files, max_age: None },
            on_full: OnFull::Block,
            ..SpoolPlan::fallback()
        }
    }

    pub(crate) fn spool_folder(&self) -> PathBuf {
        self.spools().join("w/stdout")
    }

    /// The closed segments, oldest first, and the current one.
    pub(crate) fn segments(&self) -> Vec<(Option<u64>, Vec<u8>)> {
        segments(&self.log())
    }

    /// Every byte in every segment, in order.
    pub(crate) fn content(&self) -> Vec<u8> {
        self.segments().into_iter().flat_map(|(_, bytes)| bytes).collect()
    }

    /// The records of the segment that begins at `base`.
    pub(crate) fn records(&self, base: u64) -> Vec<Record> {
        let bytes = fs::read(self.spool_folder().join(index_name(base))).unwrap_or_default();
        bytes.as_chunks().0.iter().map(|r| Record::decode(r).unwrap()).collect()
    }

    /// Places at which the pump says that it added a line end.
    pub(crate) fn added_line_ends(&self, base: u64) -> Vec<u64> {
        let added = |record: &Record| record.mark == Mark::LineEndAdded;
        self.records(base).iter().filter(|r| added(r)).map(|r| r.at).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn segments(path: &Path) -> Vec<(Option<u64>, Vec<u8>)> {
    let stem = path.file_name().unwrap().to_str().unwrap();
    let mut bases: Vec<u64> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .filter_map(|entry| base_in_name(stem, entry.unwrap().file_name().to_str()?))
        .collect();
    bases.sort_unstable();
    let closed = |base: &u64| {
        let path = format!("{}.{base:020}", path.display());
        (Some(*base), fs::read(path).unwrap())
    };
    let mut all: Vec<_> = bases.iter().map(closed).collect();
    all.push((None, fs::read(path).unwrap_or_default()));
    all
}

pub(crate) fn spool() -> SpoolId {
    SpoolId::parse("w/stdout").unwrap()
}

/// A pipe that the pump carries as `run`; the writer's end.
pub(crate) fn attach(pump: &mut Pump, run: u64) -> PipeWriter {
    let (reader, writer) = io::pipe().unwrap();
    pump.carry(RunId(run), spool(), OwnedFd::from(reader)).unwrap();
    writer
}

/// Turns the pump until nothing more happens, and answers the runs that were drained.
pub(crate) fn settle(pump: &mut Pump) -> Vec<u64> {
    turn_for(pump, Duration::from_millis(60))
}

/// Turns the pump for some time, and often enough on a host that gives us none of it.
pub(crate) fn turn_for(pump: &mut Pump, time: Duration) -> Vec<u64> {
    const TURNS: u32 = 8;
    let end = Instant::now() + time;
    let (mut drained, mut turns) = (Vec::new(), 0);
    while turns < TURNS || Instant::now() < end {
        turns += 1;
        let turn = pump.turn(Some(Duration::from_millis(20))).unwrap();
        drained.extend(turn.drained.into_iter().map(|(run, _)| run.0));
    }
    drained
}

/// Turns the pump until `done` or ten seconds have passed.
pub(crate) fn turn_until(pump: &mut Pump, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < end, "the pump did not come so far");
        pump.turn(Some(Duration::from_millis(20))).unwrap();
    }
}
