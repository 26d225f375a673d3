//! Steering: what is asked of the master itself.

use std::io::{Write as _, stdout};
use std::path::Path;
use std::time::{Duration, Instant};

use hsu_api::{
    MasterView, MessageView, ShutdownMode, ShutdownRequest, UpgradeRequest, WorkerList, WorkerView,
};
use hsu_sys::process::{Activity, activity};

use crate::arguments::{Output, Shutdown};
use crate::client::{Client, PATIENCE, parse};
use crate::exit::{Exit, Failure};
use crate::handover::Handover;
use crate::ordering::json;
use crate::screen::escaped;
use crate::timing::named;

/// How long a master may take to be replaced.
const REPLACED_WITHIN: Duration = Duration::from_secs(15);
/// Workers that an answer names.
const NAMED: usize = 10;
/// How often a master that ends is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Replaces the master.
pub(crate) fn upgrade(
    client: &Client,
    executable: Option<&Path>,
    confirm_mass_stop: bool,
    output: Output,
) -> Result<Exit, Failure> {
    let executable = match executable {
        Some(path) => {
            let path = std::path::absolute(path)?;
            Some(
                path.to_str()
                    .map(str::to_owned)
                    .ok_or_else(|| Failure::Input(format!("{} is no UTF-8", path.display())))?,
            )
        }
        None => None,
    };
    let body = json(&UpgradeRequest { executable, confirm_mass_stop })?;
    let list = || client.get::<WorkerList>("/v1/workers").map(|list| list.workers);
    let before = list().ok();
    let bytes = client.bytes("POST", "/v1/master/upgrade", &body, Some(REPLACED_WITHIN))?;
    let mut answer: MessageView = parse(&bytes)?;
    // What it has done is done, whatever can be asked of it now.
    if let Some(before) = before
        && let Ok(after) = Handover::met().ask(list)
    {
        answer.message.push_str(&changes(&before, &after));
    }
    print_message(&answer, output)
}

/// What the other master makes of a changed configuration.
fn changes(before: &[WorkerView], after: &[WorkerView]) -> String {
    fn find<'v>(views: &'v [WorkerView], id: &str) -> Option<&'v WorkerView> {
        views.iter().find(|view| view.id == id)
    }
    // One that left is shown until it has ended, and may not run any more.
    let may_run = |view: &WorkerView| view.enabled;
    let left =
        before.iter().filter(|old| may_run(old) && !find(after, &old.id).is_some_and(may_run));
    let came = after.iter().filter(|new| find(before, &new.id).is_none());
    let outdated = after.iter().filter(|new| new.outdated);
    let part = |words: &str, views: Vec<&WorkerView>| match views.as_slice() {
        [] => String::new(),
        views => {
            let names = views.iter().take(NAMED).map(|view| view.id.as_str());
            let names = names.collect::<Vec<_>>().join(", ");
            let more = views.len().saturating_sub(NAMED);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            format!("; {words}: {names}{more}")
        }
    };
    [
        part("left out or disabled, and stopped", left.collect()),
        part("added", came.collect()),
        part("changed, and applied by a `restart`", outdated.collect()),
    ]
    .concat()
}

/// Ends the master, and waits for its end when asked to.
pub(crate) fn shutdown(client: &Client, wanted: &Shutdown) -> Result<Exit, Failure> {
    let mode =
        if wanted.keep_workers { ShutdownMode::KeepWorkers } else { ShutdownMode::StopWorkers };
    let body = json(&ShutdownRequest { mode, force: wanted.force })?;
    // Whoever starts another master needs this one's process to be over, not only its answers.
    let process = wanted.wait.then(|| client.master_process()).flatten();
    let bytes = client.bytes("POST", "/v1/master/shutdown", &body, Some(PATIENCE))?;
    let message = parse(&bytes)?;
    if !wanted.wait {
        return print_message(&message, wanted.output);
    }
    let deadline = Instant::now() + wanted.timeout;
    let answers = || match client.get::<MasterView>("/v1/master") {
        Err(failure) => !failure.is_absence(),
        Ok(_) => true,
    };
    // One whose parent does not ask for its status has ended all the same.
    let lives = || {
        process.is_some_and(|key| activity(key).is_ok_and(|activity| activity != Activity::Ended))
    };
    while answers() || lives() {
        if Instant::now() >= deadline {
            return Err(Failure::StillEnding { timeout: named(wanted.timeout) });
        }
        std::thread::sleep(LOOK_EVERY);
    }
    let message = format!("the master at {} has ended", client.place());
    print_message(&MessageView { message }, wanted.output)
}

fn print_message(answer: &MessageView, output: Output) -> Result<Exit, Failure> {
    let line = match output {
        Output::Text => escaped(answer.message.as_bytes()),
        Output::Json => json(answer)?,
    };
    writeln!(stdout().lock(), "{line}")?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(id: &str, enabled: bool, outdated: bool) -> WorkerView {
        serde_json::from_value(serde_json::json!({
            "id": id, "state": "running", "ready": true, "enabled": enabled, "desired": "running",
            "outdated": outdated, "pid": null, "run": null, "uptime_seconds": null,
            "restarts": 0, "attempts": 0, "last_exit": null, "breaker": "closed",
            "next_attempt_seconds": null, "reason": "", "cpu_seconds": null, "memory_bytes": null
        }))
        .unwrap()
    }

    #[test]
    fn an_upgrade_tells_who_left_who_came_and_who_needs_a_restart() {
        let before = ["gone", "departing", "same", "changed"].map(|id| view(id, true, false));
        let after = [
            view("changed", true, true),
            view("departing", false, false),
            view("new", true, false),
            view("same", true, false),
        ];
        assert_eq!(
            changes(&before, &after),
            "; left out or disabled, and stopped: gone, departing; added: new; changed, and applied \
             by a `restart`: changed"
        );
        assert_eq!(changes(&before, &before), "");
        let many: Vec<_> = (0..12).map(|number| view(&format!("w{number}"), true, false)).collect();
        assert!(changes(&[], &many).ends_with("w9 and 2 more"));
    }
}
