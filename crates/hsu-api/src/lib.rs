//! The wire contract: versioned request and response types, paths and a client.
