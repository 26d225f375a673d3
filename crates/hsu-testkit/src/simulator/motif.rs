//! Motifs: a few actions in a row that lead to where chance alone seldom comes.
//!
//! A start that is half done, a process that shall end and is asked for something, a master
//! that has only just begun: each takes several steps in one order, and a schedule of chance
//! takes them once in many thousand. A motif is made of the same actions as every schedule,
//! so that it is cut down and replayed like them, and it needs no fault that its world does
//! not have. What happens before and after it is left to chance.

use hsu_core::input::{Command, Severity, ShutdownMode};
use hsu_keeper::masters::Which;
use hsu_model::exit::Exit;
use hsu_model::id::RunId;

use super::chance::Chance;
use super::foreign::Fortune;
use super::nature::{Fault, Nature};
use super::outside::Word;
use super::schedule::{Action, COMMANDS, Cut, Found, PARTS, Part, action};
use super::steps::Step;

/// Steps after which nothing is left to do at this instant, as a rule.
const ALL: u8 = 60;
/// Longer than one search takes to follow another, in milliseconds.
const SEARCHED: u32 = 31_000;

/// What happens in a world.
pub(crate) fn compose(chance: &mut Chance, nature: &Nature) -> Vec<Action> {
    let mut actions = Vec::with_capacity(nature.length + 24);
    let motif = chance.one_in(8).then(|| chance.below(nature.length));
    while actions.len() < nature.length {
        if motif == Some(actions.len()) {
            add_motif(chance, nature, &mut actions);
        }
        actions.push(action(chance, nature));
    }
    actions
}

fn add_motif(chance: &mut Chance, nature: &Nature, actions: &mut Vec<Action>) {
    be_ready(nature, actions);
    if nature.faults.has(Fault::Upgrade) && chance.one_in(2) {
        if nature.faults.has(Fault::LoseKeeper) && chance.one_in(3) {
            take_over_unheard(chance, nature, actions);
        } else {
            take_over(chance, nature, actions);
        }
    } else if nature.features.foreign > 0 && !chance.one_in(4) {
        with_others(chance, nature, actions);
    } else if nature.features.words && nature.faults.has(Fault::Escape) && !chance.one_in(4) {
        succession(chance, nature, actions);
    } else {
        half_start(chance, nature, actions);
    }
}

/// A worker leaves a process behind, names it, and something happens before that is known.
fn succession(chance: &mut Chance, nature: &Nature, actions: &mut Vec<Action>) {
    let which = byte(chance);
    let restart = Command::Restart { force: true };
    actions.extend([
        Action::Behave { escapes: true, stubborn: false, stuck: false },
        Action::Ask(which, restart),
        Action::Rush(ALL),
        Action::Say(byte(chance), Word::Successor),
    ]);
    let listens = Action::Take(Step::MasterListens(0));
    // Its end may be told before its word is heard, and before the keeper is asked.
    if chance.one_in(2) {
        actions.push(listens);
        if chance.one_in(2) {
            actions.push(Action::Take(Step::KeeperHears(0)));
        }
    }
    for _ in 0..1 + chance.below(3) {
        match chance.below(7) {
            0 | 1 => actions.extend([
                Action::Exit(byte(chance), Exit::Code(1)),
                Action::Take(Step::KeeperNotes(0)),
                Action::Take(Step::KeeperTells(0)),
                Action::Take(Step::MasterHears),
            ]),
            5 => actions.push(listens),
            2 => actions.push(Action::Ask(which, chance.pick(&COMMANDS))),
            3 if nature.faults.has(Fault::LoseKeeper) => {
                actions.push(Action::Lose(Part::Keeper, Cut::Before));
            }
            4 => {
                next_master(nature, actions);
                actions.push(Action::Say(byte(chance), Word::Successor));
            }
            _ => actions.push(Action::Say(byte(chance), Word::Successor)),
        }
    }
    actions.push(Action::Rush(ALL));
    come_to_an_end(chance, nature, actions);
    repeat(chance, nature, which, actions);
}

