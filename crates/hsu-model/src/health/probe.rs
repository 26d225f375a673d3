//! Probes: everything that a look can be taken at.
//!
//! Equal probes see the same, so that one look may serve several checks; those that
//! look at a worker itself say so ([`Probe::is_of_worker`]).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::logs::Stream;

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Probe {
    /// A web server answers.
    Http(Http),
    /// A gRPC server answers.
    Grpc(Grpc),
    /// Somebody accepts connections.
    Tcp(Endpoint),
    /// A program ends as it should.
    Exec(Exec),
    /// The process of the worker is there and can react.
    Process,
    /// A file is as it should be.
    File(File),
    /// A database answers.
    Database(Database),
    /// Something speaks as it should.
    Protocol(Protocol),
    /// The worker has written a line.
    Log(Log),
    /// What the process of the worker uses, as a number.
    Usage(Used),
    /// Several of these, one after the other.
    Steps(Vec<Step>),
}

impl Probe {
    /// The kind, in the word of configuration files.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Grpc(_) => "grpc",
            Self::Tcp(_) => "tcp",
            Self::Exec(exec) if exec.input.is_some() => "script",
            Self::Exec(_) => "exec",
            Self::Process => "process",
            Self::File(_) => "file",
            Self::Database(_) => "database",
            Self::Protocol(_) => "protocol",
            Self::Log(_) => "log",
            Self::Usage(_) => "usage",
            Self::Steps(_) => "steps",
        }
    }

    /// Whether a program is run for it.
    #[must_use]
    pub fn runs_programs(&self) -> bool {
        match self {
            Self::Exec(_) => true,
            Self::Steps(steps) => steps.iter().any(|step| step.probe.runs_programs()),
            Self::Http(_)
            | Self::Grpc(_)
            | Self::Tcp(_)
            | Self::Process
            | Self::File(_)
            | Self::Database(_)
            | Self::Protocol(_)
            | Self::Log(_)
            | Self::Usage(_) => false,
        }
    }

    /// Whether what it sees depends on which worker it is taken for.
    #[must_use]
    pub fn is_of_worker(&self) -> bool {
        match self {
            Self::Exec(_) | Self::Process | Self::Log(_) | Self::Usage(_) => true,
            Self::File(_) => false,
            Self::Http(_)
            | Self::Grpc(_)
            | Self::Tcp(_)
            | Self::Database(_)
            | Self::Protocol(_) => self.wants_own_answer(),
            Self::Steps(steps) => steps.iter().any(|step| step.probe.is_of_worker()),
        }
    }

    /// Whether only an answer of the worker itself counts.
    #[must_use]
    pub fn wants_own_answer(&self) -> bool {
        let endpoint = match self {
            Self::Http(http) => &http.endpoint,
            Self::Grpc(grpc) => &grpc.endpoint,
            Self::Tcp(endpoint) => endpoint,
            Self::Database(database) => &database.endpoint,
            Self::Protocol(protocol) => &protocol.endpoint,
            Self::Steps(steps) => return steps.iter().any(|step| step.probe.wants_own_answer()),
            Self::Exec(_) | Self::Process | Self::File(_) | Self::Log(_) | Self::Usage(_) => {
                return false;
            }
        };
        endpoint.answerer == Answerer::Worker
    }
}

/// Where somebody listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The place.
    pub place: Place,
    /// How the connection is protected; none when it is not.
    pub tls: Option<Tls>,
    /// Whose answer counts.
    pub answerer: Answerer,
}

/// Whose answer counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Answerer {
    /// That of whoever is there.
    #[default]
    Anybody,
    /// That of a process of the worker only, which listens on this host.
    Worker,
    /// That of whoever has this user, by name or number, and listens on this host.
    User(String),
}

/// A place that can be connected to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A port of a host.
    Port {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
        /// Whether addresses that are for this link or for the host's owner only are allowed.
        reach: Reach,
    },
    /// A socket in the file system, by its absolute path.
    Socket(String),
}

/// How far a look may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Anywhere but to link-local addresses and to the services that tell a machine's secrets.
    #[default]
    Usual,
    /// Anywhere.
    Anywhere,
}

/// How a connection is protected. Paths are absolute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// Who must have signed; the authorities of the host when none is named.
    pub authority: Option<String>,
    /// The name that must be in the certificate; that of the host when none is named.
    pub server_name: Option<String>,
    /// Our own certificate and its key.
    pub client: Option<(String, String)>,
    /// Whether the other side must prove who it is.
    pub trust: Trust,
}

/// Whether the other side must prove who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trust {
    /// By a certificate.
    #[default]
    Proven,
    /// Anybody is believed.
    Anybody,
}

/// A pattern of the `regex` crate over bytes: it takes time that is linear in the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(pub String);

