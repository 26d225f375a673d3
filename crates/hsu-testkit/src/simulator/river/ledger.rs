//! The ledger: what became of every byte that a run has written.

/// Who has put a byte where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// Nobody.
    Hole,
    /// The pump, by itself; or readers and masters, in their files.
    Own,
    /// Somebody else.
    People,
    /// A run, and which of its bytes it is.
    Run(u16, u32),
}

/// Who takes bytes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Pump,
    People,
}

/// What became of a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is in its pipe.
    Waits,
    /// It is in a file that has a name.
    Kept,
    /// The policy dropped it.
    Dropped,
    /// The pump deleted the segment that it was in.
    Retired,
    /// Somebody took it.
    Taken,
}

/// The bytes of one run.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) spool: usize,
    /// After how many bytes on average a line ends.
    every: u64,
    pub(crate) fates: Vec<Fate>,
    copies: Vec<u8>,
}

/// All runs.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) runs: Vec<Book>,
}

impl Ledger {
    /// Begins a run whose lines are about so long.
    pub(crate) fn begin(&mut self, spool: usize, every: u64) -> u16 {
        self.runs.push(Book { spool, every, fates: Vec::new(), copies: Vec::new() });
        u16::try_from(self.runs.len() - 1).unwrap_or(u16::MAX)
    }

    pub(crate) fn book(&self, run: u16) -> &Book {
        &self.runs[usize::from(run)]
    }

    /// A run writes so many bytes.
    pub(crate) fn write(&mut self, run: u16, count: usize) {
        let book = &mut self.runs[usize::from(run)];
        book.fates.resize(book.fates.len() + count, Fate::Waits);
        book.copies.resize(book.fates.len(), 0);
    }

    /// The byte of a run.
    pub(crate) fn byte(&self, run: u16, place: u32) -> u8 {
        let mixed = (u64::from(run) << 32 | u64::from(place)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = mixed ^ (mixed >> 29);
        if mixed % self.book(run).every == 0 {
            return b'\n';
        }
        b'a' + u8::try_from((mixed >> 32) % 26).unwrap_or(0)
    }

    /// What was one is two.
    pub(crate) fn keep(&mut self, tag: Tag, is_moved: bool) {
        if let Tag::Run(run, place) = tag {
            let (book, place) = (&mut self.runs[usize::from(run)], place as usize);
            book.copies[place] += 1;
            if book.fates[place] == Fate::Waits || is_moved {
                book.fates[place] = if is_moved { Fate::Taken } else { Fate::Kept };
            }
        }
    }

    /// The policy takes a byte.
    pub(crate) fn drop_byte(&mut self, run: u16, place: u32) {
        self.runs[usize::from(run)].fates[place as usize] = Fate::Dropped;
    }

    /// Somebody takes bytes and keeps them.
    pub(crate) fn take(&mut self, tags: &[Tag]) {
        for tag in tags {
            if let Tag::Run(run, place) = *tag {
                self.runs[usize::from(run)].fates[place as usize] = Fate::Taken;
            }
        }
    }

    /// Copies go; answers whether the last one of any that was kept went by the pump.
    pub(crate) fn lose(&mut self, tags: &[Tag], who: Who) -> bool {
        let mut is_loss = false;
        for tag in tags {
            let Tag::Run(run, place) = *tag else { continue };
            let (book, place) = (&mut self.runs[usize::from(run)], place as usize);
            book.copies[place] = book.copies[place].saturating_sub(1);
            if book.copies[place] == 0 && book.fates[place] == Fate::Kept {
                is_loss |= who == Who::Pump;
                book.fates[place] = if who == Who::Pump { Fate::Retired } else { Fate::Taken };
            }
        }
        is_loss
    }

    /// How many bytes of a spool had this fate.
    pub(crate) fn count(&self, spool: usize, fate: Fate) -> usize {
        let books = self.runs.iter().filter(|book| book.spool == spool);
        books.map(|book| book.fates.iter().filter(|of| **of == fate).count()).sum()
    }
}
