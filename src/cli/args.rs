//! What may be typed. Flags only: their defaults and their meaning are in `settings`.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::values::{delimiter, duration};

mod simulate;

pub(super) use simulate::{PersonalityChoice, SimulateArgs};

/// Sends every prompt of a CSV file to an OpenAI-compatible chat endpoint and gets every answer
/// back. If anything stops it, the same command goes on.
#[derive(Debug, Parser)]
#[command(
    name = "promptmill",
    version,
    max_term_width = 100,
    before_help = "\
Examples:
  promptmill run jobs.csv -o results.csv --simulate      try it: no key, no network, no cost
  OPENAI_API_KEY=… promptmill run jobs.csv -o results.csv
  promptmill run jobs.csv --prompt 'Translate to French: {{ text }}' --set temperature=0
  promptmill status                                      how far the batches are"
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Flags of every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "General")]
pub(super) struct Global {
    /// The queue's database [default: promptmill.db].
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "PROMPTMILL_DB",
        hide_env_values = true
    )]
    pub(super) db: Option<PathBuf>,
    /// The settings file [default: promptmill.toml, if there is one].
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "PROMPTMILL_CONFIG",
        hide_env_values = true
    )]
    pub(super) config: Option<PathBuf>,
    /// Print nothing but errors.
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// Log more to standard error; twice for every failed attempt. `RUST_LOG` sets more exactly.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    /// Print one JSON object on standard output at the end.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// When to use color; auto is on a terminal, unless `NO_COLOR` is set or `TERM` is dumb.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        env = "PROMPTMILL_COLOR",
        hide_env_values = true
    )]
    pub(super) color: ColorChoice,
    /// The form of log lines: for people, or one JSON object a line.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        env = "PROMPTMILL_LOG_FORMAT",
        hide_env_values = true
    )]
    pub(super) log_format: LogFormat,
}

/// When to use color.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorChoice {
    // On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    // Always.
    Always,
    // Never.
    Never,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    // For people.
    #[default]
    Text,
    // One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Import a file, ask every prompt, write the results. Repeat it to resume.
    Run(Box<RunArgs>),
    /// Take a file into the queue without asking anything.
    Import(ImportArgs),
    /// Ask what is in the queue.
    Work(WorkArgs),
    /// Write the results of a batch.
    Export(ExportArgs),
    /// Show how far the batches are, and how the keys stand.
    Status(StatusArgs),
    /// Make the failed rows of a batch pending again.
    Retry(RetryArgs),
    /// List the keys that were used, or forget how they stand.
    Keys(KeysArgs),
    /// Find out what is wrong with endpoint, keys, model or queue, and how to mend it.
    Doctor(DoctorArgs),
    /// Serve a simulated provider, for trials.
    Simulate(SimulateArgs),
}

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill run jobs.csv -o results.csv --simulate
  promptmill run jobs.csv -o results.csv --model gpt-4o-mini --rpm 60
  promptmill run cities.csv --prompt 'Name the capital of {{ country }}.' --set max_tokens=24
  promptmill run jobs.csv --base-url http://127.0.0.1:8080/v1   # llama.cpp, Ollama, vLLM
  generate-prompts | promptmill run - -o -                      # from and to a pipe")]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) input: InputArgs,
    #[command(flatten)]
    pub(super) endpoint: EndpointArgs,
    #[command(flatten)]
    pub(super) pace: PaceArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill import jobs.csv --id-column id
  promptmill import reviews.csv --prompt 'Is this review kind? {{ text }}' --batch kindness")]
pub(super) struct ImportArgs {
    #[command(flatten)]
    pub(super) input: InputArgs,
    /// The simulated provider is to answer this batch.
    #[arg(long)]
    pub(super) simulate: bool,
}

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill work                        every batch, the oldest first
  promptmill work --batch jobs.csv --concurrency 4")]
pub(super) struct WorkArgs {
    /// The batch to work on [default: all, the oldest first].
    #[arg(long, value_name = "NAME")]
    pub(super) batch: Option<String>,
    #[command(flatten)]
    pub(super) endpoint: EndpointArgs,
    #[command(flatten)]
    pub(super) pace: PaceArgs,
}

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill export jobs.csv > results.csv
  promptmill export jobs.csv -o results.csv")]
pub(super) struct ExportArgs {
    /// The batch: its name, or the path of its input.
    pub(super) batch: String,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill status
  promptmill status --json | jq '.batches[] | select(.pending > 0)'")]
pub(super) struct StatusArgs {}

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill retry jobs.csv && promptmill run jobs.csv -o results.csv")]
pub(super) struct RetryArgs {
    /// The batch: its name, or the path of its input.
    pub(super) batch: String,
}

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill keys list
  promptmill keys reset            # every key may be tried again
  promptmill keys reset key-2")]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    pub(super) action: Option<KeysAction>,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeysAction {
    /// List the keys that were used and how they stand.
    List,
    /// Forget how a key stands, so that it may be tried again.
    Reset {
        /// The key's label [default: all keys].
        label: Option<String>,
    },
}

#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  promptmill doctor                                      as `promptmill run` would ask
  promptmill doctor --base-url https://api.chatanywhere.tech/v1 --model gpt-4o-mini
  promptmill doctor --no-spend --json                    no chat call; one JSON object")]
pub(super) struct DoctorArgs {
    /// The model's name [default: that of the newest batch, or gpt-4o-mini].
    #[arg(long, value_name = "NAME", env = "PROMPTMILL_MODEL")]
    pub(super) model: Option<String>,
    /// Make no chat call, not even the one of a single token for each key.
    #[arg(long)]
    pub(super) no_spend: bool,
    #[command(flatten)]
    pub(super) endpoint: EndpointArgs,
}

