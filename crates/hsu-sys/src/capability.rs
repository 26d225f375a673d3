//! Capabilities: what this host can do, as values.

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

/// What this host can do.
#[must_use]
pub fn capabilities() -> Vec<Capability> {
    let is_linux = std::env::consts::OS == "linux";
    let linux_only = |name, detail: &str| Capability {
        name,
        available: is_linux,
        detail: if is_linux { detail.to_owned() } else { "Linux only at present".to_owned() },
    };
    vec![
        linux_only("run workers", "keeper, pump and master as separate processes"),
        linux_only(
            "survive SIGKILL of any role",
            "workers belong to the keeper; roles restart each other",
        ),
        linux_only("lossless log capture", "splice from pipes into spools"),
        linux_only("adopt running workers", "pidfd, start time and boot id"),
        tell_exit(),
        kill_tree(is_linux),
        change_user(),
        linux_only("service manager", "sd_notify READY, STOPPING, STATUS"),
    ]
}

#[cfg(target_os = "linux")]
fn tell_exit() -> Capability {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map(|part| part.trim().parse().unwrap_or(0_u32));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let available = version >= (6, 15);
    let detail = if available {
        "the kernel tells it to whoever holds a pidfd".to_owned()
    } else {
        "needs Linux 6.15: an exit while the keeper is being replaced is reported as unknown"
            .to_owned()
    };
    Capability { name: "exit status after the loss of the keeper", available, detail }
}

#[cfg(not(target_os = "linux"))]
fn tell_exit() -> Capability {
    Capability {
        name: "exit status after the loss of the keeper",
        available: false,
        detail: "Linux only at present".to_owned(),
    }
}

fn kill_tree(is_linux: bool) -> Capability {
    let detail = crate::tree::Trees::detect("probe").describe();
    Capability { name: "kill a whole tree of processes", available: is_linux, detail }
}

#[cfg(unix)]
fn change_user() -> Capability {
    // SAFETY: no memory is passed.
    let available = unsafe { libc::geteuid() } == 0;
    let detail = if available { "runs as root" } else { "needs root" };
    Capability { name: "run workers as other users", available, detail: detail.to_owned() }
}

#[cfg(not(unix))]
fn change_user() -> Capability {
    let detail = "not on this platform".to_owned();
    Capability { name: "run workers as other users", available: false, detail }
}
