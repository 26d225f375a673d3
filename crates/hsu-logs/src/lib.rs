//! The river: framing, formats, outputs, cursors, tail and search over spools.
