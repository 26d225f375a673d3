//! The tree of a YAML document, with places. Nothing is interpreted yet: a scalar
//! is its text, and whether it was written plain.

use std::ops::Deref;
use std::rc::Rc;

use crate::findings::Place;

/// A text that is a piece of the file, or was made from one. Cheap to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'s> {
    /// As it stands in the file.
    Borrowed(&'s str),
    /// After escapes or line folding.
    Made(Rc<str>),
}

impl Deref for Piece<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Made(text) => text,
        }
    }
}

/// A value and its place. Copies share what is below.
#[derive(Clone, Debug)]
pub(crate) struct Node<'s> {
    pub(crate) place: Place,
    pub(crate) data: Data<'s>,
}

/// What a value is made of.
#[derive(Clone, Debug)]
pub(crate) enum Data<'s> {
    /// Text, plain or quoted.
    Scalar { text: Piece<'s>, plain: bool },
    /// `- a`
    Sequence(Rc<Vec<Node<'s>>>),
    /// `a: b`
    Mapping(Rc<Vec<Entry<'s>>>),
}

/// One key of a mapping and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'s> {
    pub(crate) key: Piece<'s>,
    pub(crate) key_place: Place,
    /// Whether this is a plain `<<`. None is left in a complete mapping.
    pub(crate) is_merge: bool,
    pub(crate) value: Node<'s>,
}

impl<'s> Node<'s> {
    /// Whether nothing is written here: an empty value, `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        match &self.data {
            Data::Scalar { text, plain } => *plain && is_null(text),
            Data::Sequence(_) | Data::Mapping(_) => false,
        }
    }

    /// The kind of value, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.data {
            Data::Scalar { .. } if self.is_null() => "nothing",
            Data::Scalar { .. } => "a single value",
            Data::Sequence(_) => "a list",
            Data::Mapping(_) => "a mapping",
        }
    }

    /// The entries, when this is a mapping.
    pub(crate) fn entries(&self) -> Option<&[Entry<'s>]> {
        match &self.data {
            Data::Mapping(entries) => Some(entries),
            Data::Scalar { .. } | Data::Sequence(_) => None,
        }
    }

    /// The items, when this is a sequence.
    pub(crate) fn items(&self) -> Option<&[Self]> {
        match &self.data {
            Data::Sequence(items) => Some(items),
            Data::Scalar { .. } | Data::Mapping(_) => None,
        }
    }
}

// Source: YAML 1.2.2, section 10.3.2, the core schema.
pub(crate) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}
