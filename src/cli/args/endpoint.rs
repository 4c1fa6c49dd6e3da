//! Who is asked: the flags of the endpoint and the keys.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;

use crate::cli::values::duration;

#[derive(Args, Debug)]
#[command(next_help_heading = "Endpoint and keys")]
pub(in crate::cli) struct EndpointArgs {
    /// Where the API is; `/chat/completions` comes after it
    /// [default: `https://api.openai.com/v1`].
    #[arg(
        long,
        value_name = "URL",
        env = "PROMPTMILL_BASE_URL",
        hide_env_values = true
    )]
    pub(in crate::cli) base_url: Option<String>,
    /// Ask a simulated provider inside this program: no network, no key, no cost.
    #[arg(long)]
    pub(in crate::cli) simulate: bool,
    /// A file with one key a line, that only you may read.
    #[arg(
        long,
        value_name = "FILE",
        env = "PROMPTMILL_API_KEY_FILE",
        hide_env_values = true
    )]
    pub(in crate::cli) api_key_file: Option<PathBuf>,
    /// A command that prints one key a line.
    #[arg(
        long,
        value_name = "COMMAND",
        env = "PROMPTMILL_API_KEY_COMMAND",
        hide_env_values = true
    )]
    pub(in crate::cli) api_key_command: Option<String>,
    /// Accept a key file that others may read.
    #[arg(
        long, env = "PROMPTMILL_INSECURE_KEY_FILE", hide_env_values = true,
        value_parser = FalseyValueParser::new()
    )]
    pub(in crate::cli) insecure_key_file: bool,
    /// The longest a request may take, up to the last byte of its answer [default: 300s].
    #[arg(long, value_name = "TIME", value_parser = duration, env = "PROMPTMILL_TIMEOUT", hide_env_values = true)]
    pub(in crate::cli) timeout: Option<Duration>,
}