/// Its run ends for good, or while the master does.
fn come_to_an_end(chance: &mut Chance, nature: &Nature, actions: &mut Vec<Action>) {
    let (which, code) = (byte(chance), Exit::Code(1));
    match chance.below(3) {
        0 => {
            for _ in 0..5 {
                actions.extend([Action::Exit(which, code), Action::Live(2)]);
            }
        }
        1 if nature.faults.has(Fault::Shutdown) => actions.extend([
            Action::Shutdown(ShutdownMode::KeepWorkers),
            Action::Exit(which, code),
            Action::Take(Step::KeeperNotes(0)),
            Action::Take(Step::KeeperTells(0)),
            Action::Take(Step::MasterHears),
            Action::Take(Step::MasterListens(0)),
        ]),
        _ => {}
    }
}

/// Everybody is there who can be, and has done what there is to do.
fn be_ready(nature: &Nature, actions: &mut Vec<Action>) {
    if nature.faults.has(Fault::Freeze) {
        actions.push(Action::Thaw);
    }
    if nature.faults.has(Fault::DiskFull) {
        actions.push(Action::Fill(false));
    }
    actions.push(Action::Rush(ALL));
    if nature.faults.has(Fault::Shutdown) {
        actions.extend([Action::Launch, Action::Rush(ALL)]);
    }
}

fn byte(chance: &mut Chance) -> u8 {
    u8::try_from(chance.below(256)).unwrap_or(0)
}

/// What was written is on the disk, and what has waited for it is done.
const WRITTEN: [Action; 3] = [
    Action::Take(Step::DiskBegins),
    Action::Take(Step::DiskEnds),
    Action::Take(Step::MasterReleases),
];

/// Another master begins, and has heard nothing yet; whether there can be one.
fn next_master(nature: &Nature, actions: &mut Vec<Action>) -> bool {
    if nature.faults.has(Fault::LoseMaster) {
        actions.extend([
            Action::Lose(Part::Master, Cut::Before),
            Action::Take(Step::KeeperMisses(Which::Serving)),
            Action::Take(Step::KeeperTends),
        ]);
    } else if nature.faults.has(Fault::Shutdown) {
        let mode = ShutdownMode::KeepWorkers;
        actions.extend([Action::Shutdown(mode), Action::Rush(ALL), Action::Launch]);
    } else {
        return false;
    }
    true
}

/// It has asked the keeper what there is, and was told.
const TOLD: [Action; 3] = [
    Action::Take(Step::MasterConnects),
    Action::Take(Step::KeeperHears(0)),
    Action::Take(Step::MasterHears),
];

/// A start is under way when somebody is lost, or is asked once more what there is.
fn half_start(chance: &mut Chance, nature: &Nature, actions: &mut Vec<Action>) {
    let which = byte(chance);
    if chance.one_in(3) {
        for _ in 0..5 {
            let exit = Exit::Code(1);
            actions.extend([Action::Exit(which, exit), Action::Rush(ALL), Action::Leap]);
        }
    }
    match chance.below(4) {
        0 => actions.extend([Action::Leap, Action::Take(Step::MasterWakes)]),
        1 => {
            actions.push(Action::Ask(which, Command::Start));
            actions.extend(WRITTEN);
        }
        2 => actions.extend([
            Action::Exit(which, Exit::Code(1)),
            Action::Take(Step::KeeperNotes(0)),
            Action::Take(Step::KeeperTells(0)),
            Action::Take(Step::MasterHears),
            Action::Take(Step::Kills),
            Action::Take(Step::MasterReads),
        ]),
        // The first start of a master that was begun anew.
        _ if nature.faults.has(Fault::Shutdown) => {
            actions.extend([
                Action::Ask(which, Command::Stop { force: true }),
                Action::Rush(ALL),
                Action::Shutdown(ShutdownMode::StopWorkers),
                Action::Rush(ALL),
                Action::Launch,
                Action::Take(Step::MasterStartsKeeper),
            ]);
            actions.extend(TOLD);
        }
        _ => actions.push(Action::Ask(which, Command::Restart { force: true })),
    }
    actions.push(Action::Take(Step::KeeperHears(0)));
    if chance.one_in(2) {
        actions.push(Action::Take(Step::KeeperStarts));
    }
    let faults = nature.faults;
    if faults.has(Fault::LoseKeeper) && chance.one_in(2) {
        actions.extend([
            Action::Lose(Part::Keeper, Cut::Before),
            Action::Take(Step::MasterMisses),
            Action::Take(Step::MasterStartsKeeper),
        ]);
    } else if faults.has(Fault::Repeat) && chance.one_in(2) {
        actions.push(Action::Recount);
        actions.extend([Action::Take(Step::KeeperHears(0)), Action::Take(Step::MasterHears)]);
    } else if next_master(nature, actions) {
        actions.extend(TOLD);
    }
    repeat(chance, nature, which, actions);
}

