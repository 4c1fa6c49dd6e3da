//! `promptmill show`: prints the request, the failed attempts, and the response of a row.
//! Works during a run.

use std::fmt::{self, Write as _};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::api;
use crate::clock::Clock;
use crate::domain::job::JobState;
use crate::domain::time::Timestamp;
use crate::domain::verdict;
use crate::progress::moment::{DateTime, Rfc3339};
use crate::progress::quantity::{Count, HumanDuration, Plural};
use crate::progress::safe::{Safe, Truncated};
use crate::store::{AttemptDetail, RowDetail, StoredBatch};

use super::exit::{CliError, Exit};
use super::rows::scope_name;
use super::settings::GlobalArgs;
use super::{console, database, rows};

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill show jobs.csv 17     # the row with this ID, or else the 17th row
  promptmill show jobs.csv '#17'  # the 17th row, as listed by `failures`
  promptmill show jobs.csv 17 --json | jq .request")]
pub(super) struct ShowArgs {
    /// Name of the batch, or path of its input file
    pub(super) batch: String,
    /// ID of the row, or its number in the input, starting from 1
    pub(super) row: String,
}

/// Maximum number of attempts that are shown, the latest ones; rate limits can cause thousands.
const SHOWN_ATTEMPTS: usize = 20;

/// Maximum number of characters of a message that are shown.
const MAX_MESSAGE_CHARS: usize = 600;

/// Runs `promptmill show`.
pub(super) async fn command(global: &GlobalArgs, args: &ShowArgs) -> Result<Exit, CliError> {
    let (store, batch) = database::open_batch(global, &args.batch).await?;
    let job = rows::find_row(&store, &batch, &args.row).await?;
    let found = store.row_detail(job).await?;
    store.close().await?;
    let Some(detail) = found else {
        let what = format!("row {} was just removed", Safe(&args.row));
        return Err(CliError::new(Exit::NoInput, &what, "import the file again"));
    };
    let text = if global.json {
        format!("{}\n", to_json(&batch, &detail))
    } else {
        to_text(&batch, &detail, Clock::start().now())
    };
    console::print(&text)?;
    Ok(Exit::Done)
}

fn to_json(batch: &StoredBatch, detail: &RowDetail) -> Value {
    let attempts: Vec<_> = detail.attempts.iter().map(attempt_json).collect();
    let completion = detail.completion.as_ref().map(|(completion, key, at)| {
        json!({
            "text": response_text(&completion.body), "body": json_or_text(&completion.body),
            "model": completion.model, "finish_reason": completion.finish_reason,
            "prompt_tokens": completion.prompt_tokens,
            "completion_tokens": completion.completion_tokens, "latency_ms": completion.latency_ms,
            "key": key, "at": Rfc3339(*at).to_string(),
        })
    });
    json!({
        "batch": batch.name, "row": detail.row, "id": detail.key, "status": detail.state,
        "requests": detail.requests, "spent": detail.spent,
        "request": json_or_text(&detail.request), "attempts": attempts, "answer": completion,
    })
}

fn attempt_json(attempt: &AttemptDetail) -> Value {
    json!({
        "at": Rfc3339(attempt.ended_at).to_string(), "key": attempt.key_label,
        "unknown": attempt.unknown, "status": attempt.status, "scope": attempt.scope,
        "rule": attempt.rule, "message": attempt.message, "request_id": attempt.request_id,
        "latency_ms": attempt.latency_ms, "cure": verdict::hint_of(&attempt.rule),
        "before_retry": attempt.is_past,
    })
}

fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Returns the text of a response, or an embedding as JSON; `None` if the body has no content.
pub(super) fn response_text(body: &str) -> Option<String> {
    api::content(body).map(|content| content.as_text().to_owned())
}

fn to_text(batch: &StoredBatch, detail: &RowDetail, now: Timestamp) -> String {
    let mut text = String::new();
    let id = match batch.template.id_column {
        Some(_) => format!(" ({})", Safe(&detail.key)),
        None => String::new(),
    };
    let (name, row) = (Safe(&batch.name), Count(detail.row));
    let _ = writeln!(text, "{name}, row {row}{id}: {}", row_state(detail, now));
    let _ = writeln!(text, "\nrequest");
    text.push_str(&indented(&pretty(&detail.request)));
    text.push_str(&attempts_text(&detail.attempts));
    if let Some((completion, key, at)) = &detail.completion {
        let tokens = |tokens: Option<u64>| tokens.map_or("?".to_owned(), |n| Count(n).to_string());
        let _ = writeln!(text, "\nresponse");
        let _ = writeln!(
            text,
            "  {}  {} after {}, {} + {} tokens, {}",
            DateTime(*at),
            Safe(key),
            HumanDuration(Duration::from_millis(completion.latency_ms)),
            tokens(completion.prompt_tokens),
            tokens(completion.completion_tokens),
            CommaList(&[&completion.model, &completion.finish_reason]),
        );
        text.push('\n');
        text.push_str(&indented_response(&completion.body));
    }
    text
}

