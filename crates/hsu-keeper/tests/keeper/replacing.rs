//! Replacing: a master is lost, stands still, or gives way to another.
//!
//! The masters here are this very binary, which plays one on request and writes
//! into a file what it sees.

use std::fs;
use std::io::Write as _;
use std::mem::ManuallyDrop;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hsu_keeper::{FromKeeper, GoodbyeMode, Link, Program, Role, ToKeeper, VERSION};
use hsu_model::id::RunId;

use crate::fixture::{
    Folder, Master, all_pids, eventually, is_alive, kill, path_text, sleeper, text,
};
use crate::isolation::isolated;

/// Names the folder to whoever plays a master.
const FOLDER: &str = "HSU_TEST_FOLDER";
/// What the player does.
const PLAY: &str = "HSU_TEST_PLAY";

/// How a master is started that behaves as told.
fn player(folder: &Folder, play: &str) -> Program {
    let this = std::env::current_exe().unwrap();
    let words = ["player", "--exact", "replacing::plays_a_master", "--nocapture"];
    Program {
        executable: text(this.to_str().unwrap()),
        args: words.map(text).to_vec(),
        env: vec![
            text(&format!("{FOLDER}={}", path_text(&folder.0))),
            text(&format!("{PLAY}={play}")),
        ],
        cwd: text("/"),
    }
}

fn note(folder: &Folder, line: &str) {
    let path = folder.0.join("notes");
    let mut file = fs::File::options().create(true).append(true).open(path).unwrap();
    file.write_all(format!("{} {line}\n", std::process::id()).as_bytes()).unwrap();
}

/// Who wrote a line into the notes, oldest first.
fn noted(folder: &Folder, line: &str) -> Vec<u32> {
    let notes = fs::read_to_string(folder.0.join("notes")).unwrap_or_default();
    let pairs = notes.lines().filter_map(|note| note.split_once(' '));
    pairs.filter(|(_, found)| *found == line).map(|(pid, _)| pid.parse().unwrap()).collect()
}

fn wait_for(folder: &Folder, line: &str, times: usize) -> u32 {
    eventually(line, || {
        let writers = noted(folder, line);
        (writers.len() >= times).then(|| writers[times - 1])
    })
}

/// Not a test of its own: the masters of the others.
#[test]
fn plays_a_master() {
    let Some(path) = std::env::var_os(FOLDER) else { return };
    // The folder belongs to the test.
    let folder = ManuallyDrop::new(Folder(PathBuf::from(path)));
    let play = std::env::var(PLAY).unwrap();
    let is_candidate = std::env::var_os(hsu_keeper::CANDIDATE_VARIABLE).is_some();
    let is_relaunched = std::env::var_os(hsu_keeper::RELAUNCHED_VARIABLE).is_some();
    note(
        &folder,
        match (is_candidate, is_relaunched) {
            (true, _) => "is a candidate",
            (false, true) => "is relaunched",
            (false, false) => "is started by hand",
        },
    );
    let role = if is_candidate { Role::Candidate } else { Role::Master };
    let relaunch = player(&folder, &play);
    let is_deaf = play == "deaf" && !is_relaunched;
    if play == "crash" && is_candidate {
        std::process::exit(1);
    }
    if play == "broken" && is_relaunched {
        std::process::exit(2);
    }
    if play == "faulty" && is_relaunched {
        std::process::abort();
    }
    if play == "starter" && !is_relaunched {
        hsu_keeper::start(&folder.plan(), &relaunch).unwrap();
        return;
    }
    let mut master = folder.connect_as(role, &relaunch);
    note(&folder, "is welcome");
    if play == "brief" && !is_relaunched {
        // The keeper sees the end of its process and its last words at once.
        kill(master.keeper, libc::SIGSTOP);
        let hello = ToKeeper::Hello { role, version: VERSION, relaunch };
        let mut last = Link::connect(&folder.plan().runtime, hello).unwrap();
        last.queue(ToKeeper::Goodbye { mode: GoodbyeMode::Stop });
        last.flush().unwrap();
        std::process::exit(0);
    }
    if play == "goodbye" {
        master.say(ToKeeper::Goodbye { mode: GoodbyeMode::Keep });
        std::process::exit(0);
    }
    if is_deaf {
        loop {
            std::thread::park();
        }
    }
    loop {
        for message in std::mem::take(&mut master.heard) {
            on_message(&folder, &play, &mut master, &message);
        }
        if !master.hear(Duration::from_secs(100)) {
            return;
        }
    }
}

