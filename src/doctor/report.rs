//! The report of `doctor`: one line per check, grouped, with a hint below each problem and a
//! conclusion at the end. All text is redacted and escaped here.

use std::fmt::{self, Write as _};

use crate::domain::redact::redact;
use crate::exit::{CliError, Exit};
use crate::progress::quantity::Plural;
use crate::progress::safe::{Safe, Truncated};

/// Maximum number of characters of a hint that the last line repeats.
const MAX_HINT_CHARS: usize = 160;

/// Subject of a check. Groups are printed in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    Endpoint,
    Keys,
    Model,
    Queue,
}

/// Result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ok,
    /// A run would continue.
    Warning,
    /// A run would fail, with this exit code.
    Error(Exit),
}

/// One line of the report.
#[derive(Debug)]
pub(super) struct Finding {
    check: String,
    state: State,
    text: String,
    /// What to do, as a sentence; may be empty.
    hint: String,
}

/// All findings.
#[derive(Debug, Default)]
pub(crate) struct DoctorReport {
    findings: Vec<(Group, Finding)>,
}

/// Style of a report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReportStyle {
    pub(crate) color: bool,
    /// Print errors only.
    pub(crate) quiet: bool,
}

impl Finding {
    pub(super) fn ok(check: &str, text: impl Into<String>) -> Self {
        Self::new(check, State::Ok, &text.into(), "")
    }

    pub(super) fn warning(check: &str, text: impl Into<String>, hint: &str) -> Self {
        Self::new(check, State::Warning, &text.into(), hint)
    }

    pub(super) fn error(check: &str, exit: Exit, text: impl Into<String>, hint: &str) -> Self {
        Self::new(check, State::Error(exit), &text.into(), hint)
    }

    /// Creates a finding from an error that would end a run.
    pub(super) fn from_error(check: &str, error: impl Into<CliError>) -> Self {
        let error = error.into();
        let (what, hint) = error
            .message
            .split_once("\nhint: ")
            .unwrap_or((&error.message, ""));
        Self::error(check, error.exit, what, &sentence(hint))
    }

    fn new(check: &str, state: State, text: &str, hint: &str) -> Self {
        Self {
            check: check.to_owned(),
            state,
            text: redact(text, &[]).into_owned(),
            hint: redact(hint, &[]).into_owned(),
        }
    }

    fn is_error(&self) -> bool {
        matches!(self.state, State::Error(_))
    }
}

impl DoctorReport {
    /// Adds a finding at the end of its group.
    pub(super) fn add(&mut self, group: Group, finding: Finding) {
        let position = self.findings.partition_point(|(other, _)| *other <= group);
        self.findings.insert(position, (group, finding));
    }

    /// Returns the exit code: that of the first error.
    pub(crate) fn exit(&self) -> Exit {
        let mut findings = self.findings.iter();
        let error = findings.find_map(|(_, finding)| match finding.state {
            State::Error(exit) => Some(exit),
            State::Ok | State::Warning => None,
        });
        error.unwrap_or(Exit::Done)
    }

    /// Formats the report as text.
    pub(crate) fn text(&self, style: ReportStyle) -> String {
        let mut text = String::new();
        let shown = |finding: &Finding| !style.quiet || finding.is_error();
        let findings = self.findings.iter().filter(|(_, finding)| shown(finding));
        let width = findings
            .clone()
            .map(|(_, finding)| Safe(&finding.check).to_string().chars().count())
            .max()
            .unwrap_or(0);
        let mut group = None;
        for (of, finding) in findings {
            if group != Some(*of) {
                let _ = writeln!(text, "{}", paint(style, "1", of));
                group = Some(*of);
            }
            finding.write(&mut text, style, width);
        }
        if !style.quiet || self.errors().next().is_some() {
            let _ = writeln!(text, "{}", self.conclusion(style));
        }
        text
    }

    /// Returns the report as JSON. Fields are added, but never renamed or removed.
    pub(crate) fn json(&self) -> serde_json::Value {
        let checks: Vec<_> = self
            .findings
            .iter()
            .map(|(group, finding)| {
                let state = match finding.state {
                    State::Ok => "ok",
                    State::Warning => "warning",
                    State::Error(_) => "wrong",
                };
                serde_json::json!({
                    "group": group.to_string(), "check": finding.check, "state": state,
                    "text": finding.text,
                    "cure": (!finding.hint.is_empty()).then_some(&finding.hint),
                })
            })
            .collect();
        serde_json::json!({
            "checks": checks, "wrong": self.errors().count(), "warnings": self.warnings().count(),
            "exit_code": self.exit().code(),
        })
    }

    fn errors(&self) -> impl Iterator<Item = &Finding> {
        let all = self.findings.iter().map(|(_, finding)| finding);
        all.filter(|finding| finding.is_error())
    }

