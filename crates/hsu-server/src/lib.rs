//! The face: the HTTP API over a local socket.
//!
//! One thread of its own, so that no client ever delays a restart. Whoever
//! connects is known by their user id; `authorize` decides before anything
//! else, and denies by default. Paths and shapes are `hsu-api`'s.

mod answers;
mod door;
#[doc(hidden)]
pub mod fuzzing;
mod limits;
mod past;
mod problems;
mod routes;
mod settings;
mod story;
mod streams;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hsu_model::event::Actor;
use hsu_runtime::control::Control;
use hsu_sys::local::LocalListener;
use tokio::sync::oneshot;
use tracing::warn;

/// Threads that read files for the answers.
const READERS: usize = 4;
/// How long answers may still go out after the stop.
const LAST_ANSWERS: Duration = Duration::from_millis(200);
/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The socket cannot be made.
    #[error("cannot listen at {}", path.display())]
    Listen {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No thread is to be had.
    #[error("cannot start the thread of the API")]
    Thread(#[source] io::Error),
}

/// The API while it is served.
#[derive(Debug)]
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

/// Serves the API at a socket path from now on.
///
/// # Errors
/// [`ServerError`].
pub fn start(path: &Path, control: Arc<dyn Control>) -> Result<Server, ServerError> {
    let listen = |source| ServerError::Listen { path: path.to_owned(), source };
    let listener = LocalListener::bind(path).map_err(listen)?;
    let (stop, stopped) = oneshot::channel();
    let place = path.to_owned();
    let thread = std::thread::Builder::new()
        .name("hsu-api".to_owned())
        .stack_size(512 << 10)
        .spawn(move || serve(listener, &place, control, stopped))
        .map_err(ServerError::Thread)?;
    Ok(Server { stop: Some(stop), thread: Some(thread), path: path.to_owned() })
}

impl Server {
    /// Ends the thread. `Leave` the socket when another master has bound its own there.
    pub fn stop(mut self, socket: Socket) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the thread of the API had crashed");
        }
        if socket == Socket::Remove {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// What becomes of the socket's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    /// It goes.
    Remove,
    /// It stays.
    Leave,
}

/// Who may do what: root and the master's own user everything, others nothing.
fn authorize(uid: u32) -> Option<Actor> {
    let allowed = uid == 0 || uid == hsu_sys::local::own_uid();
    allowed.then_some(Actor::Operator { uid })
}

fn serve(
    listener: LocalListener,
    path: &Path,
    control: Arc<dyn Control>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(READERS)
        .thread_name("hsu-api-reader")
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return warn!(%error, "the API is not served"),
    };
    let door = door::Door::new(path.to_owned());
    runtime.block_on(async {
        tokio::select! {
            error = door.keep(listener, control) => {
                warn!(%error, "the API is not served any more");
            }
            _ = stopped => {}
        }
        // Answers that are known by now still go out.
        drop(tokio::time::timeout(LAST_ANSWERS, door.emptied()).await);
    });
    runtime.shutdown_timeout(LAST_ANSWERS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_own_user_may_steer_and_nobody_else() {
        let own = hsu_sys::local::own_uid();
        for (uid, allowed) in [(0, true), (own, true), (own ^ 0x7fff_0001, false), (65_534, false)]
        {
            assert_eq!(authorize(uid).is_some(), allowed || uid == own, "{uid}");
        }
    }
}
