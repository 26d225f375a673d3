//! Masters: the one that serves, the one that shall take over, and what becomes of a loss.
//!
//! Pure: what was heard, seen and is due goes in, what has to be done comes out, in its order.
//! A master that goes without a goodbye is started again as it was; one whose loop stands
//! still is ended first. An upgrade: the candidate is started and says hello; the serving one
//! is asked to let go of its state and answers that it has; the candidate proceeds, takes
//! everything over and is ready; the old one is told to end. When the candidate ends or is
//! late, the old one goes on, but not before the candidate is dead: at no time do two of them
//! have the state. When the old one is lost, the candidate proceeds. Deliberately absent: the
//! kernel. Whoever owns this starts, signals and watches processes, and carries messages.

use std::collections::VecDeque;
use std::time::Duration;

use hsu_model::time::Tick;

use crate::protocol::{FromKeeper, GoodbyeMode, Program, Role};
use crate::{CANDIDATE_VARIABLE, HUNG, KILLED, RELAUNCHED_VARIABLE};

/// How often the master is asked whether its loop lives: one that hangs is replaced
/// within 40 s, on a busy host too.
const PING_EVERY: Duration = Duration::from_secs(25);
/// How long it may take to answer.
const PONG_WITHIN: Duration = Duration::from_secs(3);
/// How long it may take to write its core file.
const CORE_WITHIN: Duration = Duration::from_secs(5);
/// How long a candidate may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// A lost master is started again at once, as long as no more than this many were lost lately.
const QUICK_STARTS: usize = 100;
/// What "lately" is.
const LATELY: Duration = Duration::from_secs(10);
/// The rest when more than that were lost.
const SLOW_START: Duration = Duration::from_millis(10);
/// The rest after a master that could not be started, or that ended by itself: another one
/// finds what it has found, such as a mistake in its configuration.
const FIRST_REST: Duration = Duration::from_millis(100);
/// The longest rest between two starts of a master.
const LONGEST_REST: Duration = Duration::from_secs(5);
/// How long the pump may take to drain what is left at the end.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// Which of the two masters that can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that serves.
    Serving,
    /// The one that shall take over.
    Candidate,
}

/// How a master was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// By somebody, or nobody knows.
    Killed,
    /// It ended with an exit code and without a goodbye, or by a fault of its own.
    ByItself,
}

/// How a process is made to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// With a core file that tells where it stood.
    Abort,
    /// At once.
    Kill,
}

/// What has to be done.
#[derive(Debug)]
pub enum Action {
    /// Tell whoever plays a role, if somebody does.
    Tell(Role, FromKeeper),
    /// Start a program with one more variable, and say by [`Masters::started`] what came of it.
    Start(Which, Program, (&'static str, &'static str)),
    /// End a process.
    End(Which, Blow),
    /// Send what is queued, and hear nothing more of whoever has served: the candidate does.
    Promote,
    /// Tell the one that serves everything that is held.
    Inventory,
    /// Forget how runs ended: nobody will ask.
    ForgetEnded,
}

/// An upgrade under way.
#[derive(Debug, Default)]
struct Upgrade {
    /// How to start the candidate again, once it serves.
    relaunch: Option<Program>,
    /// When it is ended; none when it is being ended.
    ready_by: Option<Tick>,
}

/// What is expected of the serving master's loop.
#[derive(Clone, Copy, Debug, Default)]
enum Watch {
    #[default]
    Nobody,
    Ping(Tick),
    Pong(Tick),
    Core(Tick),
}

impl Watch {
    fn begin(now: Tick) -> Self {
        Self::Ping(now.after(PING_EVERY))
    }
}

/// What is known of masters.
#[derive(Debug, Default)]
pub struct Masters {
    /// Since when somebody serves.
    serving: Option<Tick>,
    /// How to start the serving one again; none after its goodbye.
    relaunch: Option<Program>,
    upgrade: Option<Upgrade>,
    /// When the next start is due, after a loss.
    start_at: Option<Tick>,
    rest: Duration,
    /// When masters were lost lately.
    lost_at: VecDeque<Tick>,
    watch: Watch,
    /// Whether the one that was lost last was killed because it hung.
    hung: bool,
    /// By when everything is over; set by the goodbye that stops it.
    ending: Option<Tick>,
}

