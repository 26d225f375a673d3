//! Memory: durable intent, state and the journal, on embedded SQLite.
