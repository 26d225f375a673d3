//! The log files of an nginx that somebody else starts.

use super::*;

/// How often each request is in the output of the worker.
fn counts(output: &Path) -> std::collections::BTreeMap<String, usize> {
    let mut counts = std::collections::BTreeMap::new();
    for line in fs::read_to_string(output).unwrap_or_default().lines() {
        if line.starts_with("/r") {
            *counts.entry(line.to_owned()).or_default() += 1;
        }
    }
    counts
}

#[test]
fn each_line_of_its_log_is_in_the_output_once_whatever_is_renamed_cut_or_killed() {
    let sandbox = Sandbox::new().unwrap();
    let nginx = Service::nginx(&sandbox);
    let site = folder_of(&nginx.pid_file);
    let log = site.join("access.log");
    let output = sandbox.folder().join("output.log");
    let search = json!({ "method": "pid-file", "pid_file": nginx.pid_file });
    let more = json!({
        "log_files": [{ "path": log }, { "path": site.join("later.log"), "stream": "stderr" }],
        "log_collection": { "outputs": { "separate": {
            "stdout": [{ "type": "file", "path": output, "format": "plain" }],
        } } },
    });
    let fleet = watching(&sandbox, &search, &more);
    let pid = attached(&fleet, None);
    let mut asked = 0;
    let mut ask = |count: usize| {
        for _ in 0..count {
            nginx.get(&format!("/r{asked}")).unwrap();
            asked += 1;
        }
        asked
    };
    let all_are_there = |asked: usize| {
        eventually("every line is there", SOON, || {
            let counts = counts(&output);
            match counts.len() == asked && counts.values().all(|count| *count == 1) {
                true => Ok(()),
                false => Err(format!("{asked} asked: {counts:?}")),
            }
        })
        .unwrap();
    };
    all_are_there(ask(20));
    // Renamed, and nginx goes on in it until it is told.
    fs::rename(&log, site.join("access.log.1")).unwrap();
    ask(20);
    let head = sandbox.process(pid).unwrap().unwrap();
    head.signal(Signal::USR1).unwrap();
    all_are_there(ask(20));
    // The master is killed, and what is written meanwhile waits for the next one.
    fleet.kill(Role::Master).unwrap();
    all_are_there(ask(50));
    // Copied and cut.
    fs::copy(&log, site.join("access.log.2")).unwrap();
    fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(0).unwrap();
    all_are_there(ask(20));
    // A file that comes later is its standard error.
    fs::write(site.join("later.log"), "late words\n").unwrap();
    eventually("the later file is there", SOON, || {
        let said = fleet.tell(&["logs", "web"]).map_err(|error| error.to_string())?;
        if said.contains("late words") { Ok(()) } else { Err(said) }
    })
    .unwrap();
    // No master lives, the file is renamed, and the next one finds both.
    leave(&fleet);
    ask(20);
    fs::rename(&log, site.join("access.log.3")).unwrap();
    head.signal(Signal::USR1).unwrap();
    let asked = ask(20);
    let mut fleet = fleet;
    fleet.launch().unwrap();
    all_are_there(asked);
    leave(&fleet);
    nginx.end(&sandbox);
    sandbox.empty_within(SOON).unwrap();
}