/// Describes the state of a row.
fn row_state(detail: &RowDetail, now: Timestamp) -> String {
    let requests = Plural(u64::from(detail.requests), "request");
    match detail.state {
        JobState::Done => format!("completed, {requests}"),
        JobState::Failed => format!("failed, {requests}"),
        JobState::Running => format!("in flight, {requests} before"),
        JobState::Pending if detail.not_before > now => {
            format!("waiting until {}, {requests}", DateTime(detail.not_before))
        }
        JobState::Pending if detail.requests > 0 => format!("to be retried, {requests}"),
        JobState::Pending => "not sent yet".to_owned(),
    }
}

fn attempts_text(attempts: &[AttemptDetail]) -> String {
    let mut text = String::new();
    if attempts.is_empty() {
        return text;
    }
    let _ = writeln!(text, "\nfailed attempts");
    let earlier = attempts.len().saturating_sub(SHOWN_ATTEMPTS);
    if earlier > 0 {
        let earlier = Count(earlier as u64);
        let _ = writeln!(text, "  … {earlier} earlier attempts; --json lists all");
    }
    for attempt in &attempts[earlier..] {
        let status = attempt.status.map(|status| format!("status {status}"));
        let latency = attempt
            .latency_ms
            .map(|ms| format!("after {}", HumanDuration(Duration::from_millis(ms))));
        let past = attempt.is_past.then_some("before the last retry");
        let _ = writeln!(
            text,
            "  {}  {}",
            DateTime(attempt.ended_at),
            CommaList(&[
                &attempt.key_label,
                status.as_deref().unwrap_or_default(),
                latency.as_deref().unwrap_or_default(),
                past.unwrap_or_default(),
            ])
        );
        let (rule, scope) = (Safe(&attempt.rule), scope_name(attempt.scope));
        let _ = writeln!(text, "    {rule} ({scope})");
        for (label, value, length) in [
            ("message", attempt.message.as_str(), MAX_MESSAGE_CHARS),
            ("request ID", &attempt.request_id, 200),
            ("hint", verdict::hint_of(&attempt.rule), usize::MAX),
        ] {
            if !value.is_empty() {
                let _ = writeln!(text, "    {label}: {}", Truncated(value, length));
            }
        }
    }
    text
}

/// Displays the non-empty texts, separated by commas.
struct CommaList<'a>(&'a [&'a str]);

impl fmt::Display for CommaList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.0.iter().filter(|word| !word.is_empty());
        for (at, word) in words.enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{}", Safe(word))?;
        }
        Ok(())
    }
}

/// Pretty-prints JSON; returns other text unchanged.
pub(super) fn pretty(json: &str) -> String {
    let value: Result<Value, _> = serde_json::from_str(json);
    let pretty = value.and_then(|value| serde_json::to_string_pretty(&value));
    pretty.unwrap_or_else(|_| json.to_owned())
}

/// Indents and escapes the text of a response, or its body if it has no content.
pub(super) fn indented_response(body: &str) -> String {
    indented(&response_text(body).unwrap_or_else(|| pretty(body)))
}

/// Indents and escapes each line.
pub(super) fn indented(text: &str) -> String {
    text.lines().fold(String::new(), |mut shown, line| {
        let _ = writeln!(shown, "  {}", Safe(&line.replace('\t', "    ")));
        shown
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::verdict::Scope;

    fn attempt(rule: &str) -> AttemptDetail {
        AttemptDetail {
            ended_at: Timestamp::from_millis(1_795_466_460_000),
            key_label: "key-1".to_owned(),
            unknown: false,
            scope: Scope::Transient,
            rule: rule.to_owned(),
            status: Some(500),
            message: "oh\u{1b}]52;c;aGk=\u{7}".to_owned(),
            request_id: "req_1".to_owned(),
            latency_ms: Some(1_200),
            is_past: true,
        }
    }

    #[test]
    fn an_attempt_is_printed_with_its_key_message_and_hint() {
        assert_eq!(
            attempts_text(&[attempt("connect")]),
            "\nfailed attempts\n\
             \x20 2026-11-23 20:41:00 UTC  key-1, status 500, after 1.2s, before the last retry\n\
             \x20   connect (transient)\n\
             \x20   message: oh\\u{1b}]52;c;aGk=\\u{7}\n\
             \x20   request ID: req_1\n\
             \x20   hint: Check that the endpoint is running and that no firewall blocks it.\n"
        );
    }

    #[test]
    fn of_thousands_of_attempts_the_latest_are_shown() {
        let shown = attempts_text(&vec![attempt("rate-limit"); 1_000]);
        assert_eq!(shown.matches("rate-limit").count(), SHOWN_ATTEMPTS);
        assert!(shown.contains("… 980 earlier attempts"), "{shown}");
    }

    #[test]
    fn indented_lines_are_escaped() {
        assert_eq!(indented("a\r\nb\tc\u{202e}\n"), "  a\n  b    c\\u{202e}\n");
        assert_eq!(pretty("{\"a\":1}"), "{\n  \"a\": 1\n}");
        assert_eq!(pretty("not JSON"), "not JSON");
    }
}
