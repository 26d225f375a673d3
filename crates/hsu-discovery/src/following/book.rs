//! The book: how far each followed file was taken, durable, so that no line is taken twice.
//!
//! Bytes of a file go into the spool in order, and the spool's length is the truth. So
//! the book is written when another file is taken up, and not for each line: it says at
//! which stream offset which byte of which file went in, and what went in since then is
//! counted by the spool itself. A master that is killed at any instant is continued
//! exactly. A file is known by device and number, whatever its name is by then.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hsu_sys::files::{FileId, Persistence, replace};

const TITLE: &str = "hsu-followed 1";
/// The file in the spool's folder.
const NAME: &str = "followed";
/// Files of earlier names that are remembered.
const MOST: usize = 256;

/// How far one file was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The path that it is followed by.
    pub(crate) path: String,
    /// Which file.
    pub(crate) id: FileId,
    /// The next byte.
    pub(crate) offset: u64,
    /// Where in the spool that byte goes, while nothing else goes there.
    spooled: Option<u64>,
    /// The bytes before the next one, as far as an earlier master has left them.
    pub(crate) guard: Vec<u8>,
}

/// So many of them.
pub(crate) const GUARD: usize = 256;

/// The book of one spool.
#[derive(Debug)]
pub(crate) struct Book {
    file: PathBuf,
    places: Vec<Place>,
}

impl Book {
    /// Reads what an earlier master has written; `end` is where the spool ends now, and
    /// `tail` tells its last bytes.
    pub(crate) fn open(folder: &Path, end: u64, tail: impl Fn(usize) -> Vec<u8>) -> Self {
        let file = folder.join(NAME);
        let text = fs::read_to_string(&file).unwrap_or_default();
        let mut places = parse(&text).unwrap_or_default();
        for place in &mut places {
            if let Some(spooled) = place.spooled.take() {
                let since = end.saturating_sub(spooled);
                place.offset += since;
                place.guard = tail(usize::try_from(since).unwrap_or(GUARD).min(GUARD));
            }
        }
        Self { file, places }
    }

    /// What is known of a path: the files that it was followed by.
    pub(crate) fn of<'b>(&'b self, path: &'b str) -> impl Iterator<Item = &'b Place> {
        self.places.iter().filter(move |place| place.path == path)
    }

    /// Whether the next byte that goes into the spool at `end` is this one, as the book
    /// on disk would tell.
    pub(crate) fn expects(&self, path: &str, id: FileId, offset: u64, end: u64) -> bool {
        self.places.iter().any(|place| {
            let told = place.spooled.and_then(|spooled| end.checked_sub(spooled));
            let is_it = place.path == path && place.id == id;
            is_it && told.is_some_and(|since| place.offset + since == offset)
        })
    }

    /// Notes exactly how far each file is, and nothing that the spool would count.
    ///
    /// # Errors
    /// The system's: nothing may go into the spool then.
    pub(crate) fn settle(&mut self, end: u64) -> io::Result<()> {
        let mut next = self.places.clone();
        settle(&mut next, end);
        self.write(next)
    }

    /// From now on the bytes of this file go into the spool, from this one on.
    ///
    /// # Errors
    /// The system's: nothing may go into the spool then.
    pub(crate) fn begin(
        &mut self,
        path: &str,
        id: FileId,
        offset: u64,
        end: u64,
    ) -> io::Result<()> {
        let mut next = self.places.clone();
        settle(&mut next, end);
        next.retain(|place| place.path != path || place.id != id);
        let guard = Vec::new();
        next.push(Place { path: path.to_owned(), id, offset, spooled: Some(end), guard });
        next.drain(..next.len().saturating_sub(MOST));
        self.write(next)
    }

