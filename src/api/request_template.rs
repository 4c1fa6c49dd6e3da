//! The request template of a batch: how a row becomes a request.

use serde::{Deserialize, Serialize};

use super::Api;

/// How a row becomes a request. A batch has exactly one template, so that responses to different
/// templates are never mixed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestTemplate {
    /// Model name, sent verbatim.
    pub model: String,
    /// Template of the user message; `None` sends the `prompt` column verbatim.
    pub prompt: Option<String>,
    /// Template of the system message, if any.
    pub system: Option<String>,
    /// Request parameters by name, in the order given. A value can be a template; the rendered text
    /// is sent as JSON if it is valid JSON, otherwise as a string.
    pub params: Vec<(String, String)>,
    /// Column with the row keys; `None` derives the key from the content of the row.
    pub id_column: Option<String>,
    /// Format of an input row.
    #[serde(default, rename = "form", skip_serializing_if = "RowFormat::is_table")]
    pub row_format: RowFormat,
    /// The API that requests are sent to.
    #[serde(default, skip_serializing_if = "Api::is_chat")]
    pub api: Api,
    /// JSON Schema that every response must match, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}

/// Format of an input row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowFormat {
    /// CSV: cells under a header row.
    #[default]
    Table,
    /// JSONL: an object per line, whose fields are the columns.
    Objects,
    /// JSONL in the format of the `OpenAI` Batch API: a complete request per line.
    Requests,
}

impl RowFormat {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde requires it")]
    fn is_table(&self) -> bool {
        *self == Self::Table
    }
}
