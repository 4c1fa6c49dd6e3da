//! A recipe: how a row becomes a request.

use serde::{Deserialize, Serialize};

/// How a row becomes a request. A batch has one recipe; another recipe is another question, so
/// the answers of the two are never mixed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestTemplate {
    /// The model's name, sent as it is.
    pub model: String,
    /// The template of the user message; `None` takes the column `prompt` as it is.
    pub prompt: Option<String>,
    /// The template of the system message, if there is one.
    pub system: Option<String>,
    /// Request parameters by name, in the order given. A value may be a template; what it renders
    /// to is sent as JSON where it parses as JSON, else as a string.
    pub params: Vec<(String, String)>,
    /// The column whose text is the row's key; `None` makes the key from the row's content.
    pub id_column: Option<String>,
    /// What a row of the input is.
    #[serde(default, skip_serializing_if = "Form::is_table")]
    pub form: Form,
    /// What is asked for.
    #[serde(default, skip_serializing_if = "Api::is_chat")]
    pub api: Api,
    /// The JSON Schema that every answer is to fit, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}

/// What is asked for: the part of the API that answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// A chat completion: text for messages.
    #[default]
    Chat,
    /// Embeddings: a vector for a text.
    Embeddings,
}

impl Api {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Chat, Self::Embeddings];

    /// Returns its path below the base URL.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Embeddings => "/embeddings",
        }
    }

    /// Returns its path as a line of the `OpenAI` Batch API names it.
    #[must_use]
    pub fn batch_url(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Embeddings => "/v1/embeddings",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_chat(&self) -> bool {
        *self == Self::Chat
    }
}

/// What a row of an input is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// A line of a table: cells under a header (CSV).
    #[default]
    Table,
    /// A JSON object on a line of its own (JSONL); its fields are the columns.
    Objects,
    /// A whole request on a line of its own, in the form of the `OpenAI` Batch API.
    Requests,
}

impl Form {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_table(&self) -> bool {
        *self == Self::Table
    }
}
