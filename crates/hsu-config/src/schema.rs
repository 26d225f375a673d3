//! The schema: every key of the format, declared once.
//!
//! [`section!`] turns a table of keys into three things that cannot disagree: a
//! struct with a typed, placed field for each key; the reader that fills it and
//! reports whatever does not fit; and the [`Key`] table from which unknown keys
//! get their "did you mean", `capabilities` its list of features, and
//! `docs/reference/configuration.md` its tables. Fields are what the file says;
//! defaults are filled in by [`crate::resolve`].

pub(crate) mod discovery;
pub(crate) mod execution;
pub(crate) mod flat;
pub(crate) mod health;
pub(crate) mod limits;
pub(crate) mod logs;
pub(crate) mod notify;
pub(crate) mod restart;
pub(crate) mod root;
pub(crate) mod types;
pub(crate) mod unit;

use crate::findings::At;
use crate::node::Node;
use crate::reader::Reader;

/// What can stand behind a key.
pub(crate) trait Read: Sized {
    /// What stands there, for documentation and features.
    const SHAPE: Shape;

    /// Reads it; none after reporting why not.
    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self>;
}

/// What stands behind a key, without its Rust type.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// One value of this description.
    Value(&'static str),
    /// One of these words.
    Words(&'static [&'static str]),
    /// A mapping with these keys.
    Section(&'static [Key]),
    /// A list of it.
    List(fn() -> Self),
    /// A mapping from free names to it.
    Named(fn() -> Self),
    /// The second, or in short the first.
    Either(&'static str, fn() -> Self),
    /// A section that may stand inside itself.
    Nested(fn() -> Self),
}

/// One key of a section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// How it is written.
    pub(crate) name: &'static str,
    /// The field that takes it.
    pub(crate) field: &'static str,
    /// Other spellings that mean exactly the same: those of the other dialect.
    pub(crate) also: &'static [&'static str],
    /// Spellings that are mapped with a warning.
    pub(crate) legacy: &'static [&'static str],
    /// What to write instead, when the key as a whole is a legacy one.
    pub(crate) old: Option<&'static str>,
    /// What happens instead, when the feature is not built yet.
    pub(crate) later: Option<&'static str>,
    /// The default, as documentation says it.
    pub(crate) default: &'static str,
    /// What the key means.
    pub(crate) means: &'static str,
    /// What stands behind it.
    pub(crate) shape: Shape,
}

impl Key {
    /// A key of which only the name matters.
    pub(crate) const PLAIN: Self = Self {
        name: "",
        field: "",
        also: &[],
        legacy: &[],
        old: None,
        later: None,
        default: "",
        means: "",
        shape: Shape::Value(""),
    };

    /// Whether `text` is this key in any spelling.
    pub(crate) fn is_called(&self, text: &str) -> bool {
        self.name == text || self.also.contains(&text) || self.legacy.contains(&text)
    }
}

/// The name of a field without the mark that lets it be a keyword.
pub(crate) const fn key_name(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// A section of the file: a mapping with known keys.
pub(crate) trait Section: Sized {
    /// The keys.
    const KEYS: &'static [Key];

    /// A section in which nothing is written.
    fn empty() -> Self;

    /// Reads the value of the key whose field is called `field`.
    fn take(&mut self, field: &'static str, node: &Node<'_>, reader: &mut Reader<'_>);
}

/// Declares a section; see the module.
macro_rules! section {
    (
        $(#[$meta:meta])*
        $name:ident {
            $( $field:ident: $type:ty { $($attribute:ident: $value:expr),* $(,)? } )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub(crate) struct $name {
            /// The fields whose values were there and did not fit.
            pub(crate) refused: Vec<&'static str>,
            $( pub(crate) $field: Option<Box<$crate::findings::At<$type>>>, )*
        }

        impl $crate::schema::Read for $name {
            const SHAPE: $crate::schema::Shape =
                $crate::schema::Shape::Section(<Self as $crate::schema::Section>::KEYS);

            fn read(
                node: &$crate::node::Node<'_>,
                reader: &mut $crate::reader::Reader<'_>,
            ) -> Option<Self> {
                let mut section = <Self as $crate::schema::Section>::empty();
                let keys = <Self as $crate::schema::Section>::KEYS;
                reader.section(node, keys, |field, node, reader| {
                    $crate::schema::Section::take(&mut section, field, node, reader);
                })?;
                Some(section)
            }
        }

        impl $crate::schema::Section for $name {
            const KEYS: &'static [$crate::schema::Key] = &[
                $( $crate::schema::Key {
                    name: $crate::schema::key_name(stringify!($field)),
                    field: stringify!($field),
                    shape: <$type as $crate::schema::Read>::SHAPE,
                    $( $attribute: $crate::schema::attribute!($attribute $value), )*
                    ..$crate::schema::Key::PLAIN
                }, )*
            ];

            fn empty() -> Self {
                Self { refused: Vec::new(), $( $field: None, )* }
            }

            fn take(
                &mut self,
                field: &'static str,
                node: &$crate::node::Node<'_>,
                reader: &mut $crate::reader::Reader<'_>,
            ) {
                let fits = match field {
                    $( stringify!($field) => {
                        self.$field = reader.value(node).map(Box::new);
                        self.$field.is_some()
                    } )*
                    _ => true,
                };
                if !fits && !node.is_null() {
                    self.refused.push(field);
                }
            }
        }
    };
}
pub(crate) use section;

/// An attribute of a key: those that may be absent are wrapped.
macro_rules! attribute {
    (old $value:expr) => {
        Some($value)
    };
    (later $value:expr) => {
        Some($value)
    };
    ($other:ident $value:expr) => {
        $value
    };
}
pub(crate) use attribute;

impl<T: Read> Read for Vec<At<T>> {
    const SHAPE: Shape = Shape::List(|| T::SHAPE);

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let items = reader.list(node)?;
        let mut values = Self::with_capacity(items.len());
        for item in items {
            values.extend(reader.required(item));
        }
        Some(values)
    }
}
