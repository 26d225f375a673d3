//! What a campaign found.

use std::fmt;
use std::path::Path;

use crate::disk::{self, Files};

/// Findings that are told in full.
const TOLD: usize = 20;

/// The sum of a campaign.
#[derive(Debug, Default)]
pub struct Report {
    /// States, refusals or damages that were tried.
    pub tried: u64,
    /// In how many the store put something aside.
    pub broken: u64,
    /// What does not hold.
    pub findings: Vec<String>,
}

impl Report {
    /// Adds a finding, and keeps the files that show it.
    pub fn find(&mut self, what: String, files: Option<&Files>) {
        let number = self.findings.len();
        let kept = files.filter(|_| number < TOLD).and_then(|files| {
            let folder = std::env::temp_dir().join(format!("hsu-crash-finding-{number}"));
            std::fs::create_dir_all(&folder).ok()?;
            disk::place(files, &folder).ok()?;
            Some(folder)
        });
        let place = kept.as_deref().map(Path::display);
        let place = place.map_or_else(String::new, |path| format!(" (files in {path})"));
        self.findings.push(format!("{what}{place}"));
    }

    /// Takes in another one.
    pub fn add(&mut self, other: Self) {
        self.tried += other.tried;
        self.broken += other.broken;
        self.findings.extend(other.findings);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in self.findings.iter().take(TOLD) {
            writeln!(f, "finding: {finding}")?;
        }
        let Self { tried, broken, findings } = self;
        write!(f, "{tried} tried, {broken} put aside, {} findings", findings.len())
    }
}
