//! Features that the file format knows and this version does not have.

use std::sync::OnceLock;

use crate::schema::{Key, Shape, root};

/// A key that is checked, and whose feature is not built yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// The dotted key, such as `workers[].unit.managed.health_check`.
    pub key: String,
    /// What happens instead.
    pub why: &'static str,
}

/// Words that are accepted where other words of the same key work.
const WORDS: [(&str, &str); 2] = [
    ("type: syslog", "lines do not go there; the other outputs work"),
    ("type: elasticsearch", "lines do not go there; the other outputs work"),
];

/// Every key whose feature is not built yet, in the order of the schema. What stands
/// below such a key is not listed again.
#[must_use]
pub fn features() -> &'static [Feature] {
    static FEATURES: OnceLock<Vec<Feature>> = OnceLock::new();
    FEATURES.get_or_init(|| {
        let mut features = Vec::new();
        collect("", root::KEYS, &mut features);
        let targets = "log_collection.**.targets[]";
        let words = WORDS.map(|(word, why)| Feature { key: format!("{targets}.{word}"), why });
        features.extend(words);
        features
    })
}

fn collect(path: &str, keys: &'static [Key], features: &mut Vec<Feature>) {
    for key in keys.iter().filter(|key| key.old.is_none()) {
        let path = join(path, key);
        match key.later {
            Some(why) => features.push(Feature { key: path, why }),
            None => below(path, key.shape, features),
        }
    }
}

fn below(path: String, shape: Shape, features: &mut Vec<Feature>) {
    match shape {
        Shape::Section(keys) => collect(&path, keys, features),
        Shape::List(item) => below(format!("{path}[]"), item(), features),
        Shape::Named(item) => below(format!("{path}.NAME"), item(), features),
        Shape::Either(_, full) => below(path, full(), features),
        // What stands inside itself has been listed around it.
        Shape::Nested(_) | Shape::Value(_) | Shape::Words(_) => {}
    }
}

/// The dotted path of a key within a section.
pub(crate) fn join(path: &str, key: &Key) -> String {
    match path {
        "" => key.name.to_owned(),
        _ => format!("{path}.{}", key.name),
    }
}
