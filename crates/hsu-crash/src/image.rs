//! Images: what a folder holds before a script begins.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use hsu_store::{Durability, Life, Store};

use crate::disk::{self, Files};
use crate::judge::{Promise, memory};
use crate::script::{BOOT, batch};

/// What the earlier life of the store left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Image {
    /// Nothing: there was none.
    Fresh,
    /// What a kill leaves: a database with its log.
    Killed,
    /// What an end in order leaves: a database without a log.
    Closed,
    /// A database that is broken, and every row of it sound.
    Broken,
}

/// Operations of the earlier life.
pub(crate) const OPERATIONS: u64 = 40;
/// Where a database counts its free pages.
// Source: sqlite.org/fileformat2.html, "The Database Header".
const FREE_PAGES: std::ops::Range<usize> = 36..40;

impl Image {
    /// Every image.
    pub const ALL: [Self; 4] = [Self::Fresh, Self::Killed, Self::Closed, Self::Broken];

    /// Its files, and what they promise.
    ///
    /// # Errors
    /// The store of the earlier life does not work.
    pub fn make(self) -> Result<(Files, Promise)> {
        if self == Self::Fresh {
            return Ok((Files::new(), Promise::default()));
        }
        let folder = tempfile::tempdir_in(memory())?;
        let store = Store::open(folder.path(), Box::new(|| {}))?.store;
        store.mark(Life::Lasts, BOOT);
        for operation in 1..=OPERATIONS {
            store.submit(batch(operation, Durability::Synced));
        }
        ensure!(store.flush(), "the store cannot be written: {:?}", store.health());
        // What a kill leaves is what is there while the store lives.
        let mut files = disk::read(folder.path())?;
        store.close()?;
        if self != Self::Killed {
            files = disk::read(folder.path())?;
        }
        if self == Self::Broken {
            let database = files.get_mut(&PathBuf::from("state.db")).context("a database")?;
            database.get_mut(FREE_PAGES).context("a header")?.fill(7);
        }
        files.remove(&PathBuf::from("state.db-shm"));
        Ok((files, Promise { operation: OPERATIONS, runs: OPERATIONS }))
    }
}
