//! A disk that refuses a call, whichever it is: nothing is lost, doubled or taken for gone.
//!
//! The disk is the real one, but that one call fails. The clocks are the test's own.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use hsu_keeper::pump::carrier::{Carrier, Clocks, Ground, Ready, Watch, Work};
use hsu_keeper::pump::disk::Pipe as _;
use hsu_keeper::pump::disk::{Access, Disk, DiskFile, Facts, Missing};
use hsu_keeper::pump::host::{Host, Scratch};
use hsu_model::id::RunId;
use hsu_model::logs::OnFull;
use hsu_model::spool::head::Head;
use hsu_model::spool::plan::{PumpPlan, SpoolPlan};
use hsu_model::spool::{HEAD_FILE, index_name};
use hsu_model::time::WallTime;

use crate::fixture::{Folder, spool};

/// Counts calls; the ones that are due fail.
#[derive(Clone, Debug, Default)]
struct Faulty {
    calls: Rc<Cell<u32>>,
    fails_at: Rc<Cell<[u32; 2]>>,
}

impl Faulty {
    fn enter(&self) -> io::Result<()> {
        self.calls.set(self.calls.get() + 1);
        match self.fails_at.get().contains(&self.calls.get()) {
            true => Err(io::Error::from_raw_os_error(libc::EIO)),
            false => Ok(()),
        }
    }

    fn open_file(&self, file: io::Result<File>) -> io::Result<FaultyFile> {
        file.map(|file| FaultyFile { file, disk: self.clone() })
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: File,
    disk: Faulty,
}

impl Disk for Faulty {
    type File = FaultyFile;

    fn open(&self, path: &Path, missing: Missing) -> io::Result<FaultyFile> {
        self.enter().and_then(|()| self.open_file(Host.open(path, missing)))
    }

    fn create(&self, path: &Path) -> io::Result<FaultyFile> {
        self.enter().and_then(|()| self.open_file(Host.create(path)))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.enter().and_then(|()| Host.read(path))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.enter().and_then(|()| Host.write(path, bytes))
    }

    fn facts(&self, path: &Path) -> io::Result<Facts> {
        self.enter().and_then(|()| Disk::facts(&Host, path))
    }

