//! Capabilities: what this host can do, as values.
//!
//! Each is tried or read from the kernel where that is possible without harm, and
//! not concluded from the platform alone.

use std::path::Path;

use crate::limits::Survey;
use crate::process::{ProcessHandle, identify};
use crate::systemd::Systemd;
use crate::tree::Trees;

/// One thing that a host can or cannot do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its name.
    pub name: &'static str,
    /// Whether it is there.
    pub available: bool,
    /// How, or why not.
    pub detail: String,
}

const ELSEWHERE: &str = "Linux only at present";
const IS_LINUX: bool = cfg!(target_os = "linux");

/// As many processes as a keeper holds.
const MOST_WORKERS: u64 = 4096;

impl Capability {
    pub(crate) fn new(name: &'static str, available: bool, detail: impl Into<String>) -> Self {
        Self { name, available, detail: detail.into() }
    }

    /// One that comes with the platform.
    fn of_linux(name: &'static str, detail: &str) -> Self {
        Self::new(name, IS_LINUX, if IS_LINUX { detail } else { ELSEWHERE })
    }
}

/// What this host can do, and within which limits it can keep workers.
#[must_use]
pub fn capabilities(limits: &Survey) -> Vec<Capability> {
    let mut all = vec![
        Capability::of_linux("run workers", "keeper, pump and master as separate processes"),
        Capability::of_linux(
            "survive SIGKILL of any role",
            "workers belong to the keeper; roles restart each other",
        ),
        Capability::of_linux("lossless log capture", "splice from pipes into spools"),
        hold_processes(),
        tell_exit(),
        find_orphans(),
        kill_tree(),
        change_user(),
        hold_descriptors(),
        service_manager(),
        Capability::of_linux(
            "find processes of others",
            "by PID file, name, port, command line, variable, folder, user, file, socket, parent, unit or registry",
        ),
        see_others(),
        restart_by_systemd(),
        Capability::of_linux(
            "restart processes of others by a command",
            "`control.restart_command`, which asks whoever starts them",
        ),
        Capability::of_linux(
            "check processes of others",
            "as workers of our own; restarted where `control.can_restart` says how",
        ),
        Capability::of_linux(
            "hear workers",
            "sd_notify, with the sender's word by the kernel; s6's line",
        ),
        Capability::of_linux(
            "run programs for checks and alerts",
            "exec and script checks, killed whole at their end; without cgroups what has left its process \
             group is killed at a timeout only",
        ),
        Capability::of_linux(
            "tell who answers a check",
            "`answered_by`: what listens on this host is known by its socket",
        ),
        Capability::new(
            "ask databases",
            true,
            "PostgreSQL, MySQL and MariaDB, Redis and Valkey, MongoDB; with a login, and over TLS",
        ),
        Capability::of_linux(
            "follow workers into the background",
            "MAINPID, proven by cgroup, descent or mark; held by pidfd",
        ),
        Capability::of_linux(
            "pass sockets to workers",
            "LISTEN_FDS; they outlive workers and masters",
        ),
        Capability::new(
            "start workers at the first connection",
            false,
            "not built; they are started with their master, and clients wait in the backlog",
        ),
    ];
    all.extend(limits.capabilities());
    all
}

fn hold_processes() -> Capability {
    let name = "adopt running workers";
    match identify(std::process::id()).and_then(ProcessHandle::open) {
        Ok(_) => Capability::new(name, true, "pidfd, start time and boot id"),
        Err(error) if IS_LINUX => {
            let detail = format!("no hold on our own process: {error} (needs Linux 5.3 and /proc)");
            Capability::new(name, false, detail)
        }
        Err(_) => Capability::new(name, false, ELSEWHERE),
    }
}

