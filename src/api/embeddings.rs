//! Embeddings. Numbers are kept as text, so that no digit is lost.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::completion::{
    CompletionMetadata, Content, FindError, InvalidCompletion, Usage, describe_fields, reject_error,
};
use super::format::{ApiFormat, RequestLayout};
use crate::domain::failure::ResponseProblem;

/// The format of embeddings.
pub(super) const FORMAT: ApiFormat = ApiFormat {
    name: "embeddings",
    path: "/embeddings",
    batch_url: "/v1/embeddings",
    layout: RequestLayout {
        field: "input",
        is_array: false,
        start: "",
        system: None,
        prompt: [r#","input":"#, ""],
    },
    structured_output: None,
    token_limits: &[],
    continue_conversation: |_, _, _| false,
    parse,
    content,
};

fn parse(body: &str, find: FindError<'_>) -> Result<CompletionMetadata, InvalidCompletion> {
    let list: EmbeddingsResponse<'_> = serde_json::from_str(body)?;
    let has_vector = list.json().is_some();
    if list.error.is_some() || !has_vector {
        reject_error(body, find)?;
    }
    if !has_vector {
        let excerpt = describe_fields(body);
        return Err(InvalidCompletion::Unusable(
            ResponseProblem::NoVector,
            excerpt,
        ));
    }
    Ok(list.metadata())
}

fn content(body: &str) -> Option<Content<'_>> {
    let list: EmbeddingsResponse<'_> = serde_json::from_str(body).ok()?;
    list.json().map(Content::Vector)
}

/// The relevant parts of the body of an embeddings response. Unknown fields are skipped.
#[derive(Default, Deserialize)]
#[serde(default)]
struct EmbeddingsResponse<'a> {
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<Vec<EmbeddingItem<'a>>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EmbeddingItem<'a> {
    #[serde(borrow)]
    embedding: Option<&'a RawValue>,
}

impl<'a> EmbeddingsResponse<'a> {
    /// Returns the vector as JSON: an array of numbers, or a string if requested with
    /// `encoding_format`. For a list of texts, returns a list of vectors. `None` if any vector is
    /// missing.
    fn json(&self) -> Option<Cow<'a, str>> {
        let items = self.data.as_ref()?.iter();
        let vectors: Option<Vec<&'a str>> = items.map(EmbeddingItem::json).collect();
        match vectors?.as_slice() {
            [] => None,
            [vector] => Some(Cow::Borrowed(vector)),
            several => Some(Cow::Owned(format!("[{}]", several.join(",")))),
        }
    }

    fn metadata(&self) -> CompletionMetadata {
        CompletionMetadata {
            model: self.model.as_deref().unwrap_or_default().to_owned(),
            prompt_tokens: Usage::parse(self.usage).prompt_tokens,
            ..CompletionMetadata::default()
        }
    }
}

impl<'a> EmbeddingItem<'a> {
    fn json(&self) -> Option<&'a str> {
        let text = self.embedding?.get();
        let is_nonempty = text.starts_with(['[', '"']) && text.len() > 2;
        is_nonempty.then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Option<&str>) {
        let list: EmbeddingsResponse<'_> = serde_json::from_str(body).unwrap();
        assert_eq!(list.json().as_deref(), expected, "{body}");
    }

    #[test]
    fn a_vector_is_kept_verbatim() {
        let given =
            r#"{"object":"list","data":[{"index":0,"embedding":[0.10, -1e-05]}],"model":"m"}"#;
        check(given, Some("[0.10, -1e-05]"));
        check(r#"{"data":[{"embedding":"AAAA"}]}"#, Some(r#""AAAA""#));
        let given = r#"{"data":[{"embedding":[1]},{"embedding":[2]}]}"#;
        check(given, Some("[[1],[2]]"));
    }

    #[test]
    fn a_response_without_vectors_has_no_json() {
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
    fn metadata_tolerates_invalid_details() {
        let body = r#"{"model":"m","usage":{"prompt_tokens":5,"total_tokens":5},"data":[]}"#;
        let list: EmbeddingsResponse<'_> = serde_json::from_str(body).unwrap();
        assert_eq!(
            (
                list.metadata().model.as_str(),
                list.metadata().prompt_tokens
            ),
            ("m", Some(5))
        );
        let odd = r#"{"usage":"none","data":[{"embedding":[1]}]}"#;
        let list: EmbeddingsResponse<'_> = serde_json::from_str(odd).unwrap();
        assert_eq!(list.metadata(), CompletionMetadata::default());
    }
}
