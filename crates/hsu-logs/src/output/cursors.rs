//! The cursors of all outputs: how far each has come, durable against SIGKILL.
//!
//! One text file, to which a short record is appended for each commit: how long an
//! output's file is, and up to where each spool has been written into it. Lines in
//! an output beyond its last commit are cut off and written again by the next
//! engine, so that every line is there once. A torn record at the end, the only
//! one that a kill can tear, fails its checksum and was never made.
//!
//! ```text
//! hsu-cursors 1
//! n 0 /var/log/all.log                name 0 is this output or input
//! n 1 web/stdout
//! c 0 BASE LENGTH TAIL 1=4711 2=99    a commit
//! r 0                                 the file is being closed at its committed length
//! f 0                                 the output is forgotten
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use hsu_model::spool::checksum;

use crate::error::LogError;
use crate::plan::replace;

#[cfg(test)]
mod tests;

/// The first line of the file.
const TITLE: &str = "hsu-cursors 1\n";
/// A file of this size is written anew.
const COMPACT_AT: u64 = 256 << 10;

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

/// What the last commit of an output says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Committed {
    /// Where its file stands.
    pub(crate) file: Mark,
    /// Whether the file was being closed.
    pub(crate) rotating: bool,
    /// By name of an input: the stream offset up to which it is in the output.
    pub(crate) offsets: BTreeMap<String, u64>,
}

/// The open file of cursors.
#[derive(Debug)]
pub(crate) struct Cursors {
    path: PathBuf,
    file: Option<File>,
    size: u64,
    compact_at: u64,
    numbers: BTreeMap<String, usize>,
    outputs: BTreeMap<String, Committed>,
    /// Records that are not in the file yet.
    staged: String,
    /// What the outputs are once they are.
    next: BTreeMap<String, Committed>,
}

impl Cursors {
    /// Reads the cursors in `folder`, which is made when missing.
    pub(crate) fn open(folder: &Path) -> Result<Self, LogError> {
        std::fs::create_dir_all(folder).map_err(LogError::io("create", folder))?;
        let mut cursors = Self {
            path: folder.join("cursors"),
            file: None,
            size: 0,
            compact_at: COMPACT_AT,
            numbers: BTreeMap::new(),
            outputs: BTreeMap::new(),
            staged: String::new(),
            next: BTreeMap::new(),
        };
        match std::fs::read(&cursors.path) {
            Ok(bytes) => cursors.replay(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(LogError::io("read", &cursors.path)(error)),
        }
        cursors.compact_at = COMPACT_AT.max(cursors.size * 4);
        Ok(cursors)
    }

    /// What the last commit of an output says; none when it never had one.
    pub(crate) fn committed(&self, output: &str) -> Option<&Committed> {
        self.outputs.get(output)
    }

    /// Prepares a commit of one output. It counts after [`Self::flush`].
    pub(crate) fn stage<'a>(
        &mut self,
        output: &str,
        file: Mark,
        offsets: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        let number = self.number(output);
        let mut record = format!("c {number} {} {} {:x}", file.base, file.length, file.tail);
        let mut state = self.latest(output);
        state.file = file;
        state.rotating = false;
        for (name, offset) in offsets {
            // Writing to a String never fails.
            let _ = write!(record, " {}={offset}", self.number(name));
            state.offsets.insert(name.to_owned(), offset);
        }
        self.seal(&record);
        self.next.insert(output.to_owned(), state);
    }

    /// Prepares a note that the file of an output is about to be closed, at the
    /// length of its last commit.
    pub(crate) fn stage_rotation(&mut self, output: &str) {
        let record = format!("r {}", self.number(output));
        self.seal(&record);
        let state = Committed { rotating: true, ..self.latest(output) };
        self.next.insert(output.to_owned(), state);
    }

    /// Makes everything count that was staged, or nothing of it.
    pub(crate) fn flush(&mut self) -> Result<(), LogError> {
        if self.staged.is_empty() {
            return Ok(());
        }
        let records = std::mem::take(&mut self.staged);
        let next = std::mem::take(&mut self.next);
        if self.size == 0 {
            return self.write_first(next);
        }
        if let Err(error) = self.append(records.as_bytes()) {
            // Names that were staged are not in the file: it is written anew.
            self.size = 0;
            return Err(LogError::io("write", &self.path)(error));
        }
        self.outputs.extend(next);
        if self.size > self.compact_at {
            // The commit counts already. A file that cannot be written anew now is
            // written anew by the next commit.
            let _ = self.compact();
        }
        Ok(())
    }

    /// Writes the file as a whole, with what was staged.
    fn write_first(&mut self, next: BTreeMap<String, Committed>) -> Result<(), LogError> {
        let before = self.outputs.clone();
        self.outputs.extend(next);
        let written = self.compact();
        if written.is_err() {
            self.outputs = before;
        }
        written
    }

