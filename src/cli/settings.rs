//! Resolves settings. Flags take precedence over environment variables (both read by clap), these
//! over the settings file, and that over the defaults.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::api::{Api, RequestTemplate, RowFormat};
use crate::domain::limits::KeyLimits;
use crate::domain::price::{Cost, Prices};
use crate::export::{CsvOptions, Target};
use crate::intake::{Options, parse_set};
use crate::progress::safe::Safe;
use crate::provider::ClientLimits;
use crate::scheduler;
use crate::store::Location;

use super::args::{
    Dedupe, EndpointArgs, GlobalArgs, InputArgs, LimitArgs, OutputArgs, OutputFormat,
};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::key_sources::KeySources;
use super::schema;

/// The default base URL.
const DEFAULT_BASE_URL: &str = "https://api.openai.com/v1";

/// The default model: inexpensive, and also available from the free API of `GPT_API_free`.
pub(super) const DEFAULT_MODEL: &str = "gpt-4o-mini";

/// The default model for embeddings.
const DEFAULT_EMBEDDING_MODEL: &str = "text-embedding-3-small";

fn default_model(api: Api) -> &'static str {
    match api {
        Api::Chat => DEFAULT_MODEL,
        Api::Embeddings => DEFAULT_EMBEDDING_MODEL,
    }
}

/// Returns the location of the database.
pub(super) fn database(global: &GlobalArgs, file: &FileSettings) -> Location {
    let path = global.db.as_ref().or(file.db.as_ref());
    path.map_or_else(|| Location::new("promptmill.db"), Location::new)
}

/// Settings of an import.
#[derive(Debug)]
pub(super) struct ImportSettings {
    pub(super) input: PathBuf,
    pub(super) batch: String,
    pub(super) template: RequestTemplate,
    /// Whether a flag or the environment sets the model.
    pub(super) model_is_explicit: bool,
    pub(super) options: Options,
    pub(super) redo: bool,
    pub(super) simulated: bool,
}

/// Resolves the settings of an import.
pub(super) fn import(
    args: InputArgs,
    simulated: bool,
    file: &FileSettings,
    database: &Location,
) -> Result<ImportSettings, CliError> {
    let mut params = Vec::new();
    for (name, value) in &file.set {
        // Strings are parsed as on the command line; other values are JSON.
        let value = match value {
            toml::Value::String(text) => text.clone(),
            other => serde_json::to_string(other).map_err(std::io::Error::from)?,
        };
        params.push((name.clone(), value));
    }
    for text in &args.set {
        let (name, value) = parse_set(text).map_err(|error| CliError {
            exit: Exit::Usage,
            message: error.to_string(),
        })?;
        params.retain(|(known, _)| *known != name);
        params.push((name, value));
    }
    let model_is_explicit = args.model.is_some();
    let api = args.endpoint.or(file.endpoint).map_or(Api::Chat, Api::from);
    let mut template = RequestTemplate {
        model: args
            .model
            .or(file.model.clone())
            .unwrap_or_else(|| default_model(api).to_owned()),
        prompt: args.prompt.or(file.prompt.clone()),
        system: args.system.or(file.system.clone()),
        params,
        id_column: args.id_column.or(file.id_column.clone()),
        api,
        ..RequestTemplate::default()
    };
    if let Some(path) = args.schema.or(file.schema.clone()) {
        let format = args.response_format.or(file.response_format);
        schema::add(&mut template, &path, format.unwrap_or_default())?;
    }
    let delimiter = args.delimiter.or(file.delimiter);
    let options = Options {
        format: args.input_format.or(file.input_format).map(Into::into),
        delimiter: delimiter.unwrap_or(Options::default().delimiter),
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
        model_is_explicit,
        options,
        redo: args.redo,
        simulated,
    })
}

/// Returns the default name of a batch: the path of its input, relative to the directory of
/// the database if the input is below it, so that both can be moved together.
pub(super) fn batch_name(input: &Path, database: &Location) -> String {
    if input == Path::new("-") {
        return "stdin".to_owned();
    }
    let absolute = input.canonicalize().or_else(|_| std::path::absolute(input));
    let absolute = absolute.unwrap_or_else(|_| input.to_owned());
    database.relative(&absolute).display().to_string()
}

