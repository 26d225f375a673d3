//! A keeper with a folder of its own, and the master's end of its link.

use std::ffi::{CString, OsStr};
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hsu_keeper::{
    Capture, Flushed, FromKeeper, KeeperPlan, Link, Program, Received, Role, SpawnRequest, Stage,
    ToKeeper, VERSION,
};
use hsu_model::exit::Exit;
use hsu_model::id::{RunId, WorkerId};

/// What is tested.
pub(crate) const EXECUTABLE: &str = env!("CARGO_BIN_EXE_hsu-keeper");

/// How long anything may take that is expected to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A folder that is removed at the end of its test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let name = format!("hsu-keeper-{:x}", unique());
        let path = std::env::temp_dir().join(name);
        for folder in ["run", "spools"] {
            fs::create_dir_all(path.join(folder)).unwrap();
        }
        Self(path)
    }

    pub(crate) fn plan(&self) -> KeeperPlan {
        KeeperPlan {
            executable: EXECUTABLE.into(),
            runtime: self.0.join("run"),
            spools: self.0.join("spools"),
        }
    }

    /// How a keeper is started, for tests that do it otherwise.
    pub(crate) fn command(&self, executable: impl AsRef<OsStr>) -> Command {
        let plan = self.plan();
        let mut command = Command::new(executable);
        command.arg("keep").arg("--runtime").arg(plan.runtime);
        command.arg("--spools").arg(plan.spools).stdin(Stdio::null());
        command
    }

    /// Starts a keeper and connects to it as a master that is not started again.
    pub(crate) fn master(&self) -> Master {
        hsu_keeper::start(&self.plan(), &Program::default()).unwrap();
        self.connect(Program::default())
    }

    /// Connects as a master, once a keeper is there.
    pub(crate) fn connect(&self, relaunch: Program) -> Master {
        self.connect_as(Role::Master, &relaunch)
    }

    pub(crate) fn connect_as(&self, role: Role, relaunch: &Program) -> Master {
        let hello = || ToKeeper::Hello { role, version: VERSION, relaunch: relaunch.clone() };
        // A keeper that was just killed may still accept, and then hang up.
        eventually("a keeper answers", || {
            let link = Link::connect(&self.plan().runtime, hello()).ok()?;
            let mut master = Master { link, heard: Vec::new(), keeper: 0 };
            while master.heard.is_empty() {
                master.hear(PATIENCE).then_some(())?;
            }
            master.keeper = master.expect("a welcome", |message| match message {
                FromKeeper::Welcome { keeper, .. } => Ok(keeper),
                other => Err(other),
            });
            Some(master)
        })
    }

    /// What the pump has put into the spool of a stream.
    pub(crate) fn spooled(&self, worker: &str, stream: &str) -> Vec<u8> {
        fs::read(self.plan().spools.join(worker).join(stream).join("data")).unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn unique() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    u64::try_from(time.as_nanos()).unwrap_or(0).wrapping_mul(31).wrapping_add(count)
}

/// The master's end of a link.
pub(crate) struct Master {
    pub(crate) link: Link,
    /// What was heard and not expected yet, oldest first.
    pub(crate) heard: Vec<FromKeeper>,
    pub(crate) keeper: u32,
}

impl Master {
    pub(crate) fn say(&mut self, message: ToKeeper) {
        self.link.queue(message);
        self.link.flush().unwrap();
    }

    pub(crate) fn spawn(&mut self, request: SpawnRequest) {
        self.say(ToKeeper::Spawn(Box::new(request)));
    }

    pub(crate) fn queue_spawn(&mut self, request: SpawnRequest) {
        self.link.queue(ToKeeper::Spawn(Box::new(request)));
    }

    /// Sends all that is queued, hearing meanwhile.
    pub(crate) fn flush(&mut self) {
        while self.link.flush().unwrap() == Flushed::Blocked {
            self.hear(Duration::from_millis(1));
        }
    }

    /// Hears what there is, waiting at most this long; whether the link still stands.
    pub(crate) fn hear(&mut self, within: Duration) -> bool {
        let fd = self.link.as_fd().as_raw_fd();
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let milliseconds = i32::try_from(within.as_millis()).unwrap();
        // SAFETY: the structure outlives the call, and there is one.
        unsafe { libc::poll(&raw mut poll, 1, milliseconds) };
        loop {
            match self.link.receive(&mut self.heard) {
                Ok(Received::Some) => {}
                Ok(Received::Nothing) => return true,
                Ok(Received::Closed) | Err(_) => return false,
            }
        }
    }

