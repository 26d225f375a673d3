//! The reactor: what the master's loop sleeps in.
//!
//! One call waits for the keeper's link, for a wake-up from another thread, for
//! a signal and for the next deadline. Nothing wakes it when nothing happens.

use std::io;
use std::time::Duration;

#[cfg(unix)]
#[path = "reactor/unix.rs"]
mod os;
#[cfg(windows)]
#[path = "reactor/windows.rs"]
mod os;

pub use os::{Reactor, Source, Waker};

/// What the reactor saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// The link can be read, or its other end is gone.
    pub readable: bool,
    /// The link takes more.
    pub writable: bool,
    /// Another thread called [`Waker::wake`].
    pub woken: bool,
    /// Signals that came since the last call, in no order, each once.
    pub signals: Vec<MasterSignal>,
}

/// A signal that the master reacts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MasterSignal {
    /// SIGTERM: stop the workers, then the master.
    Terminate,
    /// SIGINT: the same, from a terminal.
    Interrupt,
    /// SIGHUP: reload.
    Hangup,
    /// SIGQUIT: write the state to the log.
    Quit,
    /// SIGCHLD: a child of the master itself ended.
    Child,
}

/// What to wait for besides wake-ups and signals.
#[derive(Clone, Copy, Debug)]
pub struct Wait<'a, S> {
    /// The link to the keeper.
    pub link: Option<&'a S>,
    /// Whether queued messages wait for the link to take more.
    pub write: bool,
    /// How long to sleep at most; none is for ever.
    pub timeout: Option<Duration>,
}

impl Reactor {
    /// Sleeps until something is ready, or the timeout is over.
    ///
    /// # Errors
    /// The kernel's error; an interrupted call is not one.
    pub fn wait<S: Source>(&mut self, wait: &Wait<'_, S>) -> io::Result<Ready> {
        self.poll(wait)
    }
}
