//! Composites: names become places, and nothing is composed of itself.

use hsu_model::health::Expression;

use super::{Context, Draft};
use crate::findings::{At, Place, shown};
use crate::schema::health::kinds::{Composite, Term};

/// The checks in an order in which each composite follows its parts.
pub(super) fn in_order<'r>(drafts: Vec<Draft<'r>>, context: &mut Context<'_>) -> Vec<Draft<'r>> {
    let is_plain = |draft: &Draft<'_>| draft.raw.composite.is_none();
    let (mut ordered, mut open): (Vec<_>, Vec<_>) = drafts.into_iter().partition(is_plain);
    while !open.is_empty() {
        let waits = |draft: &Draft<'_>| {
            let mut names = Vec::new();
            if let Some(composite) = draft.raw.composite.as_deref() {
                named(&composite.value, &mut names);
            }
            open.iter().any(|other| names.contains(&other.name.as_str()))
        };
        let (waiting, ready): (Vec<bool>, Vec<bool>) =
            open.iter().map(|draft| (waits(draft), !waits(draft))).unzip();
        if !ready.contains(&true) {
            if let Some(first) = open.first() {
                let message = format!("`{}` is composed of itself", first.name);
                context
                    .findings
                    .error("conflict", first.place, message)
                    .hint("a composite may name other checks, and no circle of them");
            }
            return ordered;
        }
        let mut waiting = waiting.into_iter();
        let (still, next): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|_| waiting.next().unwrap_or(false));
        ordered.extend(next);
        open = still;
    }
    ordered
}

fn named<'r>(composite: &'r Composite, names: &mut Vec<&'r str>) {
    let lists = [&composite.all, &composite.any, &composite.of];
    let listed = lists.into_iter().flatten().flat_map(|list| &list.value);
    for term in listed.map(|term| &term.value).chain(composite.not.as_deref().map(|not| &not.value))
    {
        match term {
            Term::Name(name) => names.push(name),
            Term::Composite(inner) => named(&inner.0, names),
        }
    }
}

/// What a composite follows from.
pub(super) fn resolve(
    draft: &Draft<'_>,
    names: &[String],
    context: &mut Context<'_>,
) -> Option<Expression> {
    let refused = &draft.raw.refused;
    let section = draft.raw.composite.as_deref();
    let section =
        super::super::worker::required("composite", section, refused, draft.place, context)?;
    one(&section.value, section.place, names, context)
}

fn one(
    composite: &Composite,
    place: Place,
    names: &[String],
    context: &mut Context<'_>,
) -> Option<Expression> {
    let forms = [
        composite.all.is_some(),
        composite.any.is_some(),
        composite.not.is_some(),
        composite.of.is_some(),
    ];
    if forms.iter().filter(|form| **form).count() != 1 {
        if composite.refused.is_empty() {
            context
                .findings
                .error("conflict", place, "a composite has one of `all`, `any`, `not` and `of`")
                .hint("put a composite into another one: `any: [a, { all: [b, c] }]`");
        }
        return None;
    }
    if let Some(at_least) = composite.at_least.as_deref().filter(|_| composite.of.is_none()) {
        context.findings.error("conflict", at_least.place, "`at_least` without `of`");
        return None;
    }
    if let Some(not) = composite.not.as_deref() {
        return Some(Expression::Not(Box::new(term(not, names, context)?)));
    }
    let list = composite.all.as_deref().or(composite.any.as_deref()).or(composite.of.as_deref())?;
    let parts: Vec<_> = list.value.iter().map(|part| term(part, names, context)).collect();
    let parts = parts.into_iter().collect::<Option<Vec<_>>>()?;
    if parts.is_empty() {
        context.findings.error("value", list.place, "a composite of nothing");
        return None;
    }
    if composite.all.is_some() {
        return Some(Expression::AtLeast(parts.len(), parts));
    }
    if composite.any.is_some() {
        return Some(Expression::AtLeast(1, parts));
    }
    let Some(at_least) = composite.at_least.as_deref() else {
        context.findings.error("missing-key", place, "`at_least` is missing");
        return None;
    };
    let wanted = usize::try_from(at_least.value.get()).unwrap_or(usize::MAX);
    if wanted == 0 || wanted > parts.len() {
        let message = format!("`at_least` is from 1 to {}, the length of `of`", parts.len());
        context.findings.error("range", at_least.place, message);
        return None;
    }
    Some(Expression::AtLeast(wanted, parts))
}

fn term(term: &At<Term>, names: &[String], context: &mut Context<'_>) -> Option<Expression> {
    match &term.value {
        Term::Composite(inner) => one(&inner.0, term.place, names, context),
        Term::Name(name) => {
            let found = names.iter().position(|other| other == name);
            if found.is_none() {
                unknown(name, term.place, names, context);
            }
            found.map(Expression::Check)
        }
    }
}

/// Reports a name that no check of the worker has.
pub(super) fn unknown(name: &str, place: Place, names: &[String], context: &mut Context<'_>) {
    let similarity = |other: &&String| strsim::normalized_damerau_levenshtein(other, name);
    let near = names
        .iter()
        .filter(|other| similarity(other) >= 0.6)
        .max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => String::from("name a check of the same worker that is enabled"),
    };
    let message = format!("no check is called `{}`", shown(name));
    context.findings.error("value", place, message).hint(hint);
}
