//! What was found: one line for each check, grouped, with the cure below what is not well, and the
//! verdict at the end. All text is made harmless here, whoever wrote it.

use std::fmt::{self, Write as _};

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::domain::redact::redact;
use crate::progress::quantity::Things;
use crate::progress::safe::{Excerpt, Safe};

/// How much of a cure the last line repeats, in characters.
const NEXT: usize = 160;

/// What a check is about; the groups stand in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    Endpoint,
    Keys,
    Model,
    Queue,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ok,
    /// A run would go on with it.
    Warning,
    /// A run would fail, with this exit code.
    Wrong(Exit),
}

/// One line of the report.
#[derive(Debug)]
pub(super) struct Finding {
    check: String,
    state: State,
    text: String,
    /// What to do, as a sentence; empty when there is nothing to do.
    hint: String,
}

/// All lines of the report.
#[derive(Debug, Default)]
pub(super) struct Report {
    findings: Vec<(Group, Finding)>,
}

/// How a report is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) color: bool,
    /// Only what is wrong.
    pub(super) quiet: bool,
}

impl Finding {
    pub(super) fn ok(check: &str, text: impl Into<String>) -> Self {
        Self::new(check, State::Ok, &text.into(), "")
    }

    pub(super) fn warning(check: &str, text: impl Into<String>, hint: &str) -> Self {
        Self::new(check, State::Warning, &text.into(), hint)
    }

    pub(super) fn wrong(check: &str, exit: Exit, text: impl Into<String>, hint: &str) -> Self {
        Self::new(check, State::Wrong(exit), &text.into(), hint)
    }

    /// Makes a line of an error that would end a run.
    pub(super) fn of(check: &str, error: &CliError) -> Self {
        let (what, hint) = error
            .message
            .split_once("\nhint: ")
            .unwrap_or((&error.message, ""));
        Self::wrong(check, error.exit, what, &sentence(hint))
    }

    fn new(check: &str, state: State, text: &str, hint: &str) -> Self {
        Self {
            check: check.to_owned(),
            state,
            text: redact(text, &[]).into_owned(),
            hint: redact(hint, &[]).into_owned(),
        }
    }

    fn word(&self) -> &'static str {
        match self.state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Wrong(_) => "wrong",
        }
    }
}

impl Report {
    /// Adds a line at the end of its group.
    pub(super) fn add(&mut self, group: Group, finding: Finding) {
        let place = self.findings.partition_point(|(other, _)| *other <= group);
        self.findings.insert(place, (group, finding));
    }

    /// Returns the exit code: that of the first thing that is wrong.
    pub(super) fn exit(&self) -> Exit {
        let codes = self
            .findings
            .iter()
            .filter_map(|(_, finding)| match finding.state {
                State::Wrong(exit) => Some(exit),
                State::Ok | State::Warning => None,
            });
        codes.into_iter().next().unwrap_or(Exit::Done)
    }

    /// Writes the report for people.
    pub(super) fn text(&self, look: Look) -> String {
        let mut text = String::new();
        let shown = |finding: &Finding| !look.quiet || matches!(finding.state, State::Wrong(_));
        let findings = self.findings.iter().filter(|(_, finding)| shown(finding));
        let width = findings
            .clone()
            .map(|(_, finding)| Safe(&finding.check).to_string().chars().count())
            .max()
            .unwrap_or(0);
        let mut group = None;
        for (of, finding) in findings {
            if group != Some(*of) {
                let _ = writeln!(text, "{}", paint(look, "1", of));
                group = Some(*of);
            }
            finding.write(&mut text, look, width);
        }
        if !look.quiet || self.wrong().next().is_some() {
            let _ = writeln!(text, "{}", self.verdict(look));
        }
        text
    }

    /// Returns the report for programs. Fields are only ever added.
    pub(super) fn json(&self) -> serde_json::Value {
        let checks: Vec<_> = self
            .findings
            .iter()
            .map(|(group, finding)| {
                serde_json::json!({
                    "group": group.to_string(), "check": finding.check, "state": finding.word(),
                    "text": finding.text,
                    "cure": (!finding.hint.is_empty()).then_some(&finding.hint),
                })
            })
            .collect();
        serde_json::json!({
            "checks": checks, "wrong": self.wrong().count(), "warnings": self.warnings().count(),
            "exit_code": self.exit().code(),
        })
    }

    fn wrong(&self) -> impl Iterator<Item = &Finding> {
        let all = self.findings.iter().map(|(_, finding)| finding);
        all.filter(|finding| matches!(finding.state, State::Wrong(_)))
    }

    fn warnings(&self) -> impl Iterator<Item = &Finding> {
        let all = self.findings.iter().map(|(_, finding)| finding);
        all.filter(|finding| finding.state == State::Warning)
    }

