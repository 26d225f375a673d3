//! Rotation: no more closed files stay than were asked for, whoever else reads them.

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

/// A worker that writes 4 MB at once, and then nothing.
fn burst(outputs: &[Value]) -> Worker {
    let script = "seq 600000; exec sleep 1000";
    Worker::new("burst", "/bin/sh").arguments(["-c".to_owned(), script.to_owned()]).set(
        "log_collection",
        json!({"enabled": true, "outputs": {"separate": {"stdout": outputs}}}),
    )
}

#[test]
fn as_many_closed_files_stay_as_were_asked_for_when_other_outputs_read_the_stream() {
    let sandbox = Sandbox::new().unwrap();
    let folder = sandbox.folder().join("out");
    let rotation = json!({"max_size": "100KB", "max_files": 3});
    let worker = burst(&[
        file(&folder.join("plain.log"), "plain", &rotation),
        file(&folder.join("times.log"), "enhanced_plain", &rotation),
    ]);
    let mut fleet = FleetBuilder::new(&sandbox)
        .section("log_collection", json!({"enabled": true}))
        .worker(worker)
        .start()
        .unwrap();
    for name in ["plain.log", "times.log"] {
        eventually(name, SOON, || {
            let last = fs::read_to_string(folder.join(name)).unwrap_or_default();
            let count = closed(&folder, name);
            let is_there = last.ends_with("600000\n") && count == 3;
            if is_there { Ok(()) } else { Err(format!("{count} closed files")) }
        })
        .unwrap();
    }
    fleet.stop(SOON).unwrap();
}

#[test]
fn closed_files_of_a_quiet_worker_go_when_they_are_too_old() {
    let sandbox = Sandbox::new().unwrap();
    let folder = sandbox.folder().join("out");
    let rotation = json!({"max_size": "100KB", "max_files": 0, "max_age": "3s"});
    let worker = burst(&[
        file(&folder.join("plain.log"), "plain", &rotation),
        file(&folder.join("times.log"), "enhanced_plain", &rotation),
    ]);
    let mut fleet = FleetBuilder::new(&sandbox)
        .section("log_collection", json!({"enabled": true}))
        .worker(worker)
        .start()
        .unwrap();
    for name in ["plain.log", "times.log"] {
        eventually(name, SOON, || {
            let last = fs::read_to_string(folder.join(name)).unwrap_or_default();
            let count = closed(&folder, name);
            let is_there = last.ends_with("600000\n") && count == 0;
            if is_there { Ok(()) } else { Err(format!("{count} closed files")) }
        })
        .unwrap();
    }
    fleet.stop(SOON).unwrap();
}
