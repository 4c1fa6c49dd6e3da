//! The output target: standard output, or a file that is replaced atomically.
//!
//! A file is written under a temporary name in the directory of the target, synced and renamed.
//! Readers see the old or the new results, and a crash leaves the old ones, possibly with a
//! temporary file (`.results.csv.….part`).

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use tempfile::NamedTempFile;

use crate::failpoint;

use super::{ExportError, Result};

/// An output target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file, which is replaced atomically.
    File(PathBuf),
}

impl Target {
    /// Parses the value of `-o`: `-` is standard output, anything else a file.
    #[must_use]
    pub fn from_option(path: &Path) -> Self {
        if path.as_os_str() == "-" {
            Self::Stdout
        } else {
            Self::File(path.to_owned())
        }
    }

    /// Checks in advance whether the results can be written.
    ///
    /// Creates and removes a temporary file, the only reliable way to detect a read-only file
    /// system or missing permissions. The target itself is not modified.
    pub fn check(&self) -> Result<()> {
        self.create().map(drop)
    }

    /// Creates a writer. The target is not modified before [`OutputWriter::publish`].
    pub fn create(&self) -> Result<OutputWriter> {
        let destination = match self {
            Self::Stdout => Destination::Stdout(io::stdout()),
            Self::File(path) => Destination::File(Box::new(AtomicFile::new(path)?)),
        };
        Ok(OutputWriter { destination })
    }
}

/// Writes to a target, unbuffered. If it is dropped without [`publish`](Self::publish), a file is
/// left unchanged.
#[derive(Debug)]
pub struct OutputWriter {
    destination: Destination,
}

#[derive(Debug)]
enum Destination {
    Stdout(io::Stdout),
    File(Box<AtomicFile>),
}

impl OutputWriter {
    /// Completes the output: flushes standard output, or syncs and renames the file. When this
    /// returns, a file is durable.
    pub fn publish(self) -> Result<()> {
        match self.destination {
            Destination::Stdout(mut stdout) => Ok(stdout.flush()?),
            Destination::File(file) => file.publish(),
        }
    }
}

impl Write for OutputWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.destination {
            Destination::Stdout(stdout) => stdout.write(bytes),
            Destination::File(file) => file.temporary.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.destination {
            Destination::Stdout(stdout) => stdout.flush(),
            Destination::File(file) => file.temporary.flush(),
        }
    }
}

/// The suffix of temporary files.
const TEMPORARY_SUFFIX: &str = ".part";

/// A temporary file that will replace the target.
#[derive(Debug)]
struct AtomicFile {
    path: PathBuf,
    parent: PathBuf,
    temporary: NamedTempFile,
}

impl AtomicFile {
    fn new(path: &Path) -> Result<Self> {
        check_target(path)?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let prefix = temporary_prefix(path);
        remove_stale_files(parent, &prefix);
        let temporary = temporary_file(parent, &prefix).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ExportError::NoDirectory {
                path: path.to_owned(),
                parent: parent.to_owned(),
            },
            _ => ExportError::file(path, without_path(error)),
        })?;
        Ok(Self {
            path: path.to_owned(),
            parent: parent.to_owned(),
            temporary,
        })
    }

    /// Checks the target again, since it may have changed during the run. If a link is created
    /// after this check, the rename replaces the link and does not follow it.
    fn publish(self) -> Result<()> {
        let Self {
            path,
            parent,
            mut temporary,
        } = self;
        let existing = check_target(&path)?;
        let failed = |error| ExportError::file(&path, error);
        temporary.flush().map_err(failed)?;
        copy_permissions(temporary.as_file(), existing.as_ref()).map_err(failed)?;
        temporary.as_file().sync_all().map_err(failed)?;
        failpoint::hit("export-rename").map_err(|hit| failed(hit.into()))?;
        temporary
            .persist(&path)
            .map_err(|error| failed(error.error))?;
        sync_directory(&parent).map_err(failed)
    }
}

/// Creates and locks a temporary file. A temporary file without a lock has no running writer.
fn temporary_file(parent: &Path, prefix: &OsStr) -> io::Result<NamedTempFile> {
    loop {
        let temporary = tempfile::Builder::new()
            .prefix(prefix)
            .suffix(TEMPORARY_SUFFIX)
            .tempfile_in(parent)?;
        lock(temporary.as_file());
        // Another process may have removed it before it was locked.
        if temporary.path().exists() {
            return Ok(temporary);
        }
    }
}

/// Removes the temporary files of killed processes for this target. Errors are ignored, since stale
/// files do no harm.
fn remove_stale_files(parent: &Path, prefix: &OsStr) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        let is_ours = name.starts_with(prefix.as_encoded_bytes())
            && name.ends_with(TEMPORARY_SUFFIX.as_bytes())
            && entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_ours && File::open(entry.path()).is_ok_and(|file| lock(&file)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Tries to lock a file; returns whether it succeeded. The lock is released when the process ends.
fn lock(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Returns the metadata of the target, or `None` if it does not exist. Does not follow links.
fn check_target(path: &Path) -> Result<Option<Metadata>> {
    let is_directory = || ExportError::IsDirectory {
        path: path.to_owned(),
    };
    // `symlink_metadata("link/")` would follow the link.
    if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(is_directory());
    }
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // If the parent is a file, creating the temporary file reports the error.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
        Err(error) => return Err(ExportError::file(path, error)),
    };
    let kind = metadata.file_type();
    if kind.is_symlink() {
        Err(ExportError::Symlink {
            path: path.to_owned(),
        })
    } else if kind.is_dir() {
        Err(is_directory())
    } else if kind.is_file() {
        Ok(Some(metadata))
    } else {
        Err(ExportError::NotAFile {
            path: path.to_owned(),
        })
    }
}

