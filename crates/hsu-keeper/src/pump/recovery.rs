//! What lies on disk when a spool is first used, and what others did to it since.
//!
//! The files are the truth; memory only remembers it. Somebody may delete,
//! truncate or move a log file at any time: what they took is theirs, the stream
//! goes on at the same stream offset in a fresh file, and readers see the gap.

use std::io;
use std::path::Path;

use hsu_model::logs::OnFull;
use hsu_model::spool::head::InsertKind;
use hsu_model::spool::notice::Stuck;
use hsu_model::spool::{DATA_FILE, HEAD_FILE, PLACE_FILE, base_in_name, closed_path, index_name};

use super::disk::{Access, Disk, DiskFile as _, Missing, is_absence};
use super::files::{Folders, open_log, why};
use super::ledger::{
    Index, Latest, begin_index, read_consumed, read_head, read_place, write_place,
};
use super::rotation::{date, refused};
use super::spool::{Files, Moment, PATH_CHECK, Spool};

/// How many earlier data paths are remembered.
const PLACES: usize = 4;

impl<D: Disk> Spool<D> {
    /// Learns where the spool stands, and completes what an earlier pump began.
    pub(super) fn open_first(&mut self, now: Moment, folders: &mut Folders) -> Result<(), Stuck> {
        self.disk.make_folders(&self.folder, Access::Own).map_err(why)?;
        if std::mem::replace(&mut self.sought, true) {
            // Another plan, or another attempt: what is known of the folders is not of now.
            *folders = Folders::default();
        }
        let mut places = read_place(&self.disk, &self.folder).map_err(why)?;
        self.path = self.absolute(places.first().map_or(DATA_FILE, String::as_str));
        let head = read_head(&self.disk, &self.folder).map_err(why)?;
        self.head = head.unwrap_or_default();
        self.head.dropped = self.head.dropped.saturating_add_signed(self.uncounted);
        self.list_closed(now, folders).map_err(why)?;
        if head.is_none() {
            self.head.base = self.end_of_closed().map_err(why)?;
        }
        let wanted = self.plan.log_file.clone().unwrap_or_else(|| DATA_FILE.to_owned());
        if self.path != self.absolute(&wanted) {
            self.leave_old_path(now).map_err(why)?;
            if places.is_empty() && !self.closed.is_empty() {
                // The spool's own file is noted only once there is another.
                places.push(DATA_FILE.to_owned());
            }
            places.retain(|place| *place != wanted);
            places.insert(0, wanted.clone());
            places.truncate(PLACES);
            write_place(&self.disk, &self.folder, &places).map_err(why)?;
            self.path = self.absolute(&wanted);
            self.inode = 0;
            self.list_closed(now, folders).map_err(why)?;
        }
        if head.is_none() {
            // Both may have closed segments, and no place is used twice.
            self.head.base = self.head.base.max(self.end_of_closed().map_err(why)?);
        }
        if self.head.base != 0 || self.plan.on_full == OnFull::Drop || self.uncounted != 0 {
            self.save_head().map_err(why)?;
        }
        self.load_latest().map_err(why)?;
        if self.head.cut != 0 {
            self.finish_cut(now).map_err(why)?;
        } else {
            self.open_current()?;
        }
        self.closed.retain(|base| *base < self.head.base);
        let consumed = read_consumed(&self.disk, &self.folder).map_err(why)?;
        // Outputs that have said nothing yet have read nothing.
        self.consumed = consumed.unwrap_or(0);
        self.remove_stray_indexes(places.len()).map_err(why)?;
        self.retire(now);
        self.opened = true;
        Ok(())
    }

    /// A path of the plan or of the place file: the internal one is relative.
    fn absolute(&self, place: &str) -> String {
        match place.starts_with('/') {
            true => place.to_owned(),
            false => self.folder.join(place).to_string_lossy().into_owned(),
        }
    }

    fn list_closed(&mut self, now: Moment, folders: &mut Folders) -> io::Result<()> {
        self.closed = folders.closed(&self.disk, Path::new(&self.path), now.tick)?.into();
        Ok(())
    }

    /// Where the stream stands when its head is lost: after the last closed segment.
    fn end_of_closed(&self) -> io::Result<u64> {
        let Some(base) = self.closed.back() else {
            return Ok(0);
        };
        match self.disk.facts(Path::new(&closed_path(&self.path, *base))) {
            Err(error) if is_absence(&error) => Ok(*base),
            facts => facts.map(|facts| base + facts.length),
        }
    }

    /// The plan names another log file: closes the one in use. What is in it stays there.
    fn leave_old_path(&mut self, now: Moment) -> io::Result<()> {
        if open_log(&self.disk, Path::new(&self.path), Missing::Leave)
            .is_ok_and(|file| file.is_none())
            && self.head.cut == 0
        {
            return Ok(());
        }
        self.inode = 0;
        self.load_latest()?;
        if self.head.cut != 0 {
            self.finish_cut(now)?;
        } else {
            self.open_current().map_err(refused)?;
        }
        self.check_file(now).map_err(refused)?;
        self.finish_insert()?;
        if self.line_is_open().map_err(refused)? {
            self.insert(InsertKind::LineEnd, now).map_err(refused)?;
        }
        if self.length > 0 {
            self.cut_at(self.end(), now).map_err(refused)?;
        }
        self.files = None;
        // Only an empty file is left under the old name.
        self.disk.remove(Path::new(&self.path))
    }

