//! Policy: what a keeper that runs as root starts for its master, and nothing else.
//!
//! A text of root's alone, at a place that no master chooses. Whatever it does not name
//! is refused: a master that was taken over, or that a configuration has misled, gets
//! no other user, group or program out of its keeper. Without the file there is no
//! policy. Pure but for [`Policy::read`]; the form: docs/security/keeper-policy.md.

use std::ffi::{CString, OsStr};
use std::path::{Component, Path, PathBuf};

use crate::protocol::{Identity, Program};

/// Where the file is.
#[cfg(target_os = "linux")]
const PLACE: &str = "/etc/hsu-master/keeper-policy";
/// The most bytes of it.
#[cfg(target_os = "linux")]
const LONGEST: u64 = 64 << 10;

/// What may be started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    users: Vec<Range>,
    groups: Vec<Range>,
    programs: Vec<Place>,
    masters: Vec<Place>,
}

/// Numbers from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range(u32, u32);

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|number| is_number && *number != u32::MAX)
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = Self(number(first)?, number(last)?);
        (range.0 <= range.1).then_some(range)
    }

    fn has(self, number: u32) -> bool {
        (self.0..=self.1).contains(&number)
    }
}

/// A program, or all programs below a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Program(PathBuf),
    Folder(PathBuf),
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let path = plain(Path::new(text))?;
        Some(if text.ends_with('/') { Self::Folder(path) } else { Self::Program(path) })
    }

    fn has(&self, program: &Path) -> bool {
        match self {
            Self::Program(path) => path == program,
            Self::Folder(folder) => program.starts_with(folder) && program != folder,
        }
    }
}

/// An absolute path without a step back.
fn plain(path: &Path) -> Option<PathBuf> {
    let is_plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    (path.has_root() && path.components().all(is_plain)).then(|| path.components().collect())
}

/// Why something is not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

impl Policy {
    /// Reads the text.
    ///
    /// # Errors
    /// The number of the first line that means nothing.
    pub(crate) fn parse(text: &str) -> Result<Self, usize> {
        let mut policy = Self::default();
        for (line, number) in text.lines().zip(1_usize..) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            policy.take(line).ok_or(number)?;
        }
        Ok(policy)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let (word, value) = line.split_once(' ')?;
        let value = value.trim_start();
        match word {
            "user" => self.users.push(Range::parse(value)?),
            "group" => self.groups.push(Range::parse(value)?),
            "program" => self.programs.push(Place::parse(value)?),
            "master" => self.masters.push(Place::parse(value)?),
            _ => return None,
        }
        Some(())
    }

    /// Whether a worker may be started, from `program`, the path without links.
    pub(crate) fn allows_worker(
        &self,
        program: &Path,
        env: &[CString],
        identity: Option<&Identity>,
    ) -> Result<(), Refused> {
        // Whoever stays what the keeper is stays root.
        let root = Identity { uid: 0, gid: 0, groups: Vec::new() };
        let Identity { uid, gid, groups } = identity.unwrap_or(&root);
        let is_user = self.users.iter().any(|range| range.has(*uid));
        let is_group = |gid: &u32| self.groups.iter().any(|range| range.has(*gid));
        let is_somebody = is_user && is_group(gid) && groups.iter().all(is_group);
        let is_named = self.programs.iter().any(|place| place.has(program));
        allowed(is_somebody && is_named && !loads_more(env))
    }

    /// Whether a master may be started: it becomes what the keeper is.
    pub(crate) fn allows_master(&self, program: &Path, env: &[CString]) -> Result<(), Refused> {
        let is_named = self.masters.iter().any(|place| place.has(program));
        allowed(is_named && !loads_more(env))
    }
}

fn allowed(is_allowed: bool) -> Result<(), Refused> {
    is_allowed.then_some(()).ok_or(Refused)
}

/// Whether a variable makes the loader bring other code into a program that is allowed.
// Source: ld.so(8), "Environment", and the list of glibc for set-user-ID programs.
fn loads_more(env: &[CString]) -> bool {
    let beginnings: [&[u8]; 3] = [b"LD_", b"GCONV_PATH=", b"GLIBC_TUNABLES="];
    env.iter().any(|pair| beginnings.iter().any(|begin| pair.as_bytes().starts_with(begin)))
}

/// The path of a program without links, as text for the kernel.
fn without_links(program: &Program) -> Option<CString> {
    let bytes = program.executable.as_bytes();
    let named = Path::new(std::str::from_utf8(bytes).ok().map(OsStr::new)?);
    let found = std::fs::canonicalize(plain(named)?).ok()?;
    CString::new(found.as_os_str().as_encoded_bytes()).ok()
}

fn path_of(program: &CString) -> Option<&Path> {
    Some(Path::new(std::str::from_utf8(program.as_bytes()).ok()?))
}

/// The same program by its path without links, when a worker may be started from it. What is
/// judged is what is executed: a link that changes meanwhile leads nowhere else.
pub(crate) fn judged_worker(
    policy: Option<&Policy>,
    program: &Program,
    identity: Option<&Identity>,
) -> Result<Option<Program>, Refused> {
    let Some(policy) = policy else { return Ok(None) };
    let executable = without_links(program).ok_or(Refused)?;
    let path = path_of(&executable).ok_or(Refused)?;
    policy.allows_worker(path, &program.env, identity)?;
    Ok(Some(Program { executable, ..program.clone() }))
}

