//! A master whose keeper lies: what comes from the link, told to the mind in any order.
//!
//! The keeper may tell of runs that nobody asked for, of workers that nobody
//! knows, twice and too late. The invariants of the fleet hold after every step, no
//! run number is given twice, and nobody is signalled whom no keeper named.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hsu_core::effect::Effect;
use hsu_core::fleet::{Fleet, Settings};
use hsu_core::input::{Command, Input, ShutdownMode, Ticket};
use hsu_core::record::Resume;
use hsu_keeper::FromKeeper;
use hsu_model::event::Actor;
use hsu_model::exit::UnknownExit;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::restart::StartRate;
use hsu_model::time::{Now, Tick, WallTime};
use hsu_model::worker::{Unit, WorkerSpec};
use hsu_runtime::Entry;

use crate::bytes::Bytes;

/// Effects that one step of three workers may have; more is a flood.
const MOST_EFFECTS: usize = 200;

const WORKERS: &str = "workers:\n\
    - { id: a, type: managed, unit: { managed: { control: { execution: { executable_path: /bin/a } } } } }\n\
    - { id: b, type: managed, unit: { managed: { control: { restart_policy: never, execution: { executable_path: /bin/b } } } } }\n\
    - { id: c, type: managed, enabled: false, unit: { managed: { control: { execution: { executable_path: /bin/c } } } } }\n";

fn specs() -> Vec<WorkerSpec> {
    let source = hsu_config::Source { name: "w".to_owned(), text: WORKERS.as_bytes().to_vec() };
    let surroundings = hsu_config::Surroundings::of_this_process();
    let options = hsu_config::LoadOptions::default();
    let fleet = hsu_config::load(&source, &surroundings, &options).fleet;
    fleet.expect("the file is valid").workers
}

thread_local! {
    static SPECS: Vec<Arc<WorkerSpec>> = specs().into_iter().map(Arc::new).collect();
}

/// The workers as a board shows them.
pub(crate) fn entries() -> Vec<Entry> {
    let mut fleet = Fleet::new(SETTINGS);
    SPECS.with(|specs| {
        specs.iter().for_each(|spec| fleet.add(Arc::clone(spec), None, Resume::Fresh));
        let statuses = fleet.statuses().map(Arc::new);
        specs
            .iter()
            .cloned()
            .zip(statuses)
            .map(|(spec, status)| Entry { spec, status, outdated: false })
            .collect()
    })
}

const SETTINGS: Settings = Settings {
    start_rate: StartRate::DEFAULT,
    force_shutdown_timeout: Duration::from_secs(60),
    next_run: 1,
};

struct Life {
    fleet: Fleet,
    now: Now,
    entropy: u64,
    tickets: u64,
    /// Runs that were asked for, none twice.
    asked: BTreeSet<RunId>,
    /// Runs that a keeper named.
    named: BTreeSet<RunId>,
    /// Runs whose end a keeper told.
    ended: BTreeSet<RunId>,
}

pub(crate) fn run(input: &[u8]) {
    let mut fleet = Fleet::new(SETTINGS);
    SPECS.with(|specs| {
        for spec in specs {
            assert!(matches!(spec.unit, Unit::Managed(_)));
            fleet.add(Arc::clone(spec), None, Resume::Fresh);
        }
    });
    let now = Now { tick: Tick(1_000_000_000), wall: WallTime(1_000_000_000) };
    let mut life = Life {
        fleet,
        now,
        entropy: 0,
        tickets: 0,
        asked: BTreeSet::new(),
        named: BTreeSet::new(),
        ended: BTreeSet::new(),
    };
    let mut bytes = Bytes::new(input);
    for _ in 0..200 {
        if bytes.is_empty() {
            break;
        }
        match bytes.choice(4) {
            0 => life.command(&mut bytes),
            1 => life.wait(&mut bytes),
            // A datagram, whatever is in it.
            2 => {
                let datagram = bytes.stretch();
                let messages = hsu_keeper::fuzzing::from_keeper(datagram).unwrap_or_default();
                messages.into_iter().for_each(|message| life.hear(message));
            }
            _ => {
                if let Some(message) = life.message(&mut bytes) {
                    life.hear(message);
                }
            }
        }
    }
}

impl Life {
    fn step(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.entropy = self.entropy.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.fleet.step(self.now, self.entropy, input, &mut effects);
        assert!(effects.len() <= MOST_EFFECTS, "{} effects of one step", effects.len());
        for effect in effects {
            self.see(effect);
        }
        assert_eq!(self.fleet.check(), Ok(()));
    }

