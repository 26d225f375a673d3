//! One look: which kind it is, and what every kind needs.

use std::sync::Arc;
use std::time::Instant;

use hsu_model::health::Finding;
use hsu_model::health::probe::Probe;

use crate::network::Network;
use crate::pattern::Patterns;
use crate::prober::Subject;
use crate::{database, exec, file, grpc, http, log, process, protocol, steps, usage};

/// The most that is kept of an answer.
pub(crate) const MOST_BODY: usize = 64 << 10;

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// One sentence on it.
    pub(crate) note: String,
    /// The number that was read, where one is.
    pub(crate) value: Option<f64>,
    /// The beginning of a body or an output.
    pub(crate) text: Vec<u8>,
    /// An HTTP status or an exit code.
    pub(crate) status: Option<i64>,
    /// Heads of an HTTP answer.
    pub(crate) heads: Vec<(String, String)>,
}

impl Seen {
    pub(crate) fn note(note: impl Into<String>) -> Self {
        Self { note: note.into(), ..Self::default() }
    }
}

/// Why nothing good was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// What was looked at is not as it should be.
    Bad(String),
    /// We could not look.
    Unable(String),
}

impl Trouble {
    pub(crate) fn bad(why: impl Into<String>) -> Self {
        Self::Bad(why.into())
    }
}

/// An error of a call of ours: what is short on our side says nothing of the other.
pub(crate) fn trouble(doing: &str, error: &std::io::Error) -> Trouble {
    // Source: errno(3) on Linux; the numbers of EMFILE, ENFILE, EAGAIN, ENOMEM, EADDRNOTAVAIL.
    let is_ours = matches!(error.raw_os_error(), Some(24 | 23 | 11 | 12 | 99));
    let why = format!("{doing}: {error}");
    if is_ours { Trouble::Unable(why) } else { Trouble::Bad(why) }
}

/// What a look came to.
pub(crate) type Looked = Result<Seen, Trouble>;

/// What every look needs.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) network: Network,
    pub(crate) patterns: Patterns,
    pub(crate) programs: exec::Programs,
    pub(crate) files: file::Files,
    pub(crate) lines: log::Reading,
}

/// Takes a look; it is over at `deadline` at the latest, where the kind can see to it.
pub(crate) async fn look(
    tools: &Arc<Tools>,
    probe: &Probe,
    subject: &Subject,
    deadline: Instant,
) -> Looked {
    match probe {
        Probe::Http(wanted) => http::look(tools, wanted, subject).await,
        Probe::Grpc(wanted) => grpc::look(tools, wanted, subject).await,
        Probe::Tcp(endpoint) => tools
            .network
            .connect(endpoint, &[], subject)
            .await
            .map(|connection| Seen::note(format!("connected to {}", connection.peer))),
        Probe::Exec(wanted) => exec::look(tools, wanted, subject, deadline).await,
        Probe::Process => process::look(subject),
        Probe::File(wanted) => file::look(tools, wanted).await,
        Probe::Database(wanted) => database::look(tools, wanted, subject).await,
        Probe::Protocol(wanted) => protocol::look(tools, wanted, subject).await,
        Probe::Log(wanted) => log::look(tools, wanted, subject).await,
        Probe::Usage(used) => usage::look(*used, subject),
        Probe::Steps(taken) => steps::take(tools, taken, subject, deadline).await,
        other => Err(Trouble::Unable(format!("checks of kind {} cannot be made", other.kind()))),
    }
}

/// What the core is told.
pub(crate) fn finding(looked: Looked) -> Finding {
    match looked {
        Ok(seen) => Finding::Passed { value: seen.value, note: seen.note },
        Err(Trouble::Bad(why)) => Finding::Failed { why },
        Err(Trouble::Unable(why)) => Finding::Inconclusive { why },
    }
}
