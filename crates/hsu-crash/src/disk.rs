//! The disk: files as a process wrote them, and as a crash may leave them.
//!
//! A file's data is certain after a sync of the file, its name after a sync of its
//! folder. Of everything later, a loss of power keeps any part: writes
//! in any order, each whole, not at all, or some of its sectors; lengths and
//! names apart from data.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::random::Random;
use crate::trace::Call;

/// What a disk writes as one.
const SECTOR: usize = 512;

/// The content of the files in a folder, by name.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;

/// One change of the data of a file.
#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => write(content, *at, bytes),
            Self::Truncate(length) => content.resize(*length, 0),
        }
    }

    /// Leaves some sectors of a write as they were; its length may have grown all the same.
    fn tear(&self, content: &mut Vec<u8>, random: &mut Random) {
        let Self::Write { at, bytes } = self else { return self.apply(content) };
        if random.once_in(2) && content.len() < at + bytes.len() {
            content.resize(at + bytes.len(), 0);
        }
        let mut place = *at;
        for sector in bytes.chunks(SECTOR) {
            if random.once_in(2) {
                write(content, place, sector);
            }
            place += sector.len();
        }
    }
}

fn write(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(at..end) {
        place.copy_from_slice(bytes);
    }
}

/// One change of the names in a folder.
#[derive(Clone, Debug)]
enum Naming {
    Create(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Unlink(PathBuf),
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Create(path, file) => drop(names.insert(path.clone(), *file)),
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Unlink(path) => drop(names.remove(path)),
        }
    }
}

/// A folder on a disk that remembers what is certain.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    names: BTreeMap<PathBuf, usize>,
    /// What each file holds for certain.
    certain: Vec<Vec<u8>>,
    certain_names: BTreeMap<PathBuf, usize>,
    /// What is not certain, in order.
    pending: Vec<(usize, Change)>,
    pending_names: Vec<Naming>,
}

/// What a loss of power makes of what is not certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of it is there.
    Nothing,
    /// None of it is there.
    Everything,
    /// The data is lost, the names are there.
    Data,
    /// The names are lost, the data is there.
    Names,
    /// One change is lost.
    One(usize),
    /// Some of it is lost, and some writes are torn.
    Random(u64),
}

impl Disk {
    /// A disk that holds files for certain.
    #[must_use]
    pub fn with(files: &Files) -> Self {
        let mut disk = Self::default();
        for (path, content) in files {
            disk.names.insert(path.clone(), disk.certain.len());
            disk.certain.push(content.clone());
        }
        disk.certain_names = disk.names.clone();
        disk
    }

    /// Lets a call happen in `folder`; whether it changed anything.
    pub fn take(&mut self, folder: &Path, call: &Call) -> bool {
        let within = |path: &Path| path.strip_prefix(folder).ok().map(Path::to_owned);
        match call {
            Call::Open(path) => {
                let Some(name) = within(path) else { return false };
                if name.as_os_str().is_empty() || self.names.contains_key(&name) {
                    return false;
                }
                let file = self.certain.len();
                self.certain.push(Vec::new());
                self.rename(Naming::Create(name, file));
            }
            Call::Write { file, at, bytes } => {
                let change = Change::Write { at: *at, bytes: bytes.clone() };
                return self.change(within(file), change);
            }
            Call::Truncate { file, length } => {
                return self.change(within(file), Change::Truncate(*length));
            }
            Call::Sync(path) if path == folder => {
                self.certain_names = self.names.clone();
                self.pending_names.clear();
            }
            Call::Sync(path) => {
                let file = within(path).and_then(|name| self.names.get(&name).copied());
                let Some(file) = file else { return false };
                let (synced, others) =
                    std::mem::take(&mut self.pending).into_iter().partition(|(of, _)| *of == file);
                self.pending = others;
                let synced: Vec<(usize, Change)> = synced;
                for (_, change) in synced {
                    if let Some(content) = self.certain.get_mut(file) {
                        change.apply(content);
                    }
                }
            }
            Call::Rename { from, to } => {
                let (Some(from), Some(to)) = (within(from), within(to)) else { return false };
                self.rename(Naming::Rename(from, to));
            }
            Call::Unlink(path) => {
                let Some(name) = within(path) else { return false };
                self.rename(Naming::Unlink(name));
            }
            Call::Say(_) => return false,
        }
        true
    }