    fn see(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn { worker, run } => {
                assert!(self.fleet.spec(&worker).is_some(), "{worker} is nobody");
                assert!(self.asked.insert(run), "{run} was given twice");
                assert!(!self.named.contains(&run), "{run} is a keeper's already");
            }
            Effect::Signal { run, .. } => {
                assert!(self.named.contains(&run), "{run} is signalled, and nobody named it");
            }
            Effect::Acknowledge { run } => {
                assert!(self.ended.contains(&run), "{run} has not ended");
            }
            Effect::KillTree { .. }
            | Effect::Check { .. }
            | Effect::Reply { .. }
            | Effect::Event { .. }
            | Effect::Persist { .. }
            | Effect::Forget { .. }
            | Effect::Measure { .. }
            | Effect::Throttle { .. }
            | Effect::Alert { .. }
            | Effect::AllStopped => {}
            Effect::Search { .. }
            | Effect::Attach { .. }
            | Effect::Release { .. }
            | Effect::Follow { .. }
            | Effect::Service { .. } => unreachable!("no worker of these is somebody else's"),
        }
    }

    fn command(&mut self, bytes: &mut Bytes<'_>) {
        let commands = [
            Command::Start,
            Command::Stop { force: false },
            Command::Stop { force: true },
            Command::Restart { force: false },
            Command::Restart { force: true },
            Command::Signal(15),
            Command::Remove,
            Command::Enable,
            Command::Disable,
            Command::ResetBreaker,
        ];
        let Some(command) = bytes.one(&commands) else { return };
        self.tickets += 1;
        let (ticket, actor) = (Ticket(self.tickets), Actor::Operator { uid: 0 });
        let worker = worker(bytes);
        self.step(Input::Command { ticket, actor, worker, command });
    }

    fn wait(&mut self, bytes: &mut Bytes<'_>) {
        let spans = [0, 1, 500, 5_000, 20_000, 61_000, 400_000];
        let span = Duration::from_millis(bytes.one(&spans).unwrap_or(0));
        self.now.tick = self.now.tick.after(span);
        self.step(match bytes.choice(16) {
            0 => Input::Shutdown { mode: ShutdownMode::StopWorkers, actor: Actor::Signal(15) },
            1 => Input::ForceShutdown,
            2 => Input::Survivors { worker: worker(bytes), run: self.run(bytes), pids: vec![7] },
            3 => Input::Survivors { worker: worker(bytes), run: self.run(bytes), pids: vec![] },
            _ => Input::Wake,
        });
    }

    /// One of the runs that there are, the next one, or any number.
    fn run(&self, bytes: &mut Bytes<'_>) -> RunId {
        match bytes.choice(4) {
            0 => RunId(self.fleet.next_run()),
            1 => RunId(bytes.word().min(RunId::LAST.0)),
            _ => {
                let back = u64::from(bytes.byte() % 4) + 1;
                RunId(self.fleet.next_run().saturating_sub(back))
            }
        }
    }

    /// A message whose parts fit together now and then.
    fn message(&self, bytes: &mut Bytes<'_>) -> Option<FromKeeper> {
        use hsu_keeper::Stage;
        use hsu_model::exit::Exit;
        use hsu_model::process::ProcessKey;
        let (kind, run) = (bytes.choice(6), self.run(bytes));
        let process = ProcessKey { pid: 2 + u32::from(bytes.byte()), started_at: 5 };
        Some(match kind {
            0 => FromKeeper::Spawned { run, process, handle: None, is_enclosed: false },
            1 => FromKeeper::SpawnFailed { run, stage: Stage::Resources, errno: 11 },
            2 => {
                let exit = if bytes.flag() { Exit::Code(1) } else { Exit::Code(0) };
                let worker = worker(bytes);
                let (at, wall) = (self.now.tick, self.now.wall);
                FromKeeper::Exited { run, worker, process, exit, at, wall }
            }
            3 => {
                let (worker, started) = (worker(bytes), (self.now.tick, self.now.wall));
                FromKeeper::Held { run, worker, process, started, handle: None }
            }
            4 => FromKeeper::Pending { run, worker: worker(bytes) },
            _ => FromKeeper::InventoryEnd,
        })
    }

    /// What the body makes of a message.
    fn hear(&mut self, message: FromKeeper) {
        match message {
            FromKeeper::Spawned { run, process, .. } => {
                self.named.insert(run);
                self.step(Input::Spawned { run, process });
            }
            FromKeeper::SpawnFailed { run, errno, .. } => {
                let error = format!("error {errno}");
                self.step(Input::SpawnFailed { run, error, transient: errno == 11 });
            }
            FromKeeper::Exited { run, worker, exit, at, wall, .. } => {
                self.named.insert(run);
                self.ended.insert(run);
                self.step(Input::Exited { worker, run, exit, at, wall });
            }
            FromKeeper::Held { run, worker, process, started, .. } => {
                self.named.insert(run);
                self.step(Input::Adopted { worker, run, process, started });
            }
            FromKeeper::Pending { run, worker } => {
                self.named.insert(run);
                self.step(Input::Pending { worker, run });
            }
            FromKeeper::InventoryEnd => {
                self.step(Input::Settled { unknown: UnknownExit::KeeperLost });
            }
            // Of roles and of the link: the mind does not hear of them.
            FromKeeper::Welcome { .. }
            | FromKeeper::Ping
            | FromKeeper::PumpLost
            | FromKeeper::Yield
            | FromKeeper::Proceed
            | FromKeeper::Resume
            | FromKeeper::Fenced
            | FromKeeper::UpgradeFailed { .. }
            | FromKeeper::Kept { .. }
            | FromKeeper::NotKept { .. }
            | FromKeeper::Followed { .. }
            | FromKeeper::Ready { .. }
            | FromKeeper::Stream { .. }
            | FromKeeper::Finish => {}
        }
    }
}

fn worker(bytes: &mut Bytes<'_>) -> WorkerId {
    let names = ["a", "b", "c", "stranger"];
    WorkerId::new(bytes.one(&names).unwrap_or("a")).expect("a valid id")
}
