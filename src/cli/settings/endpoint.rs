//! The endpoint and its API keys.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::key_sources::KeySources;
use crate::cli::values::duration;
use crate::provider::ClientLimits;

use super::file::FileSettings;

#[derive(Args, Debug)]
#[command(next_help_heading = "Endpoint and API keys")]
pub(in crate::cli) struct EndpointArgs {
    /// API base URL
    #[arg(
        long,
        value_name = "URL",
        env,
        default_value = "https://api.openai.com/v1"
    )]
    base_url: String,
    /// File with one API key per line
    /// [example: /home/you/batch/keys.txt]
    ///
    /// The file must be accessible only to its owner, unless --insecure-key-file is set.
    #[arg(long, value_name = "FILE", env)]
    api_key_file: Option<PathBuf>,
    /// Shell command that prints one API key per line
    /// [example: pass show openai]
    #[arg(long, value_name = "COMMAND", env)]
    api_key_command: Option<String>,
    /// Accept a key file that other users can read
    #[arg(long, env)]
    insecure_key_file: bool,
    /// Simulate responses: no key, no network, no cost
    #[arg(long)]
    pub(in crate::cli) simulate: bool,
    /// Maximum duration of a request, including its response [default: 300s]
    #[arg(long, value_name = "DURATION", value_parser = duration, env)]
    pub(in crate::cli) timeout: Option<Duration>,
}

/// The endpoint and its API keys.
#[derive(Debug)]
pub(in crate::cli) struct EndpointSettings {
    pub(in crate::cli) base_url: String,
    pub(in crate::cli) simulate: bool,
    pub(in crate::cli) limits: ClientLimits,
    pub(in crate::cli) keys: KeySources,
}

/// Resolves the endpoint and the sources of API keys.
pub(in crate::cli) fn endpoint(args: EndpointArgs, file: FileSettings) -> EndpointSettings {
    let mut limits = ClientLimits::default();
    if let Some(timeout) = args.timeout {
        limits.total_timeout = timeout;
        limits.connect_timeout = limits.connect_timeout.min(timeout);
    }
    let keys = KeySources {
        file: args.api_key_file,
        command: args.api_key_command,
        listed: file.tables.keys,
        insecure: args.insecure_key_file,
    };
    EndpointSettings {
        base_url: args.base_url,
        simulate: args.simulate,
        limits,
        keys,
    }
}

/// Returns the sources of API keys in the settings file.
pub(in crate::cli) fn key_sources(file: FileSettings) -> KeySources {
    KeySources {
        file: file.value("api-key-file").map(PathBuf::from),
        command: file.value("api-key-command").map(str::to_owned),
        listed: file.tables.keys,
        insecure: false,
    }
}
