//! "Did you mean": what the author of an unknown key may have wanted.

use crate::feature::join;
use crate::findings::shown;
use crate::schema::{Key, Shape, root};

/// Words this similar are taken for the same word; 1.0 is equal.
const SIMILAR: f64 = 0.8;

/// The longest text that is compared with the keys.
const LONGEST: usize = 64;

/// A hint for a key that is not among `keys`.
pub(super) fn hint(unknown: &str, keys: &'static [Key]) -> String {
    if unknown.len() > LONGEST {
        return all(keys);
    }
    if let Some(key) = nearest(unknown, keys) {
        return match key.old {
            Some(instead) => format!("did you mean `{}`? better: {instead}", key.name),
            None => format!("did you mean `{}`?", key.name),
        };
    }
    match home(unknown, root::KEYS, "") {
        Some(home) if home.is_empty() => {
            format!("`{}` belongs to the top level of the file", shown(unknown))
        }
        Some(home) => format!("`{}` belongs in `{home}`", shown(unknown)),
        None => all(keys),
    }
}

fn all(keys: &'static [Key]) -> String {
    let current = keys.iter().filter(|key| key.old.is_none());
    let names: Vec<_> = current.map(|key| key.name).collect();
    format!("the keys here are {}", names.join(", "))
}

/// The key that is spelled most like `unknown`, if any is spelled like it at all.
fn nearest(unknown: &str, keys: &'static [Key]) -> Option<&'static Key> {
    let unknown = unknown.to_ascii_lowercase().replace('-', "_");
    let unknown = unknown.as_str();
    let spellings = keys.iter().flat_map(|key| {
        let all = key.also.iter().chain(key.legacy).chain([&key.name]);
        all.map(move |spelling| (key, similarity(unknown, spelling)))
    });
    let near = spellings.filter(|(_, similarity)| *similarity >= SIMILAR);
    let best = near.max_by(|(_, one), (_, two)| one.total_cmp(two));
    best.map(|(key, _)| key)
}

/// Swapped, wrong and missing letters, and also a beginning that is right.
fn similarity(unknown: &str, spelling: &str) -> f64 {
    let letters = strsim::normalized_damerau_levenshtein(unknown, spelling);
    if spelling.len() >= 4 && strsim::damerau_levenshtein(unknown, spelling) == 1 {
        return letters.max(SIMILAR);
    }
    letters.max(strsim::jaro_winkler(unknown, spelling) - 0.07)
}

/// The section, by its dotted path, that has a key of exactly this name.
fn home(name: &str, keys: &'static [Key], path: &str) -> Option<String> {
    let mut current = keys.iter().filter(|key| key.old.is_none());
    if current.clone().any(|key| key.name == name) {
        return Some(path.to_owned());
    }
    current.find_map(|key| home_below(name, key.shape, join(path, key)))
}

fn home_below(name: &str, shape: Shape, path: String) -> Option<String> {
    match shape {
        Shape::Section(keys) => home(name, keys, &path),
        Shape::List(item) => home_below(name, item(), format!("{path}[]")),
        Shape::Named(item) => home_below(name, item(), format!("{path}.NAME")),
        Shape::Either(_, full) => home_below(name, full(), path),
        // Its keys were looked at around it.
        Shape::Nested(_) | Shape::Value(_) | Shape::Words(_) => None,
    }
}
