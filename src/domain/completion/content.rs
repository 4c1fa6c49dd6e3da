//! A body that was kept: what it says, whichever part of the API it came from.

use std::borrow::Cow;

use super::{ChatCompletion, EmbeddingList};

/// A kept body, read again. It was an answer when it was kept; what is none now says nothing.
pub struct StoredBody<'a> {
    chat: ChatCompletion<'a>,
    list: EmbeddingList<'a>,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// The text of a chat completion.
    Text(&'a str),
    /// The vector of an embedding, as JSON.
    Vector(Cow<'a, str>),
}

impl<'a> StoredBody<'a> {
    /// Reads a body.
    #[must_use]
    pub fn read(body: &'a str) -> Self {
        let chat: ChatCompletion<'_> = serde_json::from_str(body).unwrap_or_default();
        let list = if chat.has_choice() {
            EmbeddingList::default()
        } else {
            serde_json::from_str(body).unwrap_or_default()
        };
        Self { chat, list }
    }

    /// Returns what it says.
    #[must_use]
    pub fn content(&self) -> Option<Content<'_>> {
        let text = self.chat.text().map(Content::Text);
        text.or_else(|| self.list.json().map(Content::Vector))
    }
}

impl Content<'_> {
    /// Returns it as text: a vector is its JSON.
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
    fn a_body_says_what_its_part_of_the_api_says() {
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
            assert_eq!(StoredBody::read(body).content(), expected, "{body}");
        }
    }
}
