//! Launch: what the keeper is asked to execute for one run of a worker.
//!
//! Everything that needs a look at the host happens here, at each start and not
//! at load time: the program is looked up, users become numbers, the environment
//! is put together. What is missing fails this worker, and only at this start.
//! The keeper gets absolute paths and numbers and looks nothing up.

use std::collections::BTreeMap;
use std::ffi::{CString, NulError, OsStr, OsString};
use std::path::{Path, PathBuf};

use hsu_keeper::{Capture, Program, SpawnRequest};
use hsu_model::environment::{KEEPER_VARIABLE, MASTER_VARIABLE, RUN_VARIABLE, WORKER_VARIABLE};
use hsu_model::execution::{Execution, WorkingDirectory};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::notify::{Notify, NotifyChannel};
use hsu_model::process::ProcessKey;
use hsu_model::worker::Managed;
use hsu_probe::Surroundings;
use hsu_sys::path::{self, LookupError};
use hsu_sys::users::{self, Identity, UserError};

use crate::successor::{ASKED_VARIABLE, REPORT_VARIABLE};

/// Variables that are for the master itself and not for workers.
const PRIVATE: [&str; 14] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    hsu_keeper::RELAUNCHED_VARIABLE,
    hsu_keeper::CANDIDATE_VARIABLE,
    RUN_VARIABLE,
    WORKER_VARIABLE,
    MASTER_VARIABLE,
    KEEPER_VARIABLE,
    REPORT_VARIABLE,
    ASKED_VARIABLE,
];

