//! The protocol between keeper, pump and master, at both ends.

use std::ffi::CString;

use crate::bytes::Bytes;

/// What a keeper may be sent.
pub(crate) fn orders(input: &[u8]) {
    drop(hsu_keeper::fuzzing::to_keeper(input));
}

/// What a master or a pump may be sent.
pub(crate) fn answers(input: &[u8]) {
    drop(hsu_keeper::fuzzing::from_keeper(input));
}

/// What a policy allows, read again by a slower reader: a text, a zero, a datagram.
pub(crate) fn policy(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let text = String::from_utf8_lossy(bytes.until_zero()).into_owned();
    let judged = hsu_keeper::fuzzing::judged(&text, bytes.rest()).unwrap_or_default();
    for (request, is_allowed) in judged.iter().filter(|(_, is_allowed)| *is_allowed) {
        let (uid, gid) = request.identity.as_ref().map_or((0, 0), |who| (who.uid, who.gid));
        let groups = request.identity.iter().flat_map(|who| &who.groups);
        assert!(names_number(&text, "user", uid), "user {uid} of {text:?}");
        assert!(names_number(&text, "group", gid), "group {gid} of {text:?}");
        groups.for_each(|group| assert!(names_number(&text, "group", *group), "{group}"));
        let program = request.program.executable.to_string_lossy();
        assert!(names_program(&text, &program), "{program} of {text:?}, {is_allowed}");
        let loads = |pair: &CString| pair.as_bytes().starts_with(b"LD_");
        assert!(!request.program.env.iter().any(loads), "other code gets in");
    }
}

fn values<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.filter_map(move |line| line.strip_prefix(word)?.strip_prefix(' ')).map(str::trim)
}

fn names_number(text: &str, word: &str, number: u32) -> bool {
    values(text, word).any(|value| {
        let (first, last) = value.split_once('-').unwrap_or((value, value));
        let ends = (first.parse::<u32>(), last.parse::<u32>());
        matches!(ends, (Ok(first), Ok(last)) if first <= number && number <= last)
    })
}

/// By the steps of a path, so that a folder is no beginning of a name.
fn names_program(text: &str, program: &str) -> bool {
    let steps = |path: &str| -> Vec<String> {
        path.split('/').filter(|step| !step.is_empty() && *step != ".").map(str::to_owned).collect()
    };
    let asked = steps(program);
    program.starts_with('/')
        && values(text, "program").any(|value| {
            let named = steps(value);
            let is_below = value.ends_with('/') && asked.len() > named.len();
            asked == named && !value.ends_with('/') || is_below && asked.starts_with(&named)
        })
}
