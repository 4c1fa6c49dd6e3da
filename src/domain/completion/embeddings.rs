//! Embeddings: the vectors of a text, as they came. Numbers are kept as the text that they are, so that
//! no digit is lost.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::CompletionMetadata;

/// The body of a response with embeddings, as far as it matters here. Unknown fields are skipped. Read
/// it with `serde_json::from_str`, since it borrows from the text.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct EmbeddingList<'a> {
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<Vec<Embedding<'a>>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Embedding<'a> {
    #[serde(borrow)]
    embedding: Option<&'a RawValue>,
}

/// Read apart from the rest, so that odd counts make unknown counts and not a lost answer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Usage {
    prompt_tokens: Option<u64>,
}

impl EmbeddingList<'_> {
    /// Returns the vector as JSON: an array of numbers, or the text that was asked for with
    /// `encoding_format`. To a list of texts, a list of vectors. `None` when there is none, or one is
    /// missing.
    #[must_use]
    pub fn json(&self) -> Option<Cow<'_, str>> {
        let vectors: Option<Vec<&str>> = self.data.as_ref()?.iter().map(Embedding::json).collect();
        match vectors?.as_slice() {
            [] => None,
            [vector] => Some(Cow::Borrowed(vector)),
            several => Some(Cow::Owned(format!("[{}]", several.join(",")))),
        }
    }

    /// Returns whether the body names an error.
    #[must_use]
    pub fn has_error(&self) -> bool {
        self.error.is_some()
    }

    /// Returns what is kept of the answer beside its body.
    #[must_use]
    pub fn metadata(&self) -> CompletionMetadata {
        let usage: Usage = self
            .usage
            .and_then(|usage| serde_json::from_str(usage.get()).ok())
            .unwrap_or_default();
        CompletionMetadata {
            model: self.model.as_deref().unwrap_or_default().to_owned(),
            finish_reason: String::new(),
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: None,
        }
    }
}

impl Embedding<'_> {
    fn json(&self) -> Option<&str> {
        let text = self.embedding?.get();
        let holds_something = text.starts_with(['[', '"']) && text.len() > 2;
        holds_something.then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Option<&str>) {
        let list: EmbeddingList<'_> = serde_json::from_str(body).expect("lenient");
        assert_eq!(list.json().as_deref(), expected, "{body}");
    }

    #[test]
    fn a_vector_is_the_text_that_it_came_in() {
        check(
            r#"{"object":"list","data":[{"index":0,"embedding":[0.10, -1e-05]}],"model":"m"}"#,
            Some("[0.10, -1e-05]"),
        );
        check(r#"{"data":[{"embedding":"AAAA"}]}"#, Some(r#""AAAA""#));
        check(
            r#"{"data":[{"embedding":[1]},{"embedding":[2]}]}"#,
            Some("[[1],[2]]"),
        );
    }

    #[test]
    fn without_a_vector_there_is_none() {
        for body in [
            "{}",
            r#"{"data":null}"#,
            r#"{"data":[]}"#,
            r#"{"data":[{"embedding":[]}]}"#,
            r#"{"data":[{"embedding":null}]}"#,
            r#"{"data":[{"embedding":[1]},{}]}"#,
            r#"{"choices":[{"message":{"content":"x"}}]}"#,
        ] {
            check(body, None);
        }
    }

    #[test]
    fn tokens_are_those_of_the_text_and_odd_details_do_no_harm() {
        let body = r#"{"model":"m","usage":{"prompt_tokens":5,"total_tokens":5},"data":[]}"#;
        let list: EmbeddingList<'_> = serde_json::from_str(body).expect("lenient");
        assert_eq!(
            (
                list.metadata().model.as_str(),
                list.metadata().prompt_tokens
            ),
            ("m", Some(5))
        );
        let odd = r#"{"usage":"none","data":[{"embedding":[1]}]}"#;
        let list: EmbeddingList<'_> = serde_json::from_str(odd).expect("lenient");
        assert_eq!(list.metadata(), CompletionMetadata::default());
    }
}