    fn warnings(&self) -> impl Iterator<Item = &Finding> {
        let all = self.findings.iter().map(|(_, finding)| finding);
        all.filter(|finding| finding.state == State::Warning)
    }

    /// Formats the last line: the number of problems, and the first hint.
    fn conclusion(&self, style: ReportStyle) -> String {
        let (errors, warnings) = (self.errors().count(), self.warnings().count());
        let has_hint = |finding: &&Finding| !finding.hint.is_empty();
        let first = match errors {
            0 => self.warnings().find(has_hint),
            _ => self.errors().find(has_hint),
        };
        let next = first.map_or_else(String::new, |Finding { check, hint, .. }| {
            let hint = Truncated(hint, MAX_HINT_CHARS);
            format!(" {}. {hint}", Safe(check))
        });
        let (code, head) = match (errors, warnings) {
            (0, 0) => ("1;32", "all checks passed".to_owned()),
            (0, count) => {
                let colon = if next.is_empty() { "" } else { ":" };
                let warnings = Plural(count as u64, "warning");
                ("1;33", format!("no errors, {warnings}{colon}"))
            }
            (1, _) => ("1;31", "1 error:".to_owned()),
            (count, _) => ("1;31", format!("{count} errors; fix this one first:")),
        };
        format!("{}{next}", paint(style, code, head))
    }
}

impl Finding {
    fn write(&self, text: &mut String, style: ReportStyle, width: usize) {
        let (label, code) = match self.state {
            State::Ok => ("ok", "32"),
            State::Warning => ("warning", "1;33"),
            State::Error(_) => ("error", "1;31"),
        };
        let label = paint(style, code, format!("{label:7}"));
        let check = Safe(&self.check).to_string();
        let _ = writeln!(text, "  {label}  {check:width$}  {}", Safe(&self.text));
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

/// Turns a fragment into a sentence.
fn sentence(fragment: &str) -> String {
    let mut letters = fragment.chars();
    let Some(first) = letters.next() else {
        return String::new();
    };
    // Commands, paths, and names keep their case.
    let mut word = fragment.chars().take_while(|letter| *letter != ' ');
    let first = if word.all(char::is_alphabetic) {
        first.to_uppercase().to_string()
    } else {
        first.to_string()
    };
    // A period could be taken for a part of a URL.
    let has_end = fragment.ends_with(['.', '/']);
    let end = if has_end { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

fn paint(style: ReportStyle, code: &str, text: impl fmt::Display) -> String {
    if style.color {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    } else {
        text.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: ReportStyle = ReportStyle {
        color: false,
        quiet: false,
    };

    fn report() -> DoctorReport {
        let mut report = DoctorReport::default();
        report.add(Group::Queue, Finding::ok("lock", "free"));
        let key = Finding::error("key-1", Exit::NoKey, "a\u{1b}[2Jb", "Replace it.");
        report.add(Group::Keys, key);
        let clock = Finding::warning("clock", "late", "Set it.");
        report.add(Group::Endpoint, clock);
        report
    }

    #[test]
    fn groups_are_printed_in_order_and_the_conclusion_repeats_the_first_error() {
        let expected = "endpoint\n  warning  clock  late\n                  -> Set it.\n\
                        keys\n  error    key-1  a\\u{1b}[2Jb\n                  -> Replace it.\n\
                        queue\n  ok       lock   free\n\
                        1 error: key-1. Replace it.\n";
        assert_eq!(report().text(PLAIN), expected);
        assert_eq!(report().exit(), Exit::NoKey);
    }

    #[test]
    fn a_quiet_report_shows_errors_only() {
        let quiet = ReportStyle {
            quiet: true,
            ..PLAIN
        };
        let text = report().text(quiet);
        assert!(text.starts_with("keys\n") && !text.contains("clock"));
        assert_eq!(DoctorReport::default().text(quiet), "");
        assert_eq!(DoctorReport::default().text(PLAIN), "all checks passed\n");
    }

    #[test]
    fn text_that_looks_like_a_key_is_redacted() {
        let mut report = DoctorReport::default();
        let text = "the model sk-abcdefghijkl1 is unknown";
        report.add(Group::Model, Finding::warning("model", text, ""));
        let shown = format!("{}{}", report.text(PLAIN), report.json());
        assert!(!shown.contains("abcdefghijkl1"), "{shown}");
        assert!(report.text(PLAIN).ends_with("no errors, 1 warning\n"));
    }

    #[test]
    fn a_hint_becomes_a_sentence() {
        assert_eq!(sentence("set it"), "Set it.");
        assert_eq!(sentence("`x` shows it"), "`x` shows it.");
        assert_eq!(sentence("use https://"), "Use https://");
        assert_eq!(sentence(""), "");
    }
}
