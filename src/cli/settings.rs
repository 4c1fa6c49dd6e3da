//! What is to be done, resolved: flags before environment (clap's part), before the settings file,
//! before the defaults.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::domain::limits::KeyLimits;
use crate::domain::price::{Cost, Prices};
use crate::domain::request_template::{Api, Form, RequestTemplate};
use crate::export::{Style, Target};
use crate::intake::{Options, parse_set};
use crate::progress::safe::Safe;
use crate::provider::ClientLimits;
use crate::runner;

use super::args::{Dedupe, EndpointArgs, Global, InputArgs, LimitArgs, OutputArgs, OutputFormat};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::key_sources::KeySources;
use super::schema;

/// The endpoint when none is named.
const OPENAI: &str = "https://api.openai.com/v1";

/// The model when none is named: cheap, and offered by the free API of `GPT_API_free` too.
pub(super) const MODEL: &str = "gpt-4o-mini";

/// The model for embeddings when none is named.
const EMBEDDING_MODEL: &str = "text-embedding-3-small";

fn usual_model(api: Api) -> &'static str {
    match api {
        Api::Chat => MODEL,
        Api::Embeddings => EMBEDDING_MODEL,
    }
}

/// Returns the database's path.
pub(super) fn database(global: &Global, file: &FileSettings) -> PathBuf {
    let path = global.db.as_ref().or(file.db.as_ref());
    path.cloned()
        .unwrap_or_else(|| PathBuf::from("promptmill.db"))
}

/// What is to be imported.
#[derive(Debug)]
pub(super) struct Import {
    pub(super) input: PathBuf,
    pub(super) batch: String,
    pub(super) template: RequestTemplate,
    /// Whether a flag or the environment names the model.
    pub(super) model_named: bool,
    pub(super) options: Options,
    pub(super) redo: bool,
    pub(super) simulated: bool,
}

