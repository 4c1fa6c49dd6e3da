//! Opens an input, detects its format by its name and first bytes, and detects changes of the file
//! by its stamp.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Cursor, Read, Stdin};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::error::{IntakeError, Result, escaped};
use super::format::{Format, Options};
use super::sniff::{self, HEAD_BYTES};

/// An open input that has not been read yet.
#[derive(Debug)]
pub struct Source {
    name: String,
    input: Input,
    options: Options,
    stamp: Option<FileStamp>,
    /// Whether the file name ends in `.jsonl` or `.ndjson`.
    has_jsonl_extension: bool,
}

/// An input whose format is known.
#[derive(Debug)]
pub(super) struct SniffedInput {
    /// The name of the input in messages.
    pub(super) file: String,
    /// The format. A detected [`Format::Jsonl`] may turn out to be [`Format::Batch`].
    pub(super) format: Format,
    /// Whether the format was set explicitly and not detected.
    pub(super) is_explicit: bool,
    pub(super) delimiter: u8,
    pub(super) bytes: Bytes,
    pub(super) stamp: Option<FileStamp>,
}

/// The bytes used for detection, without a byte order mark, followed by the rest.
pub(super) type Bytes = io::Chain<Cursor<Vec<u8>>, Input>;

/// Identifies a version of a file without reading it. Two stamps are equal if and only if their
/// text forms are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// The size in bytes.
    pub size: u64,
    /// The modification time, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// The time of the last change to content or inode, in nanoseconds since 1970.
    pub ctime_ns: i64,
    /// The inode number.
    pub inode: u64,
}

/// The source of the bytes.
#[derive(Debug)]
pub(super) enum Input {
    /// A file, a FIFO or a device.
    File(File),
    /// Standard input.
    Stdin(Stdin),
}

impl Source {
    /// Opens the file at `path`, or standard input when `path` is `-`.
    ///
    /// Opening a FIFO blocks until it has a writer. Errors: the file does not exist, is a directory
    /// or is not readable; the delimiter is invalid.
    pub fn open(path: &Path, options: Options) -> Result<Self> {
        check_delimiter(options.delimiter)?;
        if path == Path::new("-") {
            return Ok(Self {
                name: "<stdin>".to_owned(),
                input: Input::Stdin(io::stdin()),
                options,
                stamp: None,
                has_jsonl_extension: false,
            });
        }
        let name = escaped(&path.to_string_lossy());
        let file = File::open(path).map_err(|error| open_error(&name, error))?;
        let metadata = file.metadata().map_err(|error| open_error(&name, error))?;
        if metadata.is_dir() {
            return Err(IntakeError::Directory(name));
        }
        let stamp = metadata.is_file().then(|| FileStamp::of(&metadata));
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        Ok(Self {
            name,
            input: Input::File(file),
            options,
            stamp,
            has_jsonl_extension: extension == "jsonl" || extension == "ndjson",
        })
    }

    /// Determines the format, and rejects unsupported ones.
    pub(super) fn sniff(mut self) -> Result<SniffedInput> {
        let file = self.name;
        let mut head = Vec::with_capacity(HEAD_BYTES);
        let limited = self.input.by_ref().take(HEAD_BYTES as u64);
        if let Err(error) = { limited }.read_to_end(&mut head) {
            return Err(IntakeError::Read(file, error));
        }
        let detected = if self.has_jsonl_extension || sniff::starts_object(&head) {
            Format::Jsonl
        } else {
            Format::Csv
        };
        let format = self.options.format.unwrap_or(detected);
        if let Some(unsupported) = sniff::detect_unsupported(&head, format) {
            let (message, hint) = (unsupported.message, unsupported.hint);
            return Err(IntakeError::UnsupportedFormat {
                file,
                message,
                hint,
            });
        }
        head.drain(..sniff::bom_len(&head));
        Ok(SniffedInput {
            file,
            format,
            is_explicit: self.options.format.is_some(),
            delimiter: self.options.delimiter,
            bytes: Cursor::new(head).chain(self.input),
            stamp: self.stamp,
        })
    }

