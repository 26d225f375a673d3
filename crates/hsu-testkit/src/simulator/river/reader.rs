//! A reader of spools: what is at which place of the stream, as the files say it.
//!
//! A model, by name, of `hsu-logs/src/spool/layout.rs`, which opens files of the host: the
//! same order of questions to the same files (head, place, names), and the same answers. The
//! forms of the files are the real ones of `hsu-model`.

use std::path::{Path, PathBuf};

use hsu_model::spool::head::Head;
use hsu_model::spool::index::Record;
use hsu_model::spool::plan::parse_place;
use hsu_model::spool::{DATA_FILE, HEAD_FILE, PLACE_FILE, base_in_name, closed_path, index_name};

use super::disk::Store;
use super::ledger::Tag;

/// A part of the stream that is in one segment.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Where it begins in the stream.
    pub(crate) base: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) tags: Vec<Tag>,
    /// What the index says about it.
    pub(crate) records: Vec<Record>,
}

/// Everything that can be read of a spool.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// None when it is missing or torn.
    pub(crate) head: Option<Head>,
    /// In the order of the stream.
    pub(crate) pieces: Vec<Piece>,
}

impl Piece {
    pub(crate) fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }
}

impl View {
    /// Reads the spool in a folder.
    pub(crate) fn of(store: &Store, folder: &Path) -> Self {
        let head = store.content(&folder.join(HEAD_FILE));
        let head = head.and_then(|bytes| bytes.first_chunk().and_then(Head::decode));
        let stands = head.unwrap_or_default();
        let places = places(store, folder);
        let mut segments: Vec<(u64, PathBuf)> = Vec::new();
        for place in &places {
            let (Some(parent), Some(stem)) = (place.parent(), place.file_name()) else { continue };
            let stem = stem.to_str().unwrap_or_default();
            for (name, _) in store.names_in(parent) {
                let base = base_in_name(stem, name).filter(|base| *base < stands.base);
                segments.extend(base.map(|base| (base, parent.join(name))));
            }
        }
        segments.sort();
        let mut pieces = Vec::new();
        for (at, (base, path)) in segments.iter().enumerate() {
            let next = segments.get(at + 1).map_or(stands.base, |(next, _)| *next);
            pieces.extend(piece(store, folder, *base, path, next));
        }
        let current = &places[0];
        if stands.cut == 0 {
            pieces.extend(piece(store, folder, stands.base, current, u64::MAX));
        } else {
            let closed = PathBuf::from(closed_path(&current.to_string_lossy(), stands.base));
            let path = if store.node_at(&closed).is_some() { &closed } else { current };
            pieces.extend(piece(store, folder, stands.base, path, stands.cut));
        }
        Self { head, pieces }
    }

    /// The last place.
    pub(crate) fn end(&self) -> u64 {
        let head = self.head.unwrap_or_default();
        self.pieces.last().map_or(head.base, Piece::end)
    }
}

/// The data paths of a spool, the current one first.
pub(crate) fn places(store: &Store, folder: &Path) -> Vec<PathBuf> {
    let text = store.content(&folder.join(PLACE_FILE)).unwrap_or_default();
    let mut places = parse_place(&String::from_utf8_lossy(text));
    if places.is_empty() {
        places.push(DATA_FILE.to_owned());
    }
    places.into_iter().map(|place| folder.join(place)).collect()
}

fn piece(store: &Store, folder: &Path, base: u64, path: &Path, next: u64) -> Option<Piece> {
    let node = &store.nodes[store.node_at(path)?];
    let length = usize::try_from(next - base).unwrap_or(usize::MAX).min(node.bytes.len());
    let index = store.content(&folder.join(index_name(base))).unwrap_or_default();
    let (records, _) = index.as_chunks();
    Some(Piece {
        base,
        bytes: node.bytes[..length].to_vec(),
        tags: node.tags[..length].to_vec(),
        records: records.iter().filter_map(Record::decode).collect(),
    })
}
