//! The sandbox: a folder and a PID namespace that die with the test.
//!
//! Everything a test starts runs under an init of its own (`hsu-dummy --init`)
//! in a fresh PID and mount namespace. When the test ends in whatever way, even
//! by SIGKILL, the init's standard input closes, the init exits, and the kernel
//! kills every process of the namespace: no daemon, no escaped session and no
//! stopped process outlives it. As root this needs nothing; as a plain user it
//! needs user namespaces.
//!
//! Deliberately absent: cgroups (a PID namespace does not contain them; whoever
//! makes some removes them) and the network (ports are shared with the host).

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::binaries::binary;
use crate::error::TestError;
use crate::patience::eventually;
use crate::process::{Process, all_pids};

/// Where instrumented programs count the lines that they reach.
const PROFILE: &str = "LLVM_PROFILE_FILE";
/// How long the namespace may take to appear.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A folder and a PID namespace of one test.
#[derive(Debug)]
pub struct Sandbox {
    unshare: Child,
    /// Closing it ends the init, and with it everything.
    lifeline: Option<ChildStdin>,
    init: Process,
    namespace: PathBuf,
    privilege: Privilege,
    folder: TempDir,
}

/// What lets us make namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Privilege {
    Root,
    UserNamespace,
}

impl Sandbox {
    /// Makes the folder and the namespaces, and starts the init.
    ///
    /// # Errors
    /// [`TestError::NoNamespace`] when this machine does not allow it.
    pub fn new() -> Result<Self, TestError> {
        let folder = tempfile::Builder::new()
            .prefix("hsu-")
            .tempdir()
            .map_err(TestError::io("make a folder for the test"))?;
        // Workers that run as other users must be able to pass through.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))
            .map_err(TestError::io("open the test's folder to other users"))?;
        let privilege = if rustix::process::geteuid().is_root() {
            Privilege::Root
        } else {
            Privilege::UserNamespace
        };
        let mut unshare = unshare_command(privilege)
            .arg(binary("hsu-dummy")?)
            .arg("--init")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(TestError::io("run unshare (package util-linux)"))?;
        let lifeline = unshare.stdin.take();
        if !says_ready(&mut unshare) {
            return Err(TestError::NoNamespace { reason: last_words(unshare) });
        }
        let init = find_init(unshare.id())?;
        let namespace = namespace_of(init.outer_pid).ok_or_else(|| TestError::NoNamespace {
            reason: "the init has no readable namespace".to_owned(),
        })?;
        Ok(Self { unshare, lifeline, init, namespace, privilege, folder })
    }

