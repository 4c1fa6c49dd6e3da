//! What is asked: the flags of the input and the recipe.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::cli::values::delimiter;
use crate::domain::request_template::Api;
use crate::intake::Format;

#[derive(Args, Debug)]
pub(in crate::cli) struct InputArgs {
    /// A CSV file with a header, a JSONL file, or requests as for the OpenAI Batch API; `-` is
    /// standard input.
    pub(in crate::cli) input: PathBuf,
    /// The batch's name [default: the input's path].
    #[arg(long, value_name = "NAME", help_heading = "Recipe")]
    pub(in crate::cli) batch: Option<String>,
    /// The model's name, as the provider spells it [default: gpt-4o-mini, or
    /// text-embedding-3-small for embeddings].
    #[arg(
        long,
        value_name = "NAME",
        env = "PROMPTMILL_MODEL",
        hide_env_values = true,
        help_heading = "Recipe"
    )]
    pub(in crate::cli) model: Option<String>,
    /// What is asked for: answers to messages, or embeddings, the vector of a text [default: chat].
    #[arg(
        long,
        value_enum,
        value_name = "NAME",
        env = "PROMPTMILL_ENDPOINT",
        hide_env_values = true,
        help_heading = "Recipe"
    )]
    pub(in crate::cli) endpoint: Option<EndpointChoice>,
    /// The prompt, as a template over the columns [default: the column `prompt`].
    #[arg(
        long,
        value_name = "TEMPLATE",
        env = "PROMPTMILL_PROMPT",
        hide_env_values = true,
        help_heading = "Recipe"
    )]
    pub(in crate::cli) prompt: Option<String>,
    /// A system message, as a template over the columns.
    #[arg(
        long,
        value_name = "TEMPLATE",
        env = "PROMPTMILL_SYSTEM",
        hide_env_values = true,
        help_heading = "Recipe"
    )]
    pub(in crate::cli) system: Option<String>,
    /// A request parameter; JSON where it parses as JSON, templates allowed. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Recipe")]
    pub(in crate::cli) set: Vec<String>,
    /// A file with a JSON Schema that every answer is to fit. One that does not is asked for again, at
    /// most twice, with the reason.
    #[arg(
        long,
        value_name = "FILE",
        env = "PROMPTMILL_SCHEMA",
        hide_env_values = true,
        help_heading = "Recipe"
    )]
    pub(in crate::cli) schema: Option<PathBuf>,
    /// How requests ask for answers that fit --schema: with the schema itself, for any JSON, or not
    /// at all [default: schema].
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        env = "PROMPTMILL_RESPONSE_FORMAT",
        hide_env_values = true,
        help_heading = "Recipe"
    )]
    pub(in crate::cli) response_format: Option<ResponseFormat>,
    /// The column that names each row [default: a row is known by its whole content].
    #[arg(
        long,
        value_name = "COLUMN",
        env = "PROMPTMILL_ID_COLUMN",
        hide_env_values = true,
        help_heading = "Recipe"
    )]
    pub(in crate::cli) id_column: Option<String>,
    /// The character between two fields; `\t` is a tab [default: ,].
    #[arg(
        long, value_name = "CHAR", value_parser = delimiter, env = "PROMPTMILL_DELIMITER", hide_env_values = true,
        help_heading = "Recipe"
    )]
    pub(in crate::cli) delimiter: Option<u8>,
    /// The form of the input [default: by its name and its first bytes].
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        env = "PROMPTMILL_INPUT_FORMAT",
        hide_env_values = true,
        help_heading = "Recipe"
    )]
    pub(in crate::cli) input_format: Option<InputFormat>,
    /// Take the changed recipe: the rows whose request differs are asked again.
    #[arg(long, help_heading = "Recipe")]
    pub(in crate::cli) redo: bool,
}

/// The part of the API that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum EndpointChoice {
    // Below `/chat/completions`.
    Chat,
    // Below `/embeddings`.
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

/// How requests ask for answers that fit a schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum ResponseFormat {
    // `response_format` of the type `json_schema`.
    #[default]
    Schema,
    // `response_format` of the type `json_object`.
    Json,
    // Without `response_format`, for endpoints that do not take it.
    None,
}

/// The form of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum InputFormat {
    // A table under a header.
    Csv,
    // A JSON object a line.
    Jsonl,
    // A request a line, as the OpenAI Batch API takes them.
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
