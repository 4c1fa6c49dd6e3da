//! Rejects databases on network file systems, which can corrupt them.

use crate::store::{Disk, FileSystemKind, Location};

use super::exit::{CliError, Exit};

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
