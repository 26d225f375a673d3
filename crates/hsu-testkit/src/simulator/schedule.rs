//! Schedules: what operators, programs and faults do, made of a seed.
//!
//! An action names what it is about by a number that is taken modulo whatever is there, so
//! that any part of a schedule is a schedule: a failure can be cut down to what it needs.

use std::mem::discriminant;
use std::time::Duration;

use hsu_core::input::{Command, Input, Severity, ShutdownMode};
use hsu_model::event::Actor;
use hsu_model::exit::Exit;

use super::chance::Chance;
use super::foreign::Fortune;
use super::keeper::Outcome;
use super::link::Links;
use super::nature::{Fault, Nature, spec};
use super::os::{SIGKILL, What};
use super::outside::{Ail, Eats, Word};
use super::steps::Step;
use super::world::{Relaunched, World};

/// A part of the system that can be killed or frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Master,
    Keeper,
    /// A candidate, or else whoever has given way to it.
    Candidate,
    /// Whoever has given way to a candidate, or else that.
    Old,
}

/// How far a master comes in the turn in which it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nothing of the turn is begun.
    Before,
    /// What it wrote is on the disk; nothing was sent.
    Written,
    /// It is not killed, but ends by itself.
    Failed,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// One of the possible steps is taken.
    Progress(u8),
    /// Steps are taken, the first possible ones.
    Rush(u8),
    /// The first possible step of this kind is taken.
    Take(Step),
    /// Time passes, in milliseconds.
    Pass(u32),
    /// The next deadline comes, whatever it is.
    Leap,
    /// So many deadlines come, and what follows from each is done.
    Live(u8),
    /// An operator asks for something.
    Ask(u8, Command),
    /// A program ends by itself.
    Exit(u8, Exit),
    /// A check fails or a limit is exceeded, of a run around the latest.
    Find(Found, u8, Severity),
    /// The next looks at a worker come to this.
    Ail(u8, Ail),
    /// A worker uses so much of a resource.
    Eat(u8, u8, Eats),
    /// The kernel kills a process for want of memory.
    Starve(u8),
    /// The kernel refuses a run another process, and it may end of that.
    Refuse(u8, bool),
    /// A limit cannot be enforced.
    Balk(u8),
    /// A worker says something of itself.
    Say(u8, Word),
    /// Something happens to processes of somebody else.
    Befall(u8, Fortune),
    /// The master hears again what it has heard before.
    Repeat(u8),
    /// The keeper is asked for its inventory once more.
    Recount,
    /// A part of the system is killed.
    Lose(Part, Cut),
    /// A part of the system stands still, or goes on.
    Freeze(Part),
    Thaw,
    /// The host loses its power; so many commits are kept of those not synced.
    Power(u8),
    /// The disk takes nothing, or takes everything again.
    Fill(bool),
    /// Syncs take long.
    Slow(bool),
    /// The next write fails.
    BadSync,
    /// A row decays.
    Rot(u8),
    /// The next starts end like this.
    Starts(Outcome),
    /// The next program behaves like this.
    Behave {
        escapes: bool,
        stubborn: bool,
        stuck: bool,
    },
    /// Another process begins or ends.
    Stranger(bool),
    /// The wall clock jumps, in seconds.
    Jump(i32),
    /// The next master has another configuration, in which some workers are missing.
    Configure(u8),
    /// The master is told to end.
    Shutdown(ShutdownMode),
    /// And shall not wait.
    Force,
    /// A master that ended is started again.
    Launch,
    /// An operator asks for another master in place of the one that serves.
    Upgrade,
}

/// What was found about a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Health,
    Resource,
}

