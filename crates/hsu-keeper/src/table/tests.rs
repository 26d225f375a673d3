//! Tests of the table.

use hsu_model::time::{Tick, WallTime};

use super::*;

const NOW: Now = Now { tick: Tick(5), wall: WallTime(6) };

fn slots(count: usize) -> std::rc::Rc<[Slot]> {
    std::iter::repeat_with(Slot::default).take(count).collect()
}

fn web() -> WorkerId {
    WorkerId::new("web").unwrap()
}

fn begin(table: &mut Table<std::rc::Rc<[Slot]>>, run: u64, pid: u32) -> usize {
    let Reserved::Place(place) = table.reserve(RunId(run), &web(), NOW) else {
        panic!("no place for {run}");
    };
    let slot = table.slot(place).unwrap();
    assert!(slot.take(slot.claim(), pid, 70));
    slot.occupy(70);
    place
}

#[test]
fn an_order_twice_is_one_start_and_a_full_table_takes_none() {
    let mut table = Table::new(slots(1));
    assert_eq!(table.reserve(RunId(1), &web(), NOW), Reserved::Place(0));
    assert_eq!(table.reserve(RunId(1), &web(), NOW), Reserved::Known);
    assert_eq!(table.reserve(RunId(2), &web(), NOW), Reserved::Full);
    table.fail(RunId(1));
    assert_eq!(table.reserve(RunId(2), &web(), NOW), Reserved::Place(0));
}

#[test]
fn an_exit_is_told_until_it_is_acknowledged_and_a_live_run_cannot_be_forgotten() {
    let mut table = Table::new(slots(2));
    let place = begin(&mut table, 1, 40);
    table.forget(RunId(1));
    assert!(matches!(table.inventory().next(), Some((0, FromKeeper::Held { .. }))));
    table.slot(place).unwrap().end(Exit::Code(3), NOW);
    let told = table.tell_end(place).unwrap();
    assert!(matches!(told, FromKeeper::Exited { exit: Exit::Code(3), .. }));
    assert_eq!(table.inventory().map(|(_, message)| message).collect::<Vec<_>>(), [told]);
    table.forget(RunId(1));
    assert!(table.is_empty());
}

#[test]
fn the_next_keeper_adopts_what_lives_and_believes_no_pid_that_started_at_another_time() {
    let shared = slots(4);
    let mut earlier = Table::new(std::rc::Rc::clone(&shared));
    begin(&mut earlier, 1, 40);
    begin(&mut earlier, 2, 41);
    earlier.reserve(RunId(3), &web(), NOW);
    let mut next = Table::new(shared);
    let alive = next.adopt(NOW, |pid| Some((pid, if pid == 40 { 70 } else { 71 })));
    assert_eq!(alive, [(0, 40)]);
    let told: Vec<_> = next.inventory().map(|(_, message)| message).collect();
    assert!(matches!(told[0], FromKeeper::Held { run: RunId(1), .. }));
    let unknown = Exit::Unknown(UnknownExit::KeeperLost);
    assert!(matches!(told[1], FromKeeper::Exited { run: RunId(2), exit, .. } if exit == unknown));
    assert_eq!(told.len(), 2, "what was not claimed is withdrawn");
}

#[test]
fn a_place_that_is_free_again_is_taken_before_those_behind_it() {
    let mut table = Table::new(slots(4));
    for run in 1..=3 {
        begin(&mut table, run, 40);
    }
    table.fail(RunId(3));
    table.fail(RunId(1));
    assert_eq!(table.reserve(RunId(4), &web(), NOW), Reserved::Place(0));
    assert_eq!(table.reserve(RunId(5), &web(), NOW), Reserved::Place(2));
    assert_eq!(table.reserve(RunId(6), &web(), NOW), Reserved::Place(3));
    assert_eq!(table.reserve(RunId(7), &web(), NOW), Reserved::Full);
}

#[test]
fn a_process_that_is_named_takes_the_place_of_the_one_before_it_dead_or_alive() {
    let named = ProcessKey { pid: 50, started_at: 90 };
    for has_ended in [false, true] {
        let shared = slots(2);
        let mut table = Table::new(std::rc::Rc::clone(&shared));
        let place = begin(&mut table, 1, 40);
        if has_ended {
            table.slot(place).unwrap().end(Exit::Code(0), NOW);
        }
        assert_eq!(table.follow(RunId(1), named), Some(place));
        let told = |table: &Table<_>| table.inventory().map(|(_, told)| told).next();
        let is_it =
            |told| matches!(told, Some(FromKeeper::Held { process, .. }) if process == named);
        assert!(is_it(told(&table)), "{has_ended}");
        // The next keeper finds that one, and nobody else with its number.
        let mut next = Table::new(std::rc::Rc::clone(&shared));
        assert_eq!(next.adopt(NOW, |pid| Some((pid, 90))), [(place, 50)]);
        assert!(is_it(told(&next)));
        let mut late = Table::new(shared);
        assert_eq!(late.adopt(NOW, |pid| Some((pid, 91))), []);
    }
}

#[test]
fn a_keeper_that_is_lost_between_the_halves_of_a_change_leaves_one_of_the_two() {
    let shared = slots(1);
    begin(&mut Table::new(std::rc::Rc::clone(&shared)), 1, 40);
    // As `follow` leaves it before the claim, and after it.
    for (pid, started_at) in [(40, 70), (50, 90)] {
        let slot = shared.first().unwrap();
        slot.follow(ProcessKey { pid, started_at });
        slot.occupy(0);
        let mut next = Table::new(std::rc::Rc::clone(&shared));
        assert_eq!(next.adopt(NOW, |found| Some((found, started_at))), [(0, pid)]);
    }
}

#[test]
fn nobody_is_held_for_a_run_that_is_not_there_or_in_two_places() {
    let named = ProcessKey { pid: 50, started_at: 90 };
    let mut table = Table::new(slots(3));
    assert_eq!(table.follow(RunId(1), named), None);
    let place = begin(&mut table, 1, 50);
    begin(&mut table, 2, 60);
    assert_eq!(table.follow(RunId(2), named), None, "it is the process of another run");
    table.reserve(RunId(3), &web(), NOW);
    assert_eq!(table.follow(RunId(3), ProcessKey { pid: 70, started_at: 90 }), None);
    let same = table.slot(place).unwrap().process();
    table.slot(place).unwrap().end(Exit::Code(1), NOW);
    assert_eq!(table.follow(RunId(1), same), None, "its own end is noted");
}
