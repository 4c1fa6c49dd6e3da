//! Lists the keys that were used, and resets their stored state.

use clap::{Args, Subcommand};

use crate::clock::Clock;
use crate::progress::quantity::Plural;
use crate::store::Store;

use super::exit::{CliError, Exit};
use super::settings::{self, GlobalArgs};
use super::verbosity::Verbosity;
use super::{console, database, status};

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill keys list
  promptmill keys reset         # all keys
  promptmill keys reset key-2")]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    pub(super) action: Option<KeysAction>,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeysAction {
    /// List the API keys that were used, with their state
    #[command(after_long_help = "\
Examples:
  promptmill keys list
  promptmill keys list --json")]
    List,
    /// Reset the stored state of an API key, so that it is used again
    #[command(after_long_help = "\
Examples:
  promptmill keys reset         # all keys
  promptmill keys reset key-2")]
    Reset {
        /// Label of the key [default: all keys]
        label: Option<String>,
    },
}

/// Runs `promptmill keys`.
pub(super) async fn command(global: &GlobalArgs, args: &KeysArgs) -> Result<Exit, CliError> {
    let location = settings::database(global);
    let verbosity = Verbosity::new(global, false);
    let store = database::open(&location).await?;
    match &args.action {
        None | Some(KeysAction::List) => list(global, &store).await?,
        Some(KeysAction::Reset { label }) => reset(verbosity, &store, label.as_deref()).await?,
    }
    store.close().await?;
    Ok(Exit::Done)
}

async fn list(global: &GlobalArgs, store: &Store) -> Result<(), CliError> {
    let keys = store.keys().await?;
    let text = if global.json {
        let keys: Vec<_> = keys.iter().map(status::key_json).collect();
        format!("{}\n", serde_json::json!({ "keys": keys }))
    } else if keys.is_empty() {
        "no keys have been used yet\n".to_owned()
    } else {
        status::keys_text(&keys, Clock::start().now())
    };
    Ok(console::print(&text)?)
}

async fn reset(
    verbosity: Verbosity<'_>,
    store: &Store,
    label: Option<&str>,
) -> Result<(), CliError> {
    let reset = store.reset_keys(label).await?;
    if reset == 0
        && let Some(label) = label
    {
        let what = format!("no key with the label \"{label}\"");
        let hint = "run `promptmill keys list` to list the labels";
        return Err(CliError::new(Exit::NoInput, &what, hint));
    }
    if verbosity.prints_notices() {
        console::eprint(&format!("{} reset\n", Plural(reset, "key")));
    }
    Ok(())
}
