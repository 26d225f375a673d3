//! The face: the HTTP API over a Unix socket.
