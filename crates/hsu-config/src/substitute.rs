//! Substitution: `${NAME}` in a value becomes the variable, once.
//!
//! It happens on scalars that the parser has already taken out of the file, so a
//! variable can hold anything, line breaks and YAML included, and stays one
//! value. What a variable holds is never looked at again, and never shown: it may
//! be a secret. `${NAME:-default}` takes the default when the variable is unset or
//! empty; a default may hold another `${}`. `$$` is one `$`; any other `$` is
//! itself, so that `$HOME` in a shell script reaches the shell.

use std::collections::BTreeMap;

/// The most bytes of one value after substitution: what Linux takes as one argument.
// Source: execve(2), MAX_ARG_STRLEN.
pub(crate) const MOST_BYTES: usize = 128 * 1024;

/// How deep `${A:-${B:-...}}` may go.
const MOST_DEPTH: usize = 8;

/// Why a value could not be substituted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unsubstituted {
    /// `${` without `}`.
    Unterminated,
    /// Between the braces is no name.
    NotAName(String),
    /// No such variable, and no default.
    Undefined(String),
    /// Defaults within defaults within defaults.
    TooDeep,
    /// More than [`MOST_BYTES`].
    TooLong,
}

/// Replaces the variables of a text; none when there is nothing to replace.
pub(crate) fn substitute(
    text: &str,
    environment: &BTreeMap<String, String>,
) -> Result<Option<String>, Unsubstituted> {
    if !text.contains("${") && !text.contains("$$") {
        return Ok(None);
    }
    let mut made = String::with_capacity(text.len());
    let rest = expand(text, environment, Level { depth: 0, wanted: true }, &mut made)?;
    debug_assert!(rest.is_empty(), "the outermost level ends with the text");
    Ok(Some(made))
}

/// How deep we are, and whether this default is needed at all.
#[derive(Clone, Copy)]
struct Level {
    depth: usize,
    wanted: bool,
}

/// Expands `text` into `made` and returns what follows: at depth 0 nothing, deeper
/// what follows the closing brace.
fn expand<'t>(
    mut text: &'t str,
    environment: &BTreeMap<String, String>,
    level: Level,
    made: &mut String,
) -> Result<&'t str, Unsubstituted> {
    loop {
        if made.len() > MOST_BYTES {
            return Err(Unsubstituted::TooLong);
        }
        let stop = text.find(['$', '}']);
        let Some((plain, rest)) = stop.and_then(|at| text.split_at_checked(at)) else {
            made.push_str(text);
            return if level.depth == 0 { Ok("") } else { Err(Unsubstituted::Unterminated) };
        };
        made.push_str(plain);
        if let Some(after) = rest.strip_prefix('}') {
            if level.depth > 0 {
                return Ok(after);
            }
            made.push('}');
            text = after;
        } else if let Some(after) = rest.strip_prefix("$$") {
            made.push('$');
            text = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            text = variable(after, environment, level, made)?;
        } else {
            made.push('$');
            text = rest.strip_prefix('$').unwrap_or_default();
        }
    }
}

/// Expands what follows a `${` and returns what follows its `}`.
fn variable<'t>(
    text: &'t str,
    environment: &BTreeMap<String, String>,
    level: Level,
    made: &mut String,
) -> Result<&'t str, Unsubstituted> {
    if level.depth >= MOST_DEPTH {
        return Err(Unsubstituted::TooDeep);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let Some((name, rest)) = end.and_then(|at| text.split_at_checked(at)) else {
        return Err(Unsubstituted::Unterminated);
    };
    let is_name = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    let value = environment.get(name);
    if is_name && let Some(after) = rest.strip_prefix('}') {
        match value {
            Some(value) if level.wanted => made.push_str(value),
            None if level.wanted => return Err(Unsubstituted::Undefined(name.to_owned())),
            Some(_) | None => {}
        }
        return Ok(after);
    }
    if is_name && let Some(default) = rest.strip_prefix(":-") {
        let value = value.filter(|value| !value.is_empty());
        let wanted = level.wanted && value.is_none();
        let inner = Level { depth: level.depth + 1, wanted };
        let mut expanded = String::new();
        let after = expand(default, environment, inner, &mut expanded)?;
        match value {
            Some(value) if level.wanted => made.push_str(value),
            None if level.wanted => made.push_str(&expanded),
            Some(_) | None => {}
        }
        return Ok(after);
    }
    let between = text.split('}').next().filter(|between| between.len() < text.len());
    Err(between
        .map_or(Unsubstituted::Unterminated, |name| Unsubstituted::NotAName(name.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<String, Unsubstituted> {
        let pairs = [
            ("NAME", "value"),
            ("EMPTY", ""),
            ("SNEAKY", "${NAME} $$\n- id: evil"),
            ("_U1", "under"),
        ];
        let environment = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        substitute(text, &environment).map(|made| made.unwrap_or_else(|| text.to_owned()))
    }

    #[test]
    fn variables_and_defaults_are_replaced_once() {
        for (text, made) in [
            ("plain", "plain"),
            ("${NAME}", "value"),
            ("a${NAME}b${_U1}c", "avaluebunderc"),
            ("${EMPTY}", ""),
            ("${EMPTY:-d}", "d"),
            ("${NAME:-d}", "value"),
            ("${NONE:-}", ""),
            ("${NONE:-a b:c}", "a b:c"),
            ("${NONE:-${ALSO:-${NAME}}}!", "value!"),
            ("${NONE:-$$x}", "$x"),
            ("${NAME:-${NONE}}", "value"),
            ("$${NAME}", "${NAME}"),
            ("$$$$", "$$"),
            ("cost: $5, $HOME, ${NAME}", "cost: $5, $HOME, value"),
            ("{worker_id}}", "{worker_id}}"),
            ("${SNEAKY}", "${NAME} $$\n- id: evil"),
        ] {
            assert_eq!(with(text).as_deref(), Ok(made), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_refused() {
        let undefined = |name: &str| Unsubstituted::Undefined(name.to_owned());
        let not_a_name = |name: &str| Unsubstituted::NotAName(name.to_owned());
        for (text, refused) in [
            ("${NONE}", undefined("NONE")),
            ("${name}", undefined("name")),
            ("${NONE:-${GONE}}", undefined("GONE")),
            ("${", Unsubstituted::Unterminated),
            ("${NAME", Unsubstituted::Unterminated),
            ("${NAME:-x", Unsubstituted::Unterminated),
            ("${}", not_a_name("")),
            ("${1}", not_a_name("1")),
            ("${A-B}", not_a_name("A-B")),
            ("${NAME:?x}", not_a_name("NAME:?x")),
            ("${ NAME }", not_a_name(" NAME ")),
        ] {
            assert_eq!(with(text), Err(refused), "{text}");
        }
        let deep = format!("{}x{}", "${A:-".repeat(9), "}".repeat(9));
        assert_eq!(with(&deep), Err(Unsubstituted::TooDeep));
    }

    #[test]
    fn an_enormous_variable_is_refused() {
        let environment = [("BIG".to_owned(), "x".repeat(10 << 20))].into();
        assert_eq!(substitute("${BIG}", &environment), Err(Unsubstituted::TooLong));
    }
}