fn tell_exit() -> Capability {
    let name = "exit status after the loss of the keeper";
    let Some(release) = kernel_release() else {
        return Capability::new(name, false, ELSEWHERE);
    };
    if version_of(&release) >= (6, 15) {
        return Capability::new(name, true, "the kernel tells it to whoever holds a pidfd");
    }
    let detail = format!(
        "needs Linux 6.15, this is {release}: an exit while the keeper is being replaced \
         is reported as unknown"
    );
    Capability::new(name, false, detail)
}

fn kernel_release() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(text.trim().to_owned())
}

fn version_of(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse().ok()).unwrap_or(0);
    (next(), next())
}

fn find_orphans() -> Capability {
    let own = std::process::id();
    let lists_children = Path::new(&format!("/proc/{own}/task/{own}/children")).exists();
    let detail = if lists_children {
        "the keeper is their parent, and /proc lists its children"
    } else {
        "by a look at every process: this kernel lists no children (CONFIG_PROC_CHILDREN)"
    };
    Capability::of_linux("find orphans of a worker", detail)
}

fn kill_tree() -> Capability {
    let trees = Trees::detect(&format!("probe-{}", std::process::id()));
    Capability::new("kill a whole tree of processes", trees.is_complete(), trees.describe())
}

#[cfg(unix)]
fn change_user() -> Capability {
    // SAFETY: no memory is passed.
    let is_root = unsafe { libc::geteuid() } == 0;
    let detail = if is_root { "runs as root" } else { "needs root" };
    Capability::new("run workers as other users", is_root, detail)
}

#[cfg(not(unix))]
fn change_user() -> Capability {
    Capability::new("run workers as other users", false, "not on this platform")
}

fn hold_descriptors() -> Capability {
    let limit = crate::descriptors::raise_limit();
    let detail = if limit == u64::MAX {
        "no limit of descriptors".to_owned()
    } else {
        // Two pipes and a hold each in the keeper; some are kept for sockets and files.
        let workers = (limit.saturating_sub(128) / 3).min(MOST_WORKERS);
        format!("{limit} descriptors: about {workers} workers with captured output")
    };
    Capability::new("hold many workers", limit >= 1024, detail)
}

fn service_manager() -> Capability {
    let listener = std::env::var_os("NOTIFY_SOCKET");
    let detail = match (listener, crate::notify::watchdog_interval()) {
        (None, _) => "none listens; sd_notify is spoken when one does".to_owned(),
        (Some(_), None) => "one listens (sd_notify)".to_owned(),
        (Some(_), Some(interval)) => format!("one listens, with a watchdog fed each {interval:?}"),
    };
    Capability::of_linux("service manager", &detail)
}

fn see_others() -> Capability {
    let name = "look into processes of other users";
    if crate::census::hides_others() {
        return Capability::new(
            name,
            false,
            "they are hidden from this user, or there is no /proc",
        );
    }
    match crate::users::effective() {
        0 => Capability::new(name, true, "runs as root"),
        _ => Capability::new(name, false, "needs root; they are seen, and none is attached"),
    }
}

fn restart_by_systemd() -> Capability {
    let name = "restart processes of others by systemd";
    match Systemd::here().is_there() {
        Ok(how) => Capability::new(name, true, how),
        Err(error) => Capability::new(name, false, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capability_has_a_name_of_its_own_and_says_how_or_why_not() {
        let all = capabilities(&Survey::look(hsu_model::limits::Cgroups::Auto));
        let names: std::collections::BTreeSet<_> = all.iter().map(|one| one.name).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().all(|one| !one.detail.is_empty()));
    }

    #[test]
    fn a_version_is_read_from_any_release() {
        for (text, version) in [
            ("6.18.44-1-generic", (6, 18)),
            ("6.1.0-37-amd64", (6, 1)),
            ("5.15", (5, 15)),
            ("6.15-rc1", (6, 15)),
            ("", (0, 0)),
            ("nonsense", (0, 0)),
        ] {
            assert_eq!(version_of(text), version, "{text}");
        }
    }
}
