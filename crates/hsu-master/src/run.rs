//! Running workers: the rooms put together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use hsu_config::{Access, LoadOptions, Opened, Surroundings};
use hsu_model::environment::KEEPER_VARIABLE;
use hsu_model::master::FleetSpec;
use hsu_runtime::{Ending, Loss, MassStop, Options, REPORT_VARIABLE, StartError};
use hsu_server::Socket;
use hsu_sys::files::Ownership;
use tracing::{error, info};

use crate::arguments::RunArguments;
use crate::exit::Exit;
use crate::logging;
use crate::validate::with_causes;

/// Runs what a configuration declares until it is asked to end.
pub(crate) fn run(arguments: &RunArguments) -> anyhow::Result<Exit> {
    let Some(config) = &arguments.config else {
        write_error("no configuration given\nhint: hsu-master --config FILE; see --help");
        return Ok(Exit::Invalid);
    };
    hsu_sys::descriptors::reopen_standard();
    let Some(fleet) = load(config, arguments.enable_log) else {
        return Ok(Exit::Invalid);
    };
    logging::start(fleet.master.log_level);
    let socket = PathBuf::from(fleet.master.directories.control_socket());
    let options = Options {
        fleet,
        config: std::path::absolute(config).unwrap_or_else(|_| config.clone()),
        keeper: keeper().context("cannot find hsu-keeper")?,
        run_duration: arguments.run_duration.filter(|duration| !duration.is_zero()),
        candidate: std::env::var_os(hsu_keeper::CANDIDATE_VARIABLE).is_some(),
        mass_stop: match arguments.confirm_mass_stop {
            true => MassStop::Confirmed,
            false => MassStop::Refused,
        },
        relaunched: std::env::var_os(hsu_keeper::RELAUNCHED_VARIABLE)
            .map(|how| if how == hsu_keeper::HUNG { Loss::Hung } else { Loss::Killed }),
        asked_to_end: hsu_runtime::asked_to_end(),
    };
    let (body, handle) = match hsu_runtime::start(options) {
        Ok(started) => started,
        Err(error) => {
            error!("{}", with_causes(&error));
            report(&with_causes(&error));
            return Ok(if matches!(error, StartError::Lock(_)) {
                Exit::Owned
            } else {
                Exit::Failure
            });
        }
    };
    let server = match hsu_server::start(&socket, handle as Arc<_>) {
        Ok(server) => server,
        Err(error) => {
            error!("{}", with_causes(&error));
            report(&with_causes(&error));
            body.give_up();
            return Ok(Exit::Failure);
        }
    };
    info!(socket = %socket.display(), "hsu-master-cli can steer this master");
    let ending = body.run().context("the loop cannot go on")?;
    // A successor has bound its own socket at the same place, or does so at once.
    let is_followed = matches!(ending, Ending::Replaced | Ending::OutOfDate(_));
    server.stop(if is_followed { Socket::Leave } else { Socket::Remove });
    Ok(match ending {
        Ending::Stopped | Ending::KeptWorkers => Exit::Success,
        Ending::Replaced => Exit::Replaced,
        Ending::OutOfDate(asked) => {
            info!("this master begins anew");
            // A keeper that is there starts another one when this one ends without a goodbye.
            let error = hsu_runtime::begin_anew(asked);
            error!(%error, "this master cannot begin anew");
            Exit::Failure
        }
        Ending::Unheard => Exit::Failure,
    })
}

/// Reads a configuration and prints what is wrong with it; none when it cannot be run.
fn load(config: &Path, enable_log: bool) -> Option<FleetSpec> {
    let source = match hsu_config::read_through(config, open) {
        Ok(source) => source,
        Err(error) => {
            write_error(&with_causes(&error));
            report(&with_causes(&error));
            return None;
        }
    };
    let options = LoadOptions { enable_log, ..LoadOptions::default() };
    let outcome = hsu_config::load(&source, &Surroundings::of_this_process(), &options);
    let text = outcome.diagnostics.render(&source, false);
    if !text.is_empty() {
        write_text(&text);
    }
    if outcome.fleet.is_none() {
        report(&text);
    }
    outcome.fleet
}

/// Opens what is going to be obeyed, so that root obeys only what root wrote.
fn open(config: &Path) -> std::io::Result<Opened> {
    let (file, ownership) = hsu_sys::files::open_with_ownership(config)?;
    let access = ownership.map(|Ownership { mode, owner, reader }| Access { mode, owner, reader });
    Ok(Opened { file, access })
}

/// Leaves word for the master that goes on when this one was to take over from it.
fn report(text: &str) {
    if let Some(path) = std::env::var_os(REPORT_VARIABLE) {
        // Without it the log has the reason.
        drop(std::fs::write(path, text));
    }
}

fn write_error(text: &str) {
    write_text(&format!("error: {text}\n"));
}

fn write_text(text: &str) {
    use std::io::Write as _;
    // Nobody is left to hear that standard error is closed.
    drop(std::io::stderr().write_all(text.as_bytes()));
}

/// The executable of keeper and pump: named by `HSU_KEEPER`, or beside our own.
fn keeper() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os(KEEPER_VARIABLE) {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let folder = own.parent().context("the executable has no folder")?;
    let name = format!("hsu-keeper{}", std::env::consts::EXE_SUFFIX);
    let path = folder.join(name);
    anyhow::ensure!(
        path.exists(),
        "no hsu-keeper beside {} (hint: install both binaries together, or set HSU_KEEPER)",
        own.display()
    );
    Ok(path)
}
