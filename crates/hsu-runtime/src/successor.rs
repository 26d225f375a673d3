//! The successor: how this master is started again, by its keeper or for an upgrade.

use std::ffi::{CString, OsString};
use std::path::Path;

use hsu_core::input::ShutdownMode;
use hsu_keeper::{CANDIDATE_VARIABLE, KILLED, Program, RELAUNCHED_VARIABLE};

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

/// Names what an operator asked of a master that has begun anew before it was done.
pub(crate) const ASKED_VARIABLE: &str = "HSU_ASKED_TO_END";
const STOP: &str = "stop";
const KEEP: &str = "keep";

/// What an operator asked of this master before it began anew.
#[must_use]
pub fn asked_to_end() -> Option<ShutdownMode> {
    // Of somebody else's environment nothing is obeyed.
    std::env::var_os(RELAUNCHED_VARIABLE)?;
    match std::env::var(ASKED_VARIABLE).ok()?.as_str() {
        STOP => Some(ShutdownMode::StopWorkers),
        KEEP => Some(ShutdownMode::KeepWorkers),
        _ => None,
    }
}

/// Runs this master from its beginning in this process: it reads what another one has
/// written. The program is the one that runs, not the one that may be at its path by now.
/// Returns only when that fails.
pub fn begin_anew(asked: Option<ShutdownMode>) -> std::io::Error {
    let mut program = match this_program(None) {
        Ok(program) => program,
        Err(error) => return error,
    };
    program.env.retain(|pair| {
        let ours = [RELAUNCHED_VARIABLE, CANDIDATE_VARIABLE, ASKED_VARIABLE];
        !ours.iter().any(|name| pair.as_bytes().starts_with(name.as_bytes()))
    });
    let asked = asked.map(|mode| match mode {
        ShutdownMode::StopWorkers => (ASKED_VARIABLE, STOP),
        ShutdownMode::KeepWorkers => (ASKED_VARIABLE, KEEP),
    });
    for (name, value) in [(RELAUNCHED_VARIABLE, KILLED)].into_iter().chain(asked) {
        program.env.extend(CString::new(format!("{name}={value}")));
    }
    hsu_sys::process::begin_anew(&program.args, &program.env)
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
    // What was asked of this master and is not done yet is asked of the next one too.
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