/// The master hears again what it was told of starts, whatever it has come to since.
fn repeat(chance: &mut Chance, nature: &Nature, which: u8, actions: &mut Vec<Action>) {
    if nature.faults.has(Fault::Repeat) {
        for _ in 0..3 {
            let command = chance.pick(&COMMANDS);
            let more = [Action::Repeat(byte(chance) | 1), Action::Rush(ALL), Action::Repeat(1)];
            actions.extend(more);
            actions.extend([Action::Ask(which, command), Action::Repeat(byte(chance) | 1)]);
        }
    }
}

/// Somebody else starts a process, and something happens at an odd moment.
fn with_others(chance: &mut Chance, nature: &Nature, actions: &mut Vec<Action>) {
    let own = nature.ids.len() - nature.features.foreign;
    let which = u8::try_from(own + chance.below(nature.features.foreign)).unwrap_or(0);
    let stop = Action::Ask(which, Command::Stop { force: chance.one_in(4) });
    if chance.one_in(8) {
        // Its manager is asked when the master is told to end.
        actions.push(Action::Ask(which, Command::Start));
        actions.extend(WRITTEN);
        actions.extend([Action::Take(Step::MasterSearches), Action::Take(Step::MasterSights)]);
        return odd_moments(chance, nature, which, actions);
    }
    let begins = Action::Befall(0, Fortune::Begins);
    actions.push(begins);
    if chance.one_in(2) {
        actions.push(begins);
    }
    actions.extend([Action::Pass(SEARCHED), Action::Take(Step::MasterSearches)]);
    if nature.faults.has(Fault::Strangers) && chance.one_in(4) {
        // It is another process by the time when it is taken.
        let begins = if chance.one_in(2) { begins } else { Action::Stranger(true) };
        actions.extend([Action::Befall(byte(chance), Fortune::Ends), begins]);
    }
    actions.push(Action::Take(Step::MasterSights));
    match chance.below(4) {
        0 => {
            // Let go of, and wanted again, before its end is heard of.
            for command in [Command::Disable, Command::Enable, Command::Start] {
                actions.push(Action::Ask(which, command));
            }
            actions.push(Action::Befall(byte(chance), Fortune::Ends));
            actions.push(Action::Take(Step::MasterLoses(RunId(0))));
        }
        1 => {
            // Of an earlier master, and not verified yet.
            if chance.one_in(2) {
                actions.push(stop);
            }
            actions.extend([Action::Take(Step::DiskBegins), Action::Take(Step::DiskEnds)]);
            next_master(nature, actions);
            odd_moments(chance, nature, which, actions);
            actions.push(Action::Rush(ALL));
        }
        _ => {
            actions.push(stop);
            odd_moments(chance, nature, which, actions);
        }
    }
}

