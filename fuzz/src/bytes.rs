//! Bytes of the engine, taken apart into choices.
//!
//! A target that needs more than one text or a sequence of steps takes them from
//! here, front to back. When the bytes are used up every choice is the first one.

/// What is left of an input.
#[derive(Debug)]
pub(crate) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// One of so many.
    pub(crate) fn choice(&mut self, of: usize) -> usize {
        usize::from(self.byte()) % of.max(1)
    }

    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.choice(of.len())).copied()
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.take(8).iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
    }

    /// A stretch whose length stands before it, at most 255 bytes.
    pub(crate) fn stretch(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte());
        self.take(length)
    }

    /// What stands before the next zero byte.
    pub(crate) fn until_zero(&mut self) -> &'a [u8] {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let taken = self.take(length);
        self.take(1);
        taken
    }
}
