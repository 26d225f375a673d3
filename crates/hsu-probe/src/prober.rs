//! The prober: one thread that takes looks, as many at once as it is allowed.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hsu_logs::query::Spools;
use hsu_model::health::Finding;
use hsu_model::health::probe::Probe;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;
use hsu_model::time::WallTime;
use hsu_sys::users::Identity;
use tokio::runtime::Builder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tracing::warn;

use crate::exec::Programs;
use crate::file::Files;
use crate::log::Reading;
use crate::look::{Tools, finding, look};
use crate::network::Network;
use crate::pattern::Patterns;
use crate::shared::Shared;

/// Orders that may wait for the thread: it takes them at once, unless it hangs.
const WAITING: usize = 16 << 10;
/// Looks under way at once. Each has a socket at most.
const AT_ONCE: usize = 512;
/// Threads for programs, files and names together; see there for how many each may have.
const THREADS: usize = 48;
/// A timer that is later than this says something of us, and nothing of the other side.
const HELD_UP: Duration = Duration::from_secs(1);

/// What a prober is started with.
pub struct Options {
    /// Tells masters of one host apart; the same in each life of a master.
    pub name: String,
    /// The output of workers.
    pub spools: Spools,
    /// Takes what was seen. Called on the thread of the prober; must not block.
    pub report: Box<dyn Fn(Report) + Send + Sync>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Where programs of a check run: as the worker itself does.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// All variables.
    pub environment: Vec<(OsString, OsString)>,
    /// The folder.
    pub folder: Option<PathBuf>,
    /// Who they become.
    pub identity: Option<Identity>,
}

/// By what the processes of a run are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// What its master is called in the environment of its workers.
    pub master: String,
    /// The parent of every orphan; 0 when it has none of the run.
    pub keeper: u32,
    /// The cgroup in which the run is as a whole, when there is one.
    pub folder: Option<PathBuf>,
}

/// The turn at its check, and at running a program when it runs one.
pub(crate) type Lease = (Option<OwnedSemaphorePermit>, Option<OwnedSemaphorePermit>);

/// Whom a look is taken for.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The worker.
    pub worker: WorkerId,
    /// Its run.
    pub run: RunId,
    /// Its process.
    pub process: Option<ProcessKey>,
    /// When it started.
    pub started: WallTime,
    /// Where its programs run, or why that is not known; none when no program is run.
    pub surroundings: Option<Arc<Result<Surroundings, String>>>,
    /// By what its processes are known; none when nothing asks who answers.
    pub lineage: Option<Lineage>,
    /// Kept until everything that was begun for the look is gone.
    pub(crate) lease: Option<Arc<Lease>>,
}

impl Subject {
    /// Whom a look is taken for.
    #[must_use]
    pub fn new(
        worker: WorkerId,
        run: RunId,
        process: Option<ProcessKey>,
        started: WallTime,
    ) -> Self {
        Self { worker, run, process, started, surroundings: None, lineage: None, lease: None }
    }
}

/// A look that is to be taken.
#[derive(Debug)]
pub struct Order {
    /// For whom.
    pub subject: Subject,
    /// For which check, by its place.
    pub check: usize,
    /// The number of the question.
    pub sequence: u64,
    /// At what.
    pub probe: Arc<Probe>,
    /// How long it may take.
    pub timeout: Duration,
    /// How old the result of an equal look may be.
    pub shared_for: Duration,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The run.
    pub run: RunId,
    /// The check, by its place.
    pub check: usize,
    /// The number of the question.
    pub sequence: u64,
    /// What was seen.
    pub finding: Finding,
    /// How long the look took.
    pub took: Duration,
}

