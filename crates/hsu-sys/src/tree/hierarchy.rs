//! Where the cgroup hierarchies are mounted, and where in them this process is.
//!
//! Pure readers of two files of `/proc/self`; nothing is looked up here.
// Source: proc_pid_mountinfo(5), cgroups(7).

use std::path::{Component, Path, PathBuf};

/// Which generations of cgroups a host has mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Version 2 alone.
    Unified,
    /// Version 1 with a version 2 tree beside it.
    Hybrid,
    /// Version 1 alone.
    Legacy,
    /// None.
    Absent,
}

impl Layout {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unified => "cgroup v2",
            Self::Hybrid => "cgroup v1 and v2",
            Self::Legacy => "cgroup v1",
            Self::Absent => "no cgroups",
        }
    }
}

/// Our own folders in the hierarchies that can kill or hold a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchies {
    pub(crate) layout: Layout,
    /// In the version 2 hierarchy.
    pub(crate) unified: Option<PathBuf>,
    /// In the version 1 hierarchy of the freezer.
    pub(crate) freezer: Option<PathBuf>,
}

impl Hierarchies {
    /// Reads the texts of `/proc/self/mountinfo` and `/proc/self/cgroup`.
    pub(crate) fn parse(mounts: &str, own: &str) -> Self {
        let mounts: Vec<Mount> = mounts.lines().filter_map(Mount::parse).collect();
        let version_2 = mounts.iter().find(|mount| mount.kind == "cgroup2");
        let version_1 = mounts.iter().any(|mount| mount.kind == "cgroup");
        let freezer = mounts.iter().find(|mount| mount.has("freezer"));
        let layout = match (version_2, version_1) {
            (Some(_), false) => Layout::Unified,
            (Some(_), true) => Layout::Hybrid,
            (None, true) => Layout::Legacy,
            (None, false) => Layout::Absent,
        };
        Self {
            layout,
            unified: version_2.and_then(|mount| mount.folder(home(path_of(own, None)?))),
            freezer: freezer.and_then(|mount| mount.folder(path_of(own, Some("freezer"))?)),
        }
    }
}

/// Our own folder in the version 1 hierarchy of a controller.
pub(crate) fn of_controller(mounts: &str, own: &str, controller: &str) -> Option<PathBuf> {
    let mut mounts = mounts.lines().filter_map(Mount::parse);
    let mount = mounts.find(|mount| mount.has(controller))?;
    mount.folder(path_of(own, Some(controller))?)
}

/// Where the three roles live below a folder whose controllers are passed on: no
/// process may be in such a folder itself.
// Source: kernel, admin-guide/cgroup-v2.rst, "No Internal Process Constraint".
pub(crate) const ROLES: &str = "hsu-roles";

/// The folder that is ours, for a process that was moved to its place among the roles.
pub(crate) fn home(path: &str) -> &str {
    match path.strip_suffix(ROLES).and_then(|home| home.strip_suffix('/')) {
        Some("") => "/",
        Some(home) => home,
        None => path,
    }
}

/// The path of a process in the hierarchy of a version 1 controller, or in that of
/// version 2: a line is `number:controllers:path`.
pub(crate) fn path_of<'a>(own: &'a str, controller: Option<&str>) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let (number, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let is_wanted = match controller {
            None => number == "0" && controllers.is_empty(),
            Some(wanted) => controllers.split(',').any(|name| name == wanted),
        };
        is_wanted.then_some(path)
    })
}

/// One mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    /// Which folder of the file system is mounted.
    root: PathBuf,
    point: PathBuf,
    kind: String,
    options: String,
}

impl Mount {
    /// A line is: id, parent, device, root, mount point, options, any number of
    /// tags, a dash, type, source, options of the file system.
    fn parse(line: &str) -> Option<Self> {
        let (head, tail) = line.split_once(" - ")?;
        let mut head = head.split(' ').skip(3);
        let (root, point) = (head.next()?, head.next()?);
        let mut tail = tail.split(' ');
        let (kind, options) = (tail.next()?, tail.nth(1)?);
        Some(Self {
            root: unescape(root),
            point: unescape(point),
            kind: kind.to_owned(),
            options: options.to_owned(),
        })
    }

    fn has(&self, controller: &str) -> bool {
        self.kind == "cgroup" && self.options.split(',').any(|option| option == controller)
    }

    /// Where a path of the hierarchy is seen; none when this mount does not show it,
    /// as in a container that sees only its own part.
    fn folder(&self, path: &str) -> Option<PathBuf> {
        let below = Path::new(path).strip_prefix(&self.root).ok()?;
        let is_inside = below.components().all(|part| matches!(part, Component::Normal(_)));
        is_inside.then(|| self.point.join(below))
    }
}

/// Spaces, tabs, line ends and backslashes are written as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octal = after.first_chunk::<3>().and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        match (first, octal) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
