//! Detects unsupported inputs by their first bytes, so that a spreadsheet or an archive results in
//! one clear error instead of a thousand invalid rows.

use super::format::Format;

/// Number of bytes that are examined.
pub(super) const HEAD_BYTES: usize = 8192;

/// An input with at least this many NUL bytes is binary. Fewer are reported as invalid rows.
const BINARY_NULS: usize = 4;

/// An unsupported format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnsupportedFormat {
    /// The detected format.
    pub(super) message: &'static str,
    /// How to convert it.
    pub(super) hint: &'static str,
}

const EXPORT_AS_CSV: &str = "save it as \"CSV UTF-8\" and use that file";
const DECOMPRESS: &str = "decompress it, or pipe the decompressed data to `-`";
const RE_ENCODE: &str =
    "save it as \"CSV UTF-8\", or convert it: `iconv -f UTF-16 -t UTF-8 IN > OUT`";

/// Signatures of binary formats. UTF-32 comes before UTF-16, which starts with the same bytes.
const MAGIC: [(&[u8], &str, &str); 12] = [
    (
        b"PK\x03\x04",
        "looks like a spreadsheet (xlsx, ods) or a zip archive, not CSV",
        EXPORT_AS_CSV,
    ),
    (
        b"\xd0\xcf\x11\xe0",
        "looks like an old Excel file (xls), not CSV",
        EXPORT_AS_CSV,
    ),
    (b"\x1f\x8b", "is compressed with gzip", DECOMPRESS),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd", DECOMPRESS),
    (b"\xfd7zXZ\0", "is compressed with xz", DECOMPRESS),
    (b"BZh", "is compressed with bzip2", DECOMPRESS),
    (
        b"SQLite format 3\0",
        "is an SQLite database, not CSV",
        "export the table as CSV, or check whether the input and --db were swapped",
    ),
    (b"%PDF-", "is a PDF, not CSV", EXPORT_AS_CSV),
    (
        b"PAR1",
        "looks like a Parquet file, not CSV",
        "export it as CSV in UTF-8",
    ),
    (
        b"\xff\xfe\0\0",
        "is UTF-32, not UTF-8",
        "save it as \"CSV UTF-8\"",
    ),
    (b"\xff\xfe", "is UTF-16, not UTF-8", RE_ENCODE),
    (b"\xfe\xff", "is UTF-16, not UTF-8", RE_ENCODE),
];

/// Signatures of markup, after byte order marks and whitespace.
const MARKUP: [(&[u8], &str, &str); 4] = [
    (b"<!doctype", "is a web page, not CSV", DOWNLOAD),
    (b"<!DOCTYPE", "is a web page, not CSV", DOWNLOAD),
    (b"<html", "is a web page, not CSV", DOWNLOAD),
    (b"<?xml", "is XML, not CSV", EXPORT_AS_CSV),
];
const DOWNLOAD: &str = "download the file itself; this may be a login page";

/// JSON objects, although the format was set to CSV.
const JSON_OBJECTS: UnsupportedFormat = UnsupportedFormat {
    message: "looks like JSONL, not CSV",
    hint: "use --input-format jsonl",
};

/// A JSON array, which cannot be streamed line by line.
const JSON_ARRAY: UnsupportedFormat = UnsupportedFormat {
    message: "is a JSON array, not one object per line",
    hint: "convert it: `jq -c '.[]' IN.json > OUT.jsonl`",
};

/// Returns whether an input starts with a JSON object.
pub(super) fn starts_object(head: &[u8]) -> bool {
    starts_with_bracket(head, b'{', b"\"}")
}

/// Detects an input that cannot be read as `format`.
pub(super) fn detect_unsupported(head: &[u8], format: Format) -> Option<UnsupportedFormat> {
    if starts_with_bracket(head, b'[', b"{") {
        return Some(JSON_ARRAY);
    }
    if format == Format::Csv && starts_object(head) {
        return Some(JSON_OBJECTS);
    }
    detect_non_text(head)
}

/// Returns whether the first two characters, except whitespace, are `open` and one of `then`.
fn starts_with_bracket(head: &[u8], open: u8, then: &[u8]) -> bool {
    let text = head[bom_len(head)..].trim_ascii_start();
    let inside = text.strip_prefix(&[open]).map(<[u8]>::trim_ascii_start);
    inside
        .and_then(<[u8]>::first)
        .is_some_and(|first| then.contains(first))
}

