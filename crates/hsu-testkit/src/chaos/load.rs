//! The load: workers whose harm can be measured, and the use that is made of them.
//!
//! Writers number their lines, servers answer a client all the time, enders note
//! their own exit codes. All hold their slot while they live.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

use super::client::Client;
use super::endings::{self, Endings};
use super::report::Toll;
use super::{RECOVERY_LIMIT, STOP_LIMIT};
use crate::error::TestError;
use crate::fleet::{Fleet, FleetBuilder, Worker, WorkerView};
use crate::lines::LineCheck;
use crate::ports::free_port;
use crate::sandbox::Sandbox;

/// How long the start of one worker may take where the host is busy.
const START_TIME: Duration = Duration::from_millis(50);

/// How many workers of each kind, and how busy they are.
#[derive(Clone, Debug)]
pub struct Load {
    /// Workers that write numbered lines on both streams.
    pub writers: u32,
    /// Lines a second on each stream.
    pub rate: u32,
    /// Workers that answer on a TCP port.
    pub servers: u32,
    /// The client's rest between two rounds.
    pub rest: Duration,
    /// Workers that end again and again with a code of their own.
    pub enders: u32,
}

impl Default for Load {
    fn default() -> Self {
        Self { writers: 6, rate: 200, servers: 2, rest: Duration::from_millis(2), enders: 3 }
    }
}

/// A fleet under load.
#[derive(Debug)]
pub(crate) struct Loaded<'a> {
    pub(crate) fleet: Fleet<'a>,
    sandbox: &'a Sandbox,
    load: Load,
    client: Client,
    before: Vec<Standing>,
    endings: Mutex<Endings>,
}

/// A worker's name, PID and restart count.
type Standing = (String, Option<u32>, u64);

impl Load {
    /// Nothing at all, for campaigns with workers of their own.
    #[must_use]
    pub fn none() -> Self {
        Self { writers: 0, servers: 0, enders: 0, ..Self::default() }
    }

    /// Starts a fleet with this load and with what `add` adds to it.
    pub(crate) fn start<'a>(
        &self,
        sandbox: &'a Sandbox,
        add: impl FnOnce(FleetBuilder<'a>) -> Result<FleetBuilder<'a>, TestError>,
    ) -> Result<Loaded<'a>, TestError> {
        let folder = sandbox.folder();
        for name in ["output", "ledgers", "endings", "slots"] {
            let made = std::fs::create_dir_all(folder.join(name));
            made.map_err(TestError::io(format!("make the folder {name}")))?;
        }
        let ports = (0..self.servers).map(|_| free_port()).collect::<Result<Vec<_>, _>>()?;
        let fleet = add(self.workers(FleetBuilder::new(sandbox), folder, &ports)?)?.start()?;
        let long_lived = self.long_lived();
        let many = u32::try_from(fleet.list()?.len()).unwrap_or(u32::MAX);
        for id in &long_lived {
            fleet.wait_for(id, "running", RECOVERY_LIMIT + START_TIME * many)?;
        }
        let before = standing(&fleet, &long_lived)?;
        let client = Client::start(ports, self.rest);
        Ok(Loaded { fleet, sandbox, load: self.clone(), client, before, endings: Mutex::default() })
    }

    fn long_lived(&self) -> Vec<String> {
        let writers = (0..self.writers).map(|number| format!("writer-{number}"));
        let servers = (0..self.servers).map(|number| format!("server-{number}"));
        writers.chain(servers).collect()
    }

    fn workers<'a>(
        &self,
        builder: FleetBuilder<'a>,
        folder: &Path,
        ports: &[u16],
    ) -> Result<FleetBuilder<'a>, TestError> {
        let dummy = crate::binaries::binary("hsu-dummy")?;
        let slot = |id: &str| slot_file(folder, id).display().to_string();
        let mut builder = builder.section(
            "log_collection",
            json!({"enabled": true, "global_aggregation": {"enabled": false}}),
        );
        for number in 0..self.writers {
            let id = format!("writer-{number}");
            let file = folder.join("output").join(&id);
            let (rate, ledgers) = (self.rate.to_string(), folder.join("ledgers"));
            let (ledgers, slot) = (ledgers.display().to_string(), slot(&id));
            let arguments = ["--lines", "0", "--rate", &rate, "--streams", "both"];
            let files = ["--ledger", &ledgers, "--slot", &slot];
            let arguments = arguments.into_iter().chain(files).map(str::to_owned);
            builder = builder.worker(
                Worker::new(&id, &dummy).arguments(arguments).set("log_collection", plain(&file)),
            );
        }
        for (number, port) in ports.iter().enumerate() {
            let id = format!("server-{number}");
            let arguments =
                ["--tcp-port".to_owned(), port.to_string(), "--slot".to_owned(), slot(&id)];
            builder = builder.worker(Worker::new(&id, &dummy).arguments(arguments));
        }
        for number in 0..self.enders {
            let id = format!("ender-{number}");
            let ledger = folder.join("endings").join(&id);
            builder = builder.worker(endings::worker(&id, &ledger, &slot_file(folder, &id)));
        }
        Ok(builder)
    }
}

