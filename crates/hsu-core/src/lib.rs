//! The mind: pure decisions about the life of workers.
