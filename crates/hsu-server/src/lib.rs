//! The face: the HTTP API over a local socket.
//!
//! One thread of its own, so that no client ever delays a restart. Whoever
//! connects is known by their user id; `authorize` decides before anything
//! else, and denies by default. Paths and shapes are `hsu-api`'s.

mod answers;
mod logs;
mod routes;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hsu_model::event::Actor;
use hsu_runtime::control::Control;
use hsu_sys::local::LocalListener;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Semaphore, oneshot};
use tracing::warn;

/// Connections at the same time; more wait.
const CONNECTIONS: usize = 256;
/// How long a client may take to send its request's head.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
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
        .spawn(move || serve(listener, control, stopped))
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

fn serve(listener: LocalListener, control: Arc<dyn Control>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(async move {
            tokio::select! {
                error = accept(listener, control) => warn!(%error, "the API is not served any more"),
                _ = stopped => {}
            }
        }),
        Err(error) => warn!(%error, "the API is not served"),
    }
}

/// Takes connections until the listener itself is broken.
async fn accept(listener: LocalListener, control: Arc<dyn Control>) -> io::Error {
    let listener = match listener.into_async() {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let answers = Arc::new(answers::Answers::new(control));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return io::Error::other("nobody closes the room");
        };
        let Ok((stream, uid)) = listener.accept().await else {
            // Out of descriptors, mostly: it passes.
            tokio::time::sleep(REFUSED_REST).await;
            continue;
        };
        let service =
            TowerToHyperService::new(routes::router(Arc::clone(&answers), authorize(uid)));
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_WITHIN)
                .max_buf_size(16 << 10)
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away is none of our business.
            drop(connection.await);
            drop(place);
        });
    }
}