fn on_message(folder: &Folder, play: &str, master: &mut Master, message: &FromKeeper) {
    match message {
        FromKeeper::Ping => master.say(ToKeeper::Pong),
        FromKeeper::Yield => {
            note(folder, "yields");
            master.say(ToKeeper::Yielded);
        }
        FromKeeper::Proceed => {
            note(folder, "proceeds");
            match play {
                "late" => {}
                "die" => std::process::exit(1),
                _ => master.say(ToKeeper::Ready),
            }
        }
        FromKeeper::Resume => note(folder, "resumes"),
        FromKeeper::Fenced => {
            note(folder, "is fenced");
            std::process::exit(0);
        }
        FromKeeper::UpgradeFailed { reason } => note(folder, &format!("failed: {reason}")),
        _ => {}
    }
}

/// A keeper whose master is a player, started as the keeper would.
fn stage(folder: &Folder, play: &str) -> u32 {
    let mut first = folder.connect(player(folder, play));
    first.spawn(sleeper(1));
    first.started(1);
    // This very process is no master any more; a player comes in its place.
    start_player(folder, play);
    // Before it says hello, nobody would start it again.
    wait_for(folder, "is welcome", 1)
}

fn start_player(folder: &Folder, play: &str) {
    let program = player(folder, play);
    let mut command = std::process::Command::new(program.executable.to_str().unwrap());
    command.args(program.args.iter().skip(1).map(|word| word.to_str().unwrap()));
    command.env_clear();
    for pair in &program.env {
        let (name, value) = pair.to_str().unwrap().split_once('=').unwrap();
        command.env(name, value);
    }
    command.spawn().unwrap();
}

fn staged(play: &str) -> (Folder, u32) {
    let folder = Folder::new();
    hsu_keeper::start(&folder.plan(), &Program::default()).unwrap();
    let master = stage(&folder, play);
    (folder, master)
}

#[test]
fn a_master_that_is_killed_is_started_again_every_time() {
    isolated("replacing::a_master_that_is_killed_is_started_again_every_time", || {
        let (folder, mut master) = staged("serve");
        for time in 1..=10 {
            kill(master, libc::SIGKILL);
            let next = wait_for(&folder, "is relaunched", time);
            assert_ne!(next, master);
            master = next;
        }
        assert!(is_alive(master));
    });
}

#[test]
fn a_master_that_is_lost_before_it_has_connected_is_started_again() {
    isolated("replacing::a_master_that_is_lost_before_it_has_connected_is_started_again", || {
        let folder = Folder::new();
        start_player(&folder, "starter");
        let master = wait_for(&folder, "is relaunched", 1);
        assert_eq!(wait_for(&folder, "is welcome", 1), master);
    });
}

#[test]
fn a_master_that_is_killed_finds_its_keeper_though_somebody_took_the_socket_away() {
    let name = "replacing::\
                a_master_that_is_killed_finds_its_keeper_though_somebody_took_the_socket_away";
    isolated(name, || {
        let (folder, mut master) = staged("serve");
        let (run, socket) = (folder.plan().runtime, folder.plan().socket());
        let deeds: [&dyn Fn(); 4] = [
            &|| fs::remove_file(&socket).unwrap(),
            &|| fs::write(socket.with_extension("other"), "no socket").unwrap(),
            &|| drop(UnixListener::bind(socket.with_extension("other")).unwrap()),
            &|| fs::remove_dir_all(&run).unwrap(),
        ];
        for (time, deed) in (1..).zip(deeds) {
            deed();
            // What was put beside it takes its place.
            let _ = fs::rename(socket.with_extension("other"), &socket);
            kill(master, libc::SIGKILL);
            master = wait_for(&folder, "is relaunched", time);
            assert_eq!(wait_for(&folder, "is welcome", time + 1), master);
        }
        let mut own = folder.connect(player(&folder, "serve"));
        assert_eq!(own.inventory().len(), 1, "all the while it was one keeper");
    });
}

#[test]
fn a_keeper_whose_folder_belongs_to_another_by_now_leaves_its_socket_alone() {
    let name = "replacing::a_keeper_whose_folder_belongs_to_another_by_now_leaves_its_socket_alone";
    isolated(name, || {
        let (folder, master) = staged("serve");
        fs::remove_dir_all(folder.plan().runtime).unwrap();
        fs::create_dir(folder.plan().runtime).unwrap();
        let other = hsu_keeper::start(&folder.plan(), &Program::default()).unwrap();
        let socket = folder.plan().socket();
        let identity = || fs::symlink_metadata(&socket).ok().map(|found| found.ino());
        let theirs = eventually("the other keeper listens", identity);
        kill(master, libc::SIGKILL);
        wait_for(&folder, "is relaunched", 1);
        wait_for(&folder, "is welcome", 2);
        assert_eq!(identity(), Some(theirs));
        assert!(is_alive(other));
    });
}

