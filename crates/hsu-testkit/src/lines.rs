//! Lines that prove themselves: what `hsu-dummy` writes and [`LineCheck`] judges.
//!
//! A line is `hsu WRITER STREAM SEQUENCE CHECK FILLER`, made from nothing but the
//! writer's name, the stream, the sequence number and the wished length, so that
//! it can be made again and compared byte by byte. `CHECK` covers the length
//! too: a line with its tail cut off is torn and not merely short. Whatever
//! stands before `hsu ` on a line (a time stamp, a worker's name) is ignored.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::error::TestError;

/// What every line begins with, after a prefix of others.
const MARK: &[u8] = b"hsu ";
/// The shortest line, its end included.
pub const SHORTEST: usize = 48;

/// Appends one line of at least [`SHORTEST`] bytes, its line end included, to `out`.
pub fn write_line(out: &mut Vec<u8>, writer: &str, stream: char, sequence: u64, length: usize) {
    let begin = out.len();
    let head = format!(
        "hsu {writer} {stream} {sequence:010} {:08x} ",
        check(writer, stream, sequence, length)
    );
    out.extend_from_slice(head.as_bytes());
    let mut letter = sequence % 26;
    while out.len() - begin + 1 < length {
        // Always below 26, so always a letter.
        out.push(b'a' + u8::try_from(letter).unwrap_or(0));
        letter = (letter + 1) % 26;
    }
    out.push(b'\n');
}

/// FNV-1a over everything a line says, its length included.
fn check(writer: &str, stream: char, sequence: u64, length: usize) -> u32 {
    let text = format!("{writer} {stream} {sequence} {length}");
    text.bytes()
        .fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Collects lines from any number of files and says what is missing.
#[derive(Clone, Debug, Default)]
pub struct LineCheck {
    streams: BTreeMap<(String, char), Numbers>,
    torn: Vec<String>,
    foreign: u64,
}

/// The sequence numbers of one stream of one writer.
#[derive(Clone, Debug, Default)]
struct Numbers {
    /// One bit for each number.
    seen: Vec<u64>,
    distinct: u64,
    duplicated: u64,
    disordered: u64,
    /// One more than the highest number seen or promised.
    end: u64,
    /// The number that the next line should have.
    next: u64,
}

impl Numbers {
    fn add(&mut self, number: u64) {
        let Ok(word) = usize::try_from(number / 64) else {
            return;
        };
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        let bit = 1 << (number % 64);
        if self.seen[word] & bit == 0 {
            self.seen[word] |= bit;
            self.distinct += 1;
        } else {
            self.duplicated += 1;
        }
        if number < self.next {
            self.disordered += 1;
        }
        self.next = number + 1;
        self.end = self.end.max(number + 1);
    }
}

/// What the lines say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Streams that wrote at least one good line.
    pub streams: usize,
    /// Distinct good lines.
    pub good: u64,
    /// Lines that were written and not found.
    pub lost: u64,
    /// Lines found more often than once, each time counted.
    pub duplicated: u64,
    /// Lines found after a later one of the same stream.
    pub disordered: u64,
    /// Lines that began as ours and are damaged.
    pub torn: u64,
    /// Lines that are not ours.
    pub foreign: u64,
    /// The first few torn lines, for the message of a failing test.
    pub samples: Vec<String>,
}

impl Verdict {
    /// Whether nothing is lost, doubled, out of order or torn, and something was found.
    #[must_use]
    pub fn is_perfect(&self) -> bool {
        self.good > 0 && self.lost + self.duplicated + self.disordered + self.torn == 0
    }
}

