//! Pages of command lines: what the parser takes, and what the page says, are one thing.
//!
//! The last section of a page, [`SECTION`], is made from the parser. What stands
//! before it is prose; the options that it names must exist, and belong to the
//! verb that they are named with.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use clap::{Arg, ArgAction, Command};

/// The head of the section that is made from the parser; it is the last one of its page.
pub const SECTION: &str = "## Every verb and option\n";
/// The variable that says that pages shall be written, not compared.
const WRITE: &str = "HSU_WRITE_PAGES";

/// Compares a page with the parser; with `HSU_WRITE_PAGES` set its last section is written anew.
///
/// # Errors
/// What is wrong with the page, in one text.
pub fn compare(path: &Path, command: &mut Command) -> Result<(), String> {
    command.build();
    let page = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let (prose, present) = page.split_once(SECTION).ok_or("the page has no section of options")?;
    let wrong = strangers(prose, command);
    if !wrong.is_empty() {
        return Err(format!("no such option: {}", wrong.join(", ")));
    }
    let wanted = reference(command);
    if std::env::var_os(WRITE).is_some() {
        let page = format!("{prose}{SECTION}{wanted}");
        return std::fs::write(path, page).map_err(|error| error.to_string());
    }
    if present == wanted { Ok(()) } else { Err(format!("run this test with {WRITE}=1")) }
}

/// Every verb with its usage and its options.
fn reference(command: &Command) -> String {
    let mut text = String::new();
    describe(command, command.get_name(), &mut text);
    text
}

fn describe(command: &Command, name: &str, text: &mut String) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").replace("\n       ", "\n    ");
    // A string takes whatever it is given.
    let also: Vec<_> =
        command.get_visible_aliases().map(|alias| format!("; also `{alias}`")).collect();
    let _ = write!(text, "\n### `{name}`\n\n{about}{}.\n\n    {usage}\n", also.concat());
    let is_below = name.contains(' ');
    let own: Vec<_> = command
        .get_arguments()
        .filter(|argument| !is_below || !argument.is_global_set())
        .filter(|argument| !is_help(argument))
        .collect();
    if !own.is_empty() {
        text.push_str("\n| Argument | Meaning |\n| --- | --- |\n");
    }
    for argument in own {
        let _ = writeln!(text, "| {} | {} |", spelled(argument), meaning(argument));
    }
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        describe(below, &format!("{name} {}", below.get_name()), text);
    }
}

fn is_help(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Help | ArgAction::Version)
}

/// `-f`, `--follow` or `--timeout TIME` or `WORKER`, as code.
fn spelled(argument: &Arg) -> String {
    let value = argument.get_value_names().and_then(|names| names.first().map(ToString::to_string));
    let value = value.unwrap_or_else(|| argument.get_id().as_str().to_uppercase());
    let takes_value = argument.get_action().takes_values();
    let Some(long) = argument.get_long() else {
        return format!("`{value}`");
    };
    let short = argument.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    if takes_value { format!("{short}`--{long} {value}`") } else { format!("{short}`--{long}`") }
}

fn meaning(argument: &Arg) -> String {
    let mut text = argument.get_help().map(ToString::to_string).unwrap_or_default();
    text.push('.');
    let values = argument.get_possible_values();
    if argument.get_action().takes_values() && !values.is_empty() {
        let names: Vec<_> = values.iter().map(|value| format!("`{}`", value.get_name())).collect();
        let _ = write!(text, " One of {}.", names.join(", "));
    }
    let defaults: Vec<_> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if argument.get_action().takes_values() && !defaults.is_empty() {
        let _ = write!(text, " Default: `{}`.", defaults.join(" "));
    }
    text.replace('|', "\\|")
}

/// Options that the prose names and that do not exist there, each with its surroundings.
fn strangers(prose: &str, command: &Command) -> Vec<String> {
    let spans = prose.split('`').skip(1).step_by(2);
    let wrong = |span: &&str| {
        let known = options_for(span, command);
        let mut words = span.split(|c: char| c.is_whitespace() || matches!(c, '=' | ',' | '|'));
        words.any(|word| {
            let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            word.strip_prefix("--").is_some_and(|long| !long.is_empty() && !known.contains(long))
        })
    };
    spans.filter(wrong).map(ToOwned::to_owned).collect()
}

/// The options of the verb that a piece of code begins with; all there are, without one.
fn options_for(span: &str, command: &Command) -> BTreeSet<String> {
    let mut verb = command;
    for word in span.split_whitespace().skip_while(|word| *word == command.get_name()) {
        match verb.find_subcommand(word) {
            Some(below) => verb = below,
            None => break,
        }
    }
    let mut known = BTreeSet::new();
    let is_whole = std::ptr::eq(verb, command);
    collect(verb, is_whole, &mut known);
    known
}

fn collect(command: &Command, with_those_below: bool, known: &mut BTreeSet<String>) {
    known.extend(command.get_arguments().filter_map(Arg::get_long).map(ToOwned::to_owned));
    if with_those_below {
        command.get_subcommands().for_each(|below| collect(below, true, known));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Command {
        let stop = Command::new("stop").arg(Arg::new("force").long("force"));
        let list = Command::new("list").arg(Arg::new("socket").long("all"));
        let mut program = Command::new("program").subcommands([stop, list]);
        program.build();
        program
    }

    #[test]
    fn an_option_that_is_not_there_is_found_where_the_page_names_it() {
        let prose = "`stop --force`, `list --force`, `--sideways`, `--all`, `program stop --all`";
        let expected = ["list --force", "--sideways", "program stop --all"];
        assert_eq!(strangers(prose, &program()), expected);
    }

    #[test]
    fn a_section_that_does_not_match_the_parser_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.md");
        let right = reference(&program());
        assert!(right.contains("### `program stop`") && right.contains("`--force FORCE`"));
        for (text, is_right) in [(right.clone(), true), (right.replace("force", "sideways"), false)]
        {
            std::fs::write(&path, format!("prose\n\n{SECTION}{text}")).unwrap();
            assert_eq!(compare(&path, &mut program()).is_ok(), is_right);
        }
    }
}
