//! Where the master's socket is.

use std::path::PathBuf;

use hsu_config::{LoadOptions, Surroundings};

use crate::arguments::Arguments;
use crate::exit::Failure;

/// The socket that was named, or the first one in the usual places.
pub(crate) fn find(arguments: &Arguments) -> Result<PathBuf, Failure> {
    if let Some(socket) = &arguments.socket {
        return Ok(socket.clone());
    }
    if let Some(config) = &arguments.config {
        let source = hsu_config::read(config).map_err(|error| Failure::Input(error.to_string()))?;
        let options = LoadOptions::default();
        let outcome = hsu_config::load(&source, &Surroundings::of_this_process(), &options);
        return match outcome.fleet {
            Some(fleet) => Ok(fleet.master.directories.control_socket().into()),
            None => Err(Failure::Input(format!(
                "{} has errors (hint: hsu-master-cli validate {0})",
                config.display()
            ))),
        };
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let folders = runtime.into_iter().chain(["/tmp".into(), "/run".into(), "/var/run".into()]);
    let tried: Vec<PathBuf> =
        folders.map(|folder| folder.join("hsu-master").join("control.sock")).collect();
    match tried.iter().find(|path| path.exists()) {
        Some(found) => Ok(found.clone()),
        None => Err(Failure::NoSocket { tried }),
    }
}
