//! Where results go: to standard output, or to a file that is there whole or not at all.
//!
//! A file is written under a temporary name in the target's own directory, synced and renamed, so
//! a reader sees the old results or the new ones, and a crash leaves the old ones. What a crash
//! can leave behind is the temporary file (`.results.csv.….part`), which nothing reads.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::failpoint;

use super::ExportError;

/// Where results go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file, which is replaced as a whole.
    File(PathBuf),
}

impl Target {
    /// Reads what was given with `-o`: `-` is standard output, anything else a file.
    #[must_use]
    pub fn from_option(path: &Path) -> Self {
        if path.as_os_str() == "-" {
            Self::Stdout
        } else {
            Self::File(path.to_owned())
        }
    }

    /// Finds out whether the results can be written, before any work is done for them.
    ///
    /// Makes the temporary file and takes it away again: nothing less tells a read-only file
    /// system or a missing right for sure. The target itself is not touched.
    pub fn check(&self) -> Result<(), ExportError> {
        self.create().map(drop)
    }

    /// Begins to write. Nothing is to be seen at the target before [`Draft::publish`].
    pub fn create(&self) -> Result<Draft, ExportError> {
        let sink = match self {
            Self::Stdout => Sink::Stdout(io::stdout()),
            Self::File(path) => Sink::File(Box::new(Replacement::new(path)?)),
        };
        Ok(Draft { sink })
    }
}

/// Results that are being written. Dropped without [`publish`](Self::publish), it leaves a file
/// target as it was.
///
/// Has no buffer of its own: a sheet brings one.
#[derive(Debug)]
pub struct Draft {
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Stdout(io::Stdout),
    File(Box<Replacement>),
}

impl Draft {
    /// Puts the results in place: flushed, or synced to disk and renamed. When this returns, they
    /// outlast a power loss.
    pub fn publish(self) -> Result<(), ExportError> {
        match self.sink {
            Sink::Stdout(mut stdout) => Ok(stdout.flush()?),
            Sink::File(file) => file.publish(),
        }
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.sink {
            Sink::Stdout(stdout) => stdout.write(bytes),
            Sink::File(file) => file.temporary.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::Stdout(stdout) => stdout.flush(),
            Sink::File(file) => file.temporary.flush(),
        }
    }
}

/// How the names of files end that are being written.
const PART: &str = ".part";

/// A file that will take the target's place.
#[derive(Debug)]
struct Replacement {
    path: PathBuf,
    parent: PathBuf,
    temporary: NamedTempFile,
}

impl Replacement {
    fn new(path: &Path) -> Result<Self, ExportError> {
        inspect(path)?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let prefix = temporary_prefix(path);
        remove_abandoned(parent, &prefix);
        let temporary = temporary_file(parent, &prefix).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ExportError::NoDirectory {
                path: path.to_owned(),
                parent: parent.to_owned(),
            },
            _ => ExportError::file(path, source_of(error)),
        })?;
        Ok(Self {
            path: path.to_owned(),
            parent: parent.to_owned(),
            temporary,
        })
    }

    /// The target is looked at again: the run may have lasted a night. Between this look and the
    /// rename a link could still be put there; the rename then replaces the link and follows none.
    fn publish(self) -> Result<(), ExportError> {
        let Self {
            path,
            parent,
            mut temporary,
        } = self;
        let existing = inspect(&path)?;
        let failed = |error| ExportError::file(&path, error);
        temporary.flush().map_err(failed)?;
        dress(temporary.as_file(), existing.as_ref()).map_err(failed)?;
        temporary.as_file().sync_all().map_err(failed)?;
        failpoint::hit("export-rename").map_err(|hit| failed(hit.into()))?;
        temporary
            .persist(&path)
            .map_err(|error| failed(error.error))?;
        sync_directory(&parent).map_err(failed)
    }
}

