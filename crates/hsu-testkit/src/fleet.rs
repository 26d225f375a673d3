//! A fleet: a configuration, a running master and its client, as a user has them.
//!
//! What a test asks, it asks as a user would: through `hsu-master-cli -o json`.
//! The configuration is written as JSON, which is YAML.

use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::Duration;
use std::{fs, io};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::binaries::{binary, build_fleet};
use crate::error::TestError;
use crate::patience::eventually;
use crate::process::Process;
use crate::sandbox::Sandbox;

mod worker;

pub use worker::{Worker, WorkerView};

/// How long a master may take to answer for the first time.
const START_LIMIT: Duration = Duration::from_secs(30);

/// The three roles of HSU Master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It decides.
    Master,
    /// It holds.
    Keeper,
    /// It carries.
    Pump,
}

impl Role {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Master, Self::Keeper, Self::Pump];

    /// Whether a process plays this role.
    #[must_use]
    pub fn is_played_by(self, process: &Process) -> bool {
        let is_pump = process.arguments.iter().any(|word| word.contains("pump"));
        match self {
            Self::Master => process.name() == "hsu-master",
            Self::Keeper => process.name() == "hsu-keeper" && !is_pump,
            Self::Pump => process.name() == "hsu-keeper" && is_pump,
        }
    }
}

/// What a fleet is to be.
#[derive(Debug)]
pub struct FleetBuilder<'a> {
    sandbox: &'a Sandbox,
    base: PathBuf,
    document: Value,
    text: Option<String>,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    group: Option<PathBuf>,
}

impl<'a> FleetBuilder<'a> {
    /// A fleet without workers, with all its files under `base` in the sandbox's folder.
    #[must_use]
    pub fn new(sandbox: &'a Sandbox) -> Self {
        let base = sandbox.folder().join("base");
        Self {
            sandbox,
            document: json!({"master": {"base_directory": base}, "workers": []}),
            base,
            text: None,
            arguments: Vec::new(),
            variables: Vec::new(),
            group: None,
        }
    }

    /// Starts the master in this cgroup, as a service manager would.
    #[must_use]
    pub fn group(mut self, folder: impl Into<PathBuf>) -> Self {
        self.group = Some(folder.into());
        self
    }

    /// Adds a worker.
    #[must_use]
    pub fn worker(mut self, worker: Worker) -> Self {
        if let Some(workers) = self.document["workers"].as_array_mut() {
            workers.push(worker.into_json());
        }
        self
    }

    /// Sets one key of the `master` section.
    #[must_use]
    pub fn master(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.document["master"][key] = value.into();
        self
    }

    /// Sets one section of the root, such as `log_collection`.
    #[must_use]
    pub fn section(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.document[key] = value.into();
        self
    }

    /// Uses this text in place of everything said by the other functions.
    ///
    /// Its `base_directory` is told too, for the client to find the master.
    #[must_use]
    pub fn yaml(mut self, text: impl Into<String>, base: impl Into<PathBuf>) -> Self {
        self.text = Some(text.into());
        self.base = base.into();
        self
    }

    /// Sets a variable in the environment of the master.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Adds an argument to the command line of the master.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Writes the configuration, starts the master and waits until it answers.
    ///
    /// # Errors
    /// [`TestError::Overdue`] with the master's own words when it does not answer.
    pub fn start(self) -> Result<Fleet<'a>, TestError> {
        let config = self.sandbox.folder().join("hsu.yaml");
        let text = self.text.unwrap_or_else(|| self.document.to_string());
        fs::write(&config, text).map_err(TestError::io("write the configuration"))?;
        let mut fleet = Fleet {
            sandbox: self.sandbox,
            base: self.base,
            config,
            arguments: self.arguments,
            variables: self.variables,
            group: self.group,
            door: None,
        };
        fleet.launch()?;
        Ok(fleet)
    }
}

/// A running master, its configuration and its client.
#[derive(Debug)]
pub struct Fleet<'a> {
    sandbox: &'a Sandbox,
    base: PathBuf,
    config: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    group: Option<PathBuf>,
    door: Option<Child>,
}