    /// Takes the first message that is wanted; the others wait for their turn.
    pub(crate) fn expect<T>(
        &mut self,
        what: &str,
        want: impl Fn(FromKeeper) -> Result<T, FromKeeper>,
    ) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            for place in 0..self.heard.len() {
                match want(self.heard.remove(place)) {
                    Ok(wanted) => return wanted,
                    Err(other) => self.heard.insert(place, other),
                }
            }
            assert!(Instant::now() < until, "no {what}; heard {:?}", self.heard);
            let stands = self.hear(Duration::from_millis(100));
            assert!(stands || !self.heard.is_empty(), "no {what}: the link is lost");
        }
    }

    /// The PID of a run that starts.
    pub(crate) fn started(&mut self, run: u64) -> u32 {
        self.expect("start", |message| match message {
            FromKeeper::Spawned { run: RunId(found), process, .. } if found == run => {
                Ok(process.pid)
            }
            other => Err(other),
        })
    }

    /// The stage at which a start failed, and the error number.
    pub(crate) fn failed(&mut self, run: u64) -> (Stage, i32) {
        self.expect("failure", |message| match message {
            FromKeeper::SpawnFailed { run: RunId(found), stage, errno } if found == run => {
                Ok((stage, errno))
            }
            other => Err(other),
        })
    }

    pub(crate) fn exited(&mut self, run: u64) -> Exit {
        self.expect("exit", |message| match message {
            FromKeeper::Exited { run: RunId(found), exit, .. } if found == run => Ok(exit),
            other => Err(other),
        })
    }

    /// Runs and PIDs that are held, after asking for the inventory.
    pub(crate) fn inventory(&mut self) -> Vec<(u64, u32)> {
        self.say(ToKeeper::Inventory);
        self.expect("end of the inventory", |message| match message {
            FromKeeper::InventoryEnd => Ok(()),
            other => Err(other),
        });
        let mut held = Vec::new();
        self.heard.retain(|message| match message {
            FromKeeper::Held { run, process, .. } => {
                held.push((run.0, process.pid));
                false
            }
            _ => true,
        });
        held
    }

    pub(crate) fn kill_keeper(&self) {
        kill(self.keeper, libc::SIGKILL);
        let keeper = self.keeper;
        eventually("the keeper is dead", || (!is_alive(keeper)).then_some(()));
    }
}

pub(crate) fn kill(pid: u32, signal: i32) {
    assert!(pid > 1, "never everybody");
    // SAFETY: no memory is passed.
    unsafe { libc::kill(i32::try_from(pid).unwrap(), signal) };
}

/// Whether a process exists that is no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

/// The letter of a process's state.
pub(crate) fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.get(stat.rfind(')')? + 2..)?.chars().next()
}

/// Every process of the namespace, the test itself included.
pub(crate) fn all_pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The run that the environment of a process names.
pub(crate) fn run_of(pid: u32) -> Option<u64> {
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut pairs = environ.split(|byte| *byte == 0);
    let run = pairs.find_map(|pair| pair.strip_prefix(b"HSU_RUN_ID="))?;
    std::str::from_utf8(run).ok()?.parse().ok()
}

/// Asks until there is an answer.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn text(text: &str) -> CString {
    CString::new(text).unwrap()
}

/// A worker that runs these words; nothing of it is captured.
pub(crate) fn request(run: u64, words: &[&str]) -> SpawnRequest {
    SpawnRequest {
        run: RunId(run),
        worker: WorkerId::new("w").unwrap(),
        program: Program {
            executable: text(words[0]),
            args: words.iter().map(|word| text(word)).collect(),
            env: vec![text("PATH=/usr/bin:/bin"), text(&format!("HSU_RUN_ID={run}"))],
            cwd: text("/"),
        },
        identity: None,
        umask: None,
        nice: None,
        rlimits: Vec::new(),
        ready_descriptor: None,
        entrances: Vec::new(),
        capture: Capture::default(),
        cgroup: None,
    }
}

/// A worker that runs a line of shell.
pub(crate) fn shell(run: u64, line: &str) -> SpawnRequest {
    request(run, &["/bin/sh", "-c", line])
}

/// A worker that lives until it is killed.
pub(crate) fn sleeper(run: u64) -> SpawnRequest {
    request(run, &["/bin/sleep", "1000"])
}

pub(crate) fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

pub(crate) fn path_text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
