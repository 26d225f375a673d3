//! Paths as text, for the system they are meant for. Nothing here touches a disk.

use std::path::Path;

use crate::surroundings::{Found, Os, Surroundings};

/// Joins and judges paths the way the system of `surroundings` writes them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paths<'a> {
    pub(crate) surroundings: &'a Surroundings,
}

impl Paths<'_> {
    /// `base` and `rest` with one separator between them; `rest` alone when it is absolute.
    pub(crate) fn join(&self, base: &str, rest: &str) -> String {
        if self.is_absolute(rest) {
            return rest.to_owned();
        }
        let rest = rest.strip_prefix("./").unwrap_or(rest);
        match rest {
            "" | "." => base.to_owned(),
            _ if base.ends_with(self.separator()) => format!("{base}{rest}"),
            _ => format!("{base}{}{rest}", self.separator()),
        }
    }

    /// The path as an absolute one, taken from where the master is started.
    pub(crate) fn absolute(&self, path: &str) -> String {
        let joined = self.join(&self.surroundings.current, path);
        match joined.strip_suffix(self.separator()) {
            Some(shorter) if !shorter.is_empty() => shorter.to_owned(),
            Some(_) | None => joined,
        }
    }

    /// Whether a path says where it is by itself.
    pub(crate) fn is_absolute(&self, path: &str) -> bool {
        match self.surroundings.os {
            Os::Linux | Os::MacOs => path.starts_with('/'),
            Os::Windows => {
                let drive = path.as_bytes().get(1..3);
                path.starts_with(['/', '\\']) || matches!(drive, Some(b":\\" | b":/"))
            }
        }
    }

    /// Whether a program is looked up in `PATH`.
    pub(crate) fn is_bare(&self, program: &str) -> bool {
        let separators: &[char] = match self.surroundings.os {
            Os::Linux | Os::MacOs => &['/'],
            Os::Windows => &['/', '\\', ':'],
        };
        !program.contains(separators)
    }

    /// What is found where a program shall be; a bare name in the folders of this list.
    pub(crate) fn find_program(&self, program: &str, list: &str) -> Option<Found> {
        let found = |path: &str| (self.surroundings.found)(Path::new(path));
        if !self.is_bare(program) {
            return found(&self.absolute(program));
        }
        let between = match self.surroundings.os {
            Os::Linux | Os::MacOs => ':',
            Os::Windows => ';',
        };
        let folders = list.split(between).filter(|folder| !folder.is_empty());
        let there = folders.into_iter().filter_map(|folder| found(&self.join(folder, program)));
        // As the search for a program does: only a file is one.
        there.into_iter().find(|found| *found == Found::File)
    }

    fn separator(&self) -> char {
        match self.surroundings.os {
            Os::Linux | Os::MacOs => '/',
            Os::Windows => '\\',
        }
    }
}
