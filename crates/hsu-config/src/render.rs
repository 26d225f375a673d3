//! Diagnostics as text for people and as JSON for programs.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Diagnostics, Position, Severity, Span};
use crate::findings::{is_plain, shown};
use crate::source::Source;

/// Places this many lines apart are shown in one piece of the file.
const NEAR: u32 = 8;
/// Longer lines are cut around the place.
const LONGEST_LINE: usize = 400;

/// Every problem, one after the other, and a last line that counts them.
pub(crate) fn render(diagnostics: &Diagnostics, source: &Source, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let lines = Lines::new(source);
    let mut text = String::new();
    for diagnostic in diagnostics.iter() {
        text.push_str(&one(diagnostic, &lines, &renderer));
        text.push_str("\n\n");
    }
    let count = |number: usize, word: &str| match number {
        1 => format!("1 {word}"),
        _ => format!("{number} {word}s"),
    };
    let errors = diagnostics.errors().count();
    let warnings = diagnostics.warnings().count();
    if errors + warnings > 0 {
        let (errors, warnings) = (count(errors, "error"), count(warnings, "warning"));
        text.push_str(&format!("{}: {errors}, {warnings}\n", lines.name));
    }
    text
}

fn one(diagnostic: &Diagnostic, lines: &Lines<'_>, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code);
    let windows = diagnostic.span.map_or_else(Vec::new, |span| windows(diagnostic, span, lines));
    let mut group = Group::with_title(title);
    if windows.is_empty() {
        group = group.element(Origin::path(lines.name.as_str()));
    }
    for window in &windows {
        let mut snippet = Snippet::source(window.text.as_str()).line_start(window.line as usize);
        match diagnostic.span.filter(|_| window.is_cut) {
            Some(span) => {
                let origin = Origin::path(lines.name.as_str())
                    .line(span.start.line as usize)
                    .char_column(span.start.column as usize);
                group = group.element(origin);
            }
            None => snippet = snippet.path(lines.name.as_str()),
        }
        for mark in &window.marks {
            let annotation = mark.kind.span(mark.start..mark.end).label(mark.label);
            snippet = snippet.annotation(annotation);
        }
        group = group.element(snippet);
    }
    if let Some(hint) = &diagnostic.hint {
        group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
    }
    renderer.render(&[group])
}

/// A few lines of the file and what is marked in them.
struct Window<'d> {
    line: u32,
    last: u32,
    text: String,
    /// Whether the first line lacks its beginning, so that columns cannot be counted in it.
    is_cut: bool,
    marks: Vec<Mark<'d>>,
}

struct Mark<'d> {
    kind: AnnotationKind,
    start: usize,
    end: usize,
    label: &'d str,
}

fn windows<'d>(diagnostic: &'d Diagnostic, span: Span, lines: &Lines<'_>) -> Vec<Window<'d>> {
    let related = diagnostic.related.iter();
    let mut places = vec![(AnnotationKind::Primary, span, diagnostic.label.as_str())];
    places.extend(related.map(|r| (AnnotationKind::Context, r.span, r.label.as_str())));
    let mut windows: Vec<Window<'d>> = Vec::new();
    for (kind, span, label) in places {
        let line = span.start.line;
        let near = |w: &&mut Window<'_>| line + NEAR >= w.line && line <= w.last + NEAR;
        let window = match windows.iter_mut().find(near) {
            Some(window) => window,
            None => {
                windows.push(Window {
                    line,
                    last: line,
                    text: String::new(),
                    is_cut: false,
                    marks: Vec::new(),
                });
                match windows.last_mut() {
                    Some(window) => window,
                    None => continue,
                }
            }
        };
        window.line = window.line.min(line);
        window.last = window.last.max(line);
        let (start, end) = (span.start.offset as usize, span.end.offset as usize);
        window.marks.push(Mark { kind, start, end, label });
    }
    for window in &mut windows {
        lines.fill(window);
    }
    windows
}

