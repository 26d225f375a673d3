//! YAML text to resolved specs, with every problem found in one pass.
//!
//! The passes have types: bytes ([`Source`]) → a tree with places → typed
//! sections → [`FleetSpec`], in which nothing means "the default" any more.
//! Everything that resolution needs from outside (environment, home, whether a
//! path exists) comes in as [`Surroundings`], so that the same text always gives
//! the same answer. Only [`read`] and [`Surroundings::of_this_process`] touch the
//! system. Absent on purpose: starting anything, watching files, reload.
//!
//! Why: docs/design/0003-configuration.md. Keys: docs/reference/configuration.md.

mod compose;
mod diagnostic;
mod feature;
mod findings;
#[doc(hidden)]
pub mod fuzzing;
mod node;
mod reader;
mod reference;
mod render;
mod resolve;
mod schema;
mod source;
mod substitute;
mod summary;
mod surroundings;
mod text;
mod value;
mod verdict;

pub use diagnostic::{Diagnostic, Diagnostics, Position, Related, Severity, Span};
pub use feature::{Feature, features};
pub use reference::reference;
pub use source::{Access, Limits, Opened, ReadError, Source, read, read_opened, read_through};
pub use summary::summary;
pub use surroundings::{Found, Os, Surroundings};
pub use verdict::{Readability, Verdict, validate};

use hsu_model::master::FleetSpec;

use findings::Findings;
use reader::Reader;
use resolve::{Context, Files};
use schema::root::Root;

/// What a caller wants of [`load`], besides the text.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// `--enable-log`: collect output even when the file does not ask for it.
    pub enable_log: bool,
    /// Look for programs and folders, and warn when they are missing. For `validate`;
    /// a start does without, since a missing program fails its own worker.
    pub check_files: bool,
    /// Looks for users and groups, to warn of those that are missing. For `validate` alone: a
    /// data base of users may be slow to answer.
    pub missing_account: Option<MissingAccount>,
    /// How large and how deep a file may be.
    pub limits: Limits,
}

/// Says why this host has no such user (the first name) or group (the second), in words; none
/// when it has them.
pub type MissingAccount = fn(Option<&str>, Option<&str>) -> Option<String>;

/// The answer of [`load`].
#[derive(Debug)]
pub struct Outcome {
    /// The configuration; none when there are errors.
    pub fleet: Option<FleetSpec>,
    /// Every error and warning, in the order of the file.
    pub diagnostics: Diagnostics,
}

/// Resolves a configuration file, and finds everything that is wrong with it.
///
/// Never panics, whatever the bytes are; a hostile file is refused within
/// [`LoadOptions::limits`]. An ordinary file takes well under 5 ms.
#[must_use]
pub fn load(source: &Source, surroundings: &Surroundings, options: &LoadOptions) -> Outcome {
    let mut findings = Findings::new();
    let decoded = text::decode(source, &options.limits, &mut findings);
    let fleet = match &decoded {
        Ok(text) => understand(text.text, surroundings, options, &mut findings),
        Err(_) => None,
    };
    let (Ok(text) | Err(text)) = decoded;
    let fleet = fleet.filter(|_| !findings.has_errors());
    Outcome { fleet, diagnostics: findings.finish(text.text, text.base) }
}

/// The passes after decoding. An answer says nothing about errors: they are in the findings.
fn understand(
    text: &str,
    surroundings: &Surroundings,
    options: &LoadOptions,
    findings: &mut Findings,
) -> Option<FleetSpec> {
    let tree = compose::compose(text, &options.limits, findings);
    let refused = findings.has_errors();
    let root = tree.as_ref().and_then(|tree| {
        let mut reader = Reader::new(findings, &surroundings.environment);
        reader.value::<Root>(tree)
    });
    let mut context = Context { findings, surroundings, options, files: Files::default() };
    match (&root, refused, &tree) {
        (Some(root), ..) => Some(resolve::resolve(&root.value, &mut context)),
        // What is wrong with a tree that is no mapping has been said.
        (None, false, None) => {
            resolve::no_workers(&mut context);
            None
        }
        (None, false, Some(tree)) if tree.is_null() => {
            resolve::no_workers(&mut context);
            None
        }
        (None, ..) => None,
    }
}

/// Where a master of this host has its control socket when its configuration does not say
/// another folder: the likeliest for this user first. Nothing is looked for.
#[must_use]
pub fn usual_sockets(surroundings: &Surroundings) -> Vec<String> {
    let folders = resolve::runtimes(resolve::Paths { surroundings });
    folders.iter().map(|folder| hsu_model::master::control_socket(folder)).collect()
}