#[test]
fn a_master_that_said_goodbye_is_not_started_again() {
    isolated("replacing::a_master_that_said_goodbye_is_not_started_again", || {
        let (folder, master) = staged("goodbye");
        eventually("it has ended", || (!is_alive(master)).then_some(()));
        let mut next = folder.connect(Program::default());
        assert_eq!(next.inventory().len(), 1, "its worker is kept");
        assert_eq!(noted(&folder, "is relaunched"), [], "and nobody took its place");
    });
}

#[test]
fn a_goodbye_that_is_not_heard_before_its_master_has_ended_counts() {
    isolated("replacing::a_goodbye_that_is_not_heard_before_its_master_has_ended_counts", || {
        let folder = Folder::new();
        let keeper = hsu_keeper::start(&folder.plan(), &Program::default()).unwrap();
        start_player(&folder, "brief");
        let master = wait_for(&folder, "is welcome", 1);
        eventually("it has ended", || (!is_alive(master)).then_some(()));
        kill(keeper, libc::SIGCONT);
        eventually("the keeper has ended", || (!is_alive(keeper)).then_some(()));
        let is_other = |pid: &u32| *pid != std::process::id() && is_alive(*pid);
        eventually("nobody is left", || (!all_pids().iter().any(is_other)).then_some(()));
        assert_eq!(noted(&folder, "is relaunched"), [], "nobody takes its place");
    });
}

#[test]
fn a_master_that_ends_by_itself_again_and_again_is_started_less_and_less_often() {
    let name =
        "replacing::a_master_that_ends_by_itself_again_and_again_is_started_less_and_less_often";
    isolated(name, || {
        for play in ["broken", "faulty"] {
            let (folder, master) = staged(play);
            let begin = Instant::now();
            kill(master, libc::SIGKILL);
            wait_for(&folder, "is relaunched", 4);
            // 100, 200 and 400 ms lie between the four.
            assert!(begin.elapsed() >= Duration::from_millis(700), "{play}: {:?}", begin.elapsed());
            // It is still looked after: whoever comes is the master.
            let mut own = folder.connect(player(&folder, "serve"));
            assert_eq!(own.inventory().len(), 1, "{play}");
        }
    });
}

#[test]
fn a_master_and_its_keeper_are_replaced_in_turn() {
    isolated("replacing::a_master_and_its_keeper_are_replaced_in_turn", || {
        let (folder, master) = staged("serve");
        kill(master, libc::SIGKILL);
        let master = wait_for(&folder, "is relaunched", 1);
        assert!(is_alive(master));
        // One that connects later would take the place of ours.
        wait_for(&folder, "is welcome", 2);
        // The player does not start keepers: the test does.
        let mut own = folder.connect(player(&folder, "serve"));
        own.kill_keeper();
        own = folder.master();
        assert_eq!(own.inventory().len(), 1);
    });
}

fn upgrade(folder: &Folder, program: Program) -> Master {
    let mut old = folder.connect(player(folder, "serve"));
    old.say(ToKeeper::Upgrade { program });
    old
}

fn expect_yield(old: &mut Master) {
    old.expect("a request to yield", |message| match message {
        FromKeeper::Yield => Ok(()),
        other => Err(other),
    });
    old.say(ToKeeper::Yielded);
}

fn expect_failure(old: &mut Master) -> String {
    old.expect("news of the failure", |message| match message {
        FromKeeper::UpgradeFailed { reason } => Ok(reason),
        other => Err(other),
    })
}

fn begun() -> (Folder, Master) {
    let folder = Folder::new();
    let mut master = folder.master();
    master.spawn(sleeper(1));
    master.started(1);
    (folder, master)
}

#[test]
fn a_candidate_takes_over_and_the_old_master_is_fenced() {
    isolated("replacing::a_candidate_takes_over_and_the_old_master_is_fenced", || {
        let (folder, _) = begun();
        let mut old = upgrade(&folder, player(&folder, "serve"));
        let candidate = wait_for(&folder, "is a candidate", 1);
        expect_yield(&mut old);
        old.expect("the fence", |message| match message {
            FromKeeper::Fenced => Ok(()),
            other => Err(other),
        });
        assert!(!old.hear(Duration::from_secs(10)), "its link is closed");
        // From now on the candidate is the one that is started again.
        kill(candidate, libc::SIGKILL);
        let next = wait_for(&folder, "is relaunched", 1);
        assert!(is_alive(next));
    });
}

