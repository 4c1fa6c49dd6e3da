//! Options for the input and the request settings.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::api::Api;
use crate::cli::values::delimiter;
use crate::intake::Format;

#[derive(Args, Debug)]
#[command(next_help_heading = "Request")]
pub(in crate::cli) struct InputArgs {
    /// CSV, JSONL, or OpenAI Batch API file; `-` is standard input
    #[arg(help_heading = None::<&str>)]
    pub(in crate::cli) input: PathBuf,
    /// Batch name [default: path of the input]
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub(in crate::cli) batch: Option<String>,
    /// Model name [default: gpt-4o-mini, or text-embedding-3-small for embeddings]
    #[arg(long, value_name = "NAME", env = "PROMPTMILL_MODEL")]
    pub(in crate::cli) model: Option<String>,
    /// API endpoint: chat completions or embeddings [default: chat]
    #[arg(long, value_enum, value_name = "NAME", env = "PROMPTMILL_ENDPOINT")]
    pub(in crate::cli) endpoint: Option<EndpointChoice>,
    /// Prompt template [default: the `prompt` column]
    ///
    /// A Jinja template: `{{ text }}` inserts the row's `text` column.
    #[arg(long, value_name = "TEMPLATE", env = "PROMPTMILL_PROMPT")]
    pub(in crate::cli) prompt: Option<String>,
    /// Template of the system message
    #[arg(long, value_name = "TEMPLATE", env = "PROMPTMILL_SYSTEM")]
    pub(in crate::cli) system: Option<String>,
    /// Request parameter, like temperature=0
    ///
    /// Can be repeated. The value is JSON or a string, and can be a template.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(in crate::cli) set: Vec<String>,
    /// JSON Schema file that responses must match
    ///
    /// If a response does not match, the request is sent again with the validation error, at most
    /// twice.
    #[arg(long, value_name = "FILE", env = "PROMPTMILL_SCHEMA")]
    pub(in crate::cli) schema: Option<PathBuf>,
    /// How to request structured output with --schema [default: schema]
    ///
    /// `schema` sends the schema, `json` requests any JSON object, and `none` sends no
    /// `response_format`.
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        env = "PROMPTMILL_RESPONSE_FORMAT"
    )]
    pub(in crate::cli) response_format: Option<ResponseFormat>,
    /// Column with the ID of each row [default: rows are identified by their content]
    #[arg(long, value_name = "COLUMN", env = "PROMPTMILL_ID_COLUMN")]
    pub(in crate::cli) id_column: Option<String>,
    /// CSV delimiter; `\t` is a tab [default: ,]
    #[arg(long, value_name = "CHAR", value_parser = delimiter, env = "PROMPTMILL_DELIMITER")]
    pub(in crate::cli) delimiter: Option<u8>,
    /// Format of the input [default: by file name and content]
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        env = "PROMPTMILL_INPUT_FORMAT"
    )]
    pub(in crate::cli) input_format: Option<InputFormat>,
    /// Accept changed request settings, and resend rows whose request has changed
    #[arg(long, hide_short_help = true)]
    pub(in crate::cli) redo: bool,
}

/// The API endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum EndpointChoice {
    Chat,
    Embeddings,
}

impl From<EndpointChoice> for Api {
    fn from(choice: EndpointChoice) -> Self {
        match choice {
            EndpointChoice::Chat => Self::Chat,
            EndpointChoice::Embeddings => Self::Embeddings,
        }
    }
}

/// How structured output is requested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum ResponseFormat {
    // With `response_format` of type `json_schema`.
    #[default]
    Schema,
    // With `response_format` of type `json_object`.
    Json,
    // Without `response_format`, for endpoints that do not support it.
    None,
}

/// Format of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum InputFormat {
    Csv,
    // One JSON object per line.
    Jsonl,
    // One request per line, in the format of the OpenAI Batch API.
    Batch,
}

impl From<InputFormat> for Format {
    fn from(format: InputFormat) -> Self {
        match format {
            InputFormat::Csv => Self::Csv,
            InputFormat::Jsonl => Self::Jsonl,
            InputFormat::Batch => Self::Batch,
        }
    }
}
