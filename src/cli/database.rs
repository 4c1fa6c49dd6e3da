//! Opens the database of a command, finds batches in it, and reads it page by page.

use std::path::Path;

use crate::export::Target;
use crate::store::{Disk, FileSystemKind, Location, Store, StoreError, StoredBatch};

use super::exit::{CliError, Exit};
use super::settings::{self, GlobalArgs};

/// Opens a database, which must exist.
pub(super) async fn open(location: &Location) -> Result<Store, CliError> {
    let store = Store::open_existing(location).await?;
    store.ok_or_else(|| missing(location))
}

/// Opens the configured database, and finds a batch.
pub(super) async fn open_batch(
    global: &GlobalArgs,
    batch: &str,
) -> Result<(Store, StoredBatch), CliError> {
    let location = settings::database(global);
    let store = open(&location).await?;
    let batch = find_batch(&store, batch, &location).await?;
    Ok((store, batch))
}

/// Returns the error for a missing database.
pub(super) fn missing(location: &Location) -> CliError {
    let what = format!("no database at {location}");
    let hint = "create it with `promptmill run FILE`, or choose another one with --db";
    CliError::new(Exit::NoInput, &what, hint)
}

/// Finds a batch by its name or the path of its input, preferably one that is not simulated.
pub(super) async fn find_batch(
    store: &Store,
    name: &str,
    location: &Location,
) -> Result<StoredBatch, CliError> {
    let by_path = settings::batch_name(Path::new(name), location);
    for name in [name, &by_path] {
        for name in [name.to_owned(), format!("{name} (simulated)")] {
            if let Some(batch) = store.find_batch(&name).await? {
                return Ok(batch);
            }
        }
    }
    Ok(store.batch(name).await?)
}

/// Rejects outputs that would replace a file of the database.
pub(super) fn protect<'a>(
    targets: impl IntoIterator<Item = &'a Target>,
    location: &Location,
) -> Result<(), CliError> {
    reject_overwrite(targets, "the database", |path| location.contains(path))
}

/// Rejects outputs that would replace a file, whose name in messages is `name`.
pub(super) fn reject_overwrite<'a>(
    targets: impl IntoIterator<Item = &'a Target>,
    name: &str,
    is_protected: impl Fn(&Path) -> bool,
) -> Result<(), CliError> {
    for target in targets {
        if let Target::File(path) = target
            && is_protected(path)
        {
            let what = format!("cannot write to {}: it is {name}", path.display());
            let hint = "choose another output file";
            return Err(CliError::new(Exit::CannotWrite, &what, hint));
        }
    }
    Ok(())
}

/// Passes all items to `each`, reading them page by page. `read_page` returns the items after a
/// position, and the position of the next page if there is one.
pub(super) async fn for_each<Item, Position, Error: From<StoreError>>(
    read_page: impl AsyncFn(Option<Position>) -> Result<(Vec<Item>, Option<Position>), StoreError>,
    mut each: impl FnMut(&Item) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut after = None;
    loop {
        let (items, next) = read_page(after).await?;
        items.iter().try_for_each(&mut each)?;
        if next.is_none() {
            return Ok(());
        }
        after = next;
    }
}

/// Rejects a database on a network file system, unless that is allowed.
pub(super) fn reject_network(database: &Location, allowed: bool) -> Result<(), CliError> {
    match database.disk() {
        Ok(Some(disk)) => check_kind(database, disk, allowed),
        // Opening the database reports the error.
        Ok(None) | Err(_) => Ok(()),
    }
}

fn check_kind(database: &Location, disk: Disk, allowed: bool) -> Result<(), CliError> {
    let name = disk.file_system;
    match disk.kind {
        FileSystemKind::Network if !allowed => {
            let what = format!(
                "the database {database} is on {name}, a network file system that can corrupt it"
            );
            let hint = "put the database on a local disk with --db, or accept the risk with \
                        --allow-network-fs";
            Err(CliError::new(Exit::Config, &what, hint))
        }
        FileSystemKind::Network | FileSystemKind::Userspace | FileSystemKind::Overlay => {
            tracing::info!(file_system = name, "the database is not on a local disk");
            Ok(())
        }
        FileSystemKind::Local | FileSystemKind::Memory => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: FileSystemKind, allowed: bool, expected: Option<&str>) {
        let disk = Disk {
            file_system: "NFS",
            kind,
            free: 0,
        };
        let error = check_kind(&Location::new("q.db"), disk, allowed).err();
        let beginning = error.map(|error| {
            assert_eq!(error.exit, Exit::Config);
            error
                .message
                .split(',')
                .next()
                .unwrap_or_default()
                .to_owned()
        });
        assert_eq!(beginning.as_deref(), expected);
    }

    #[test]
    fn a_network_file_system_is_rejected_unless_allowed() {
        let expected = "the database q.db is on NFS";
        check(FileSystemKind::Network, false, Some(expected));
        check(FileSystemKind::Network, true, None);
    }

    #[test]
    fn other_file_systems_are_accepted() {
        check(FileSystemKind::Local, false, None);
        check(FileSystemKind::Memory, false, None);
        check(FileSystemKind::Overlay, false, None);
        check(FileSystemKind::Userspace, false, None);
    }
}