/// Makes a file to write to, and locks it: whoever finds it without a lock knows that its writer is
/// dead.
fn temporary_file(parent: &Path, prefix: &OsStr) -> io::Result<NamedTempFile> {
    loop {
        let temporary = tempfile::Builder::new()
            .prefix(prefix)
            .suffix(PART)
            .tempfile_in(parent)?;
        lock(temporary.as_file());
        // Before it had its lock, another process may have taken it for abandoned.
        if temporary.path().exists() {
            return Ok(temporary);
        }
    }
}

/// Removes what killed processes have left of results of this name. What cannot be looked at is left
/// alone: it is in nobody's way.
fn remove_abandoned(parent: &Path, prefix: &OsStr) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        let is_ours = name.starts_with(prefix.as_encoded_bytes())
            && name.ends_with(PART.as_bytes())
            && entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_ours && File::open(entry.path()).is_ok_and(|file| lock(&file)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Locks a file for this process; returns whether that was possible. The lock goes with the process.
#[cfg(unix)]
fn lock(file: &File) -> bool {
    use rustix::fs::{FlockOperation, flock};

    flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

#[cfg(not(unix))]
fn lock(_: &File) -> bool {
    false
}

/// Looks at what is at the target; `None` when nothing is. Follows no link.
fn inspect(path: &Path) -> Result<Option<Metadata>, ExportError> {
    let named = || path.to_owned();
    // `symlink_metadata("link/")` follows the link; a file's name does not end in a slash anyway.
    if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(ExportError::IsDirectory { path: named() });
    }
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // A parent that is a file is told by the step that makes the temporary file.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
        Err(error) => return Err(ExportError::file(path, error)),
    };
    let kind = metadata.file_type();
    if kind.is_symlink() {
        Err(ExportError::Symlink { path: named() })
    } else if kind.is_dir() {
        Err(ExportError::IsDirectory { path: named() })
    } else if kind.is_file() {
        Ok(Some(metadata))
    } else {
        Err(ExportError::NotAFile { path: named() })
    }
}

/// Names the temporary file after the target, hidden, and short enough for a long name.
fn temporary_prefix(path: &Path) -> OsString {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let short: String = name.chars().take(40).collect();
    OsString::from(format!(".{short}."))
}

/// Takes the system's own words out of an error that repeats the temporary file's name.
fn source_of(error: io::Error) -> io::Error {
    let inner = error
        .get_ref()
        .and_then(|named| named.source())
        .map(ToString::to_string);
    let kind = error.kind();
    inner.map_or(error, |text| io::Error::new(kind, text))
}

/// Gives the new file the mode and, where we may, the owner of the one it replaces. A new file is
/// for its owner alone (0600): answers may hold personal data.
#[cfg(unix)]
fn dress(file: &File, existing: Option<&Metadata>) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};

    let mut mode = 0o600;
    if let Some(existing) = existing {
        mode = existing.mode() & 0o777;
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (existing.uid(), existing.gid()) {
            // Only root may give files away; for all others the results stay their own.
            let _ = fchown(file, Some(existing.uid()), Some(existing.gid()));
        }
    }
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn dress(file: &File, existing: Option<&Metadata>) -> io::Result<()> {
    existing.map_or(Ok(()), |existing| {
        file.set_permissions(existing.permissions())
    })
}

