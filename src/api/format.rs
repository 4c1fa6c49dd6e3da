//! What distinguishes one API from another. Each API has a file with one value of [`ApiFormat`].

use serde_json::Value;

use super::completion::{CompletionMetadata, Content, FindError, InvalidCompletion};

/// The requests and responses of an API.
pub struct ApiFormat {
    /// What its responses are called in messages.
    pub name: &'static str,
    /// The path below the base URL.
    pub path: &'static str,
    /// The `url` of a request in the `OpenAI` Batch API.
    pub batch_url: &'static str,
    /// The structure of a request.
    pub layout: RequestLayout,
    /// How to request structured output; `None` if the API has none.
    pub structured_output: Option<StructuredOutput>,
    /// The fields that limit the completion tokens of a request, in order of precedence.
    pub token_limits: &'static [&'static str],
    /// Appends a response and a correction by the user to the conversation of a request. Returns
    /// false, without changes, if the request is not a conversation in the format of the API.
    pub continue_conversation: fn(request: &mut Value, completion: &str, correction: &str) -> bool,
    /// Parses the body of a success response.
    pub parse: fn(&str, FindError<'_>) -> Result<CompletionMetadata, InvalidCompletion>,
    /// Returns the content of a stored body; `None` if the body is invalid or of another API.
    pub content: for<'a> fn(body: &'a str) -> Option<Content<'a>>,
}

/// The JSON of a request between its model and its parameters: the start, the system message and
/// the prompt.
pub struct RequestLayout {
    /// The field with the prompt.
    pub field: &'static str,
    /// Whether the value of that field is an array.
    pub is_array: bool,
    /// JSON before the system message.
    pub start: &'static str,
    /// JSON around the text of the system message; `None` if the API has none.
    pub system: Option<[&'static str; 2]>,
    /// JSON around the text of the prompt.
    pub prompt: [&'static str; 2],
}

/// The parameter for structured output.
pub struct StructuredOutput {
    /// The name of the parameter.
    pub parameter: &'static str,
    /// Its value for any JSON object.
    pub any_object: &'static str,
    /// Returns its value for a JSON Schema.
    pub with_schema: fn(schema: &str) -> String,
}
