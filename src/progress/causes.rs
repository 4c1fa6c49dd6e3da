//! The causes of failed and waiting rows in the summary.

use std::fmt;

use super::palette::Palette;
use super::quantity::{Count, Plural};
use super::safe::{Safe, Truncated};
use super::wording::{MESSAGE_LENGTH, describe_scope};
use super::wrap::wrap;
use crate::domain::run_stats::Cause;

/// Maximum number of causes listed; the rest are only counted.
const MAX_SHOWN: usize = 5;

/// The most frequent causes, each with its row count, scope, message and hint.
pub(super) struct Causes<'a> {
    /// Most frequent first.
    pub list: &'a [Cause],
    /// Colors, if enabled.
    pub palette: Palette,
    /// Width of the terminal in columns; `None` if there is none.
    pub width: Option<usize>,
}

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.list.is_empty() {
            return Ok(());
        }
        let (shown, rest) = self.list.split_at(self.list.len().min(MAX_SHOWN));
        let widths = shown
            .iter()
            .map(|cause| Count(cause.jobs).to_string().len());
        let width = widths.max().unwrap_or_default();
        let title = self.palette.bold("why rows failed or are waiting");
        writeln!(f, "\n  {title}")?;
        for cause in shown {
            self.cause(cause, width, f)?;
        }
        if !rest.is_empty() {
            let causes = Plural(rest.len() as u64, "other cause");
            let rows = Plural(rest.iter().map(|cause| cause.jobs).sum(), "row");
            writeln!(f, "    and {causes} for {rows}")?;
        }
        Ok(())
    }
}

impl Causes<'_> {
    fn cause(&self, cause: &Cause, width: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (jobs, rule) = (Count(cause.jobs), Safe(&cause.rule));
        let jobs = self.palette.error(format!("{jobs:>width$}"));
        let rule = self.palette.dim(format!("({rule})"));
        writeln!(f, "    {jobs} × {} {rule}", describe_scope(cause.scope))?;
        let indent = width + 7;
        let message = Truncated(&cause.message, MESSAGE_LENGTH).to_string();
        for (label, text) in [
            ("message: ", message),
            ("hint: ", Safe(&cause.hint).to_string()),
        ] {
            if !text.is_empty() {
                let text = wrap(&text, indent + label.len(), self.width);
                writeln!(f, "{:indent$}{label}{text}", "")?;
            }
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

    fn shown(list: &[Cause], width: Option<usize>) -> String {
        let palette = Palette { color: false };
        let causes = Causes {
            list,
            palette,
            width,
        };
        causes.to_string()
    }

    #[test]
    fn a_cause_has_a_count_a_scope_a_message_and_a_hint() {
        assert_eq!(shown(&[], None), "");
        let filtered = cause(1_200, "filtered\u{1b}[2J", "reword the prompt");
        assert_eq!(
            shown(&[filtered, cause(3, "", "")], None),
            "\n  why rows failed or are waiting\n\
             \x20   1,200 × request rejected (content-filter)\n\
             \x20           message: filtered\\u{1b}[2J\n\
             \x20           hint: reword the prompt\n\
             \x20       3 × request rejected (content-filter)\n",
        );
    }

    #[test]
    fn long_messages_are_wrapped_with_an_indent_on_a_narrow_terminal() {
        let long = "the prompt exceeds the context length";
        let shown = shown(&[cause(12, long, "split the prompt")], Some(40));
        assert!(
            shown.ends_with(
                "message: the prompt exceeds the\n\
                 \x20                 context length\n\
                 \x20        hint: split the prompt\n"
            ),
            "{shown}"
        );
    }

    #[test]
    fn causes_beyond_the_maximum_are_only_counted() {
        let list = vec![cause(2, "", ""); MAX_SHOWN + 3];
        let all = shown(&list, None);
        assert_eq!(all.matches('×').count(), MAX_SHOWN);
        assert!(
            all.ends_with("    and 3 other causes for 6 rows\n"),
            "{all}"
        );
        let one_more = shown(&list[..=MAX_SHOWN], None);
        assert!(one_more.ends_with("    and 1 other cause for 2 rows\n"));
    }
}
