//! Opens an input and tells by its stamp whether it is still the file that was read before.
//! Of its content only the first bytes are looked at here.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Cursor, Read, Stdin};
use std::path::Path;

use super::error::{IntakeError, escaped};
use super::sniff::{self, HEAD_BYTES};

/// The form of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A table under a header.
    Csv,
    /// A JSON object a line.
    Jsonl,
    /// A request a line, as the `OpenAI` Batch API takes them.
    Batch,
}

/// How the bytes of an input are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The form; `None` tells it by the file's name and its first bytes.
    pub format: Option<Format>,
    /// The byte between two fields: ASCII, and neither a quote, a line break nor NUL.
    pub delimiter: u8,
}

/// An input that is open and not yet read.
#[derive(Debug)]
pub struct Source {
    name: String,
    input: Input,
    options: Options,
    stamp: Option<Stamp>,
    /// Whether the name says that it holds an object a line.
    named_jsonl: bool,
}

/// An input whose first bytes were looked at.
#[derive(Debug)]
pub(super) struct Begun {
    /// The input as messages call it.
    pub(super) file: String,
    /// The form it has. A [`Format::Jsonl`] nobody asked for may turn out to hold requests.
    pub(super) format: Format,
    /// Whether the form was told and not guessed.
    pub(super) told: bool,
    pub(super) delimiter: u8,
    pub(super) bytes: Bytes,
    pub(super) stamp: Option<Stamp>,
}

/// The head that was looked at, without a byte order mark, then the rest.
pub(super) type Bytes = io::Chain<Cursor<Vec<u8>>, Input>;

/// What tells one version of a file from another without reading it. Shown as text, two stamps
/// are equal if and only if the texts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The size in bytes.
    pub size: u64,
    /// When the content last changed, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// When the content or the inode last changed, in nanoseconds since 1970; 0 where unknown.
    pub ctime_ns: i64,
    /// The number of the file in its file system; 0 where unknown.
    pub inode: u64,
}

/// Where the bytes come from.
#[derive(Debug)]
pub(super) enum Input {
    /// A file, a FIFO or a device.
    File(File),
    /// Standard input.
    Stdin(Stdin),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            format: None,
            delimiter: b',',
        }
    }
}

impl Source {
    /// Opens the file at `path`, or standard input when `path` is `-`.
    ///
    /// Opening a FIFO waits for its writer. Errors: not there, a directory, no right to read it,
    /// or a delimiter that cannot be one.
    pub fn open(path: &Path, options: Options) -> Result<Self, IntakeError> {
        check_delimiter(options.delimiter)?;
        if path == Path::new("-") {
            return Ok(Self {
                name: "<stdin>".to_owned(),
                input: Input::Stdin(io::stdin()),
                options,
                stamp: None,
                named_jsonl: false,
            });
        }
        let name = escaped(&path.to_string_lossy());
        let file = File::open(path).map_err(|why| refused(&name, why))?;
        let metadata = file.metadata().map_err(|why| refused(&name, why))?;
        if metadata.is_dir() {
            return Err(IntakeError::Directory { file: name });
        }
        let stamp = metadata.is_file().then(|| Stamp::of(&metadata));
        let input = Input::File(file);
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        Ok(Self {
            name,
            input,
            options,
            stamp,
            named_jsonl: extension == "jsonl" || extension == "ndjson",
        })
    }

    /// Looks at the first bytes: they tell the form, or that it is none of ours.
    pub(super) fn begin(mut self) -> Result<Begun, IntakeError> {
        let file = self.name;
        let mut head = Vec::with_capacity(HEAD_BYTES);
        let limited = self.input.by_ref().take(HEAD_BYTES as u64);
        if let Err(why) = { limited }.read_to_end(&mut head) {
            return Err(IntakeError::Read { file, why });
        }
        let guessed = if self.named_jsonl || sniff::starts_object(&head) {
            Format::Jsonl
        } else {
            Format::Csv
        };
        let format = self.options.format.unwrap_or(guessed);
        if let Some(foreign) = sniff::foreign(&head, format) {
            let (what, hint) = (foreign.what, foreign.hint);
            return Err(IntakeError::NotCsv { file, what, hint });
        }
        head.drain(..sniff::bom_len(&head));
        Ok(Begun {
            file,
            format,
            told: self.options.format.is_some(),
            delimiter: self.options.delimiter,
            bytes: Cursor::new(head).chain(self.input),
            stamp: self.stamp,
        })
    }

