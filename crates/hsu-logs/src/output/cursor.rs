//! The cursor of an output: how far it has come, durable against SIGKILL.
//!
//! A text file to which one short record is appended for each commit: how long the
//! output's file is, and up to where each spool has been written into it. Lines in
//! the output beyond the last commit are cut off and written again by the next
//! engine, so that every line is there once. A torn record at the end, the only
//! one that a kill can tear, fails its checksum and was never made.
//!
//! ```text
//! hsu-output 1 /var/log/all.log
//! n 0 web/stdout                      slot 0 is this spool
//! c BASE LENGTH TAIL 0=4711 3=99      a commit
//! r BASE LENGTH                       the file is being closed at this length
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use hsu_model::spool::checksum;

use crate::error::LogError;
use crate::plan::replace;

#[cfg(test)]
mod tests;

/// A cursor file of this size is written anew.
const COMPACT_AT: u64 = 256 << 10;

/// What the last commit says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Committed {
    /// Where the file stands.
    pub(crate) file: Mark,
    /// Whether the file was being closed.
    pub(crate) rotating: bool,
    /// By name of an input: the stream offset up to which it is in the output.
    pub(crate) offsets: BTreeMap<String, u64>,
}

/// Where an output's file stands at a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Bytes of the output before its current file.
    pub(crate) base: u64,
    /// Bytes in its current file.
    pub(crate) length: u64,
    /// The checksum of the last bytes of the file; 0 when it says nothing.
    pub(crate) tail: u64,
}

/// An open cursor.
#[derive(Debug)]
pub(crate) struct Cursor {
    path: PathBuf,
    title: String,
    file: Option<File>,
    size: u64,
    compact_at: u64,
    slots: BTreeMap<String, usize>,
    state: Committed,
}

impl Cursor {
    /// Reads the cursor at `path` of the output named `output`; one of another
    /// output, or none, is a fresh one.
    pub(crate) fn open(path: PathBuf, output: &str) -> Result<Self, LogError> {
        let title = format!("hsu-output 1 {}", output.escape_debug());
        let mut cursor = Self {
            path,
            title,
            file: None,
            size: 0,
            compact_at: COMPACT_AT,
            slots: BTreeMap::new(),
            state: Committed::default(),
        };
        let text = match std::fs::read(&cursor.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(LogError::io("read", &cursor.path)(error)),
        };
        cursor.replay(&text);
        Ok(cursor)
    }

    /// What the last commit says.
    pub(crate) fn committed(&self) -> &Committed {
        &self.state
    }

    /// Makes what was done so far count.
    pub(crate) fn commit<'a>(
        &mut self,
        mark: Mark,
        offsets: impl Iterator<Item = (&'a str, u64)>,
    ) -> Result<(), LogError> {
        let Mark { base, length, tail } = mark;
        let mut names = String::new();
        let mut record = format!("c {base} {length} {tail:x}");
        let mut changed = Vec::new();
        for (name, offset) in offsets {
            let slot = self.slot(name, &mut names);
            // Writing to a String never fails.
            let _ = write!(record, " {slot}={offset}");
            changed.push((name.to_owned(), offset));
        }
        self.append(&format!("{names}{}", sealed(&record)))?;
        self.state.offsets.extend(changed);
        self.state.file = mark;
        self.state.rotating = false;
        if self.size > self.compact_at {
            self.compact()?;
        }
        Ok(())
    }

    /// Says that the file is about to be closed, at the length of the last commit.
    pub(crate) fn rotating(&mut self) -> Result<(), LogError> {
        let Mark { base, length, .. } = self.state.file;
        let record = format!("r {base} {length}");
        self.append(&sealed(&record))?;
        self.state.rotating = true;
        Ok(())
    }

    /// Forgets inputs that the output no longer has.
    pub(crate) fn keep(&mut self, wanted: impl Fn(&str) -> bool) {
        self.state.offsets.retain(|name, _| wanted(name));
    }

    /// Closes the file; the next commit opens it again.
    pub(crate) fn close(&mut self) {
        self.file = None;
    }

