//! Chaos: roles of a running master are killed, and nothing else may change.
//!
//! A [`Campaign`] runs a fleet in a sandbox and does one [`Strike`] after the other
//! at random moments, while clients use the workers, writers number their lines
//! and others end with exit codes that they note themselves. At the end the
//! [`Toll`] says what was hurt. Promises R1 to R5 and R30 are a toll of zero.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::error::TestError;
use crate::fleet::{Fleet, FleetBuilder, Role, Worker};
use crate::lines::{LineCheck, Verdict};
use crate::patience::eventually;
use crate::ports::free_port;
use crate::process::Process;
use crate::sandbox::Sandbox;

mod client;
mod endings;
mod random;
mod upgrades;

use client::Client;
use endings::Endings;
pub use random::Random;

/// How long the master may need to answer again after a kill.
const RECOVERY_LIMIT: Duration = Duration::from_secs(20);
/// How long a hung master may go unnoticed, and its replacement take.
const HANG_LIMIT: Duration = Duration::from_secs(40);
/// How long everything may need to stop at the end.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// What is killed, how often, and beside what.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// What is done, each chosen at random; none does nothing.
    pub strikes: Vec<Strike>,
    /// How many strikes.
    pub count: u32,
    /// Workers that write numbered lines.
    pub writers: u32,
    /// Workers that answer on a TCP port.
    pub servers: u32,
    /// Workers that end again and again with a code of their own.
    pub enders: u32,
    /// The longest time between two strikes.
    pub pause: Duration,
    /// What all chance comes from; the same seed makes the same choices.
    pub seed: u64,
}

/// One thing that is done to a running master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// SIGKILL to a role.
    Kill(Role),
    /// SIGSTOP to the master: it hangs until its keeper has replaced it.
    Hang,
    /// The master is replaced in place by another build.
    Upgrade,
    /// The same, and every master is killed in the middle of it.
    TornUpgrade,
}

impl Strike {
    fn role(self) -> Role {
        match self {
            Self::Kill(role) => role,
            Self::Hang | Self::Upgrade | Self::TornUpgrade => Role::Master,
        }
    }

    /// How long another process may take to play the role.
    fn patience(self) -> Duration {
        match self {
            Self::Kill(_) | Self::Upgrade | Self::TornUpgrade => RECOVERY_LIMIT,
            Self::Hang => HANG_LIMIT,
        }
    }
}

/// What was hurt.
#[derive(Clone, Debug)]
pub struct Toll {
    /// Strikes that hit a process.
    pub strikes: u32,
    /// Whether keepers were among them.
    pub keeper_was_killed: bool,
    /// Long-lived workers whose process changed.
    pub disturbed: Vec<String>,
    /// Requests to workers, and how many failed.
    pub requests: u64,
    /// Failed ones.
    pub failed_requests: u64,
    /// The lines of all writers.
    pub lines: Verdict,
    /// Exits that workers noted themselves.
    pub exits: u64,
    /// Exits that HSU Master reports as unknown: a process that ended while there
    /// was no keeper, before anybody else had a hold on it.
    pub unknown_exits: u64,
    /// Exits that HSU Master does not know, knows twice or knows differently.
    pub wrong_exits: Vec<String>,
    /// How long the master took to answer after each strike, sorted.
    pub recoveries: Vec<Duration>,
}

impl Toll {
    /// Whether every promise was kept. An unknown exit is honest, and is only
    /// possible where a keeper was killed: elsewhere it is a promise broken.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        (self.keeper_was_killed || self.unknown_exits == 0)
            && self.disturbed.is_empty()
            && self.failed_requests == 0
            && self.lines.is_perfect()
            && self.wrong_exits.is_empty()
    }

    /// The recovery that `share` of all recoveries do not exceed.
    #[must_use]
    pub fn recovery(&self, share: f64) -> Duration {
        let last = self.recoveries.len().saturating_sub(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a list of some thousand"
        )]
        let place = (last as f64 * share).round() as usize;
        self.recoveries.get(place).copied().unwrap_or_default()
    }
}

impl Campaign {
    /// Runs the campaign in a sandbox of its own.
    ///
    /// # Errors
    /// [`TestError`] when the fleet does not start, does not come back after a
    /// kill, or does not stop; harm to workers is in the toll instead.
    pub fn run(&self) -> Result<Toll, TestError> {
        let sandbox = Sandbox::new()?;
        let ports = (0..self.servers).map(|_| free_port()).collect::<Result<Vec<_>, _>>()?;
        let mut fleet = self.fleet(&sandbox, &ports)?;
        let long_lived = self.long_lived();
        for id in &long_lived {
            fleet.wait_for(id, "running", RECOVERY_LIMIT)?;
        }
        let before = processes(&fleet, &long_lived)?;
        let client = Client::start(ports);
        let mut random = Random::new(self.seed);
        let (strikes, mut recoveries) = self.strike(&fleet, &sandbox, &mut random)?;
        let after = processes(&fleet, &long_lived)?;
        let (requests, failed_requests) = client.finish();
        let disturbed = before
            .into_iter()
            .zip(after)
            .filter(|(old, new)| old != new)
            .map(|(old, new)| format!("{old:?} became {new:?}"))
            .collect();
        let mut endings = Endings::default();
        self.settle(&fleet, &sandbox, &mut endings)?;
        fleet.stop(STOP_LIMIT)?;
        let mut check = LineCheck::new();
        check.feed_folder(&sandbox.folder().join("output"))?;
        check.promise_by_ledgers(&sandbox.folder().join("ledgers"))?;
        recoveries.sort();
        Ok(Toll {
            strikes,
            keeper_was_killed: self.strikes.contains(&Strike::Kill(Role::Keeper)),
            disturbed,
            requests,
            failed_requests,
            lines: check.verdict(),
            exits: endings.noted(),
            unknown_exits: endings.unknown(),
            wrong_exits: endings.wrong(),
            recoveries,
        })
    }

