//! Rotation: no more closed files stay than were asked for, whoever else reads them.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use hsu_testkit::{FleetBuilder, Sandbox, Worker, eventually};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

fn file(path: &Path, format: &str, rotation: &Value) -> Value {
    json!({"type": "file", "path": path, "format": format, "rotation": rotation})
}

fn closed(folder: &Path, name: &str) -> usize {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter(|file| file.to_string_lossy().starts_with(&format!("{name}."))).count()
}

/// A worker writes 4 MB at once and then nothing; in the end its last line is in a
/// plain and in a formatted file, and so many closed ones are left of each.
fn leaves(rotation: &Value, left: usize) {
    let sandbox = Sandbox::new().unwrap();
    let folder = sandbox.folder().join("out");
    let outputs = [
        file(&folder.join("plain.log"), "plain", rotation),
        file(&folder.join("times.log"), "enhanced_plain", rotation),
    ];
    let script = "seq 600000; exec sleep 1000";
    let worker = Worker::new("burst", "/bin/sh").arguments(["-c".to_owned(), script.to_owned()]);
    let logs = json!({"enabled": true, "outputs": {"separate": {"stdout": outputs}}});
    let mut fleet = FleetBuilder::new(&sandbox)
        .section("log_collection", json!({"enabled": true}))
        .worker(worker.set("log_collection", logs))
        .start()
        .unwrap();
    for name in ["plain.log", "times.log"] {
        eventually(name, SOON, || {
            let last = fs::read_to_string(folder.join(name)).unwrap_or_default();
            let count = closed(&folder, name);
            let is_there = last.ends_with("600000\n") && count == left;
            if is_there { Ok(()) } else { Err(format!("{count} closed files")) }
        })
        .unwrap();
    }
    fleet.stop(SOON).unwrap();
}

#[test]
fn as_many_closed_files_stay_as_were_asked_for_when_other_outputs_read_the_stream() {
    leaves(&json!({"max_size": "100KB", "max_files": 3}), 3);
}

#[test]
fn closed_files_of_a_quiet_worker_go_when_they_are_too_old() {
    leaves(&json!({"max_size": "100KB", "max_files": 0, "max_age": "3s"}), 0);
}
