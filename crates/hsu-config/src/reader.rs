//! Reading: nodes against the schema, reporting everything that does not fit.

mod guess;

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::findings::{At, Findings, Place, shown};
use crate::node::{Data, Entry, Node};
use crate::schema::{Key, Read};
use crate::substitute::{MOST_BYTES, Unsubstituted, substitute};
use crate::value::Refused;

/// The most bytes that all substitutions of a file may add up to.
const MOST_SUBSTITUTED: usize = 4 << 20;

/// What a reader of values needs: where problems go and what variables hold.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) findings: &'a mut Findings,
    environment: &'a BTreeMap<String, String>,
    substituted: usize,
}

/// The text of a scalar.
#[derive(Debug)]
pub(crate) struct Word<'n> {
    /// The text, substituted.
    pub(crate) text: Cow<'n, str>,
    /// Whether it may be read by its looks: written plain, or substituted.
    pub(crate) plain: bool,
    /// The text as it stands in the file, for messages.
    written: &'n str,
}

impl<'a> Reader<'a> {
    /// A reader that substitutes from `environment`.
    pub(crate) fn new(
        findings: &'a mut Findings,
        environment: &'a BTreeMap<String, String>,
    ) -> Self {
        Self { findings, environment, substituted: 0 }
    }

    /// The value of a key: none when nothing is written or it does not fit.
    pub(crate) fn value<T: Read>(&mut self, node: &Node<'_>) -> Option<At<T>> {
        if node.is_null() {
            return None;
        }
        let value = T::read(node, self)?;
        Some(At { value, place: node.place })
    }

    /// The value of an item, which cannot be nothing.
    pub(crate) fn required<T: Read>(&mut self, node: &Node<'_>) -> Option<At<T>> {
        if node.is_null() {
            self.findings
                .error("type", node.place, "an item is empty")
                .hint("remove it, or quote a text such as \"null\" or \"\"");
            return None;
        }
        self.value(node)
    }

    /// Reads every known key of a mapping through `take`, and reports the others.
    pub(crate) fn section(
        &mut self,
        node: &Node<'_>,
        keys: &'static [Key],
        mut take: impl FnMut(&'static str, &Node<'_>, &mut Self),
    ) -> Option<()> {
        let entries = self.mapping(node)?;
        let mut seen: Vec<(&'static str, &Entry<'_>)> = Vec::with_capacity(entries.len());
        for entry in entries {
            let Some(key) = keys.iter().find(|key| key.is_called(&entry.key)) else {
                self.unknown_key(entry, keys);
                continue;
            };
            if let Some((_, first)) = seen.iter().find(|(field, _)| *field == key.field) {
                self.two_spellings(first, entry);
                continue;
            }
            seen.push((key.field, entry));
            self.remark(key, entry);
            take(key.field, &entry.value, self);
        }
        Some(())
    }