    /// Forgets outputs that are no longer wanted.
    pub(crate) fn keep(&mut self, wanted: &BTreeSet<&str>) {
        let gone = |name: &&String| !wanted.contains(name.as_str());
        let gone: Vec<String> = self.outputs.keys().filter(gone).cloned().collect();
        for name in gone {
            let record = format!("f {}", self.number(&name));
            self.seal(&record);
            self.outputs.remove(&name);
            self.next.remove(&name);
        }
    }

    /// Forgets inputs that an output no longer has, when the file is next written anew.
    pub(crate) fn keep_inputs(&mut self, output: &str, wanted: &BTreeSet<&str>) {
        if let Some(state) = self.outputs.get_mut(output) {
            state.offsets.retain(|name, _| wanted.contains(name.as_str()));
        }
    }

    fn latest(&self, output: &str) -> Committed {
        self.next.get(output).or_else(|| self.outputs.get(output)).cloned().unwrap_or_default()
    }

    fn seal(&mut self, record: &str) {
        let sum = checksum(record.as_bytes());
        let _ = writeln!(self.staged, "{record} {sum:016x}");
    }

    fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.numbers.len();
        self.numbers.insert(name.to_owned(), number);
        self.seal(&format!("n {number} {}", name.escape_debug()));
        number
    }

    /// Appends by one write; a failed one leaves nothing that counts.
    fn append(&mut self, records: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            closed => {
                let file = OpenOptions::new().write(true).open(&self.path)?;
                // What was read as torn, and whatever followed it, must not follow this record.
                file.set_len(self.size)?;
                closed.insert(file)
            }
        };
        let written = file.seek(SeekFrom::Start(self.size)).and_then(|_| file.write_all(records));
        match &written {
            Ok(()) => self.size += records.len() as u64,
            Err(_) => {
                let _ = file.set_len(self.size);
                self.file = None;
            }
        }
        written
    }

    /// Writes the file anew: what still counts, and no more.
    fn compact(&mut self) -> Result<(), LogError> {
        self.numbers.clear();
        let outputs = std::mem::take(&mut self.outputs);
        for (name, state) in &outputs {
            let offsets = state.offsets.iter().map(|(name, offset)| (name.as_str(), *offset));
            self.stage(name, state.file, offsets);
            if state.rotating {
                self.stage_rotation(name);
            }
        }
        self.outputs = outputs;
        self.next.clear();
        let text = format!("{TITLE}{}", std::mem::take(&mut self.staged));
        self.file = None;
        self.size = 0;
        replace(&self.path, text.as_bytes())?;
        let file = OpenOptions::new().write(true).open(&self.path);
        self.file = Some(file.map_err(LogError::io("open", &self.path))?);
        self.size = text.len() as u64;
        self.compact_at = COMPACT_AT.max(self.size * 4);
        Ok(())
    }

    fn replay(&mut self, text: &[u8]) {
        let Some(records) = text.strip_prefix(TITLE.as_bytes()) else {
            return;
        };
        self.size = TITLE.len() as u64;
        let mut names = Vec::new();
        for line in records.split_inclusive(|byte| *byte == b'\n') {
            if unseal(line).and_then(|record| self.apply(record, &mut names)).is_none() {
                // Torn: it and whatever follows never happened.
                break;
            }
            self.size += line.len() as u64;
        }
    }

    fn apply(&mut self, record: &str, names: &mut Vec<String>) -> Option<()> {
        let (kind, rest) = record.split_once(' ')?;
        if kind == "n" {
            let (number, name) = rest.split_once(' ')?;
            let name = unescape(name)?;
            (number.parse() == Ok(names.len())).then_some(())?;
            self.numbers.insert(name.clone(), names.len());
            names.push(name);
            return Some(());
        }
        let mut words = rest.split(' ');
        let name_of = |word: &str| names.get(word.parse::<usize>().ok()?);
        let output = name_of(words.next()?)?;
        match kind {
            "c" => {
                let state = self.outputs.entry(output.clone()).or_default();
                state.rotating = false;
                state.file = Mark {
                    base: words.next()?.parse().ok()?,
                    length: words.next()?.parse().ok()?,
                    tail: u64::from_str_radix(words.next()?, 16).ok()?,
                };
                for word in words {
                    let (input, offset) = word.split_once('=')?;
                    state.offsets.insert(name_of(input)?.clone(), offset.parse().ok()?);
                }
            }
            "r" => self.outputs.entry(output.clone()).or_default().rotating = true,
            "f" => drop(self.outputs.remove(output)),
            _ => return None,
        }
        Some(())
    }
}

/// The record in a line, when its checksum is right.
fn unseal(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (record, sum) = line.rsplit_once(' ')?;
    let sum = u64::from_str_radix(sum, 16).ok()?;
    (sum == checksum(record.as_bytes())).then_some(record)
}

/// Undoes `escape_debug`, as far as a path or an id needs it.
fn unescape(text: &str) -> Option<String> {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let c = if c != '\\' {
            c
        } else {
            match chars.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                '0' => '\0',
                'u' => {
                    let code: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                    char::from_u32(u32::from_str_radix(&code, 16).ok()?)?
                }
                other => other,
            }
        };
        plain.push(c);
    }
    Some(plain)
}