#[derive(Args, Debug)]
pub(super) struct InputArgs {
    /// A CSV file with a header; `-` is standard input.
    pub(super) input: PathBuf,
    /// The batch's name [default: the input's path].
    #[arg(long, value_name = "NAME", help_heading = "Recipe")]
    pub(super) batch: Option<String>,
    /// The model's name, as the provider spells it [default: gpt-4o-mini].
    #[arg(
        long,
        value_name = "NAME",
        env = "PROMPTMILL_MODEL",
        hide_env_values = true,
        help_heading = "Recipe"
    )]
    pub(super) model: Option<String>,
    /// The prompt, as a template over the columns [default: the column `prompt`].
    #[arg(
        long,
        value_name = "TEMPLATE",
        env = "PROMPTMILL_PROMPT",
        hide_env_values = true,
        help_heading = "Recipe"
    )]
    pub(super) prompt: Option<String>,
    /// A system message, as a template over the columns.
    #[arg(
        long,
        value_name = "TEMPLATE",
        env = "PROMPTMILL_SYSTEM",
        hide_env_values = true,
        help_heading = "Recipe"
    )]
    pub(super) system: Option<String>,
    /// A request parameter; JSON where it parses as JSON, templates allowed. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Recipe")]
    pub(super) set: Vec<String>,
    /// The column that names each row [default: a row is known by its whole content].
    #[arg(
        long,
        value_name = "COLUMN",
        env = "PROMPTMILL_ID_COLUMN",
        hide_env_values = true,
        help_heading = "Recipe"
    )]
    pub(super) id_column: Option<String>,
    /// The character between two fields; `\t` is a tab [default: ,].
    #[arg(
        long, value_name = "CHAR", value_parser = delimiter, env = "PROMPTMILL_DELIMITER", hide_env_values = true,
        help_heading = "Recipe"
    )]
    pub(super) delimiter: Option<u8>,
    /// Take the changed recipe: the rows whose request differs are asked again.
    #[arg(long, help_heading = "Recipe")]
    pub(super) redo: bool,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Endpoint and keys")]
pub(super) struct EndpointArgs {
    /// Where the API is; `/chat/completions` comes after it
    /// [default: `https://api.openai.com/v1`].
    #[arg(
        long,
        value_name = "URL",
        env = "PROMPTMILL_BASE_URL",
        hide_env_values = true
    )]
    pub(super) base_url: Option<String>,
    /// Ask a simulated provider inside this program: no network, no key, no cost.
    #[arg(long)]
    pub(super) simulate: bool,
    /// A file with one key a line, that only you may read.
    #[arg(
        long,
        value_name = "FILE",
        env = "PROMPTMILL_API_KEY_FILE",
        hide_env_values = true
    )]
    pub(super) api_key_file: Option<PathBuf>,
    /// A command that prints one key a line.
    #[arg(
        long,
        value_name = "COMMAND",
        env = "PROMPTMILL_API_KEY_COMMAND",
        hide_env_values = true
    )]
    pub(super) api_key_command: Option<String>,
    /// Accept a key file that others may read.
    #[arg(
        long, env = "PROMPTMILL_INSECURE_KEY_FILE", hide_env_values = true,
        value_parser = FalseyValueParser::new()
    )]
    pub(super) insecure_key_file: bool,
    /// The longest a request may take, up to the last byte of its answer [default: 300s].
    #[arg(long, value_name = "TIME", value_parser = duration, env = "PROMPTMILL_TIMEOUT", hide_env_values = true)]
    pub(super) timeout: Option<Duration>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Pace")]
pub(super) struct PaceArgs {
    /// The most requests in flight [default: 16].
    #[arg(
        long,
        value_name = "N",
        env = "PROMPTMILL_CONCURRENCY",
        hide_env_values = true
    )]
    pub(super) concurrency: Option<NonZeroU32>,
    /// Requests a minute for each key [default: no limit].
    #[arg(long, value_name = "N", env = "PROMPTMILL_RPM", hide_env_values = true)]
    pub(super) rpm: Option<NonZeroU32>,
    /// The most attempts for a row; waiting for a limit and changing the key are none [default: 5].
    #[arg(
        long,
        value_name = "N",
        env = "PROMPTMILL_MAX_ATTEMPTS",
        hide_env_values = true
    )]
    pub(super) max_attempts: Option<NonZeroU32>,
    /// End with code 4 when all that is left waits longer than this for a limit [default: 10m].
    #[arg(long, value_name = "TIME", value_parser = duration, env = "PROMPTMILL_MAX_WAIT", hide_env_values = true)]
    pub(super) max_wait: Option<Duration>,
    /// End with code 69 when the endpoint has been down for longer than this [default: 10m].
    #[arg(long, value_name = "TIME", value_parser = duration, env = "PROMPTMILL_MAX_OUTAGE", hide_env_values = true)]
    pub(super) max_outage: Option<Duration>,
    /// How long the first Ctrl-C or SIGTERM lets requests in flight go on [default: 30s].
    #[arg(long, value_name = "TIME", value_parser = duration, env = "PROMPTMILL_GRACE", hide_env_values = true)]
    pub(super) grace: Option<Duration>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputArgs {
    /// Where the results go; `-` is standard output. `run` writes beside its input when this is
    /// not given, `export` to standard output.
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "PROMPTMILL_OUTPUT",
        hide_env_values = true
    )]
    pub(super) output: Option<PathBuf>,
    /// Write cells as they are, even those that a spreadsheet would run as a formula.
    #[arg(
        long, env = "PROMPTMILL_CSV_RAW", hide_env_values = true,
        value_parser = FalseyValueParser::new()
    )]
    pub(super) csv_raw: bool,
}