/// Where each input comes from. A new input has no source, and does not compile, until
/// schedules make it.
pub(crate) fn source(input: &Input) -> &'static str {
    match input {
        Input::Command { .. } => "Action::Ask",
        Input::Spawned { .. } | Input::SpawnFailed { .. } => "Step::KeeperStarts",
        Input::Exited { .. } => "Step::KeeperTells",
        Input::Adopted { .. } | Input::Pending { .. } | Input::Settled { .. } => {
            "Step::MasterConnects"
        }
        Input::Survivors { .. } => "Step::Kills",
        Input::HealthFailed { .. } | Input::ResourceViolation { .. } => "Action::Find",
        Input::Sighted { .. } => "Step::MasterSights",
        Input::Attached { .. } | Input::AttachFailed { .. } => "World::do_deeds",
        Input::Serviced { .. } => "Step::ManagerServes",
        Input::Told { .. } => "Action::Say",
        Input::Followed { .. } => "Step::MasterListens",
        Input::Checked { .. } => "Step::LookEnds",
        Input::Used { .. } => "Step::MasterMeasures",
        Input::HeldBack { .. } => "Action::Starve, Action::Refuse",
        Input::LimitFailed { .. } => "Action::Balk",
        Input::Wake => "Step::MasterWakes",
        Input::Shutdown { .. } => "Action::Shutdown",
        Input::ForceShutdown => "Action::Force",
    }
}

pub(crate) const COMMANDS: [Command; 14] = [
    Command::Start,
    Command::Start,
    Command::Start,
    Command::Stop { force: false },
    Command::Stop { force: false },
    Command::Stop { force: true },
    Command::Restart { force: false },
    Command::Restart { force: true },
    Command::Signal(19),
    Command::Signal(0),
    Command::Remove,
    Command::Enable,
    Command::Disable,
    Command::ResetBreaker,
];
pub(crate) const PARTS: [Part; 4] = [Part::Master, Part::Keeper, Part::Candidate, Part::Old];
const MASTERS: [Part; 4] = [Part::Master, Part::Master, Part::Candidate, Part::Old];
const EXITS: [Exit; 4] =
    [Exit::Code(0), Exit::Code(1), Exit::Code(1), Exit::Signal { number: 11, core: true }];
/// How long a full disk stays full at least, in milliseconds, while a world lives on.
const FULL_FOR: u32 = 15_000;
/// Steps between two deadlines that a world lives through.
const LIVELY: usize = 40;
const SPANS: [u32; 8] = [1, 400, 1_000, 5_000, 10_000, 20_000, 31_000, 70_000];

/// One thing that happens, by chance. What needs a fault that this world does not have
/// becomes a step.
pub(crate) fn action(chance: &mut Chance, nature: &Nature) -> Action {
    let byte = |chance: &mut Chance| u8::try_from(chance.below(256)).unwrap_or(0);
    let faults = nature.faults;
    match chance.below(100) {
        0..26 => Action::Progress(byte(chance)),
        26..34 => outside(chance, nature, byte).unwrap_or_else(|| Action::Progress(byte(chance))),
        34..46 => Action::Rush(4 + u8::try_from(chance.below(20)).unwrap_or(0)),
        46..49 => Action::Pass(chance.pick(&SPANS)),
        49 => Action::Live(2 + u8::try_from(chance.below(6)).unwrap_or(0)),
        50..56 => Action::Leap,
        56..68 => Action::Ask(byte(chance), chance.pick(&COMMANDS)),
        68..77 => Action::Exit(byte(chance), chance.pick(&EXITS)),
        77..79 => {
            let found = chance.pick(&[Found::Health, Found::Resource]);
            let severities = [Severity::Warning, Severity::Critical, Severity::Emergency];
            Action::Find(found, byte(chance), chance.pick(&severities))
        }
        79..89 => outside(chance, nature, byte)
            .or_else(|| fault(chance, faults, byte))
            .unwrap_or_else(|| Action::Progress(byte(chance))),
        _ => fault(chance, faults, byte).unwrap_or_else(|| Action::Progress(byte(chance))),
    }
}

