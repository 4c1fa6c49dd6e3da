//! The file system that the queue is on: a database on one of another machine can be damaged, since
//! locks and syncs are not ours alone there.

use std::path::Path;

use super::error::CliError;
use super::exit::Exit;

/// How a kind of file system keeps a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeps {
    /// Locks and syncs do what they promise.
    Well,
    /// Another machine has a say in locks and syncs.
    Network,
    /// A program in between has a say in them.
    Passed,
    /// What is written goes with the container.
    Layered,
    /// What is written goes with the next start of the machine.
    Memory,
}

/// Kinds of file system by the number that Linux has for them (`statfs(2)`).
const KINDS: [(u64, &str, Keeps); 17] = [
    (0xef53, "ext4", Keeps::Well),
    (0x5846_5342, "XFS", Keeps::Well),
    (0x9123_683e, "Btrfs", Keeps::Well),
    (0x2fc1_2fc1, "ZFS", Keeps::Well),
    (0xf2f5_2010, "F2FS", Keeps::Well),
    (0x0102_1994, "tmpfs", Keeps::Memory),
    (0x8584_58f6, "ramfs", Keeps::Memory),
    (0x794c_7630, "overlay", Keeps::Layered),
    (0x6573_5546, "FUSE", Keeps::Passed),
    (0x786f_4256, "vboxsf", Keeps::Passed),
    (0x6969, "NFS", Keeps::Network),
    (0xff53_4d42, "CIFS", Keeps::Network),
    (0xfe53_4d42, "SMB2", Keeps::Network),
    (0x517b, "SMB", Keeps::Network),
    (0x0102_1997, "9P", Keeps::Network),
    (0x00c3_6400, "Ceph", Keeps::Network),
    (0x5346_414f, "AFS", Keeps::Network),
];

/// Refuses a database at a path that is on a network file system, unless that is allowed.
pub(super) fn refuse_network(path: &Path, allowed: bool) -> Result<(), CliError> {
    judge(path, kind(place(path)), allowed)
}

/// Returns the folder that a file is in.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Returns what can be asked for the file system of a path: the file, or its folder while there is
/// no file.
pub(super) fn place(path: &Path) -> &Path {
    if path.exists() { path } else { folder(path) }
}

/// Returns the name of a kind, and how it keeps a database.
pub(super) fn keeps(kind: Option<u64>) -> (&'static str, Keeps) {
    let known = KINDS.iter().find(|(number, ..)| Some(*number) == kind);
    known.map_or(("a disk", Keeps::Well), |(_, name, keeps)| (*name, *keeps))
}

/// Returns the kind of the file system that a file or folder is on; `None` when that is not known.
#[cfg(target_os = "linux")]
pub(super) fn kind(place: &Path) -> Option<u64> {
    let kind = rustix::fs::statfs(place).ok()?.f_type;
    // The numbers have 32 bits; the type they come in has a sign on some machines.
    #[expect(clippy::cast_sign_loss, reason = "the sign is no part of the number")]
    Some(kind as u64 & 0xffff_ffff)
}

/// Returns the kind of the file system that a file or folder is on; `None` when that is not known.
#[cfg(not(target_os = "linux"))]
pub(super) fn kind(_place: &Path) -> Option<u64> {
    None
}

fn judge(path: &Path, kind: Option<u64>, allowed: bool) -> Result<(), CliError> {
    let (name, keeps) = keeps(kind);
    match keeps {
        Keeps::Network if !allowed => {
            let what = format!(
                "the database {} is on {name}, a network file system: it can be damaged there",
                path.display()
            );
            let hint = "name a file on a disk of this machine with --db; --allow-network-fs takes the \
                        risk";
            Err(CliError::new(Exit::Config, &what, hint))
        }
        Keeps::Network | Keeps::Passed | Keeps::Layered => {
            tracing::info!(file_system = name, "the queue is not on a plain disk");
            Ok(())
        }
        Keeps::Well | Keeps::Memory => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: u64, allowed: bool, expected: Option<&str>) {
        let judged = judge(Path::new("q.db"), Some(kind), allowed);
        let told = judged.err().map(|error| (error.exit, error.message));
        let begins = |(exit, message): &(Exit, String)| {
            assert_eq!(*exit, Exit::Config);
            message.split(',').next().unwrap_or_default().to_owned()
        };
        assert_eq!(told.as_ref().map(begins).as_deref(), expected);
    }

    #[test]
    fn a_network_file_system_is_refused_unless_that_is_allowed() {
        for (kind, name) in [
            (0x6969, "NFS"),
            (0x517b, "SMB"),
            (0xff53_4d42, "CIFS"),
            (0xfe53_4d42, "SMB2"),
            (0x0102_1997, "9P"),
        ] {
            let expected = format!("the database q.db is on {name}");
            check(kind, false, Some(&expected));
            check(kind, true, None);
        }
    }

    #[test]
    fn a_disk_of_this_machine_is_taken_whatever_stands_between() {
        for kind in [0xef53, 0x0102_1994, 0x794c_7630, 0x6573_5546, 0x1234_5678] {
            check(kind, false, None);
        }
    }

    #[test]
    fn the_system_is_asked_for_the_folder_where_there_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.db");
        assert_eq!(place(&path), folder.path());
        assert!(kind(place(&path)).is_some());
        assert_eq!(place(Path::new("no-such-file.db")), Path::new("."));
    }
}
