//! Diagnostics: what is wrong with a file, where, why, and what to do.

use crate::render;
use crate::source::Source;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken, and something in it does less than it says.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A place in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// The byte offset in the file, from 0.
    pub offset: u32,
}

/// A stretch of text; `end` is the place after its last character.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub start: Position,
    /// Where it has ended.
    pub end: Position,
}

/// Another place that a diagnostic speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// Where.
    pub span: Span,
    /// What is there.
    pub label: String,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name of the kind of problem, such as `unknown-key`.
    pub code: &'static str,
    /// What is wrong, in one lower-case sentence without a full stop.
    pub message: String,
    /// Where; none when it concerns the whole file or the surroundings.
    pub span: Option<Span>,
    /// A few words under the caret.
    pub label: String,
    /// The next step.
    pub hint: Option<String>,
    /// Other places that matter.
    pub related: Vec<Related>,
}

/// All problems of one file, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Problems that are already in the order of the file.
    pub(crate) fn new(list: Vec<Diagnostic>) -> Self {
        Self { list }
    }

    /// Every problem.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// The problems that refuse the file.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.iter().filter(|d| d.severity == Severity::Error)
    }

    /// The problems that do not refuse the file.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.iter().filter(|d| d.severity == Severity::Warning)
    }

    /// Whether the file is refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The text for a terminal: each problem with `file:line:column`, the line and a caret.
    /// Bytes of the file that a terminal would obey are escaped.
    #[must_use]
    pub fn render(&self, source: &Source, color: bool) -> String {
        render::render(self, source, color)
    }

    /// The same as JSON: `{"file", "valid", "errors", "warnings", "diagnostics": [...]}`.
    #[must_use]
    pub fn to_json(&self, source: &Source) -> serde_json::Value {
        render::to_json(self, source)
    }
}
