//! The disk that the queue is on: which kind of file system, and how much room it has.

use std::path::Path;

use super::report::{Finding, Group, Report};
use crate::cli::exit::Exit;
use crate::cli::file_system::{self, Keeps};

/// Room below which a run may end for want of it, in bytes.
const LITTLE_ROOM: u64 = 200 << 20;

/// Checks the disk of the database at `path`, or of its folder while there is no database.
pub(super) fn examine(path: &Path, report: &mut Report) {
    let (folder, place) = (file_system::folder(path), file_system::place(path));
    let Ok(room) = rustix::fs::statvfs(place) else {
        let text = format!("the folder {} cannot be looked at", folder.display());
        let hint = "Make the folder first, or name another file with --db.";
        report.add(
            Group::Queue,
            Finding::wrong("disk", Exit::Storage, text, hint),
        );
        return;
    };
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    report.add(Group::Queue, judge(file_system::kind(place), free));
}

fn judge(kind: Option<u64>, free: u64) -> Finding {
    let (name, keeps) = file_system::keeps(kind);
    let room = format!("{} free", Room(free));
    let (text, hint) = match keeps {
        Keeps::Network => {
            let text = format!("{name}, a network file system: it can damage a database");
            let hint = "Put the queue on a disk of this machine, with --db.";
            return Finding::wrong("disk", Exit::Storage, text, hint);
        }
        _ if free < LITTLE_ROOM => (
            format!("{name}, only {room}"),
            "Make room, or put the queue elsewhere with --db.",
        ),
        Keeps::Well => return Finding::ok("disk", format!("{name}, {room}")),
        Keeps::Passed => (
            format!("{name}, {room}: a program stands between the queue and the disk"),
            "Put the queue on a plain disk with --db, unless you know that it locks and syncs.",
        ),
        Keeps::Layered => (
            format!("{name}, {room}: the queue goes when the container goes"),
            "Put the queue on a volume with --db, to keep it.",
        ),
        Keeps::Memory => (
            format!("{name}, {room}: the queue is in memory only"),
            "Put the queue on a disk with --db, to keep it when the machine restarts.",
        ),
    };
    Finding::warning("disk", text, hint)
}

/// A number of bytes in the unit of people.
struct Room(u64);

impl std::fmt::Display for Room {
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
    fn check(kind: u64, free: u64, expected: &str) {
        let mut report = Report::default();
        report.add(Group::Queue, judge(Some(kind), free));
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
    fn a_disk_is_judged_by_its_kind_and_its_room() {
        check(0xef53, 20 << 30, "ok: ext4, 20 GiB free");
        check(0xef53, 5 << 20, "warning: ext4, only 5 MiB free");
        check(0x1234_5678, 1 << 30, "ok: a disk, 1024 MiB free");
        let nfs = "wrong: NFS, a network file system: it can damage a database";
        check(0x6969, 20 << 30, nfs);
        let layered = "warning: overlay, 20 GiB free: the queue goes when the container goes";
        check(0x794c_7630, 20 << 30, layered);
    }
}