/// Something of what may happen to a worker that somebody else starts.
fn odd_moments(chance: &mut Chance, nature: &Nature, which: u8, actions: &mut Vec<Action>) {
    for _ in 0..2 + chance.below(3) {
        match chance.below(10) {
            0..3 => actions.push(Action::Ask(which, chance.pick(&COMMANDS))),
            3 => {
                let found = chance.pick(&[Found::Health, Found::Resource]);
                actions.push(Action::Find(found, byte(chance), Severity::Critical));
            }
            4 => actions.push(Action::Say(byte(chance), chance.pick(&Word::ALL))),
            5 if nature.faults.has(Fault::Greedy) => actions.push(Action::Balk(which)),
            6 if nature.faults.has(Fault::Shutdown) => {
                let modes = [ShutdownMode::StopWorkers, ShutdownMode::KeepWorkers];
                actions.push(Action::Shutdown(chance.pick(&modes)));
            }
            7 => {
                let due = [
                    Step::MasterMeasures,
                    Step::LookEnds(0),
                    Step::ManagerServes,
                    Step::MasterLoses(RunId(0)),
                ];
                actions.push(Action::Take(chance.pick(&due)));
            }
            8 => actions.push(Action::Befall(byte(chance), Fortune::Ends)),
            _ => {
                // Another one is found, and may be gone when it is taken.
                let start = Action::Ask(which, Command::Start);
                actions.extend([start, Action::Befall(0, Fortune::Begins)]);
                actions.extend(WRITTEN);
                actions.push(Action::Take(Step::MasterSearches));
                if chance.one_in(2) {
                    actions.push(Action::Befall(byte(chance), Fortune::Ends));
                }
                actions.push(Action::Take(Step::MasterSights));
            }
        }
    }
}

/// Another master takes over, and somebody is lost or stands still between any two steps.
fn take_over(chance: &mut Chance, nature: &Nature, actions: &mut Vec<Action>) {
    actions.push(Action::Upgrade);
    for _ in 0..1 + chance.below(2) {
        actions.push(Action::Rush(byte(chance) % 24));
        let part = chance.pick(&PARTS);
        let is_keeper = part == Part::Keeper;
        let fault = if is_keeper { Fault::LoseKeeper } else { Fault::LoseMaster };
        if nature.faults.has(Fault::Freeze) && chance.one_in(4) {
            actions.extend([Action::Freeze(part), Action::Rush(byte(chance) % 8), Action::Leap]);
        } else if nature.faults.has(fault) && !chance.one_in(4) {
            actions.push(Action::Lose(part, chance.pick(&[Cut::Before, Cut::Written])));
        } else if nature.faults.has(Fault::DiskFull) && chance.one_in(4) {
            actions.push(Action::Fill(chance.one_in(2)));
        }
    }
}

/// Another master takes over and writes, the keeper is lost before it has told the one that
/// gave way, and that one finds the state free.
fn take_over_unheard(chance: &mut Chance, nature: &Nature, actions: &mut Vec<Action>) {
    let faults = nature.faults;
    actions.push(Action::Upgrade);
    actions.extend([
        Action::Take(Step::KeeperHears(0)),
        Action::Take(Step::CandidateConnects),
        Action::Take(Step::KeeperHears(1)),
        Action::Take(Step::MasterHears),
        Action::Take(Step::KeeperHears(0)),
        // The welcome, and that it may proceed.
        Action::Take(Step::CandidateHears),
        Action::Take(Step::CandidateHears),
        Action::Take(Step::KeeperHears(1)),
        Action::Take(Step::MasterHears),
    ]);
    actions.extend(WRITTEN);
    let may_wait = faults.has(Fault::Freeze);
    if may_wait {
        actions.push(Action::Freeze(Part::Old));
    }
    actions.extend([
        Action::Lose(Part::Keeper, Cut::Before),
        Action::Take(Step::MasterMisses),
        Action::Take(Step::MasterStartsKeeper),
        Action::Take(Step::MasterConnects),
        // The connection of the old one is still there, or not.
        Action::Take(Step::KeeperHears(0)),
        Action::Take(Step::KeeperHears(1)),
        Action::Take(Step::MasterHears),
    ]);
    for _ in 0..1 + chance.below(3) {
        actions.push(Action::Ask(byte(chance), chance.pick(&COMMANDS)));
        actions.extend(WRITTEN);
    }
    if may_wait && faults.has(Fault::Shutdown) && chance.one_in(2) {
        let modes = [ShutdownMode::StopWorkers, ShutdownMode::KeepWorkers];
        actions.extend([Action::Shutdown(chance.pick(&modes)), Action::Rush(ALL)]);
    } else if faults.has(Fault::LoseMaster) {
        actions.push(Action::Lose(Part::Master, Cut::Before));
    }
    if chance.one_in(2) {
        actions.push(Action::Lose(Part::Keeper, Cut::Before));
    }
    if may_wait {
        actions.push(Action::Thaw);
    }
    actions.push(Action::Take(Step::OldMisses));
}
