//! Lists the keys that were used, and resets their stored state.

use crate::clock::Clock;
use crate::progress::quantity::Plural;
use crate::store::Store;

use super::args::{GlobalArgs, KeysAction, KeysArgs};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::verbosity::Verbosity;
use super::{console, settings, status};

/// Runs `promptmill keys`.
pub(super) async fn command(
    global: &GlobalArgs,
    args: &KeysArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global, &file);
    let verbosity = Verbosity::new(global, &file, false);
    let Some(store) = Store::open_existing(&database).await? else {
        return Err(status::no_database(&database));
    };
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
