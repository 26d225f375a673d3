//! Refusals: why the kernel did not start a worker, as a person reads it.

use std::ffi::CStr;
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

use hsu_keeper::{SpawnRequest, Stage};

/// The kernel reads no more of a first line.
// Source: linux/binfmts.h, BINPRM_BUF_SIZE.
const FIRST_LINE: u64 = 256;
// Source: errno(3), ENOEXEC.
const NO_FORMAT: i32 = 8;

/// What was refused, of what was asked for, and why.
pub(crate) fn explain(request: Option<&SpawnRequest>, stage: Stage, errno: i32) -> String {
    let error = io::Error::from_raw_os_error(errno);
    let named = |text: Option<String>| text.map(|text| format!(" {text}")).unwrap_or_default();
    match stage {
        Stage::Resources => format!("no process or descriptor was to be had: {error}"),
        Stage::Limits => {
            let limits = request.map(limits).filter(|limits| !limits.is_empty());
            let limits = limits.map(|limits| format!(" ({limits})")).unwrap_or_default();
            format!("its resource limits{limits} were refused: {error}")
        }
        Stage::Nice => {
            let nice = request.and_then(|request| request.nice).map(|nice| nice.to_string());
            format!("its nice value{} was refused: {error}", named(nice))
        }
        Stage::Group => format!("its groups for limits cannot be entered: {error}"),
        Stage::Identity => format!("its user or groups were refused: {error}"),
        Stage::Policy => {
            let program = request.map(|request| readable(&request.program.executable));
            let what = program.map(|program| format!(" ({program})")).unwrap_or_default();
            format!(
                "the policy of this host does not allow its program, its user or its groups{what} \
                 (hint: root allows it in the keeper-policy)"
            )
        }
        Stage::Directory => {
            let folder = request.map(|request| readable(&request.program.cwd));
            format!("its working directory{} cannot be entered: {error}", named(folder))
        }
        Stage::Execute => {
            let program = request.map(|request| readable(&request.program.executable));
            let need = program.as_deref().and_then(|program| need(Path::new(program), &error));
            let need = need.map(|need| format!(" ({need})")).unwrap_or_default();
            format!("its program{} cannot be executed: {error}{need}", named(program))
        }
    }
}

fn readable(text: &CStr) -> String {
    text.to_string_lossy().into_owned()
}

fn limits(request: &SpawnRequest) -> String {
    let names: Vec<_> = request.rlimits.iter().map(|limit| limit.resource.as_str()).collect();
    names.join(", ")
}

/// What the program itself asks for, when that is what the error is about.
fn need(program: &Path, error: &io::Error) -> Option<String> {
    let first = first_bytes(program).ok()?;
    match (error.kind(), interpreter(&first)) {
        (ErrorKind::NotFound, Some(name)) => {
            Some(format!("its first line asks for {name}, which is not there"))
        }
        (ErrorKind::NotFound, None) => {
            Some("it is there, but the loader that it asks for is not".to_owned())
        }
        (ErrorKind::PermissionDenied, Some(name)) => {
            Some(format!("its first line asks for {name}, which must be executable too"))
        }
        _ if error.raw_os_error() == Some(NO_FORMAT) => {
            Some("no binary for this machine, and no script that begins with #!".to_owned())
        }
        _ => None,
    }
}

fn first_bytes(program: &Path) -> io::Result<Vec<u8>> {
    let mut first = Vec::new();
    std::fs::File::open(program)?.take(FIRST_LINE).read_to_end(&mut first)?;
    Ok(first)
}

/// The interpreter that a script asks for.
fn interpreter(first: &[u8]) -> Option<String> {
    let line = first.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    line.split_ascii_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use hsu_keeper::Program;
    use hsu_model::execution::{Resource, ResourceLimit};
    use hsu_model::id::{RunId, WorkerId};

    use super::*;

    fn request(program: &str) -> SpawnRequest {
        let text = |text: &str| CString::new(text).unwrap();
        SpawnRequest {
            run: RunId(1),
            worker: WorkerId::new("web").unwrap(),
            program: Program {
                executable: text(program),
                args: vec![],
                env: vec![],
                cwd: text("/srv/web"),
            },
            identity: None,
            umask: None,
            nice: Some(-5),
            rlimits: vec![ResourceLimit { resource: Resource::OpenFiles, soft: 9, hard: 8 }],
            entrances: Vec::new(),
            capture: hsu_keeper::Capture::default(),
            cgroup: None,
            ready_descriptor: None,
        }
    }

    fn explained(program: &str, stage: Stage, errno: i32) -> String {
        explain(Some(&request(program)), stage, errno)
    }

    #[test]
    fn what_was_refused_is_named() {
        for (stage, part) in [
            (Stage::Limits, "its resource limits (open_files) were refused: "),
            (Stage::Nice, "its nice value -5 was refused: "),
            (Stage::Directory, "its working directory /srv/web cannot be entered: "),
            (Stage::Policy, "the policy of this host does not allow its program"),
            (Stage::Execute, "its program /bin/none cannot be executed: "),
        ] {
            let text = explained("/bin/none", stage, 1);
            assert!(text.starts_with(part), "{text}");
            assert!(!explain(None, stage, 1).contains('/'), "whatever is known");
        }
    }

    #[test]
    fn what_a_program_asks_for_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = |text: &str| {
            let path = folder.path().join("program");
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        for (text, errno, need) in [
            ("#! /opt/none -x\necho", 2, Some("(its first line asks for /opt/none, which is")),
            ("#!/etc/passwd\n", 13, Some("(its first line asks for /etc/passwd, which must be")),
            ("\x7fELF", 2, Some("(it is there, but the loader that it asks for is not)")),
            ("exit 0", NO_FORMAT, Some("(no binary for this machine, and no script")),
            ("\x7fELF", 13, None),
        ] {
            let explained = explained(&file(text), Stage::Execute, errno);
            match need {
                Some(need) => assert!(explained.contains(need), "{explained}"),
                None => assert!(!explained.ends_with(')') || explained.contains("os error")),
            }
        }
    }
}
