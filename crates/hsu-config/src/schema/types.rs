//! The types of single values: what may stand behind a key and how it is read.

use std::time::Duration;

use hsu_model::units::ByteSize;

use crate::findings::At;
use crate::node::{Data, Node};
use crate::reader::Reader;
use crate::schema::{Read, Shape};
use crate::value::{Refused, duration, number, size};

impl Read for String {
    const SHAPE: Shape = Shape::Value("text");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        reader.word(node, "a text").map(|word| word.text.into_owned())
    }
}

/// A text that says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filled(pub(crate) String);

impl Read for Filled {
    const SHAPE: Shape = Shape::Value("text, not empty");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let text = String::read(node, reader)?;
        if !text.trim().is_empty() {
            return Some(Self(text));
        }
        reader
            .findings
            .error("value", node.place, "an empty text")
            .hint("write something, or remove the key");
        None
    }
}

impl Read for bool {
    const SHAPE: Shape = Shape::Value("`true` or `false`");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        reader.unquoted(node, "`true` or `false`")?;
        reader.parsed(node, "`true` or `false`", |text| match text {
            "true" | "True" | "TRUE" => Ok(true),
            "false" | "False" | "FALSE" => Ok(false),
            // Source: YAML 1.1, bool; YAML 1.2 has `true` and `false` only.
            "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" | "1" => {
                Err(not_boolean("true"))
            }
            "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" | "0" => {
                Err(not_boolean("false"))
            }
            _ => Err(Refused {
                reason: String::from("is neither true nor false"),
                hint: String::from("write `true` or `false`"),
            }),
        })
    }
}

fn not_boolean(instead: &str) -> Refused {
    Refused {
        reason: String::from("is a text in YAML 1.2, not a boolean"),
        hint: format!("write `{instead}`"),
    }
}

impl Read for Duration {
    const SHAPE: Shape = Shape::Value("duration");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parsed(node, "a duration", duration::parse)
    }
}

impl Read for ByteSize {
    const SHAPE: Shape = Shape::Value("size");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parsed(node, "a size", size::parse)
    }
}

/// A whole number within a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole<const LEAST: i64, const MOST: i64>(pub(crate) i64);

/// The largest count.
pub(crate) const MOST_COUNT: i64 = u32::MAX as i64;
/// A number of things.
pub(crate) type Count = Whole<0, MOST_COUNT>;
/// A TCP or UDP port.
pub(crate) type Port = Whole<1, 65_535>;

impl Count {
    /// The number as the type that holds exactly this range.
    pub(crate) fn get(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }
}

impl<const LEAST: i64, const MOST: i64> Read for Whole<LEAST, MOST> {
    const SHAPE: Shape = Shape::Value(match (LEAST, MOST) {
        (0, MOST_COUNT) => "whole number",
        (1, 65_535) => "port, 1 to 65535",
        (1, MOST_COUNT) => "whole number, at least 1",
        (100, 599) => "HTTP status",
        (-20, 19) => "whole number, -20 to 19",
        _ => "whole number in a range",
    });

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        reader.unquoted(node, "a number")?;
        reader.parsed(node, "a whole number", |text| number::whole(text, LEAST, MOST)).map(Self)
    }
}

/// Declares a fraction with a range.
macro_rules! fraction {
    ($(#[$meta:meta])* $name:ident, $shape:literal, $valid:expr, $reason:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub(crate) struct $name(pub(crate) f64);

        impl Read for $name {
            const SHAPE: Shape = Shape::Value($shape);

            fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
                let valid: fn(f64) -> bool = $valid;
                let parse = |text: &str| {
                    let number = match text.strip_suffix('%') {
                        Some(percent) if $shape.contains('%') => number::fraction(percent),
                        Some(_) | None => number::fraction(text),
                    }?;
                    match valid(number) {
                        true => Ok(number),
                        false => Err(Refused {
                            reason: String::from($reason),
                            hint: String::from(concat!("write a ", $shape)),
                        }),
                    }
                };
                reader.parsed(node, concat!("a ", $shape), parse).map(Self)
            }
        }
    };
}

fraction! {
    /// A factor: greater than 0.
    Factor, "number greater than 0", |number| number > 0.0, "is not greater than 0"
}
fraction! {
    /// A share of a limit, 0 to 100, with or without `%`.
    Percentage, "number from 0 to 100, with or without `%`",
    |number| (0.0..=100.0).contains(&number), "is not within 0 and 100"
}
fraction! {
    /// A share of CPUs: 100 is one of them.
    CpuPercent, "number greater than 0, with or without `%`", |number| number > 0.0, "is not greater than 0"
}

/// A random share: 0 to 1, or in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Jitter(pub(crate) f64);

