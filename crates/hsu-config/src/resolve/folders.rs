//! The documented folders, by system and context.
//!
//! | context | PID files | sockets | logs | state |
//! |---|---|---|---|---|
//! | system | `/run/hsu-master` | the same | `/var/log/hsu-master/logs` | `/var/lib/hsu-master` |
//! | user | `$XDG_RUNTIME_DIR/hsu-master`, else `/tmp/hsu-master` | the same | `$XDG_DATA_HOME/logs/hsu-master/logs` | `$XDG_STATE_HOME/hsu-master` |
//! | session | `/run/user/UID`, else `/tmp` | `.../hsu-master` | `.../logs/logs` | `.../hsu-master/state` |
//! | development | `/tmp/hsu-master-dev` | the same | `.../logs/logs` | `.../state` |
//! | base folder | the folder | the same | `.../logs/logs` | `.../state` |
//!
//! (Linux; macOS and Windows below.) A session's PID files stand in a folder that
//! others use, so sockets get one of their own.

use std::path::Path;

use crate::schema::root::ServiceContext;
use crate::surroundings::{Os, Surroundings};

use super::Paths;

/// The subfolder of documented folders.
pub(crate) const APP: &str = "hsu-master";

/// Where files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Folders {
    /// PID files.
    pub(crate) pids: String,
    /// Sockets and locks.
    pub(crate) runtime: String,
    /// What outlives a reboot.
    pub(crate) state: String,
    /// Log files.
    pub(crate) logs: String,
    /// The one folder of everything, when there is one.
    pub(crate) base: Option<String>,
}

/// A variable that the folders depend on is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing(pub(crate) &'static str);

/// Everything in one folder.
pub(crate) fn in_base(base: &str, paths: Paths<'_>) -> Folders {
    Folders {
        pids: base.to_owned(),
        runtime: base.to_owned(),
        state: paths.join(base, "state"),
        logs: paths.join(&paths.join(base, "logs"), "logs"),
        base: Some(base.to_owned()),
    }
}

/// The documented folders of a context.
pub(crate) fn of(context: ServiceContext, paths: Paths<'_>) -> Result<Folders, Missing> {
    let join = |base: &str, rest: &str| paths.join(base, rest);
    if context == ServiceContext::Development {
        let base = join(&paths.surroundings.temp, &format!("{APP}-dev"));
        return Ok(Folders { base: None, ..in_base(&base, paths) });
    }
    let pid_base = pid_base(context, paths)?;
    let log_base = log_base(context, paths)?;
    if context == ServiceContext::Session {
        let runtime = join(&pid_base, APP);
        return Ok(Folders {
            pids: pid_base,
            state: join(&runtime, "state"),
            runtime,
            logs: join(&log_base, "logs"),
            base: None,
        });
    }
    let pids = join(&pid_base, APP);
    let logs = match (context, paths.surroundings.os) {
        // Documented: there is one `logs`, not two.
        (ServiceContext::System, Os::Windows) => join(&pids, "logs"),
        _ => join(&join(&log_base, APP), "logs"),
    };
    Ok(Folders {
        runtime: pids.clone(),
        state: state(context, &pids, paths)?,
        pids,
        logs,
        base: None,
    })
}

