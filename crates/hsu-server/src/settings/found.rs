//! How the process of somebody else is looked for, and what may be done to it.

use hsu_model::discovery::{Combine, Manager, Matches, Rights, Search, Text, Unmanaged};
use hsu_model::exit::signal_name;
use hsu_model::worker::Profile;

use super::{Settings, span};

pub(super) fn tell(unmanaged: &Unmanaged, profile: Profile, settings: &mut Settings) {
    let discovery = &unmanaged.discovery;
    let glue = match discovery.combine {
        Combine::All => " and ",
        Combine::Any => " or ",
        Combine::First => ", else ",
    };
    let all = |searches: &[Search], glue: &str| {
        searches.iter().map(described).collect::<Vec<_>>().join(glue)
    };
    settings.tell("discovery", all(&discovery.searches, glue));
    for (name, searches) in [("include", &discovery.include), ("exclude", &discovery.exclude)] {
        if !searches.is_empty() {
            settings.tell(name, all(searches, ", "));
        }
    }
    settings.tell("check_interval", span(discovery.check_interval));
    settings.tell("matches", if discovery.matches == Matches::Many { "many" } else { "one" });
    rights(&unmanaged.rights, settings);
    if unmanaged.rights.can_restart {
        settings.restart(&unmanaged.restart, profile);
    }
}

fn rights(rights: &Rights, settings: &mut Settings) {
    let all = [
        ("can_terminate", rights.can_terminate),
        ("can_restart", rights.can_restart),
        ("can_limit", rights.can_limit),
    ];
    let allowed: Vec<_> = all.iter().filter(|(_, may)| *may).map(|(name, _)| *name).collect();
    let allowed = match (allowed.is_empty(), rights.allowed_signals.is_empty()) {
        (true, true) => "nothing; it is only watched".to_owned(),
        (true, false) => "signals alone".to_owned(),
        (false, _) => allowed.join(", "),
    };
    settings.tell("control", allowed);
    if !rights.allowed_signals.is_empty() {
        let name =
            |signal: &i32| signal_name(*signal).map_or_else(|| signal.to_string(), str::to_owned);
        let signals: Vec<_> = rights.allowed_signals.iter().map(name).collect();
        settings.tell("allowed_signals", signals.join(", "));
    }
    match &rights.manager {
        Manager::Unknown => {}
        Manager::Systemd(unit) => settings.tell("service_manager", format!("systemd, {unit}")),
        Manager::Command(words) => settings.tell("restart_command", words.join(" ")),
    }
}

/// A search in the words of the configuration.
fn described(search: &Search) -> String {
    let method = search.method();
    match search {
        Search::PidFile(what)
        | Search::ParentPidFile(what)
        | Search::CommandLine(what)
        | Search::WorkingDirectory(what)
        | Search::User(what)
        | Search::File(what)
        | Search::Socket(what)
        | Search::Unit(what) => format!("{method} {what}"),
        Search::ParentName(name) => format!("{method} {}", text(name)),
        Search::Name { name, args } if args.is_empty() => format!("{method} {}", text(name)),
        Search::Name { name, args } => {
            format!("{method} {} with {}", text(name), args.join(" "))
        }
        Search::Port { port, protocol } => format!("{method} {port} ({})", protocol.as_str()),
        // A value may be a secret.
        Search::Environment { variable, value: Some(_) } => {
            format!("{method} {variable} with the value that the configuration names")
        }
        Search::Environment { variable, value: None } => format!("{method} {variable}"),
        // What a registry is asked for may hold a token.
        Search::Registry(_) | _ => method.to_owned(),
    }
}

fn text(text: &Text) -> String {
    match text {
        Text::Exactly(text) => text.clone(),
        Text::Pattern(pattern) => format!("/{pattern}/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_told_by_its_method_and_what_it_looks_for() {
        for (search, says) in [
            (Search::PidFile("/run/a.pid".into()), "pid-file /run/a.pid"),
            (Search::Unit("a.service".into()), "service-name a.service"),
            (
                Search::Name { name: Text::Exactly("a".into()), args: vec!["-x".into()] },
                "process-name a with -x",
            ),
            (Search::ParentName(Text::Pattern("^a".into())), "parent /^a/"),
            (
                Search::Environment {
                    variable: "ROLE".into(),
                    value: Some(Text::Exactly("ingest".into())),
                },
                "environment ROLE with the value that the configuration names",
            ),
        ] {
            assert_eq!(described(&search), says);
        }
    }
}
