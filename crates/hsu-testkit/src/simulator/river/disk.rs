//! The disk under the spools, in memory: inodes, names, links and folders, and all that
//! goes wrong with them.
//!
//! Each byte knows who wrote it, and which byte of its run it is; the ledger knows how many
//! copies of it have a name. So whatever a call takes away is judged at that call, and a kill
//! of the pump may come between any two.
//!
//! A model, by name: that `splice` consumes a pipe and extends a file in one step is the
//! kernel's promise, and is tried on real pipes by `crates/hsu-keeper/tests/pump`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use hsu_keeper::pump::disk::{Access, Disk, DiskFile, Facts, Missing};
use hsu_model::spool::{LAST_OFFSET, base_in_name, closed_path, encode_consumed};

use super::ledger::{Ledger, Tag, Who};
use super::reader::View;
use super::{ASIDE, Bug, LOGS};

pub(crate) const ENOENT: i32 = 2;
pub(crate) const EIO: i32 = 5;
const EEXIST: i32 = 17;
const ENOTDIR: i32 = 20;
const EISDIR: i32 = 21;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;
const ELOOP: i32 = 40;

/// Room is given to files in blocks of so many bytes.
const BLOCK: usize = 64;

/// What has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Folder,
    File(usize),
    Link,
}

/// A file.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tags: Vec<Tag>,
    links: u64,
    modified: i64,
    /// When bytes were last put into it, in milliseconds.
    pub(crate) touched: u64,
    /// Since when it is somebody's, who moved it away; in milliseconds.
    pub(crate) moved: Option<u64>,
}

/// A file that a pump took away, with bytes that nothing else holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loss {
    /// Its name; nothing when a part was cut off or written over.
    pub(crate) path: PathBuf,
    pub(crate) length: u64,
    /// Closed segments that there were, with this one.
    pub(crate) segments: usize,
    /// Since when nobody wrote to it, in milliseconds.
    pub(crate) age: u64,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// The blocks that are left; none is no end of them.
    pub(crate) room: Option<usize>,
    pub(crate) read_only: bool,
    /// Files that may be open; none is any number.
    pub(crate) descriptors: Option<usize>,
    /// After so many calls so many fail.
    pub(crate) refuse: Option<(u32, u32)>,
    /// After so many calls the pump is killed.
    pub(crate) kill: Option<u32>,
    /// After so many calls somebody reads.
    pub(crate) look: Option<u32>,
    /// The most bytes that one splice moves.
    pub(crate) sip: Option<usize>,
}

/// Everything on the disk.
#[derive(Debug, Default)]
pub(crate) struct Store {
    names: BTreeMap<PathBuf, Entry>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) ledger: Ledger,
    /// What a pump took away that nobody else has.
    pub(crate) losses: Vec<Loss>,
    pub(crate) faults: Faults,
    /// Whether the pump that works on it is dead: nothing that it does has an effect.
    pub(crate) dead: bool,
    open: usize,
    /// Milliseconds since the world began.
    pub(crate) now: u64,
    /// Seconds of the wall clock.
    pub(crate) wall: i64,
    /// Calls of pumps.
    pub(crate) calls: u64,
    /// When a folder was made last, in seconds of the wall clock.
    pub(crate) written: Option<i64>,
    /// What somebody saw who read in the middle of a turn.
    pub(crate) looks: Vec<View>,
    /// The folders of the spools.
    pub(crate) spools: Vec<PathBuf>,
    pub(crate) bug: Option<Bug>,
    /// What was called, when somebody wants to know.
    pub(crate) told: Option<Vec<String>>,
    /// The file that [`Bug::EmptiesOnStart`] has emptied for the present pump.
    pub(crate) is_begun: Option<usize>,
}

impl Bug {
    /// The name that a segment gets whose number comes back.
    fn spoil_segment(self, to: &Path) -> Option<PathBuf> {
        let name = to.file_name()?.to_str()?;
        let (stem, _) = name.rsplit_once('.')?;
        let base = base_in_name(stem, name).filter(|_| self == Self::ReusesSegments)?;
        Some(closed_path(to.with_file_name(stem).to_str()?, base % 128).into())
    }
}

