//! Options for the endpoint and its API keys.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;

use crate::cli::values::duration;

#[derive(Args, Debug)]
#[command(next_help_heading = "Endpoint and API keys")]
pub(in crate::cli) struct EndpointArgs {
    #[arg(
        long,
        value_name = "URL",
        env = "PROMPTMILL_BASE_URL",
        help = "API base URL [default: https://api.openai.com/v1]"
    )]
    pub(in crate::cli) base_url: Option<String>,
    /// File with one API key per line
    ///
    /// The file must be accessible only to its owner, unless --insecure-key-file is set.
    #[arg(long, value_name = "FILE", env = "PROMPTMILL_API_KEY_FILE")]
    pub(in crate::cli) api_key_file: Option<PathBuf>,
    /// Shell command that prints one API key per line
    #[arg(long, value_name = "COMMAND", env = "PROMPTMILL_API_KEY_COMMAND")]
    pub(in crate::cli) api_key_command: Option<String>,
    /// Accept a key file that other users can read
    #[arg(long, env = "PROMPTMILL_INSECURE_KEY_FILE", value_parser = FalseyValueParser::new())]
    pub(in crate::cli) insecure_key_file: bool,
    /// Simulate responses: no key, no network, no cost
    #[arg(long)]
    pub(in crate::cli) simulate: bool,
    /// Maximum duration of a request, including its response [default: 300s]
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "PROMPTMILL_TIMEOUT")]
    pub(in crate::cli) timeout: Option<Duration>,
}