/// The file by lines, as it may be shown.
struct Lines<'s> {
    name: String,
    bytes: &'s [u8],
    starts: Vec<usize>,
}

impl<'s> Lines<'s> {
    fn new(source: &'s Source) -> Self {
        let bytes = source.text.as_slice();
        let after = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let starts = std::iter::once(0).chain(after.map(|(at, _)| at + 1)).collect();
        Self { name: shown(&source.name), bytes, starts }
    }

    fn bounds(&self, line: u32) -> (usize, usize) {
        let index = (line as usize).saturating_sub(1);
        let start = self.starts.get(index).copied().unwrap_or(self.bytes.len());
        let next = self.starts.get(index + 1).map(|next| next - 1);
        (start, next.unwrap_or(self.bytes.len()))
    }

    /// Puts the lines of a window into it and moves its marks there.
    fn fill(&self, window: &mut Window<'_>) {
        let (first, _) = self.bounds(window.line);
        let (_, last) = self.bounds(window.last);
        let (start, end) = self.cut(first, last, window);
        window.is_cut = start > first;
        let bytes = self.bytes.get(start..end).unwrap_or_default();
        for mark in &mut window.marks {
            mark.start = mark.start.saturating_sub(start).min(bytes.len());
            // A place that spans lines is marked on its first.
            let rest = bytes.get(mark.start..).unwrap_or_default();
            let line = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let line = line.unwrap_or(rest.len());
            let end = mark.end.saturating_sub(start);
            mark.end = end.clamp(mark.start, mark.start + line);
        }
        window.text = harmless(bytes);
    }

    /// A part of an overlong line around the first mark.
    fn cut(&self, start: usize, end: usize, window: &Window<'_>) -> (usize, usize) {
        if end - start <= LONGEST_LINE * (window.last - window.line + 1) as usize {
            return (start, end);
        }
        let middle = window.marks.first().map_or(start, |mark| mark.start);
        let boundary = |mut at: usize| {
            while at > start && self.bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80) {
                at -= 1;
            }
            at
        };
        let from = boundary(middle.saturating_sub(LONGEST_LINE / 2).max(start));
        (from, boundary((middle + LONGEST_LINE / 2).min(end)))
    }
}

/// The bytes as text that a terminal shows and does not obey. No byte moves, so that
/// places stay right.
fn harmless(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match (is_plain(character) || matches!(character, '\n' | '\t'), character.len_utf8()) {
                (true, _) => text.push(character),
                // Half of the end of a line.
                (false, 1) if character == '\r' => text.push(' '),
                (false, 3) => text.push('\u{fffd}'),
                (false, length) => text.extend(std::iter::repeat_n('?', length)),
            }
        }
        text.extend(std::iter::repeat_n('?', chunk.invalid().len()));
    }
    text
}

/// The same for programs.
pub(crate) fn to_json(diagnostics: &Diagnostics, source: &Source) -> Value {
    let list: Vec<_> = diagnostics.iter().map(one_as_json).collect();
    json!({
        "file": source.name,
        "valid": !diagnostics.has_errors(),
        "errors": diagnostics.errors().count(),
        "warnings": diagnostics.warnings().count(),
        "diagnostics": list,
    })
}

fn one_as_json(diagnostic: &Diagnostic) -> Value {
    let related = diagnostic.related.iter();
    let related: Vec<_> = related
        .map(|related| json!({ "label": related.label, "span": span_as_json(related.span) }))
        .collect();
    json!({
        "severity": diagnostic.severity.as_str(),
        "code": diagnostic.code,
        "message": diagnostic.message,
        "span": diagnostic.span.map(span_as_json),
        "label": diagnostic.label,
        "hint": diagnostic.hint,
        "related": related,
    })
}

fn span_as_json(span: Span) -> Value {
    let position = |p: Position| json!({ "line": p.line, "column": p.column, "offset": p.offset });
    json!({ "start": position(span.start), "end": position(span.end) })
}
