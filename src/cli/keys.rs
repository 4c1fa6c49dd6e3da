//! Lists the keys that were used, and forgets how they stand.

use crate::clock::Clock;
use crate::progress::quantity::Things;
use crate::store::Store;

use super::args::{Global, KeysAction, KeysArgs};
use super::error::CliError;
use super::exit::Exit;
use super::file::FileSettings;
use super::voice::Voice;
use super::{screen, settings, status};

/// `promptmill keys`.
pub(super) async fn command(
    global: &Global,
    args: &KeysArgs,
    file: FileSettings,
) -> Result<Exit, CliError> {
    let database = settings::database(global, &file);
    let voice = Voice::new(global, &file, false);
    let Some(store) = Store::open_existing(&database).await? else {
        return Err(status::no_database(&database));
    };
    match &args.action {
        None | Some(KeysAction::List) => list(global, &store).await?,
        Some(KeysAction::Reset { label }) => reset(voice, &store, label.as_deref()).await?,
    }
    store.close().await?;
    Ok(Exit::Done)
}

async fn list(global: &Global, store: &Store) -> Result<(), CliError> {
    let keys = store.keys().await?;
    let text = if global.json {
        let keys: Vec<_> = keys.iter().map(status::key_json).collect();
        format!("{}\n", serde_json::json!({ "keys": keys }))
    } else if keys.is_empty() {
        "no key was used yet\n".to_owned()
    } else {
        status::keys_text(&keys, Clock::start().now())
    };
    Ok(screen::print(&text)?)
}

async fn reset(voice: Voice<'_>, store: &Store, label: Option<&str>) -> Result<(), CliError> {
    let reset = store.reset_keys(label).await?;
    if reset == 0
        && let Some(label) = label
    {
        let what = format!("no key is labelled \"{label}\"");
        return Err(CliError::new(
            Exit::NoInput,
            &what,
            "`promptmill keys list` shows the labels",
        ));
    }
    if voice.tells_news() {
        screen::say(&format!("{} may be tried again\n", Things(reset, "key")));
    }
    Ok(())
}
