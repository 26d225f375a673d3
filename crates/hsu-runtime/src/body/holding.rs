//! The master's side of the keeper: connected, lost, connected again.
//!
//! The keeper restarts the master and the master restarts the keeper. While
//! there is none, what was meant for it waits here; a spawn that was on its way
//! is settled by the next inventory, which tells whether it happened. A keeper
//! that is silent for too long hangs, and is killed: the next one takes over.

use std::io;
use std::time::Duration;

use hsu_keeper::{
    FromKeeper, GoodbyeMode, KeeperPlan, Link, Program, Received, Role, SpawnRequest, ToKeeper,
    VERSION,
};
use hsu_model::time::{Now, Tick};
use hsu_sys::process::{ProcessHandle, identify};
use tracing::{error, warn};

use super::Ending;
use super::rest::{Rest, STEADY};

pub(super) const SIGKILL: i32 = 9;

/// The rest between two attempts to reach a keeper that was just started.
const RETRY: Duration = Duration::from_millis(2);
/// The rest between two attempts to reach one that nobody here has started.
const SLOW_RETRY: Duration = Duration::from_millis(50);
/// What is killed at the end of a stop is gone within this time, and its exit told.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// After this time without an answer another keeper is started, unless one is coming up.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long one may take to come up.
const COMES_WITHIN: Duration = Duration::from_secs(10);

/// A keeper says something every 25 s, and this is how late it may be.
const SILENCE: Duration = Duration::from_secs(40);
/// Both may have stood still, and the keeper gets the time to say so.
const LAST_CHANCE: Duration = Duration::from_secs(5);
/// The rest after a keeper that speaks another protocol.
const FOREIGN_REST: Duration = Duration::from_secs(5);

/// Our end of the link, or what is known about its absence.
#[derive(Debug)]
pub(crate) struct Holding {
    plan: KeeperPlan,
    relaunch: Program,
    role: Role,
    link: Option<Link>,
    /// When the keeper is tried again, and when another one is started.
    lost: Option<(Tick, Tick)>,
    /// When the keeper was reached last.
    found_at: Tick,
    rest: Rest,
    /// When a master that ends waits for no keeper any more.
    give_up_at: Option<Tick>,
    /// The keeper that we started last. There is at most one: another one would wait
    /// for its lock, and bring this master back after the end of both.
    started: Option<Started>,
    /// What could not be sent while there was no link.
    waiting: Vec<ToKeeper>,
    blocked: bool,
    origin: Origin,
    /// Whether somebody waits for this start to succeed, and no keeper tries it again.
    is_first: bool,
    /// Until when the keeper may be silent.
    silent_until: Tick,
    silence: Silence,
    /// The PID of the keeper that said welcome last, or 0.
    keeper: u32,
    /// The protocol of a keeper that cannot be understood.
    foreign: Option<u32>,
}

/// What the silence of a keeper means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silence {
    /// Nothing yet.
    Usual,
    /// It may hang.
    Suspicious,
}

/// A keeper that was started here.
#[derive(Debug)]
struct Started {
    pid: u32,
    /// None when it had ended before it was looked at.
    handle: Option<ProcessHandle>,
    at: Tick,
}

impl Started {
    fn is_alive(&self) -> bool {
        self.handle.as_ref().is_some_and(|handle| !handle.has_exited())
    }

    fn kill(&self) {
        if let Some(handle) = &self.handle {
            // It may have ended meanwhile.
            let _ = handle.signal(SIGKILL);
        }
    }
}

/// Where the keeper comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// It was there.
    Found,
    /// We have started it.
    Started,
}

/// What came of tending the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tended {
    /// Nothing.
    Same,
    /// There is a keeper again.
    Found,
    /// The keeper hangs.
    Hangs,
    /// This master ends, and nobody was there to the last who tells that workers ended.
    Unreachable,
}

/// What the link had to say.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) messages: Vec<FromKeeper>,
    pub(crate) is_lost: bool,
}

impl Holding {
    /// Reaches the keeper of a runtime folder, or starts one.
    ///
    /// # Errors
    /// The kernel's, when none can be started or it does not answer.
    pub(crate) fn open(plan: KeeperPlan, relaunch: Program, role: Role) -> io::Result<Self> {
        let mut holding = Self {
            plan,
            relaunch,
            role,
            link: None,
            lost: None,
            found_at: Tick(0),
            rest: Rest::default(),
            give_up_at: None,
            started: None,
            waiting: Vec::new(),
            blocked: false,
            origin: Origin::Found,
            is_first: false,
            silent_until: Tick(u64::MAX),
            silence: Silence::Usual,
            keeper: 0,
            foreign: None,
        };
        // A candidate waits for the keeper of the master that serves.
        if holding.connect().is_err() && role == Role::Master {
            holding.start()?;
            holding.origin = Origin::Started;
        }
        Ok(holding)
    }

