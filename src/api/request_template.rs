//! The request template of a batch: how a row becomes a request.

use serde::{Deserialize, Serialize};

use super::registry::Api;

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

/// A parameter that cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReservedParam {
    /// The name.
    pub name: &'static str,
    /// The reason.
    pub reason: &'static str,
    /// The alternative.
    pub hint: &'static str,
}

/// Parameters that have their own flag, or would break the request: name, reason and hint.
const RESERVED_PARAMS: [(&str, &str, &str); 5] = [
    ("model", "it has its own flag", "use --model NAME"),
    (
        "messages",
        "it is built from the prompt and the system message",
        "use --prompt and --system",
    ),
    ("prompt", "it has its own flag", "use --prompt TEMPLATE"),
    ("stream", "streaming is not supported", "remove it"),
    (
        "n",
        "each row gets one response",
        "remove it; to get more responses, add more rows",
    ),
];

/// Returns why a parameter cannot be set to a value; `None` if it can. `n=1` is allowed.
#[must_use]
pub fn reserved_param(name: &str, value: &str) -> Option<ReservedParam> {
    let is_allowed = name == "n" && value.trim() == "1";
    let mut reserved = RESERVED_PARAMS.into_iter();
    let (name, reason, hint) = reserved.find(|(known, ..)| *known == name && !is_allowed)?;
    Some(ReservedParam { name, reason, hint })
}
