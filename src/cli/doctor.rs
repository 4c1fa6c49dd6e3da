//! `promptmill doctor`: checks the settings with the module `doctor`, and prints its report.

use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;

use crate::doctor::{DoctorOptions, KeyList, LabeledKey, ReportStyle, examine};
use crate::simulator::{SAMPLE_KEY, Simulator};

use super::exit::{CliError, Exit};
use super::key_sources::{KeySources, NamedKey};
use super::settings::{self, EndpointArgs, FileSettings, GlobalArgs};
use super::{console, environment, simulate};

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill doctor                     # with the settings of `promptmill run`
  promptmill doctor --base-url https://api.chatanywhere.tech/v1 --model gpt-4o
  promptmill doctor --no-spend --json   # no chat requests; JSON output")]
pub(super) struct DoctorArgs {
    /// Model name [default: that of the newest batch, or gpt-4o-mini]
    #[arg(long, value_name = "NAME", env)]
    model: Option<String>,
    /// Send no chat requests, which may cost money
    ///
    /// Without this option, one request that is limited to one token is sent with each key.
    #[arg(long)]
    no_spend: bool,
    #[command(flatten)]
    endpoint: EndpointArgs,
}

/// Default timeout of one request, shorter than that of a run.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);

/// Runs `promptmill doctor`.
pub(super) async fn command(
    global: &GlobalArgs,
    args: DoctorArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global);
    let timeout = args.endpoint.timeout;
    let model = args.model;
    let mut settings = settings::endpoint(args.endpoint, file);
    settings.limits.total_timeout = timeout.unwrap_or(DEFAULT_TIMEOUT);
    let simulator = if settings.simulate {
        Some(simulate::start_in_process().await?)
    } else {
        None
    };
    let base_url = simulator.as_ref().map(Simulator::base_url);
    let keys = match simulator {
        Some(_) => simulated_key(),
        None => read_keys(&settings.keys).await,
    };
    let report = examine(DoctorOptions {
        database,
        base_url: base_url.unwrap_or(settings.base_url),
        simulated: settings.simulate,
        limits: settings.limits,
        keys,
        model,
        default_model: settings::DEFAULT_MODEL,
        allow_spend: !args.no_spend,
        show_progress: io::stderr().is_terminal() && io::stdout().is_terminal(),
        variable: environment::text,
    })
    .await;
    if let Some(simulator) = simulator {
        simulator.shutdown().await;
    }
    if global.json {
        console::print_json(&report.json())?;
    } else {
        let (color, quiet) = (console::stdout_color(global.color), global.quiet);
        console::print(&report.text(ReportStyle { color, quiet }))?;
    }
    Ok(report.exit())
}

fn simulated_key() -> KeyList {
    let (label, secret) = ("simulated key".to_owned(), SecretString::from(SAMPLE_KEY));
    KeyList {
        source: None,
        files: Vec::new(),
        keys: Ok(vec![LabeledKey { label, secret }]),
    }
}

async fn read_keys(sources: &KeySources) -> KeyList {
    let labeled = |key: NamedKey| LabeledKey {
        label: key.label,
        secret: key.secret,
    };
    let keys = sources.read().await;
    let (source, files) = sources.location();
    KeyList {
        source: Some(source),
        files,
        keys: keys.map(|keys| keys.into_iter().map(labeled).collect()),
    }
}
