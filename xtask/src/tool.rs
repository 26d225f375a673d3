//! Tools that cargo installs: each at one version, so that figures can be made again.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::command::{self, cargo};

/// A subcommand of cargo that is not part of it.
pub(crate) struct Tool {
    /// What cargo calls it: `cargo NAME`.
    pub(crate) name: &'static str,
    /// Its package, and the one version that is used.
    pub(crate) package: &'static str,
    pub(crate) version: &'static str,
}

impl Tool {
    /// Installs the tool when another version or none is there.
    pub(crate) fn install(&self) -> Result<()> {
        if self.found().is_some_and(|found| found == self.version) {
            return Ok(());
        }
        println!("  {} {} is not there; cargo installs it", self.package, self.version);
        command::run(cargo().args(["install", "--locked", self.package, "--version", self.version]))
            .with_context(|| {
                let Self { package, version, .. } = self;
                format!("hint: `cargo install --locked {package} --version {version}` by hand")
            })
    }

    /// The version that is there.
    fn found(&self) -> Option<String> {
        let output = command::output(cargo().args([self.name, "--version"])).ok()?;
        output.split_whitespace().last().map(str::to_owned)
    }
}

/// A folder for what a tool writes, outside of the tree that it looks at.
pub(crate) fn output_folder(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("hsu-{name}-{}", std::process::id()))
}