    /// The folder of this test, removed with the sandbox. Short enough for sockets.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A command that runs inside, in the sandbox's folder, with a small clean environment.
    ///
    /// The caller adds arguments, variables and streams. The child that the test
    /// gets is the door (`nsenter`), which passes on the exit status; killing it
    /// does not kill what runs inside. Use [`Sandbox::processes`] for that.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.init.outer_pid)).args(["--pid", "--mount"]);
        if self.privilege == Privilege::UserNamespace {
            command.args(["--user", "--preserve-credentials"]);
        }
        command
            .arg(format!("--wdns={}", self.folder().display()))
            .arg("--")
            .arg(program)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.folder())
            .env("XDG_RUNTIME_DIR", self.folder())
            .env("XDG_DATA_HOME", self.folder())
            .env("XDG_STATE_HOME", self.folder())
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null());
        if let Some(place) = std::env::var_os(PROFILE) {
            command.env(PROFILE, place);
        }
        command
    }

    /// Every process inside, except the init; zombies included.
    ///
    /// # Errors
    /// [`TestError::Io`] when `/proc` cannot be listed.
    pub fn processes(&self) -> Result<Vec<Process>, TestError> {
        Ok(all_pids()?
            .into_iter()
            .filter(|pid| *pid != self.init.outer_pid)
            .filter(|pid| namespace_of(*pid).as_ref() == Some(&self.namespace))
            .filter_map(Process::read)
            .collect())
    }

    /// The process with this PID inside; none when there is none.
    ///
    /// # Errors
    /// [`TestError::Io`] when `/proc` cannot be listed.
    pub fn process(&self, pid: u32) -> Result<Option<Process>, TestError> {
        Ok(self.processes()?.into_iter().find(|p| p.pid == pid))
    }

    /// Lets PIDs inside run from 300 to `most` only, so that they come back soon.
    ///
    /// # Errors
    /// [`TestError::Command`] on kernels before 6.14, where the limit is not the
    /// namespace's own; nothing is changed then.
    pub fn limit_pids(&self, most: u32) -> Result<(), TestError> {
        let before = fs::read_to_string("/proc/sys/kernel/pid_max")
            .map_err(TestError::io("read the largest PID"))?;
        if kernel_version() < (6, 14) {
            return Err(TestError::NoNamespace {
                reason: "before Linux 6.14 the largest PID is not the namespace's own".to_owned(),
            });
        }
        self.run_shell(&format!("echo {most} > /proc/sys/kernel/pid_max"))?;
        let after = fs::read_to_string("/proc/sys/kernel/pid_max")
            .map_err(TestError::io("read the largest PID"))?;
        assert_eq!(before, after, "the host's own limit must not change");
        Ok(())
    }

    /// Mounts an empty file system of `size` bytes inside the sandbox, at `at`.
    ///
    /// Only processes inside see it; the test reads it by [`Sandbox::seen_inside`].
    ///
    /// # Errors
    /// [`TestError::Command`] when mounting is not allowed.
    pub fn mount_disk(&self, at: &Path, size: u64) -> Result<(), TestError> {
        fs::create_dir_all(at).map_err(TestError::io("make a mount point"))?;
        let at = at.display();
        self.run_shell(&format!("mount -t tmpfs -o size={size} none '{at}'"))
    }

    /// The path by which the test reaches a file that is mounted inside only.
    #[must_use]
    pub fn seen_inside(&self, path: &Path) -> PathBuf {
        let inside = path.strip_prefix("/").unwrap_or(path);
        Path::new("/proc").join(self.init.outer_pid.to_string()).join("root").join(inside)
    }

    /// Runs a line of shell inside and waits for it.
    ///
    /// # Errors
    /// [`TestError::Command`] when it fails.
    pub fn run_shell(&self, line: &str) -> Result<(), TestError> {
        let output = self
            .command("/bin/sh")
            .args(["-c", line])
            .output()
            .map_err(TestError::io("run a shell in the sandbox"))?;
        if output.status.success() {
            Ok(())
        } else {
            Err(TestError::Command {
                command: line.to_owned(),
                status: output.status.to_string(),
                output: String::from_utf8_lossy(&output.stderr).into_owned(),
            })
        }
    }

    /// Waits until no process but the init is left, zombies included.
    ///
    /// # Errors
    /// [`TestError::Overdue`] with the list of what is left.
    pub fn empty_within(&self, within: Duration) -> Result<(), TestError> {
        eventually("the sandbox is empty", within, || {
            let left = self.processes().map_err(|error| error.to_string())?;
            if left.is_empty() { Ok(()) } else { Err(format!("still there: {}", describe(&left))) }
        })
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        if self.init.is_alive() {
            // Already gone is what is wanted; anything else shows in the check below.
            let _ = self.init.signal(Signal::KILL);
        }
        // `unshare` ends when its init does, and that only after every process of the namespace.
        let _ = self.unshare.wait();
    }
}

/// One line about each process.
fn describe(processes: &[Process]) -> String {
    let lines: Vec<String> = processes
        .iter()
        .map(|p| format!("{} [{}] {}", p.pid, p.state, p.arguments.join(" ")))
        .collect();
    lines.join("; ")
}

fn unshare_command(privilege: Privilege) -> Command {
    let mut command = Command::new("unshare");
    if privilege == Privilege::UserNamespace {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--pid", "--fork", "--kill-child=KILL", "--mount", "--mount-proc", "--"]);
    command
}

fn says_ready(unshare: &mut Child) -> bool {
    let Some(stdout) = unshare.stdout.take() else {
        return false;
    };
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).is_ok() && line == "ready\n"
}

fn last_words(mut unshare: Child) -> String {
    drop(unshare.stdin.take());
    // It may be alive and silent; then there are no last words to wait for.
    let _ = unshare.kill();
    match unshare.wait_with_output() {
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    }
}

fn find_init(unshare: u32) -> Result<Process, TestError> {
    eventually("the sandbox's init shows up", START_LIMIT, || {
        let path = format!("/proc/{unshare}/task/{unshare}/children");
        let children = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        children
            .split_whitespace()
            .filter_map(|pid| Process::read(pid.parse().ok()?))
            .find(|process| process.pid == 1)
            .ok_or_else(|| format!("the children of unshare are {children:?}"))
    })
}

fn namespace_of(outer_pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{outer_pid}/ns/pid")).ok()
}

fn kernel_version() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
    (next(), next())
}