    fn rename(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.pending_names.push(naming);
    }

    /// The index of the log is in shared memory, and nothing of it need survive.
    fn change(&mut self, name: Option<PathBuf>, change: Change) -> bool {
        let Some(file) = name.and_then(|name| self.names.get(&name).copied()) else {
            return false;
        };
        self.pending.push((file, change));
        true
    }

    /// How many changes are not certain.
    #[must_use]
    pub fn uncertain(&self) -> usize {
        self.pending.len() + self.pending_names.len()
    }

    /// The files that a loss of power leaves.
    #[must_use]
    pub fn after(&self, loss: Loss) -> Files {
        let mut random = Random(if let Loss::Random(seed) = loss { seed } else { 0 });
        let mut contents = self.certain.clone();
        for (place, (file, change)) in self.pending.iter().enumerate() {
            let Some(content) = contents.get_mut(*file) else { continue };
            match loss {
                Loss::Nothing | Loss::Names => change.apply(content),
                Loss::Everything | Loss::Data => {}
                Loss::One(lost) if lost == place => {}
                Loss::One(_) => change.apply(content),
                Loss::Random(_) => match random.below(5) {
                    0 | 1 => change.apply(content),
                    2 => change.tear(content, &mut random),
                    _ => {}
                },
            }
        }
        let mut names = self.certain_names.clone();
        for (place, naming) in self.pending_names.iter().enumerate() {
            let is_kept = match loss {
                Loss::Nothing | Loss::Data => true,
                Loss::Everything | Loss::Names => false,
                Loss::One(lost) => lost != place + self.pending.len(),
                Loss::Random(_) => random.once_in(2),
            };
            if is_kept {
                naming.apply(&mut names);
            }
        }
        let content = |file: usize| contents.get(file).cloned().unwrap_or_default();
        names.into_iter().map(|(name, file)| (name, content(file))).collect()
    }
}

/// Reads the files of a folder.
///
/// # Errors
/// The kernel's.
pub fn read(folder: &Path) -> io::Result<Files> {
    let mut files = Files::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files.insert(PathBuf::from(entry.file_name()), fs::read(entry.path())?);
    }
    Ok(files)
}

/// Writes files into a folder.
///
/// # Errors
/// The kernel's.
pub fn place(files: &Files, folder: &Path) -> io::Result<()> {
    files.iter().try_for_each(|(name, content)| fs::write(folder.join(name), content))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(text: &str) -> Call {
        let file = PathBuf::from("/d/f");
        match text {
            "open" => Call::Open(file),
            "sync" => Call::Sync(file),
            "folder" => Call::Sync(PathBuf::from("/d")),
            text => Call::Write { file, at: 0, bytes: text.as_bytes().to_vec() },
        }
    }

    fn disk(calls: &[&str]) -> Disk {
        let mut disk = Disk::default();
        for text in calls {
            disk.take(Path::new("/d"), &call(text));
        }
        disk
    }

    #[test]
    fn what_was_synced_is_certain_and_the_rest_is_not() {
        let file = |disk: &Disk, loss| disk.after(loss).remove(Path::new("f"));
        let written = disk(&["open", "one", "sync", "folder", "two"]);
        assert_eq!(file(&written, Loss::Everything), Some(b"one".to_vec()));
        assert_eq!(file(&written, Loss::Nothing), Some(b"two".to_vec()));
        assert_eq!((written.uncertain(), file(&written, Loss::One(0))), (1, Some(b"one".to_vec())));
        let unnamed = disk(&["open", "one", "sync"]);
        assert_eq!(file(&unnamed, Loss::Everything), None);
        assert_eq!(file(&unnamed, Loss::Data), Some(b"one".to_vec()));
    }
}