    /// The entries of a mapping.
    pub(crate) fn mapping<'n, 's>(&mut self, node: &'n Node<'s>) -> Option<&'n [Entry<'s>]> {
        let entries = node.entries();
        if entries.is_none() {
            self.wrong_kind(node, "a mapping (`key: value`)");
        }
        entries
    }

    /// The items of a list.
    pub(crate) fn list<'n, 's>(&mut self, node: &'n Node<'s>) -> Option<&'n [Node<'s>]> {
        let items = node.items();
        if items.is_none() {
            self.wrong_kind(node, "a list").hint("write `[a, b]`, or `- a` on a line of its own");
        }
        items
    }

    /// The text of a single value.
    pub(crate) fn word<'n>(&mut self, node: &'n Node<'_>, wanted: &str) -> Option<Word<'n>> {
        let Data::Scalar { text, plain } = &node.data else {
            self.wrong_kind(node, wanted).hint("write one value, such as `key: value`");
            return None;
        };
        let written: &'n str = text;
        let word = |text, plain| Some(Word { text, plain, written });
        match substitute(written, self.environment) {
            Ok(None) => word(Cow::Borrowed(written), *plain),
            Ok(Some(made)) => {
                self.substituted = self.substituted.saturating_add(made.len());
                if self.substituted > MOST_SUBSTITUTED {
                    let message = format!("variables fill in more than {MOST_SUBSTITUTED} bytes");
                    self.findings.error("budget", node.place, message);
                    return None;
                }
                word(Cow::Owned(made), true)
            }
            Err(refused) => {
                self.unsubstituted(&refused, node.place);
                None
            }
        }
    }

    /// Reads a single value that may not be quoted, through `parse`.
    pub(crate) fn parsed<T>(
        &mut self,
        node: &Node<'_>,
        wanted: &str,
        parse: impl FnOnce(&str) -> Result<T, Refused>,
    ) -> Option<T> {
        let word = self.word(node, wanted)?;
        let refused = match parse(&word.text) {
            Ok(value) => return Some(value),
            Err(refused) => refused,
        };
        // The file's own words only: what a variable holds may be a secret.
        let written = shown(word.written);
        self.findings
            .error("value", node.place, format!("`{written}` {}", refused.reason))
            .label(format!("expected {wanted}"))
            .hint(refused.hint);
        None
    }

    /// Refuses a quoted text where a number or a boolean is expected.
    pub(crate) fn unquoted(&mut self, node: &Node<'_>, wanted: &str) -> Option<()> {
        let word = self.word(node, wanted)?;
        if word.plain {
            return Some(());
        }
        let written = shown(word.written);
        let is_quoted_only =
            ["true", "false"].contains(&&*word.text) || word.text.parse::<f64>().is_ok();
        let hint = if is_quoted_only { format!("`{written}`") } else { wanted.to_owned() };
        self.findings
            .error("type", node.place, format!("a text, where {wanted} is expected"))
            .hint(format!("write {hint} without quotes"));
        None
    }

    pub(crate) fn wrong_kind(
        &mut self,
        node: &Node<'_>,
        wanted: &str,
    ) -> &mut crate::findings::Problem {
        let message = format!("{}, where {wanted} is expected", node.kind());
        self.findings.error("type", node.place, message)
    }

    fn unknown_key(&mut self, entry: &Entry<'_>, keys: &'static [Key]) {
        let hint = match self.findings.is_full() {
            true => String::new(),
            false => guess::hint(&entry.key, keys),
        };
        let message = format!("unknown key `{}`", shown(&entry.key));
        self.findings.error("unknown-key", entry.key_place, message).hint(hint);
    }

    fn two_spellings(&mut self, first: &Entry<'_>, second: &Entry<'_>) {
        let (one, two) = (shown(&first.key), shown(&second.key));
        self.findings
            .error(
                "duplicate-key",
                second.key_place,
                format!("`{one}` and `{two}` are two spellings of one key"),
            )
            .label("the second one")
            .hint("keep one of them")
            .see(first.key_place, "the first one");
    }

    /// Warns of legacy spellings and of features that are not built yet.
    fn remark(&mut self, key: &'static Key, entry: &Entry<'_>) {
        if let Some(old) = key.legacy.iter().find(|old| **old == &*entry.key) {
            self.findings.notice("legacy-key", (key.name, old), entry.key_place, || {
                let message = format!("`{old}` is an old spelling of `{}`", key.name);
                (message, format!("write `{}`", key.name))
            });
        }
        if let Some(instead) = key.old {
            self.findings.notice("legacy-key", ("", instead), entry.key_place, || {
                (format!("`{}` is an old form", key.name), instead.to_owned())
            });
        }
        if let Some(instead) = key.later
            && !asks_for_nothing(&entry.value)
        {
            self.findings.notice("not-built", (key.name, instead), entry.key_place, || {
                (format!("`{}` is not built yet", key.name), instead.to_owned())
            });
        }
    }

    fn unsubstituted(&mut self, refused: &Unsubstituted, place: Place) {
        let (message, hint) = match refused {
            Unsubstituted::Undefined(name) => (
                format!("the variable `{}` is not set", shown(name)),
                format!(
                    "set it, or write `${{{0}:-default}}`; `$${{{0}}}` is the text itself",
                    shown(name)
                ),
            ),
            Unsubstituted::Unterminated => (
                String::from("`${` without `}`"),
                String::from("close it, or write `$${` for the text itself"),
            ),
            Unsubstituted::NotAName(name) => (
                format!("`{}` is not the name of a variable", shown(name)),
                String::from("write `${NAME}` or `${NAME:-default}`; `$${` is the text itself"),
            ),
            Unsubstituted::TooDeep => {
                (String::from("too many defaults within each other"), String::from("use fewer"))
            }
            Unsubstituted::TooLong => (
                format!("the variable makes this longer than {MOST_BYTES} bytes"),
                String::from("no program can take an argument of that length"),
            ),
        };
        self.findings.error("substitution", place, message).hint(hint);
    }
}

/// Whether a value switches its feature off, so that nothing is lost without it.
fn asks_for_nothing(node: &Node<'_>) -> bool {
    match &node.data {
        Data::Scalar { text, plain } => node.is_null() || (*plain && &**text == "false"),
        Data::Sequence(items) => items.is_empty(),
        Data::Mapping(entries) => {
            let off =
                |entry: &Entry<'_>| &*entry.key == "enabled" && asks_for_nothing(&entry.value);
            entries.is_empty() || entries.iter().any(off)
        }
    }
}