/// A web server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Http {
    /// Where it is.
    pub endpoint: Endpoint,
    /// What stands in the head `Host`.
    pub host: String,
    /// Path and query.
    pub path: String,
    /// GET and so on.
    pub method: String,
    /// More heads.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Option<String>,
    /// Statuses that are good, from the first to the last of each range.
    pub statuses: Vec<(u16, u16)>,
    /// What the body must hold.
    pub expect: Option<Pattern>,
    /// How many redirects to the same host are followed.
    pub redirects: u8,
}

/// A gRPC server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grpc {
    /// Where it is.
    pub endpoint: Endpoint,
    /// What stands in the head `:authority`.
    pub authority: String,
    /// What is asked.
    pub question: GrpcQuestion,
    /// Metadata of the question.
    pub headers: Vec<(String, String)>,
}

/// What a gRPC server is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GrpcQuestion {
    /// `grpc.health.v1.Health/Check` about a service; the empty name is the whole server.
    Health(String),
    /// This method with an empty message: any good answer will do.
    Call(String),
}

/// A program that is run. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Exec {
    /// An absolute path, a path with a slash, or a name that is looked up in `PATH`.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// What it reads from its standard input: the text of a script.
    pub input: Option<String>,
    /// Variables beside those of the worker.
    pub environment: Vec<(String, String)>,
    /// Where it runs; without it, where the worker does.
    pub working_directory: Option<String>,
    /// Exit codes that are good.
    pub codes: Vec<i32>,
    /// What the output must hold.
    pub expect: Option<Pattern>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct File {
    /// Its absolute path.
    pub path: String,
    /// Whether it must be there.
    pub presence: Presence,
    /// It was written not longer ago than this.
    pub newest: Option<Duration>,
    /// It was written at least so long ago.
    pub oldest: Option<Duration>,
    /// It has at least so many bytes.
    pub least_size: Option<u64>,
    /// It has at most so many bytes.
    pub most_size: Option<u64>,
    /// What its first 64 KiB must hold.
    pub expect: Option<Pattern>,
}

/// Whether something must be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Presence {
    /// It must.
    #[default]
    Present,
    /// It must not.
    Absent,
}

/// A database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Database {
    /// Which protocol it speaks.
    pub engine: Engine,
    /// Where it is.
    pub endpoint: Endpoint,
    /// Who asks; without a login only the protocol is tried.
    pub login: Option<Login>,
    /// What is asked after the login.
    pub query: Option<String>,
    /// What the first value of the answer must hold.
    pub expect: Option<Pattern>,
}

/// A protocol of databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
    /// Redis and Valkey.
    Redis,
    /// MongoDB.
    Mongodb,
}

/// Who asks a database.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// The database; that of the user's name when none is named.
    pub database: Option<String>,
}

impl core::fmt::Debug for Login {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Where a secret comes from. Never shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Secret {
    /// It is this text.
    Text(String),
    /// It is the first line of the file with this absolute path, read at each look.
    File(String),
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret")
    }
}

/// Anything that can be spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Protocol {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Over what.
    pub transport: Transport,
    /// What is said and expected, in turn.
    pub exchanges: Vec<Exchange>,
}

/// What a protocol runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A stream: TCP, TLS or a Unix socket.
    Stream,
    /// Datagrams: UDP.
    Datagram,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Exchange {
    /// What is said; nothing to begin with listening.
    pub send: Vec<u8>,
    /// What must come back; none when nothing is waited for.
    pub expect: Option<Pattern>,
}

/// A line that the worker writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Log {
    /// What stands in it.
    pub pattern: Pattern,
    /// Where it is written; none is either stream.
    pub stream: Option<Stream>,
    /// Whether it must be there.
    pub presence: Presence,
    /// How long it counts; without it, as long as the run lasts.
    pub lasting: Option<Duration>,
}

/// What a process uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Used {
    /// CPU time since it started, in seconds.
    Cpu,
    /// Resident memory, in bytes.
    Memory,
}

/// One step of many.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// What is looked at; `${NAME}` in its texts is what an earlier step captured.
    pub probe: Box<Probe>,
    /// Whether it is taken.
    pub when: When,
    /// What is kept for later steps.
    pub captures: Vec<Capture>,
    /// Whether its failure fails the whole.
    pub weight: Weight,
}

/// Whether a step is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum When {
    /// In any case.
    #[default]
    Always,
    /// After an earlier step, by place, has passed.
    Passed(usize),
    /// After an earlier step, by place, has failed.
    Failed(usize),
    /// When what was captured under a name matches.
    Matches(String, Pattern),
}

/// Whether a failure fails the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Weight {
    /// It does.
    #[default]
    Decides,
    /// It is only remembered.
    Tells,
}

/// Something that is kept of a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Capture {
    /// Under this name.
    pub name: String,
    /// From there.
    pub from: Origin,
}

/// Where a captured value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The first group of a pattern, or all of it, in the body or output.
    Text(Pattern),
    /// A place in a JSON body, as RFC 6901 writes it.
    Json(String),
    /// A head of an HTTP answer.
    Header(String),
    /// The HTTP status or the exit code.
    Status,
}
