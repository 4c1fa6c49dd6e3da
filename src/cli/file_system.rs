//! The file system of the database: SQLite databases can be corrupted on network file systems, where
//! locks and fsync are unreliable.

use std::path::Path;

use super::error::CliError;
use super::exit::Exit;

/// How well a file system protects a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileSystemKind {
    /// Locks and fsync are reliable.
    Local,
    /// Locks and fsync depend on another machine.
    Network,
    /// Locks and fsync depend on a program, as with FUSE.
    Userspace,
    /// Files are lost with the container.
    Overlay,
    /// Files are lost when the machine restarts.
    Memory,
}

/// File systems by their magic number, as in `statfs(2)` on Linux.
const FILE_SYSTEMS: [(u64, &str, FileSystemKind); 17] = [
    (0xef53, "ext4", FileSystemKind::Local),
    (0x5846_5342, "XFS", FileSystemKind::Local),
    (0x9123_683e, "Btrfs", FileSystemKind::Local),
    (0x2fc1_2fc1, "ZFS", FileSystemKind::Local),
    (0xf2f5_2010, "F2FS", FileSystemKind::Local),
    (0x0102_1994, "tmpfs", FileSystemKind::Memory),
    (0x8584_58f6, "ramfs", FileSystemKind::Memory),
    (0x794c_7630, "overlay", FileSystemKind::Overlay),
    (0x6573_5546, "FUSE", FileSystemKind::Userspace),
    (0x786f_4256, "vboxsf", FileSystemKind::Userspace),
    (0x6969, "NFS", FileSystemKind::Network),
    (0xff53_4d42, "CIFS", FileSystemKind::Network),
    (0xfe53_4d42, "SMB2", FileSystemKind::Network),
    (0x517b, "SMB", FileSystemKind::Network),
    (0x0102_1997, "9P", FileSystemKind::Network),
    (0x00c3_6400, "Ceph", FileSystemKind::Network),
    (0x5346_414f, "AFS", FileSystemKind::Network),
];

/// Rejects a database on a network file system, unless that is allowed.
pub(super) fn reject_network(path: &Path, allowed: bool) -> Result<(), CliError> {
    check_kind(path, magic(statfs_target(path)), allowed)
}

/// Returns the directory that contains a file.
pub(super) fn directory(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Returns the path to pass to `statfs`: the file, or its directory if there is no file yet.
pub(super) fn statfs_target(path: &Path) -> &Path {
    if path.exists() { path } else { directory(path) }
}

/// Returns the name and the kind of a file system. An unknown one is treated as local.
pub(super) fn classify(magic: Option<u64>) -> (&'static str, FileSystemKind) {
    let known = FILE_SYSTEMS
        .iter()
        .find(|(number, ..)| Some(*number) == magic);
    known.map_or(("a disk", FileSystemKind::Local), |(_, name, kind)| {
        (*name, *kind)
    })
}

/// Returns the magic number of the file system of a path, if it is known.
#[cfg(target_os = "linux")]
pub(super) fn magic(path: &Path) -> Option<u64> {
    let magic = rustix::fs::statfs(path).ok()?.f_type;
    // The numbers have 32 bits, but their type is signed on some platforms.
    #[expect(clippy::cast_sign_loss, reason = "the sign is not part of the number")]
    Some(magic as u64 & 0xffff_ffff)
}

/// Returns the magic number of the file system of a path, if it is known.
#[cfg(not(target_os = "linux"))]
pub(super) fn magic(_path: &Path) -> Option<u64> {
    None
}

fn check_kind(path: &Path, magic: Option<u64>, allowed: bool) -> Result<(), CliError> {
    let (name, kind) = classify(magic);
    match kind {
        FileSystemKind::Network if !allowed => {
            let what = format!(
                "the database {} is on {name}, a network file system that can corrupt it",
                path.display()
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
    fn check(magic: u64, allowed: bool, expected: Option<&str>) {
        let error = check_kind(Path::new("q.db"), Some(magic), allowed).err();
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
        for (magic, name) in [
            (0x6969, "NFS"),
            (0x517b, "SMB"),
            (0xff53_4d42, "CIFS"),
            (0xfe53_4d42, "SMB2"),
            (0x0102_1997, "9P"),
        ] {
            let expected = format!("the database q.db is on {name}");
            check(magic, false, Some(&expected));
            check(magic, true, None);
        }
    }

    #[test]
    fn local_and_unknown_file_systems_are_accepted() {
        for magic in [0xef53, 0x0102_1994, 0x794c_7630, 0x6573_5546, 0x1234_5678] {
            check(magic, false, None);
        }
    }

    #[test]
    fn statfs_gets_the_directory_if_there_is_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("q.db");
        assert_eq!(statfs_target(&path), directory.path());
        assert!(magic(statfs_target(&path)).is_some());
        assert_eq!(statfs_target(Path::new("no-such-file.db")), Path::new("."));
    }
}
