//! Expressions: what follows from the verdicts of several checks.
//!
//! Three values: what cannot be told stays unknown, and only then.

use alloc::string::String;
use alloc::vec::Vec;

use hsu_model::health::{Check, Expression, Verdict};

/// The verdict of an expression over the verdicts of all checks, by place.
pub(super) fn evaluate(expression: &Expression, verdicts: &[Verdict]) -> Verdict {
    match expression {
        Expression::Check(place) => verdicts.get(*place).copied().unwrap_or_default(),
        Expression::Not(inner) => match evaluate(inner, verdicts) {
            Verdict::Unknown => Verdict::Unknown,
            Verdict::Passing => Verdict::Failing,
            Verdict::Failing => Verdict::Passing,
        },
        Expression::AtLeast(wanted, parts) => {
            let verdicts = parts.iter().map(|part| evaluate(part, verdicts));
            let (mut passing, mut unknown) = (0, 0);
            for verdict in verdicts {
                match verdict {
                    Verdict::Unknown => unknown += 1,
                    Verdict::Passing => passing += 1,
                    Verdict::Failing => {}
                }
            }
            if passing >= *wanted {
                Verdict::Passing
            } else if passing + unknown >= *wanted {
                Verdict::Unknown
            } else {
                Verdict::Failing
            }
        }
    }
}

/// Which checks an expression is about, and what they say.
pub(super) fn explain(expression: &Expression, checks: &[Check], verdicts: &[Verdict]) -> String {
    let mut places = Vec::new();
    name(expression, &mut places);
    places.sort_unstable();
    places.dedup();
    let mut text = String::new();
    for place in places {
        if let (Some(check), Some(verdict)) = (checks.get(place), verdicts.get(place)) {
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(&alloc::format!("`{}` is {}", check.name, verdict.as_str()));
        }
    }
    text
}

fn name(expression: &Expression, places: &mut Vec<usize>) {
    match expression {
        Expression::Check(place) => places.push(*place),
        Expression::Not(inner) => name(inner, places),
        Expression::AtLeast(_, parts) => parts.iter().for_each(|part| name(part, places)),
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::vec;

    use super::*;

    const U: Verdict = Verdict::Unknown;
    const P: Verdict = Verdict::Passing;
    const F: Verdict = Verdict::Failing;

    fn of(wanted: usize, verdicts: &[Verdict]) -> Verdict {
        let parts = (0..verdicts.len()).map(Expression::Check).collect();
        evaluate(&Expression::AtLeast(wanted, parts), verdicts)
    }

    #[test]
    fn and_or_and_k_of_n_are_told_as_soon_as_they_can_be_and_not_before() {
        for (wanted, verdicts, expected) in [
            (3, &[P, P, P][..], P),
            (3, &[P, P, U], U),
            (3, &[P, F, U], F),
            (1, &[F, U, P], P),
            (1, &[F, U, F], U),
            (1, &[F, F, F], F),
            (2, &[P, P, F], P),
            (2, &[P, U, F], U),
            (2, &[F, F, U], F),
        ] {
            assert_eq!(of(wanted, verdicts), expected, "{wanted} of {verdicts:?}");
        }
    }

    #[test]
    fn not_turns_what_is_known_and_leaves_what_is_not() {
        let not = Expression::Not(Box::new(Expression::Check(0)));
        for (verdict, expected) in [(P, F), (F, P), (U, U)] {
            assert_eq!(evaluate(&not, &[verdict]), expected);
        }
    }

    #[test]
    fn a_place_that_no_check_has_is_unknown() {
        assert_eq!(evaluate(&Expression::AtLeast(1, vec![Expression::Check(7)]), &[P]), U);
    }
}
