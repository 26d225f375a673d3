//! Findings: problems as they are found, by byte place, until the whole file is read.
//!
//! Nothing here stops the work: every pass reports and goes on with what is
//! left. A hostile file cannot make the list long: beyond [`Findings::MOST`]
//! problems of a severity the rest is only counted. A warning that is true of
//! many workers is one warning that says how many.

use std::collections::HashMap;

use crate::diagnostic::{Diagnostic, Diagnostics, Position, Related, Severity, Span};

/// A stretch of the decoded text, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Place {
    /// The place from `start` to `end`. Files are far smaller than 4 GiB.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        let narrow = |offset| u32::try_from(offset).unwrap_or(u32::MAX);
        Self { start: narrow(start), end: narrow(end.max(start)) }
    }
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// One problem, being described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    severity: Severity,
    code: &'static str,
    message: String,
    place: Option<Place>,
    label: String,
    hint: Option<String>,
    related: Vec<(Place, String)>,
}

impl Problem {
    /// Words under the caret.
    pub(crate) fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.label = label.into();
        self
    }

    /// The next step.
    pub(crate) fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Another place that matters.
    pub(crate) fn see(&mut self, place: Place, label: impl Into<String>) -> &mut Self {
        self.related.push((place, label.into()));
        self
    }
}

/// Everything found so far.
#[derive(Debug)]
pub(crate) struct Findings {
    problems: Vec<Problem>,
    notices: HashMap<(&'static str, Subject), Notice>,
    /// Receives the description of a problem that is only counted.
    spare: Problem,
    errors: usize,
    warnings: usize,
}

/// What a notice is about: two words that together are its own.
pub(crate) type Subject = (&'static str, &'static str);

/// A warning that is given once for many places.
#[derive(Debug)]
struct Notice {
    problem: usize,
    more: usize,
}

impl Findings {
    /// Problems of one severity that are described.
    pub(crate) const MOST: usize = 100;

    /// Nothing found.
    pub(crate) fn new() -> Self {
        Self {
            problems: Vec::new(),
            notices: HashMap::new(),
            spare: problem(Severity::Error, "", None, String::new()),
            errors: 0,
            warnings: 0,
        }
    }

    /// Reports what refuses the file.
    pub(crate) fn error(
        &mut self,
        code: &'static str,
        place: impl Into<Option<Place>>,
        message: impl Into<String>,
    ) -> &mut Problem {
        self.errors += 1;
        self.add(self.errors, problem(Severity::Error, code, place.into(), message.into()))
    }

    /// Reports what does less than it says.
    pub(crate) fn warning(
        &mut self,
        code: &'static str,
        place: impl Into<Option<Place>>,
        message: impl Into<String>,
    ) -> &mut Problem {
        self.warnings += 1;
        self.add(self.warnings, problem(Severity::Warning, code, place.into(), message.into()))
    }

    /// Reports a warning about `subject` at the first place, and counts the others.
    pub(crate) fn notice(
        &mut self,
        code: &'static str,
        subject: Subject,
        place: Place,
        describe: impl FnOnce() -> (String, String),
    ) {
        if let Some(notice) = self.notices.get_mut(&(code, subject)) {
            notice.more += 1;
            return;
        }
        let (message, hint) = describe();
        let problem = self.problems.len();
        self.warning(code, place, message).hint(hint);
        if self.problems.len() > problem {
            self.notices.insert((code, subject), Notice { problem, more: 0 });
        }
    }

    /// Whether anything refuses the file.
    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Whether a further error would only be counted, so that describing it well is wasted.
    pub(crate) fn is_full(&self) -> bool {
        self.errors >= Self::MOST
    }

    fn add(&mut self, count: usize, problem: Problem) -> &mut Problem {
        if count > Self::MOST {
            self.spare = problem;
            return &mut self.spare;
        }
        self.problems.push(problem);
        self.problems.last_mut().unwrap_or(&mut self.spare)
    }

    /// The problems in the order of the file. `base` is the length of what precedes `text` in it.
    pub(crate) fn finish(mut self, text: &str, base: usize) -> Diagnostics {
        for notice in self.notices.values() {
            let more = notice.more;
            if let (1.., Some(problem)) = (more, self.problems.get_mut(notice.problem)) {
                let times = if more == 1 { "once more" } else { &format!("{more} more times") };
                problem.message = format!("{} (and {times} below)", problem.message);
            }
        }
        let hidden = |count: usize| count.saturating_sub(Self::MOST);
        let (errors, warnings) = (hidden(self.errors), hidden(self.warnings));
        let mut problems = self.problems;
        // What has no place, such as a list of workers that is not there, follows from the rest.
        problems.sort_by_key(|p| (p.place.is_none(), p.place, p.severity));
        // An aliased value is read as often as it is used, and is wrong once.
        problems.dedup();
        let lines = Lines::new(text, base);
        let mut list: Vec<_> = problems.into_iter().map(|p| p.located(&lines)).collect();
        for (severity, count) in [(Severity::Error, errors), (Severity::Warning, warnings)] {
            if count > 0 {
                let message = format!("{count} more {}s are not shown", severity.as_str());
                list.push(problem(severity, "more", None, message).located(&lines));
            }
        }
        Diagnostics::new(list)
    }
}

fn problem(
    severity: Severity,
    code: &'static str,
    place: Option<Place>,
    message: String,
) -> Problem {
    Problem {
        severity,
        code,
        message,
        place,
        label: String::new(),
        hint: None,
        related: Vec::new(),
    }
}

impl Problem {
    fn located(self, lines: &Lines<'_>) -> Diagnostic {
        let related = self
            .related
            .into_iter()
            .map(|(place, label)| Related { span: lines.span(place), label });
        Diagnostic {
            severity: self.severity,
            code: self.code,
            message: self.message,
            span: self.place.map(|place| lines.span(place)),
            label: self.label,
            hint: self.hint,
            related: related.collect(),
        }
    }
}

/// Finds the line and column of a byte.
struct Lines<'s> {
    text: &'s str,
    base: usize,
    starts: Vec<usize>,
}

impl<'s> Lines<'s> {
    fn new(text: &'s str, base: usize) -> Self {
        let after = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(after.map(|(at, _)| at + 1)).collect();
        Self { text, base, starts }
    }

    fn span(&self, place: Place) -> Span {
        Span { start: self.position(place.start), end: self.position(place.end) }
    }

    fn position(&self, offset: u32) -> Position {
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let mut offset = (offset as usize).min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|at| self.starts.get(at));
        let before = start.and_then(|start| self.text.get(*start..offset));
        Position {
            line: narrow(line),
            column: narrow(before.map_or(0, |before| before.chars().count()) + 1),
            offset: narrow(offset + self.base),
        }
    }
}

/// A piece of the file as a message may quote it: short, and nothing that a terminal obeys.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => plain(text.get(..end).unwrap_or_default()) + "...",
        None => plain(text),
    }
}

/// A text with nothing in it that a terminal obeys.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::new();
    for character in text.chars() {
        if is_plain(character) {
            plain.push(character);
        } else {
            plain.extend(character.escape_unicode());
        }
    }
    plain
}

/// Whether a terminal shows this character as itself, in its place.
pub(crate) fn is_plain(character: char) -> bool {
    // Source: Unicode, bidirectional formatting and zero-width characters.
    !matches!(
        character,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
}