/// Something of what workers are looked at for, held to, listened to, or found by.
fn outside(
    chance: &mut Chance,
    nature: &Nature,
    byte: impl Fn(&mut Chance) -> u8,
) -> Option<Action> {
    let features = nature.features;
    if features == super::nature::Features::default() {
        return None;
    }
    let (which, less) = (byte(chance), byte(chance));
    if less < 60 {
        return Some(Action::Live(2 + which % 6));
    }
    match chance.below(4) {
        0 if features.checks => {
            let is_sick = nature.faults.has(Fault::Sick);
            let ails = [Ail::Well, Ail::Sick, Ail::Sick, Ail::Restless, Ail::Restless, Ail::Unseen];
            Some(Action::Ail(which, if is_sick { chance.pick(&ails) } else { Ail::Well }))
        }
        1 if features.limits && nature.faults.has(Fault::Greedy) => Some(match less % 16 {
            0 | 1 => Action::Balk(which),
            2 | 3 => Action::Starve(which),
            4 | 5 => Action::Refuse(which, chance.one_in(2)),
            6 | 7 => Action::Eat(which, less / 16, Eats::Hovering),
            _ => {
                let amount = chance.pick(&[0, 1, 2, 2, 3, 3, 4]);
                Action::Eat(which, less / 16, Eats::Steadily(amount))
            }
        }),
        2 if features.words => Some(Action::Say(which, chance.pick(&Word::ALL))),
        3 if features.foreign > 0 => {
            let fortunes = [Fortune::Begins, Fortune::Begins, Fortune::Ends, Fortune::Strays];
            Some(Action::Befall(which, chance.pick(&fortunes)))
        }
        _ => None,
    }
}

fn fault(
    chance: &mut Chance,
    faults: super::nature::Faults,
    byte: impl Fn(&mut Chance) -> u8,
) -> Option<Action> {
    let fault = faults.pick(chance)?;
    let parts = if faults.has(Fault::Upgrade) { &PARTS[..] } else { &PARTS[..2] };
    Some(match fault {
        Fault::LoseMaster => {
            let part =
                if faults.has(Fault::Upgrade) { chance.pick(&MASTERS) } else { Part::Master };
            Action::Lose(part, chance.pick(&[Cut::Before, Cut::Written, Cut::Failed]))
        }
        Fault::LoseKeeper => Action::Lose(Part::Keeper, Cut::Before),
        Fault::Freeze => {
            if chance.one_in(2) {
                Action::Freeze(chance.pick(parts))
            } else {
                Action::Thaw
            }
        }
        Fault::Power => Action::Power(byte(chance)),
        Fault::DiskFull => Action::Fill(chance.one_in(2)),
        Fault::SlowDisk => Action::Slow(!chance.one_in(3)),
        Fault::BadSync => Action::BadSync,
        Fault::Rot => Action::Rot(byte(chance)),
        Fault::Repeat => {
            if chance.one_in(4) {
                Action::Recount
            } else {
                Action::Repeat(byte(chance))
            }
        }
        Fault::Scarce => Action::Starts(chance.pick(&[Outcome::NoRoom, Outcome::Runs])),
        Fault::NoProgram => Action::Starts(chance.pick(&[Outcome::NoProgram, Outcome::Runs])),
        Fault::Strangers => Action::Stranger(chance.one_in(2)),
        Fault::Clock => Action::Jump(chance.pick(&[-3_600, -1, 1, 3_600, 31_536_000])),
        Fault::Escape => Action::Behave { escapes: true, stubborn: false, stuck: false },
        Fault::Stubborn => Action::Behave { escapes: false, stubborn: true, stuck: false },
        Fault::Stuck => Action::Behave { escapes: false, stubborn: true, stuck: true },
        Fault::Reconfigure => Action::Configure(byte(chance)),
        Fault::Upgrade => Action::Upgrade,
        Fault::Sick | Fault::Greedy => return None,
        Fault::Shutdown => match chance.below(4) {
            0 => Action::Shutdown(ShutdownMode::StopWorkers),
            1 => Action::Shutdown(ShutdownMode::KeepWorkers),
            2 => Action::Force,
            _ => Action::Launch,
        },
    })
}

