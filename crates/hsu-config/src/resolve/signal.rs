//! The numbers of signals, by system.

use crate::schema::execution::Signal;
use crate::surroundings::Os;

// Source: signal(7), the column for x86 and ARM.
const LINUX: [(&str, i32); 33] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];

// Source: macOS, sys/signal.h.
const MACOS: [(&str, i32); 32] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("EMT", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("BUS", 10),
    ("SEGV", 11),
    ("SYS", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("URG", 16),
    ("STOP", 17),
    ("TSTP", 18),
    ("CONT", 19),
    ("CHLD", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("IO", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("INFO", 29),
    ("USR1", 30),
    ("USR2", 31),
];

/// The first and the last real-time signal as programs of the GNU C library count them.
const REAL_TIME: (i32, i32) = (34, 64);

/// The number of a signal; none when the system has no such signal.
pub(crate) fn number(signal: &Signal, os: Os) -> Option<i32> {
    let most = match os {
        Os::Linux => 64,
        Os::MacOs | Os::Windows => 31,
    };
    let name = match signal {
        Signal::Number(number) => return (1..=most).contains(number).then_some(*number),
        Signal::Name(name) => name.as_str(),
    };
    let table: &[(&str, i32)] = match os {
        Os::Linux | Os::Windows => &LINUX,
        Os::MacOs => &MACOS,
    };
    let found = table.iter().find(|(known, _)| *known == name);
    let real_time = || (os == Os::Linux).then(|| real_time(name)).flatten();
    found.map(|(_, number)| *number).or_else(real_time)
}

/// Whether it holds a program or lets it go on, whatever the program has for it.
pub(crate) fn asks_for_no_end(number: i32, os: Os) -> bool {
    let is = |name: &str| self::number(&Signal::Name(name.to_owned()), os) == Some(number);
    ["STOP", "TSTP", "TTIN", "TTOU"].into_iter().any(is)
}

/// `RTMIN`, `RTMIN+3`, `RTMAX-1`.
fn real_time(name: &str) -> Option<i32> {
    let (first, last) = REAL_TIME;
    let offset = |text: &str, sign: char| match text {
        "" => Some(0),
        _ => text.strip_prefix(sign)?.parse::<u8>().ok().map(i32::from),
    };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => first + offset(rest, '+')?,
        (_, Some(rest)) => last - offset(rest, '-')?,
        (None, None) => return None,
    };
    (first..=last).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_the_number_of_its_system() {
        let name = |name: &str| Signal::Name(name.to_owned());
        for (signal, linux, macos) in [
            (name("TERM"), Some(15), Some(15)),
            (name("USR1"), Some(10), Some(30)),
            (name("RTMIN+3"), Some(37), None),
            (name("RTMAX-1"), Some(63), None),
            (name("RTMIN+31"), None, None),
            (name("INFO"), None, Some(29)),
            (name("NONE"), None, None),
            (Signal::Number(3), Some(3), Some(3)),
            (Signal::Number(37), Some(37), None),
        ] {
            assert_eq!(number(&signal, Os::Linux), linux, "{signal:?}");
            assert_eq!(number(&signal, Os::MacOs), macos, "{signal:?}");
        }
    }
}