/// The same for a master.
pub(crate) fn judged_master(
    policy: Option<&Policy>,
    program: &Program,
) -> Result<Option<Program>, Refused> {
    let Some(policy) = policy else { return Ok(None) };
    let executable = without_links(program).ok_or(Refused)?;
    policy.allows_master(path_of(&executable).ok_or(Refused)?, &program.env)?;
    Ok(Some(Program { executable, ..program.clone() }))
}

#[cfg(target_os = "linux")]
impl Policy {
    /// The same with places that are named through links, such as `/bin` for `/usr/bin`.
    fn without_links(mut self) -> Self {
        for place in self.programs.iter_mut().chain(&mut self.masters) {
            let (Place::Program(path) | Place::Folder(path)) = place;
            if let Ok(found) = std::fs::canonicalize(&*path) {
                *path = found;
            }
        }
        self
    }

    /// The policy of this host, for a keeper that runs as root; none when there is no file.
    ///
    /// # Errors
    /// The file is not root's alone, or means nothing: such a keeper starts nobody.
    pub(crate) fn read() -> std::io::Result<Option<Self>> {
        use std::io::{Error, ErrorKind, Read as _};
        use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
        // SAFETY: no memory is passed.
        if unsafe { libc::geteuid() } != 0 {
            return Ok(None);
        }
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
        let opened = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(PLACE);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::new(error.kind(), format!("{PLACE}: {error}"))),
        };
        let refuse = |text: String| Error::other(format!("{PLACE}: {text}"));
        let facts = file.metadata()?;
        let is_roots = facts.is_file() && facts.uid() == 0 && facts.mode() & 0o022 == 0;
        if !is_roots {
            return Err(refuse("not a file that only root may write".to_owned()));
        }
        let mut text = String::new();
        file.take(LONGEST + 1).read_to_string(&mut text)?;
        if u64::try_from(text.len()).is_ok_and(|length| length > LONGEST) {
            return Err(refuse(format!("more than {LONGEST} bytes")));
        }
        let parsed = Self::parse(&text).map(Self::without_links);
        parsed.map(Some).map_err(|line| refuse(format!("line {line} means nothing")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# nginx and our own\nuser 33\nuser 1000-1999\ngroup 33\ngroup 1000-1999\n\
        program /usr/sbin/nginx\nprogram /opt/app/\n\nmaster /usr/bin/hsu-master\n";

    fn somebody(uid: u32, gid: u32, groups: &[u32]) -> Identity {
        Identity { uid, gid, groups: groups.to_vec() }
    }

    #[test]
    fn what_is_named_is_allowed_and_nothing_else() {
        let policy = Policy::parse(TEXT).unwrap();
        let web = somebody(33, 33, &[33]);
        let allows = |program: &str, identity: Option<&Identity>| {
            policy.allows_worker(Path::new(program), &[], identity).is_ok()
        };
        assert!(allows("/usr/sbin/nginx", Some(&web)));
        assert!(allows("/opt/app/bin/x", Some(&somebody(1500, 1000, &[]))));
        for program in ["/bin/sh", "/usr/sbin/nginx2", "/opt/app", "/opt/application/x"] {
            assert!(!allows(program, Some(&web)), "{program}");
        }
        for (uid, gid, groups) in
            [(0, 33, &[][..]), (33, 0, &[]), (33, 33, &[0]), (999, 33, &[]), (2000, 33, &[])]
        {
            let other = somebody(uid, gid, groups);
            assert!(!allows("/usr/sbin/nginx", Some(&other)), "{uid} {gid} {groups:?}");
        }
        assert!(!allows("/usr/sbin/nginx", None), "whoever stays what the keeper is stays root");
    }

    #[test]
    fn a_master_is_one_of_the_masters_and_brings_no_other_code() {
        let policy = Policy::parse(TEXT).unwrap();
        let master = Path::new("/usr/bin/hsu-master");
        assert_eq!(policy.allows_master(master, &[c"HOME=/".to_owned()]), Ok(()));
        assert_eq!(policy.allows_master(Path::new("/usr/sbin/nginx"), &[]), Err(Refused));
        for variable in [c"LD_PRELOAD=/tmp/x.so", c"GLIBC_TUNABLES=x", c"GCONV_PATH=/tmp"] {
            let env = [variable.to_owned()];
            assert_eq!(policy.allows_master(master, &env), Err(Refused), "{variable:?}");
        }
    }

    #[test]
    fn a_line_that_means_nothing_is_named() {
        for bad in [
            "user",
            "user x",
            "user -1",
            "user 5-4",
            "user 4294967295",
            "uid 5",
            "program bin/sh",
            "program /a/../b",
            "program",
            "master  ",
            "group 1,2",
        ] {
            assert_eq!(Policy::parse(&format!("user 1\n{bad}\n")), Err(2), "{bad:?}");
        }
        assert_eq!(Policy::parse(""), Ok(Policy::default()));
    }

    #[test]
    fn an_empty_policy_allows_nobody() {
        let policy = Policy::default();
        let somebody = somebody(1000, 1000, &[]);
        let judged = policy.allows_worker(Path::new("/bin/true"), &[], Some(&somebody));
        assert_eq!(judged, Err(Refused));
        assert_eq!(policy.allows_master(Path::new("/bin/true"), &[]), Err(Refused));
    }
}
