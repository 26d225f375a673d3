//! The start of a master: what an earlier life left behind is found and taken up.
//!
//! The order matters. The lock of state and sockets comes first, so that there is
//! one master; the keeper is started early, because it takes longest; nothing is
//! started before the keeper has told what runs already.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hsu_core::fleet::{Fleet, Settings};
use hsu_core::input::ShutdownMode;
use hsu_core::mass_stop::{TooMany, guard};
use hsu_core::record::Resume;
use hsu_keeper::{FromKeeper, KeeperPlan, Role, ToKeeper};
use hsu_logs::plan::LogPlan;
use hsu_logs::query::Spools;
use hsu_model::event::{Actor, EventKind};
use hsu_model::exit::UnknownExit;
use hsu_model::master::FleetSpec;
use hsu_model::time::Now;
use hsu_store::{Life, Loaded, Store, StoreError};
use hsu_sys::clock;
use hsu_sys::limits::Enforcer;
use hsu_sys::lock::{LockError, MasterLock};
use hsu_sys::reactor::Reactor;
use hsu_sys::tree::Trees;
use tracing::{info, warn};

use crate::board::Board;
use crate::body::limits::Limiting;
use crate::body::{Body, Holding, Parts};
use crate::chores::Chores;
use crate::handle::Handle;
use crate::journal::Stamper;
use crate::launch::Launcher;
use crate::mass_stop::MassStop;
use crate::request::Requests;
use crate::successor::this_program;
use crate::usage_board::UsageBoard;
use crate::warden::Warden;

/// How long the old master may take to let go of the state.
const PROCEED_WITHIN: Duration = Duration::from_secs(4);

/// What a master is started with.
#[derive(Debug)]
pub struct Options {
    /// What shall run.
    pub fleet: FleetSpec,
    /// The configuration it came from, for people.
    pub config: PathBuf,
    /// The executable of keeper and pump.
    pub keeper: PathBuf,
    /// End after this time.
    pub run_duration: Option<Duration>,
    /// Whether another master runs, and hands over to this one.
    pub candidate: bool,
    /// Whether many workers may leave the configuration at once.
    pub mass_stop: MassStop,
    /// How the master was lost after which the keeper started this one.
    pub relaunched: Option<Loss>,
    /// What was asked of this master before it began anew, and is still to be done.
    pub asked_to_end: Option<ShutdownMode>,
}

/// How a master was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It was killed, or ended by itself.
    Killed,
    /// It did not answer its keeper, which killed it.
    Hung,
}