/// Resolves what is to be imported.
pub(super) fn import(
    args: InputArgs,
    simulated: bool,
    file: &FileSettings,
    database: &Path,
) -> Result<Import, CliError> {
    let mut params = Vec::new();
    for (name, value) in &file.set {
        // Text is taken as it would be on the command line; anything else is JSON.
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
    let model_named = args.model.is_some();
    let api = args.endpoint.or(file.endpoint).map_or(Api::Chat, Api::from);
    let mut template = RequestTemplate {
        model: args
            .model
            .or(file.model.clone())
            .unwrap_or_else(|| usual_model(api).to_owned()),
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
    Ok(Import {
        input: args.input,
        batch,
        template,
        model_named,
        options,
        redo: args.redo,
        simulated,
    })
}

/// Names a batch after its input: by the path from the database's folder where the input is below
/// it, so that both may be moved together, else by the whole path.
pub(super) fn batch_name(input: &Path, database: &Path) -> String {
    if input == Path::new("-") {
        return "stdin".to_owned();
    }
    let whole = input.canonicalize().or_else(|_| std::path::absolute(input));
    let whole = whole.unwrap_or_else(|_| input.to_owned());
    let folder = database
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize();
    let below = folder
        .ok()
        .and_then(|folder| whole.strip_prefix(folder).ok());
    below.unwrap_or(&whole).display().to_string()
}

/// How fast and how far a run goes.
#[derive(Debug)]
pub(super) struct LimitSettings {
    pub(super) settings: runner::Settings,
    pub(super) allowed: Allowed,
    pub(super) dedupe: Dedupe,
}

/// Resolves the pace of a run.
pub(super) fn limits(args: &LimitArgs, file: &FileSettings) -> LimitSettings {
    LimitSettings {
        settings: run_settings(args, file),
        allowed: allowed(args, file),
        dedupe: args.dedupe.or(file.dedupe).unwrap_or(Dedupe::Never),
    }
}

fn run_settings(args: &LimitArgs, file: &FileSettings) -> runner::Settings {
    let default = runner::Settings::default();
    let concurrency = args.concurrency.or(file.concurrency);
    let attempts = args.max_attempts.or(file.max_attempts);
    runner::Settings {
        concurrency: concurrency.unwrap_or(default.concurrency),
        max_attempts: attempts.map_or(default.max_attempts, std::num::NonZero::get),
        bounds: runner::Bounds {
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

/// Returns where keys are, as far as the settings file and the environment say.
pub(super) fn key_sources(file: FileSettings) -> KeySources {
    KeySources {
        file: file.api_key_file,
        command: file.api_key_command,
        listed: file.keys,
        insecure: file.insecure_key_file.unwrap_or(false),
    }
}

/// What the keys and their groups may send, what tokens cost, and how long a run lasts.
#[derive(Debug)]
pub(super) struct Allowed {
    /// For each key, or for each group of keys, that says nothing else.
    pub(super) each: KeyLimits,
    pub(super) groups: BTreeMap<String, KeyLimits>,
    pub(super) prices: Prices,
    pub(super) max_runtime: Option<Duration>,
}

impl Allowed {
    /// Refuses a bound on the cost of a model without a known price.
    pub(super) fn check_price(&self, bound: Option<Cost>, model: &str) -> Result<(), CliError> {
        if bound.is_none() || self.prices.of(model).is_some() {
            return Ok(());
        }
        let model = Safe(model);
        let what = format!("--max-cost cannot be kept: the price of \"{model}\" is not known");
        let hint = format!(
            "give it in promptmill.toml, in US dollars for a million tokens:\n  \
             [prices.\"{model}\"]\n  input = 0.15\n  output = 0.60"
        );
        Err(CliError::new(Exit::Config, &what, &hint))
    }
}

/// Resolves what may be sent.
fn allowed(args: &LimitArgs, file: &FileSettings) -> Allowed {
    let each = KeyLimits {
        rpm: args.rpm.or(file.rpm),
        tpm: args.tpm.or(file.tpm),
        rpd: args.rpd.or(file.rpd),
        in_flight: None,
        zone: args.zone.or(file.zone).unwrap_or_default(),
    };
    let groups = file.groups.iter();
    Allowed {
        each,
        groups: groups
            .map(|(name, limits)| (name.clone(), limits.limits()))
            .collect(),
        prices: file.prices(),
        max_runtime: args.max_runtime.or(file.max_runtime),
    }
}

/// Where requests go and with which keys.
#[derive(Debug)]
pub(super) struct EndpointSettings {
    pub(super) base_url: String,
    pub(super) simulate: bool,
    pub(super) limits: ClientLimits,
    pub(super) keys: KeySources,
}

/// Resolves the endpoint and the sources of keys.
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
            .unwrap_or_else(|| OPENAI.to_owned()),
        simulate: args.simulate,
        limits,
        keys,
    }
}

/// Where and how results are written.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) target: Target,
    pub(super) style: Style,
    /// The form that was asked for; `None` tells it by the file's name and the batch's input.
    pub(super) format: Option<OutputFormat>,
    /// Where rows without an answer go, if not among the results.
    pub(super) errors: Option<Target>,
    /// Whether the fields of a schema are columns.
    pub(super) from_schema: bool,
}

impl Output {
    /// Returns the form of the results of a batch whose rows have this form.
    pub(super) fn format_for(&self, form: Form) -> OutputFormat {
        let lines = match form {
            Form::Table | Form::Objects => OutputFormat::Jsonl,
            Form::Requests => OutputFormat::Batch,
        };
        let by_input = match form {
            Form::Table => OutputFormat::Csv,
            Form::Objects | Form::Requests => lines,
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

    /// Refuses what cannot be written of a batch.
    pub(super) fn check(&self, template: &RequestTemplate) -> Result<(), CliError> {
        self.check_errors(template.form)?;
        if self.from_schema && template.schema.is_none() {
            let what = "--columns-from-schema needs a batch that was imported with --schema";
            return Err(CliError::new(
                Exit::Usage,
                what,
                "leave it out, or add --schema FILE",
            ));
        }
        Ok(())
    }

    /// Refuses a file for errors beside results whose form has none.
    fn check_errors(&self, form: Form) -> Result<(), CliError> {
        let format = self.format_for(form);
        if self.errors.is_none() || format == OutputFormat::Batch {
            return Ok(());
        }
        let what = "--error-file is for results in the form `batch`; others hold every row";
        let hint = "leave it out, or add --output-format batch";
        Err(CliError::new(Exit::Usage, what, hint))
    }
}

/// Tells the form of results by the name of their file.
pub(super) fn format_of(path: &Path) -> Option<OutputFormat> {
    let extension = path.extension()?.to_ascii_lowercase();
    match extension.to_str()? {
        "jsonl" | "ndjson" => Some(OutputFormat::Jsonl),
        "csv" | "tsv" | "txt" => Some(OutputFormat::Csv),
        _ => None,
    }
}

/// Resolves the output; `fallback` is where it goes when nobody says.
pub(super) fn output(args: OutputArgs, file: &FileSettings, fallback: &Path) -> Output {
    let path = args.output.or(file.output.clone());
    let raw = args.csv_raw || file.csv_raw.unwrap_or(false);
    Output {
        target: Target::from_option(path.as_deref().unwrap_or(fallback)),
        style: Style {
            raw,
            ..Style::default()
        },
        format: args.output_format.or(file.output_format),
        errors: args
            .error_file
            .or(file.error_file.clone())
            .map(Target::File),
        from_schema: args.columns_from_schema || file.columns_from_schema.unwrap_or(false),
    }
}
