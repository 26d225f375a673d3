//! Discovery: how a process that somebody else started is found, what has to be true of
//! it, and what we may do to it.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::id::RunId;
use crate::limits::Limits;
use crate::logs::{Stream, WorkerLogs};
use crate::process::ProcessKey;
use crate::restart::Restart;

/// A worker that somebody else starts and that we watch.
#[derive(Clone, Debug, PartialEq)]
pub struct Unmanaged {
    /// How its process is found.
    pub discovery: Discovery,
    /// What we may do to it.
    pub rights: Rights,
    /// What it may use; none when nothing limits it.
    pub limits: Option<Arc<Limits>>,
    /// How often and how fast its manager is asked to restart it.
    pub restart: Restart,
    /// Files that its process writes, whose lines are its output.
    pub log_files: Vec<LogFile>,
    /// Where those lines go.
    pub logs: WorkerLogs,
}

/// A file that a process of somebody else writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Its absolute path.
    pub path: String,
    /// As which stream its lines are taken.
    pub stream: Stream,
    /// Where it begins when it is there at the first look.
    pub beginning: Beginning,
}

/// Where a file begins to be followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Beginning {
    /// With what is written from then on.
    #[default]
    End,
    /// With all that is in it.
    Start,
}

/// How the process of a worker is found.
#[derive(Clone, Debug, PartialEq)]
pub struct Discovery {
    /// What tells its process from others; never empty.
    pub searches: Vec<Search>,
    /// How the searches go together.
    pub combine: Combine,
    /// All of these have to fit as well.
    pub include: Vec<Search>,
    /// None of these may fit.
    pub exclude: Vec<Search>,
    /// What has to be true of a process before it is attached.
    pub validation: Vec<Validation>,
    /// How often to look.
    pub check_interval: Duration,
    /// How many processes the worker has.
    pub matches: Matches,
}

impl Discovery {
    /// The documented default of `check_interval`.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
}

/// How several searches go together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Combine {
    /// A process fits when all of them fit.
    #[default]
    All,
    /// A process fits when any of them fits.
    Any,
    /// The first search that finds anything decides.
    First,
}

/// How many processes a worker has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matches {
    /// One; when several fit, none is taken.
    #[default]
    One,
    /// As many as fit.
    Many,
}

/// What tells a process from others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Search {
    /// The file at this absolute path holds its PID.
    PidFile(String),
    /// It has this name, and was started with these arguments.
    Name {
        /// The name.
        name: Text,
        /// Arguments that are among its own.
        args: Vec<String>,
    },
    /// It listens on a port.
    Port {
        /// The port.
        port: u16,
        /// Of which protocol.
        protocol: Protocol,
    },
    /// Its parent has this name.
    ParentName(Text),
    /// The file at this absolute path holds its parent's PID.
    ParentPidFile(String),
    /// Its arguments, joined by spaces, match this pattern.
    CommandLine(String),
    /// It has a variable.
    Environment {
        /// The variable.
        variable: String,
        /// What it holds; without it, anything.
        value: Option<Text>,
    },
    /// It works in this folder.
    WorkingDirectory(String),
    /// It runs as this user, by name or number.
    User(String),
    /// It has this file open.
    File(String),
    /// It has the Unix socket with this path.
    Socket(String),
    /// The service manager of the host runs it as this unit.
    Unit(String),
    /// A service registry names it.
    Registry(Registry),
}

impl Search {
    /// The word for it in configuration files.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self {
            Self::PidFile(_) => "pid-file",
            Self::Name { .. } => "process-name",
            Self::Port { .. } => "port",
            Self::ParentName(_) | Self::ParentPidFile(_) => "parent",
            Self::CommandLine(_) => "command-line",
            Self::Environment { .. } => "environment",
            Self::WorkingDirectory(_) => "working-directory",
            Self::User(_) => "user",
            Self::File(_) => "file",
            Self::Socket(_) => "socket",
            Self::Unit(_) => "service-name",
            Self::Registry(Registry { kind: RegistryKind::Consul, .. }) => "consul",
            Self::Registry(Registry { kind: RegistryKind::Etcd, .. }) => "etcd",
        }
    }
}

/// A text, or a pattern of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// Exactly this.
    Exactly(String),
    /// Whatever this regular expression finds something in.
    Pattern(String),
}

/// A transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// `tcp` or `udp`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A service in a registry. Its instances on this host are found by the ports they listen on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Registry {
    /// Which kind.
    pub kind: RegistryKind,
    /// Where it is asked, such as `http://127.0.0.1:8500`.
    pub url: String,
    /// The service (Consul), or the prefix of the keys whose values are addresses (etcd).
    pub service: String,
    /// The file that holds the token to ask with.
    pub token_file: Option<String>,
}

/// The kinds of registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RegistryKind {
    /// Consul.
    Consul,
    /// etcd, by its JSON gateway.
    Etcd,
}

/// What has to be true of a process before it is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Validation {
    /// A TCP port takes a connection.
    PortCheck {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// How long that may take.
        timeout: Duration,
    },
    /// A file exists.
    FileExists(String),
    /// A URL answers.
    HttpHealth {
        /// What to ask.
        url: String,
        /// The status of the answer; without it, 200 to 299.
        expected: Option<u16>,
        /// How long that may take.
        timeout: Duration,
    },
    /// It runs as this user, by name or number.
    User(String),
    /// It runs the program at this path.
    Exe(String),
    /// It has run for a time.
    Age {
        /// At least this long.
        at_least: Duration,
        /// At most this long.
        at_most: Option<Duration>,
    },
}

impl Validation {
    /// How long a question over the network may take when nobody says.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
}

/// What we may do to a process that is not ours.
#[derive(Clone, Debug, PartialEq)]
pub struct Rights {
    /// Whether we may end it.
    pub can_terminate: bool,
    /// Whether we may restart it.
    pub can_restart: bool,
    /// Whether we may move it into groups of ours, and slow it down.
    pub can_limit: bool,
    /// Signals that an operator may send through us.
    pub allowed_signals: Vec<i32>,
    /// How long it may take to end.
    pub graceful_timeout: Duration,
    /// Who starts and stops it.
    pub manager: Manager,
}

impl Rights {
    /// The documented default of `graceful_timeout`.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
}

/// Who starts and stops a process that is not ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Manager {
    /// Nobody we know of.
    #[default]
    Unknown,
    /// systemd, as this unit.
    Systemd(String),
    /// This command restarts it: a program and its arguments.
    Command(Vec<String>),
}

/// The program that a process runs, by the file and not by its path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProgramId {
    /// The device of the file; 0 when it may not be seen.
    pub device: u64,
    /// The file on it; 0 when it may not be seen.
    pub inode: u64,
}

/// A process that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The process.
    pub process: ProcessKey,
    /// What it runs.
    pub program: ProgramId,
    /// Its name and user, for people.
    pub what: String,
}

/// What a search came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// The processes that fit, oldest first.
    pub candidates: Vec<Candidate>,
    /// Attached processes that run another program now and do not fit any more.
    pub strayed: Vec<ProcessKey>,
    /// Why there are no more, in one sentence; empty when there is nothing to say.
    pub note: String,
    /// Whether one may be there that does not count: it could not be looked for, or is not
    /// valid. The note says why.
    pub is_blind: bool,
}

/// An attached process as a record keeps it: a hint that is verified before it is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Its run.
    pub run: RunId,
    /// The process.
    pub process: ProcessKey,
    /// What it ran.
    pub program: ProgramId,
}
