//! YAML text to resolved specs, with every problem found in one pass.
