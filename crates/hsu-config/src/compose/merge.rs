//! What a complete mapping is checked for: equal keys and `<<`.
//!
//! `<<: *base` takes every entry of `base` whose key is not written beside it;
//! `<<: [*a, *b]` prefers `a`. Merged values keep their own places, so that a
//! message points to where the text is.

use std::collections::{HashMap, HashSet};

use crate::findings::{Findings, Place, shown};
use crate::node::{Entry, Node};

/// Below this many keys, comparing all of them beats hashing.
const FEW: usize = 12;

/// The entries of a mapping, without the second of two equal keys, and merged.
pub(super) fn settle<'s>(mut entries: Vec<Entry<'s>>, findings: &mut Findings) -> Vec<Entry<'s>> {
    refuse_equal_keys(&mut entries, findings);
    if !entries.iter().any(|entry| entry.is_merge) {
        return entries;
    }
    let (merges, mut kept): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| entry.is_merge);
    let mut known: HashSet<String> = kept.iter().map(|entry| entry.key.to_string()).collect();
    for merge in &merges {
        for base in bases(&merge.value, findings) {
            for entry in base {
                if known.insert(entry.key.to_string()) {
                    kept.push(entry.clone());
                }
            }
        }
    }
    kept
}

/// The mappings that a `<<` names.
fn bases<'n, 's>(value: &'n Node<'s>, findings: &mut Findings) -> Vec<&'n [Entry<'s>]> {
    let list = match value.items() {
        Some(items) => items,
        None => std::slice::from_ref(value),
    };
    let mut found = Vec::with_capacity(list.len());
    for node in list {
        match node.entries() {
            Some(entries) => found.push(entries),
            None => {
                let message = format!("`<<` merges mappings, and this is {}", node.kind());
                findings.error("merge", node.place, message).hint("write `<<: *anchor`");
            }
        }
    }
    found
}

fn refuse_equal_keys(entries: &mut Vec<Entry<'_>>, findings: &mut Findings) {
    let twice =
        if entries.len() <= FEW { equal_among_few(entries) } else { equal_among_many(entries) };
    for (first, second) in twice.iter().rev() {
        let Some(entry) = entries.get(*second) else {
            continue;
        };
        let message = format!("the key `{}` is given twice", shown(&entry.key));
        let first: Option<Place> = entries.get(*first).map(|entry| entry.key_place);
        let problem = findings.error("duplicate-key", entry.key_place, message);
        problem.label("the second one").hint("keep one of them");
        if let Some(first) = first {
            problem.see(first, "the first one");
        }
    }
    let mut second = twice.iter().map(|(_, second)| *second).peekable();
    let mut at = 0;
    entries.retain(|_| {
        let drop = second.next_if_eq(&at).is_some();
        at += 1;
        !drop
    });
}

/// Pairs of the first place of a key and a later one, by the later one.
fn equal_among_few(entries: &[Entry<'_>]) -> Vec<(usize, usize)> {
    let first = |second: usize, entry: &Entry<'_>| {
        let before = entries.get(..second)?;
        before.iter().position(|other| *other.key == *entry.key)
    };
    let pairs = entries.iter().enumerate();
    pairs.filter_map(|(second, entry)| Some((first(second, entry)?, second))).collect()
}

fn equal_among_many(entries: &[Entry<'_>]) -> Vec<(usize, usize)> {
    let mut seen: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
    let mut twice = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        match seen.get(&*entry.key) {
            Some(first) => twice.push((*first, at)),
            None => {
                seen.insert(&entry.key, at);
            }
        }
    }
    twice
}
