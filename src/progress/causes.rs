//! Why rows failed or wait: the part of the summary that a person acts on.

use std::fmt;

use super::ink::Ink;
use super::quantity::{Count, Things};
use super::safe::{Excerpt, Safe};
use super::wording::{MESSAGE_LENGTH, whose};
use super::wrap::wrap;
use crate::domain::run_stats::Cause;

/// Causes that are shown one by one; the rest is counted.
const SHOWN: usize = 5;

/// The most frequent causes, each with its count, whose fault it is, what was said, and the cure.
pub(super) struct Causes<'a> {
    /// Most frequent first.
    pub list: &'a [Cause],
    /// The color.
    pub ink: Ink,
    /// Columns of the terminal, where there is one.
    pub width: Option<usize>,
}

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.list.is_empty() {
            return Ok(());
        }
        let (shown, rest) = self.list.split_at(self.list.len().min(SHOWN));
        let width = shown
            .iter()
            .map(|cause| Count(cause.jobs).to_string().len())
            .max();
        let width = width.unwrap_or_default();
        writeln!(f, "\n  {}", self.ink.strong("why rows failed or wait"))?;
        for cause in shown {
            self.cause(cause, width, f)?;
        }
        if !rest.is_empty() {
            let causes = Things(rest.len() as u64, "other cause");
            let rows = Things(rest.iter().map(|cause| cause.jobs).sum(), "row");
            writeln!(f, "    and {causes} for {rows}")?;
        }
        Ok(())
    }
}

impl Causes<'_> {
    fn cause(&self, cause: &Cause, width: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cause {
            scope,
            rule,
            message,
            hint,
            jobs,
        } = cause;
        let (jobs, rule) = (Count(*jobs), Safe(rule));
        write!(
            f,
            "    {} × {} ",
            self.ink.bad(format_args!("{jobs:>width$}")),
            whose(*scope)
        )?;
        writeln!(f, "{}", self.ink.dim(format_args!("({rule})")))?;
        let (set_in, below) = (width + 7, width + 13);
        let told = |text: String| wrap(&text, below, self.width);
        if !message.is_empty() {
            let message = told(Excerpt(message, MESSAGE_LENGTH).to_string());
            writeln!(f, "{:set_in$}said: {message}", "")?;
        }
        if !hint.is_empty() {
            let hint = told(Safe(hint).to_string());
            writeln!(f, "{:set_in$}cure: {hint}", "")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::verdict::Scope;

    fn cause(jobs: u64, message: &str, hint: &str) -> Cause {
        Cause {
            scope: Scope::Request,
            rule: "content-filter".to_owned(),
            message: message.to_owned(),
            hint: hint.to_owned(),
            jobs,
        }
    }

    #[track_caller]
    fn check(list: &[Cause], expected: &str) {
        let ink = Ink { color: false };
        let width = None;
        assert_eq!(Causes { list, ink, width }.to_string(), expected);
    }

    #[test]
    fn a_cause_says_how_many_whose_fault_and_what_to_do() {
        check(&[], "");
        check(
            &[
                cause(1_200, "filtered\u{1b}[2J", "reword the prompt"),
                cause(3, "", ""),
            ],
            "\n  why rows failed or wait\n\
             \x20   1,200 × the request was refused (content-filter)\n\
             \x20           said: filtered\\u{1b}[2J\n\
             \x20           cure: reword the prompt\n\
             \x20       3 × the request was refused (content-filter)\n",
        );
    }

    #[test]
    fn long_words_stay_under_each_other_on_a_narrow_terminal() {
        let shown = Causes {
            list: &[cause(
                12,
                "the prompt is longer than the model takes",
                "cut it in two",
            )],
            ink: Ink { color: false },
            width: Some(40),
        };
        assert!(
            shown.to_string().ends_with(
                "said: the prompt is longer than\n\
                 \x20              the model takes\n\
                 \x20        cure: cut it in two\n"
            ),
            "{shown}"
        );
    }

    #[test]
    fn many_causes_are_counted_and_not_listed() {
        let list = vec![cause(2, "", ""); SHOWN + 3];
        let shown = Causes {
            list: &list,
            ink: Ink { color: false },
            width: None,
        }
        .to_string();
        assert_eq!(shown.matches('×').count(), SHOWN);
        assert!(
            shown.ends_with("    and 3 other causes for 6 rows\n"),
            "{shown}"
        );
        let shown = Causes {
            list: &list[..=SHOWN],
            ink: Ink { color: false },
            width: None,
        }
        .to_string();
        assert!(
            shown.ends_with("    and 1 other cause for 2 rows\n"),
            "{shown}"
        );
    }
}
