//! The confirmation that many workers may be stopped at once.

/// The argument of `hsu-master` that confirms it, for one start.
pub(crate) const CONFIRM_MASS_STOP: &str = "--confirm-mass-stop";

/// Whether the workers that left the configuration may be stopped however many they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MassStop {
    /// They may not.
    #[default]
    Refused,
    /// Somebody said so.
    Confirmed,
}
