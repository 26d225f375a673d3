//! Severity: how serious a finding about a worker is.

/// How serious a finding is; a factor on retries and delays belongs to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It may become a failure.
    Warning,
    /// It is one.
    Critical,
    /// It has ended something already.
    Emergency,
}

impl Severity {
    /// Every severity.
    pub const ALL: [Self; 3] = [Self::Warning, Self::Critical, Self::Emergency];

    /// The word in configurations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Emergency => "emergency",
        }
    }
}