#[test]
fn a_candidate_that_crashes_leaves_the_old_master_in_office() {
    isolated("replacing::a_candidate_that_crashes_leaves_the_old_master_in_office", || {
        let (folder, _) = begun();
        for play in ["crash", "die"] {
            let mut old = upgrade(&folder, player(&folder, play));
            if play == "die" {
                expect_yield(&mut old);
            }
            old.expect("leave to go on", |message| match message {
                FromKeeper::Resume => Ok(()),
                other => Err(other),
            });
            assert_eq!(expect_failure(&mut old), "it ended before it was ready", "{play}");
            assert_eq!(old.inventory().len(), 1, "it still serves");
        }
        let nothing = Program { executable: text("/no/such/program"), ..Program::default() };
        let mut old = upgrade(&folder, nothing);
        let failure = expect_failure(&mut old);
        assert!(failure.starts_with("/no/such/program could not be started: No such"), "{failure}");
    });
}

#[test]
fn a_late_candidate_is_dead_before_the_old_master_goes_on() {
    isolated("replacing::a_late_candidate_is_dead_before_the_old_master_goes_on", || {
        let (folder, _) = begun();
        let mut old = upgrade(&folder, player(&folder, "late"));
        expect_yield(&mut old);
        let candidate = wait_for(&folder, "proceeds", 1);
        old.expect("leave to go on", |message| match message {
            FromKeeper::Resume => Ok(()),
            other => Err(other),
        });
        assert!(!is_alive(candidate), "two would have the state");
        assert_eq!(expect_failure(&mut old), "it was not ready in time");
    });
}

#[test]
fn a_candidate_whose_old_master_is_killed_proceeds_and_nobody_else_is_started() {
    let name =
        "replacing::a_candidate_whose_old_master_is_killed_proceeds_and_nobody_else_is_started";
    isolated(name, || {
        // A player serves, the test asks for the upgrade in its name, and is replaced by
        // the player that the keeper starts again: the candidate finds nobody in office.
        let (folder, first) = staged("serve");
        kill(first, libc::SIGSTOP);
        let mut old = folder.connect(player(&folder, "serve"));
        old.say(ToKeeper::Upgrade { program: player(&folder, "serve") });
        wait_for(&folder, "is a candidate", 1);
        kill(first, libc::SIGKILL);
        expect_yield(&mut old);
        wait_for(&folder, "proceeds", 1);
        old.expect("the fence", |message| match message {
            FromKeeper::Fenced => Ok(()),
            other => Err(other),
        });
    });
}

#[test]
#[ignore = "takes 35 s: the watchdog asks every 25 s"]
fn a_master_whose_loop_stands_still_is_ended_and_replaced() {
    isolated("replacing::a_master_whose_loop_stands_still_is_ended_and_replaced", || {
        let (folder, master) = staged("deaf");
        let begin = Instant::now();
        let patient = (0..4)
            .find_map(|_| std::panic::catch_unwind(|| wait_for(&folder, "is relaunched", 1)).ok());
        println!("replaced after {:?}", begin.elapsed());
        assert!(patient.is_some_and(|next| next != master && is_alive(next)));
    });
}

#[test]
fn what_ended_while_no_master_was_there_is_told_to_the_next() {
    isolated("replacing::what_ended_while_no_master_was_there_is_told_to_the_next", || {
        let folder = Folder::new();
        let mut master = folder.master();
        for run in 1..=20 {
            master.spawn(sleeper(run));
        }
        let pids: Vec<u32> = (1..=20).map(|run| master.started(run)).collect();
        drop(master);
        for pid in &pids {
            kill(*pid, libc::SIGTERM);
        }
        eventually("all are reaped", || {
            let left = all_pids();
            pids.iter().all(|pid| !left.contains(pid)).then_some(())
        });
        let mut next = folder.connect(Program::default());
        next.say(ToKeeper::Inventory);
        for run in 1..=20 {
            let exit = next.exited(run);
            assert_eq!(exit.to_string(), "signal SIGTERM");
            next.say(ToKeeper::Acknowledge { run: RunId(run) });
        }
    });
}
