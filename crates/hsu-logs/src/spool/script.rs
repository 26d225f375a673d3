//! A spool written by hand: every state that a pump, a rotation or a stranger can
//! leave, one step at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use hsu_model::id::{RunId, WorkerId};
use hsu_model::logs::Stream;
use hsu_model::spool::head::Head;
use hsu_model::spool::index::{Mark, Record};
use hsu_model::spool::{DATA_FILE, HEAD_FILE, SpoolId, closed_path, index_name, next_path};
use hsu_model::time::WallTime;

/// The id that scripts use unless they say otherwise.
pub(crate) fn spool_id() -> SpoolId {
    SpoolId { worker: WorkerId::new("w").expect("a valid id"), stream: Stream::Stdout }
}

/// Writes the spool of one stream.
pub(crate) struct Script {
    pub(crate) folder: PathBuf,
    pub(crate) head: Head,
    length: u64,
    latest: (i64, u64),
}

impl Script {
    /// A spool in `spools` that does not exist yet.
    pub(crate) fn new(spools: &Path, id: &SpoolId) -> Self {
        let folder = spools.join(id.worker.as_str()).join(id.stream.as_str());
        fs::create_dir_all(&folder).unwrap();
        Self { folder, head: Head::default(), length: 0, latest: (0, 0) }
    }

    pub(crate) fn data(&self) -> String {
        self.folder.join(DATA_FILE).to_str().unwrap().to_owned()
    }

    pub(crate) fn end(&self) -> u64 {
        self.head.base + self.length
    }

    /// Says when and by whom the next bytes are written.
    pub(crate) fn arrive(&mut self, seconds: i64, run: u64) -> &mut Self {
        self.latest = (seconds * 1_000_000_000, run);
        let at = self.length;
        self.record(Record { at, mark: Mark::Run(RunId(run)) });
        self.record(Record { at, mark: Mark::Arrived(WallTime(self.latest.0)) });
        self
    }

    fn record(&self, record: Record) {
        let path = self.folder.join(index_name(self.head.base));
        let mut index = OpenOptions::new().create(true).append(true).open(path).unwrap();
        index.write_all(&record.encode()).unwrap();
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> &mut Self {
        let mut file =
            OpenOptions::new().create(true).write(true).truncate(false).open(self.data()).unwrap();
        file.seek(SeekFrom::Start(self.length)).unwrap();
        file.write_all(bytes).unwrap();
        self.length += bytes.len() as u64;
        self
    }

    pub(crate) fn save_head(&self) {
        fs::write(self.folder.join(HEAD_FILE), self.head.encode()).unwrap();
    }

    /// Rotates at a stream offset, but stops after so many of the six steps.
    pub(crate) fn rotate_partly(&mut self, cut: u64, steps: u32) {
        (1..=steps).for_each(|step| self.one_step(cut, step));
    }

    /// One of the six steps of a rotation.
    pub(crate) fn one_step(&mut self, cut: u64, step: u32) {
        let kept = cut - self.head.base;
        let closed = closed_path(&self.data(), self.head.base);
        match step {
            1 => {
                self.head.cut = cut;
                self.save_head();
            }
            2 => {
                let bytes = fs::read(self.data()).unwrap();
                let tail = &bytes[usize::try_from(kept).unwrap()..];
                fs::write(next_path(&self.data()), tail).unwrap();
            }
            3 => fs::rename(self.data(), &closed).unwrap(),
            4 => fs::rename(next_path(&self.data()), self.data()).unwrap(),
            5 => OpenOptions::new().write(true).open(&closed).unwrap().set_len(kept).unwrap(),
            _ => {
                self.head.base = cut;
                self.head.cut = 0;
                self.length -= kept;
                let (time, run) = self.latest;
                self.record(Record { at: 0, mark: Mark::Run(RunId(run)) });
                self.record(Record { at: 0, mark: Mark::Arrived(WallTime(time)) });
                self.save_head();
            }
        }
    }

    /// Rotates at the end of what is written.
    pub(crate) fn rotate(&mut self) -> &mut Self {
        self.rotate_partly(self.end(), 6);
        self
    }

    /// Deletes a closed segment, as retention does.
    pub(crate) fn retire(&self, base: u64) {
        fs::remove_file(closed_path(&self.data(), base)).unwrap();
    }

    /// Somebody empties the current file; the pump notices with the next byte and
    /// goes on in a fresh one.
    pub(crate) fn emptied(&mut self) {
        File::create(self.data()).unwrap();
        fs::remove_file(self.data()).unwrap();
        self.head.base = self.end();
        self.length = 0;
        self.save_head();
    }
}
