//! The file system of the database: SQLite databases can be corrupted on network file systems,
//! where locks and fsync are unreliable.

use std::path::{Path, PathBuf};

use super::files::directory;

/// How well a file system protects a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystemKind {
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

/// The disk of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The name of the file system, such as `ext4`.
    pub file_system: &'static str,
    /// How well it protects a database.
    pub kind: FileSystemKind,
    /// Free space in bytes.
    pub free: u64,
}

/// The directory of the database cannot be accessed.
#[derive(Debug, thiserror::Error)]
#[error("cannot access the directory {}", .0.display())]
pub struct DiskError(PathBuf);

/// Returns the disk of a file, or of its directory if there is no file yet.
pub(crate) fn disk(path: &Path) -> Result<Disk, DiskError> {
    let target = if path.exists() { path } else { directory(path) };
    let Ok(stats) = rustix::fs::statvfs(target) else {
        return Err(DiskError(directory(path).to_owned()));
    };
    let (file_system, kind) = classify(magic(target));
    Ok(Disk {
        file_system,
        kind,
        free: stats.f_bavail.saturating_mul(stats.f_frsize),
    })
}

/// Returns the name and the kind of a file system. An unknown one is treated as local.
fn classify(magic: Option<u64>) -> (&'static str, FileSystemKind) {
    let mut known = FILE_SYSTEMS.iter();
    let known = known.find(|(number, ..)| Some(*number) == magic);
    known.map_or(("a disk", FileSystemKind::Local), |(_, name, kind)| {
        (*name, *kind)
    })
}

/// Returns the magic number of the file system of a path, if it is known.
#[cfg(target_os = "linux")]
fn magic(path: &Path) -> Option<u64> {
    let magic = rustix::fs::statfs(path).ok()?.f_type;
    // The numbers have 32 bits, but their type is signed on some platforms.
    #[expect(clippy::cast_sign_loss, reason = "the sign is not part of the number")]
    Some(magic as u64 & 0xffff_ffff)
}

/// Returns the magic number of the file system of a path, if it is known.
#[cfg(not(target_os = "linux"))]
fn magic(_path: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_are_classified_by_their_magic_number() {
        for (magic, name, kind) in [
            (0x6969, "NFS", FileSystemKind::Network),
            (0x517b, "SMB", FileSystemKind::Network),
            (0xff53_4d42, "CIFS", FileSystemKind::Network),
            (0xfe53_4d42, "SMB2", FileSystemKind::Network),
            (0x0102_1997, "9P", FileSystemKind::Network),
            (0xef53, "ext4", FileSystemKind::Local),
            (0x0102_1994, "tmpfs", FileSystemKind::Memory),
            (0x794c_7630, "overlay", FileSystemKind::Overlay),
            (0x6573_5546, "FUSE", FileSystemKind::Userspace),
            (0x1234_5678, "a disk", FileSystemKind::Local),
        ] {
            assert_eq!(classify(Some(magic)), (name, kind), "{magic:x}");
        }
        assert_eq!(classify(None), ("a disk", FileSystemKind::Local));
    }

    #[test]
    fn the_disk_is_that_of_the_directory_if_there_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let in_folder = disk(&folder.path().join("q.db")).unwrap();
        let expected = disk(folder.path()).unwrap().file_system;
        assert_eq!(in_folder.file_system, expected);
        assert!(disk(Path::new("no-such-file.db")).is_ok());
        let missing = folder.path().join("missing");
        let error = disk(&missing.join("q.db")).unwrap_err().to_string();
        let expected = format!("cannot access the directory {}", missing.display());
        assert_eq!(error, expected);
    }
}
