//! Where the master's socket is.
//!
//! A socket that was named is taken as it is. In the usual places anybody may have
//! put one, so only what root or our own user owns is asked, and a place where
//! nobody listens is passed over.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hsu_config::{LoadOptions, Surroundings};
use hsu_sys::local::{LocalStream, own_uid, owner};

use crate::arguments::Arguments;
use crate::exit::{Failure, with_causes};

/// The variable that names the socket.
const VARIABLE: &str = "HSU_SOCKET";
/// How long a place may take to take a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// The socket that was named, or the first one in the usual places.
pub(crate) fn find(arguments: &Arguments) -> Result<PathBuf, Failure> {
    if let Some(socket) = &arguments.socket {
        return Ok(socket.clone());
    }
    if let Some(config) = &arguments.config {
        return of_configuration(config);
    }
    if let Some(socket) = std::env::var_os(VARIABLE).filter(|socket| !socket.is_empty()) {
        return Ok(socket.into());
    }
    let places = hsu_config::usual_sockets(&Surroundings::of_this_process());
    first(places.into_iter().map(PathBuf::from), own_uid())
}

/// The first place where a master of a trusted user takes connections.
fn first(places: impl Iterator<Item = PathBuf>, own: u32) -> Result<PathBuf, Failure> {
    let mut tried = Vec::new();
    for place in places {
        match trusted(&place, own).and_then(|()| knock(&place)) {
            Ok(()) => return Ok(place),
            Err(obstacle) => tried.push((place, obstacle)),
        }
    }
    Err(Failure::NoSocket { tried })
}

/// Why a place is passed over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Obstacle {
    /// There is nothing.
    #[error("nothing there")]
    Nothing,
    /// The socket of a master that was killed.
    #[error("nobody listens")]
    Deserted,
    /// We may not look or connect.
    #[error("not for this user")]
    Closed,
    /// Whoever made it may be anybody.
    #[error("not trusted: {} belongs to user {uid}", path.display())]
    Foreign { path: PathBuf, uid: u32 },
    /// Something else.
    #[error("{0}")]
    Other(io::Error),
}

impl Obstacle {
    /// Whether another user would get further.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Closed | Self::Foreign { .. })
    }
}

impl From<io::Error> for Obstacle {
    fn from(error: io::Error) -> Self {
        let kind = error.kind();
        if matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            Self::Nothing
        } else if kind == io::ErrorKind::ConnectionRefused {
            Self::Deserted
        } else if kind == io::ErrorKind::PermissionDenied {
            Self::Closed
        } else {
            Self::Other(error)
        }
    }
}

fn trusted(socket: &Path, own: u32) -> Result<(), Obstacle> {
    for path in socket.parent().into_iter().chain([socket]) {
        let uid = owner(path)?;
        if uid != 0 && uid != own {
            return Err(Obstacle::Foreign { path: path.to_owned(), uid });
        }
    }
    Ok(())
}

fn knock(socket: &Path) -> Result<(), Obstacle> {
    LocalStream::connect(socket, Some(PATIENCE))?;
    Ok(())
}

fn of_configuration(config: &Path) -> Result<PathBuf, Failure> {
    let source = hsu_config::read(config).map_err(|error| Failure::Input(with_causes(&error)))?;
    let options = LoadOptions::default();
    let outcome = hsu_config::load(&source, &Surroundings::of_this_process(), &options);
    match outcome.fleet {
        Some(fleet) => Ok(fleet.master.directories.control_socket().into()),
        None => Err(Failure::Configuration { path: config.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use hsu_sys::local::LocalListener;

    use super::*;

    #[test]
    fn a_place_where_nobody_listens_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        // The name stays when its master was killed.
        drop(LocalListener::bind(&at("stale")).unwrap());
        let _listener = LocalListener::bind(&at("live")).unwrap();
        let places = ["missing", "no/folder", "stale", "live"].map(at);
        assert_eq!(first(places.into_iter(), own_uid()).unwrap(), at("live"));
    }

    #[test]
    fn what_a_stranger_owns_is_not_asked() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let _listener = LocalListener::bind(&socket).unwrap();
        // Whoever asks is neither root nor the owner.
        let mut own = own_uid();
        if own == 0 {
            // What root owns is trusted by everybody, so another user makes it.
            std::os::unix::fs::chown(folder.path(), Some(65_534), None).unwrap();
        } else {
            own ^= 0x7fff_0001;
        }
        let failure = first([socket].into_iter(), own).unwrap_err();
        assert!(failure.to_string().contains("not trusted: "), "{failure}");
        assert_eq!(failure.exit(), crate::exit::Exit::Refused);
        assert!(failure.hint().is_some_and(|hint| hint.contains("--socket")));
    }
}