impl Masters {
    /// When something is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Tick> {
        self.next_deed().into_iter().chain(self.next_question()).min()
    }

    /// When the loop of the one that serves is looked after next.
    #[must_use]
    pub fn next_question(&self) -> Option<Tick> {
        match self.watch {
            Watch::Nobody => None,
            Watch::Ping(at) | Watch::Pong(at) | Watch::Core(at) => Some(at),
        }
    }

    /// When anything else is due.
    #[must_use]
    pub fn next_deed(&self) -> Option<Tick> {
        let ready_by = self.upgrade.as_ref().and_then(|upgrade| upgrade.ready_by);
        [self.start_at, ready_by, self.ending].into_iter().flatten().min()
    }

    /// Whether nobody serves, and nobody shall.
    #[must_use]
    pub fn is_deserted(&self) -> bool {
        self.serving.is_none() && self.start_at.is_none() && self.upgrade.is_none()
    }

    /// Whether an upgrade is under way.
    #[must_use]
    pub fn is_upgrading(&self) -> bool {
        self.upgrade.is_some()
    }

    /// Whether everything is over: it was said, and nothing is left to wait for.
    #[must_use]
    pub fn is_over(&self, now: Tick, is_empty: impl FnOnce() -> bool) -> bool {
        self.ending.is_some_and(|limit| is_empty() || now >= limit)
    }

    /// Somebody serves: nobody has to be started.
    fn serve(&mut self, now: Tick) {
        self.serving.get_or_insert(now);
        self.start_at = None;
        self.watch = Watch::begin(now);
        self.hung = false;
    }

    /// A master says hello. Which of two is the true one is settled before they
    /// come here, by the lock of the state; so the newest is.
    pub fn welcome(&mut self, now: Tick, relaunch: Program) {
        self.ending = None;
        self.relaunch = Some(relaunch);
        self.serve(now);
    }

    /// The candidate says hello.
    #[must_use]
    pub fn welcome_candidate(&mut self, relaunch: Program) -> Option<Action> {
        self.upgrade.as_mut()?.relaunch = Some(relaunch);
        Some(match self.serving {
            Some(_) => Action::Tell(Role::Master, FromKeeper::Yield),
            None => self.proceed(),
        })
    }

    /// Whether what somebody orders is done. What a candidate that is being ended says late
    /// is not: the old master goes on, and would never hear of it.
    #[must_use]
    pub fn obeys(&self, role: Role) -> bool {
        let is_in_time = |upgrade: &Upgrade| upgrade.ready_by.is_some();
        role != Role::Candidate || self.upgrade.as_ref().is_some_and(is_in_time)
    }

    /// The state is free.
    #[must_use]
    pub fn proceed(&self) -> Action {
        Action::Tell(Role::Candidate, FromKeeper::Proceed)
    }

    /// The loop of the one that serves lives.
    pub fn on_pong(&mut self, now: Tick) {
        if matches!(self.watch, Watch::Ping(_) | Watch::Pong(_)) {
            self.watch = Watch::begin(now);
        }
    }

    /// Somebody asks for another master.
    #[must_use]
    pub fn upgrade(&mut self, program: Program) -> Action {
        if self.upgrade.is_some() {
            return refuse("another upgrade is under way".to_owned());
        }
        self.upgrade = Some(Upgrade::default());
        Action::Start(Which::Candidate, program, (CANDIDATE_VARIABLE, "1"))
    }

    /// A start has led to a process, or not.
    #[must_use]
    pub fn started(
        &mut self,
        now: Tick,
        which: Which,
        start: Result<(), String>,
    ) -> Option<Action> {
        match (which, start) {
            // One that never says hello is ended like one that stands still.
            (Which::Serving, Ok(())) => self.serve(now),
            (Which::Serving, Err(_)) => self.rest(now, FIRST_REST),
            (Which::Candidate, Ok(())) => {
                let ready_by = Some(now.after(READY_WITHIN));
                self.upgrade = Some(Upgrade { relaunch: None, ready_by });
            }
            (Which::Candidate, Err(reason)) => {
                self.upgrade = None;
                return Some(refuse(reason));
            }
        }
        None
    }

    /// The candidate serves from now on; the old master is told to end.
    #[must_use]
    pub fn hand_over(&mut self, now: Tick) -> Vec<Action> {
        if !self.obeys(Role::Candidate) {
            return Vec::new();
        }
        let Some(upgrade) = self.upgrade.take() else { return Vec::new() };
        self.relaunch = upgrade.relaunch;
        self.serving = None;
        self.serve(now);
        // What happened while nobody served was told to the old master only.
        vec![Action::Tell(Role::Master, FromKeeper::Fenced), Action::Promote, Action::Inventory]
    }

    /// A process has ended, and everything that it said was heard.
    #[must_use]
    pub fn ended(&mut self, now: Tick, which: Which, loss: Loss) -> Vec<Action> {
        match which {
            Which::Serving => {
                self.watch = Watch::Nobody;
                let since = self.serving.take();
                if self.upgrade.is_some() {
                    // What it held is free by its death.
                    return vec![self.proceed()];
                }
                self.lose(now, since, loss);
            }
            Which::Candidate => {
                let Some(upgrade) = self.upgrade.take() else { return Vec::new() };
                if self.serving.is_some() {
                    let reason = match upgrade.ready_by {
                        Some(_) => "it ended before it was ready",
                        None => "it was not ready in time",
                    };
                    let resume = Action::Tell(Role::Master, FromKeeper::Resume);
                    return vec![resume, refuse(reason.to_owned())];
                }
                self.lose(now, None, loss);
            }
        }
        Vec::new()
    }

    /// Nobody serves: the last one that did is started again.
    fn lose(&mut self, now: Tick, since: Option<Tick>, loss: Loss) {
        if self.relaunch.is_none() {
            return;
        }
        self.lost_at.retain(|lost| now.since(*lost) < LATELY);
        self.lost_at.push_back(now);
        if loss == Loss::ByItself {
            if since.is_some_and(|since| now.since(since) >= LATELY) {
                self.rest = Duration::ZERO;
            }
            return self.rest(now, FIRST_REST);
        }
        if self.lost_at.len() > QUICK_STARTS {
            return self.rest(now, SLOW_START);
        }
        self.rest = Duration::ZERO;
        self.start_at = Some(now);
    }

    /// The next master is started after twice the last rest.
    fn rest(&mut self, now: Tick, least: Duration) {
        self.rest = (self.rest * 2).clamp(least, LONGEST_REST);
        self.start_at = Some(now.after(self.rest));
    }

    /// The one that serves ends in order.
    #[must_use]
    pub fn on_goodbye(&mut self, now: Tick, mode: GoodbyeMode) -> Vec<Action> {
        self.relaunch = None;
        self.start_at = None;
        self.watch = Watch::Nobody;
        let mut actions: Vec<_> = self.end_candidate().into_iter().collect();
        if mode == GoodbyeMode::Stop {
            self.ending = Some(now.after(DRAIN_LIMIT));
            actions.push(Action::ForgetEnded);
        }
        actions
    }

    fn end_candidate(&mut self) -> Option<Action> {
        self.upgrade.as_mut()?.ready_by = None;
        Some(Action::End(Which::Candidate, Blow::Kill))
    }

    /// Time has passed.
    #[must_use]
    pub fn tend(&mut self, now: Tick) -> Vec<Action> {
        let is_due = |due: &mut Tick| *due <= now;
        let mut actions = Vec::new();
        if self.start_at.take_if(is_due).is_some()
            && let Some(program) = self.relaunch.clone()
        {
            let how = if self.hung { HUNG } else { KILLED };
            actions.push(Action::Start(Which::Serving, program, (RELAUNCHED_VARIABLE, how)));
        }
        match self.watch {
            Watch::Ping(at) if at <= now => {
                actions.push(Action::Tell(Role::Master, FromKeeper::Ping));
                self.watch = Watch::Pong(now.after(PONG_WITHIN));
            }
            Watch::Pong(at) if at <= now => {
                self.hung = true;
                actions.push(Action::End(Which::Serving, Blow::Abort));
                self.watch = Watch::Core(now.after(CORE_WITHIN));
            }
            Watch::Core(at) if at <= now => {
                actions.push(Action::End(Which::Serving, Blow::Kill));
                self.watch = Watch::Nobody;
            }
            Watch::Nobody | Watch::Ping(_) | Watch::Pong(_) | Watch::Core(_) => {}
        }
        let ready_by = self.upgrade.as_ref().and_then(|upgrade| upgrade.ready_by);
        if ready_by.is_some_and(|due| due <= now) {
            actions.extend(self.end_candidate());
        }
        actions
    }
}

fn refuse(reason: String) -> Action {
    Action::Tell(Role::Master, FromKeeper::UpgradeFailed { reason })
}

#[cfg(test)]
mod tests;
