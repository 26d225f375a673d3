//! The disk: files as a process wrote them, and as a crash may leave them.
//!
//! A file's data is certain after a sync of the file, its name after a sync of its
//! folder. Of everything later, a loss of power keeps any part: writes
//! in any order, each whole, not at all, or some of its sectors; lengths and
//! names apart from data. What could not be synced is never certain again, whatever
//! a later sync says: the kernel takes its pages for clean.
// Source: Rebello et al., "Can applications recover from fsync failures?", USENIX ATC 2020.

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

/// What is known of a change that came after the last certain state of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// No sync was asked for yet.
    Open,
    /// A sync has failed: it is there until the power fails, and perhaps after that.
    Dropped,
    /// It was synced, and is certain.
    Certain,
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
    /// What is not certain, in order, and what is certain but came after such a change.
    pending: Vec<(usize, Change, Fate)>,
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
    /// Of the names one change is there, as if it had overtaken the others; all of the data is.
    OneName(usize),
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
                self.decide(file, Fate::Certain);
                self.settle(file);
            }
            Call::FailedSync(path) => {
                let file = within(path).and_then(|name| self.names.get(&name).copied());
                let Some(file) = file else { return false };
                self.decide(file, Fate::Dropped);
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
        self.pending.push((file, change, Fate::Open));
        true
    }

    /// A sync decides over what no sync has decided over.
    fn decide(&mut self, file: usize, decided: Fate) {
        let open = |(of, _, fate): &&mut (usize, Change, Fate)| *of == file && *fate == Fate::Open;
        self.pending.iter_mut().filter(open).for_each(|(_, _, fate)| *fate = decided);
    }

    /// What is certain and comes after nothing else is no longer remembered apart.
    fn settle(&mut self, file: usize) {
        let is_of = |of: usize| of == file;
        if self.pending.iter().any(|(of, _, fate)| is_of(*of) && *fate != Fate::Certain) {
            return;
        }
        let Some(content) = self.certain.get_mut(file) else { return };
        let settled = self.pending.extract_if(.., |(of, ..)| is_of(*of));
        settled.for_each(|(_, change, _)| change.apply(content));
    }

    /// How many changes are remembered apart, because they or earlier ones are not certain.
    #[must_use]
    pub fn uncertain(&self) -> usize {
        self.pending.len() + self.pending_names.len()
    }

    /// How many changes of names are not certain.
    #[must_use]
    pub fn uncertain_names(&self) -> usize {
        self.pending_names.len()
    }

    /// The files that a loss of power leaves.
    #[must_use]
    pub fn after(&self, loss: Loss) -> Files {
        let mut random = Random(if let Loss::Random(seed) = loss { seed } else { 0 });
        let mut contents = self.certain.clone();
        for (place, (file, change, fate)) in self.pending.iter().enumerate() {
            let Some(content) = contents.get_mut(*file) else { continue };
            match loss {
                _ if *fate == Fate::Certain => change.apply(content),
                Loss::Nothing | Loss::Names | Loss::OneName(_) => change.apply(content),
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
                Loss::OneName(kept) => kept == place,
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
            "fail" => Call::FailedSync(file),
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

    #[test]
    fn what_could_not_be_synced_is_lost_with_the_power_whatever_a_later_sync_says() {
        let file = |disk: &Disk, loss| disk.after(loss).remove(Path::new("f"));
        let failed = disk(&["open", "folder", "one", "sync", "three", "fail", "up", "sync"]);
        assert_eq!(file(&failed, Loss::Nothing), Some(b"upree".to_vec()));
        assert_eq!(file(&failed, Loss::Everything), Some(b"upe".to_vec()));
    }
}
