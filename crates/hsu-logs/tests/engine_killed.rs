//! SIGKILL of a real engine, again and again, while spools grow.
//!
//! The engine is this test program in another role: the test
//! `an_engine_to_be_killed`. `HSU_ENGINE_KILLS` asks for the long form.
#![expect(clippy::unwrap_used, reason = "what a fixture cannot do fails its test")]

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use hsu_logs::engine::{Console, ConsoleKind, Engine, EngineOptions, Flushed, Trouble};
use hsu_logs::format::Zone;
use hsu_logs::plan::{Input, LogPlan, OutputPlan, Sink};
use hsu_model::logs::{LogFormat, Rotation};
use hsu_model::spool::{SpoolId, base_in_name};
use hsu_model::units::ByteSize;

const FOLDER: &str = "HSU_ENGINE_FOLDER";
const WORKERS: [&str; 3] = ["a", "b", "c"];

fn engine(folder: &Path) -> Engine {
    let input = |worker: &str| Input {
        spool: SpoolId::parse(&format!("{worker}/stdout")).unwrap(),
        format: LogFormat::Plain,
        prefix: format!("{worker}: "),
    };
    let path = folder.join("out.log").to_str().unwrap().to_owned();
    let rotation = Rotation { max_size: ByteSize(100_000), max_files: 0, max_age: None };
    let sink = Sink::File { path, rotation };
    let outputs = vec![OutputPlan { sink, inputs: WORKERS.map(input).to_vec() }];
    let console = || Console { out: Box::new(io::sink()), kind: ConsoleKind::Stream };
    Engine::start(EngineOptions {
        plan: LogPlan { outputs, ..LogPlan::default() },
        spools: folder.join("spools"),
        cursors: folder.join("cursors"),
        stdout: console(),
        stderr: console(),
        zone: Zone::utc(),
        open: hsu_logs::open_any,
        trouble: Trouble::ignored(),
    })
    .unwrap()
}

#[test]
#[ignore = "a role of the test below, not a test"]
fn an_engine_to_be_killed() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let engine = engine(&folder);
    loop {
        engine.wake_all();
        thread::sleep(Duration::from_millis(1));
    }
}

fn start_engine(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "an_engine_to_be_killed", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Everything in the output, closed files first; closed files are within their size.
fn output(folder: &Path) -> String {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    let mut closed: Vec<_> = names.filter(|name| base_in_name("out.log", name).is_some()).collect();
    closed.sort();
    closed.push("out.log".to_owned());
    let read = |name: &String| fs::read_to_string(folder.join(name)).unwrap();
    let files: Vec<String> = closed.iter().map(read).collect();
    assert!(files.iter().all(|file| file.len() <= 100_000));
    files.concat()
}

#[test]
fn an_engine_that_is_killed_at_any_instant_writes_every_line_once() {
    let kills: u64 = std::env::var("HSU_ENGINE_KILLS").map_or(40, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut spools: Vec<_> = WORKERS
        .iter()
        .map(|worker| {
            let spool = folder.path().join("spools").join(worker).join("stdout");
            fs::create_dir_all(&spool).unwrap();
            OpenOptions::new().create(true).append(true).open(spool.join("data")).unwrap()
        })
        .collect();
    // The first engine notes where its inputs begin.
    assert_eq!(engine(folder.path()).flush_and_stop(Duration::from_secs(60)), Flushed::All);
    let mut number = 0;
    for kill in 0..kills {
        let mut running = start_engine(folder.path());
        for _ in 0..6 {
            for _ in 0..200 {
                for spool in &mut spools {
                    let line = format!("{number} {}\n", "m".repeat(number * 7919 % 90));
                    spool.write_all(line.as_bytes()).unwrap();
                }
                number += 1;
            }
            thread::sleep(Duration::from_micros(1_000 + kill * 977 % 3_000));
        }
        running.kill().unwrap();
        running.wait().unwrap();
    }
    assert_eq!(engine(folder.path()).flush_and_stop(Duration::from_secs(60)), Flushed::All);
    let output = output(folder.path());
    for worker in WORKERS {
        let prefix = format!("{worker}: ");
        let mut lines = output.lines().filter_map(|line| line.strip_prefix(&prefix));
        for expected in 0..number {
            let line = format!("{expected} {}", "m".repeat(expected * 7919 % 90));
            assert_eq!(lines.next(), Some(line.as_str()), "{worker}");
        }
        assert_eq!(lines.next(), None);
    }
    assert_eq!(output.lines().count(), number * WORKERS.len());
}