/// The thread that takes looks.
#[derive(Debug)]
pub struct Prober {
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Prober {
    /// Starts the thread.
    ///
    /// # Errors
    /// The kernel's, when it has no more threads or descriptors.
    pub fn start(options: Options) -> io::Result<Self> {
        let (orders, taken) = mpsc::channel(WAITING);
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(THREADS)
            .thread_stack_size(512 << 10)
            .thread_name("hsu-look")
            .build()?;
        let thread = std::thread::Builder::new()
            .name("hsu-probe".to_owned())
            .stack_size(2 << 20)
            .spawn(move || {
            runtime.block_on(serve(options, taken));
            // A name that is being looked up, or a file that never answers, holds nobody up.
            runtime.shutdown_timeout(HELD_UP);
        })?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Hands over an order; it comes back when it cannot be taken.
    ///
    /// # Errors
    /// The order itself: nobody will report it.
    #[expect(clippy::result_large_err, reason = "whoever ordered goes on with it")]
    pub fn take(&self, order: Order) -> Result<(), Order> {
        match &self.orders {
            Some(orders) => orders.try_send(order).map_err(mpsc::error::TrySendError::into_inner),
            None => Err(order),
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the thread that takes looks had crashed");
        }
    }
}

/// The latest look for one check.
#[derive(Debug)]
struct Slot {
    /// Held by the look that goes on.
    turn: Arc<Semaphore>,
    /// Ends that look; it was for a run that is over.
    end: oneshot::Sender<()>,
}

async fn serve(options: Options, mut orders: mpsc::Receiver<Order>) {
    let tools = Arc::new(Tools {
        network: Network::new(),
        patterns: Patterns::default(),
        programs: Programs::new(&options.name),
        files: Files::new(),
        lines: Reading::new(options.spools.clone()),
    });
    let report: Arc<dyn Fn(Report) + Send + Sync> = options.report.into();
    let shared = Arc::new(Shared::default());
    let all = Arc::new(Semaphore::new(AT_ONCE));
    let mut slots: HashMap<(WorkerId, usize), Slot> = HashMap::new();
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let order = tokio::select! {
            order = orders.recv() => order,
            Some(_) = tasks.join_next() => continue,
        };
        // Dropping the tasks ends what they have begun.
        let Some(mut order) = order else { return };
        let key = (order.subject.worker.clone(), order.check);
        let turn = match slots.remove(&key) {
            Some(slot) => {
                // Whoever was looking has reported already, or is not wanted any more.
                let _ = slot.end.send(());
                slot.turn
            }
            None => Arc::new(Semaphore::new(1)),
        };
        let (end, ended) = oneshot::channel();
        slots.insert(key, Slot { turn: Arc::clone(&turn), end });
        let (tools, report) = (Arc::clone(&tools), Arc::clone(&report));
        let (shared, all) = (Arc::clone(&shared), Arc::clone(&all));
        tasks.spawn(async move {
            let own = turn.acquire_owned().await.ok();
            let _one_of_all = all.acquire_owned().await;
            // Time that is spent waiting for a turn says nothing of the other side.
            let program = match order.probe.runs_programs() {
                true => Arc::clone(&tools.programs.turns).acquire_owned().await.ok(),
                false => None,
            };
            order.subject.lease = Some(Arc::new((own, program)));
            let (run, check, sequence) = (order.subject.run, order.check, order.sequence);
            let begin = Instant::now();
            let looked = tokio::select! {
                biased;
                Ok(()) = ended => return,
                finding = take(&tools, &shared, &order, begin) => finding,
            };
            let (finding, took) = looked;
            report(Report { run, check, sequence, finding, took });
        });
    }
}

/// Takes a look, or what an equal one has just come to.
async fn take(
    tools: &Arc<Tools>,
    shared: &Shared,
    order: &Order,
    begin: Instant,
) -> (Finding, Duration) {
    if order.shared_for.is_zero() || order.probe.is_of_worker() {
        return within(tools, order, begin).await;
    }
    let place = shared.place(&order.probe, order.shared_for);
    let mut known = place.lock().await;
    if let Some((at, finding, took)) = &*known
        && at.elapsed() <= order.shared_for
    {
        return (finding.clone(), *took);
    }
    let (finding, took) = within(tools, order, Instant::now()).await;
    *known = Some((Instant::now(), finding.clone(), took));
    (finding, took)
}

/// Takes a look within its time.
async fn within(tools: &Arc<Tools>, order: &Order, begin: Instant) -> (Finding, Duration) {
    // A program is killed at the deadline, and that takes a moment.
    let slack = if order.probe.is_of_worker() { HELD_UP * 2 } else { Duration::ZERO };
    let deadline = begin + order.timeout;
    let looking = Box::pin(look(tools, &order.probe, &order.subject, deadline));
    let looked = tokio::time::timeout(order.timeout + slack, looking).await;
    let took = begin.elapsed();
    let is_late = took > order.timeout + slack + HELD_UP;
    let found = match looked {
        Ok(looked) => finding(looked),
        Err(_) => {
            Finding::Failed { why: format!("no answer within {} s", order.timeout.as_secs_f64()) }
        }
    };
    if is_late && matches!(found, Finding::Failed { .. }) {
        let why = format!("the master itself was held up: {:.1} s", took.as_secs_f64());
        return (Finding::Inconclusive { why }, took);
    }
    (found, took)
}
