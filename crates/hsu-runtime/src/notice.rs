//! Notices: the text that a worker sends about itself, taken apart.
//!
//! Assignments of one line each. What is not known is passed over, and so is a
//! value that makes no sense: the sender may be of another time than we are.
// Source: sd_notify(3).

use std::time::Duration;

use hsu_model::notify::Said;

/// What one datagram says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notice {
    /// What concerns the life of the worker, in order.
    pub(crate) said: Vec<Said>,
    /// The process that counts from now on.
    pub(crate) main_pid: Option<u32>,
    /// Keep the descriptors that came beside.
    pub(crate) store: bool,
    /// Keep them although their other ends are gone.
    pub(crate) unwatched: bool,
    /// Let go of those with the name.
    pub(crate) remove: bool,
    /// The name of those descriptors.
    pub(crate) name: Option<String>,
}

impl Notice {
    /// Takes a datagram apart.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let mut notice = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            let Ok(line) = std::str::from_utf8(line) else { continue };
            if let Some((name, value)) = line.split_once('=') {
                notice.assign(name, value);
            }
        }
        notice
    }

    fn assign(&mut self, name: &str, value: &str) {
        let microseconds = || value.parse().ok().map(Duration::from_micros);
        let said = match (name, value) {
            ("READY", "1") => Some(Said::Ready),
            ("RELOADING", "1") => Some(Said::Reloading),
            ("STOPPING", "1") => Some(Said::Stopping),
            ("STATUS", text) => Some(Said::Status(text.to_owned())),
            ("WATCHDOG", "1") => Some(Said::Alive),
            ("WATCHDOG", "trigger") => Some(Said::Broken),
            ("WATCHDOG_USEC", _) => microseconds().map(Said::AliveEvery),
            ("EXTEND_TIMEOUT_USEC", _) => microseconds().map(Said::NeedsLonger),
            _ => None,
        };
        self.said.extend(said);
        match (name, value) {
            ("MAINPID", _) => self.main_pid = value.parse().ok().filter(|pid| *pid > 1),
            ("FDSTORE", "1") => self.store = true,
            ("FDPOLL", "0") => self.unwatched = true,
            ("FDSTOREREMOVE", "1") => self.remove = true,
            ("FDNAME", _) if is_name(value) => self.name = Some(value.to_owned()),
            _ => {}
        }
    }
}

/// What a descriptor may be called.
// Source: systemd src/basic/fd-util.c, fdname_is_valid.
fn is_name(name: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii() && !byte.is_ascii_control() && byte != b':';
    name.len() <= 255 && name.bytes().all(is_fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_that_is_known_is_taken_in_order() {
        let text = "READY=1\nSTATUS=serving 3 of 4\nWATCHDOG=1\nWATCHDOG_USEC=2500000\n\
                    EXTEND_TIMEOUT_USEC=10\nMAINPID=77\nRELOADING=1\nSTOPPING=1\nWATCHDOG=trigger";
        let notice = Notice::parse(text.as_bytes());
        assert_eq!(
            notice.said,
            [
                Said::Ready,
                Said::Status("serving 3 of 4".to_owned()),
                Said::Alive,
                Said::AliveEvery(Duration::from_millis(2500)),
                Said::NeedsLonger(Duration::from_micros(10)),
                Said::Reloading,
                Said::Stopping,
                Said::Broken,
            ]
        );
        assert_eq!(notice.main_pid, Some(77));
    }

    #[test]
    fn descriptors_are_named_and_a_name_that_cannot_be_passed_on_is_none() {
        let notice = Notice::parse(b"FDSTORE=1\nFDNAME=cache");
        assert!(notice.store && notice.name.as_deref() == Some("cache") && !notice.unwatched);
        assert!(Notice::parse(b"FDSTORE=1\nFDPOLL=0").unwatched);
        assert!(!Notice::parse(b"FDSTORE=1\nFDPOLL=1").unwatched);
        for bad in ["a:b", "a\tb", "\u{e9}", &"x".repeat(256)] {
            let notice = Notice::parse(format!("FDSTORE=1\nFDNAME={bad}").as_bytes());
            assert_eq!(notice.name, None, "{bad}");
        }
        assert!(Notice::parse(b"FDSTOREREMOVE=1\nFDNAME=cache").remove);
    }

    #[test]
    fn what_makes_no_sense_says_nothing() {
        let senseless: [&[u8]; 12] = [
            b"",
            b"\n\n",
            b"=",
            b"READY",
            b"READY=yes",
            b"READY=1 ",
            b"ready=1",
            b"WATCHDOG_USEC=-1",
            b"WATCHDOG_USEC=99999999999999999999999",
            b"MAINPID=1",
            b"MAINPID=0x10",
            b"\xff=1\0",
        ];
        for text in senseless {
            assert_eq!(Notice::parse(text), Notice::default(), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(text: Vec<u8>) {
            Notice::parse(&text);
        }
    }
}
