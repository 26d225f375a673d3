//! The trace: what happened, in order, for whoever has to understand a finding.

use std::fmt::Write as _;

use hsu_core::effect::Effect;
use hsu_core::input::Input;
use hsu_model::time::Tick;

/// Text, or nothing when nobody reads it.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    text: Option<String>,
}

impl Trace {
    /// A trace that is kept.
    pub(crate) fn kept() -> Self {
        Self { text: Some(String::new()) }
    }

    /// Whether somebody reads it.
    pub(crate) fn is_kept(&self) -> bool {
        self.text.is_some()
    }

    /// Everything so far.
    pub(crate) fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// Notes a line.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(text) = &mut self.text {
            text.push_str(&line());
            text.push('\n');
        }
    }

    /// Notes a step of the fleet.
    pub(crate) fn step(&mut self, now: Tick, input: &Input, effects: &[Effect]) {
        if let Some(text) = &mut self.text {
            let _ = writeln!(text, "  {:.3}s {input:?}", now.since(Tick(0)).as_secs_f64());
            for effect in effects {
                let _ = writeln!(text, "      {effect:?}");
            }
        }
    }
}