impl Read for Jitter {
    const SHAPE: Shape = Shape::Value("number from 0 to 1, or a percentage such as `10%`");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let wanted = "a number from 0 to 1";
        let parse = |text: &str| {
            let share = match text.strip_suffix('%') {
                Some(percent) => number::fraction(percent)? / 100.0,
                None => number::fraction(text)?,
            };
            match (0.0..=1.0).contains(&share) {
                true => Ok(share),
                false => Err(Refused {
                    reason: String::from("is not within 0 and 1"),
                    hint: String::from("write a number from 0 to 1, or a percentage such as `10%`"),
                }),
            }
        };
        reader.parsed(node, wanted, parse).map(Self)
    }
}

/// A mode in octal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Umask(pub(crate) u32);

impl Read for Umask {
    const SHAPE: Shape = Shape::Value("octal digits, such as `0022`");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parsed(node, "octal digits", |text| number::octal(text, 0o777)).map(Self)
    }
}

/// A value, or the word that says there is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit<T> {
    /// This much.
    Of(T),
    /// `unlimited`, or `never` where a time is meant.
    Unlimited,
}

impl<T: Read> Read for Limit<T> {
    const SHAPE: Shape = Shape::Either("`unlimited`", || T::SHAPE);

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.word(node, "a value or `unlimited`")?.text;
        match &*text {
            "unlimited" | "never" => Some(Self::Unlimited),
            _ => T::read(node, reader).map(Self::Of),
        }
    }
}

/// Values by free names, in the order of the file.
#[derive(Clone, Debug)]
pub(crate) struct Named<T>(pub(crate) Vec<(At<String>, At<T>)>);

impl<T: Read> Read for Named<T> {
    const SHAPE: Shape = Shape::Named(|| T::SHAPE);

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let entries = reader.mapping(node)?;
        let mut named = Vec::with_capacity(entries.len());
        for entry in entries {
            let name = At { value: entry.key.to_string(), place: entry.key_place };
            named.extend(reader.required(&entry.value).map(|value| (name, value)));
        }
        Some(Self(named))
    }
}

/// Anything: settings of a feature whose shape is not known yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Free;

impl Read for Free {
    const SHAPE: Shape = Shape::Value("any value");

    fn read(_: &Node<'_>, _: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }
}

/// One of a few words.
pub(crate) struct Choice<T> {
    /// The word.
    pub(crate) word: &'static str,
    /// What it stands for.
    pub(crate) value: T,
}

/// Reads one of `choices`; `other` are further spellings, by the word they stand for.
pub(crate) fn choose<T: Copy>(
    node: &Node<'_>,
    reader: &mut Reader<'_>,
    choices: &[Choice<T>],
    other: &[(&str, &'static str)],
) -> Option<T> {
    let words: Vec<_> = choices.iter().map(|choice| choice.word).collect();
    let same = |one: &str, two: &str| {
        one.len() == two.len()
            && one
                .bytes()
                .zip(two.bytes())
                .all(|(a, b)| a == b || (matches!(a, b'-' | b'_') && matches!(b, b'-' | b'_')))
    };
    if !matches!(node.data, Data::Scalar { .. }) {
        let hint = format!("the words here are {}", words.join(", "));
        reader.wrong_kind(node, "one word").hint(hint);
        return None;
    }
    reader.parsed(node, "one of the words below", |text| {
        let canonical = other.iter().find(|(spelling, _)| same(spelling, text));
        let wanted = canonical.map_or(text, |(_, word)| word);
        let found = choices.iter().find(|choice| same(choice.word, wanted));
        found.map(|choice| choice.value).ok_or_else(|| {
            let lower = text.to_ascii_lowercase();
            let similarity = |word: &&&str| strsim::normalized_damerau_levenshtein(word, &lower);
            let spellings = other.iter().map(|(spelling, _)| spelling);
            let near = words
                .iter()
                .chain(spellings)
                .filter(|word| similarity(word) >= 0.6)
                .max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
            let hint = match near {
                Some(word) => {
                    format!("did you mean `{word}`? the words here are {}", words.join(", "))
                }
                None => format!("the words here are {}", words.join(", ")),
            };
            Refused { reason: String::from("is not a word that is known here"), hint }
        })
    })
}

/// Makes an enum readable: its words, and further spellings of them.
macro_rules! words {
    ($type:ty { $($word:literal => $value:expr),* $(,)? } $( else { $($spelling:literal => $same:literal),* $(,)? } )?) => {
        impl $crate::schema::Read for $type {
            const SHAPE: $crate::schema::Shape = $crate::schema::Shape::Words(&[$($word),*]);

            fn read(
                node: &$crate::node::Node<'_>,
                reader: &mut $crate::reader::Reader<'_>,
            ) -> Option<Self> {
                $crate::schema::types::choose(
                    node,
                    reader,
                    &[$($crate::schema::types::Choice { word: $word, value: $value }),*],
                    &[$($(($spelling, $same)),*)?],
                )
            }
        }
    };
}
pub(crate) use words;
