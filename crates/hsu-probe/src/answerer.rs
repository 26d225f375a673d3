//! Who answers: whether it is one of those whose answer counts.
//!
//! A port or a path may be another's by now, and that one may be well. Who listens is
//! known by the number of its socket, and looked for among the processes of the worker;
//! nothing is said to anybody else. It is looked for after the connection was made, so
//! that what listened before has no part in it.

use std::collections::{BTreeSet, HashMap};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hsu_model::discovery::Protocol;
use hsu_model::health::probe::Answerer;
use hsu_sys::sockets::{Waiting, at, at_paths, holds};
use hsu_sys::tree::Kinship;
use hsu_sys::{census, users};
use tokio::sync::Semaphore;

use crate::look::Trouble;
use crate::prober::Subject;

/// Looks for who listens that go on at once. Each takes a thread, and mostly 100 us of it.
const AT_ONCE: usize = 4;
/// Strangers whose names are kept, by what they listen on.
const MOST_KNOWN: usize = 1024;
/// In place of a PID.
const NOBODY: u32 = 0;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(crate) enum Here {
    /// A port.
    Port {
        /// Over what.
        over: Protocol,
        /// Its address.
        address: SocketAddr,
        /// Our own address, which tells whether that one is on this host.
        own: SocketAddr,
    },
    /// A Unix socket.
    Path {
        /// Its path.
        path: String,
        /// Who had it listen, where that is told.
        maker: Option<u32>,
        /// The user of that process.
        user: u32,
    },
}

/// What tells who listens.
#[derive(Clone, Debug)]
pub(crate) struct Answerers {
    turns: Arc<Semaphore>,
    /// The PID that held a socket when it was looked for on the whole host.
    known: Arc<Mutex<HashMap<u64, u32>>>,
}

impl Answerers {
    pub(crate) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), known: Arc::default() }
    }

    /// Whether the answer of whoever is at the other end counts.
    pub(crate) async fn judge(
        &self,
        wanted: &Answerer,
        here: Here,
        subject: &Subject,
    ) -> Result<(), Trouble> {
        if *wanted == Answerer::Anybody {
            return Ok(());
        }
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let (this, wanted, subject) = (self.clone(), wanted.clone(), subject.clone());
        let looking = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            this.look(&wanted, &here, &subject)
        });
        looking.await.unwrap_or_else(|error| Err(Trouble::Unable(error.to_string())))
    }

    fn look(&self, wanted: &Answerer, here: &Here, subject: &Subject) -> Result<(), Trouble> {
        let ends = self.ends(here)?;
        match wanted {
            Answerer::Anybody => Ok(()),
            Answerer::User(name) => {
                let found = users::resolve(Some(name), None);
                let found = found.map_err(|error| Trouble::Bad(error.to_string()))?;
                let uid = found.map_or(u32::MAX, |identity| identity.uid);
                match ends.iter().find(|end| end.user != uid) {
                    None => Ok(()),
                    Some(other) => Err(self.stranger(here, other, &format!("not {name}"))),
                }
            }
            Answerer::Worker => ends.iter().try_for_each(|end| self.is_own(here, end, subject)),
        }
    }

    /// The sockets that may have taken the connection.
    fn ends(&self, here: &Here) -> Result<Vec<End>, Trouble> {
        let ends = match here {
            Here::Port { over, address, own } => {
                let is_here = address.ip().is_loopback() || address.ip() == own.ip();
                if !is_here {
                    return Err(Trouble::Bad(format!(
                        "{address} is not on this host, and nobody tells who answers there \
                         (hint: leave `answered_by` out)"
                    )));
                }
                at(*over, *address).iter().map(End::of).collect()
            }
            Here::Path { path, maker, user } => {
                let sockets = at_paths().remove(path.as_bytes()).unwrap_or_default();
                vec![End { sockets, maker: *maker, user: *user }]
            }
        };
        if ends.is_empty() {
            let address = here.shown();
            return Err(Trouble::Bad(format!(
                "no process of this host listens at {address}: it is passed on elsewhere, or \
                 has just ended"
            )));
        }
        Ok(ends)
    }

    fn is_own(&self, here: &Here, end: &End, subject: &Subject) -> Result<(), Trouble> {
        let Some(lineage) = &subject.lineage else {
            return Err(Trouble::Unable("nothing is known of the processes of it".to_owned()));
        };
        let kinship = Kinship {
            run: subject.run,
            master: &lineage.master,
            keeper: lineage.keeper,
            process: subject.process,
            folder: lineage.folder.as_deref(),
        };
        let mut is_hidden = false;
        let found = kinship.find(|pid| {
            let held = holds(pid, &end.sockets);
            is_hidden |=
                held.as_ref().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
            end.maker == Some(pid) || held.unwrap_or(false)
        });
        match found {
            Some(_) => Ok(()),
            None if is_hidden => {
                Err(Trouble::Unable("its processes do not show us what they listen on".to_owned()))
            }
            None => Err(self.stranger(here, end, "which is no process of this worker")),
        }
    }

    /// Says who answers instead.
    fn stranger(&self, here: &Here, end: &End, who: &str) -> Trouble {
        let (address, user) = (here.shown(), users::name(end.user));
        let name = end.maker.or_else(|| self.holder(&end.sockets)).map(|pid| {
            let face = census::face(pid).ok().flatten();
            let name = face.map_or_else(String::new, |face| crate::pattern::shown(&face.name));
            format!("PID {pid} {name} of {user}")
        });
        let name = name.unwrap_or_else(|| format!("a process of {user}"));
        Trouble::Bad(format!("{address} is answered by {name}, {who}"))
    }

    /// Who holds a socket; the whole host is looked at once for each.
    fn holder(&self, sockets: &BTreeSet<u64>) -> Option<u32> {
        let first = *sockets.first()?;
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known().get(&first).copied() {
            // It is hidden from us, and stays so.
            Some(NOBODY) => return None,
            Some(pid) if holds(pid, sockets).unwrap_or(false) => return Some(pid),
            Some(_) | None => {}
        }
        let mut pids = Vec::new();
        drop(census::pids(&mut pids));
        pids.sort_unstable();
        let found = pids.into_iter().find(|pid| holds(*pid, sockets).unwrap_or(false));
        let mut known = known();
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(first, found.unwrap_or(NOBODY));
        found
    }
}

/// Something that may have taken the connection.
#[derive(Clone, Debug)]
struct End {
    sockets: BTreeSet<u64>,
    maker: Option<u32>,
    user: u32,
}

impl End {
    fn of(socket: &Waiting) -> Self {
        Self { sockets: [socket.number].into(), maker: None, user: socket.user }
    }
}

impl Here {
    fn shown(&self) -> String {
        match self {
            Self::Port { address, .. } => address.to_string(),
            Self::Path { path, .. } => path.clone(),
        }
    }
}