impl World {
    /// Lets one thing happen.
    pub(crate) fn act(&mut self, action: Action, steps: &mut Vec<Step>) {
        self.trace.note(|| format!("* {action:?}"));
        match action {
            Action::Progress(which) => {
                self.possible(steps);
                if !steps.is_empty() {
                    let step = steps[usize::from(which) % steps.len()];
                    self.take(step);
                }
            }
            Action::Rush(count) => self.rush(usize::from(count), steps),
            Action::Take(step) => {
                self.possible(steps);
                let is_it = |of: &&Step| discriminant(*of) == discriminant(&step);
                if let Some(step) = steps.iter().find(is_it).copied() {
                    self.take(step);
                }
            }
            Action::Pass(milliseconds) => self.pass(milliseconds),
            Action::Leap => self.leap(),
            Action::Live(count) => {
                for _ in 0..count {
                    self.rush(LIVELY, steps);
                    if self.disk.is_full {
                        // It is tried so often that nothing else would ever be due.
                        self.pass(FULL_FOR);
                    } else {
                        self.leap();
                    }
                }
            }
            Action::Ask(which, command) => self.ask(usize::from(which), command),
            Action::Exit(which, exit) => self.exit(usize::from(which), exit),
            Action::Find(found, which, severity) => self.find(found, which, severity),
            Action::Ail(which, ail) => self.ail(usize::from(which), ail),
            Action::Eat(which, resource, eats) => {
                self.eat(usize::from(which), usize::from(resource), eats);
            }
            Action::Starve(which) => self.starve(usize::from(which)),
            Action::Refuse(which, ends) => self.refuse(usize::from(which), ends),
            Action::Balk(which) => self.balk(usize::from(which)),
            Action::Say(which, word) => self.say(which, word),
            Action::Befall(which, fortune) => self.befall(usize::from(which), fortune),
            Action::Repeat(which) => self.repeat(usize::from(which)),
            Action::Recount => self.recount(),
            Action::Launch => {
                if self.is_deserted() {
                    self.launch(Relaunched::No);
                }
            }
            Action::Shutdown(mode) => self.shut_down(mode),
            Action::Force => self.force(),
            Action::Upgrade => self.ask_for_another(),
            Action::Lose(..)
            | Action::Freeze(_)
            | Action::Thaw
            | Action::Power(_)
            | Action::Fill(_)
            | Action::Slow(_)
            | Action::BadSync
            | Action::Rot(_)
            | Action::Starts(_)
            | Action::Behave { .. }
            | Action::Stranger(_)
            | Action::Jump(_)
            | Action::Configure(_) => self.go_wrong(action),
        }
    }

    /// Takes the first possible steps, at most so many.
    pub(crate) fn rush(&mut self, count: usize, steps: &mut Vec<Step>) {
        for _ in 0..count {
            self.possible(steps);
            let Some(step) = steps.first().copied() else {
                return;
            };
            self.take(step);
        }
    }

    fn leap(&mut self) {
        if let Some(due) = self.next_due() {
            self.now = due;
        }
    }

    fn pass(&mut self, milliseconds: u32) {
        self.now = self.now.after(Duration::from_millis(u64::from(milliseconds)));
    }

    /// A run around the latest.
    pub(crate) fn recent_run(&self, which: u8) -> hsu_model::id::RunId {
        let next = self.master.as_ref().map_or(1, |master| master.fleet.next_run());
        let run = next.saturating_sub(1 + u64::from(which % 3));
        hsu_model::id::RunId(run.max(1))
    }

    /// Whether the master can take anything at present.
    pub(crate) fn master_listens(&self) -> bool {
        let is_up = |master: &super::master::Master| {
            self.os.find(master.hold).is_some_and(|process| !process.frozen)
        };
        self.master.as_ref().is_some_and(is_up)
    }

    fn ask(&mut self, which: usize, command: Command) {
        let ids = &self.nature.ids;
        let id = ids[which % ids.len()].clone();
        if !self.master_listens() {
            return;
        }
        let now = self.now();
        let ticket = self.ticket();
        let Some(master) = &mut self.master else {
            return;
        };
        let is_held_up = master.backlog.health().is_some() && !command.outruns_the_disk();
        if is_held_up || master.ending.is_some() || master.is_candidate {
            // A wish that cannot be made durable is not begun, nor one that may be undone.
            return;
        }
        master.perform_all(now);
        self.show();
        let worker = self.index(&id);
        self.judge.on_asked(ticket, worker, command, now.tick);
        let actor = Actor::Operator { uid: 0 };
        self.step(Input::Command { ticket, actor, worker: id.clone(), command });
        if let Some(master) = &mut self.master {
            master.perform_wish(now, id.clone(), (ticket, command));
            let (number, record) = (master.backlog.submitted(), master.fleet.export(&id));
            self.judge.on_wished(ticket, worker, number, record);
        }
        self.settle();
    }

