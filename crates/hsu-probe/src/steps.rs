//! Steps: several looks, one after the other, that hand values to each other.
//!
//! A step that is not taken counts for nothing; one that fails fails the whole,
//! unless it only tells. `{NAME}` in the texts of a step is what was captured under
//! that name; other braces stay as they are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use hsu_model::health::probe::{Capture, Exchange, Origin, Pattern, Probe, Step, Weight, When};

use crate::look::{Looked, Seen, Tools, Trouble, look};
use crate::pattern::shown;
use crate::prober::Subject;

/// The most of a value that is captured, in bytes.
const LONGEST_VALUE: usize = 8 << 10;

/// The name of a number that is read.
const VALUE: &str = "value";

/// What was captured.
type Values = BTreeMap<String, String>;

pub(crate) async fn take(
    tools: &Arc<Tools>,
    steps: &[Step],
    subject: &Subject,
    deadline: Instant,
) -> Looked {
    let mut values = Values::new();
    let mut passed: Vec<Option<bool>> = Vec::with_capacity(steps.len());
    let mut last = Seen::note("no step was taken");
    for step in steps {
        if !is_taken(tools, &step.when, &passed, &values)? {
            passed.push(None);
            continue;
        }
        let mut probe = filled(&step.probe, &values);
        make_legible(&mut probe, &step.captures);
        // A step may be steps itself.
        let looked = Box::pin(look(tools, &probe, subject, deadline)).await;
        let looked = match looked {
            Ok(seen) => capture(tools, &step.captures, &seen, &mut values).map(|()| seen),
            Err(trouble) => Err(trouble),
        };
        match looked {
            Ok(seen) => {
                passed.push(Some(true));
                last = Seen { note: format!("step {}: {}", step.name, seen.note), ..seen };
            }
            Err(Trouble::Bad(_)) if step.weight == Weight::Tells => passed.push(Some(false)),
            Err(Trouble::Bad(why)) => {
                return Err(Trouble::Bad(format!("step {}: {why}", step.name)));
            }
            Err(Trouble::Unable(why)) => {
                return Err(Trouble::Unable(format!("step {}: {why}", step.name)));
            }
        }
    }
    // A check of performance reads its number under this name.
    if let Some(value) = values.get(VALUE) {
        let number = value.trim().parse::<f64>();
        last.value = Some(
            number
                .map_err(|_| Trouble::Bad(format!("{} is no number", shown(value.as_bytes()))))?,
        );
    }
    Ok(last)
}

fn is_taken(
    tools: &Tools,
    when: &When,
    passed: &[Option<bool>],
    values: &Values,
) -> Result<bool, Trouble> {
    let came_to = |place: &usize| passed.get(*place).copied().flatten();
    Ok(match when {
        When::Always => true,
        When::Passed(place) => came_to(place) == Some(true),
        When::Failed(place) => came_to(place) == Some(false),
        When::Matches(name, pattern) => match values.get(name) {
            Some(value) => tools.patterns.get(pattern)?.is_match(value.as_bytes()),
            None => false,
        },
    })
}

fn capture(
    tools: &Tools,
    captures: &[Capture],
    seen: &Seen,
    values: &mut Values,
) -> Result<(), Trouble> {
    for capture in captures {
        let Some(value) = find(tools, &capture.from, seen)? else {
            return Err(Trouble::Bad(format!("there is no {} to capture", capture.name)));
        };
        if value.len() > LONGEST_VALUE {
            return Err(Trouble::Bad(format!("{} is longer than a value may be", capture.name)));
        }
        values.insert(capture.name.clone(), value);
    }
    Ok(())
}

fn find(tools: &Tools, from: &Origin, seen: &Seen) -> Result<Option<String>, Trouble> {
    Ok(match from {
        Origin::Text(pattern) => {
            let regex = tools.patterns.get(pattern)?;
            let found = regex.captures(&seen.text);
            let group = found.and_then(|found| found.get(1).or_else(|| found.get(0)));
            group.map(|group| String::from_utf8_lossy(group.as_bytes()).into_owned())
        }
        Origin::Json(pointer) => {
            let parsed: Option<serde_json::Value> = serde_json::from_slice(&seen.text).ok();
            let value = parsed.as_ref().and_then(|value| value.pointer(pointer));
            value.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        }
        Origin::Header(name) => {
            let same = |head: &&(String, String)| head.0.eq_ignore_ascii_case(name);
            seen.heads.iter().find(same).map(|(_, value)| value.clone())
        }
        Origin::Status => seen.status.map(|status| status.to_string()),
    })
}

