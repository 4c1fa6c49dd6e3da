//! Tells by its first bytes that an input is no CSV in UTF-8, so that a spreadsheet or an archive
//! gets one clear answer instead of a thousand bad rows.

use super::source::Format;

/// How many bytes are looked at.
pub(super) const HEAD_BYTES: usize = 8192;

/// From this many NULs on, the head is no text. A single stray one is left to the row it is in.
const BINARY_NULS: usize = 4;

/// What an input is instead of CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    /// What it looks like.
    pub(super) what: &'static str,
    /// What to do.
    pub(super) hint: &'static str,
}

const SAVE_AS: &str = "save it as \"CSV UTF-8\" and give that file";
const UNPACK: &str = "unpack it and give the CSV file in it, or pipe it in with `-`";
const RE_ENCODE: &str =
    "save it as \"CSV UTF-8\", or convert it: `iconv -f UTF-16 -t UTF-8 IN > OUT`";

/// How files of other kinds begin. UTF-32 stands before UTF-16, which begins alike.
const MAGIC: [(&[u8], &str, &str); 12] = [
    (
        b"PK\x03\x04",
        "looks like a spreadsheet (xlsx, ods) or a zip archive, not CSV",
        SAVE_AS,
    ),
    (
        b"\xd0\xcf\x11\xe0",
        "looks like an old Excel file (xls), not CSV",
        SAVE_AS,
    ),
    (b"\x1f\x8b", "is compressed with gzip", UNPACK),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd", UNPACK),
    (b"\xfd7zXZ\0", "is compressed with xz", UNPACK),
    (b"BZh", "is compressed with bzip2", UNPACK),
    (
        b"SQLite format 3\0",
        "is an SQLite database, not CSV",
        "export the table as CSV, or check whether the input and --db were swapped",
    ),
    (b"%PDF-", "is a PDF, not CSV", SAVE_AS),
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

/// How text of other kinds begins, behind byte order marks and spaces. To split it at commas would
/// take its text for the names of columns.
const MARKUP: [(&[u8], &str, &str); 4] = [
    (b"<!doctype", "is a web page, not CSV", DOWNLOAD),
    (b"<!DOCTYPE", "is a web page, not CSV", DOWNLOAD),
    (b"<html", "is a web page, not CSV", DOWNLOAD),
    (b"<?xml", "is XML, not CSV", SAVE_AS),
];
const DOWNLOAD: &str = "download the file itself; this may be a page that asks to sign in";

/// Objects that were to be read as a table.
const OBJECTS: Foreign = Foreign {
    what: "looks like JSONL, not CSV",
    hint: "read it as such: --input-format jsonl",
};

/// Objects in one list: it would have to be read whole.
const LIST: Foreign = Foreign {
    what: "is one JSON list; an object a line is needed",
    hint: "take it apart: `jq -c '.[]' IN.json > OUT.jsonl`",
};

/// Tells whether the head is that of a JSON object.
pub(super) fn starts_object(head: &[u8]) -> bool {
    opens(head, b'{', b"\"}")
}

/// Tells what the input is when its head shows that it cannot be read in this form.
pub(super) fn foreign(head: &[u8], format: Format) -> Option<Foreign> {
    if opens(head, b'[', b"{") {
        return Some(LIST);
    }
    if format == Format::Csv && starts_object(head) {
        return Some(OBJECTS);
    }
    no_text(head)
}

/// Tells whether the text starts with `open`, and behind blanks with one of `then`.
fn opens(head: &[u8], open: u8, then: &[u8]) -> bool {
    let text = head[bom_len(head)..].trim_ascii_start();
    let inside = text.strip_prefix(&[open]).map(<[u8]>::trim_ascii_start);
    inside
        .and_then(<[u8]>::first)
        .is_some_and(|first| then.contains(first))
}

/// Tells what the input is when its head shows that it is no text in UTF-8.
fn no_text(head: &[u8]) -> Option<Foreign> {
    let text = head[bom_len(head)..].trim_ascii_start();
    let magic = MAGIC.iter().find(|(magic, ..)| head.starts_with(magic));
    let markup = || MARKUP.iter().find(|(start, ..)| text.starts_with(start));
    if let Some(&(_, what, hint)) = magic.or_else(markup) {
        return Some(Foreign { what, hint });
    }
    let zero = |&byte: &u8| usize::from(byte == 0);
    let nuls: usize = head.iter().map(zero).sum();
    if nuls < BINARY_NULS {
        return None;
    }
    // Western text in UTF-16 is half NULs, all of them at even or all at odd places.
    let at_even: usize = head.iter().step_by(2).map(zero).sum();
    if nuls * 3 > head.len() && (at_even == 0 || at_even == nuls) {
        let what = "looks like UTF-16, not UTF-8";
        return Some(Foreign {
            what,
            hint: RE_ENCODE,
        });
    }
    let what = "looks like a binary file, not CSV";
    Some(Foreign {
        what,
        hint: SAVE_AS,
    })
}

/// Returns how many bytes of byte order marks the head begins with.
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
        assert_eq!(
            foreign(head, Format::Csv).map(|foreign| foreign.what),
            expected
        );
    }

    #[test]
    fn files_of_other_kinds_are_named() {
        check(
            b"PK\x03\x04\x14",
            Some("looks like a spreadsheet (xlsx, ods) or a zip archive, not CSV"),
        );
        check(
            b"\xd0\xcf\x11\xe0\xa1",
            Some("looks like an old Excel file (xls), not CSV"),
        );
        check(b"\x1f\x8b\x08", Some("is compressed with gzip"));
        check(
            b"SQLite format 3\0\x10",
            Some("is an SQLite database, not CSV"),
        );
        check(
            "\u{feff}\n{\"prompt\": \"a\"}".as_bytes(),
            Some("looks like JSONL, not CSV"),
        );
        let list = Some("is one JSON list; an object a line is needed");
        check(b"[{\"prompt\": \"a\"}]", list);
        check(b"[\n  {\n", list);
        check(b"<!DOCTYPE html>", Some("is a web page, not CSV"));
        check(b"\xff\xfep\0", Some("is UTF-16, not UTF-8"));
        check(b"\xfe\xff\0p", Some("is UTF-16, not UTF-8"));
        check(b"\xff\xfe\0\0p\0\0\0", Some("is UTF-32, not UTF-8"));
        check(
            b"p\0r\0o\0m\0p\0t\0\n\0",
            Some("looks like UTF-16, not UTF-8"),
        );
        check(
            b"\0p\0r\0o\0m\0p\0t\0\n",
            Some("looks like UTF-16, not UTF-8"),
        );
        check(
            b"\x7fELF\0\0\0\0\0\x01\x02abc",
            Some("looks like a binary file, not CSV"),
        );
    }

    #[test]
    fn an_object_at_the_start_is_seen_whatever_stands_before_its_first_name() {
        for head in ["{\"a\":1}", "\u{feff} {\n \"a\": 1", "{}"] {
            assert!(starts_object(head.as_bytes()), "{head}");
            assert_eq!(foreign(head.as_bytes(), Format::Jsonl), None);
        }
        for head in ["{a},b\n", "prompt\n{\"a\":1}", "[1]", ""] {
            assert!(!starts_object(head.as_bytes()), "{head}");
        }
    }

    #[test]
    fn text_passes_with_a_stray_nul_too() {
        check(b"", None);
        check(b"prompt\nhello\n", None);
        check(b"prompt\nhel\0lo\n", None);
        check("\u{feff}prompt\n你好\n".as_bytes(), None);
        check(b"PK,prompt\n", None);
    }

    #[test]
    fn byte_order_marks_are_counted() {
        assert_eq!(bom_len(b"prompt"), 0);
        assert_eq!(bom_len("\u{feff}prompt".as_bytes()), 3);
        assert_eq!(bom_len("\u{feff}\u{feff}".as_bytes()), 6);
    }
}