    /// Returns the stamp of the file when it was opened; `None` unless it is a regular file.
    #[must_use]
    pub fn stamp(&self) -> Option<FileStamp> {
        self.stamp
    }

    /// Returns the name of the input in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Checks at the end of an input that its file was not modified since it was opened.
pub(super) fn check_unchanged(name: &str, bytes: &Bytes, stamp: Option<FileStamp>) -> Result<()> {
    let (_, input) = bytes.get_ref();
    let (Input::File(file), Some(then)) = (input, stamp) else {
        return Ok(());
    };
    let now = file
        .metadata()
        .ok()
        .map(|metadata| FileStamp::of(&metadata));
    match now {
        Some(now) if (now.size, now.mtime_ns) == (then.size, then.mtime_ns) => Ok(()),
        _ => Err(IntakeError::Changed(name.to_owned())),
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Stdin(stdin) => stdin.read(buffer),
        }
    }
}

impl FileStamp {
    fn of(metadata: &Metadata) -> Self {
        let nanos =
            |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            size: metadata.size(),
            mtime_ns: nanos(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: nanos(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }
}

impl fmt::Display for FileStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{}-{}-{}",
            self.size, self.mtime_ns, self.ctime_ns, self.inode
        )
    }
}

fn check_delimiter(delimiter: u8) -> Result<()> {
    if !delimiter.is_ascii() || matches!(delimiter, b'"' | b'\r' | b'\n' | 0) {
        let shown = format!("`{}`", delimiter.escape_ascii());
        return Err(IntakeError::Delimiter(shown));
    }
    Ok(())
}

fn open_error(file: &str, error: io::Error) -> IntakeError {
    let file = file.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => IntakeError::NotFound(file),
        io::ErrorKind::PermissionDenied => IntakeError::PermissionDenied(file),
        io::ErrorKind::IsADirectory => IntakeError::Directory(file),
        _ => IntakeError::Read(file, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::ExitKind;

    #[track_caller]
    fn check(path: &Path, expected: &str) {
        let error = Source::open(path, Options::default()).unwrap_err();
        assert_eq!(error.exit_kind(), ExitKind::NoInput);
        let shown = error.to_string().replace(path.to_str().unwrap(), "FILE");
        assert_eq!(shown, expected);
    }

    #[test]
    fn inputs_that_cannot_be_opened_are_reported() {
        let dir = tempfile::tempdir().unwrap();
        let absent = "FILE: no such file\nhint: check the path, or use `-` for standard input";
        check(&dir.path().join("absent.csv"), absent);
        check(&dir.path().join("no/such/dir.csv"), absent);
        let expected = "FILE: is a directory\nhint: pass a CSV or JSONL file";
        check(dir.path(), expected);
        assert!(matches!(
            open_error("x", io::ErrorKind::PermissionDenied.into()),
            IntakeError::PermissionDenied(_)
        ));
    }

    #[test]
    fn rejects_invalid_delimiters() {
        for good in *b",;|\t :" {
            assert!(check_delimiter(good).is_ok());
        }
        for (bad, shown) in [
            (b'"', "\\\""),
            (b'\n', "\\n"),
            (0, "\\x00"),
            (0xe9, "\\xe9"),
        ] {
            let error = check_delimiter(bad).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("invalid delimiter `{shown}`\n")),
                "{error}"
            );
        }
    }

    #[test]
    fn only_regular_files_have_a_stamp() {
        let source = Source::open(Path::new("/dev/null"), Options::default()).unwrap();
        assert_eq!(source.stamp(), None);
        let stdin = Source::open(Path::new("-"), Options::default()).unwrap();
        assert_eq!((stdin.name(), stdin.stamp()), ("<stdin>", None));
    }

    #[test]
    fn the_stamp_changes_with_the_content() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let stamp = || {
            let source = Source::open(file.path(), Options::default()).unwrap();
            source.stamp().unwrap().to_string()
        };
        let empty = stamp();
        assert_eq!(stamp(), empty);
        std::fs::write(file.path(), "prompt\n").unwrap();
        assert_ne!(stamp(), empty);
    }
}
