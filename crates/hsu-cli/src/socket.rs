//! Where the master's socket is.

use std::path::{Path, PathBuf};

use hsu_config::{LoadOptions, Surroundings};

use crate::arguments::Arguments;
use crate::exit::{Failure, with_causes};

/// The variable that names the socket.
const VARIABLE: &str = "HSU_SOCKET";

/// The socket that was named, or the first one in the usual places.
pub(crate) fn find(arguments: &Arguments) -> Result<PathBuf, Failure> {
    if let Some(socket) = &arguments.socket {
        return Ok(socket.clone());
    }
    if let Some(config) = &arguments.config {
        return of_configuration(config);
    }
    if let Some(socket) = std::env::var_os(VARIABLE).filter(|socket| !socket.is_empty()) {
        return Ok(socket.into());
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
    let tried = usual(runtime.map(PathBuf::from));
    match tried.iter().find(|path| path.exists()) {
        Some(found) => Ok(found.clone()),
        None => Err(Failure::NoSocket { tried }),
    }
}

fn usual(runtime: Option<PathBuf>) -> Vec<PathBuf> {
    let folders = runtime.into_iter().chain(["/tmp".into(), "/run".into()]);
    folders.map(|folder| folder.join("hsu-master").join("control.sock")).collect()
}

fn of_configuration(config: &Path) -> Result<PathBuf, Failure> {
    let source = hsu_config::read(config).map_err(|error| Failure::Input(with_causes(&error)))?;
    let options = LoadOptions::default();
    let outcome = hsu_config::load(&source, &Surroundings::of_this_process(), &options);
    match outcome.fleet {
        Some(fleet) => Ok(fleet.master.directories.control_socket().into()),
        None => Err(Failure::Configuration { path: config.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_folder_of_the_user_comes_first() {
        let places = usual(Some("/run/user/7".into()));
        let places: Vec<_> = places.iter().map(|path| path.to_string_lossy()).collect();
        let expected = [
            "/run/user/7/hsu-master/control.sock",
            "/tmp/hsu-master/control.sock",
            "/run/hsu-master/control.sock",
        ];
        assert_eq!(places, expected);
    }
}
