//! The content of a stored response body, of either API.

use std::borrow::Cow;

use super::chat::ChatCompletion;
use super::embeddings::EmbeddingsResponse;

/// A parsed body. An invalid body has no content.
pub struct StoredBody<'a> {
    chat: ChatCompletion<'a>,
    list: EmbeddingsResponse<'a>,
}

/// The content of a completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// The text of a chat completion.
    Text(&'a str),
    /// The vector of an embedding, as JSON.
    Vector(Cow<'a, str>),
}

impl<'a> StoredBody<'a> {
    /// Parses a body.
    #[must_use]
    pub fn parse(body: &'a str) -> Self {
        let chat: ChatCompletion<'_> = serde_json::from_str(body).unwrap_or_default();
        let list = if chat.has_choice() {
            EmbeddingsResponse::default()
        } else {
            serde_json::from_str(body).unwrap_or_default()
        };
        Self { chat, list }
    }

    /// Returns the content, if any.
    #[must_use]
    pub fn content(&self) -> Option<Content<'_>> {
        let text = self.chat.text().map(Content::Text);
        text.or_else(|| self.list.json().map(Content::Vector))
    }
}

impl Content<'_> {
    /// Returns the content as text; a vector as JSON.
    #[must_use]
    pub fn as_text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Vector(json) => json,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_content_of_either_api() {
        for (body, expected) in [
            (
                r#"{"choices":[{"message":{"content":"x"}}],"data":[{"embedding":[1]}]}"#,
                Some(Content::Text("x")),
            ),
            (
                r#"{"data":[{"embedding":[1, 2]}]}"#,
                Some(Content::Vector("[1, 2]".into())),
            ),
            (r#"{"choices":[]}"#, None),
            ("cut off", None),
        ] {
            assert_eq!(StoredBody::parse(body).content(), expected, "{body}");
        }
    }
}
