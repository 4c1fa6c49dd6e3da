//! Chat completions and the list of models: their wire form, and the answers that the simulated
//! provider makes up from a prompt.

use serde::Serialize;

use super::question::{Question, tokens_of};
use super::reply::{SimulatedResponse, json};
use super::seed::{combine, digest};
use super::structured;

/// Bytes of a prompt's first words that an answer repeats, at most.
const QUOTED_BYTES: usize = 40;

/// The name under which the simulator owns models and answers.
const FINGERPRINT: &str = "fp_simulated";

/// What makes one completion differ from another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    /// The seed of the configuration.
    pub(super) seed: u64,
    /// The hash of the prompt.
    pub(super) prompt: u64,
    /// How often the prompt was asked.
    pub(super) turn: u64,
    /// Seconds since 1970.
    pub(super) created: i64,
}

#[derive(Serialize)]
struct ChatBody<'a> {
    id: String,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    usage: Usage,
    system_fingerprint: &'static str,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    refusal: Option<()>,
}

/// The tokens that a request has used.
#[expect(clippy::struct_field_names, reason = "these are the names on the wire")]
#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

#[derive(Serialize)]
struct List<T> {
    object: &'static str,
    data: Vec<T>,
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: &'static str,
}

/// Makes up the answer to a question; the same question gets the same answer.
pub(super) fn answer(question: &Question<'_>, stamp: Stamp) -> SimulatedResponse {
    let prompt = question.prompt().unwrap_or_default();
    let model = digest(question.model().as_bytes());
    let mark = combine(combine(stamp.seed, stamp.prompt), model) & 0xff_ffff;
    let text = format!(
        "Simulated answer to \"{}\" ({mark:06x}).",
        first_words(prompt)
    );
    let structured = question
        .response_format()
        .and_then(|format| structured::answer(format, &text));
    say(question, stamp, structured.as_deref().unwrap_or(&text))
}

/// Makes a completion with this text, cut off at the tokens that the question allows.
pub(super) fn say(question: &Question<'_>, stamp: Stamp, text: &str) -> SimulatedResponse {
    let (content, finish_reason) = match cut(text, question.max_tokens()) {
        Some(start) => (start, "length"),
        None => (text, "stop"),
    };
    let message = Message {
        role: "assistant",
        content,
        refusal: None,
    };
    let choice = Choice {
        index: 0,
        message,
        logprobs: None,
        finish_reason,
    };
    completion(question, stamp, &[choice], tokens_of(content.len()))
}

/// Makes a completion that has no choice in it.
pub(super) fn no_choices(question: &Question<'_>, stamp: Stamp) -> SimulatedResponse {
    completion(question, stamp, &[], 0)
}

/// Makes the list of models.
pub(super) fn models<'a>(names: impl Iterator<Item = &'a str>, created: i64) -> SimulatedResponse {
    let data = names.map(|id| Model {
        id,
        object: "model",
        created,
        owned_by: "simulator",
    });
    let list = List {
        object: "list",
        data: data.collect(),
    };
    json(200, &list)
}

fn completion(
    question: &Question<'_>,
    stamp: Stamp,
    choices: &[Choice<'_>],
    completion_tokens: u64,
) -> SimulatedResponse {
    let id = combine(combine(stamp.seed, stamp.prompt), stamp.turn);
    let prompt_tokens = question.tokens();
    let completion = ChatBody {
        id: format!("chatcmpl-{id:016x}"),
        object: "chat.completion",
        created: stamp.created,
        model: question.model(),
        choices,
        usage: Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
        },
        system_fingerprint: FINGERPRINT,
    };
    json(200, &completion)
}

/// Returns the first words of a prompt on one line, with an ellipsis where something is left out.
fn first_words(prompt: &str) -> String {
    let mut quoted = String::with_capacity(QUOTED_BYTES + 4);
    for word in prompt.split_whitespace() {
        let gap = usize::from(!quoted.is_empty());
        if quoted.len() + gap + word.len() > QUOTED_BYTES {
            // A script without blanks is one long word: its start is better than nothing.
            if quoted.is_empty() {
                quoted.push_str(&word[..word.floor_char_boundary(QUOTED_BYTES)]);
            }
            quoted.push('…');
            break;
        }
        if gap == 1 {
            quoted.push(' ');
        }
        quoted.push_str(word);
    }
    quoted
}

/// Returns the start of `text` that has `max_tokens` tokens, when it has more of them.
fn cut(text: &str, max_tokens: Option<u64>) -> Option<&str> {
    let bytes = usize::try_from(max_tokens?.saturating_mul(4)).unwrap_or(usize::MAX);
    (bytes < text.len()).then(|| &text[..text.floor_char_boundary(bytes)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prompt: &str, expected: &str) {
        assert_eq!(first_words(prompt), expected);
    }

    #[test]
    fn an_answer_repeats_the_first_words_on_one_line() {
        check("", "");
        check("Hello", "Hello");
        check("Hello,\n\tworld", "Hello, world");
        check(
            "Write a haiku about a queue that never forgets a job",
            "Write a haiku about a queue that never…",
        );
        check(&"字".repeat(20), &format!("{}…", "字".repeat(13)));
    }

    #[test]
    fn an_answer_is_cut_between_characters() {
        assert_eq!(cut("abcdefgh", None), None);
        assert_eq!(cut("abcdefgh", Some(2)), None);
        assert_eq!(cut("abcdefgh", Some(1)), Some("abcd"));
        assert_eq!(cut("字字字", Some(1)), Some("字"));
        assert_eq!(cut("abc", Some(u64::MAX)), None);
    }
}