    fn exit(&mut self, which: usize, exit: Exit) {
        let alive: Vec<_> = self
            .os
            .processes
            .iter()
            .filter(|process| matches!(process.what, What::Worker(_)) && process.is_alive())
            .filter(|process| process.birth.is_none() && !process.frozen)
            .map(|process| process.hold)
            .collect();
        if let Some(hold) = alive.get(which % alive.len().max(1)) {
            self.os.end(*hold, exit);
        }
    }

    fn find(&mut self, found: Found, which: u8, severity: Severity) {
        if !self.master_listens() {
            return;
        }
        let run = self.recent_run(which);
        self.step(match found {
            Found::Health => Input::HealthFailed { run, severity },
            Found::Resource => Input::ResourceViolation { run, severity },
        });
        self.settle();
    }

    fn repeat(&mut self, which: usize) {
        if !self.master_listens() || self.heard.is_empty() {
            return;
        }
        self.happen(Fault::Repeat);
        // Half of the time an answer about a start, which come seldom.
        let is_rare = |heard: &&Input| {
            use Input::{Adopted, Followed, Pending, SpawnFailed, Spawned};
            matches!(
                heard,
                Pending { .. }
                    | SpawnFailed { .. }
                    | Spawned { .. }
                    | Adopted { .. }
                    | Followed { .. }
            )
        };
        let rare = self.heard.iter().filter(is_rare).count();
        let again = if which % 2 == 1 && rare > 0 {
            self.heard.iter().filter(is_rare).nth(which / 2 % rare)
        } else {
            self.heard.get(which / 2 % self.heard.len())
        };
        let Some(again) = again.cloned() else { return };
        // What a kill left and what is used is told once, by nobody who repeats himself.
        if !matches!(again, Input::Survivors { .. } | Input::Used { .. }) {
            self.judge.is_repeated = true;
            self.step(again);
            self.judge.is_repeated = false;
            self.settle();
        }
    }

    fn recount(&mut self) {
        if !self.master_listens() {
            return;
        }
        let is_quiet = |link: &super::link::Link| link.up.is_empty() && link.down.is_empty();
        if let Some(master) = &mut self.master
            && master.is_connected
            && master.is_settled
            && self.links.of(master.hold).is_some_and(is_quiet)
        {
            self.happened |= Fault::Repeat.bit();
            master.roll.lose();
            master.roll.doubt();
            master.outgoing.push(hsu_keeper::ToKeeper::Inventory);
            self.flush_master();
        }
    }

    fn shut_down(&mut self, mode: ShutdownMode) {
        if self.master_listens() && self.master.as_ref().is_some_and(|it| !it.is_candidate) {
            return self.begin_end(mode);
        }
        // Whoever has given way keeps it, and does it when it goes on.
        if let Some(old) = self.old.as_mut().filter(|old| old.asked.is_none()) {
            old.asked = Some(mode);
        }
    }

    /// Whoever has the state is told to end.
    pub(super) fn begin_end(&mut self, mode: ShutdownMode) {
        let Some(master) = &mut self.master else { return };
        if master.stopping.is_none() {
            master.stopping = Some(mode);
            self.happen(Fault::Shutdown);
            self.step(Input::Shutdown { mode, actor: Actor::Signal(15) });
            let now = self.now();
            if let Some(master) = &mut self.master {
                master.hurry_ends(now);
            }
            self.settle();
        }
    }

    fn force(&mut self) {
        let is_ending = self.master.as_ref().is_some_and(|master| master.stopping.is_some());
        if self.master_listens() && is_ending {
            self.step(Input::ForceShutdown);
            self.settle();
        }
    }

