//! The body: owns the clock, the loop and the hands.