/// Limits of a run.
#[derive(Debug)]
pub(super) struct LimitSettings {
    pub(super) settings: scheduler::Settings,
    pub(super) limits_and_prices: LimitsAndPrices,
    pub(super) dedupe: Dedupe,
}

/// Resolves the limits of a run.
pub(super) fn limits(args: &LimitArgs, file: &FileSettings) -> LimitSettings {
    LimitSettings {
        settings: run_settings(args, file),
        limits_and_prices: limits_and_prices(args, file),
        dedupe: args.dedupe.or(file.dedupe).unwrap_or(Dedupe::Never),
    }
}

fn run_settings(args: &LimitArgs, file: &FileSettings) -> scheduler::Settings {
    let default = scheduler::Settings::default();
    let concurrency = args.concurrency.or(file.concurrency);
    let attempts = args.max_attempts.or(file.max_attempts);
    scheduler::Settings {
        concurrency: concurrency.unwrap_or(default.concurrency),
        max_attempts: attempts.map_or(default.max_attempts, std::num::NonZero::get),
        limits: scheduler::RunLimits {
            until: None,
            rows: args.limit.or(file.limit).map(|n| n.get().into()),
            requests: args
                .max_requests
                .or(file.max_requests)
                .map(|n| n.get().into()),
            cost: args.max_cost.or(file.max_cost),
        },
        max_wait: args.max_wait.or(file.max_wait).unwrap_or(default.max_wait),
        max_outage: args
            .max_outage
            .or(file.max_outage)
            .unwrap_or(default.max_outage),
        grace: args.grace.or(file.grace).unwrap_or(default.grace),
    }
}

/// Returns the sources of API keys in the settings file.
pub(super) fn key_sources(file: FileSettings) -> KeySources {
    KeySources {
        file: file.api_key_file,
        command: file.api_key_command,
        listed: file.keys,
        insecure: file.insecure_key_file.unwrap_or(false),
    }
}

/// Limits of keys and groups of keys, prices, and the maximum duration of a run.
#[derive(Debug)]
pub(super) struct LimitsAndPrices {
    /// Default limits of a key, or of a group of keys.
    pub(super) per_key: KeyLimits,
    pub(super) groups: BTreeMap<String, KeyLimits>,
    pub(super) prices: Prices,
    pub(super) max_runtime: Option<Duration>,
}

impl LimitsAndPrices {
    /// Rejects `--max-cost` for a model without a known price.
    pub(super) fn check_price(&self, max_cost: Option<Cost>, model: &str) -> Result<(), CliError> {
        if max_cost.is_none() || self.prices.get(model).is_some() {
            return Ok(());
        }
        let model = Safe(model);
        let what = format!("cannot enforce --max-cost: the price of \"{model}\" is unknown");
        let hint = format!(
            "set it in promptmill.toml, in US dollars per million tokens:\n  \
             [prices.\"{model}\"]\n  input = 0.15\n  output = 0.60"
        );
        Err(CliError::new(Exit::Config, &what, &hint))
    }
}

fn limits_and_prices(args: &LimitArgs, file: &FileSettings) -> LimitsAndPrices {
    let per_key = KeyLimits {
        rpm: args.rpm.or(file.rpm),
        tpm: args.tpm.or(file.tpm),
        rpd: args.rpd.or(file.rpd),
        in_flight: None,
        zone: args.zone.clone().or(file.zone.clone()).unwrap_or_default(),
    };
    let groups = file.groups.iter();
    LimitsAndPrices {
        per_key,
        groups: groups
            .map(|(name, limits)| (name.clone(), limits.clone().limits()))
            .collect(),
        prices: file.prices(),
        max_runtime: args.max_runtime.or(file.max_runtime),
    }
}

/// The endpoint and its API keys.
#[derive(Debug)]
pub(super) struct EndpointSettings {
    pub(super) base_url: String,
    pub(super) simulate: bool,
    pub(super) limits: ClientLimits,
    pub(super) keys: KeySources,
}

