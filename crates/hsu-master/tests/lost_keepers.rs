//! A keeper that cannot be had: its socket is taken away, or none can be started.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use hsu_testkit::binaries::binary;
use hsu_testkit::{Fleet, FleetBuilder, Role, Sandbox, Worker, eventually};
use rustix::process::Signal;
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);

fn sleeper(id: &str) -> Worker {
    Worker::new(id, "/bin/sleep").arguments(["1000"])
}

fn is_back(fleet: &Fleet<'_>) {
    eventually("the master is back", SOON, || fleet.list().map_err(|error| error.to_string()))
        .unwrap();
}

/// Puts a keeper at a path, as a whole: one that works, or one that ends at once.
fn put_keeper(path: &Path, works: bool) {
    let real = binary("hsu-keeper").unwrap();
    let line = if works { format!("exec '{}' \"$@\"", real.display()) } else { "exit 1".into() };
    let draft = path.with_extension("draft");
    fs::write(&draft, format!("#!/bin/sh\n{line}\n")).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(draft, path).unwrap();
}

#[test]
fn a_master_that_is_killed_comes_back_though_the_socket_of_its_keeper_was_deleted() {
    let sandbox = Sandbox::new().unwrap();
    let mut fleet = FleetBuilder::new(&sandbox).worker(sleeper("web")).start().unwrap();
    let before = fleet.wait_for("web", "running", SOON).unwrap();
    let keeper = fleet.players(Role::Keeper).unwrap().remove(0);
    for _ in 0..2 {
        fs::remove_file(fleet.base().join("keeper.sock")).unwrap();
        fleet.kill(Role::Master).unwrap();
        eventually("the socket is there again", SOON, || {
            fs::symlink_metadata(fleet.base().join("keeper.sock")).map_err(|e| e.to_string())
        })
        .unwrap();
        is_back(&fleet);
    }
    fs::remove_file(fleet.base().join("keeper.sock")).unwrap();
    fleet.tell(&["master", "upgrade"]).unwrap();
    let after = fleet.wait_for("web", "running", SOON).unwrap();
    assert_eq!((before.pid(), before.restarts()), (after.pid(), after.restarts()));
    assert!(fleet.players(Role::Keeper).unwrap().remove(0).is_same(&keeper));
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_master_without_a_keeper_says_so_now_and_then_and_ends_when_it_is_told_to() {
    let sandbox = Sandbox::new().unwrap();
    let keeper = sandbox.folder().join("keeper");
    put_keeper(&keeper, true);
    let fleet = FleetBuilder::new(&sandbox)
        .master("force_shutdown_timeout", "1s")
        .worker(sleeper("web"))
        .variable("HSU_KEEPER", keeper.display().to_string())
        .start()
        .unwrap();
    fleet.wait_for("web", "running", SOON).unwrap();
    put_keeper(&keeper, false);
    fleet.kill(Role::Keeper).unwrap();
    eventually("the loss is said", SOON, || {
        let words = fleet.own_words();
        if words.contains("the keeper was lost") { Ok(()) } else { Err(words) }
    })
    .unwrap();
    fleet.players(Role::Master).unwrap().remove(0).signal(Signal::TERM).unwrap();
    eventually("the master has ended", SOON, || {
        let left = fleet.players(Role::Master).map_err(|error| error.to_string())?;
        if left.iter().all(|master| master.is_zombie()) { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .unwrap();
    let words = fleet.own_words();
    let socket = fleet.base().join("keeper.sock");
    assert!(words.contains(&format!("no keeper was reached at {}", socket.display())), "{words}");
    assert_eq!(words.matches("the keeper was lost").count(), 1, "{words}");
}

#[test]
fn a_keeper_that_cannot_listen_is_told_at_once_with_the_path_that_is_in_the_way() {
    let sandbox = Sandbox::new().unwrap();
    let base = sandbox.folder().join("base");
    let config = sandbox.folder().join("hsu.yaml");
    let text = json!({"master": {"base_directory": base}, "workers": []});
    fs::write(&config, text.to_string()).unwrap();
    fs::create_dir(&base).unwrap();
    for folder in ["keeper.lock", "inventory", "keeper.sock"] {
        fs::create_dir(base.join(folder)).unwrap();
        let mut command = sandbox.command(binary("hsu-master").unwrap());
        let output = command.arg("--config").arg(&config).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let (socket, place) = (base.join("keeper.sock"), base.join(folder));
        assert!(said.contains(&format!("hsu-keeper: {}: ", place.display())), "{said}");
        let master = format!("cannot reach a keeper at {} ", socket.display());
        assert!(said.contains(&master), "{said}");
        sandbox.empty_within(SOON).unwrap();
        fs::remove_dir(place).unwrap();
    }
}
