//! Features that the file format knows and this version does not have.

/// A key that is checked, and whose feature is not built yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// The dotted key, such as `workers[].unit.managed.health_check`.
    pub key: String,
    /// What happens instead.
    pub why: &'static str,
}

/// Every key whose feature is not built yet, in the order of the schema.
#[must_use]
pub fn features() -> &'static [Feature] {
    &[]
}
