//! A recipe: how a row becomes a request.

use serde::{Deserialize, Serialize};

/// How a row becomes a request. A batch has one recipe; another recipe is another question, so
/// the answers of the two are never mixed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
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
}