/// The runtime folders that masters of this host have when no configuration says another:
/// the likeliest for this user first, and none twice. For root that of the system comes
/// first, and for everybody those in a folder where anybody may write come last.
pub(crate) fn runtimes(paths: Paths<'_>) -> Vec<String> {
    use ServiceContext::{Development, Session, System, User};
    let contexts = match paths.surroundings.uid {
        Some(0) => [System, User, Session, Development],
        Some(_) | None => [User, Session, System, Development],
    };
    // A master may have been started where `XDG_RUNTIME_DIR` was not set.
    let mut bare = paths.surroundings.clone();
    bare.environment.remove("XDG_RUNTIME_DIR");
    let found = contexts.map(|context| runtime(context, paths)).into_iter();
    let found = found.chain([runtime(User, Paths { surroundings: &bare })]).flatten();
    let mut folders: Vec<String> = Vec::new();
    for folder in found {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    let is_shared = |folder: &String| folder.starts_with("/tmp/");
    folders.sort_by_key(is_shared);
    folders
}

fn runtime(context: ServiceContext, paths: Paths<'_>) -> Result<String, Missing> {
    if context == ServiceContext::Development {
        return Ok(paths.join(&paths.surroundings.temp, &format!("{APP}-dev")));
    }
    Ok(paths.join(&pid_base(context, paths)?, APP))
}

/// The folder of PID files of one worker, from its own `process_file`.
pub(crate) fn pids(
    context: ServiceContext,
    app: &str,
    subfolder: Option<bool>,
    paths: Paths<'_>,
) -> Result<String, Missing> {
    let (base, usual) = match context {
        ServiceContext::Development => {
            (paths.join(&paths.surroundings.temp, &format!("{app}-dev")), false)
        }
        ServiceContext::System | ServiceContext::User => (pid_base(context, paths)?, true),
        ServiceContext::Session => (pid_base(context, paths)?, false),
    };
    Ok(if subfolder.unwrap_or(usual) { paths.join(&base, app) } else { base })
}

fn pid_base(context: ServiceContext, paths: Paths<'_>) -> Result<String, Missing> {
    let here = paths.surroundings;
    let exists = |path: &str| (here.found)(Path::new(path)).is_some();
    Ok(match (here.os, context) {
        (Os::Linux, ServiceContext::System) if exists("/run") => String::from("/run"),
        (Os::Linux | Os::MacOs, ServiceContext::System) => String::from("/var/run"),
        (Os::Linux, ServiceContext::User) => {
            xdg(here, "XDG_RUNTIME_DIR").unwrap_or_else(|| String::from("/tmp"))
        }
        (Os::Linux, ServiceContext::Session) => {
            let own = format!("/run/user/{}", here.uid.unwrap_or_default());
            if exists(&own) { own } else { String::from("/tmp") }
        }
        (Os::MacOs, ServiceContext::User) => paths.join(home(here)?, "Library/Application Support"),
        (Os::Windows, ServiceContext::System) => program_data(here),
        (Os::Windows, ServiceContext::User) => local_app_data(here)?,
        (_, ServiceContext::Session | ServiceContext::Development) => here.temp.clone(),
    })
}

fn log_base(context: ServiceContext, paths: Paths<'_>) -> Result<String, Missing> {
    let here = paths.surroundings;
    Ok(match (here.os, context) {
        (Os::Linux | Os::MacOs, ServiceContext::System) => String::from("/var/log"),
        (Os::Linux, ServiceContext::User) => match xdg(here, "XDG_DATA_HOME") {
            Some(data) => paths.join(&data, "logs"),
            None => paths.join(home(here)?, ".local/share/logs"),
        },
        (Os::MacOs, ServiceContext::User) => paths.join(home(here)?, "Library/Logs"),
        (Os::Windows, ServiceContext::System) => program_data(here),
        (Os::Windows, ServiceContext::User) => paths.join(&local_app_data(here)?, "logs"),
        (_, ServiceContext::Session | ServiceContext::Development) => {
            paths.join(&pid_base(context, paths)?, "logs")
        }
    })
}

fn state(context: ServiceContext, pids: &str, paths: Paths<'_>) -> Result<String, Missing> {
    let here = paths.surroundings;
    let base = match (here.os, context) {
        (Os::Linux, ServiceContext::System) => String::from("/var/lib"),
        (Os::MacOs, ServiceContext::System) => String::from("/var/db"),
        (Os::Linux, ServiceContext::User) => match xdg(here, "XDG_STATE_HOME") {
            Some(state) => state,
            None => paths.join(home(here)?, ".local/state"),
        },
        _ => return Ok(paths.join(pids, "state")),
    };
    Ok(paths.join(&base, APP))
}

// Source: XDG Base Directory Specification: a relative path is to be ignored.
fn xdg(here: &Surroundings, name: &str) -> Option<String> {
    let value = here.environment.get(name)?;
    value.starts_with('/').then(|| value.trim_end_matches('/').to_owned())
}

fn home(here: &Surroundings) -> Result<&str, Missing> {
    here.home.as_deref().ok_or(Missing("HOME"))
}

fn program_data(here: &Surroundings) -> String {
    let value = here.environment.get("PROGRAMDATA").cloned();
    value.unwrap_or_else(|| String::from("C:\\ProgramData"))
}

fn local_app_data(here: &Surroundings) -> Result<String, Missing> {
    here.environment.get("LOCALAPPDATA").cloned().ok_or(Missing("LOCALAPPDATA"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(uid: u32, runtime: Option<&str>) -> Vec<String> {
        let mut here = Surroundings::of_this_process();
        here.os = Os::Linux;
        here.uid = Some(uid);
        here.temp = "/tmp".to_owned();
        here.found = |_| Some(crate::surroundings::Found::Folder);
        here.environment.remove("XDG_RUNTIME_DIR");
        if let Some(folder) = runtime {
            here.environment.insert("XDG_RUNTIME_DIR".to_owned(), folder.to_owned());
        }
        runtimes(Paths { surroundings: &here })
    }

    #[test]
    fn the_own_folder_comes_first_and_what_anybody_may_make_comes_last() {
        let shared = ["/tmp/hsu-master-dev", "/tmp/hsu-master"];
        for (uid, runtime, expected) in [
            (
                7,
                Some("/x/y"),
                &["/x/y/hsu-master", "/run/user/7/hsu-master", "/run/hsu-master"][..],
            ),
            (7, Some("relative"), &["/run/user/7/hsu-master", "/run/hsu-master"]),
            (0, None, &["/run/hsu-master", "/run/user/0/hsu-master"]),
        ] {
            let places = places(uid, runtime);
            let (first, rest) = places.split_at(expected.len());
            assert_eq!(first, expected, "{uid} {runtime:?}");
            assert!(
                rest.len() == 2 && shared.iter().all(|folder| rest.contains(&(*folder).to_owned()))
            );
        }
    }
}