    /// Reads who wrote last. Bytes that the index knows and the file lacks were
    /// taken while no pump ran: the length is set to what it was, so that
    /// [`Self::check_file`] finds the difference.
    fn load_latest(&mut self) -> io::Result<()> {
        let index = Index::open(&self.disk, &self.folder, self.head.base)?;
        self.latest = index.latest()?;
        Ok(())
    }

    /// Opens the current segment, made when missing.
    pub(super) fn open_current(&mut self) -> Result<(), Stuck> {
        let data = open_log(&self.disk, Path::new(&self.path), Missing::Make)?;
        let data = data.ok_or(Stuck::System(libc::ENOENT))?;
        let index = Index::open(&self.disk, &self.folder, self.head.base).map_err(why)?;
        if self.inode == 0 {
            let facts = data.facts().map_err(why)?;
            // Both, or none: a length is that of this file.
            self.length = facts.length.max(index.last_place().map_err(why)?);
            self.inode = facts.inode;
        }
        self.files = Some(Files { data, index });
        Ok(())
    }

    /// Notices that somebody deleted, moved, truncated or extended the log file.
    pub(super) fn check_file(&mut self, now: Moment) -> Result<(), Stuck> {
        let Some(files) = &self.files else {
            return Ok(());
        };
        let facts = files.data.facts().map_err(why)?;
        let mut same = facts.inode == self.inode && facts.links > 0;
        if same && now.tick.saturating_duration_since(self.path_checked) >= PATH_CHECK {
            same = self.is_named()?;
            if same {
                self.restore_folder().map_err(why)?;
            }
            self.path_checked = now.tick;
            self.retire(now);
        }
        if same && facts.length >= self.length {
            // More than we wrote: somebody else's bytes are in the log now.
            self.length = facts.length;
            return Ok(());
        }
        let same = same && self.is_named()?;
        if same && facts.length == 0 {
            // Readers may have the emptied file open: its places are not used twice.
            self.disk.remove(Path::new(&self.path)).map_err(why)?;
            let _ = self.disk.remove(&self.folder.join(index_name(self.head.base)));
        } else if same {
            // A part was taken; what is left keeps its place in the stream.
            self.files.as_ref().map_or(Ok(()), |files| date(&files.data, now)).map_err(why)?;
            let closed = closed_path(&self.path, self.head.base);
            self.disk.rename(Path::new(&self.path), Path::new(&closed)).map_err(why)?;
            self.closed.push_back(self.head.base);
            self.retire_at = Some(now.tick);
        } else {
            let _ = self.disk.remove(&self.folder.join(index_name(self.head.base)));
        }
        self.start_over()
    }

    /// Whether the log file is still the one under its path.
    fn is_named(&self) -> Result<bool, Stuck> {
        match self.disk.inode(Path::new(&self.path)) {
            Err(error) if is_absence(&error) => Ok(false),
            named => named.map(|named| named == self.inode).map_err(why),
        }
    }

    /// Makes the spool's own folder again when somebody deleted it.
    fn restore_folder(&mut self) -> io::Result<()> {
        let has = |name: &str| self.disk.has(&self.folder.join(name));
        let has_index = has(&index_name(self.head.base))?;
        // While an earlier log file is left, the place file still leads there.
        let place = self.plan.log_file.as_ref().filter(|path| **path == self.path);
        // An index may have been made again by itself; this was not.
        let has_rest = match place {
            Some(_) => has(PLACE_FILE)?,
            None => self.head.base == 0 || has(HEAD_FILE)?,
        };
        if has_index && has_rest {
            return Ok(());
        }
        self.disk.make_folders(&self.folder, Access::Own)?;
        if let Some(place) = place {
            write_place(&self.disk, &self.folder, std::slice::from_ref(place))?;
        }
        self.save_head()?;
        if has_index {
            return Ok(());
        }
        let index = begin_index(&self.disk, &self.folder, self.head.base, Latest::default())?;
        self.latest = Latest::default();
        if let Some(files) = &mut self.files {
            files.index = index;
        }
        Ok(())
    }

    /// Goes on at the same stream offset in whatever is now under the path.
    fn start_over(&mut self) -> Result<(), Stuck> {
        let end = self.end();
        self.head.base = end;
        self.head.insert = None;
        self.files = None;
        self.inode = 0;
        self.length = 0;
        self.searched = 0;
        self.save_head().map_err(why)?;
        self.open_current()
    }

    /// Deletes indexes whose segment is gone.
    fn remove_stray_indexes(&self, places: usize) -> io::Result<()> {
        // Segments under earlier paths keep theirs.
        if places > 1 {
            return Ok(());
        }
        for name in self.disk.list(&self.folder)? {
            let base = base_in_name("index", &name);
            if base.is_some_and(|base| base != self.head.base && !self.closed.contains(&base)) {
                let _ = self.disk.remove(&self.folder.join(name));
            }
        }
        Ok(())
    }
}