fn error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

impl Store {
    /// An empty disk, on which spools will be in these folders.
    pub(crate) fn new(spools: Vec<PathBuf>, wall: i64, bug: Option<Bug>) -> Self {
        Self { spools, wall, bug, ..Self::default() }
    }

    /// Begins a call of the pump.
    pub(super) fn enter(&mut self, what: impl FnOnce() -> String) -> io::Result<()> {
        if self.dead {
            return Err(error(EIO));
        }
        self.calls += 1;
        let done = self.admit();
        if let Some(told) = &mut self.told {
            let dead = if self.dead { ", and the pump is dead" } else { "" };
            let refused = if done.is_err() { " is refused" } else { "" };
            told.push(format!("    {}{refused}{dead}", what()));
        }
        done
    }

    /// Whether a call is carried out.
    fn admit(&mut self) -> io::Result<()> {
        let faults = &mut self.faults;
        if let Some(left) = &mut faults.kill {
            match left.checked_sub(1) {
                Some(less) => *left = less,
                None => {
                    faults.kill = None;
                    self.dead = true;
                    return Err(error(EIO));
                }
            }
        }
        if let Some(left) = &mut faults.look {
            match left.checked_sub(1) {
                Some(less) => *left = less,
                None => {
                    faults.look = None;
                    self.looks = self.spools.iter().map(|folder| View::of(self, folder)).collect();
                }
            }
        }
        if let Some((after, times)) = &mut self.faults.refuse {
            match after.checked_sub(1) {
                Some(less) => *after = less,
                None => {
                    *times -= 1;
                    if *times == 0 {
                        self.faults.refuse = None;
                    }
                    return Err(error(EIO));
                }
            }
        }
        Ok(())
    }

    fn has_descriptor(&self) -> io::Result<()> {
        match self.faults.descriptors {
            Some(most) if self.open >= most => Err(error(EMFILE)),
            Some(_) | None => Ok(()),
        }
    }

    fn change(&mut self, what: impl FnOnce() -> String) -> io::Result<()> {
        self.enter(what)?;
        if self.faults.read_only { Err(error(EROFS)) } else { Ok(()) }
    }

    pub(crate) fn entry(&self, path: &Path) -> Option<&Entry> {
        self.names.get(path)
    }

    /// The file of this name.
    pub(crate) fn node_at(&self, path: &Path) -> Option<usize> {
        match self.names.get(path) {
            Some(Entry::File(node)) => Some(*node),
            Some(Entry::Folder | Entry::Link) | None => None,
        }
    }

    pub(crate) fn content(&self, path: &Path) -> Option<&[u8]> {
        self.node_at(path).map(|node| self.nodes[node].bytes.as_slice())
    }