/// Resolves the endpoint and the sources of API keys.
pub(super) fn endpoint(args: EndpointArgs, file: FileSettings) -> EndpointSettings {
    let mut limits = ClientLimits::default();
    if let Some(timeout) = args.timeout.or(file.timeout) {
        limits.total_timeout = timeout;
        limits.connect_timeout = limits.connect_timeout.min(timeout);
    }
    let keys = KeySources {
        file: args.api_key_file.or(file.api_key_file),
        command: args.api_key_command.or(file.api_key_command),
        listed: file.keys,
        insecure: args.insecure_key_file || file.insecure_key_file.unwrap_or(false),
    };
    EndpointSettings {
        base_url: args
            .base_url
            .or(file.base_url)
            .unwrap_or_else(|| DEFAULT_BASE_URL.to_owned()),
        simulate: args.simulate,
        limits,
        keys,
    }
}

/// Target and format of the results.
#[derive(Debug)]
pub(super) struct OutputSettings {
    pub(super) target: Target,
    pub(super) csv_options: CsvOptions,
    /// The requested format; `None` derives it from the file name and the input of the batch.
    pub(super) format: Option<OutputFormat>,
    /// Where rows without a response are written, if not to the results.
    pub(super) errors: Option<Target>,
    /// Whether the top-level fields of the schema become columns.
    pub(super) from_schema: bool,
}

impl OutputSettings {
    /// Returns the format of the results for a batch with this row format.
    pub(super) fn format_for(&self, row_format: RowFormat) -> OutputFormat {
        let lines = match row_format {
            RowFormat::Table | RowFormat::Objects => OutputFormat::Jsonl,
            RowFormat::Requests => OutputFormat::Batch,
        };
        let by_input = match row_format {
            RowFormat::Table => OutputFormat::Csv,
            RowFormat::Objects | RowFormat::Requests => lines,
        };
        let by_name = match &self.target {
            Target::Stdout => None,
            Target::File(path) => format_of(path).map(|format| match format {
                OutputFormat::Jsonl => lines,
                other => other,
            }),
        };
        self.format.or(by_name).unwrap_or(by_input)
    }

    /// Returns the files to write.
    pub(super) fn targets(&self) -> impl Iterator<Item = &Target> {
        [&self.target].into_iter().chain(&self.errors)
    }

    /// Rejects an output that does not suit the batch.
    pub(super) fn check(&self, template: &RequestTemplate) -> Result<(), CliError> {
        self.check_error_file(template.row_format)?;
        if self.from_schema && template.schema.is_none() {
            let what = "--columns-from-schema requires a batch that was imported with --schema";
            let hint = "remove it, or add --schema FILE";
            return Err(CliError::new(Exit::Usage, what, hint));
        }
        Ok(())
    }

    /// Rejects a separate error file for formats other than `batch`.
    fn check_error_file(&self, row_format: RowFormat) -> Result<(), CliError> {
        let format = self.format_for(row_format);
        if self.errors.is_none() || format == OutputFormat::Batch {
            return Ok(());
        }
        let what = "--error-file requires the output format `batch`";
        let hint = "remove it, or add --output-format batch";
        Err(CliError::new(Exit::Usage, what, hint))
    }
}

/// Derives the format of results from the extension of their file.
pub(super) fn format_of(path: &Path) -> Option<OutputFormat> {
    let extension = path.extension()?.to_ascii_lowercase();
    match extension.to_str()? {
        "jsonl" | "ndjson" => Some(OutputFormat::Jsonl),
        "csv" | "tsv" | "txt" => Some(OutputFormat::Csv),
        _ => None,
    }
}

/// Resolves the output; `fallback` is the default path.
pub(super) fn output(args: OutputArgs, file: &FileSettings, fallback: &Path) -> OutputSettings {
    let path = args.output.or(file.output.clone());
    let raw = args.csv_raw || file.csv_raw.unwrap_or(false);
    OutputSettings {
        target: Target::from_option(path.as_deref().unwrap_or(fallback)),
        csv_options: CsvOptions {
            raw,
            ..CsvOptions::default()
        },
        format: args.output_format.or(file.output_format),
        errors: args
            .error_file
            .or(file.error_file.clone())
            .map(Target::File),
        from_schema: args.columns_from_schema || file.columns_from_schema.unwrap_or(false),
    }
}