/// Why a worker cannot be started as it is declared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    /// The program is not there, or is no program.
    #[error("{0}")]
    Program(#[from] LookupError),
    /// The user or the group is not known.
    #[error("{0}")]
    User(#[from] UserError),
    /// A text holds a zero byte, which no program can be given.
    #[error("{what} holds a zero byte")]
    ZeroByte {
        /// Which text.
        what: &'static str,
        /// Where.
        source: NulError,
    },
}

/// The surroundings that every worker of this master inherits.
#[derive(Debug)]
pub(crate) struct Launcher {
    /// Each variable by its name, and as a program gets it.
    environment: BTreeMap<OsString, CString>,
    path: Option<OsString>,
    working_directory: PathBuf,
}

impl Launcher {
    /// Takes the master's own environment, without what is private to it, and the
    /// name by which its workers are told from another master's.
    pub(crate) fn new(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        working_directory: PathBuf,
        master: &str,
    ) -> Self {
        let is_private =
            |name: &OsString| name.to_str().is_some_and(|name| PRIVATE.contains(&name));
        let own = [(MASTER_VARIABLE.into(), master.into())];
        let inherited = environment.into_iter().filter(|(name, _)| !is_private(name));
        let all: BTreeMap<OsString, OsString> = inherited.chain(own).collect();
        let path = all.get(OsStr::new("PATH")).cloned();
        // What a program was started with holds no zero byte.
        let as_given = |(name, value): (OsString, OsString)| {
            let pair = variable(&name, &value).ok()?;
            Some((name, pair))
        };
        let environment = all.into_iter().filter_map(as_given).collect();
        Self { environment, path, working_directory }
    }

    /// What the keeper shall execute, and the cgroup where it is born; `ear` is where
    /// the worker is listened to.
    ///
    /// # Errors
    /// [`LaunchError`] when the host does not have what the worker asks for.
    pub(crate) fn request(
        &self,
        worker: &WorkerId,
        run: RunId,
        managed: &Managed,
        ear: &Path,
        cgroup: Option<&Path>,
    ) -> Result<SpawnRequest, LaunchError> {
        let execution = &managed.execution;
        let program = self.program(execution)?;
        let identity = users::resolve(execution.user.as_deref(), execution.group.as_deref())?;
        let words = std::iter::once(execution.program.as_str());
        let words = words.chain(execution.args.iter().map(String::as_str));
        let program = Program {
            args: words
                .map(|word| text("an argument", word.as_bytes()))
                .collect::<Result<_, _>>()?,
            env: self.environment_of(worker, run, managed, ear)?,
            cwd: text("the working directory", &directory(execution, &program))?,
            executable: text("the program", program.as_os_str().as_encoded_bytes())?,
        };
        Ok(SpawnRequest {
            run,
            worker: worker.clone(),
            program,
            identity: identity.map(|Identity { uid, gid, groups }| hsu_keeper::Identity {
                uid,
                gid,
                groups,
            }),
            umask: execution.umask,
            nice: execution.nice,
            rlimits: execution.rlimits.clone(),
            entrances: Vec::new(),
            capture: Capture {
                stdout: managed.logs.stdout.capture,
                stderr: managed.logs.stderr.capture,
            },
            ready_descriptor: match managed.notify.channel {
                NotifyChannel::Descriptor(number) => Some(number),
                NotifyChannel::Socket => None,
            },
            cgroup: match cgroup {
                Some(folder) => Some(text("its cgroup", folder.as_os_str().as_encoded_bytes())?),
                None => None,
            },
        })
    }

    /// Where programs that check a worker run: with its variables and as its user, but
    /// not marked as a process of it, for they come and go beside it.
    ///
    /// # Errors
    /// [`LaunchError`] when the host does not have what the worker asks for.
    pub(crate) fn beside(&self, managed: &Managed) -> Result<Surroundings, LaunchError> {
        let execution = &managed.execution;
        let inherited = self.inherited();
        let declared = execution.environment.iter();
        let declared = declared.map(|(name, value)| (name.into(), value.into()));
        let folder = match &execution.working_directory {
            WorkingDirectory::At(path) => Some(PathBuf::from(path)),
            WorkingDirectory::OfProgram => {
                let program = self.program(execution).ok();
                program.and_then(|program| Some(program.parent()?.to_owned()))
            }
        };
        let identity = users::resolve(execution.user.as_deref(), execution.group.as_deref())?;
        Ok(Surroundings { environment: inherited.chain(declared).collect(), folder, identity })
    }

    /// Where programs that check a process of somebody else run: as its user, in the root
    /// folder and with our variables, for its own are its own.
    ///
    /// # Errors
    /// [`LaunchError`] when its user is not known here.
    pub(crate) fn beside_other(&self, process: ProcessKey) -> Result<Surroundings, LaunchError> {
        let own = users::effective();
        let user = hsu_sys::census::owner(process.pid).ok().filter(|user| *user != own);
        let user = user.map(|user| user.to_string());
        Ok(Surroundings {
            environment: self.inherited().collect(),
            folder: Some(PathBuf::from("/")),
            identity: users::resolve(user.as_deref(), None)?,
        })
    }

    fn inherited(&self) -> impl Iterator<Item = (OsString, OsString)> + '_ {
        let inherited = self.environment.keys().filter(|name| *name != MASTER_VARIABLE);
        // Ours does not change while we live.
        inherited.filter_map(|name| Some((name.clone(), std::env::var_os(name)?)))
    }

    fn environment_of(
        &self,
        worker: &WorkerId,
        run: RunId,
        managed: &Managed,
        ear: &Path,
    ) -> Result<Vec<CString>, LaunchError> {
        let run = run.to_string();
        let told = told_how(&managed.notify, ear);
        let declared = managed.execution.environment.iter();
        let mut own: BTreeMap<&OsStr, &OsStr> =
            declared.map(|(name, value)| (OsStr::new(name), OsStr::new(value))).collect();
        own.insert(OsStr::new(WORKER_VARIABLE), OsStr::new(worker.as_str()));
        own.insert(OsStr::new(RUN_VARIABLE), OsStr::new(&run));
        own.extend(told.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str())));
        let stays = |name: &OsString| !own.contains_key(name.as_os_str());
        let inherited = self.environment.iter().filter(|(name, _)| stays(name));
        let inherited = inherited.map(|(_, pair)| Ok(pair.clone()));
        inherited.chain(own.iter().map(|(name, value)| variable(name, value))).collect()
    }

    /// A bare name is looked up in the worker's `PATH`; other paths count from our own folder.
    fn program(&self, execution: &Execution) -> Result<PathBuf, LaunchError> {
        let declared = execution.environment.iter().rev().find(|(name, _)| name == "PATH");
        let declared = declared.map(|(_, value)| OsStr::new(value));
        let search = declared.or(self.path.as_deref());
        let found =
            path::find_program(Path::new(&execution.program), search, &self.working_directory);
        match found {
            Err(LookupError::NotExecutable { path }) if execution.make_executable => {
                path::make_executable(&path)?;
                Ok(path)
            }
            other => Ok(other?),
        }
    }
}

/// What a worker must know to speak to us.
// Source: sd_notify(3), sd_watchdog_enabled(3).
fn told_how(notify: &Notify, ear: &Path) -> Vec<(OsString, OsString)> {
    if !notify.is_on() || notify.channel != NotifyChannel::Socket {
        return Vec::new();
    }
    let mut told = vec![("NOTIFY_SOCKET".into(), ear.into())];
    if !notify.watchdog.is_zero() {
        told.push(("WATCHDOG_USEC".into(), notify.watchdog.as_micros().to_string().into()));
    }
    told
}

fn directory(execution: &Execution, program: &Path) -> Vec<u8> {
    match &execution.working_directory {
        WorkingDirectory::At(path) => path.as_bytes().to_vec(),
        WorkingDirectory::OfProgram => {
            let folder = program.parent().unwrap_or_else(|| Path::new("/"));
            folder.as_os_str().as_encoded_bytes().to_vec()
        }
    }
}

fn variable(name: &OsStr, value: &OsStr) -> Result<CString, LaunchError> {
    let mut pair = name.as_encoded_bytes().to_vec();
    pair.push(b'=');
    pair.extend_from_slice(value.as_encoded_bytes());
    text("the environment", &pair)
}

fn text(what: &'static str, bytes: &[u8]) -> Result<CString, LaunchError> {
    CString::new(bytes).map_err(|source| LaunchError::ZeroByte { what, source })
}