/// Makes the rename itself outlast a power loss. Some network file systems cannot sync a
/// directory and say so; the results are in place all the same.
fn sync_directory(directory: &Path) -> io::Result<()> {
    match File::open(directory).and_then(|directory| directory.sync_all()) {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::InvalidInput
                    | io::ErrorKind::Unsupported
                    | io::ErrorKind::PermissionDenied
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn written(path: &Path, text: &str) -> Result<(), ExportError> {
        let mut draft = Target::from_option(path).create()?;
        draft.write_all(text.as_bytes())?;
        draft.publish()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn entries(directory: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| name(entry).to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_dash_is_standard_output() {
        assert_eq!(Target::from_option(Path::new("-")), Target::Stdout);
        assert_eq!(
            Target::from_option(Path::new("./-")),
            Target::File("./-".into())
        );
        Target::Stdout.check().unwrap();
    }

    #[test]
    fn a_new_file_is_whole_and_for_its_owner_alone() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("results.csv");
        written(&path, "a,b\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a,b\n");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(entries(room.path()), ["results.csv"]);
    }

    #[test]
    fn an_existing_file_keeps_its_mode_and_its_text_until_the_end() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("results.csv");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let mut draft = Target::File(path.clone()).create().unwrap();
        draft.write_all(b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        draft.publish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(mode(&path), 0o644);
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_is_being_written_is_not() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("r.csv");
        fs::write(room.path().join(".r.csv.AbCdEf.part"), "half").unwrap();
        fs::write(room.path().join(".other.csv.AbCdEf.part"), "half").unwrap();
        let target = Target::File(path.clone());
        let mut first = target.create().unwrap();
        let mut second = target.create().unwrap();
        first.write_all(b"first").unwrap();
        second.write_all(b"second").unwrap();
        first.publish().unwrap();
        second.publish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "second");
        assert_eq!(entries(room.path()), [".other.csv.AbCdEf.part", "r.csv"]);
    }

    #[test]
    fn a_draft_that_is_dropped_leaves_nothing() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("results.csv");
        let mut draft = Target::File(path).create().unwrap();
        draft.write_all(b"half").unwrap();
        assert_eq!(entries(room.path()).len(), 1);
        drop(draft);
        assert!(entries(room.path()).is_empty());
    }

    #[test]
    fn a_check_leaves_no_trace() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("results.csv");
        fs::write(&path, "old").unwrap();
        Target::File(path.clone()).check().unwrap();
        assert_eq!(entries(room.path()), ["results.csv"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }

    #[test]
    fn a_link_is_refused_even_one_that_points_nowhere() {
        let room = tempfile::tempdir().unwrap();
        let (link, dangling) = (room.path().join("link"), room.path().join("dangling"));
        let real = room.path().join("real");
        fs::write(&real, "kept").unwrap();
        symlink(&real, &link).unwrap();
        symlink(room.path().join("nowhere"), &dangling).unwrap();
        for path in [&link, &dangling] {
            assert!(matches!(
                written(path, "x"),
                Err(ExportError::Symlink { .. })
            ));
        }
        assert_eq!(fs::read_to_string(&real).unwrap(), "kept");
    }

    #[test]
    fn a_link_put_there_during_the_run_is_refused_at_the_end() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("results.csv");
        let draft = Target::File(path.clone()).create().unwrap();
        symlink(room.path().join("elsewhere"), &path).unwrap();
        assert!(matches!(draft.publish(), Err(ExportError::Symlink { .. })));
        assert_eq!(entries(room.path()), ["results.csv"]);
    }

    #[test]
    fn what_is_no_file_is_refused_before_any_work() {
        let room = tempfile::tempdir().unwrap();
        let file = room.path().join("file");
        fs::write(&file, "").unwrap();
        let check = |path: PathBuf| Target::File(path).check().unwrap_err();
        let directory = room.path().to_owned();
        assert!(matches!(check(directory), ExportError::IsDirectory { .. }));
        assert!(matches!(
            check(room.path().join("new/")),
            ExportError::IsDirectory { .. }
        ));
        assert!(matches!(
            check("..".into()),
            ExportError::IsDirectory { .. }
        ));
        assert!(matches!(
            check("/dev/null".into()),
            ExportError::NotAFile { .. }
        ));
        let missing = room.path().join("no/such/results.csv");
        assert!(matches!(check(missing), ExportError::NoDirectory { .. }));
        let under_a_file = file.join("results.csv");
        assert!(matches!(
            check(under_a_file),
            ExportError::NoDirectory { .. }
        ));
    }

    #[test]
    fn a_name_as_long_as_the_system_allows_is_written() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("é".repeat(127));
        written(&path, "x").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "x");
        let too_long = room.path().join("x".repeat(300));
        assert!(matches!(
            written(&too_long, "x"),
            Err(ExportError::File { .. })
        ));
    }
}