    /// What lies in a folder, by name.
    pub(crate) fn names_in<'a>(
        &'a self,
        folder: &'a Path,
    ) -> impl Iterator<Item = (&'a str, &'a Entry)> {
        let inside = self.names.range(folder.to_path_buf()..);
        inside
            .take_while(move |(path, _)| path.starts_with(folder))
            .filter(move |(path, _)| path.parent() == Some(folder))
            .filter_map(|(path, entry)| Some((path.file_name()?.to_str()?, entry)))
    }

    fn parent_is_there(&self, path: &Path) -> io::Result<()> {
        match path.parent().map(|parent| self.names.get(parent)) {
            Some(Some(Entry::Folder)) => Ok(()),
            Some(Some(Entry::File(_) | Entry::Link)) => Err(error(ENOTDIR)),
            Some(None) | None => Err(error(ENOENT)),
        }
    }

    /// Makes folders up to this one.
    pub(crate) fn make_folders(&mut self, path: &Path) -> io::Result<()> {
        for part in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
            match self.names.get(part) {
                Some(Entry::Folder) => {}
                Some(Entry::File(_) | Entry::Link) => return Err(error(EEXIST)),
                None => {
                    self.names.insert(part.to_path_buf(), Entry::Folder);
                    self.written = Some(self.wall);
                }
            }
        }
        Ok(())
    }

    fn make(&mut self, path: &Path) -> io::Result<usize> {
        self.parent_is_there(path)?;
        if self.faults.read_only {
            return Err(error(EROFS));
        }
        let node = self.nodes.len();
        self.nodes.push(Node { links: 1, modified: self.wall, ..Node::default() });
        self.names.insert(path.to_path_buf(), Entry::File(node));
        Ok(node)
    }

    fn open(&mut self, path: &Path, missing: Missing) -> io::Result<usize> {
        self.has_descriptor()?;
        match self.names.get(path) {
            Some(Entry::File(_)) if self.faults.read_only => Err(error(EROFS)),
            Some(Entry::File(node)) => Ok(*node),
            Some(Entry::Folder) => Err(error(EISDIR)),
            Some(Entry::Link) => Err(error(ELOOP)),
            None if missing == Missing::Leave => {
                self.parent_is_there(path)?;
                Err(error(ENOENT))
            }
            None => self.make(path),
        }
    }

    /// Takes a name away; what had no other name is gone.
    pub(crate) fn unlink(&mut self, path: &Path, who: Who) -> io::Result<()> {
        match self.names.get(path) {
            Some(Entry::File(node)) => {
                let node = *node;
                self.names.remove(path);
                self.nodes[node].links -= 1;
                let file = &self.nodes[node];
                if file.links == 0 {
                    let who = if file.moved.is_some() { Who::People } else { who };
                    let loss = Loss {
                        path: path.to_path_buf(),
                        length: file.bytes.len() as u64,
                        segments: self.closed_beside(path) + 1,
                        age: self.now - file.touched,
                    };
                    let lost = self.ledger.lose(&self.nodes[node].tags, who);
                    self.losses.extend(lost.then_some(loss));
                }
                Ok(())
            }
            Some(Entry::Folder) => Err(error(EISDIR)),
            Some(Entry::Link) => {
                self.names.remove(path);
                Ok(())
            }
            None => Err(error(ENOENT)),
        }
    }

    /// How many closed segments are beside this one.
    fn closed_beside(&self, path: &Path) -> usize {
        let parts = (path.parent(), path.file_name().and_then(|name| name.to_str()));
        let (Some(folder), Some(name)) = parts else { return 0 };
        let Some((stem, _)) = name.rsplit_once('.') else { return 0 };
        let beside = |(name, _): &(&str, &Entry)| base_in_name(stem, name).is_some();
        self.names_in(folder).filter(beside).count()
    }

    /// Gives a file another name.
    pub(crate) fn rename(&mut self, from: &Path, to: &Path, who: Who) -> io::Result<()> {
        self.parent_is_there(to)?;
        let Some(entry) = self.names.get(from).cloned() else {
            return Err(error(ENOENT));
        };
        match self.names.get(to) {
            Some(there) if *there == entry => return Ok(()),
            Some(Entry::Folder) => return Err(error(EISDIR)),
            Some(Entry::File(_) | Entry::Link) => self.unlink(to, who)?,
            None => {}
        }
        self.names.remove(from);
        self.names.insert(to.to_path_buf(), entry);
        Ok(())
    }

    /// Cuts a file, or fills it up with holes.
    pub(crate) fn cut(&mut self, node: usize, length: usize, who: Who) {
        let file = &mut self.nodes[node];
        if let Some(lost) = file.tags.get(length..) {
            let who = if file.moved.is_some() { Who::People } else { who };
            let lost = self.ledger.lose(lost, who);
            self.losses.extend(lost.then(Loss::default));
        }
        file.bytes.resize(length, 0);
        file.tags.resize(length, Tag::Hole);
        file.modified = self.wall;
    }

    /// How many of so many bytes have room behind a place of a file.
    fn room_for(&mut self, node: usize, at: usize, count: usize) -> usize {
        let length = self.nodes[node].bytes.len();
        let Some(room) = &mut self.faults.room else {
            return count;
        };
        let has = length.div_ceil(BLOCK);
        let fits = ((has + *room) * BLOCK).saturating_sub(at).min(count);
        *room -= (at + fits).div_ceil(BLOCK).saturating_sub(has);
        fits
    }

    /// Writes what there is room for.
    pub(super) fn put(
        &mut self,
        node: usize,
        at: usize,
        bytes: impl ExactSizeIterator<Item = (u8, Tag)>,
        who: Who,
    ) -> usize {
        let fits = self.room_for(node, at, bytes.len());
        let file = &mut self.nodes[node];
        file.modified = self.wall;
        if file.bytes.len() < at + fits {
            file.bytes.resize(at + fits, 0);
            file.tags.resize(at + fits, Tag::Hole);
        }
        file.touched = self.now;
        let lost = self.ledger.lose(&file.tags[at..at + fits], who);
        self.losses.extend(lost.then(Loss::default));
        for (place, (byte, tag)) in (at..at + fits).zip(bytes) {
            file.bytes[place] = byte;
            file.tags[place] = tag;
            self.ledger.keep(tag, file.moved.is_some());
        }
        fits
    }

    /// Writes a whole file, as people and readers do.
    pub(crate) fn lay(&mut self, path: &Path, bytes: &[u8]) {
        let node = self.node_at(path).map_or_else(|| self.make(path), Ok);
        if let Ok(node) = node {
            self.cut(node, 0, Who::People);
            self.nodes[node].bytes = bytes.to_vec();
            self.nodes[node].tags = vec![Tag::Own; bytes.len()];
        }
    }

    /// Somebody adds bytes to a file.
    pub(crate) fn scribble(&mut self, node: usize, count: usize) {
        let at = self.nodes[node].bytes.len();
        let bytes = (0..count).map(|n| (if n + 1 == count { b'\n' } else { b'~' }, Tag::People));
        self.put(node, at, bytes, Who::People);
    }

    /// Somebody puts something else under a name.
    pub(crate) fn occupy(&mut self, path: &Path, entry: Entry) {
        self.names.insert(path.to_path_buf(), entry);
    }

    /// Takes away what [`Self::occupy`] put there.
    pub(crate) fn vacate(&mut self, path: &Path) {
        if matches!(self.names.get(path), Some(Entry::Folder | Entry::Link)) {
            self.names.remove(path);
        }
    }

    /// Somebody deletes a folder with all that is in it.
    pub(crate) fn remove_folder(&mut self, folder: &Path) {
        let inside = self.names.range(folder.to_path_buf()..);
        let inside = inside.take_while(|(path, _)| path.starts_with(folder));
        for path in inside.map(|(path, _)| path.clone()).collect::<Vec<_>>() {
            if self.unlink(&path, Who::People).is_err() {
                self.names.remove(&path);
            }
        }
    }

    fn facts_of(&self, node: usize) -> Facts {
        let file = &self.nodes[node];
        Facts {
            is_file: true,
            inode: node as u64 + 1,
            links: file.links,
            length: file.bytes.len() as u64,
            modified: file.modified,
        }
    }

    /// Gives a file a second name.
    pub(crate) fn link(&mut self, node: usize, path: &Path) {
        self.nodes[node].links += 1;
        self.names.insert(path.to_path_buf(), Entry::File(node));
    }

    /// A name that nobody has, for what somebody moves away.
    pub(crate) fn name_aside(&self) -> PathBuf {
        let count = self.names_in(Path::new(ASIDE)).count();
        Path::new(ASIDE).join(format!("{:03}", count))
    }

    /// Somebody moves a file away; it is theirs from now on.
    pub(crate) fn put_aside(&mut self, path: &Path) {
        let Some(node) = self.node_at(path) else { return };
        let name = self.name_aside();
        self.names.remove(path);
        self.names.insert(name, Entry::File(node));
        let file = &mut self.nodes[node];
        file.moved = file.moved.or(Some(self.now));
        self.ledger.take(&file.tags);
    }

    /// Second names of files that have another one are taken away.
    pub(crate) fn forget_second_names(&mut self, folder: &Path) {
        let inside = self.names_in(folder);
        let paths: Vec<PathBuf> = inside.map(|(name, _)| folder.join(name)).collect();
        for path in paths {
            if self.node_at(&path).is_some_and(|node| self.nodes[node].links > 1) {
                let _ = self.unlink(&path, Who::People);
            }
        }
    }
}

