//! Checks the disk of the database: the kind of file system, and the free space.

use std::path::Path;

use super::report::{DoctorReport, Finding, Group};
use crate::cli::exit::Exit;
use crate::cli::file_system::{self, FileSystemKind};

/// Free space, in bytes, below which a run may fill the disk.
const LOW_SPACE: u64 = 200 << 20;

/// Checks the disk of the database at `path`, or of its directory if there is no database yet.
pub(super) fn run_checks(path: &Path, report: &mut DoctorReport) {
    let target = file_system::statfs_target(path);
    let Ok(stats) = rustix::fs::statvfs(target) else {
        let directory = file_system::directory(path);
        let text = format!("cannot access the directory {}", directory.display());
        let hint = "Create the directory, or choose another file with --db.";
        report.add(
            Group::Queue,
            Finding::error("disk", Exit::Storage, text, hint),
        );
        return;
    };
    let free = stats.f_bavail.saturating_mul(stats.f_frsize);
    report.add(Group::Queue, classify(file_system::magic(target), free));
}

fn classify(magic: Option<u64>, free: u64) -> Finding {
    let (name, kind) = file_system::classify(magic);
    let free_space = format!("{} free", ByteSize(free));
    let (text, hint) = match kind {
        FileSystemKind::Network => {
            let text = format!("{name}, a network file system that can corrupt the database");
            let hint = "Put the database on a local disk with --db.";
            return Finding::error("disk", Exit::Storage, text, hint);
        }
        _ if free < LOW_SPACE => (
            format!("{name}, only {free_space}"),
            "Free up space, or put the database on another disk with --db.",
        ),
        FileSystemKind::Local => return Finding::ok("disk", format!("{name}, {free_space}")),
        FileSystemKind::Userspace => (
            format!("{name}, {free_space}: locking and fsync may be unreliable"),
            "Put the database on a local disk with --db, unless you know that both work here.",
        ),
        FileSystemKind::Overlay => (
            format!("{name}, {free_space}: the database is lost with the container"),
            "Put the database on a volume with --db to keep it.",
        ),
        FileSystemKind::Memory => (
            format!("{name}, {free_space}: the database is in memory only"),
            "Put the database on a disk with --db to keep it across restarts.",
        ),
    };
    Finding::warning("disk", text, hint)
}

/// Displays a number of bytes as MiB or GiB.
struct ByteSize(u64);

impl std::fmt::Display for ByteSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            bytes if bytes >= 10 << 30 => write!(f, "{} GiB", bytes >> 30),
            bytes => write!(f, "{} MiB", bytes >> 20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(magic: u64, free: u64, expected: &str) {
        let mut report = DoctorReport::default();
        report.add(Group::Queue, classify(Some(magic), free));
        let json = report.json();
        let line = &json["checks"][0];
        let found = format!(
            "{}: {}",
            line["state"].as_str().unwrap(),
            line["text"].as_str().unwrap()
        );
        assert_eq!(found, expected);
    }

    #[test]
    fn a_disk_is_judged_by_its_kind_and_free_space() {
        check(0xef53, 20 << 30, "ok: ext4, 20 GiB free");
        check(0xef53, 5 << 20, "warning: ext4, only 5 MiB free");
        check(0x1234_5678, 1 << 30, "ok: a disk, 1024 MiB free");
        let nfs = "wrong: NFS, a network file system that can corrupt the database";
        check(0x6969, 20 << 30, nfs);
        let layered = "warning: overlay, 20 GiB free: the database is lost with the container";
        check(0x794c_7630, 20 << 30, layered);
    }
}