/// Why a master could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another one has the state or the sockets.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The state cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A folder cannot be used.
    #[error("cannot use the folder {}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no keeper.
    #[error(
        "cannot reach a keeper at {} and start none from {}",
        socket.display(),
        executable.display()
    )]
    Keeper {
        /// Where it would listen.
        socket: PathBuf,
        /// Its executable.
        executable: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Too many workers left the configuration.
    #[error(transparent)]
    MassStop(#[from] TooMany),
    /// The logs cannot be set up.
    #[error("cannot set up the logs")]
    Logs(#[from] hsu_logs::LogError),
    /// The kernel refuses threads, descriptors or signals.
    #[error("the kernel refuses what a master needs")]
    Kernel(#[from] io::Error),
}

/// Takes up what an earlier life left, and gives back the loop and its handle.
///
/// # Errors
/// [`StartError`]; nothing was changed then, but for folders that were made.
pub fn start(options: Options) -> Result<(Body, Arc<Handle>), StartError> {
    let (runtime, state, spools) = folders(&options)?;
    let descriptors = hsu_sys::descriptors::raise_limit();
    let reactor = Reactor::new()?;
    let (requests, receiver) = Requests::channel(reactor.waker());
    let (mut holding, lock) = reach_keeper(&options, &runtime, &spools, &state)?;
    let logs = LogPlan::of(&options.fleet);
    let taken = take_up(&options, &logs, &state, &spools, &requests);
    let (store, loaded, replaced) = taken.inspect_err(|_| holding.give_up())?;
    let now = clock::now();
    let (fleet, unknown) = revive(&options, &loaded);
    let (board, keeper) = (Arc::<Board>::default(), Arc::new(holding.keeper().into()));
    let name = tree_name(&state);
    // It may move the roles to a group of their own, and the trees begin from there.
    let enforcer = Enforcer::detect(&name, options.fleet.master.cgroups);
    let (survey, usage) = (enforcer.survey(), Arc::<UsageBoard>::default());
    let trees = Trees::detect(&name);
    info!(
        workers = options.fleet.workers.len(),
        descriptors,
        "trees of processes are killed by {}",
        trees.describe()
    );
    let birthplaces = trees.birthplaces();
    let chores = Chores::start(trees, Arc::clone(&keeper), requests.clone())?;
    let warden = watch_usage(enforcer, &usage, &state, &requests)?;
    let handle = Arc::new(Handle {
        requests: requests.clone(),
        board: Arc::clone(&board),
        reader: store.reader(),
        spools: Spools::new(&spools),
        keeper: Arc::clone(&keeper),
        started_at: now.wall,
        config: options.config.clone(),
        state: state.clone(),
        usage,
        records: state.join(USAGE),
        survey,
    });
    holding.await_keeper().map_err(|source| no_keeper(holding.plan(), source))?;
    let launcher = Launcher::new(std::env::vars_os(), std::env::current_dir()?, &name);
    let mut body = Body::assemble(Parts {
        reactor,
        requests: receiver,
        told: requests.clone(),
        fleet,
        holding,
        launcher,
        chores,
        limiting: Limiting::new(warden),
        stamper: Stamper::after(loaded.last_event),
        store,
        board,
        keeper,
        birthplaces,
        unknown,
        lock,
        folder: state,
        runtime,
        logs,
        candidate: options.candidate,
        deadline: options.run_duration.map(|span| now.tick.after(span)),
        patience: options.fleet.master.force_shutdown_timeout,
        boot: clock::boot_id(),
        name,
    });
    body.begin(now, replaced);
    inherit(&mut body, now, &options, &loaded);
    Ok((body, handle))
}

/// Tells of the master before this one when it went without a goodbye, and does what it was
/// asked for.
fn inherit(body: &mut Body, now: Now, options: &Options, loaded: &Loaded) {
    if is_of_this_boot(loaded) && loaded.life == Some(Life::Lasts) {
        let reason = match options.relaunched {
            Some(Loss::Hung) => "it did not answer its keeper, which killed it",
            Some(Loss::Killed) | None => "it was killed, or ended by itself",
        };
        warn!(reason, "the master before this one was lost");
        body.tell_lost(now, "master", reason);
    }
    if let Some(mode) = options.asked_to_end {
        body.shut_down(now, mode, false, Actor::Master);
    }
}

/// Where the state keeps what workers used.
const USAGE: &str = "usage";

/// Starts whoever keeps workers within their limits.
fn watch_usage(
    enforcer: Enforcer,
    usage: &Arc<UsageBoard>,
    state: &Path,
    requests: &Requests,
) -> io::Result<Warden> {
    Warden::start(enforcer, Arc::clone(usage), state.join(USAGE), requests.clone())
}

/// Opens the state, and says what the pump shall do, unless the configuration is refused.
fn take_up(
    options: &Options,
    logs: &LogPlan,
    state: &Path,
    spools: &Path,
    requests: &Requests,
) -> Result<(Store, Loaded, Option<String>), StartError> {
    let waker = requests.clone();
    let opened = Store::open(state, Box::new(move || waker.wake()))?;
    let loaded = opened.store.load()?;
    // What ran before the host was started anew is gone by itself.
    if options.mass_stop == MassStop::Refused && is_of_this_boot(&loaded) {
        guard(&loaded.workers, &options.fleet.workers)?;
    }
    logs.write(spools)?;
    Ok((opened.store, loaded, opened.recovered))
}

/// Makes the folders: for sockets, for the state, for spools.
fn folders(options: &Options) -> Result<(PathBuf, PathBuf, PathBuf), StartError> {
    let directories = &options.fleet.master.directories;
    let (runtime, state) = (PathBuf::from(&directories.runtime), PathBuf::from(&directories.state));
    let spools = state.join("spools");
    for path in [&runtime, &state, &spools] {
        hsu_sys::files::private_folder(path)
            .map_err(|source| StartError::Folder { path: path.clone(), source })?;
    }
    Ok((runtime, state, spools))
}

fn no_keeper(plan: &KeeperPlan, source: io::Error) -> StartError {
    StartError::Keeper { socket: plan.socket(), executable: plan.executable.clone(), source }
}

/// Becomes the one master of both folders, and reaches or starts its keeper.
fn reach_keeper(
    options: &Options,
    runtime: &Path,
    spools: &Path,
    state: &Path,
) -> Result<(Holding, MasterLock), StartError> {
    let plan = KeeperPlan {
        executable: options.keeper.clone(),
        runtime: runtime.to_owned(),
        spools: spools.to_owned(),
    };
    let relaunch = this_program(None)?;
    let failed = |source| no_keeper(&plan, source);
    if options.candidate {
        let mut holding = Holding::open(plan.clone(), relaunch, Role::Candidate).map_err(failed)?;
        await_proceed(&mut holding).map_err(failed)?;
        return Ok((holding, MasterLock::acquire(state, runtime)?));
    }
    let lock = MasterLock::acquire(state, runtime)?;
    let mut holding = Holding::open(plan.clone(), relaunch, Role::Master).map_err(failed)?;
    holding.set_first(options.relaunched.is_none());
    Ok((holding, lock))
}

/// Waits until the old master has let go of the state.
fn await_proceed(holding: &mut Holding) -> io::Result<()> {
    holding.await_keeper()?;
    let begin = std::time::Instant::now();
    while begin.elapsed() < PROCEED_WITHIN {
        let heard = holding.hear();
        if heard.is_lost {
            return Err(io::Error::other("the keeper does not expect this master"));
        }
        let proceeds = |message: &FromKeeper| matches!(message, FromKeeper::Proceed);
        if heard.messages.iter().any(proceeds) {
            holding.serve();
            holding.queue(ToKeeper::Inventory);
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(io::Error::from(io::ErrorKind::TimedOut))
}

/// Whether processes of the earlier life may still run.
fn is_of_this_boot(loaded: &Loaded) -> bool {
    loaded.boot.is_none_or(|boot| boot == clock::boot_id())
}

/// The fleet as the earlier life left it, or begun anew.
fn revive(options: &Options, loaded: &Loaded) -> (Fleet, UnknownExit) {
    let same_boot = is_of_this_boot(loaded);
    let went_on = options.relaunched.is_some() || options.candidate;
    let ended_in_order = matches!(loaded.life, None | Some(Life::Ended));
    let resume =
        if !went_on && (ended_in_order || !same_boot) { Resume::Fresh } else { Resume::Continue };
    let unknown = if same_boot { UnknownExit::KeeperLost } else { UnknownExit::Reboot };
    let master = &options.fleet.master;
    let mut fleet = Fleet::new(Settings {
        start_rate: master.start_rate,
        force_shutdown_timeout: master.force_shutdown_timeout,
        next_run: loaded.next_run,
    });
    for spec in &options.fleet.workers {
        fleet.add(Arc::new(spec.clone()), loaded.workers.get(&spec.id), resume);
    }
    let configured: BTreeSet<_> = options.fleet.workers.iter().map(|spec| &spec.id).collect();
    for (id, record) in loaded.workers.iter().filter(|(id, _)| !configured.contains(id)) {
        fleet.depart(id.clone(), record);
    }
    (fleet, unknown)
}

/// Tells the processes and cgroups of several masters of one host apart.
fn tree_name(state: &Path) -> String {
    let bytes = state.as_os_str().as_encoded_bytes();
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

impl Body {
    /// Opens the books of this life, and tells what became of those before.
    fn begin(&mut self, now: Now, replaced: Option<String>) {
        self.store.mark(Life::Lasts, self.boot);
        if let Some(reason) = replaced {
            self.tell_replaced(now, reason);
        }
        self.changed.extend(self.fleet.statuses().map(|status| status.id));
        self.start_engine();
    }

    /// Everything of an earlier life is known: the master serves.
    pub(crate) fn settle_boot(&mut self, now: Now) {
        if std::mem::replace(&mut self.settled, true) {
            // The keeper tells a candidate everything once more when it serves.
            self.candidate = false;
            return;
        }
        let kind = EventKind::MasterStarted { adopted: self.adopted };
        self.record(now, None, Actor::Master, kind);
        self.books.begin(self.stamper.last());
        if self.candidate {
            self.holding.queue(ToKeeper::Ready);
            // The inventory that follows tells what became of starts whose answer went
            // to the old master.
            self.roll.lose();
            self.roll.doubt();
        }
        hsu_sys::notify::ready();
        info!(adopted = self.adopted, "the master serves");
    }
}
