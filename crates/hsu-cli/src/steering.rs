//! Steering: what is asked of the master itself.

use std::io::{Write as _, stdout};
use std::path::Path;
use std::time::{Duration, Instant};

use hsu_api::{MasterView, MessageView, ShutdownMode, ShutdownRequest, UpgradeRequest};
use hsu_sys::process::{Activity, activity};

use crate::arguments::{Output, Shutdown};
use crate::client::{Client, PATIENCE, parse};
use crate::exit::{Exit, Failure};
use crate::ordering::json;
use crate::screen::escaped;
use crate::timing::named;

/// How long a master may take to be replaced.
const REPLACED_WITHIN: Duration = Duration::from_secs(15);
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
    let bytes = client.bytes("POST", "/v1/master/upgrade", &body, Some(REPLACED_WITHIN))?;
    print_message(&parse(&bytes)?, output)
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
