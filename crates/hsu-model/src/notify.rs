//! What a worker tells of itself: the protocol of sd_notify, and s6's descriptor.

use alloc::string::String;
use core::time::Duration;

use crate::process::ProcessKey;

/// Whether and how a worker is listened to.
// Source: sd_notify(3); systemd.service(5), `NotifyAccess=`, `WatchdogSec=`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// Whose words count.
    pub access: NotifyAccess,
    /// How it is heard.
    pub channel: NotifyChannel,
    /// Whether it is ready only when it says so.
    pub ready: bool,
    /// How long it may take to say that it is ready; zero is for ever.
    pub startup_timeout: Duration,
    /// How often it must say that it lives; zero is never.
    pub watchdog: Duration,
    /// Descriptors that it may leave with us, to be found at its next start.
    pub store: u32,
}

impl Notify {
    /// The documented time to become ready.
    // Source: systemd-system.conf(5), `DefaultTimeoutStartSec=`.
    pub const DEFAULT_STARTUP_TIMEOUT: Duration = Duration::from_secs(90);

    /// Whether it is listened to at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.access != NotifyAccess::None
    }
}

/// Whose words count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NotifyAccess {
    /// Nobody's.
    #[default]
    None,
    /// Those of the worker's process.
    Main,
    /// Those of every process of its tree.
    All,
}

/// How a worker is heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NotifyChannel {
    /// At the socket that `NOTIFY_SOCKET` names.
    #[default]
    Socket,
    /// By one line at this descriptor, which says that it is ready.
    // Source: s6, "notification-fd".
    Descriptor(u32),
}

/// One thing that a worker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It does its job.
    Ready,
    /// It reads its configuration anew; [`Said::Ready`] ends this.
    Reloading,
    /// It is about to end.
    Stopping,
    /// What it is doing, for people.
    Status(String),
    /// It lives.
    Alive,
    /// It is beyond recovery.
    Broken,
    /// How often it will say that it lives; zero is never.
    AliveEvery(Duration),
    /// It needs this much longer, from now on, to become ready or to end.
    NeedsLonger(Duration),
    /// Another process is the one that counts: the worker ends with it.
    MainProcess(Named),
}

/// A process that a worker names, and what is known of it. Whether it is believed is decided
/// by whoever hears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// By this number.
    pub pid: u32,
    /// Which process that is; none when there is none, or it has ended.
    pub process: Option<ProcessKey>,
    /// How it is known to be one of the worker's; none when it is not.
    pub bond: Option<Bond>,
}

/// How a process is known to be one of a worker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bond {
    /// It is in the cgroup of the worker, where nothing else is.
    Cgroup,
    /// It descends from the process of the run.
    Descent,
    /// It descends from the keeper, as an orphan, and its environment names the run.
    Mark,
}