    fn long_lived(&self) -> Vec<String> {
        let writers = (0..self.writers).map(|number| format!("writer-{number}"));
        let servers = (0..self.servers).map(|number| format!("server-{number}"));
        writers.chain(servers).collect()
    }

    fn fleet<'a>(&self, sandbox: &'a Sandbox, ports: &[u16]) -> Result<Fleet<'a>, TestError> {
        let folder = sandbox.folder();
        for name in ["output", "ledgers", "endings"] {
            let made = std::fs::create_dir_all(folder.join(name));
            made.map_err(TestError::io(format!("make the folder {name}")))?;
        }
        let dummy = crate::binaries::binary("hsu-dummy")?;
        let keeper = crate::binaries::binary("hsu-keeper")?.display().to_string();
        let mut builder = FleetBuilder::new(sandbox).variable("HSU_KEEPER", keeper).section(
            "log_collection",
            serde_json::json!({"enabled": true, "global_aggregation": {"enabled": false}}),
        );
        for number in 0..self.writers {
            let id = format!("writer-{number}");
            let file = folder.join("output").join(&id);
            let ledgers = folder.join("ledgers").display().to_string();
            let arguments =
                ["--lines", "0", "--rate", "200", "--streams", "both", "--ledger", &ledgers]
                    .map(str::to_owned);
            builder = builder.worker(
                Worker::new(&id, &dummy).arguments(arguments).set("log_collection", plain(&file)),
            );
        }
        for (number, port) in ports.iter().enumerate() {
            let arguments = ["--tcp-port".to_owned(), port.to_string()];
            builder = builder
                .worker(Worker::new(&format!("server-{number}"), &dummy).arguments(arguments));
        }
        for number in 0..self.enders {
            let ledger = folder.join("endings").join(format!("ender-{number}"));
            builder = builder.worker(endings::worker(&format!("ender-{number}"), &ledger));
        }
        builder.start()
    }

    /// Strikes, waits until the master answers again, and says how long that took.
    fn strike(
        &self,
        fleet: &Fleet<'_>,
        sandbox: &Sandbox,
        random: &mut Random,
    ) -> Result<(u32, Vec<Duration>), TestError> {
        let builds = upgrades::Builds::new(sandbox)?;
        let mut hits = 0;
        let mut recoveries = Vec::new();
        while hits < self.count && !self.strikes.is_empty() {
            let strike = self.strikes[random.below(self.strikes.len())];
            std::thread::sleep(random.up_to(self.pause));
            let before = fleet.players(strike.role())?;
            match strike {
                Strike::Kill(_) => signal_all(&before, Signal::KILL)?,
                Strike::Hang => signal_all(&before, Signal::STOP)?,
                Strike::Upgrade => builds.upgrade(fleet, hits)?,
                Strike::TornUpgrade => builds.tear(fleet, hits, random)?,
            }
            hits += if before.is_empty() { 0 } else { 1 };
            let struck = Instant::now();
            eventually("the role is played by another process", strike.patience(), || {
                let now = fleet.players(strike.role()).map_err(|error| error.to_string())?;
                let is_old = |pid: u32| before.iter().any(|player| player.outer_pid == pid);
                let is_new = now.len() == 1 && !is_old(now[0].outer_pid);
                let is_settled = is_new || before.is_empty() || strike == Strike::TornUpgrade;
                if is_settled { Ok(()) } else { Err(format!("{now:?}")) }
            })?;
            eventually("the master answers after a strike", RECOVERY_LIMIT, || {
                fleet.list().map(drop).map_err(|error| format!("{error}; {}", fleet.own_words()))
            })?;
            recoveries.push(struck.elapsed());
        }
        Ok((hits, recoveries))
    }

    /// Stops the enders and compares what they noted with what the master knows.
    fn settle(
        &self,
        fleet: &Fleet<'_>,
        sandbox: &Sandbox,
        endings: &mut Endings,
    ) -> Result<(), TestError> {
        for number in 0..self.enders {
            let id = format!("ender-{number}");
            fleet.tell(&["stop", &id])?;
            endings.compare(fleet, &id, &sandbox.folder().join("endings").join(&id))?;
        }
        Ok(())
    }
}

fn signal_all(players: &[Process], signal: Signal) -> Result<(), TestError> {
    players.iter().try_for_each(|player| player.signal(signal))
}

fn plain(file: &std::path::Path) -> serde_json::Value {
    let output = |stream: &str| {
        serde_json::json!([{
            "type": "file",
            "path": format!("{}-{stream}.log", file.display()),
            "format": "plain",
            "rotation": {"max_size": "64KB", "max_files": 0},
        }])
    };
    serde_json::json!({
        "enabled": true,
        "capture_stdout": true,
        "capture_stderr": true,
        "outputs": {"separate": {"stdout": output("stdout"), "stderr": output("stderr")}},
    })
}

/// The PID and the restart count of each worker.
fn processes(
    fleet: &Fleet<'_>,
    ids: &[String],
) -> Result<Vec<(String, Option<u32>, u64)>, TestError> {
    let workers = fleet.list()?;
    let find = |id: &String| workers.iter().find(|view| view.id() == id);
    Ok(ids
        .iter()
        .map(|id| {
            let view = find(id);
            let pid = view.and_then(crate::fleet::WorkerView::pid);
            (id.clone(), pid, view.map_or(0, crate::fleet::WorkerView::restarts))
        })
        .collect())
}
