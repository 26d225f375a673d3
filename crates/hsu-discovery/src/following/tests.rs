//! Files that are followed through everything that happens to log files.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;

use hsu_keeper::pump::PumpOptions;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::logs::Stream;
use hsu_model::spool::SpoolId;
use hsu_model::spool::plan::SpoolPlan;

use super::*;

/// A folder with a log file, and a master that follows it.
struct Scene {
    folder: tempfile::TempDir,
    feed: Feed,
    tails: Vec<Tail>,
    now: Instant,
}

impl Scene {
    fn new(names: &[&str], beginning: Beginning) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let feed = feed(folder.path());
        let path = |name: &&str| folder.path().join(name);
        let tails = names.iter().map(|name| Tail::new(path(name), beginning)).collect();
        Self { feed, tails, folder, now: Instant::now() }
    }

    /// The log file `log`, which is there and empty, and was looked at.
    fn following() -> Self {
        let mut scene = Self::new(&["log"], Beginning::End);
        scene.write("log", "");
        scene.look();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self, name: &str) -> File {
        OpenOptions::new().append(true).create(true).open(self.path(name)).expect("a file")
    }

    fn write(&self, name: &str, text: &str) {
        self.open(name).write_all(text.as_bytes()).expect("room");
    }

    fn look(&mut self) {
        for tail in &mut self.tails {
            while tail.look(&mut self.feed, self.now).expect("a look") == Looked::More {}
        }
    }

    /// The master is killed, and another one begins.
    fn next_master(&mut self) {
        self.feed = feed(self.folder.path());
        for tail in &mut self.tails {
            *tail = Tail::new(tail.path.clone(), Beginning::End);
        }
    }

    fn spool(&self) -> String {
        fs::read_to_string(self.path("spools/web/stdout/data")).unwrap_or_default()
    }
}

fn feed(folder: &Path) -> Feed {
    let options = PumpOptions { spools: folder.join("spools"), notices: folder.join("nobody") };
    let worker = WorkerId::new("web").expect("an id");
    let id = SpoolId { worker, stream: Stream::Stdout };
    Feed::new(&options, id, SpoolPlan::fallback(), RunId(1)).expect("a feed")
}

#[test]
fn what_was_there_before_is_not_told_unless_it_is_asked_for() {
    for (beginning, told) in [(Beginning::End, "two\n"), (Beginning::Start, "one\ntwo\n")] {
        let mut scene = Scene::new(&["log"], beginning);
        scene.write("log", "one\n");
        scene.look();
        scene.write("log", "two\n");
        scene.look();
        scene.look();
        assert_eq!(scene.spool(), told);
    }
}

#[test]
fn a_file_that_comes_later_is_read_from_its_beginning() {
    let mut scene = Scene::new(&["log"], Beginning::End);
    scene.look();
    scene.write("log", "one\n");
    scene.look();
    assert_eq!(scene.spool(), "one\n");
}

#[test]
fn a_line_waits_for_its_end() {
    let mut scene = Scene::following();
    scene.write("log", "one\ntw");
    scene.look();
    assert_eq!(scene.spool(), "one\n");
    scene.next_master();
    scene.look();
    scene.write("log", "o\n");
    scene.look();
    assert_eq!(scene.spool(), "one\ntwo\n");
}

#[test]
fn a_line_of_any_length_is_taken_and_is_one_line() {
    let mut scene = Scene::following();
    let line = format!("{}\n", "x".repeat(3 * Inlet::MOST + 17));
    scene.write("log", &line);
    scene.look();
    assert_eq!(scene.spool(), line);
}

#[test]
fn a_file_that_was_renamed_is_read_to_its_end_and_then_the_one_made_anew() {
    let mut scene = Scene::following();
    let mut writer = scene.open("log");
    writer.write_all(b"one\ntwo\n").unwrap();
    fs::rename(scene.path("log"), scene.path("log.1")).unwrap();
    scene.look();
    // The writer knows nothing of it yet.
    writer.write_all(b"three\n").unwrap();
    scene.look();
    assert_eq!(scene.spool(), "one\ntwo\nthree\n");
    scene.write("log", "five\n");
    writer.write_all(b"four\n").unwrap();
    scene.look();
    // Both are taken, whoever is first.
    writer.write_all(b"late\n").unwrap();
    scene.look();
    let mut lines: Vec<_> = scene.spool().lines().map(str::to_owned).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["five", "four", "late", "one", "three", "two"]);
}

#[test]
fn a_file_without_its_name_is_given_up_after_a_time_with_its_last_words() {
    let mut scene = Scene::following();
    let mut writer = scene.open("log");
    writer.write_all(b"one\nunfini").unwrap();
    fs::rename(scene.path("log"), scene.path("log.1")).unwrap();
    scene.write("log", "two\n");
    scene.look();
    assert!(scene.tails[0].has_old());
    scene.now += OLD_FOR;
    scene.look();
    assert!(!scene.tails[0].has_old());
    assert_eq!(scene.spool(), "one\ntwo\nunfini\n");
    scene.next_master();
    scene.look();
    assert_eq!(scene.spool(), "one\ntwo\nunfini\n");
}