impl Fleet<'_> {
    /// The folder with the master's files.
    #[must_use]
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// What the master wrote to its standard output and error so far.
    #[must_use]
    pub fn own_words(&self) -> String {
        fs::read_to_string(self.words_file()).unwrap_or_default()
    }

    /// Starts a master on the same configuration and waits until it answers.
    ///
    /// # Errors
    /// [`TestError::Overdue`] with the master's own words when it does not answer.
    pub fn launch(&mut self) -> Result<(), TestError> {
        build_fleet()?;
        let doing = "open a file for the master's words";
        let words = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.words_file())
            .map_err(TestError::io(doing))?;
        let master = binary("hsu-master")?;
        let mut command = match &self.group {
            Some(group) => {
                let mut shell = self.sandbox.command("/bin/sh");
                shell.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]);
                shell.arg(group.join("cgroup.procs")).arg(master);
                shell
            }
            None => self.sandbox.command(master),
        };
        let door = command
            .arg("--config")
            .arg(&self.config)
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdout(words.try_clone().map_err(TestError::io(doing))?)
            .stderr(words)
            .spawn()
            .map_err(TestError::io("start the master"))?;
        self.door = Some(door);
        eventually("the master answers", START_LIMIT, || {
            self.list().map(drop).map_err(|error| format!("{error}; it said: {}", self.own_words()))
        })
    }

    /// The control socket of the master.
    ///
    /// # Errors
    /// [`TestError::Io`] when there is none.
    pub fn socket(&self) -> Result<PathBuf, TestError> {
        let doing = format!("find the control socket under {}", self.base.display());
        find_socket(&self.base).map_err(TestError::io(doing))
    }

    /// Runs `hsu-master-cli` with these arguments and returns what it wrote.
    ///
    /// # Errors
    /// [`TestError::Io`] when it cannot be run; its own failure is in the output.
    pub fn client(&self, arguments: &[&str]) -> Result<Output, TestError> {
        let socket = self.socket()?;
        self.sandbox
            .command(binary("hsu-master-cli")?)
            .arg("--socket")
            .arg(socket)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .map_err(TestError::io("run the client"))
    }

    /// As [`Fleet::client`], but another exit code than 0 is an error; returns its output.
    ///
    /// # Errors
    /// [`TestError::Command`] with everything it wrote.
    pub fn tell(&self, arguments: &[&str]) -> Result<String, TestError> {
        let output = self.client(arguments)?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(stdout);
        }
        Err(TestError::Command {
            command: format!("hsu-master-cli {}", arguments.join(" ")),
            status: output.status.to_string(),
            output: format!("{}{stdout}", String::from_utf8_lossy(&output.stderr)),
        })
    }

    /// As [`Fleet::tell`] with `-o json`.
    ///
    /// # Errors
    /// [`TestError::Json`] when the answer is none.
    pub fn ask(&self, arguments: &[&str]) -> Result<Value, TestError> {
        let mut all = arguments.to_vec();
        all.extend(["-o", "json"]);
        let output = self.tell(&all)?;
        serde_json::from_str(&output).map_err(|source| TestError::Json {
            command: format!("hsu-master-cli {}", all.join(" ")),
            output,
            source,
        })
    }

    /// All workers, in the order of the answer.
    ///
    /// # Errors
    /// As [`Fleet::ask`].
    pub fn list(&self) -> Result<Vec<WorkerView>, TestError> {
        let answer = self.ask(&["list"])?;
        let rows = answer.get("workers").unwrap_or(&answer).as_array().cloned();
        Ok(rows.unwrap_or_default().into_iter().map(WorkerView).collect())
    }

    /// Waits until `accept` says yes to a worker, and returns it.
    ///
    /// # Errors
    /// [`TestError::Overdue`] with the worker as it was seen last.
    pub fn wait_until(
        &self,
        worker: &str,
        what: &str,
        within: Duration,
        accept: impl Fn(&WorkerView) -> bool,
    ) -> Result<WorkerView, TestError> {
        eventually(&format!("{worker} is {what}"), within, || {
            let workers = self.list().map_err(|error| error.to_string())?;
            match workers.into_iter().find(|view| view.id() == worker) {
                Some(view) if accept(&view) => Ok(view),
                Some(view) => Err(format!("it is {}", view.0)),
                None => Err("it is not known".to_owned()),
            }
        })
    }

    /// Waits until a worker is in a state, by the word that `list` prints.
    ///
    /// # Errors
    /// [`TestError::Overdue`] with the worker as it was seen last.
    pub fn wait_for(
        &self,
        worker: &str,
        state: &str,
        within: Duration,
    ) -> Result<WorkerView, TestError> {
        self.wait_until(worker, state, within, |view| view.state() == state)
    }

    /// The processes that play a role, zombies left out.
    ///
    /// # Errors
    /// [`TestError::Io`] when `/proc` cannot be listed.
    pub fn players(&self, role: Role) -> Result<Vec<Process>, TestError> {
        let mut all = self.sandbox.processes()?;
        all.retain(|process| role.is_played_by(process) && !process.is_zombie());
        Ok(all)
    }

    /// Sends SIGKILL to every process that plays a role; returns how many there were.
    ///
    /// # Errors
    /// [`TestError::Io`] when one of them cannot be signalled.
    pub fn kill(&self, role: Role) -> Result<usize, TestError> {
        let players = self.players(role)?;
        players.iter().try_for_each(|player| player.signal(Signal::KILL))?;
        Ok(players.len())
    }

    /// Asks the master to end by SIGTERM and waits until the sandbox is empty.
    ///
    /// # Errors
    /// [`TestError::Overdue`] with the list of what is left.
    pub fn stop(&mut self, within: Duration) -> Result<(), TestError> {
        for master in self.players(Role::Master)? {
            master.signal(Signal::TERM)?;
        }
        if let Some(door) = &self.door {
            // It stands still when what it leads to was stopped, and then reaps nobody.
            let pid = rustix::process::Pid::from_child(door);
            let _ = rustix::process::kill_process(pid, Signal::CONT);
        }
        let result = self.sandbox.empty_within(within);
        if let Some(mut door) = self.door.take() {
            // A door that already closed is what is wanted.
            let _ = door.kill();
            let _ = door.wait();
        }
        result
    }

    fn words_file(&self) -> PathBuf {
        self.sandbox.folder().join("master.out")
    }
}

impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        if let Some(mut door) = self.door.take() {
            // The sandbox ends what runs inside; here only the door is closed and reaped.
            let _ = door.kill();
            let _ = door.wait();
        }
    }
}

/// The first `control.sock` under a folder.
fn find_socket(folder: &Path) -> io::Result<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)?.flatten() {
            if entry.file_name() == "control.sock" {
                return Ok(entry.path());
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    Err(io::Error::from(io::ErrorKind::NotFound))
}
