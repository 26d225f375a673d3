//! What cannot be started fails its own worker, with the reason, and no other.
//! Cases carry the row of the catalogue of bad inputs.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use hsu_testkit::binaries::binary;
use hsu_testkit::{FleetBuilder, Role, Sandbox, Worker, eventually};
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);

fn file(path: &Path, content: impl AsRef<[u8]>, mode: u32) -> String {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The head of a program for a machine that nobody has: ELF, 64 bits, little endian.
fn foreign_program() -> Vec<u8> {
    let mut head = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
    // Source: elf(5), e_machine; 0x1234 is not assigned.
    head.extend([0x34, 0x12, 1, 0, 0, 0]);
    head.resize(128, 0);
    head
}

struct Case {
    row: u8,
    worker: Worker,
    id: &'static str,
    /// What the reason says.
    says: &'static str,
}

fn case(row: u8, id: &'static str, says: &'static str, worker: Worker) -> Case {
    Case { row, worker, id, says }
}

fn sleeper(id: &str) -> Worker {
    Worker::new(id, "/bin/sleep").arguments(["1000"])
}

fn cases(folder: &Path) -> Vec<Case> {
    let at = |name: &str| folder.join(name);
    let plain = file(&at("plain"), "#!/bin/sh\n", 0o644);
    let foreign = file(&at("foreign"), foreign_program(), 0o755);
    let bare = file(&at("bare"), "echo no first line\n", 0o755);
    let lost = file(&at("lost"), "#!/nowhere/interpreter\n", 0o755);
    fs::create_dir(at("closed")).unwrap();
    fs::set_permissions(at("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    let large = vec!["${LARGE}"; 30];
    let program = |id, path: &str| Worker::new(id, path);
    let mut cases = vec![
        case(34, "missing", "no program at /nowhere/w", program("missing", "/nowhere/w")),
        case(34, "relative", "no program at", program("relative", "nowhere/w")),
        case(34, "in-path", "no program nowhere-w in PATH", program("in-path", "nowhere-w")),
        case(34, "no-mode", "has no permission to be executed", program("no-mode", &plain)),
        case(34, "folder", "is a folder, not a program", program("folder", "/tmp")),
        case(34, "device", "is not a regular file", program("device", "/dev/null")),
        case(34, "foreign", "xec format error", program("foreign", &foreign)),
        case(34, "bare", "xec format error", program("bare", &bare)),
        case(34, "lost", "o such file or directory", program("lost", &lost)),
        case(34, "long", "rgument list too long", sleeper("long").arguments(large)),
        case(
            35,
            "no-folder",
            "o such file or directory",
            sleeper("no-folder").execution("working_directory", "/nowhere"),
        ),
        case(
            35,
            "no-dir",
            "ot a directory",
            sleeper("no-dir").execution("working_directory", "/bin/sleep"),
        ),
        case(
            35,
            "no-user",
            "no user \"nobody-here\"",
            sleeper("no-user").execution("user", "nobody-here"),
        ),
        case(
            35,
            "no-group",
            "no group \"nobody-here\"",
            sleeper("no-group").execution("group", "nobody-here"),
        ),
    ];
    if rustix::process::geteuid().is_root() {
        let closed = sleeper("closed").execution("user", "12345");
        let closed = closed.execution("working_directory", at("closed").to_str().unwrap());
        cases.push(case(35, "closed", "ermission denied", closed));
    }
    cases
}

#[test]
fn what_cannot_be_started_fails_alone_and_says_why() {
    let sandbox = Sandbox::new().unwrap();
    let cases = cases(sandbox.folder());
    let mut builder =
        FleetBuilder::new(&sandbox).worker(sleeper("good")).variable("LARGE", "x".repeat(120_000));
    // Row 35: the number 0 is root, which this is.
    builder = builder.worker(sleeper("zero").execution("user", "0"));
    for case in &cases {
        builder = builder.worker(case.worker.clone());
    }
    let mut fleet = builder.start().unwrap();
    for case in &cases {
        let view = fleet.wait_for(case.id, "failed", SOON);
        let view = view.unwrap_or_else(|error| panic!("row {}: {error}", case.row));
        assert_eq!(view.pid(), None, "row {}, {}", case.row, case.id);
        let why = fleet.tell(&["why", case.id]).unwrap();
        assert!(why.contains(case.says), "row {}, {}: {why}", case.row, case.id);
        // A failed start is no dead end.
        let again = fleet.client(&["start", case.id]).unwrap();
        assert_ne!(again.status.code(), Some(4), "row {}, {}: {again:?}", case.row, case.id);
    }
    fleet.wait_for("good", "running", SOON).unwrap();
    fleet.wait_for("zero", "running", SOON).unwrap();
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_script_gets_its_permission_only_when_that_is_asked_for() {
    let sandbox = Sandbox::new().unwrap();
    let path = sandbox.folder().join("script");
    file(&path, "#!/bin/sh\nexec sleep 1000\n", 0o644);
    let worker = Worker::new("script", &path).execution("make_executable", true);
    let mut fleet = FleetBuilder::new(&sandbox).worker(worker).start().unwrap();
    fleet.wait_for("script", "running", SOON).unwrap();
    fleet.stop(SOON).unwrap();
}

#[test]
fn what_is_in_the_place_of_a_pid_file_is_neither_believed_nor_followed() {
    let sandbox = Sandbox::new().unwrap();
    let base = sandbox.folder().join("base");
    fs::create_dir(&base).unwrap();
    fs::set_permissions(&base, fs::Permissions::from_mode(0o750)).unwrap();
    let secret = sandbox.folder().join("secret");
    fs::write(&secret, "top secret").unwrap();
    let at = |id: &str| base.join(format!("{id}.pid"));
    let texts: [(u8, &str, &[u8]); 9] = [
        (71, "empty", b""),
        (71, "space", b" \n"),
        (71, "init", b"1\n"),
        (71, "negative", b"-1\n"),
        (71, "word", b"abc\n"),
        (71, "pair", b"12 34\n"),
        (71, "overflow", b"99999999999999999999\n"),
        (71, "zero-byte", b"12\0"),
        (72, "keeper", b"2\n"),
    ];
    for (_, id, text) in texts {
        fs::write(at(id), text).unwrap();
    }
    fs::File::create(at("large")).unwrap().set_len(1 << 30).unwrap();
    symlink(&secret, at("link")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    fs::hard_link(&secret, at("second-name")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    fs::create_dir_all(at("folder").join("inside")).unwrap();
    let rows = texts.map(|(row, id, _)| (row, id));
    let others = [(71, "large"), (73, "link"), (73, "dangling"), (73, "second-name"), (73, "pipe")];
    let rows: Vec<_> = rows.into_iter().chain(others).collect();
    let mut builder = FleetBuilder::new(&sandbox).worker(sleeper("folder"));
    for (_, id) in &rows {
        builder = builder.worker(sleeper(id));
    }
    let mut fleet = builder.start().unwrap();
    for (row, id) in &rows {
        let pid = fleet.wait_for(id, "running", SOON).unwrap().pid().unwrap();
        eventually(&format!("row {row}: the PID file of {id} is right"), SOON, || {
            let found = fs::symlink_metadata(at(id)).map_err(|error| error.to_string())?;
            let text = if found.is_file() {
                fs::read_to_string(at(id)).unwrap_or_default()
            } else {
                String::new()
            };
            if text == format!("{pid}\n") { Ok(()) } else { Err(format!("{found:?} {text:?}")) }
        })
        .unwrap();
    }
    // Row 73: a folder cannot be replaced; its worker runs all the same, and it is told.
    fleet.wait_for("folder", "running", SOON).unwrap();
    eventually("it is told", SOON, || {
        let words = fleet.own_words();
        if words.contains("cannot write a PID file") { Ok(()) } else { Err(words) }
    })
    .unwrap();
    assert!(!fleet.own_words().contains("top secret"));
    assert_eq!(fs::read(&secret).unwrap(), b"top secret");
    fleet.stop(SOON).unwrap();
    assert!(!at("empty").exists());
}

#[test]
fn folders_that_others_may_write_are_not_used() {
    // Row 74.
    let sandbox = Sandbox::new().unwrap();
    let base = sandbox.folder().join("base");
    fs::create_dir(&base).unwrap();
    fs::set_permissions(&base, fs::Permissions::from_mode(0o777)).unwrap();
    let config = sandbox.folder().join("hsu.yaml");
    fs::write(&config, json!({"master": {"base_directory": base}, "workers": []}).to_string())
        .unwrap();
    let output = sandbox
        .command(binary("hsu-master").unwrap())
        .arg("--config")
        .arg(&config)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("everybody may write it"), "{said}");
}

#[test]
fn a_worker_that_becomes_another_program_or_a_zombies_parent_is_still_the_worker() {
    // Row 76: the process of a worker is known by more than the program it runs.
    let sandbox = Sandbox::new().unwrap();
    let folder = sandbox.folder().display().to_string();
    let script = format!("sh -c 'exit 3' & touch {folder}/begun; exec sleep 1000");
    let worker = Worker::new("changing", "/bin/sh").arguments(["-c", script.as_str()]);
    let mut fleet = FleetBuilder::new(&sandbox).worker(worker).start().unwrap();
    let pid = fleet.wait_for("changing", "running", SOON).unwrap().pid().unwrap();
    eventually("it has become another program", SOON, || {
        match sandbox.process(pid).map_err(|error| error.to_string())? {
            Some(process) if process.name() == "sleep" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .unwrap();
    fleet.kill(Role::Master).unwrap();
    eventually("the master is back", SOON, || fleet.list().map_err(|error| error.to_string()))
        .unwrap();
    let view = fleet.wait_for("changing", "running", SOON).unwrap();
    assert_eq!((view.pid(), view.restarts()), (Some(pid), 0));
    fleet.tell(&["stop", "changing"]).unwrap();
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_pid_file_of_an_earlier_life_starts_and_kills_nobody() {
    // Rows 72 and 75: the PID in the file is somebody else's by now.
    let sandbox = Sandbox::new().unwrap();
    let mut stranger = sandbox.command("/bin/sleep").arg("1000").spawn().unwrap();
    let found = eventually("the stranger runs", SOON, || {
        let all = sandbox.processes().map_err(|error| error.to_string())?;
        all.into_iter().find(|process| process.name() == "sleep").ok_or_else(String::new)
    })
    .unwrap();
    let base = sandbox.folder().join("base");
    fs::create_dir(&base).unwrap();
    fs::set_permissions(&base, fs::Permissions::from_mode(0o750)).unwrap();
    fs::write(base.join("web.pid"), format!("{}\n", found.pid)).unwrap();
    let mut fleet = FleetBuilder::new(&sandbox).worker(sleeper("web")).start().unwrap();
    let view = fleet.wait_for("web", "running", SOON).unwrap();
    assert_ne!(view.pid(), Some(found.pid));
    fleet.tell(&["stop", "web", "--force"]).unwrap();
    assert!(found.is_alive());
    found.signal(rustix::process::Signal::KILL).unwrap();
    stranger.wait().unwrap();
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_master_whose_standard_streams_are_closed_does_not_mistake_a_file_for_one() {
    // Row 43.
    let sandbox = Sandbox::new().unwrap();
    let base = sandbox.folder().join("base");
    let config = sandbox.folder().join("hsu.yaml");
    fs::write(&config, json!({"master": {"base_directory": base}, "workers": []}).to_string())
        .unwrap();
    let mut door = sandbox
        .command("/bin/sh")
        .args(["-c", "exec \"$0\" \"$@\" <&- >&- 2>&-"])
        .arg(binary("hsu-master").unwrap())
        .arg("--config")
        .arg(&config)
        .spawn()
        .unwrap();
    eventually("the socket is there", SOON, || {
        let is_there = base.join("control.sock").exists();
        if is_there { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .unwrap();
    let all = sandbox.processes().unwrap();
    for role in [Role::Master, Role::Keeper] {
        let player = all.iter().find(|process| role.is_played_by(process)).unwrap();
        for descriptor in 0..3 {
            let link = format!("/proc/{}/fd/{descriptor}", player.outer_pid);
            let target = fs::read_link(link).unwrap();
            assert_eq!(target, Path::new("/dev/null"), "{role:?} {descriptor}");
        }
    }
    for player in all.iter().filter(|process| Role::Master.is_played_by(process)) {
        player.signal(rustix::process::Signal::TERM).unwrap();
    }
    sandbox.empty_within(SOON).unwrap();
    door.wait().unwrap();
}

#[test]
fn two_operators_at_once_get_one_order_of_events() {
    // Row 48.
    let sandbox = Sandbox::new().unwrap();
    let mut fleet = FleetBuilder::new(&sandbox).worker(sleeper("web")).start().unwrap();
    fleet.wait_for("web", "running", SOON).unwrap();
    std::thread::scope(|scope| {
        for verb in ["stop", "start", "restart", "stop", "start"] {
            let fleet = &fleet;
            scope.spawn(move || {
                for _ in 0..4 {
                    let output = fleet.client(&[verb, "web"]).unwrap();
                    let code = output.status.code();
                    // Done, overtaken by another order, or refused in this state.
                    assert!(matches!(code, Some(0 | 1 | 4)), "{verb}: {output:?}");
                    let said = String::from_utf8_lossy(&output.stderr).into_owned();
                    assert!(code == Some(0) || said.starts_with("error: "), "{verb}: {said}");
                }
            });
        }
    });
    fleet.tell(&["start", "web"]).unwrap();
    let view = fleet.wait_for("web", "running", SOON).unwrap();
    let all = sandbox.processes().unwrap();
    let sleepers = all.iter().filter(|p| p.name() == "sleep" && !p.is_zombie());
    let pids: Vec<_> = sleepers.map(|process| process.pid).collect();
    assert_eq!(pids, Vec::from_iter(view.pid()));
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_home_that_is_not_there_or_cannot_be_written_is_told() {
    // Row 49.
    let sandbox = Sandbox::new().unwrap();
    let config = sandbox.folder().join("hsu.yaml");
    fs::write(&config, "workers: []\n").unwrap();
    for (home, code, says) in [(None, 2, "`HOME` is not set"), (Some("/proc/1"), 1, "/proc/1")] {
        let mut command = sandbox.command(binary("hsu-master").unwrap());
        for name in ["HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"] {
            command.env_remove(name);
        }
        if let Some(home) = home {
            command.env("HOME", home);
        }
        let output = command.arg("--config").arg(&config).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{home:?}: {said}");
        assert!(said.contains(says) && !said.contains("panicked"), "{home:?}: {said}");
    }
    sandbox.empty_within(SOON).unwrap();
}

#[test]
fn a_master_that_cannot_start_leaves_nothing_behind() {
    let sandbox = Sandbox::new().unwrap();
    let base = sandbox.folder().join("base");
    // The API cannot listen where a folder is, nor can the state be a file.
    fs::create_dir_all(base.join("control.sock/in-the-way")).unwrap();
    let config = sandbox.folder().join("hsu.yaml");
    let text = json!({"master": {"base_directory": base}, "workers": []});
    fs::write(&config, text.to_string()).unwrap();
    let start = || {
        let mut command = sandbox.command(binary("hsu-master").unwrap());
        command.arg("--config").arg(&config).output().unwrap()
    };
    let socket = start();
    assert_eq!(socket.status.code(), Some(1), "{socket:?}");
    let said = String::from_utf8_lossy(&socket.stderr).into_owned();
    let place = base.join("control.sock").display().to_string();
    assert!(said.contains(&place) && said.contains("no socket is there (hint: "), "{said}");
    sandbox.empty_within(SOON).unwrap();

    fs::remove_dir_all(base.join("control.sock")).unwrap();
    fs::remove_dir_all(base.join("state")).unwrap();
    fs::create_dir_all(base.join("state/state.db/in-the-way")).unwrap();
    let store = start();
    assert_eq!(store.status.code(), Some(1), "{store:?}");
    sandbox.empty_within(SOON).unwrap();
}

#[test]
fn whoever_stops_reading_what_is_printed_has_seen_enough() {
    for verb in ["capabilities", "version"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = std::process::Command::new(binary("hsu-master").unwrap());
        let output = command.arg(verb).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{verb}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{verb}");
    }
}