impl LineCheck {
    /// A check that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the content of one file; a last line without its end counts as a line.
    pub fn feed(&mut self, content: &[u8]) {
        let mut rest = content;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (line, after) = match end {
                Some(at) => rest.split_at(at + 1),
                None => (rest, &[][..]),
            };
            self.line(line);
            rest = after;
        }
    }

    /// Takes in one file.
    ///
    /// # Errors
    /// [`TestError::Io`] when it cannot be read.
    pub fn feed_file(&mut self, path: &Path) -> Result<(), TestError> {
        let content = fs::read(path).map_err(TestError::io(format!("read {}", path.display())))?;
        self.feed(&content);
        Ok(())
    }

    /// Takes in every file of a folder and its subfolders, in the order of their
    /// last change, so that rotated files come before the current one.
    ///
    /// # Errors
    /// [`TestError::Io`] when something cannot be read.
    pub fn feed_folder(&mut self, folder: &Path) -> Result<(), TestError> {
        let mut files = Vec::new();
        collect(folder, &mut files)?;
        files.sort();
        files.iter().try_for_each(|(_, path)| self.feed_file(path))
    }

    /// Takes in a ledger of `hsu-dummy --ledger`: how many lines were really written.
    ///
    /// # Errors
    /// [`TestError::Io`] when it cannot be read.
    pub fn promise_by_ledgers(&mut self, folder: &Path) -> Result<(), TestError> {
        let mut files = Vec::new();
        collect(folder, &mut files)?;
        for (_, path) in files {
            let content = fs::read_to_string(&path).map_err(TestError::io("read a ledger"))?;
            let mut words = content.split_whitespace();
            let (Some(writer), Some(stream), Some(count)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            if let (Some(stream), Ok(count)) = (stream.chars().next(), count.parse()) {
                self.promise(writer, stream, count);
            }
        }
        Ok(())
    }

    /// States that `writer` has written the lines 0 to `count` - 1.
    pub fn promise(&mut self, writer: &str, stream: char, count: u64) {
        let numbers = self.streams.entry((writer.to_owned(), stream)).or_default();
        numbers.end = numbers.end.max(count);
    }

    /// What was found so far.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let sum = |of: fn(&Numbers) -> u64| self.streams.values().map(of).sum();
        Verdict {
            streams: self.streams.values().filter(|n| n.distinct > 0).count(),
            good: sum(|n| n.distinct),
            lost: sum(|n| n.end - n.distinct),
            duplicated: sum(|n| n.duplicated),
            disordered: sum(|n| n.disordered),
            torn: u64::try_from(self.torn.len()).unwrap_or(u64::MAX),
            foreign: self.foreign,
            samples: self.torn.iter().take(3).cloned().collect(),
        }
    }

    fn line(&mut self, line: &[u8]) {
        let Some(at) = line.windows(MARK.len()).position(|window| window == MARK) else {
            self.foreign += 1;
            return;
        };
        let own = &line[at..];
        match parse(own) {
            Some((writer, stream, number)) => {
                let key = (writer.to_owned(), stream);
                self.streams.entry(key).or_default().add(number);
            }
            None => self.torn.push(String::from_utf8_lossy(own).into_owned()),
        }
    }
}

/// Reads a line and makes it again; none when the two differ.
fn parse(line: &[u8]) -> Option<(&str, char, u64)> {
    let text = str::from_utf8(line).ok()?;
    let mut words = text.split(' ').skip(1);
    let writer = words.next()?;
    let stream = words.next()?.chars().next()?;
    let sequence = words.next()?.parse().ok()?;
    let mut again = Vec::with_capacity(line.len());
    write_line(&mut again, writer, stream, sequence, line.len());
    (again == line).then_some((writer, stream, sequence))
}

fn collect(
    folder: &Path,
    into: &mut Vec<(std::time::SystemTime, std::path::PathBuf)>,
) -> Result<(), TestError> {
    let what = || format!("list {}", folder.display());
    for entry in fs::read_dir(folder).map_err(TestError::io(what()))? {
        let entry = entry.map_err(TestError::io(what()))?;
        let meta = entry.metadata().map_err(TestError::io(what()))?;
        if meta.is_dir() {
            collect(&entry.path(), into)?;
        } else if meta.is_file() {
            let changed = meta.modified().map_err(TestError::io(what()))?;
            into.push((changed, entry.path()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