/// A file is read only where something in it is wanted; here it is the captures that
/// want it.
fn make_legible(probe: &mut Probe, captures: &[Capture]) {
    let is_read = |capture: &Capture| matches!(capture.from, Origin::Text(_) | Origin::Json(_));
    if let Probe::File(file) = probe
        && captures.iter().any(is_read)
    {
        // The empty pattern is in every text.
        file.expect.get_or_insert_with(|| Pattern(String::new()));
    }
}

/// A probe with what was captured in its texts. Where it goes is never filled in: a
/// value of one server decides neither host nor program.
fn filled(probe: &Probe, values: &Values) -> Probe {
    let mut probe = probe.clone();
    let fill = |text: &mut String| *text = replaced(text, values);
    match &mut probe {
        Probe::Http(http) => {
            fill(&mut http.path);
            http.headers.iter_mut().for_each(|(_, value)| fill(value));
            http.body.iter_mut().for_each(fill);
        }
        Probe::Grpc(grpc) => grpc.headers.iter_mut().for_each(|(_, value)| fill(value)),
        Probe::Exec(exec) => {
            exec.args.iter_mut().for_each(fill);
            exec.environment.iter_mut().for_each(|(_, value)| fill(value));
        }
        Probe::Database(database) => database.query.iter_mut().for_each(fill),
        Probe::Protocol(protocol) => protocol.exchanges.iter_mut().for_each(|exchange| {
            let Exchange { send, .. } = exchange;
            if let Ok(mut text) = String::from_utf8(std::mem::take(send)).inspect_err(|error| {
                // Bytes that are no text hold no name.
                *send = error.as_bytes().to_vec();
            }) {
                fill(&mut text);
                *send = text.into_bytes();
            }
        }),
        Probe::Tcp(_)
        | Probe::Process
        | Probe::File(_)
        | Probe::Log(_)
        | Probe::Usage(_)
        | Probe::Steps(_)
        | _ => {}
    }
    probe
}

/// A text with the values of its names. A value is not looked at again.
fn replaced(text: &str, values: &Values) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (before, after) = rest.split_at(open);
        filled.push_str(before);
        let inside = after.get(1..).unwrap_or_default();
        let value = inside.split_once('}').and_then(|(name, tail)| Some((values.get(name)?, tail)));
        match value {
            Some((value, tail)) => {
                filled.push_str(value);
                rest = tail;
            }
            None => {
                filled.push('{');
                rest = inside;
            }
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use hsu_model::health::probe::{File, Presence};

    use super::*;

    #[test]
    fn a_file_is_read_where_a_capture_wants_what_it_holds() {
        let reads = |expect: Option<&str>, origin: Origin| {
            let expect = expect.map(|text| Pattern(text.to_owned()));
            let (newest, oldest, least_size, most_size) = (None, None, None, None);
            let (path, presence) = ("/srv/count".to_owned(), Presence::Present);
            let file = File { path, presence, newest, oldest, least_size, most_size, expect };
            let mut probe = Probe::File(file);
            make_legible(&mut probe, &[Capture { name: VALUE.to_owned(), from: origin }]);
            let Probe::File(file) = probe else { return None };
            file.expect.map(|pattern| pattern.0)
        };
        let text = || Origin::Text(Pattern("([0-9]+)".to_owned()));
        assert_eq!(reads(None, text()).as_deref(), Some(""));
        assert_eq!(reads(None, Origin::Json("/count".to_owned())).as_deref(), Some(""));
        assert_eq!(reads(Some("^OK"), text()).as_deref(), Some("^OK"));
        assert_eq!(reads(None, Origin::Status), None);
    }

    #[test]
    fn only_names_that_were_captured_are_replaced_and_only_once() {
        let values =
            Values::from([("a".to_owned(), "{b}".to_owned()), ("b".to_owned(), "2".to_owned())]);
        for (text, expected) in [
            ("{a}-{b}", "{b}-2"),
            ("{\"json\": {b}}", "{\"json\": 2}"),
            ("{unknown} {", "{unknown} {"),
            ("{{b}}", "{2}"),
            ("", ""),
        ] {
            assert_eq!(replaced(text, &values), expected);
        }
    }
}