    /// The last line: how it stands, and the first thing to do.
    fn verdict(&self, look: Look) -> String {
        let (wrong, warnings) = (self.wrong().count(), self.warnings().count());
        let first = |mut of: Box<dyn Iterator<Item = &Finding> + '_>| {
            let finding = of.find(|finding| !finding.hint.is_empty());
            finding.map_or_else(String::new, |finding| {
                format!(
                    " {}. {}",
                    Safe(&finding.check),
                    Excerpt(&finding.hint, NEXT)
                )
            })
        };
        match (wrong, warnings) {
            (0, 0) => paint(look, "1;32", "all is well"),
            (0, count) => {
                let head = format!("nothing is wrong, {}:", Things(count as u64, "warning"));
                let next = first(Box::new(self.warnings()));
                let head = if next.is_empty() {
                    head.trim_end_matches(':')
                } else {
                    &head
                };
                format!("{}{next}", paint(look, "1;33", head))
            }
            (1, _) => {
                let next = first(Box::new(self.wrong()));
                format!("{}{next}", paint(look, "1;31", "1 thing is wrong:"))
            }
            (count, _) => {
                let head = format!("{count} things are wrong; mend the first one first:");
                let next = first(Box::new(self.wrong()));
                format!("{}{next}", paint(look, "1;31", head))
            }
        }
    }
}

impl Finding {
    fn write(&self, text: &mut String, look: Look, width: usize) {
        let code = match self.state {
            State::Ok => "32",
            State::Warning => "1;33",
            State::Wrong(_) => "1;31",
        };
        let word = paint(look, code, format!("{:7}", self.word()));
        let check = Safe(&self.check).to_string();
        let _ = writeln!(text, "  {word}  {check:width$}  {}", Safe(&self.text));
        if !self.hint.is_empty() {
            let _ = writeln!(text, "  {:7}  {:width$}  -> {}", "", "", Safe(&self.hint));
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Endpoint => "endpoint",
            Self::Keys => "keys",
            Self::Model => "model",
            Self::Queue => "queue",
        })
    }
}

/// Makes a sentence of a fragment.
fn sentence(fragment: &str) -> String {
    let mut letters = fragment.chars();
    let Some(first) = letters.next() else {
        return String::new();
    };
    // A command, a path or a name begins as it is written.
    let is_word = fragment
        .split(' ')
        .next()
        .is_some_and(|word| word.chars().all(char::is_alphabetic));
    let first = if is_word && !fragment.starts_with("chmod ") {
        first.to_uppercase().to_string()
    } else {
        first.to_string()
    };
    let end = if fragment.ends_with(['.', ')']) || fragment.starts_with("chmod ") {
        ""
    } else {
        "."
    };
    format!("{first}{}{end}", letters.as_str())
}

fn paint(look: Look, code: &str, text: impl fmt::Display) -> String {
    if look.color {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    } else {
        text.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look = Look {
        color: false,
        quiet: false,
    };

    fn report() -> Report {
        let mut report = Report::default();
        report.add(Group::Queue, Finding::ok("lock", "free"));
        report.add(
            Group::Keys,
            Finding::wrong("key-1", Exit::NoKey, "a\u{1b}[2Jb", "Replace it."),
        );
        report.add(
            Group::Endpoint,
            Finding::warning("clock", "late", "Set it."),
        );
        report
    }

    #[test]
    fn groups_stand_in_order_and_the_first_wrong_thing_has_the_last_word() {
        let expected = "endpoint\n  warning  clock  late\n                  -> Set it.\n\
                        keys\n  wrong    key-1  a\\u{1b}[2Jb\n                  -> Replace it.\n\
                        queue\n  ok       lock   free\n\
                        1 thing is wrong: key-1. Replace it.\n";
        assert_eq!(report().text(PLAIN), expected);
        assert_eq!(report().exit(), Exit::NoKey);
    }

    #[test]
    fn a_quiet_report_shows_what_is_wrong_and_nothing_else() {
        let quiet = Look {
            quiet: true,
            ..PLAIN
        };
        let text = report().text(quiet);
        assert!(text.starts_with("keys\n") && !text.contains("clock"));
        assert_eq!(Report::default().text(quiet), "");
        assert_eq!(Report::default().text(PLAIN), "all is well\n");
    }

    #[test]
    fn what_looks_like_a_key_is_not_shown() {
        let mut report = Report::default();
        let text = "the model sk-abcdefghijkl1 is unknown";
        report.add(Group::Model, Finding::warning("model", text, ""));
        let shown = format!("{}{}", report.text(PLAIN), report.json());
        assert!(!shown.contains("abcdefghijkl1"), "{shown}");
        assert!(
            report
                .text(PLAIN)
                .ends_with("nothing is wrong, 1 warning\n")
        );
    }

    #[test]
    fn a_hint_becomes_a_sentence_unless_it_begins_with_something_to_type() {
        assert_eq!(sentence("set it"), "Set it.");
        assert_eq!(sentence("`x` shows it"), "`x` shows it.");
        assert_eq!(sentence("chmod 600 a"), "chmod 600 a");
        assert_eq!(sentence(""), "");
    }
}
