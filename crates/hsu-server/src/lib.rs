//! The face: the HTTP API over a local socket.
//!
//! One thread of its own, so that no client ever delays a restart. Whoever
//! connects is known by their user id; `authorize` decides before anything
//! else, and denies by default. Paths and shapes are `hsu-api`'s.

mod answers;
mod problems;
mod routes;
mod story;
mod streams;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hsu_model::event::Actor;
use hsu_runtime::control::Control;
use hsu_sys::local::{AsyncListener, AsyncStream, LocalListener};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Notify, Semaphore, oneshot};
use tracing::warn;

/// Connections at the same time; more wait.
const CONNECTIONS: usize = 256;
/// Streams that are followed at the same time; the rest of the connections is for questions.
const STREAMS: usize = 128;
/// Threads that read files for the answers.
const READERS: usize = 4;
/// The longest head of a request.
const LONGEST_HEAD: usize = 16 << 10;
/// How long answers may still go out after the stop.
const LAST_ANSWERS: Duration = Duration::from_millis(200);
/// How long a reader that was too slow may take for its last record.
const LAST_RECORD: Duration = Duration::from_secs(10);
/// How long a client may take to send its request's head.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long the first answer waits for the processes of an earlier life to be known.
const OPEN_WITHIN: Duration = Duration::from_secs(2);
/// How often the socket's name is looked for: whoever cleans a folder may have removed it.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The rest after the kernel refused a connection.
const REFUSED_REST: Duration = Duration::from_millis(50);

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
    let thread = std::thread::Builder::new()
        .name("hsu-api".to_owned())
        .stack_size(512 << 10)
        .spawn({
            let path = path.to_owned();
            move || serve(listener, &path, control, stopped)
        })
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
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    runtime.block_on(async {
        tokio::select! {
            error = accept(listener, path, control, Arc::clone(&room)) => {
                warn!(%error, "the API is not served any more");
            }
            _ = stopped => {}
        }
        // Answers that are known by now still go out.
        let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
        drop(tokio::time::timeout(LAST_ANSWERS, room.acquire_many(all)).await);
    });
    runtime.shutdown_timeout(LAST_ANSWERS);
}

/// Takes connections until the listener itself is broken.
async fn accept(
    listener: LocalListener,
    path: &Path,
    control: Arc<dyn Control>,
    room: Arc<Semaphore>,
) -> io::Error {
    let mut listener = match listener.into_async() {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    // Clients wait in the backlog meanwhile; a keeper that hangs does not hide the master.
    drop(tokio::time::timeout(OPEN_WITHIN, control.opened().wait_for(|opened| *opened)).await);
    let answers = Arc::new(answers::Answers::new(control));
    let streams = Arc::new(Semaphore::new(STREAMS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return io::Error::other("nobody closes the room");
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            another = missed(path) => {
                listener = another;
                continue;
            }
        };
        match accepted {
            Ok((stream, uid)) => {
                let stuck = Arc::new(Notify::new());
                let face = routes::Face {
                    answers: Arc::clone(&answers),
                    actor: authorize(uid),
                    streams: Arc::clone(&streams),
                    stuck: Arc::clone(&stuck),
                };
                tokio::spawn(async move {
                    converse(stream, face, &stuck).await;
                    drop(place);
                });
            }
            // Out of descriptors, mostly: it passes.
            Err(_) => tokio::time::sleep(REFUSED_REST).await,
        }
    }
}

/// Comes back with another listener once the socket's name has gone. A name that another
/// master has taken is there, and is left to it.
async fn missed(path: &Path) -> AsyncListener {
    let mut is_told = false;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Err(error) = std::fs::symlink_metadata(path)
            && error.kind() == io::ErrorKind::NotFound
        {
            match LocalListener::bind(path).and_then(LocalListener::into_async) {
                Ok(listener) => {
                    warn!(socket = %path.display(), "the socket was removed, and is there again");
                    return listener;
                }
                Err(error) if !is_told => {
                    warn!(%error, "the socket was removed, and cannot be made again");
                    is_told = true;
                }
                Err(_) => {}
            }
        }
    }
}

/// Answers the requests of one connection, until it ends or its reader is stuck.
async fn converse(stream: AsyncStream, face: routes::Face, stuck: &Notify) {
    let service = TowerToHyperService::new(routes::router(face));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let given_up = async {
        stuck.notified().await;
        tokio::time::sleep(LAST_RECORD).await;
    };
    tokio::select! {
        // A client that goes away is none of our business.
        _ = connection => {}
        () = given_up => {}
    }
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