    /// Returns the stamp the file had when it was opened; `None` for whatever is no regular file.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }

    /// Returns the name by which messages call the input.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Input {
    /// Tells whether the content is another than at `then`. A file that can no longer be asked
    /// counts as changed.
    pub(super) fn changed_since(&self, then: Stamp) -> bool {
        match self {
            Self::Stdin(_) => false,
            Self::File(file) => file.metadata().map_or(true, |metadata| {
                let now = Stamp::of(&metadata);
                (now.size, now.mtime_ns) != (then.size, then.mtime_ns)
            }),
        }
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

impl Stamp {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;

        let nanos =
            |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            size: metadata.size(),
            mtime_ns: nanos(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: nanos(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }

    #[cfg(not(unix))]
    fn of(metadata: &Metadata) -> Self {
        let since_1970 = metadata
            .modified()
            .ok()
            .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        Self {
            size: metadata.len(),
            mtime_ns: since_1970.map_or(0, |age| i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)),
            ctime_ns: 0,
            inode: 0,
        }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            size,
            mtime_ns,
            ctime_ns,
            inode,
        } = self;
        write!(f, "{size}-{mtime_ns}-{ctime_ns}-{inode}")
    }
}

fn check_delimiter(delimiter: u8) -> Result<(), IntakeError> {
    if !delimiter.is_ascii() || matches!(delimiter, b'"' | b'\r' | b'\n' | 0) {
        return Err(IntakeError::Delimiter {
            delimiter: format!("`{}`", delimiter.escape_ascii()),
        });
    }
    Ok(())
}

fn refused(file: &str, why: io::Error) -> IntakeError {
    let file = file.to_owned();
    match why.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => IntakeError::NotFound { file },
        io::ErrorKind::PermissionDenied => IntakeError::Forbidden { file },
        io::ErrorKind::IsADirectory => IntakeError::Directory { file },
        _ => IntakeError::Read { file, why },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::ExitKind;

    #[track_caller]
    fn check(path: &Path, expected: &str) {
        let error = Source::open(path, Options::default()).expect_err("it must be refused");
        assert_eq!(error.exit_kind(), ExitKind::Missing);
        let shown = error
            .to_string()
            .replace(path.to_str().expect("UTF-8"), "FILE");
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_cannot_be_opened_is_missing() {
        let dir = tempfile::tempdir().expect("a directory");
        let absent = "FILE: no such file\nhint: check the path; `-` reads standard input";
        check(&dir.path().join("absent.csv"), absent);
        check(&dir.path().join("no/such/dir.csv"), absent);
        check(
            dir.path(),
            "FILE: is a directory\nhint: name one CSV or JSONL file in it",
        );
        assert!(matches!(
            refused("x", io::ErrorKind::PermissionDenied.into()),
            IntakeError::Forbidden { .. }
        ));
    }

    #[test]
    fn a_delimiter_is_one_ascii_character_that_means_nothing_else() {
        for good in *b",;|\t :" {
            assert!(check_delimiter(good).is_ok());
        }
        for (bad, shown) in [
            (b'"', "\\\""),
            (b'\n', "\\n"),
            (0, "\\x00"),
            (0xe9, "\\xe9"),
        ] {
            let error = check_delimiter(bad)
                .expect_err("it must be refused")
                .to_string();
            assert!(
                error.starts_with(&format!("the delimiter `{shown}` cannot")),
                "{error}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_has_no_stamp() {
        let source = Source::open(Path::new("/dev/null"), Options::default()).expect("it opens");
        assert_eq!(source.stamp(), None);
        let stdin = Source::open(Path::new("-"), Options::default()).expect("it opens");
        assert_eq!((stdin.name(), stdin.stamp()), ("<stdin>", None));
    }

    #[test]
    fn the_stamp_changes_with_the_content() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let stamp = || {
            let source = Source::open(file.path(), Options::default()).expect("it opens");
            source.stamp().expect("a regular file has one").to_string()
        };
        let empty = stamp();
        assert_eq!(stamp(), empty);
        std::fs::write(file.path(), "prompt\n").expect("it is written");
        assert_ne!(stamp(), empty);
    }
}
