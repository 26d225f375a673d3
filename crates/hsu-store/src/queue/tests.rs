//! Tests of the queue.

use hsu_model::event::{Actor, Event, EventKind};
use hsu_model::id::WorkerId;
use hsu_model::time::WallTime;

use super::*;
use crate::batch::{Change, Durability};

fn event(sequence: u64) -> Event {
    let (at, worker, actor) = (WallTime(0), None, Actor::Master);
    Event { sequence, at, worker, actor, kind: EventKind::Registered }
}

fn batch(sequence: u64) -> Batch {
    let worker = WorkerId::new(&format!("w{}", sequence % 3)).unwrap();
    Batch {
        workers: vec![(worker, Change::Removed)],
        events: vec![event(sequence)],
        next_run: Some(sequence),
        ..Batch::default()
    }
}

fn taken(queue: &Queue) -> (u64, Batch) {
    match queue.take() {
        Next::Write(number, batch) => (number, batch),
        Next::End => (0, Batch::default()),
    }
}

#[test]
fn everything_that_waits_becomes_one_batch_with_the_latest_of_each() {
    let queue = Queue::default();
    for sequence in 1..=10 {
        let durability = if sequence == 4 { Durability::Synced } else { Durability::Lazy };
        queue.push(Batch { durability, ..batch(sequence) });
    }
    let (number, batch) = taken(&queue);
    assert_eq!((number, batch.workers.len(), batch.events.len()), (10, 3, 10));
    assert_eq!((batch.next_run, batch.durability), (Some(10), Durability::Synced));
    assert_eq!((queue.submitted(), queue.durable()), (10, 0));
}

#[test]
fn a_queue_that_nobody_empties_stays_small_and_gives_up_the_oldest_events_only() {
    let queue = Queue::default();
    let count = 30_000;
    (1..=count).for_each(|sequence| {
        queue.push(batch(sequence));
    });
    let (number, batch) = taken(&queue);
    assert_eq!((number, batch.workers.len()), (count, 3));
    let kept = u64::try_from(batch.events.len()).unwrap();
    assert_eq!(kept + queue.given_up(), count);
    assert!(kept <= 11_000 && queue.given_up() > 0, "{kept}");
    assert_eq!(batch.events.last().map(|event| event.sequence), Some(count));
}

#[test]
fn what_could_not_be_written_comes_again_before_what_came_meanwhile() {
    let queue = Queue::default();
    queue.push(batch(1));
    let (number, first) = taken(&queue);
    queue.push(batch(2));
    assert!(queue.fail(number, first, "no space", &|| {}, Duration::ZERO));
    assert_eq!(queue.health().unwrap(), "the state cannot be written: no space");
    let (number, both) = taken(&queue);
    let order: Vec<_> = both.events.iter().map(|event| event.sequence).collect();
    assert_eq!((number, order), (2, vec![1, 2]));
    queue.confirm(number);
    assert_eq!((queue.durable(), queue.health()), (2, None));
    assert!(queue.wait_for_durable(Duration::ZERO));
}

#[test]
fn a_closed_queue_is_emptied_and_then_ends() {
    let queue = Queue::default();
    queue.push(batch(1));
    queue.close();
    assert!(matches!(queue.take(), Next::Write(1, _)));
    assert!(matches!(queue.take(), Next::End));
    assert!(!queue.fail(1, batch(1), "", &|| {}, Duration::from_secs(100)));
}

#[test]
fn batches_gather_until_somebody_waits_for_one() {
    let queue = std::sync::Arc::new(Queue::default());
    let (theirs, sender) = (std::sync::Arc::clone(&queue), std::sync::mpsc::channel());
    let (sender, numbers) = sender;
    let writer = std::thread::spawn(move || {
        while let Next::Write(number, _) = theirs.take() {
            theirs.confirm(number);
            sender.send(number).unwrap();
        }
    });
    for sequence in 1..=3 {
        queue.push(batch(sequence));
    }
    assert!(queue.wait_for_durable(Duration::from_secs(60)));
    queue.push(Batch { durability: Durability::Synced, ..batch(4) });
    assert!(queue.catch_up(Duration::from_secs(60)));
    queue.close();
    writer.join().unwrap();
    let numbers: Vec<u64> = numbers.iter().collect();
    assert_eq!(numbers.last(), Some(&4), "{numbers:?}");
    assert!(numbers.len() <= 4, "{numbers:?}");
}

#[test]
fn whoever_reads_does_not_wait_for_a_disk_that_takes_nothing() {
    let queue = Queue::default();
    queue.push(batch(1));
    let (number, taken) = taken(&queue);
    queue.fail(number, taken, "no room", &|| {}, Duration::ZERO);
    assert!(!queue.catch_up(Duration::from_secs(3600)));
}
