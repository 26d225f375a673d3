//! The reference of every key, from the schema itself.

use std::fmt::Write as _;

use crate::feature::join;
use crate::schema::{Key, Shape, root};

/// What comes before the tables.
const HEAD: &str = include_str!("reference.md");

/// The page `docs/reference/configuration.md`, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut pages = Pages { text: HEAD.to_owned(), seen: Vec::new() };
    pages.add("", root::KEYS);
    pages.text
}

/// Tables so far. A section that stands in several places has one table.
struct Pages {
    text: String,
    seen: Vec<(*const Key, String)>,
}

impl Pages {
    fn add(&mut self, path: &str, keys: &'static [Key]) {
        self.seen.push((keys.as_ptr(), path.to_owned()));
        let title = if path.is_empty() { "The top level" } else { &format!("`{path}`") };
        let mut below = Vec::new();
        let mut rows = String::new();
        for key in keys {
            let path = join(path, key);
            let (description, section) = describe(key.shape, &path);
            let link = section.and_then(|(path, keys)| self.place(path, keys, &mut below));
            row(&mut rows, key, &description, link.as_deref());
        }
        let _ = write!(
            self.text,
            "### {title}\n\n| key | value | default | meaning |\n|---|---|---|---|\n{rows}\n"
        );
        for (path, keys) in below {
            self.add(&path, keys);
        }
    }

    /// Where the table of a section is, when it is elsewhere already.
    fn place(
        &self,
        path: String,
        keys: &'static [Key],
        below: &mut Vec<(String, &'static [Key])>,
    ) -> Option<String> {
        let same = |(first, _): &&(*const Key, String)| std::ptr::eq(*first, keys.as_ptr());
        if let Some((_, place)) = self.seen.iter().find(same) {
            return Some(place.clone());
        }
        let planned =
            below.iter().find(|(_, planned)| std::ptr::eq(planned.as_ptr(), keys.as_ptr()));
        if let Some((place, _)) = planned {
            return Some(place.clone());
        }
        below.push((path, keys));
        None
    }
}

/// How a value is described, and the section in it.
fn describe(shape: Shape, path: &str) -> (String, Option<(String, &'static [Key])>) {
    match shape {
        Shape::Value(description) => (description.to_owned(), None),
        Shape::Words(words) => {
            let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
            (quoted.join(", "), None)
        }
        Shape::Section(keys) => (String::from("section"), Some((path.to_owned(), keys))),
        Shape::List(item) => {
            let (description, section) = describe(item(), &format!("{path}[]"));
            (format!("list of {description}"), section)
        }
        Shape::Named(item) => {
            let (description, section) = describe(item(), &format!("{path}.NAME"));
            (format!("mapping from name to {description}"), section)
        }
        Shape::Nested(inner) => describe(inner(), path),
        Shape::Either(short, full) => {
            let (description, section) = describe(full(), path);
            (format!("{description}, or {short}"), section)
        }
    }
}

fn row(rows: &mut String, key: &Key, description: &str, elsewhere: Option<&str>) {
    let mut means = key.means.to_owned();
    if let Some(place) = elsewhere {
        let _ = write!(means, " Keys as in `{place}`.");
    }
    if !key.also.is_empty() {
        let _ = write!(means, " Also written {}.", quoted(key.also));
    }
    if !key.legacy.is_empty() {
        let _ = write!(means, " Old spelling: {}.", quoted(key.legacy));
    }
    if let Some(instead) = key.old {
        let _ = write!(means, " **Old form**: {instead}.");
    }
    if let Some(instead) = key.later {
        let _ = write!(means, " **Not built yet**: {instead}.");
    }
    let cell = |text: &str| text.replace('|', "\\|");
    let default = if key.default.is_empty() { "–" } else { key.default };
    let _ = writeln!(
        rows,
        "| `{}` | {} | {} | {} |",
        key.name,
        cell(description),
        cell(default),
        cell(&means)
    );
}

fn quoted(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}
