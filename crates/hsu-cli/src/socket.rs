//! Where the master's socket is.
//!
//! A socket that was named is taken as it is. In the usual places anybody may have
//! put one, so only what root or our own user owns is asked, and a place where
//! nobody listens is passed over. Where several masters answer, what only looks asks
//! the first and says so, and an order is refused: it may be meant for another.

use std::io::{self, Write as _, stderr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hsu_config::{LoadOptions, Surroundings};
use hsu_sys::local::{LocalStream, own_uid, owner};

use crate::arguments::{Arguments, MasterVerb, Verb};
use crate::exit::{Failure, named, with_causes};
use crate::handover::Return;

/// The variable that names the socket.
const VARIABLE: &str = "HSU_SOCKET";
/// How long a place may take to take a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks for a master that is to come.
pub(crate) const REST: Duration = Duration::from_millis(50);

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
    let places: Vec<_> = places.into_iter().map(PathBuf::from).collect();
    let mut lost = Return::default();
    loop {
        match choose(&places, own_uid(), only_looks(&arguments.verb)) {
            Err(Failure::NoSocket { tried })
                if tried.iter().any(is_deserted) && lost.may_come() => {}
            outcome => return outcome,
        }
    }
}

/// As [`find`], and waits until a master takes connections there; after `patience` it is the
/// asking that tells what is wrong.
pub(crate) fn await_master(arguments: &Arguments, patience: Duration) -> Result<PathBuf, Failure> {
    let begun = Instant::now();
    loop {
        let found = find(arguments);
        let is_to_come = match &found {
            Ok(socket) => {
                matches!(knock(socket), Err(Obstacle::Nothing | Obstacle::Deserted))
            }
            Err(Failure::NoSocket { tried }) => !tried.iter().any(|(_, why)| why.is_refusal()),
            Err(_) => false,
        };
        if !is_to_come || begun.elapsed() >= patience {
            return found;
        }
        std::thread::sleep(REST.min(patience));
    }
}

/// Whether a verb changes nothing at the master.
const fn only_looks(verb: &Verb) -> bool {
    match verb {
        Verb::Start(_)
        | Verb::Stop(_)
        | Verb::Restart(_)
        | Verb::Enable(_)
        | Verb::Disable(_)
        | Verb::Reset(_)
        | Verb::Remove(_)
        | Verb::Signal { .. } => false,
        Verb::Master { verb } => matches!(verb, MasterVerb::Status { .. }),
        Verb::List { .. }
        | Verb::Describe { .. }
        | Verb::Why { .. }
        | Verb::Top { .. }
        | Verb::Usage { .. }
        | Verb::Logs(_)
        | Verb::Events(_)
        | Verb::History(_)
        | Verb::Diff(_)
        | Verb::Replay(_)
        | Verb::Wait(_)
        | Verb::Validate { .. }
        | Verb::Capabilities { .. }
        | Verb::Version { .. }
        | Verb::Completions { .. }
        | Verb::Man { .. } => true,
    }
}

/// The first place where a master of a trusted user takes connections, and for an order
/// the only one.
fn choose(places: &[PathBuf], own: u32, only_looks: bool) -> Result<PathBuf, Failure> {
    let (mut answering, mut tried) = (Vec::new(), Vec::new());
    for place in places {
        match trusted(place, own).and_then(|()| knock(place)) {
            Ok(()) => answering.push(place.clone()),
            Err(obstacle) => tried.push((place.clone(), obstacle)),
        }
    }
    match answering.as_slice() {
        [] => Err(Failure::NoSocket { tried }),
        [only] => Ok(only.clone()),
        [first, others @ ..] if only_looks => {
            let others: Vec<_> = others.iter().map(|place| named(place)).collect();
            // Nobody is left to hear that standard error is closed.
            drop(writeln!(
                stderr().lock(),
                "note: this is the master at {}; others answer at {} (--socket PATH asks them)",
                named(first),
                others.join(", ")
            ));
            Ok(first.clone())
        }
        _ => Err(Failure::Ambiguous { answering }),
    }
}

fn is_deserted((_, why): &(PathBuf, Obstacle)) -> bool {
    matches!(why, Obstacle::Deserted)
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
        assert_eq!(choose(&places, own_uid(), false).unwrap(), at("live"));
    }

    #[test]
    fn of_several_masters_none_takes_an_order_that_names_none() {
        let folder = tempfile::tempdir().unwrap();
        let places = ["one", "two"].map(|name| folder.path().join(name));
        let _listeners = places.each_ref().map(|place| LocalListener::bind(place).unwrap());
        assert_eq!(choose(&places, own_uid(), true).unwrap(), places[0]);
        let failure = choose(&places, own_uid(), false).unwrap_err();
        assert_eq!(failure.exit(), crate::exit::Exit::Invalid);
        assert!(places.iter().all(|place| failure.to_string().contains(place.to_str().unwrap())));
        assert!(failure.hint().is_some_and(|hint| hint.contains("--socket")));
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
        let failure = choose(&[socket], own, true).unwrap_err();
        assert!(failure.to_string().contains("not trusted: "), "{failure}");
        assert_eq!(failure.exit(), crate::exit::Exit::Refused);
        assert!(failure.hint().is_some_and(|hint| hint.contains("--socket")));
    }
}
