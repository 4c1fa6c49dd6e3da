//! The list of APIs. A new API needs a file with its [`ApiFormat`], a variant, and an arm in
//! [`Api::format`].

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::completion::Content;
use super::format::ApiFormat;
use super::{chat, embeddings};

/// An API of the endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// Chat completions.
    #[default]
    Chat,
    /// Embeddings.
    Embeddings,
}

impl Api {
    /// All APIs.
    pub const ALL: [Self; 2] = [Self::Chat, Self::Embeddings];

    /// Returns the format of its requests and responses.
    #[must_use]
    pub fn format(self) -> &'static ApiFormat {
        match self {
            Self::Chat => &chat::FORMAT,
            Self::Embeddings => &embeddings::FORMAT,
        }
    }

    /// Returns the API with this `url` in the `OpenAI` Batch API.
    #[must_use]
    pub fn from_batch_url(url: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|api| api.format().batch_url == url)
    }

    /// Returns the maximum number of completion tokens that a request body sets, if any.
    #[must_use]
    pub fn max_completion_tokens(self, body: &str) -> Option<u64> {
        // Quotes inside strings are escaped, so this finds no text of a prompt.
        self.format().token_limits.iter().find_map(|name| {
            let quoted = format!("\"{name}\"");
            body.match_indices(&quoted).find_map(|(at, quoted)| {
                let value = body[at + quoted.len()..].trim_start().strip_prefix(':')?;
                let value = value.trim_start();
                let end = value.find(|c: char| !c.is_ascii_digit());
                value[..end.unwrap_or(value.len())].parse().ok()
            })
        })
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde requires it")]
    pub(super) fn is_chat(&self) -> bool {
        *self == Self::Chat
    }
}

/// Returns the content of a stored body of any API.
#[must_use]
pub fn content(body: &str) -> Option<Content<'_>> {
    let mut all = Api::ALL.into_iter();
    all.find_map(|api| (api.format().content)(body))
}

/// Returns a request that continues the conversation of another one with its response and a
/// correction by the user; `None` if the request is not a conversation.
#[must_use]
pub fn follow_up(request: &str, completion: &str, correction: &str) -> Option<String> {
    let mut request: Value = serde_json::from_str(request).ok()?;
    let mut all = Api::ALL.into_iter();
    all.any(|api| (api.format().continue_conversation)(&mut request, completion, correction))
        .then(|| request.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_content_of_any_api() {
        for (body, expected) in [
            (
                r#"{"choices":[{"message":{"content":"x"}}],"data":[{"embedding":[1]}]}"#,
                Some(Content::Text("x".into())),
            ),
            (
                r#"{"data":[{"embedding":[1, 2]}]}"#,
                Some(Content::Vector("[1, 2]".into())),
            ),
            (r#"{"choices":[]}"#, None),
            ("cut off", None),
        ] {
            assert_eq!(content(body), expected, "{body}");
        }
    }

    #[test]
    fn reads_max_tokens_but_not_from_a_prompt() {
        for (body, expected) in [
            (r#"{"messages":[{"content":"\\"max_tokens\\":9"}]}"#, None),
            (r#"{"stop":"max_tokens","max_tokens" : 20,"n":1}"#, Some(20)),
            (r#"{"max_tokens":9,"max_completion_tokens":7}"#, Some(7)),
            (r#"{"max_tokens":null}"#, None),
        ] {
            assert_eq!(Api::Chat.max_completion_tokens(body), expected, "{body}");
        }
    }

    #[test]
    fn every_api_has_its_own_url() {
        for api in Api::ALL {
            let format = api.format();
            assert_eq!(Api::from_batch_url(format.batch_url), Some(api));
            assert_eq!(format!("/v1{}", format.path), format.batch_url);
        }
        assert_eq!(Api::from_batch_url("/v1/completions"), None);
    }
}