/// The disk, as a pump has it.
#[derive(Clone, Debug)]
pub(crate) struct Drive(pub(crate) Rc<RefCell<Store>>);

impl Drive {
    fn handle(&self, node: usize) -> Handle {
        self.0.borrow_mut().open += 1;
        Handle { drive: self.clone(), node }
    }
}

/// An open file.
#[derive(Debug)]
pub(crate) struct Handle {
    drive: Drive,
    pub(super) node: usize,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.drive.0.borrow_mut().open -= 1;
    }
}

impl Disk for Drive {
    type File = Handle;

    fn open(&self, path: &Path, missing: Missing) -> io::Result<Handle> {
        let mut store = self.0.borrow_mut();
        store.enter(|| format!("open {}", path.display()))?;
        let node = store.open(path, missing)?;
        let is_first = store.is_begun != Some(node) && missing == Missing::Make;
        if store.bug == Some(Bug::EmptiesOnStart) && is_first && path.starts_with(LOGS) {
            store.cut(node, 0, Who::Pump);
            store.is_begun = Some(node);
        }
        drop(store);
        Ok(self.handle(node))
    }

    fn create(&self, path: &Path) -> io::Result<Handle> {
        let mut store = self.0.borrow_mut();
        store.change(|| format!("create {}", path.display()))?;
        if store.names.contains_key(path) {
            return Err(error(EEXIST));
        }
        let node = store.open(path, Missing::Make)?;
        drop(store);
        Ok(self.handle(node))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut store = self.0.borrow_mut();
        store.enter(|| format!("read {}", path.display()))?;
        store.has_descriptor()?;
        if store.bug == Some(Bug::RetiresTheUnread) && path.ends_with("consumed") {
            return Ok(encode_consumed(LAST_OFFSET).to_vec());
        }
        match store.names.get(path) {
            Some(Entry::File(node)) => Ok(store.nodes[*node].bytes.clone()),
            Some(Entry::Folder) => Err(error(EISDIR)),
            Some(Entry::Link) | None => Err(error(ENOENT)),
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut store = self.0.borrow_mut();
        store.change(|| format!("write {}", path.display()))?;
        let node = store.open(path, Missing::Make)?;
        store.cut(node, 0, Who::Pump);
        store.enter(|| format!("write {}", path.display()))?;
        let owned = bytes.iter().map(|byte| (*byte, Tag::Own));
        let fits = store.put(node, 0, owned, Who::Pump);
        if fits < bytes.len() { Err(error(ENOSPC)) } else { Ok(()) }
    }

    fn facts(&self, path: &Path) -> io::Result<Facts> {
        let mut store = self.0.borrow_mut();
        store.enter(|| format!("look at {}", path.display()))?;
        match store.names.get(path) {
            Some(Entry::File(node)) => Ok(store.facts_of(*node)),
            Some(Entry::Folder) => {
                Ok(Facts { is_file: false, inode: u64::MAX, links: 2, length: 0, modified: 0 })
            }
            // All links of this world lead to nowhere.
            Some(Entry::Link) | None => Err(error(ENOENT)),
        }
    }

    fn inode(&self, path: &Path) -> io::Result<u64> {
        let mut store = self.0.borrow_mut();
        store.enter(|| format!("inode {}", path.display()))?;
        if store.bug == Some(Bug::WritesToTheMoved)
            && let Some(moved) = store.nodes.iter().rposition(|node| node.moved.is_some())
        {
            return Ok(moved as u64 + 1);
        }
        match store.names.get(path) {
            Some(Entry::File(node)) => Ok(*node as u64 + 1),
            Some(Entry::Folder | Entry::Link) => Ok(u64::MAX),
            None => Err(error(ENOENT)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut store = self.0.borrow_mut();
        store.change(|| format!("rename {} to {}", from.display(), to.display()))?;
        let again = store.bug.and_then(|bug| bug.spoil_segment(to));
        store.rename(from, again.as_deref().unwrap_or(to), Who::Pump)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut store = self.0.borrow_mut();
        store.change(|| format!("remove {}", path.display()))?;
        store.unlink(path, Who::Pump)
    }

    fn make_folders(&self, path: &Path, _access: Access) -> io::Result<()> {
        let mut store = self.0.borrow_mut();
        store.enter(|| format!("make folders {}", path.display()))?;
        if store.faults.read_only && !store.names.contains_key(path) {
            return Err(error(EROFS));
        }
        store.make_folders(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut store = self.0.borrow_mut();
        store.enter(|| format!("list {}", folder.display()))?;
        store.has_descriptor()?;
        match store.names.get(folder) {
            Some(Entry::Folder) => {}
            Some(Entry::File(_) | Entry::Link) => return Err(error(ENOTDIR)),
            None => return Err(error(ENOENT)),
        }
        Ok(store.names_in(folder).map(|(name, _)| name.to_owned()).collect())
    }
}

impl DiskFile for Handle {
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let mut store = self.drive.0.borrow_mut();
        store.enter(|| format!("read {} bytes of file {} at {at}", buffer.len(), self.node))?;
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = &store.nodes[self.node].bytes;
        match bytes.get(at..).and_then(|rest| rest.get(..buffer.len())) {
            Some(bytes) => {
                buffer.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut store = self.drive.0.borrow_mut();
        store.change(|| format!("write {} bytes to file {} at {at}", bytes.len(), self.node))?;
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let owned = bytes.iter().map(|byte| (*byte, Tag::Own));
        let fits = store.put(self.node, at, owned, Who::Pump);
        if fits < bytes.len() { Err(error(ENOSPC)) } else { Ok(()) }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut store = self.drive.0.borrow_mut();
        store.change(|| format!("cut file {} to {length}", self.node))?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        store.cut(self.node, length, Who::Pump);
        Ok(())
    }

    fn facts(&self) -> io::Result<Facts> {
        let mut store = self.drive.0.borrow_mut();
        store.enter(|| format!("look at file {}", self.node))?;
        Ok(store.facts_of(self.node))
    }

    fn set_modified(&self, seconds: i64) -> io::Result<()> {
        let mut store = self.drive.0.borrow_mut();
        store.change(|| format!("date file {} to {seconds}", self.node))?;
        store.nodes[self.node].modified = seconds;
        Ok(())
    }

    fn copy_rest(&self, from: u64, to: &Self) -> io::Result<()> {
        let mut store = self.drive.0.borrow_mut();
        let mut from = usize::try_from(from).unwrap_or(usize::MAX);
        let mut at = 0;
        // In two pieces, so that there is something between them.
        for _ in 0..2 {
            store.change(|| format!("copy file {} from {from} to file {}", self.node, to.node))?;
            let source = &store.nodes[self.node];
            let left = source.bytes.len().saturating_sub(from);
            let piece = if at == 0 { left.div_ceil(2) } else { left };
            if at > 0 && store.bug == Some(Bug::CopiesAndTruncates) {
                return Ok(());
            }
            let range = from..from + piece;
            let pairs =
                source.bytes[range.clone()].iter().copied().zip(source.tags[range].iter().copied());
            let pairs: Vec<_> = pairs.collect();
            let fits = store.put(to.node, at, pairs.into_iter(), Who::Pump);
            if fits < piece {
                return Err(error(ENOSPC));
            }
            (from, at) = (from + piece, at + piece);
        }
        Ok(())
    }
}
