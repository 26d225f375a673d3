//! How a run ended.

use core::fmt;

/// How a run ended: observed, or unknown for a stated reason. Never invented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// The process ended by itself with this code, 0 to 255.
    Code(i32),
    /// A signal ended the process.
    Signal {
        /// The number of the signal.
        number: i32,
        /// Whether the kernel wrote a core file.
        core: bool,
    },
    /// Nobody could observe the status.
    Unknown(UnknownExit),
}

/// Why an exit status is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnknownExit {
    /// The keeper that was the parent died, and this kernel tells nobody else.
    KeeperLost,
    /// The process is not our child, and this kernel tells its parent only.
    NotOurChild,
    /// The machine was restarted since.
    Reboot,
    /// The spawn was asked for, and no trace of the process was found.
    NeverSeen,
    /// It ended while no master watched it.
    Unwatched,
}

impl Exit {
    /// Whether the run ended with exit code 0.
    #[must_use]
    pub fn is_success(self) -> bool {
        matches!(self, Self::Code(0))
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal { number, core } => {
                match signal_name(*number) {
                    Some(name) => write!(f, "signal {name}")?,
                    None => write!(f, "signal {number}")?,
                }
                if *core { f.write_str(" (core dumped)") } else { Ok(()) }
            }
            Self::Unknown(reason) => write!(f, "unknown exit status: {reason}"),
        }
    }
}

impl fmt::Display for UnknownExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeeperLost => "the keeper was lost",
            Self::NotOurChild => "the process was not our child",
            Self::Reboot => "the machine was restarted",
            Self::NeverSeen => "the process was never seen",
            Self::Unwatched => "it ended while no master watched it",
        })
    }
}

/// The names of the signals, with the numbers of Linux on x86 and ARM.
// Source: signal(7), "Signal numbering for standard signals".
const SIGNALS: [(i32, &str); 31] = [
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (10, "SIGUSR1"),
    (11, "SIGSEGV"),
    (12, "SIGUSR2"),
    (13, "SIGPIPE"),
    (14, "SIGALRM"),
    (15, "SIGTERM"),
    (16, "SIGSTKFLT"),
    (17, "SIGCHLD"),
    (18, "SIGCONT"),
    (19, "SIGSTOP"),
    (20, "SIGTSTP"),
    (21, "SIGTTIN"),
    (22, "SIGTTOU"),
    (23, "SIGURG"),
    (24, "SIGXCPU"),
    (25, "SIGXFSZ"),
    (26, "SIGVTALRM"),
    (27, "SIGPROF"),
    (28, "SIGWINCH"),
    (29, "SIGIO"),
    (30, "SIGPWR"),
    (31, "SIGSYS"),
];

/// The name of a signal, such as `SIGTERM`; none for real-time signals.
#[must_use]
pub fn signal_name(number: i32) -> Option<&'static str> {
    SIGNALS.iter().find(|(n, _)| *n == number).map(|(_, name)| *name)
}

/// The first and the last real-time signal as programs of the GNU C library count them.
const REAL_TIME: (i32, i32) = (34, 64);

/// The number of a signal named `TERM`, `SIGTERM`, `term`, `RTMIN+3`, `RTMAX-1` or `15`; 1 to 64.
#[must_use]
pub fn signal_number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let has_prefix = text.get(..3).is_some_and(|head| head.eq_ignore_ascii_case("sig"));
    let bare = if has_prefix { text.get(3..)? } else { text };
    let named = SIGNALS.iter().find(|(_, name)| name[3..].eq_ignore_ascii_case(bare));
    named.map(|(number, _)| *number).or_else(|| real_time(bare))
}

/// `RTMIN`, `RTMIN+3`, `RTMAX-1`.
fn real_time(name: &str) -> Option<i32> {
    let (first, last) = REAL_TIME;
    let (base, rest) = name.split_at_checked(5)?;
    let offset = |sign: char| match rest {
        "" => Some(0),
        rest => {
            let digits = rest.strip_prefix(sign)?;
            let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<u8>().ok().filter(|_| is_plain).map(i32::from)
        }
    };
    let number = match base {
        base if base.eq_ignore_ascii_case("rtmin") => first + offset('+')?,
        base if base.eq_ignore_ascii_case("rtmax") => last - offset('-')?,
        _ => return None,
    };
    (first..=last).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_found_by_name_by_number_and_by_its_place_among_the_real_time_ones() {
        for (text, number) in [
            ("TERM", Some(15)),
            ("sigterm", Some(15)),
            ("9", Some(9)),
            ("64", Some(64)),
            ("65", None),
            ("RTMIN", Some(34)),
            ("SIGRTMIN+1", Some(35)),
            ("rtmax-1", Some(63)),
            ("RTMIN+31", None),
            ("RTMIN+", None),
            ("RTMIN++1", None),
            ("RTMIN-1", None),
            ("RTMED", None),
            ("", None),
        ] {
            assert_eq!(signal_number(text), number, "{text}");
        }
    }
}
