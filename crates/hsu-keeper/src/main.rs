//! The binary `hsu-keeper`: the keeper, and in its other role the pump.
#![expect(clippy::print_stderr, reason = "it is a program")]

use std::io::Write as _;
use std::process::ExitCode;

/// What a person who starts it by hand is told.
const USAGE: &str =
    "started by hsu-master, never by hand: hsu-keeper keep|pump --runtime DIR --spools DIR";

const VERSION: &str = concat!("hsu-keeper ", env!("CARGO_PKG_VERSION"));

fn main() -> ExitCode {
    // A role that is in doubt ends at once; the others start it again.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("hsu-keeper: {panic}");
        std::process::abort();
    }));
    let mut arguments = std::env::args_os().skip(1);
    let role = arguments.next();
    let result = match role.as_ref().and_then(|role| role.to_str()) {
        Some("keep") => hsu_keeper::keeper_main(arguments),
        Some("pump") => hsu_keeper::pump_main(arguments),
        Some("-h" | "--help") => say(&format!("{VERSION}: {USAGE}")),
        Some("-V" | "--version") => say(VERSION),
        _ => Err(std::io::Error::other(USAGE)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // In one piece: the master writes to the same terminal or file.
            let line = format!("hsu-keeper: {error}\n");
            // Nobody is left to hear that standard error is closed.
            let _ = std::io::stderr().write_all(line.as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}
