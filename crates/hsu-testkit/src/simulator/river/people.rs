//! What people and other programs do to log files and spools.

use std::path::{Path, PathBuf};

use hsu_model::spool::base_in_name;

use super::disk::Entry;
use super::ledger::Who;
use super::{ASIDE, River, reader};

/// One thing that somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// The log file is deleted.
    Deletes,
    /// It is emptied, as `copytruncate` does.
    Empties,
    /// A part of it is cut off.
    Shortens,
    /// It is moved away, as `logrotate` does.
    Moves,
    /// Something is written to it.
    Scribbles,
    /// The folder of the spool is deleted.
    DeletesTheFolder,
    /// A folder is put where the log file should be.
    PutsAFolder,
    /// A link is.
    PutsALink,
    /// What was put there is taken away.
    Clears,
    /// The oldest closed segment is deleted.
    DeletesASegment,
    /// The log file gets a second name.
    Links,
    /// What the pump notes of a segment is deleted.
    DeletesTheIndex,
}

impl Deed {
    pub(crate) const ALL: [Self; 12] = [
        Self::Deletes,
        Self::Empties,
        Self::Shortens,
        Self::Moves,
        Self::Scribbles,
        Self::DeletesTheFolder,
        Self::PutsAFolder,
        Self::PutsALink,
        Self::Clears,
        Self::DeletesASegment,
        Self::Links,
        Self::DeletesTheIndex,
    ];
}

impl River {
    /// Somebody does something to the log file of a spool.
    pub(super) fn deed(&mut self, spool: usize, deed: Deed) {
        let spool = self.spool(spool);
        let folder = self.folders[spool].clone();
        let path = reader::places(&self.store.borrow(), &folder)[0].clone();
        let node = self.store.borrow().node_at(&path);
        let story = &mut self.judge.stories[spool];
        let mut store = self.store.borrow_mut();
        // Where the stream goes on is known from what is taken.
        story.forget_from(0);
        match deed {
            Deed::Deletes => drop(store.unlink(&path, Who::People)),
            Deed::Empties | Deed::Shortens => {
                if let Some(node) = node {
                    let half = store.nodes[node].bytes.len() / 2;
                    store.cut(node, if deed == Deed::Empties { 0 } else { half }, Who::People);
                }
            }
            Deed::Moves => store.put_aside(&path),
            Deed::Scribbles => {
                if let Some(node) = node {
                    store.scribble(node, 9);
                }
            }
            Deed::DeletesTheFolder => {
                story.is_beheaded = true;
                store.remove_folder(&folder);
            }
            Deed::PutsAFolder | Deed::PutsALink => {
                let entry = if deed == Deed::PutsALink { Entry::Link } else { Entry::Folder };
                store.put_aside(&path);
                if path.parent().is_some_and(|parent| store.entry(parent).is_some()) {
                    store.occupy(&path, entry);
                }
            }
            Deed::Clears => store.vacate(&path),
            Deed::DeletesASegment => {
                if let Some(path) = oldest(&store, &path) {
                    let _ = store.unlink(&path, Who::People);
                }
            }
            Deed::Links => {
                if let Some(node) = node {
                    let name = store.name_aside();
                    store.link(node, &name);
                }
            }
            Deed::DeletesTheIndex => {
                let inside = store.names_in(&folder).map(|(name, _)| name.to_owned());
                let index = inside.filter(|name| name.starts_with("index.")).last();
                if let Some(name) = index {
                    let _ = store.unlink(&folder.join(name), Who::People);
                }
            }
        }
    }

    /// Whatever is in the way of the pump is taken away.
    pub(super) fn undo_deeds(&mut self) {
        let mut store = self.store.borrow_mut();
        for (spool, folder) in self.folders.iter().enumerate() {
            let mut paths = reader::places(&store, folder);
            paths.extend(self.plans[spool].log_file.as_ref().map(PathBuf::from));
            paths.iter().for_each(|path| store.vacate(path));
        }
        store.forget_second_names(Path::new(ASIDE));
    }
}

fn oldest(store: &super::disk::Store, path: &Path) -> Option<PathBuf> {
    let (folder, stem) = (path.parent()?, path.file_name()?.to_str()?);
    let mut inside = store.names_in(folder);
    let (name, _) = inside.find(|(name, _)| base_in_name(stem, name).is_some())?;
    Some(folder.join(name))
}