impl Loaded<'_> {
    /// Remembers what the journal may forget before the end; called after each strike.
    pub(crate) fn keep_up(&self) {
        let mut endings = self.endings.lock().unwrap_or_else(PoisonError::into_inner);
        endings.keep_up(&self.fleet);
    }

    /// Ends the load in order, and says what was hurt since it began.
    pub(crate) fn finish(mut self) -> Result<Toll, TestError> {
        let disturbed = self.disturbed()?;
        let many = u32::try_from(self.fleet.list()?.len()).unwrap_or(u32::MAX);
        let (requests, failed_requests) = self.client.finish();
        let folder = self.sandbox.folder();
        let enders: Vec<_> =
            (0..self.load.enders).map(|number| format!("ender-{number}")).collect();
        for id in &enders {
            self.fleet.tell(&["stop", id])?;
        }
        let mut endings = self.endings.into_inner().unwrap_or_else(PoisonError::into_inner);
        endings.read_journal(&self.fleet)?;
        for id in &enders {
            endings.compare(id, &folder.join("endings").join(id));
        }
        self.fleet.stop(STOP_LIMIT + START_TIME * many)?;
        let mut check = LineCheck::new();
        // A volume of its own may be mounted there.
        check.feed_folder(&self.sandbox.seen_inside(&folder.join("output")))?;
        check.promise_by_ledgers(&folder.join("ledgers"))?;
        Ok(Toll {
            disturbed,
            requests,
            failed_requests,
            lines: check.verdict(),
            exits: endings.noted(),
            unknown_exits: endings.unknown(),
            wrong_exits: endings.wrong(),
            twice: twice(folder)?,
        })
    }

    /// Workers that are not the processes that they were.
    fn disturbed(&self) -> Result<Vec<String>, TestError> {
        let after = standing(&self.fleet, &self.load.long_lived())?;
        let pairs = self.before.iter().zip(after);
        let changed = pairs.filter(|(before, after)| *before != after);
        Ok(changed.map(|(before, after)| format!("{before:?} became {after:?}")).collect())
    }
}

/// The file that a worker locks while it lives.
pub(crate) fn slot_file(folder: &Path, id: &str) -> std::path::PathBuf {
    folder.join("slots").join(id)
}

/// What instances wrote that found another one in their slot.
fn twice(folder: &Path) -> Result<Vec<String>, TestError> {
    let entries = std::fs::read_dir(folder.join("slots")).map_err(TestError::io("list slots"))?;
    let mut all = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(id) = name.strip_suffix(".twice") {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            all.extend(text.lines().map(|line| format!("{id}: {line}")));
        }
    }
    Ok(all)
}

fn plain(file: &Path) -> serde_json::Value {
    let output = |stream: &str| {
        json!([{
            "type": "file",
            "path": format!("{}-{stream}.log", file.display()),
            "format": "plain",
            "rotation": {"max_size": "64KB", "max_files": 0},
        }])
    };
    json!({
        "enabled": true,
        "capture_stdout": true,
        "capture_stderr": true,
        "outputs": {"separate": {"stdout": output("stdout"), "stderr": output("stderr")}},
    })
}

fn standing(fleet: &Fleet<'_>, ids: &[String]) -> Result<Vec<Standing>, TestError> {
    let workers = fleet.list()?;
    let of = |id: &String| {
        let view = workers.iter().find(|view| view.id() == id);
        (id.clone(), view.and_then(WorkerView::pid), view.map_or(0, WorkerView::restarts))
    };
    Ok(ids.iter().map(of).collect())
}