    fn inode(&self, path: &Path) -> io::Result<u64> {
        self.enter().and_then(|()| Host.inode(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.enter().and_then(|()| Host.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.enter().and_then(|()| Host.remove(path))
    }

    fn make_folders(&self, path: &Path, access: Access) -> io::Result<()> {
        self.enter().and_then(|()| Host.make_folders(path, access))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.enter().and_then(|()| Host.list(folder))
    }
}

impl DiskFile for FaultyFile {
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.disk.enter().and_then(|()| DiskFile::read_exact_at(&self.file, buffer, at))
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.disk.enter().and_then(|()| DiskFile::write_all_at(&self.file, bytes, at))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.disk.enter().and_then(|()| self.file.set_len(length))
    }

    fn facts(&self) -> io::Result<Facts> {
        self.disk.enter().and_then(|()| DiskFile::facts(&self.file))
    }

    fn set_modified(&self, seconds: i64) -> io::Result<()> {
        self.disk.enter().and_then(|()| DiskFile::set_modified(&self.file, seconds))
    }

    fn copy_rest(&self, from: u64, to: &Self) -> io::Result<()> {
        self.disk.enter().and_then(|()| self.file.copy_rest(from, &to.file))
    }
}

/// A pipe whose file is in a faulty disk.
#[derive(Debug)]
struct Tap(OwnedFd);

impl hsu_keeper::pump::disk::Pipe<FaultyFile> for Tap {
    type Scratch = Scratch;

    fn splice(&self, file: &FaultyFile, at: u64, most: usize) -> io::Result<usize> {
        file.disk.enter().and_then(|()| self.0.splice(&file.file, at, most))
    }

    fn waiting(&self) -> io::Result<usize> {
        self.0.waiting()
    }

    fn take(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.take(buffer)
    }

    fn peek(&self, scratch: &mut Scratch, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.peek(scratch, buffer)
    }

    fn capacity(&self) -> io::Result<usize> {
        self.0.capacity()
    }

    fn grow(&self, size: usize) -> io::Result<usize> {
        self.0.grow(size)
    }
}

/// Nobody waits: the test says what is ready.
#[derive(Debug)]
struct Nobody;

impl Watch<Tap> for Nobody {
    fn add(&self, _: &Tap, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &Tap) -> io::Result<()> {
        Ok(())
    }
}

/// A carrier with one pipe, and clocks that the test turns on.
struct Rig {
    carrier: Carrier<Faulty, Tap, Nobody>,
    disk: Faulty,
    worker: Option<io::PipeWriter>,
    now: Instant,
    reckoned: i64,
}

impl Rig {
    fn new(folder: &Folder, plan: SpoolPlan) -> Self {
        let disk = Faulty::default();
        let ground = Ground {
            disk: disk.clone(),
            folder: folder.spools(),
            watch: Nobody,
            scratch: Scratch::new().unwrap(),
            descriptors: 1024,
        };
        let now = Instant::now();
        let mut carrier = Carrier::new(ground, now);
        carrier.set_plan(PumpPlan { spools: [(spool(), plan)].into_iter().collect() });
        let (reader, writer) = io::pipe().unwrap();
        carrier.carry(RunId(1), spool(), Tap(reader.into()), now).unwrap();
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let reckoned = i64::try_from(since.as_nanos()).unwrap();
        Self { carrier, disk, worker: Some(writer), now, reckoned }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.worker.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Two seconds pass, and the pump does what is due.
    fn turn(&mut self) -> Work {
        self.now += Duration::from_secs(2);
        let carried: Vec<usize> =
            self.carrier.carried().map(|(_, _, tap)| tap.waiting().unwrap()).collect();
        let (readable, hung_up) = (carried.iter().any(|count| *count > 0), self.worker.is_none());
        let ready = Ready { token: 0, readable, hung_up };
        let has_news = !carried.is_empty() && (readable || hung_up);
        let wall = WallTime(self.reckoned);
        let clocks = Clocks { tick: self.now, wall, reckoned: wall };
        self.carrier.work(if has_news { std::slice::from_ref(&ready) } else { &[] }, clocks)
    }
}

fn head(folder: &Folder) -> Head {
    let bytes = fs::read(folder.spool_folder().join(HEAD_FILE)).unwrap_or_default();
    bytes.first_chunk().and_then(Head::decode).unwrap_or_default()
}

#[test]
fn whichever_call_is_refused_no_byte_is_lost_or_doubled_and_no_place_is_left_out() {
    refuse_each_call(0);
}

#[test]
fn nor_when_the_next_attempt_is_refused_too() {
    // As many calls later as it takes to look at the files of a spool again.
    refuse_each_call(6);
}

/// Refuses each call of a pump that moves some lines, one in each life, and one so many later.
fn refuse_each_call(later: u32) {
    let lines: Vec<u8> = (0..60).flat_map(|n| format!("line {n:06}\n").into_bytes()).collect();
    let mut calls = u32::MAX;
    let mut number = 0;
    while number < calls {
        number += 1;
        let folder = Folder::new();
        let mut rig = Rig::new(&folder, folder.plan(100, 0));
        rig.disk.fails_at.set([number, number + later]);
        for part in lines.chunks(70) {
            rig.write(part);
            rig.turn();
            rig.turn();
        }
        drop(rig.worker.take());
        let mut drained = Vec::new();
        for _ in 0..6 {
            drained.extend(rig.turn().drained);
        }
        assert_eq!(drained.len(), 1, "call {number}");
        assert!(folder.content() == lines, "call {number}");
        let segments = folder.segments();
        let mut offset = 0;
        for (base, bytes) in &segments {
            let base = base.unwrap_or_else(|| head(&folder).base);
            assert_eq!(base, offset, "call {number}");
            offset += bytes.len() as u64;
            let index = fs::read(folder.spool_folder().join(index_name(base)));
            assert!(!index.unwrap().is_empty(), "call {number}");
        }
        // As many calls are tried as there are.
        calls = rig.disk.calls.get();
    }
    assert!(calls > 200, "{calls} calls");
}

#[test]
fn a_segment_is_young_that_was_closed_while_the_clock_showed_last_year() {
    const YEAR: i64 = 31_536_000_000_000_000;
    let folder = Folder::new();
    let mut plan = folder.plan(20, 0);
    plan.rotation.max_age = Some(Duration::from_secs(3600));
    let mut rig = Rig::new(&folder, plan);
    // The files are written now, and now is last year: the clock of the host is behind.
    rig.reckoned += YEAR;
    for _ in 0..4 {
        rig.write(b"a line of a worker\n");
        rig.turn();
    }
    for _ in 0..6 {
        rig.turn();
    }
    assert!(folder.segments().len() > 2);
    assert_eq!(folder.content(), b"a line of a worker\n".repeat(4));
}

#[test]
fn what_was_dropped_before_the_spool_could_be_opened_is_told_and_moves_no_place() {
    let folder = Folder::new();
    fs::create_dir_all(folder.spool_folder()).unwrap();
    let before = Head { base: 500, dropped: 7, announced: 7, ..Head::default() };
    fs::write(folder.spool_folder().join(HEAD_FILE), before.encode()).unwrap();
    let place = format!("{}\n", folder.log().display());
    fs::write(folder.spool_folder().join("place"), place).unwrap();
    // A folder is where the log file should be.
    fs::create_dir(folder.log()).unwrap();
    let mut rig = Rig::new(&folder, SpoolPlan { on_full: OnFull::Drop, ..folder.plan(1 << 20, 0) });
    rig.write(b"0123456789\n");
    rig.turn();
    rig.turn();
    let meanwhile = head(&folder);
    assert_eq!((meanwhile.base, meanwhile.dropped), (500, 18));
    fs::remove_dir(folder.log()).unwrap();
    rig.turn();
    rig.write(b"after\n");
    rig.turn();
    assert_eq!(folder.content(), b"[hsu-master] dropped 11 bytes\nafter\n");
    assert_eq!((head(&folder).base, head(&folder).announced), (500, 18));
}
