//! Identity: who this process is, as the kernel sees it, in one line of JSON.

use std::env;
use std::fs;
use std::io;

use serde_json::{Map, Value, json};

/// The environment as one JSON object.
pub(crate) fn environment() -> Value {
    env::vars_os()
        .map(|(key, value)| {
            let text = value.to_string_lossy().into_owned();
            (key.to_string_lossy().into_owned(), Value::String(text))
        })
        .collect::<Map<_, _>>()
        .into()
}

/// Ids, groups, umask, nice value, limits, descriptors and signals.
pub(crate) fn of_this_process() -> io::Result<Value> {
    let status = fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
            .unwrap_or_default()
    };
    let numbers = |name: &str| -> Vec<u64> {
        let words = field(name).split_whitespace();
        words.filter_map(|word| word.parse().ok()).collect()
    };
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The command's name may hold spaces and brackets: fields count after the last one.
    let after_name = stat.rfind(')').map_or("", |at| &stat[at + 1..]);
    // Source: proc_pid_stat(5); the state is field 3 and comes first here.
    let number = |field: usize| -> Option<i64> {
        after_name.split_whitespace().nth(field - 3)?.parse().ok()
    };
    Ok(json!({
        "pid": std::process::id(),
        "parent": number(4),
        "group": number(5),
        "session": number(6),
        "nice": number(19),
        "uid": numbers("Uid"),
        "gid": numbers("Gid"),
        "groups": numbers("Groups"),
        "umask": field("Umask"),
        "signals": {
            "blocked": field("SigBlk"),
            "ignored": field("SigIgn"),
            "caught": field("SigCgt"),
        },
        "no_new_privileges": field("NoNewPrivs") == "1",
        "working_directory": env::current_dir()?.to_string_lossy(),
        "arguments": env::args().collect::<Vec<_>>(),
        "limits": limits()?,
        "descriptors": descriptors()?,
        "cgroups": fs::read_to_string("/proc/self/cgroup")?.lines().collect::<Vec<_>>(),
    }))
}

/// `{"Max open files": ["1024", "4096"]}` and so on, as the kernel words it.
fn limits() -> io::Result<Value> {
    let text = fs::read_to_string("/proc/self/limits")?;
    let rows = text.lines().skip(1).filter_map(|line| {
        let (name, values) = line.split_at_checked(26)?;
        let mut values = values.split_whitespace();
        let pair = json!([values.next()?, values.next()?]);
        Some((name.trim().to_owned(), pair))
    });
    Ok(Value::Object(rows.collect()))
}

/// Every open descriptor and where it leads, the one that reads the list left out.
fn descriptors() -> io::Result<Value> {
    let mut all = Map::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let Ok(target) = fs::read_link(entry.path()) else {
            continue;
        };
        let target = target.to_string_lossy().into_owned();
        if !target.ends_with(&format!("/proc/{}/fd", std::process::id())) {
            let name = entry.file_name().to_string_lossy().into_owned();
            all.insert(name, target.into());
        }
    }
    Ok(all.into())
}
