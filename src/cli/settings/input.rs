//! The input and the request settings.

use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::api::{Api, RequestTemplate};
use crate::cli::exit::{CliError, Exit};
use crate::cli::schema;
use crate::cli::schema::ResponseFormat;
use crate::cli::values::{choice, delimiter};
use crate::intake::{Format, Options, parse_set};
use crate::store::Location;

use super::file::FileSettings;

const APIS: [(&str, Api); 2] = [("chat", Api::Chat), ("embeddings", Api::Embeddings)];

const FORMATS: [(&str, Format); 3] = [
    ("csv", Format::Csv),
    ("jsonl", Format::Jsonl),
    ("batch", Format::Batch),
];

/// The default model: inexpensive, and also available from the free API of `GPT_API_free`.
pub(in crate::cli) const DEFAULT_MODEL: &str = "gpt-4o-mini";

/// The default model for embeddings.
const DEFAULT_EMBEDDING_MODEL: &str = "text-embedding-3-small";

#[derive(Args, Debug)]
#[command(next_help_heading = "Request")]
pub(in crate::cli) struct InputArgs {
    /// CSV, JSONL, or OpenAI Batch API file; `-` is standard input
    #[arg(help_heading = None::<&str>)]
    pub(in crate::cli) input: PathBuf,
    /// Batch name [default: path of the input]
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    batch: Option<String>,
    #[command(flatten)]
    request: RequestArgs,
    /// Column with the ID of each row [default: rows are identified by their content]
    /// [example: id]
    #[arg(long, value_name = "COLUMN", env)]
    id_column: Option<String>,
    /// CSV delimiter; `\t` is a tab
    #[arg(long, value_name = "CHAR", value_parser = delimiter, env, default_value = ",")]
    delimiter: u8,
    /// Format of the input [default: by file name and content]
    /// [example: jsonl]
    #[arg(long, value_name = "FORMAT", value_parser = choice(&FORMATS), env)]
    input_format: Option<Format>,
    /// Accept changed request settings, and resend rows whose request has changed
    #[arg(long, hide_short_help = true)]
    redo: bool,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Request")]
struct RequestArgs {
    // Must be before `model`: clap removes the arguments that it has read.
    #[command(flatten)]
    model_origin: ModelOrigin,
    /// Model name [default: gpt-4o-mini, or text-embedding-3-small for embeddings]
    /// [example: gpt-4o-mini]
    #[arg(long, value_name = "NAME", env)]
    model: Option<String>,
    /// API endpoint: chat completions or embeddings
    #[arg(long, value_name = "NAME", value_parser = choice(&APIS), env, default_value = "chat")]
    endpoint: Api,
    /// Prompt template [default: the `prompt` column]
    /// [example: Name the capital of {{ country }}.]
    ///
    /// A Jinja template: `{{ text }}` inserts the row's `text` column.
    #[arg(long, value_name = "TEMPLATE", env)]
    prompt: Option<String>,
    /// Template of the system message
    /// [example: Answer in {{ language }}.]
    #[arg(long, value_name = "TEMPLATE", env)]
    system: Option<String>,
    /// Request parameter, like temperature=0
    ///
    /// Can be repeated. The value is JSON or a string, and can be a template.
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// JSON Schema file that responses must match
    /// [example: response.schema.json]
    ///
    /// If a response does not match, the request is sent again with the validation error, at most
    /// twice.
    #[arg(long, value_name = "FILE", env)]
    schema: Option<PathBuf>,
    /// How to request structured output with --schema
    ///
    /// `schema` sends the schema, `json` requests any JSON object, and `none` sends no
    /// `response_format`.
    #[arg(long, value_name = "FORMAT", env, default_value = "schema")]
    response_format: ResponseFormat,
}

/// Whether a flag or the environment sets the model.
#[derive(Debug)]
struct ModelOrigin {
    is_explicit: bool,
}

impl FromArgMatches for ModelOrigin {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let source = matches.value_source("model");
        let is_explicit = source.is_some_and(|source| source != ValueSource::DefaultValue);
        Ok(Self { is_explicit })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for ModelOrigin {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

/// Settings of an import.
#[derive(Debug)]
pub(in crate::cli) struct ImportSettings {
    pub(in crate::cli) input: PathBuf,
    pub(in crate::cli) batch: String,
    pub(in crate::cli) template: RequestTemplate,
    /// Whether a flag or the environment sets the model.
    pub(in crate::cli) model_is_explicit: bool,
    pub(in crate::cli) options: Options,
    pub(in crate::cli) redo: bool,
    pub(in crate::cli) simulated: bool,
}

/// Resolves the settings of an import.
pub(in crate::cli) fn import(
    args: InputArgs,
    simulated: bool,
    file: &FileSettings,
    database: &Location,
) -> Result<ImportSettings, CliError> {
    let request = args.request;
    let api = request.endpoint;
    let default_model = match api {
        Api::Chat => DEFAULT_MODEL,
        Api::Embeddings => DEFAULT_EMBEDDING_MODEL,
    };
    let mut template = RequestTemplate {
        model: request.model.unwrap_or_else(|| default_model.to_owned()),
        prompt: request.prompt,
        system: request.system,
        params: params(&request.set, file)?,
        id_column: args.id_column,
        api,
        ..RequestTemplate::default()
    };
    if let Some(path) = &request.schema {
        schema::add(&mut template, path, request.response_format)?;
    }
    let options = Options {
        format: args.input_format,
        delimiter: args.delimiter,
    };
    let name = args
        .batch
        .unwrap_or_else(|| batch_name(&args.input, database));
    let batch = if simulated {
        format!("{name} (simulated)")
    } else {
        name
    };
    Ok(ImportSettings {
        input: args.input,
        batch,
        template,
        model_is_explicit: request.model_origin.is_explicit,
        options,
        redo: args.redo,
        simulated,
    })
}

/// Returns the request parameters of the file and of `--set`, which takes precedence.
fn params(flags: &[String], file: &FileSettings) -> Result<Vec<(String, String)>, CliError> {
    let mut params = Vec::new();
    for (name, value) in &file.tables.set {
        // Strings are parsed as on the command line; other values are JSON.
        let value = match value {
            toml::Value::String(text) => text.clone(),
            other => serde_json::to_string(other).map_err(std::io::Error::from)?,
        };
        params.push((name.clone(), value));
    }
    for text in flags {
        let (name, value) = parse_set(text).map_err(|error| CliError {
            exit: Exit::Usage,
            message: error.to_string(),
        })?;
        params.retain(|(known, _)| *known != name);
        params.push((name, value));
    }
    Ok(params)
}

/// Returns the default name of a batch: the path of its input, relative to the directory of
/// the database if the input is below it, so that both can be moved together.
pub(in crate::cli) fn batch_name(input: &Path, database: &Location) -> String {
    if input == Path::new("-") {
        return "stdin".to_owned();
    }
    let absolute = input.canonicalize().or_else(|_| std::path::absolute(input));
    let absolute = absolute.unwrap_or_else(|_| input.to_owned());
    database.relative(&absolute).display().to_string()
}