/// Returns the prefix of the temporary file: hidden, and truncated for long names.
fn temporary_prefix(path: &Path) -> OsString {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let short: String = name.chars().take(40).collect();
    OsString::from(format!(".{short}."))
}

/// Removes the name of the temporary file from an error.
fn without_path(error: io::Error) -> io::Error {
    let inner = error
        .get_ref()
        .and_then(|named| named.source())
        .map(ToString::to_string);
    let kind = error.kind();
    inner.map_or(error, |text| io::Error::new(kind, text))
}

/// Copies the mode and, if allowed, the owner of the replaced file. A new file is private (0600),
/// because responses may contain personal data.
fn copy_permissions(file: &File, existing: Option<&Metadata>) -> io::Result<()> {
    let mut mode = 0o600;
    if let Some(existing) = existing {
        mode = existing.mode() & 0o777;
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (existing.uid(), existing.gid()) {
            // Only root can change the owner.
            let _ = fchown(file, Some(existing.uid()), Some(existing.gid()));
        }
    }
    file.set_permissions(fs::Permissions::from_mode(mode))
}

/// Makes the rename durable. Some network file systems cannot sync directories; their errors are
/// ignored.
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write_file(path: &Path, text: &str) -> Result<(), ExportError> {
        let mut output = Target::from_option(path).create()?;
        output.write_all(text.as_bytes())?;
        output.publish()
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
        let file = Target::File("./-".into());
        assert_eq!(Target::from_option(Path::new("./-")), file);
        Target::Stdout.check().unwrap();
    }

    #[test]
    fn a_new_file_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("results.csv");
        write_file(&path, "a,b\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a,b\n");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(entries(directory.path()), ["results.csv"]);
    }

    #[test]
    fn an_existing_file_is_unchanged_until_it_is_published_and_keeps_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("results.csv");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let mut output = Target::File(path.clone()).create().unwrap();
        output.write_all(b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        output.publish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(mode(&path), 0o644);
    }

    #[test]
    fn removes_temporary_files_of_killed_processes_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.csv");
        fs::write(directory.path().join(".r.csv.AbCdEf.part"), "partial").unwrap();
        fs::write(directory.path().join(".other.csv.AbCdEf.part"), "partial").unwrap();
        let target = Target::File(path.clone());
        let mut first = target.create().unwrap();
        let mut second = target.create().unwrap();
        first.write_all(b"first").unwrap();
        second.write_all(b"second").unwrap();
        first.publish().unwrap();
        second.publish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "second");
        let expected = [".other.csv.AbCdEf.part", "r.csv"];
        assert_eq!(entries(directory.path()), expected);
    }

    #[test]
    fn a_dropped_writer_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("results.csv");
        let mut output = Target::File(path).create().unwrap();
        output.write_all(b"partial").unwrap();
        assert_eq!(entries(directory.path()).len(), 1);
        drop(output);
        assert!(entries(directory.path()).is_empty());
    }

    #[test]
    fn a_check_modifies_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("results.csv");
        fs::write(&path, "old").unwrap();
        Target::File(path.clone()).check().unwrap();
        assert_eq!(entries(directory.path()), ["results.csv"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }

    #[test]
    fn rejects_symbolic_links_even_dangling_ones() {
        let directory = tempfile::tempdir().unwrap();
        let [link, dangling, real] =
            ["link", "dangling", "real"].map(|name| directory.path().join(name));
        fs::write(&real, "kept").unwrap();
        symlink(&real, &link).unwrap();
        symlink(directory.path().join("nowhere"), &dangling).unwrap();
        for path in [&link, &dangling] {
            let written = write_file(path, "x");
            assert!(matches!(written, Err(ExportError::Symlink { .. })));
        }
        assert_eq!(fs::read_to_string(&real).unwrap(), "kept");
    }

    #[test]
    fn rejects_a_link_that_was_created_during_the_run() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("results.csv");
        let output = Target::File(path.clone()).create().unwrap();
        symlink(directory.path().join("elsewhere"), &path).unwrap();
        assert!(matches!(output.publish(), Err(ExportError::Symlink { .. })));
        assert_eq!(entries(directory.path()), ["results.csv"]);
    }

    #[test]
    fn the_check_rejects_invalid_targets() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        for (path, expected) in [
            (directory.path().to_owned(), "IsDirectory"),
            (directory.path().join("new/"), "IsDirectory"),
            ("..".into(), "IsDirectory"),
            ("/dev/null".into(), "NotAFile"),
            (directory.path().join("no/such/results.csv"), "NoDirectory"),
            (file.join("results.csv"), "NoDirectory"),
        ] {
            let error = Target::File(path).check().unwrap_err();
            assert!(format!("{error:?}").starts_with(expected), "{error:?}");
        }
    }

    #[test]
    fn supports_names_of_maximum_length() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("é".repeat(127));
        write_file(&path, "x").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "x");
        let too_long = directory.path().join("x".repeat(300));
        let written = write_file(&too_long, "x");
        assert!(matches!(written, Err(ExportError::File { .. })));
    }
}
