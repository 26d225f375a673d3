//! "Did you mean": what the author of an unknown key may have wanted.

use crate::findings::shown;
use crate::schema::{Key, Shape};

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
        return format!("did you mean `{}`?", key.name);
    }
    let mut found = Vec::new();
    let root = crate::schema::root::KEYS;
    homes(unknown, root, &mut String::new(), &mut found);
    match found.first() {
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
    let mut best: Option<(f64, &Key)> = None;
    for key in keys {
        let spellings = key.also.iter().chain(key.legacy).chain([&key.name]);
        for spelling in spellings {
            let similarity = similarity(&unknown, spelling);
            if similarity >= SIMILAR && best.is_none_or(|(most, _)| similarity > most) {
                best = Some((similarity, key));
            }
        }
    }
    best.map(|(_, key)| key)
}

fn similarity(unknown: &str, spelling: &str) -> f64 {
    let distance = strsim::normalized_damerau_levenshtein(unknown, spelling);
    distance.max(strsim::jaro_winkler(unknown, spelling) - 0.07)
}

/// The sections that have a key of exactly this name, nearest to the root first.
fn homes(name: &str, keys: &'static [Key], path: &mut String, found: &mut Vec<String>) {
    if keys.iter().any(|key| key.name == name && key.old.is_none()) {
        found.push(path.clone());
        return;
    }
    for key in keys.iter().filter(|key| key.old.is_none()) {
        let Some(inner) = inner_keys(key.shape) else {
            continue;
        };
        let length = path.len();
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key.name);
        homes(name, inner, path, found);
        path.truncate(length);
    }
}

/// The keys below a shape, if there is a section.
pub(crate) fn inner_keys(shape: Shape) -> Option<&'static [Key]> {
    match shape {
        Shape::Section(keys) => Some(keys),
        Shape::List(item) | Shape::Named(item) | Shape::Either(_, item) => inner_keys(item()),
        Shape::Value(_) | Shape::Words(_) => None,
    }
}