    fn go_wrong(&mut self, action: Action) {
        match action {
            Action::Lose(part @ (Part::Master | Part::Candidate | Part::Old), cut) => {
                self.lose_master(part, cut);
            }
            Action::Lose(Part::Keeper, _) => self.lose_keeper(),
            Action::Freeze(part) => self.freeze(part),
            Action::Thaw => self.thaw(),
            Action::Power(kept) => self.lose_power(usize::from(kept)),
            Action::Fill(full) => {
                if full {
                    self.happen(Fault::DiskFull);
                }
                self.disk.is_full = full;
            }
            Action::Slow(slow) => {
                if slow {
                    self.happen(Fault::SlowDisk);
                }
                self.disk.is_slow = slow;
            }
            Action::BadSync => {
                self.happen(Fault::BadSync);
                self.disk.fails_once = true;
            }
            Action::Rot(which) => {
                self.happen(Fault::Rot);
                self.rot = Some(which);
            }
            Action::Starts(outcome) => self.end_starts(outcome),
            Action::Behave { escapes, stubborn, stuck } => {
                let fault = match (stuck, stubborn) {
                    (true, _) => Fault::Stuck,
                    (_, true) => Fault::Stubborn,
                    _ => Fault::Escape,
                };
                self.happen(fault);
                self.manners = super::world::Manners { escapes, stubborn, stuck };
            }
            Action::Stranger(begins) => self.change_strangers(begins),
            Action::Jump(seconds) => self.jump(seconds),
            Action::Configure(which) => self.configure(usize::from(which)),
            Action::Progress(_)
            | Action::Rush(_)
            | Action::Take(_)
            | Action::Pass(_)
            | Action::Leap
            | Action::Live(_)
            | Action::Ask(..)
            | Action::Exit(..)
            | Action::Find(..)
            | Action::Ail(..)
            | Action::Eat(..)
            | Action::Starve(_)
            | Action::Refuse(..)
            | Action::Balk(_)
            | Action::Say(..)
            | Action::Befall(..)
            | Action::Repeat(_)
            | Action::Recount
            | Action::Shutdown(_)
            | Action::Force
            | Action::Upgrade
            | Action::Launch => {}
        }
    }

    fn lose_keeper(&mut self) {
        if self.keeper.is_some() {
            self.happen(Fault::LoseKeeper);
            self.judge.keepers_lost += 1;
            self.end_keeper(Exit::Signal { number: SIGKILL, core: false });
        }
    }

    fn end_starts(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::NoRoom => self.happen(Fault::Scarce),
            Outcome::NoProgram => self.happen(Fault::NoProgram),
            Outcome::Runs => {}
        }
        self.outcome = outcome;
    }

    fn jump(&mut self, seconds: i32) {
        self.happen(Fault::Clock);
        self.wall = self.wall.saturating_add(i64::from(seconds) * 1_000_000_000);
    }

    fn lose_power(&mut self, kept: usize) {
        self.happen(Fault::Power);
        self.disk.lose_power(kept);
        self.os.reboot();
        self.boot += 1;
        self.slots = std::iter::repeat_with(Default::default).take(self.nature.slots).collect();
        (self.links, self.keeper, self.master) = (Links::default(), None, None);
        (self.holder, self.candidate, self.old) = (None, None, None);
        self.drop_words();
        self.judge.on_power_lost();
        self.launch(Relaunched::No);
    }

    fn change_strangers(&mut self, begins: bool) {
        self.happen(Fault::Strangers);
        if begins {
            self.os.fork(super::os::INIT, What::Stranger, 0);
        } else {
            let is_stranger = |process: &&super::os::Process| process.what == What::Stranger;
            let hold = self.os.processes.iter().find(is_stranger).map(|process| process.hold);
            if let Some(hold) = hold {
                self.os.end(hold, Exit::Code(0));
            }
        }
    }

    /// The next master finds another configuration: some workers are missing, some changed.
    fn configure(&mut self, which: usize) {
        self.happen(Fault::Reconfigure);
        let mut chance = Chance::of(which as u64);
        let (all, features) = (self.nature.ids.clone(), self.nature.features);
        self.nature.specs = all
            .into_iter()
            .enumerate()
            .filter(|(place, _)| which >> place & 1 == 0)
            .map(|(_, id)| std::sync::Arc::new(spec(&mut chance, id, features)))
            .collect();
    }
}
