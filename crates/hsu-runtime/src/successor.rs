//! The successor: how this master is started again, by its keeper or for an upgrade.

use std::ffi::{CString, OsString};
use std::path::Path;

use hsu_keeper::Program;

use crate::mass_stop::{CONFIRM_MASS_STOP, MassStop};

/// Names the file in which a master that was to take over says why it could not.
pub const REPORT_VARIABLE: &str = "HSU_UPGRADE_REPORT";

/// This program as it was started, from another executable when one is named. What was
/// meant for one start alone is left out.
///
/// # Errors
/// The kernel's, when the executable or the working directory cannot be told.
pub(crate) fn this_program(executable: Option<&Path>) -> std::io::Result<Program> {
    program(executable, None)
}

/// As [`this_program`], for one upgrade: with what was confirmed for it, and the file for
/// the reason of a failure.
///
/// # Errors
/// As there.
pub(crate) fn candidate(
    executable: Option<&Path>,
    mass_stop: MassStop,
    report: &Path,
) -> std::io::Result<Program> {
    program(executable, Some((mass_stop, report)))
}

fn program(
    executable: Option<&Path>,
    upgrade: Option<(MassStop, &Path)>,
) -> std::io::Result<Program> {
    let own = std::env::current_exe()?;
    let path = executable.unwrap_or(&own);
    // A binary that was replaced reads as `… (deleted)`; the new one is at the same path.
    let path = path.as_os_str().as_encoded_bytes();
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    let whole = |bytes: &[u8]| CString::new(bytes).map_err(std::io::Error::other);
    let is_confirmed = matches!(upgrade, Some((MassStop::Confirmed, _)));
    let confirmation = is_confirmed.then(|| OsString::from(CONFIRM_MASS_STOP));
    let args = std::env::args_os().filter(|word| word != CONFIRM_MASS_STOP).chain(confirmation);
    let args = args.map(|word| whole(word.as_encoded_bytes()));
    // The service manager is told that the other one is its process now, so what it
    // expects of this one it expects of the other.
    let is_kept = |name: &OsString| name != "WATCHDOG_PID" && name != REPORT_VARIABLE;
    let report = upgrade.map(|(_, report)| (REPORT_VARIABLE.into(), report.into()));
    let env = std::env::vars_os().filter(|(name, _)| is_kept(name)).chain(report);
    let env = env.map(|(name, value)| {
        let mut pair = name.as_encoded_bytes().to_vec();
        pair.push(b'=');
        pair.extend_from_slice(value.as_encoded_bytes());
        whole(&pair)
    });
    Ok(Program {
        executable: whole(path)?,
        args: args.collect::<Result<_, _>>()?,
        env: env.collect::<Result<_, _>>()?,
        cwd: whole(std::env::current_dir()?.as_os_str().as_encoded_bytes())?,
    })
}
