//! The binary `hsu-master`.
fn main() {}
