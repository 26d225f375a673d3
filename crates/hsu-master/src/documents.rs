//! What the command line can be told as: completions and manual pages.

use std::io::{Write as _, stdout};
use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::arguments::Arguments;
use crate::exit::Exit;

/// Prints completions for a shell.
pub(crate) fn completions(shell: clap_complete::Shell) -> anyhow::Result<Exit> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "hsu-master", &mut text);
    if shell == clap_complete::Shell::Bash {
        // `clap_complete` 4.6 takes a hyphen in the name of a program for a verb, in its labels.
        let mended =
            String::from_utf8_lossy(&text).replace("hsu__subcmd__master__", "hsu__master__");
        text = mended.into_bytes();
    }
    stdout().lock().write_all(&text)?;
    Ok(Exit::Success)
}

/// Writes the manual pages into a folder that is made when missing.
pub(crate) fn man(folder: &Path) -> anyhow::Result<Exit> {
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), folder));
    written.with_context(|| format!("cannot write {}", folder.display()))?;
    Ok(Exit::Success)
}
