//! Checks the disk of the database: the kind of file system, and the free space.

use super::report::{DoctorReport, Finding, Group};
use crate::exit::Exit;
use crate::store::{Disk, FileSystemKind, Location};

/// Free space, in bytes, below which a run may fill the disk.
const LOW_SPACE: u64 = 200 << 20;

/// Checks the disk of the database, or of its directory if there is no database yet.
pub(super) fn run_checks(database: &Location, report: &mut DoctorReport) {
    match database.disk() {
        Ok(Some(disk)) => report.add(Group::Queue, judge(disk)),
        Ok(None) => {}
        Err(error) => {
            let hint = "Create the directory, or choose another file with --db.";
            let finding = Finding::error("disk", Exit::Storage, error.to_string(), hint);
            report.add(Group::Queue, finding);
        }
    }
}

fn judge(disk: Disk) -> Finding {
    let (name, free) = (disk.file_system, disk.free);
    let free_space = format!("{} free", ByteSize(free));
    let (text, hint) = match disk.kind {
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
    fn check(file_system: &'static str, kind: FileSystemKind, free: u64, expected: &str) {
        let mut report = DoctorReport::default();
        let disk = Disk {
            file_system,
            kind,
            free,
        };
        report.add(Group::Queue, judge(disk));
        let json = report.json();
        let line = &json["checks"][0];
        let [state, text] = ["state", "text"].map(|name| line[name].as_str().unwrap());
        assert_eq!(format!("{state}: {text}"), expected);
    }

    #[test]
    fn a_disk_is_judged_by_its_kind_and_free_space() {
        use FileSystemKind::{Local, Network, Overlay};
        check("ext4", Local, 20 << 30, "ok: ext4, 20 GiB free");
        check("ext4", Local, 5 << 20, "warning: ext4, only 5 MiB free");
        check("a disk", Local, 1 << 30, "ok: a disk, 1024 MiB free");
        let nfs = "wrong: NFS, a network file system that can corrupt the database";
        check("NFS", Network, 20 << 30, nfs);
        let layered = "warning: overlay, 20 GiB free: the database is lost with the container";
        check("overlay", Overlay, 20 << 30, layered);
    }
}
