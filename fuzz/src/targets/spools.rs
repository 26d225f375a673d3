//! Spools as a pump, a power failure or a stranger may have left them, and the questions of readers.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use hsu_logs::query::{LONGEST_LINE, Spools};
use hsu_logs::spool::{Read, SpoolReader};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::logs::Stream;
use hsu_model::spool::head::Head;
use hsu_model::spool::index::{Mark, Record};
use hsu_model::spool::{DATA_FILE, HEAD_FILE, PLACE_FILE, index_name};
use hsu_model::time::WallTime;
use tempfile::TempDir;

use crate::bytes::Bytes;

/// Files in memory where the system has such a folder: a disk would be worn out.
fn folder() -> TempDir {
    let made = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    made.expect("a folder for temporary files")
}

thread_local! {
    static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

fn within(work: impl FnOnce(&Path)) {
    FOLDER.with_borrow_mut(|kept| {
        let kept = kept.get_or_insert_with(folder);
        work(kept.path());
    });
}

pub(crate) fn cursors(input: &[u8]) {
    within(|folder| {
        let folder = folder.join("cursors");
        fs::create_dir_all(&folder).expect("a folder can be made");
        hsu_logs::fuzzing::cursors(&folder, input).expect("files in memory can be written");
    });
}

pub(crate) fn run(input: &[u8]) {
    within(|spools| {
        let folder = spools.join("w/stdout");
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).expect("a folder can be made");
        let mut bytes = Bytes::new(input);
        lay_out(&folder, &mut bytes);
        let asked = (bytes.choice(5), bytes.flag().then(|| WallTime(bytes.word().cast_signed())));
        tail(spools, asked);
        follow(spools, asked.0);
        walk(&folder);
    });
}

/// Files, as many as the bytes are good for.
fn lay_out(folder: &Path, bytes: &mut Bytes<'_>) {
    for _ in 0..bytes.choice(12) {
        let (name, content) = match bytes.choice(6) {
            0 => (HEAD_FILE.to_owned(), head(bytes)),
            1 => (DATA_FILE.to_owned(), bytes.stretch().to_vec()),
            2 => {
                let base = offset(bytes);
                (format!("{DATA_FILE}.{base:020}"), bytes.stretch().to_vec())
            }
            3 => (index_name(offset(bytes)), index(bytes)),
            4 => (PLACE_FILE.to_owned(), place(bytes)),
            _ => (HEAD_FILE.to_owned(), bytes.stretch().to_vec()),
        };
        fs::write(folder.join(name), content).expect("a file in memory can be written");
    }
}

/// Small offsets meet each other; the largest ones meet their ends.
fn offset(bytes: &mut Bytes<'_>) -> u64 {
    match bytes.choice(4) {
        0 => 0,
        3 => bytes.word(),
        _ => u64::from(bytes.byte()),
    }
}

fn head(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let (base, cut) = (offset(bytes), offset(bytes));
    Head { base, cut, dropped: 0, announced: 0, insert: None }.encode().to_vec()
}

fn index(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let mut all = Vec::new();
    for _ in 0..bytes.choice(8) {
        let at = offset(bytes) & 0xffff_ffff_ffff;
        let mark = match bytes.choice(4) {
            0 => Mark::Arrived(WallTime(bytes.word().cast_signed())),
            1 => Mark::Run(RunId(bytes.word())),
            2 => Mark::LineEndAdded,
            _ => Mark::Dropped(bytes.word()),
        };
        all.extend_from_slice(&Record { at, mark }.encode());
    }
    all.extend_from_slice(bytes.take(usize::from(all.len() > 32)));
    all
}

/// Names within the folder: a file of another kind elsewhere is the pump's to refuse.
fn place(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let text =
        String::from_utf8_lossy(bytes.stretch()).replace(['/', '\0'], "_").replace("..", "_");
    format!("{text}\n{DATA_FILE}\n").into_bytes()
}

fn worker() -> WorkerId {
    WorkerId::new("w").expect("a valid id")
}

fn tail(spools: &Path, (count, since): (usize, Option<WallTime>)) {
    let Ok(lines) = Spools::new(spools).tail(&worker(), &Stream::ALL, count, since) else { return };
    assert!(lines.len() <= count, "{} lines, {count} were wanted", lines.len());
    for line in &lines {
        assert!(!line.bytes.contains(&b'\n'), "two lines are one");
        assert!(line.bytes.len() <= LONGEST_LINE);
        assert!(since.is_none_or(|since| line.at >= since), "{:?} is too old", line.at);
    }
}

fn follow(spools: &Path, count: usize) {
    let begun = Spools::new(spools).follow(&worker(), &[Stream::Stdout], count, None);
    let Ok((lines, mut follower)) = begun else { return };
    assert!(lines.len() <= count);
    for _ in 0..4 {
        let Ok(batch) = follower.next_batch() else { return };
        assert!(batch.iter().all(|line| line.bytes.len() <= LONGEST_LINE));
    }
}

/// Reads from the first byte to the last: every answer leads on, and none leads back.
fn walk(folder: &Path) {
    let mut reader = SpoolReader::new(folder.to_owned());
    let (Ok(start), Ok(_)) = (reader.start(), reader.end()) else { return };
    let (mut offset, mut buffer) = (start, [0; 64]);
    for _ in 0..200 {
        match reader.read_at(offset, &mut buffer) {
            Ok(Read::Bytes(count)) => {
                assert!((1..=buffer.len()).contains(&count), "{count} bytes");
                offset = offset.saturating_add(count as u64);
            }
            Ok(Read::Gap { to }) => {
                assert!(to > offset, "a gap from {offset} to {to}");
                offset = to;
            }
            Ok(Read::Beyond { end }) => {
                assert!(end < offset, "{offset} is not beyond {end}");
                return;
            }
            Ok(Read::End) | Err(_) => return,
        }
    }
}
