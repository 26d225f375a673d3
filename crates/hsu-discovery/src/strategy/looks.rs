//! How a process looks: its name, arguments, environment and user.

use regex::bytes::Regex;

use super::{Fit, Matcher, Strategy};
use crate::facts::{Facts, full_name};

/// By its name, and the arguments that it was started with.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) name: Matcher,
    pub(super) args: Vec<String>,
}

impl Strategy for Name {
    fn fits(&self, facts: &mut Facts<'_>) -> Fit {
        if !self.name.fits(&full_name(facts)) {
            return Fit::No;
        }
        if self.args.is_empty() {
            return Fit::Yes;
        }
        let Ok(arguments) = facts.arguments() else {
            return Fit::Hidden;
        };
        let own: Vec<&[u8]> = arguments.split(|byte| *byte == 0).skip(1).collect();
        self.args.iter().all(|wanted| own.contains(&wanted.as_bytes())).into()
    }

    fn describe(&self) -> String {
        match self.args.as_slice() {
            [] => format!("named {}", self.name),
            args => format!("named {} and started with {}", self.name, args.join(" ")),
        }
    }
}

/// Programs that carry what they look for in their own command line.
const LOOKERS: [&[u8]; 7] = [b"grep", b"egrep", b"fgrep", b"pgrep", b"pkill", b"rg", b"ag"];

/// By its whole command line.
#[derive(Debug)]
pub(super) struct CommandLine(pub(super) Regex);

impl Strategy for CommandLine {
    fn fits(&self, facts: &mut Facts<'_>) -> Fit {
        if LOOKERS.contains(&facts.face.name.as_slice()) {
            return Fit::No;
        }
        let Ok(arguments) = facts.arguments() else {
            return Fit::Hidden;
        };
        // The last argument ends with a zero byte too, unless the program wrote over it.
        let arguments = arguments.strip_suffix(b"\0").unwrap_or(arguments);
        let line: Vec<u8> =
            arguments.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect();
        self.0.is_match(&line).into()
    }

    fn is_volatile(&self) -> bool {
        // A program may write over its arguments at any time.
        true
    }

    fn describe(&self) -> String {
        format!("started by a command line like {:?}", self.0.as_str())
    }
}

/// By a variable that its program was started with.
#[derive(Debug)]
pub(super) struct Environment {
    pub(super) variable: String,
    pub(super) value: Option<Matcher>,
}

impl Strategy for Environment {
    fn fits(&self, facts: &mut Facts<'_>) -> Fit {
        let Ok(environment) = facts.environment() else {
            return Fit::Hidden;
        };
        let mut values = environment
            .split(|byte| *byte == 0)
            .filter_map(|pair| pair.strip_prefix(self.variable.as_bytes())?.strip_prefix(b"="));
        let fits = match &self.value {
            Some(wanted) => values.any(|value| wanted.fits(value)),
            None => values.next().is_some(),
        };
        fits.into()
    }

    fn describe(&self) -> String {
        match &self.value {
            Some(value) => format!("started with the variable {} {value}", self.variable),
            None => format!("started with a variable {}", self.variable),
        }
    }
}

/// By the user that it acts as.
#[derive(Debug)]
pub(super) struct User {
    name: String,
    uid: Option<u32>,
    trouble: Option<String>,
}

impl User {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), uid: None, trouble: None }
    }
}

impl Strategy for User {
    fn prepare(&mut self, _: &mut super::Scene) -> super::Prepared {
        if self.uid.is_some() {
            return super::Prepared::Same;
        }
        match hsu_sys::users::resolve(Some(&self.name), None) {
            Ok(identity) => {
                self.uid = identity.map(|identity| identity.uid);
                self.trouble = None;
                super::Prepared::Changed
            }
            Err(error) => {
                self.trouble = Some(error.to_string());
                super::Prepared::Same
            }
        }
    }

    fn fits(&self, facts: &mut Facts<'_>) -> Fit {
        match (self.uid, facts.owner()) {
            (Some(wanted), Ok(uid)) => (wanted == uid).into(),
            (None, Ok(_)) => Fit::No,
            (_, Err(_)) => Fit::Hidden,
        }
    }

    fn is_volatile(&self) -> bool {
        true
    }

    fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    fn describe(&self) -> String {
        format!("run by the user {}", self.name)
    }
}

/// Fits no process.
#[derive(Debug)]
pub(super) struct Nobody;

impl Strategy for Nobody {
    fn fits(&self, _: &mut Facts<'_>) -> Fit {
        Fit::No
    }

    fn describe(&self) -> String {
        "found in a way that this version does not know".to_owned()
    }
}
