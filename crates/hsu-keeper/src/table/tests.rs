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