    /// Waits for the keeper that [`Holding::open`] has started.
    ///
    /// # Errors
    /// The kernel's last answer, when none came up in time.
    pub(crate) fn await_keeper(&mut self) -> io::Result<()> {
        let begin = std::time::Instant::now();
        while self.link.is_none() {
            // Once ours has ended there can only be one that somebody else has started.
            let has_ended = self.started.as_ref().is_some_and(|started| !started.is_alive());
            let patience = if has_ended { PATIENCE } else { PATIENCE * 5 };
            match self.connect() {
                Ok(()) => break,
                Err(error) if begin.elapsed() > patience => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_micros(200)),
            }
        }
        Ok(())
    }

    fn connect(&mut self) -> io::Result<()> {
        let hello =
            ToKeeper::Hello { role: self.role, version: VERSION, relaunch: self.relaunch.clone() };
        let mut link = Link::connect(&self.plan.runtime, hello)?;
        if self.role == Role::Master {
            // A candidate asks when it has the state: heard before, it would be heard in part.
            link.queue(ToKeeper::Inventory);
        }
        for message in self.waiting.drain(..) {
            link.queue(message);
        }
        link.flush()?;
        let peer = link.peer().ok();
        if let Some(other) = self.started.take_if(|started| Some(started.pid) != peer) {
            other.kill();
        }
        self.link = Some(link);
        self.lost = None;
        self.found_at = hsu_sys::clock::now().tick;
        self.listen();
        Ok(())
    }

    /// The keeper has just been heard, or it begins.
    fn listen(&mut self) {
        self.silence = Silence::Usual;
        self.silent_until = hsu_sys::clock::now().tick.after(SILENCE);
    }

    /// This master ends, and by then all workers are stopped or killed.
    pub(crate) fn end_by(&mut self, due: Tick) {
        self.give_up_at = Some(due.after(TOLD_WITHIN));
    }

    /// Where the keeper works.
    pub(crate) fn plan(&self) -> &KeeperPlan {
        &self.plan
    }

    pub(crate) fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    /// The PID of the keeper; 0 before it said welcome.
    pub(crate) fn keeper(&self) -> u32 {
        self.keeper
    }

    pub(crate) fn wants_to_write(&self) -> bool {
        self.blocked
    }

    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        let silence = self.link.is_some().then_some(self.silent_until);
        let next = self.lost.map(|(attempt, _)| attempt).or(silence);
        next.into_iter().chain(self.give_up_at).min()
    }

    /// Adds a message to what is sent at the end of the round.
    pub(crate) fn queue(&mut self, message: ToKeeper) {
        match &mut self.link {
            Some(link) => link.queue(message),
            None => self.waiting.push(message),
        }
    }

    /// A spawn that meets no keeper is settled by the inventory: it is not repeated.
    pub(crate) fn spawn(&mut self, request: SpawnRequest) {
        if self.link.is_some() {
            self.queue(ToKeeper::Spawn(Box::new(request)));
        }
    }

    pub(crate) fn flush(&mut self) {
        let Some(link) = &mut self.link else { return };
        match link.flush() {
            Ok(flushed) => self.blocked = flushed == hsu_keeper::Flushed::Blocked,
            // The loss is seen by reading too.
            Err(_) => self.blocked = false,
        }
    }

    /// Takes everything that has arrived.
    pub(crate) fn hear(&mut self) -> Heard {
        let mut heard = Heard::default();
        loop {
            let Some(link) = &mut self.link else {
                return heard;
            };
            match link.receive(&mut heard.messages) {
                Ok(Received::Some) => {}
                Ok(Received::Nothing) => break,
                Ok(Received::Closed) => {
                    heard.is_lost = true;
                    break;
                }
                Err(error) => {
                    warn!(%error, "the link to the keeper is broken");
                    heard.is_lost = true;
                    break;
                }
            }
        }
        if heard.is_lost {
            self.link = None;
            self.blocked = false;
        } else if !heard.messages.is_empty() {
            self.listen();
        }
        for message in &heard.messages {
            if let FromKeeper::Welcome { keeper, version } = message {
                self.keeper = *keeper;
                self.foreign = (*version != VERSION).then_some(*version);
            }
        }
        heard
    }

    /// Begins to look for a keeper, or to start one.
    pub(crate) fn lose(&mut self, now: Now) {
        if let Some(version) = self.foreign {
            // Another one would speak as this one does, and could not have its folder.
            error!(
                "the keeper speaks protocol {version}, and this master {VERSION} (hint: end \
                 both with the client of the keeper's version, then start anew)"
            );
            let due = now.tick.after(FOREIGN_REST);
            self.lost = Some((due, due.after(PATIENCE)));
            return;
        }
        let rest = self.rest.after(now.tick.since(self.found_at));
        let retry = now.tick.after(rest.max(RETRY));
        if let Some(started) = self.started.as_mut().filter(|started| started.is_alive()) {
            // It may only have hung up, or be about to be gone: then another one follows.
            started.at = now.tick;
            self.lost = Some((retry, now.tick));
            return;
        }
        if rest.is_zero() {
            self.start_another();
            self.lost = Some((retry, now.tick.after(PATIENCE)));
        } else {
            self.lost = Some((retry, retry));
        }
    }

    /// Starts a keeper that knows how to start this master again.
    fn start(&mut self) -> io::Result<()> {
        if let Some(earlier) = self.started.take() {
            earlier.kill();
        }
        let pid = hsu_keeper::start(&self.plan, &self.relaunch)?;
        let handle = identify(pid).and_then(ProcessHandle::open).ok();
        self.started = Some(Started { pid, handle, at: hsu_sys::clock::now().tick });
        Ok(())
    }

    fn start_another(&mut self) {
        if let Err(error) = self.start() {
            error!(%error, "no keeper can be started; trying on");
        }
    }

    fn is_coming(&self, now: Now) -> bool {
        let is_coming =
            |started: &Started| started.is_alive() && now.tick.since(started.at) < COMES_WITHIN;
        self.started.as_ref().is_some_and(is_coming)
    }

    /// Does what is due while there is no keeper, and listens to the one there is.
    pub(crate) fn tend(&mut self, now: Now) -> Tended {
        if self.give_up_at.is_some_and(|due| due <= now.tick) {
            let is_steady = self.link.is_some() && now.tick.since(self.found_at) >= STEADY;
            // Whatever else holds up the end, the keeper may still be lost.
            self.give_up_at = is_steady.then(|| now.tick.after(PATIENCE));
            if !is_steady {
                return Tended::Unreachable;
            }
        }
        let Some((attempt, restart)) = self.lost else {
            return self.tend_silence(now);
        };
        if attempt > now.tick {
            return Tended::Same;
        }
        if self.connect().is_ok() {
            return Tended::Found;
        }
        let restart = if restart <= now.tick && !self.is_coming(now) {
            self.start_another();
            now.tick.after(PATIENCE)
        } else {
            restart
        };
        let retry = if self.is_coming(now) { RETRY } else { SLOW_RETRY };
        self.lost = Some((now.tick.after(retry), restart));
        Tended::Same
    }

    fn tend_silence(&mut self, now: Now) -> Tended {
        if self.link.is_none() || self.silent_until > now.tick {
            return Tended::Same;
        }
        self.silent_until = now.tick.after(LAST_CHANCE);
        match std::mem::replace(&mut self.silence, Silence::Suspicious) {
            Silence::Usual => Tended::Same,
            Silence::Suspicious => Tended::Hangs,
        }
    }

    /// From now on we are the master that serves.
    pub(crate) fn serve(&mut self) {
        self.role = Role::Master;
    }

    /// Says whether this start is asked for by somebody who sees it fail.
    pub(crate) fn set_first(&mut self, is_first: bool) {
        self.is_first = is_first;
    }

    /// The start has failed. A keeper that was started for it ends, and one that was
    /// there goes on and starts nobody: whoever asked for this start knows. A start that
    /// the keeper itself asked for is tried again by it.
    pub(crate) fn give_up(&mut self) {
        if !self.is_first || self.await_keeper().is_err() {
            return;
        }
        let mode = match self.origin {
            Origin::Started => GoodbyeMode::Stop,
            Origin::Found => GoodbyeMode::Keep,
        };
        self.queue(ToKeeper::Goodbye { mode });
        self.flush();
    }

    pub(crate) fn say_goodbye(&mut self, ending: Ending) {
        let mode = match ending {
            Ending::Stopped => GoodbyeMode::Stop,
            Ending::KeptWorkers | Ending::Unheard => GoodbyeMode::Keep,
            // The other master speaks for us, or we are back at once.
            Ending::Replaced | Ending::OutOfDate(_) => return,
        };
        if self.link.is_none() && self.is_coming(hsu_sys::clock::now()) {
            // It would bring us back. Without it there is nobody to say goodbye to.
            drop(self.await_keeper());
        }
        self.queue(ToKeeper::Goodbye { mode });
        self.flush();
    }
}