/// Detects an input that is not UTF-8 text.
fn detect_non_text(head: &[u8]) -> Option<UnsupportedFormat> {
    let unsupported = |message, hint| Some(UnsupportedFormat { message, hint });
    let text = head[bom_len(head)..].trim_ascii_start();
    let magic = MAGIC.iter().find(|(magic, ..)| head.starts_with(magic));
    let markup = || MARKUP.iter().find(|(start, ..)| text.starts_with(start));
    if let Some(&(_, message, hint)) = magic.or_else(markup) {
        return unsupported(message, hint);
    }
    let is_nul = |&byte: &u8| usize::from(byte == 0);
    let nuls: usize = head.iter().map(is_nul).sum();
    if nuls < BINARY_NULS {
        return None;
    }
    // In UTF-16, every other byte of Western text is NUL.
    let at_even: usize = head.iter().step_by(2).map(is_nul).sum();
    if nuls * 3 > head.len() && (at_even == 0 || at_even == nuls) {
        return unsupported("looks like UTF-16, not UTF-8", RE_ENCODE);
    }
    unsupported("looks like a binary file, not CSV", EXPORT_AS_CSV)
}

/// Returns the length of the byte order marks at the start.
pub(super) fn bom_len(head: &[u8]) -> usize {
    let mut len = 0;
    while head[len..].starts_with(b"\xef\xbb\xbf") {
        len += 3;
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: &[u8], expected: Option<&str>) {
        let found = detect_unsupported(head, Format::Csv);
        assert_eq!(found.map(|unsupported| unsupported.message), expected);
    }

    #[test]
    fn detects_unsupported_formats() {
        let expected = "looks like a spreadsheet (xlsx, ods) or a zip archive, not CSV";
        check(b"PK\x03\x04\x14", Some(expected));
        let expected = "looks like an old Excel file (xls), not CSV";
        check(b"\xd0\xcf\x11\xe0\xa1", Some(expected));
        check(b"\x1f\x8b\x08", Some("is compressed with gzip"));
        let expected = "is an SQLite database, not CSV";
        check(b"SQLite format 3\0\x10", Some(expected));
        let expected = "looks like JSONL, not CSV";
        check("\u{feff}\n{\"prompt\": \"a\"}".as_bytes(), Some(expected));
        let list = Some("is a JSON array, not one object per line");
        check(b"[{\"prompt\": \"a\"}]", list);
        check(b"[\n  {\n", list);
        check(b"<!DOCTYPE html>", Some("is a web page, not CSV"));
        check(b"\xff\xfep\0", Some("is UTF-16, not UTF-8"));
        check(b"\xfe\xff\0p", Some("is UTF-16, not UTF-8"));
        check(b"\xff\xfe\0\0p\0\0\0", Some("is UTF-32, not UTF-8"));
        let expected = "looks like UTF-16, not UTF-8";
        check(b"p\0r\0o\0m\0p\0t\0\n\0", Some(expected));
        let expected = "looks like UTF-16, not UTF-8";
        check(b"\0p\0r\0o\0m\0p\0t\0\n", Some(expected));
        let expected = "looks like a binary file, not CSV";
        check(b"\x7fELF\0\0\0\0\0\x01\x02abc", Some(expected));
    }

    #[test]
    fn detects_objects_after_a_byte_order_mark_and_whitespace() {
        for head in ["{\"a\":1}", "\u{feff} {\n \"a\": 1", "{}"] {
            assert!(starts_object(head.as_bytes()), "{head}");
            assert_eq!(detect_unsupported(head.as_bytes(), Format::Jsonl), None);
        }
        for head in ["{a},b\n", "prompt\n{\"a\":1}", "[1]", ""] {
            assert!(!starts_object(head.as_bytes()), "{head}");
        }
    }

    #[test]
    fn accepts_text_with_a_stray_nul() {
        check(b"", None);
        check(b"prompt\nhello\n", None);
        check(b"prompt\nhel\0lo\n", None);
        check("\u{feff}prompt\n你好\n".as_bytes(), None);
        check(b"PK,prompt\n", None);
    }

    #[test]
    fn counts_byte_order_marks() {
        assert_eq!(bom_len(b"prompt"), 0);
        assert_eq!(bom_len("\u{feff}prompt".as_bytes()), 3);
        assert_eq!(bom_len("\u{feff}\u{feff}".as_bytes()), 6);
    }
}