#[test]
fn a_file_that_was_cut_is_read_from_its_beginning() {
    let mut scene = Scene::following();
    scene.write("log", "one\ntwo\n");
    scene.look();
    fs::copy(scene.path("log"), scene.path("log.1")).unwrap();
    scene.open("log").set_len(0).unwrap();
    scene.look();
    scene.write("log", "three\n");
    scene.look();
    assert_eq!(scene.spool(), "one\ntwo\nthree\n");
    // It grows beyond where it was before anybody looks.
    scene.open("log").set_len(0).unwrap();
    scene.write("log", "four, and longer than all before\n");
    scene.look();
    assert_eq!(scene.spool(), "one\ntwo\nthree\nfour, and longer than all before\n");
}

#[test]
fn the_hole_that_a_writer_leaves_in_a_file_that_was_cut_is_no_line() {
    let mut scene = Scene::following();
    let mut writer = File::create(scene.path("log")).unwrap();
    writer.write_all(&[b"x".repeat(100_000).as_slice(), b"\n"].concat()).unwrap();
    scene.look();
    writer.set_len(0).unwrap();
    writer.write_all(b"two\n").unwrap();
    scene.look();
    assert!(scene.spool().ends_with("x\ntwo\n"));
    assert!(!scene.spool().contains('\0'));
}

#[test]
fn what_happens_while_no_master_lives_is_found_by_the_next_one() {
    let mut scene = Scene::following();
    scene.write("log", "one\n");
    scene.look();
    scene.write("log", "two\n");
    fs::rename(scene.path("log"), scene.path("log.1")).unwrap();
    scene.write("log", "three\n");
    scene.next_master();
    scene.look();
    assert_eq!(scene.spool(), "one\ntwo\nthree\n");
    // Its old file is gone, and so is what was in it.
    scene.write("log", "four\n");
    fs::rename(scene.path("log"), scene.path("log.1")).unwrap();
    fs::remove_file(scene.path("log.1")).unwrap();
    scene.write("log", "five\n");
    scene.next_master();
    scene.look();
    assert_eq!(scene.spool(), "one\ntwo\nthree\nfive\n");
    // And it was cut.
    scene.open("log").set_len(0).unwrap();
    scene.write("log", "6\n");
    scene.next_master();
    scene.look();
    assert_eq!(scene.spool(), "one\ntwo\nthree\nfive\n6\n");
}

#[test]
fn several_files_of_one_stream_and_several_runs_never_share_a_line() {
    let mut scene = Scene::new(&["a", "b"], Beginning::Start);
    let long = "y".repeat(Inlet::MOST);
    for round in 0..3 {
        scene.write("a", &format!("a{round}\n"));
        scene.write("b", &format!("b{round}\n"));
        scene.look();
        scene.next_master();
    }
    assert_eq!(scene.spool(), "a0\nb0\na1\nb1\na2\nb2\n");
    // A part of a line is taken only when it is longer than a chunk.
    scene.write("a", &long);
    scene.write("b", "b3\n");
    scene.look();
    assert!(scene.spool().ends_with(&format!("{long}\nb3\n")));
    scene.next_master();
    scene.look();
    scene.write("a", "rest\n");
    scene.feed.set_run(RunId(2));
    scene.look();
    assert!(scene.spool().ends_with(&format!("{long}\nb3\nrest\n")));
}

#[test]
fn what_is_no_plain_file_is_not_read() {
    let mut scene = Scene::new(&["log"], Beginning::Start);
    fs::create_dir(scene.path("log")).unwrap();
    let error = scene.tails[0].look(&mut scene.feed, scene.now).unwrap_err();
    assert!(error.to_string().contains("no plain file"), "{error}");
    fs::remove_dir(scene.path("log")).unwrap();
    scene.write("log", "one\n");
    scene.look();
    assert_eq!(scene.spool(), "one\n");
}

#[test]
fn a_spool_that_takes_nothing_loses_nothing() {
    let mut scene = Scene::following();
    scene.write("log", "one\n");
    scene.look();
    scene.next_master();
    let data = scene.path("spools/web/stdout/data");
    fs::rename(&data, scene.path("aside")).unwrap();
    fs::create_dir(&data).unwrap();
    scene.write("log", "two\n");
    assert_eq!(scene.tails[0].look(&mut scene.feed, scene.now).unwrap(), Looked::Stuck);
    fs::remove_dir(&data).unwrap();
    fs::rename(scene.path("aside"), &data).unwrap();
    scene.look();
    assert_eq!(scene.spool(), "one\ntwo\n");
}

/// Everything that may happen to a log file, in any order.
#[test]
fn whatever_happens_each_line_is_taken_once_and_in_order() {
    for seed in 1..60_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = |most: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % most
        };
        let mut scene = Scene::following();
        let (mut expected, mut number, mut files) = (String::new(), 0, 0);
        for _ in 0..60 {
            match next(8) {
                0..=3 => {
                    for _ in 0..=next(3) {
                        number += 1;
                        let line = format!(
                            "{} {number}\n",
                            "z".repeat(usize::try_from(next(40)).unwrap())
                        );
                        scene.write("log", &line);
                        expected.push_str(&line);
                    }
                }
                4 => {
                    files += 1;
                    fs::rename(scene.path("log"), scene.path(&format!("log.{files}"))).unwrap();
                    scene.write("log", "");
                    // Between two renames somebody looks.
                    scene.look();
                }
                5 => {
                    scene.look();
                    scene.open("log").set_len(0).unwrap();
                }
                6 => scene.next_master(),
                _ => scene.look(),
            }
        }
        scene.look();
        assert_eq!(scene.spool(), expected, "seed {seed}");
    }
}
