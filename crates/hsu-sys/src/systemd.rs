//! systemd: which manager of units there is, and how it is asked.
//!
//! By its own program: root asks the manager of the host, anybody else the one of their
//! own session. Absent: systemd's bus, whose client library would be larger than this
//! room; and running anything, which is [`crate::brief`]'s.

use std::path::PathBuf;

use crate::users;

/// What it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// To start a unit.
    Start,
    /// To restart it.
    Restart,
    /// To stop it.
    Stop,
}

impl Verb {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Stop => "stop",
        }
    }
}

/// It does not run here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("systemd does not run here: there is no {}", folder.display())]
pub struct Absent {
    /// What is there where it runs.
    pub folder: PathBuf,
}

/// A manager of units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Systemd {
    /// The folder that exists while it runs.
    folder: PathBuf,
    /// The program that asks it, and what comes before the verb.
    words: Vec<String>,
}

impl Systemd {
    /// The one that this process asks.
    // Source: sd_booted(3): the folder exists where systemd is the manager of the host.
    #[must_use]
    pub fn here() -> Self {
        let mut words = vec!["systemctl".to_owned(), "--no-ask-password".to_owned()];
        if users::effective() == 0 {
            return Self { folder: PathBuf::from("/run/systemd/system"), words };
        }
        words.push("--user".to_owned());
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let runtime =
            runtime.unwrap_or_else(|| PathBuf::from(format!("/run/user/{}", users::effective())));
        Self { folder: runtime.join("systemd"), words }
    }

    /// Whether it runs; how it is asked.
    ///
    /// # Errors
    /// [`Absent`].
    pub fn is_there(&self) -> Result<String, Absent> {
        match self.folder.is_dir() {
            true => Ok(self.words.join(" ")),
            false => Err(Absent { folder: self.folder.clone() }),
        }
    }

    /// The program and the arguments that ask for this; they return when it is done.
    ///
    /// # Errors
    /// [`Absent`].
    pub fn words(&self, verb: Verb, unit: &str) -> Result<Vec<String>, Absent> {
        self.is_there()?;
        // A unit's name never is an option.
        let rest = [verb.as_str(), "--", unit].map(str::to_owned);
        Ok(self.words.iter().cloned().chain(rest).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_where_it_runs_and_missed_where_it_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let words = vec!["systemctl".to_owned(), "--user".to_owned()];
        let there = Systemd { folder: folder.path().to_owned(), words: words.clone() };
        let asked = there.words(Verb::Restart, "-x").unwrap();
        assert_eq!(asked, ["systemctl", "--user", "restart", "--", "-x"]);
        let gone = Systemd { folder: folder.path().join("nothing"), words };
        let error = gone.words(Verb::Stop, "web").unwrap_err().to_string();
        assert!(error.starts_with("systemd does not run here: there is no "), "{error}");
    }

    #[test]
    fn whoever_is_not_root_asks_their_own() {
        let here = Systemd::here();
        let is_own = here.words.iter().any(|word| word == "--user");
        assert_eq!(is_own, users::effective() != 0);
    }
}
