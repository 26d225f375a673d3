//! The feed of one spool: bytes of several files, one after the other, each once.

use std::path::{Path, PathBuf};

use hsu_keeper::pump::{Inlet, PumpOptions};
use hsu_model::id::RunId;
use hsu_model::spool::SpoolId;
use hsu_model::spool::plan::SpoolPlan;
use hsu_sys::files::FileId;

use super::book::{Book, Place};

/// A spool, and the book that says what is in it.
#[derive(Debug)]
pub(crate) struct Feed {
    inlet: Inlet,
    /// None until the spool could be opened.
    book: Option<Book>,
    folder: PathBuf,
    /// The run that lines are attributed to, and the one that the latest were.
    run: RunId,
    written_by: RunId,
}

impl Feed {
    pub(crate) fn new(
        options: &PumpOptions,
        id: SpoolId,
        plan: SpoolPlan,
        run: RunId,
    ) -> std::io::Result<Self> {
        let folder = options.spools.join(id.worker.as_str()).join(id.stream.as_str());
        let inlet = Inlet::open(options, id, plan)?;
        Ok(Self { inlet, book: None, folder, run, written_by: run })
    }

    /// Lines belong to this run from now on.
    pub(crate) fn set_run(&mut self, run: RunId) {
        self.run = run;
    }

    /// The book, once the spool can be used.
    pub(crate) fn book(&mut self) -> Option<&mut Book> {
        if self.book.is_none() {
            let end = self.inlet.end().ok()?;
            let inlet = &self.inlet;
            self.book = Some(Book::open(&self.folder, end, |count| inlet.tail(count)));
        }
        self.book.as_mut()
    }

    /// Takes bytes of a file that begin at `offset` in it; how many.
    pub(crate) fn take(&mut self, path: &str, id: FileId, offset: u64, bytes: &[u8]) -> usize {
        self.try_take(path, id, offset, bytes).unwrap_or(0)
    }

    fn try_take(&mut self, path: &str, id: FileId, offset: u64, bytes: &[u8]) -> Option<usize> {
        self.book()?;
        let end = self.inlet.end().ok()?;
        let is_run = self.run == self.written_by;
        let expected = self.book.as_ref()?.expects(path, id, offset, end);
        if !expected || !is_run {
            // Lines of two files, or of two runs, are kept apart.
            self.end_line()?;
            let end = self.inlet.end().ok()?;
            self.book.as_mut()?.begin(path, id, offset, end).ok()?;
            self.written_by = self.run;
        }
        Some(self.inlet.append(self.run, bytes))
    }

    /// Ends the line that is open, if one is. The spool would count the end as a byte of
    /// the file, so the book is settled before.
    pub(crate) fn end_line(&mut self) -> Option<()> {
        let end = self.inlet.end().ok()?;
        if self.inlet.tail(1).first().is_some_and(|last| *last != b'\n') {
            self.book()?.settle(end).ok()?;
            self.inlet.end_line().ok()?;
        }
        Some(())
    }

    /// A file is followed no more.
    pub(crate) fn forget(&mut self, path: &str, id: FileId) {
        if let Ok(end) = self.inlet.end()
            && let Some(book) = self.book()
        {
            // What is not forgotten now is looked for in vain by the next master.
            drop(book.forget(path, id, end));
        }
    }

    /// How far the files of a path were taken.
    pub(crate) fn known(&mut self, path: &str) -> Vec<Place> {
        self.book().map(|book| book.of(path).cloned().collect()).unwrap_or_default()
    }

    /// Notes where a file begins to be followed, before anything of it is taken.
    pub(crate) fn note(&mut self, path: &str, id: FileId, offset: u64) -> bool {
        let Ok(end) = self.inlet.end() else { return false };
        self.book().is_some_and(|book| book.begin(path, id, offset, end).is_ok())
    }

    /// Sends what the master is to be told; when to call it again.
    pub(crate) fn tell(&mut self) -> Option<std::time::Instant> {
        self.inlet.tell()
    }
}

/// A path as the book writes it.
pub(crate) fn written(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
