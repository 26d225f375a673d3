//! The binary `hsu-master-cli`.
fn main() {}
