//! SIGKILL of a process that writes: whatever it was told to be durable is there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use super::*;

/// Names the folder for the process that is killed.
const FOLDER: &str = "HSU_STORE_TEST_FOLDER";

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The process that is killed: writes for ever, and says how far it has come.
#[test]
fn the_process_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (sender, receiver) = mpsc::channel();
    let wake = Box::new(move || {
        let _ = sender.send(());
    });
    let store = Store::open(Path::new(&folder), wake).unwrap().store;
    let mut sequence = store.load().unwrap().last_event;
    let first = sequence;
    loop {
        for _ in 0..20 {
            sequence += 1;
            let synced = sequence.is_multiple_of(64);
            store.submit(batch(
                sequence,
                if synced { Durability::Synced } else { Durability::Lazy },
            ));
        }
        receiver.recv().unwrap();
        // A batch holds one event, so its number tells the event.
        let durable = first + store.durable();
        writeln!(std::io::stdout(), "durable {durable}").unwrap();
    }
}

/// Starts a writer, kills it after some words, and returns the last number it said.
fn run_and_kill(folder: &Path, words: usize) -> u64 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "kill::the_process_that_is_killed", "--nocapture"]);
    let child = command.env(FOLDER, folder).stdout(Stdio::piped()).spawn().unwrap();
    let mut child = Killed(child);
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let numbers = lines.filter_map(|line| {
        let line = line.ok()?;
        let (_, number) = line.split_once("durable ")?;
        number.parse::<u64>().ok()
    });
    let mut numbers = numbers.skip(words);
    let seen = numbers.next().unwrap();
    child.0.kill().unwrap();
    // What it had said before the kill counts too.
    numbers.last().unwrap_or(seen)
}

#[test]
fn everything_that_was_durable_is_there_after_a_kill_without_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..15 {
        let acknowledged = run_and_kill(folder.path(), round * 7 % 40);
        let opened = open(folder.path());
        assert_eq!(opened.recovered, None);
        let loaded = opened.store.load().unwrap();
        assert!(loaded.last_event >= acknowledged, "{} < {acknowledged}", loaded.last_event);
        assert_eq!(sequences(&opened.store), (1..=loaded.last_event).collect::<Vec<_>>());
        assert_eq!(loaded.next_run, loaded.last_event + 1);
        // Records and events are of the same moment.
        let last = worker(loaded.last_event % 10);
        assert_eq!(loaded.workers.get(&last), Some(&record(loaded.last_event)));
    }
}