    fn slot(&mut self, name: &str, names: &mut String) -> usize {
        if let Some(slot) = self.slots.get(name) {
            return *slot;
        }
        let slot = self.slots.len();
        self.slots.insert(name.to_owned(), slot);
        names.push_str(&sealed(&format!("n {slot} {name}")));
        slot
    }

    /// Appends records by one write; a failed one leaves nothing behind.
    fn append(&mut self, records: &str) -> Result<(), LogError> {
        if self.size == 0 {
            return self.start_with(records);
        }
        let written = self.try_append(records.as_bytes());
        if written.is_err() {
            // What is half written must not stand before what comes later. When
            // even this fails, the checksum tells.
            let _ = self.file.as_ref().map(|file| file.set_len(self.size));
            self.file = None;
        }
        written.map_err(LogError::io("write", &self.path))?;
        self.size += records.len() as u64;
        Ok(())
    }

    fn try_append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => empty.insert(OpenOptions::new().write(true).open(&self.path)?),
        };
        file.seek(SeekFrom::Start(self.size))?;
        file.write_all(bytes)
    }

    /// Writes the file anew: its title, and what still counts.
    fn compact(&mut self) -> Result<(), LogError> {
        self.slots.clear();
        let mut text = String::new();
        let state = std::mem::take(&mut self.state);
        let Mark { base, length, tail } = state.file;
        let mut record = format!("c {base} {length} {tail:x}");
        for (name, offset) in &state.offsets {
            let slot = self.slot(name, &mut text);
            let _ = write!(record, " {slot}={offset}");
        }
        self.state = state;
        text.push_str(&sealed(&record));
        self.start_with(&text)?;
        self.compact_at = COMPACT_AT.max(self.size * 4);
        Ok(())
    }

    fn start_with(&mut self, records: &str) -> Result<(), LogError> {
        let text = format!("{}\n{records}", self.title);
        self.file = None;
        replace(&self.path, text.as_bytes())?;
        self.size = text.len() as u64;
        Ok(())
    }

    fn replay(&mut self, text: &[u8]) {
        let mut lines = text.split_inclusive(|byte| *byte == b'\n');
        let title = lines.next().and_then(|line| line.strip_suffix(b"\n"));
        if title != Some(self.title.as_bytes()) {
            return;
        }
        self.size = self.title.len() as u64 + 1;
        let mut names = Vec::new();
        for line in lines {
            if open(line)
                .and_then(|record| self.apply(record, &mut names))
                .is_none()
            {
                // Torn: it and whatever follows never happened.
                break;
            }
            self.size += line.len() as u64;
        }
    }

    fn apply(&mut self, record: &str, names: &mut Vec<String>) -> Option<()> {
        let mut words = record.split(' ');
        match words.next()? {
            "n" => {
                let slot: usize = words.next()?.parse().ok()?;
                let name = words.next()?.to_owned();
                self.slots.insert(name.clone(), slot);
                names.resize(names.len().max(slot + 1), String::new());
                *names.get_mut(slot)? = name;
            }
            "c" => {
                self.state.file = Mark {
                    base: words.next()?.parse().ok()?,
                    length: words.next()?.parse().ok()?,
                    tail: u64::from_str_radix(words.next()?, 16).ok()?,
                };
                self.state.rotating = false;
                for word in words {
                    let (slot, offset) = word.split_once('=')?;
                    let name = names.get(slot.parse::<usize>().ok()?)?.clone();
                    self.state.offsets.insert(name, offset.parse().ok()?);
                }
            }
            "r" => self.state.rotating = true,
            _ => return None,
        }
        Some(())
    }
}

/// A record with its checksum.
fn sealed(record: &str) -> String {
    format!("{record} {:016x}\n", checksum(record.as_bytes()))
}

/// The record in a line, when its checksum is right.
fn open(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (record, sum) = line.rsplit_once(' ')?;
    let sum = u64::from_str_radix(sum, 16).ok()?;
    (sum == checksum(record.as_bytes())).then_some(record)
}

/// Where the cursor of an output is kept.
pub(crate) fn cursor_path(cursors: &Path, output: &str) -> PathBuf {
    cursors.join(format!("{:016x}.cursor", checksum(output.as_bytes())))
}