    /// A file is followed no more.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn forget(&mut self, path: &str, id: FileId, end: u64) -> io::Result<()> {
        if !self.places.iter().any(|place| place.path == path && place.id == id) {
            return Ok(());
        }
        let mut next = self.places.clone();
        settle(&mut next, end);
        next.retain(|place| place.path != path || place.id != id);
        self.write(next)
    }

    fn write(&mut self, next: Vec<Place>) -> io::Result<()> {
        if next != self.places {
            replace(&self.file, encode(&next).as_bytes(), 0o600, Persistence::Volatile)?;
            self.places = next;
        }
        Ok(())
    }
}

/// What the spool has counted is written out.
fn settle(places: &mut [Place], end: u64) {
    for place in places {
        if let Some(spooled) = place.spooled.take() {
            place.offset += end.saturating_sub(spooled);
        }
    }
}

fn encode(places: &[Place]) -> String {
    let mut text = format!("{TITLE}\n");
    for Place { path, id, offset, spooled, .. } in places {
        let spooled = spooled.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let FileId { device, inode } = id;
        text.push_str(&format!("{device} {inode} {offset} {spooled} {path}\n"));
    }
    text
}

fn parse(text: &str) -> Option<Vec<Place>> {
    let mut lines = text.lines();
    (lines.next()? == TITLE).then_some(())?;
    lines.map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Place> {
    let mut words = line.splitn(5, ' ');
    let mut number = || words.next()?.parse().ok();
    let (device, inode, offset) = (number()?, number()?, number()?);
    let id = FileId { device, inode };
    let spooled = match words.next()? {
        "-" => None,
        text => Some(text.parse().ok()?),
    };
    let path = words.next()?.to_owned();
    Some(Place { path, id, offset, spooled, guard: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: FileId = FileId { device: 1, inode: 11 };
    const TWO: FileId = FileId { device: 1, inode: 12 };

    fn open(folder: &Path, end: u64) -> Book {
        Book::open(folder, end, |count| vec![b'x'; count])
    }

    fn offsets(book: &Book, path: &str) -> Vec<(u64, u64)> {
        book.of(path).map(|place| (place.id.inode, place.offset)).collect()
    }

    #[test]
    fn what_went_into_the_spool_since_it_was_written_is_counted_by_the_spool() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = open(folder.path(), 0);
        book.begin("/a b.log", ONE, 100, 7).unwrap();
        assert!(book.expects("/a b.log", ONE, 100, 7));
        assert!(book.expects("/a b.log", ONE, 105, 12), "five bytes have gone in");
        assert!(!book.expects("/a b.log", ONE, 104, 12));
        assert!(!book.expects("/a b.log", TWO, 105, 12));
        let next = open(folder.path(), 12);
        assert_eq!(offsets(&next, "/a b.log"), [(11, 105)]);
        assert_eq!(next.places[0].guard, b"xxxxx", "those that the spool has counted");
        assert!(!next.expects("/a b.log", ONE, 105, 12), "it has to be written first");
    }

    #[test]
    fn of_several_files_each_is_known_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = open(folder.path(), 0);
        book.begin("/a", ONE, 0, 0).unwrap();
        book.begin("/b", TWO, 50, 10).unwrap();
        book.begin("/a", TWO, 0, 25).unwrap();
        let next = open(folder.path(), 30);
        assert_eq!(offsets(&next, "/a"), [(11, 10), (12, 5)]);
        assert_eq!(offsets(&next, "/b"), [(12, 65)]);
        book.forget("/a", ONE, 30).unwrap();
        assert_eq!(offsets(&open(folder.path(), 99), "/a"), [(12, 5)]);
        assert!(!book.expects("/a", TWO, 5, 30));
    }

    #[test]
    fn a_book_that_cannot_be_read_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "nonsense", "hsu-followed 1\n1 2 3\n", "hsu-followed 1\nx 2 3 - /a\n"] {
            fs::write(folder.path().join(NAME), text).unwrap();
            assert_eq!(open(folder.path(), 0).places, [], "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = open(&folder.path().join("gone"), 0);
        book.begin("/a", ONE, 0, 0).unwrap_err();
        assert!(!book.expects("/a", ONE, 0, 0));
    }
}
