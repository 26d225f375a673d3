//! Spools: the files that the pump writes and `hsu-logs` reads.
//!
//! Both rooms stand on the same floor, so the words they share live here. A
//! spool is the raw byte stream of one stream of one worker over all its runs,
//! addressed by *stream offset*: the number of bytes ever written before. It is
//! cut into segments at line ends. The current segment has a plain name, a
//! closed one carries the stream offset at which it begins, so no crash between
//! two steps of a rotation loses or doubles a byte.
