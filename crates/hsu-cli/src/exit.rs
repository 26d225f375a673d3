//! Exit codes and failures; `--help` lists the codes.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hsu_api::Problem;

use crate::screen::escaped;
use crate::socket::Obstacle;

/// The kind of problem of a master that goes, and after which another one is expected.
const ENDING: &str = "urn:hsu:problem:ending";

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Success,
    Failed,
    Invalid,
    Unknown,
    Refused,
    Unreachable,
    Overdue,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0_u8,
            Exit::Failed => 1,
            Exit::Invalid => 2,
            Exit::Unknown => 3,
            Exit::Refused => 4,
            Exit::Unreachable => 5,
            Exit::Overdue => 6,
        })
    }
}

/// Why the command was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// There is no socket in any usual place.
    #[error("no master found; looked at {}", places(tried))]
    NoSocket { tried: Vec<(PathBuf, Obstacle)> },
    /// Several masters answer, and it is not said whom an order is for.
    #[error("several masters answer: {}", listed(answering))]
    Ambiguous { answering: Vec<PathBuf> },
    /// The socket does not answer.
    #[error("cannot reach the master at {}: {source}", named(path))]
    Unreachable { path: PathBuf, source: io::Error },
    /// The answer did not come in time.
    #[error("the master at {} does not answer in time", named(path))]
    Silent { path: PathBuf },
    /// The master lives, and its worker takes its time.
    #[error("{verb} is not done after {timeout}: {worker} is {state}")]
    Late { worker: String, state: String, verb: String, timeout: String },
    /// The master takes its time to end.
    #[error("the master has not ended after {timeout}")]
    StillEnding { timeout: String },
    /// What came is no answer of a master that we understand.
    #[error("the master's answer is not understood: {0}")]
    Answer(String),
    /// The master says no.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// The answer ended too early.
    #[error("the master has ended the conversation")]
    Ended,
    /// A configuration that is needed has errors.
    #[error("{} has errors", named(path))]
    Configuration { path: PathBuf },
    /// Our own input is wrong.
    #[error("{0}")]
    Input(String),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", named(path))]
    File { path: PathBuf, source: io::Error },
    /// Our output cannot be written.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// The next step.
    pub(crate) fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NoSocket { tried } if tried.iter().any(|(_, why)| why.is_refusal()) => {
                "use the user that runs hsu-master, or root; --socket PATH takes any socket"
            }
            Self::NoSocket { .. } => "give --socket PATH or --config FILE, or start hsu-master",
            Self::Ambiguous { .. } => {
                "say which one with --socket PATH, --config FILE or the variable HSU_SOCKET"
            }
            Self::Unreachable { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                "use the user that runs hsu-master, or root"
            }
            Self::Unreachable { source, .. }
                if source.kind() == io::ErrorKind::ConnectionRefused =>
            {
                "it was killed, and none has come after it: start it with `hsu-master --config FILE`; \
                 its workers go on meanwhile"
            }
            Self::Unreachable { .. } => {
                "is hsu-master running? start it with `hsu-master --config FILE`"
            }
            Self::Ended => "it is ending or being replaced; try again in a moment",
            Self::Configuration { path } => {
                return Some(format!("`hsu-master-cli validate {}` shows them", named(path)));
            }
            Self::Late { worker, .. } => {
                return Some(format!(
                    "the master goes on with it; `hsu-master-cli why {worker}` tells what holds it up"
                ));
            }
            Self::StillEnding { .. } => {
                "it goes on ending; `hsu-master-cli list` shows which workers still run"
            }
            Self::Silent { .. } => "its keeper restarts a master that hangs; try again in a minute",
            Self::Answer(_) => {
                "compare `hsu-master-cli version`: client and master should be one version"
            }
            Self::Problem(problem) => return problem.hint.clone(),
            Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "its folder does not exist; make it first"
            }
            Self::Input(_) | Self::File { .. } | Self::Output(_) => return None,
        };
        Some(text.to_owned())
    }

    /// The exit code that belongs to it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Exit::Refused
            }
            Self::NoSocket { tried } if tried.iter().any(|(_, why)| why.is_refusal()) => {
                Exit::Refused
            }
            Self::NoSocket { .. } | Self::Unreachable { .. } | Self::Ended => Exit::Unreachable,
            Self::Silent { .. } | Self::Late { .. } | Self::StillEnding { .. } => Exit::Overdue,
            Self::Answer(_) | Self::File { .. } | Self::Output(_) => Exit::Failed,
            Self::Input(_) | Self::Configuration { .. } | Self::Ambiguous { .. } => Exit::Invalid,
            Self::Problem(problem) => match problem.status {
                400 => Exit::Invalid,
                404 | 410 => Exit::Unknown,
                403 | 409 => Exit::Refused,
                408 => Exit::Overdue,
                _ => Exit::Failed,
            },
        }
    }
}

impl Failure {
    /// Whether a master says, or shows, that it goes: the next one may answer.
    pub(crate) fn is_farewell(&self) -> bool {
        let is_ending = |problem: &Problem| problem.kind == ENDING;
        matches!(self, Self::Ended) || matches!(self, Self::Problem(problem) if is_ending(problem))
    }

    /// Whether there is no master at the socket at all.
    pub(crate) fn is_absence(&self) -> bool {
        use io::ErrorKind as Kind;
        matches!(self, Self::Unreachable { source, .. }
            if matches!(source.kind(), Kind::NotFound | Kind::ConnectionRefused))
    }

    /// The same for programs, as one line.
    pub(crate) fn problem_text(&self) -> String {
        // A problem holds texts and a number.
        serde_json::to_string(&self.problem()).unwrap_or_default()
    }

    /// The same for programs.
    pub(crate) fn problem(&self) -> Problem {
        if let Self::Problem(problem) = self {
            return (**problem).clone();
        }
        let (status, kind, title) = match self.exit() {
            Exit::Invalid => (400, "bad-request", "not understood"),
            Exit::Refused => (403, "forbidden", "not allowed"),
            Exit::Overdue => (408, "timeout", "not in time"),
            Exit::Unreachable => (503, "unreachable", "no master"),
            Exit::Unknown | Exit::Failed | Exit::Success => (500, "failed", "it failed"),
        };
        let problem = Problem::new(status, kind, title, self.to_string());
        match self.hint() {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }
}

fn places(tried: &[(PathBuf, Obstacle)]) -> String {
    let named = tried.iter().map(|(path, why)| format!("{} ({why})", named(path)));
    named.collect::<Vec<_>>().join(", ")
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| named(path)).collect::<Vec<_>>().join(", ")
}

/// A path as messages name it: bytes that are no text are shown as `\xff`.
pub(crate) fn named(path: &Path) -> String {
    escaped(path.as_os_str().as_encoded_bytes())
}

/// An error with everything that led to it.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_exit_code() {
        for (status, exit) in [
            (400, Exit::Invalid),
            (403, Exit::Refused),
            (404, Exit::Unknown),
            (410, Exit::Unknown),
            (408, Exit::Overdue),
            (409, Exit::Refused),
            (500, Exit::Failed),
            (503, Exit::Failed),
            (507, Exit::Failed),
        ] {
            let problem = Problem::new(status, "kind", "title", "detail");
            assert_eq!(Failure::Problem(Box::new(problem)).exit(), exit, "{status}");
        }
    }
}
