//! The workspace: where it is, which crates it has, and on which floors they stand.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use toml::Table;

use crate::command;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Where cargo puts what it builds.
pub(crate) fn target(root: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root.join(folder),
        None => root.join("target"),
    }
}

/// The place of a crate in the house.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Floor {
    /// A product crate; it imports from lower floors only.
    Number(i64),
    /// Tests and chores; no product crate imports it.
    Workbench,
}

/// One crate of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its folder, from the root.
    pub(crate) folder: PathBuf,
    pub(crate) manifest: Table,
}

impl Package {
    /// Reads a manifest's text.
    pub(crate) fn parse(folder: &Path, text: &str) -> Result<Self> {
        let manifest: Table = text.parse()?;
        let name = manifest
            .get("package")
            .and_then(|package| package.get("name")?.as_str())
            .context("the manifest has no package.name")?
            .to_owned();
        Ok(Self { name, folder: folder.to_owned(), manifest })
    }

    /// Its floor; an error says what is wrong with the entry.
    pub(crate) fn floor(&self) -> Result<Floor, String> {
        let entry = self
            .manifest
            .get("package")
            .and_then(|package| package.get("metadata")?.get("hsu")?.get("floor"))
            .ok_or("package.metadata.hsu.floor is missing")?;
        if let Some(number) = entry.as_integer() {
            return Ok(Floor::Number(number));
        }
        match entry.as_str() {
            Some("workbench") => Ok(Floor::Workbench),
            _ => Err("package.metadata.hsu.floor is no number and not \"workbench\"".to_owned()),
        }
    }

    /// What its normal and build builds need, of every platform; not what its tests need.
    pub(crate) fn dependencies(&self) -> Vec<String> {
        let mut tables = vec![&self.manifest];
        if let Some(targets) = self.manifest.get("target").and_then(toml::Value::as_table) {
            tables.extend(targets.values().filter_map(toml::Value::as_table));
        }
        let mut names: Vec<String> = tables
            .into_iter()
            .flat_map(|table| [table.get("dependencies"), table.get("build-dependencies")])
            .flatten()
            .filter_map(toml::Value::as_table)
            .flat_map(|table| table.iter().map(real_name))
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

/// A dependency may be renamed in the manifest.
fn real_name((key, value): (&String, &toml::Value)) -> String {
    let renamed = value.get("package").and_then(toml::Value::as_str);
    renamed.unwrap_or(key).to_owned()
}

/// Every crate of the workspace, by folder.
pub(crate) fn packages(root: &Path) -> Result<Vec<Package>> {
    let mut folders = vec![PathBuf::from("fuzz"), PathBuf::from("xtask")];
    for entry in fs::read_dir(root.join("crates")).context("list crates/")? {
        folders.push(Path::new("crates").join(entry?.file_name()));
    }
    folders.retain(|folder| root.join(folder).join("Cargo.toml").is_file());
    folders.sort();
    folders
        .into_iter()
        .map(|folder| {
            let path = root.join(&folder).join("Cargo.toml");
            let text = fs::read_to_string(&path)?;
            Package::parse(&folder, &text).with_context(|| format!("read {}", path.display()))
        })
        .collect()
}

/// The names of the product's crates: all that stand on a floor.
pub(crate) fn product(root: &Path) -> Result<Vec<String>> {
    Ok(packages(root)?
        .into_iter()
        .filter(|package| matches!(package.floor(), Ok(Floor::Number(_))))
        .map(|package| package.name)
        .collect())
}

/// Every text file that git tracks or would track, by path from the root.
pub(crate) fn texts(root: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut git = Command::new("git");
    git.current_dir(root)
        // A checkout of another owner, as on a build machine, is read all the same.
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .args(["--cached", "--others", "--exclude-standard"]);
    let listing = command::output(&mut git)?;
    let mut texts = BTreeMap::new();
    for name in listing.split('\0').filter(|name| !name.is_empty()) {
        let path = PathBuf::from(name);
        match fs::read(root.join(&path)) {
            // What is not UTF-8 is no text of ours.
            Ok(bytes) => drop(String::from_utf8(bytes).map(|text| texts.insert(path, text))),
            // Removed and not yet committed, or a link to nowhere.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => bail!("cannot read {name}: {error}"),
        }
    }
    Ok(texts)
}
