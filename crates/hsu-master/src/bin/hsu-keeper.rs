//! The binary `hsu-keeper`: the keeper, and in a second role the pump.
fn main() {}
