//! Completions: those that the parser can tell, and the names of workers.
//!
//! The names come from `hsu-master-cli list`, so from the master that the client
//! finds without being told where; without one there are none. Elvish and
//! `PowerShell` get what the parser can tell.

use std::io::{Write as _, stdout};

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::exit::{Exit, Failure};

/// The name of the program.
const NAME: &str = "hsu-master-cli";

/// Prints completions for a shell.
pub(crate) fn print(shell: Shell) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), NAME, &mut text);
    let text = String::from_utf8_lossy(&text);
    let verbs = verbs_for_workers(&Arguments::command());
    let text = if shell == Shell::Bash {
        in_bash(&text, &verbs)
    } else if shell == Shell::Zsh {
        in_zsh(&text)
    } else if shell == Shell::Fish {
        in_fish(&text, &verbs)
    } else {
        text.into_owned()
    };
    stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Success)
}

/// The verbs that take workers, by every name they have.
fn verbs_for_workers(command: &Command) -> Vec<String> {
    let takes_workers = |verb: &&Command| {
        verb.get_positionals().any(|argument| argument.get_id().as_str().starts_with("worker"))
    };
    let names = |verb: &Command| {
        let aliases = verb.get_visible_aliases().map(ToOwned::to_owned);
        aliases.chain([verb.get_name().to_owned()]).collect::<Vec<_>>()
    };
    command.get_subcommands().filter(takes_workers).flat_map(names).collect()
}

fn in_bash(text: &str, verbs: &[String]) -> String {
    // `clap_complete` 4.6 takes a hyphen in the name of a program for a verb, in its labels.
    let text = text.replace("hsu__subcmd__master__subcmd__cli__", "hsu__master__cli__");
    let complete = "complete -F _hsu__master__cli ";
    let text = text.replace(complete, "complete -F _hsu_master_cli_workers ");
    let verbs = verbs.join("|");
    format!(
        r#"{text}
_hsu_master_cli_workers() {{
    _hsu__master__cli "$@"
    local word verb="" names
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        if [[ "$word" != -* ]]; then verb="$word"; break; fi
    done
    if [[ "$2" == -* || "$3" == -* ]]; then return 0; fi
    case "$verb" in
        {verbs})
            names="$({NAME} list 2>/dev/null | while read -r name rest; do echo "$name"; done)"
            COMPREPLY+=( $(compgen -W "${{names#NAME}}" -- "$2") )
            ;;
    esac
}}
"#
    )
}

fn in_zsh(text: &str) -> String {
    let names = format!(
        r#"_hsu_master_cli_workers() {{
    local -a workers
    workers=(${{(f)"$({NAME} list 2>/dev/null | while read -r name rest; do echo "$name"; done)"}})
    workers=(${{workers:#NAME}})
    _describe worker workers
}}
"#
    );
    let mut completed = String::new();
    for (number, line) in text.lines().enumerate() {
        let is_worker = line.contains("workers -- ") || line.contains(":worker -- ");
        let line = if is_worker {
            line.replace(":_default'", ":_hsu_master_cli_workers'")
        } else {
            line.to_owned()
        };
        completed.push_str(&line);
        completed.push('\n');
        // The first line names the program, and must stay the first.
        if number == 0 {
            completed.push_str(&names);
        }
    }
    completed
}

fn in_fish(text: &str, verbs: &[String]) -> String {
    let verbs = verbs.join(" ");
    format!(
        "{text}complete -c {NAME} -n \"__fish_hsu_master_cli_using_subcommand {verbs}\" -f \
         -a \"({NAME} list 2>/dev/null | tail -n +2 | string split -f1 ' ')\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_with_workers_is_known_by_every_name() {
        let verbs = verbs_for_workers(&Arguments::command());
        for verb in ["list", "status", "describe", "why", "stop", "logs", "wait", "signal"] {
            assert!(verbs.iter().any(|known| known == verb), "{verb}");
        }
        assert!(!verbs.iter().any(|verb| verb == "validate" || verb == "master"));
    }

    #[test]
    fn what_bash_takes_for_a_verb_is_what_it_completes() {
        let mut text = Vec::new();
        clap_complete::generate(Shell::Bash, &mut Arguments::command(), NAME, &mut text);
        let text = in_bash(&String::from_utf8_lossy(&text), &[]);
        let verbs =
            text.lines().filter_map(|line| line.trim().strip_prefix("cmd=\"")?.strip_suffix('"'));
        let verbs: Vec<_> = verbs.filter(|verb| !verb.is_empty()).collect();
        assert!(verbs.len() > 20, "{verbs:?}");
        for verb in verbs {
            let label = format!("{verb})");
            assert!(text.lines().any(|line| line.trim() == label), "{verb}");
        }
    }

    #[test]
    fn a_worker_is_completed_by_name_and_a_file_is_not() {
        let text =
            "#compdef x\n':worker -- The worker:_default' \\\n':file -- A file:_default' \\\n";
        let zsh = in_zsh(text);
        assert!(zsh.starts_with("#compdef x\n"));
        assert!(zsh.contains("The worker:_hsu_master_cli_workers'"));
        assert!(zsh.contains("A file:_default'"));
    }
}
