//! Tests of reading input files: unusual but valid files are read exactly, and invalid files are
//! rejected with a line number.

use std::io::Write;
use std::path::Path;

use promptmill::api::RequestTemplate;
use promptmill::domain::job::NewRow;
use promptmill::intake::{ExitKind, IntakeError, Options, Reader, Source};
use tempfile::NamedTempFile;

/// Returns a template that sends the column `prompt` unchanged.
fn template() -> RequestTemplate {
    RequestTemplate {
        model: "test-model".to_owned(),
        prompt: None,
        system: None,
        params: Vec::new(),
        id_column: None,
        ..RequestTemplate::default()
    }
}

fn template_with_ids() -> RequestTemplate {
    RequestTemplate {
        id_column: Some("id".to_owned()),
        ..template()
    }
}

fn open(path: &Path, template: &RequestTemplate) -> Result<Reader, IntakeError> {
    Reader::new(Source::open(path, Options::default())?, template)
}

fn read_all(reader: &mut Reader, max_rows: usize) -> Result<Vec<NewRow>, IntakeError> {
    let mut rows = Vec::new();
    loop {
        let chunk = reader.next_chunk(max_rows)?.rows;
        assert!(chunk.len() <= max_rows);
        if chunk.is_empty() {
            return Ok(rows);
        }
        rows.extend(chunk);
    }
}

fn temp_file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("the file is written");
    file
}

fn read(bytes: &[u8], template: &RequestTemplate) -> Result<Vec<NewRow>, IntakeError> {
    let file = temp_file(bytes);
    read_all(&mut open(file.path(), template)?, 3)
}

#[track_caller]
fn check_error(bytes: &[u8], template: &RequestTemplate, expected: &str) {
    let file = temp_file(bytes);
    let result = open(file.path(), template).and_then(|mut reader| read_all(&mut reader, 3));
    let error = result.expect_err("the file must be rejected");
    assert_eq!(error.exit_kind(), ExitKind::DataError);
    let name = file.path().to_str().expect("UTF-8");
    assert_eq!(error.to_string().replace(name, "jobs.csv"), expected);
}

const ROWS_HINT: &str = "hint: nothing was imported; fix the file and try again";
const HEADER_HINT: &str = "hint: name the columns in the first line, including `prompt`";

#[track_caller]
fn check_invalid_rows(bytes: &[u8], template: &RequestTemplate, expected: &[&str]) {
    let lines = expected
        .iter()
        .copied()
        .chain([ROWS_HINT])
        .collect::<Vec<_>>();
    check_error(bytes, template, &lines.join("\n"));
}

#[track_caller]
fn check_cells(bytes: &[u8], expected: &[&str]) {
    let rows = read(bytes, &template()).expect("the file is valid");
    let cells: Vec<&str> = rows.iter().map(|row| row.cells.as_str()).collect();
    assert_eq!(cells, expected);
}

#[test]
fn a_row_has_a_key_cells_a_request_and_a_digest() {
    let rows = read(b"id,prompt\na1,\"Say \"\"hi\"\"\"\n", &template_with_ids())
        .expect("the file is valid");
    let request = r#"{"model":"test-model","messages":[{"role":"user","content":"Say \"hi\""}]}"#;
    let expected = NewRow {
        key: "a1".to_owned(),
        cells: r#"["a1","Say \"hi\""]"#.to_owned(),
        request: request.to_owned(),
        // The start of the request's `sha256sum`.
        digest: "ce103bfb841916c826d53ba667c3a4c2".to_owned(),
    };
    assert_eq!(rows, [expected]);
}

#[test]
fn all_csv_dialects_produce_the_same_cells() {
    let expected = [r#"["1","a\nb"]"#, r#"["2",", \""]"#];
    check_cells(b"id,prompt\n1,\"a\nb\"\n2,\", \"\"\"\n", &expected);
    check_cells(
        b"\xef\xbb\xbfid,prompt\n1,\"a\nb\"\n2,\", \"\"\"",
        &expected,
    );
    check_cells(
        b"\n\nid,prompt\r\n1,\"a\nb\"\r\n\r\n2,\", \"\"\"\r\n\r\n",
        &expected,
    );
    check_cells(
        b"\"id\",\"prompt\"\r\"1\",\"a\nb\"\r\"2\",\", \"\"\"\r",
        &expected,
    );
}

#[test]
fn unusual_cells_are_unchanged() {
    let long = "長い文 ".repeat(10_000);
    let unusual = [
        "plain",
        " spaces ",
        "a,b;c\td",
        "\"quoted\" and 'quoted'",
        "one\ntwo\r\nthree\rfour",
        "你好，世界 👩🏽‍🚀",
        "\u{202e}right to left",
        "=1+1",
        "{{ not a template }}",
        "\u{1b}[31m",
        "\\n \\\"",
        "5\" pipe",
        long.as_str(),
    ];
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .write_record(["prompt", "empty"])
        .expect("the file is written");
    for cell in unusual {
        writer
            .write_record([cell, ""])
            .expect("the file is written");
    }
    let rows = read(
        &writer.into_inner().expect("the file is written"),
        &template(),
    )
    .expect("the file is valid");
    for (row, cell) in rows.iter().zip(unusual) {
        let cells: Vec<String> = serde_json::from_str(&row.cells).expect("valid JSON");
        assert_eq!(cells, [cell, ""]);
        let request: serde_json::Value = serde_json::from_str(&row.request).expect("valid JSON");
        assert_eq!(request["messages"][0]["content"], cell);
    }
    assert_eq!(rows.len(), unusual.len());
}

#[test]
fn rejects_files_without_rows() {
    let empty_input = "jobs.csv: input is empty\nhint: name the columns in the first line, including `prompt`, and add one line per job";
    check_error(b"", &template(), empty_input);
    check_error(b"\xef\xbb\xbf\r\n\n", &template(), empty_input);
    let no_rows = "jobs.csv: no rows after the header\nhint: add one line per job; \
                   if the first line is a job, insert a line `prompt` above it";
    check_error(b"id,prompt\n\n", &template(), no_rows);
}

#[test]
fn rejects_unsupported_formats() {
    check_error(
        b"PK\x03\x04\x14\0\x06\0",
        &template(),
        "jobs.csv: looks like a spreadsheet (xlsx, ods) or a zip archive, not CSV\nhint: save it as \"CSV UTF-8\" and use that file",
    );
    check_error(
        b"\xff\xfep\0r\0",
        &template(),
        "jobs.csv: is UTF-16, not UTF-8\nhint: save it as \"CSV UTF-8\", or convert it: `iconv -f UTF-16 -t UTF-8 IN > OUT`",
    );
}

#[test]
fn rejects_invalid_headers() {
    check_error(
        b"\nid,prompt,id\n",
        &template(),
        "jobs.csv:2: duplicate column name `id` (columns 1 and 3)\nhint: rename one of the columns",
    );
    check_error(
        b"id,\"prompt\n1,a\n",
        &template(),
        &format!(
            "jobs.csv:1: header field 2: the quote opened here is never closed; close it, or double it if it is part of the text\n{HEADER_HINT}"
        ),
    );
    check_error(
        b"id,pr\xe9mpt\n1,a\n",
        &template(),
        &format!(
            "jobs.csv:1: header field 2: invalid UTF-8 at byte 3 of the field; save the file as \"CSV UTF-8\"\n{HEADER_HINT}"
        ),
    );
    check_error(
        b",,\n1,2,3\n",
        &template(),
        &format!("jobs.csv:1: the header has no column names\n{HEADER_HINT}"),
    );
}

#[test]
fn rejects_settings_that_refer_to_missing_columns() {
    check_error(
        b"id,Prompt\n1,a\n",
        &template(),
        "jobs.csv:1: column `prompt` not found; did you mean `Prompt`? available columns: `id`, `Prompt`\n\
         hint: use another column as the prompt: --prompt '{{ Prompt }}'",
    );
    check_error(
        b"ID,prompt\n1,a\n",
        &template_with_ids(),
        "jobs.csv:1: column `id` not found (referenced by --id-column); did you mean `ID`? available columns: `ID`, `prompt`\nhint: use --id-column ID",
    );
    let template = RequestTemplate {
        prompt: Some("{{ row[\"City \"] }}".to_owned()),
        ..template()
    };
    check_error(
        b"City,x\nRome,1\n",
        &template,
        "jobs.csv:1: column `City ` not found (referenced by --prompt); did you mean `City`? available columns: `City`, `x`\nhint: use {{ City }} in --prompt",
    );
}

#[test]
fn invalid_rows_are_reported_together() {
    check_invalid_rows(
        b"id,prompt\n1,a\n2\n3,b,c\n4,\" \"\n5,x\0y\n6,caf\xe9\n7,z\n",
        &template(),
        &[
            "jobs.csv:3: expected 2 fields, found 1; quote values that contain line breaks, and keep the delimiters of empty fields",
            "jobs.csv:4: expected 2 fields, found 3; quote values that contain the delimiter",
            "jobs.csv:5: column `prompt`: the prompt is empty; fill it in or remove the row",
            "jobs.csv:6: column `prompt`: value contains a NUL byte; remove it",
            "jobs.csv:7: column `prompt`: invalid UTF-8 at byte 4 of the field; save the file as \"CSV UTF-8\"",
        ],
    );
}

#[test]
fn an_unclosed_quote_is_reported_at_its_start() {
    let unclosed =
        "the quote opened here is never closed; close it, or double it if it is part of the text";
    let open = format!("jobs.csv:4: column `prompt`: {unclosed}");
    check_invalid_rows(
        b"id,prompt\n1,\"a\nb\"\n2,\"c\n3,d\n4,e\n",
        &template(),
        &[&open],
    );
    // Here the next quote closes it by accident, and the number of fields is right.
    let extra_text = "jobs.csv:2: column `prompt`: unexpected text after the closing quote; double the quotes inside a quoted field (\"\")";
    check_invalid_rows(
        b"id,prompt\n1,\"a\n2,\"b\"\n3,c\n",
        &template(),
        &[extra_text],
    );
}

#[test]
fn ids_are_non_empty_and_unique() {
    let long = "x".repeat(257);
    check_invalid_rows(
        format!("id,prompt\na,1\n,2\nb,3\na,4\n{long},5\n A,6\n").as_bytes(),
        &template_with_ids(),
        &[
            "jobs.csv:3: column `id`: the ID is empty; each row needs a unique ID",
            "jobs.csv:5: column `id`: duplicate ID `a`, first used in line 2; each row needs a unique ID",
            "jobs.csv:6: column `id`: the ID has 257 bytes; the maximum is 256",
        ],
    );
}

#[test]
fn at_most_ten_invalid_rows_are_listed() {
    let line = |line: u64| {
        format!(
            "jobs.csv:{line}: column `prompt`: the prompt is empty; fill it in or remove the row"
        )
    };
    let lines: Vec<String> = (2..12)
        .map(line)
        .chain(["and 15 more invalid rows".to_owned()])
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    check_invalid_rows(
        format!("id,prompt\n{}", "1,\n".repeat(25)).as_bytes(),
        &template(),
        &lines,
    );
}

#[test]
fn no_rows_are_returned_after_an_invalid_row() {
    let file = temp_file(b"prompt,x\na,1\nb,2\nc,3\nbad\nd,4\ne,5\nf,6\n");
    let mut reader = open(file.path(), &template()).expect("the header is valid");
    assert_eq!(reader.next_chunk(2).expect("two valid rows").rows.len(), 2);
    assert!(reader.next_chunk(2).is_err());
    assert!(reader.next_chunk(2).is_err(), "the error does not persist");
}

#[test]
fn content_keys_do_not_depend_on_the_order_of_rows() {
    let keys = |text: &str| -> Vec<String> {
        let rows = read(text.as_bytes(), &template()).expect("the file is valid");
        rows.into_iter().map(|row| row.key).collect()
    };
    let first = keys("prompt\na\nb\na\n");
    let second = keys("prompt\r\nb\r\nnew\r\na\r\na\r\n");
    let new = keys("prompt\nnew\n").remove(0);
    assert_eq!(
        second,
        [first[1].clone(), new, first[0].clone(), first[2].clone()]
    );
}

#[test]
fn a_reader_is_send() {
    let file = temp_file(b"prompt\na\n");
    let mut reader = open(file.path(), &template()).expect("the header is valid");
    let rows = std::thread::spawn(move || read_all(&mut reader, 10));
    assert_eq!(
        rows.join()
            .expect("no panic")
            .expect("the file is valid")
            .len(),
        1
    );
}

#[test]
fn chunks_are_limited_in_size() {
    let cell = "x".repeat(1 << 20);
    let file = temp_file(format!("prompt\n{}", format!("{cell}\n").repeat(12)).as_bytes());
    let mut reader = open(file.path(), &template()).expect("the header is valid");
    assert!(
        reader
            .next_chunk(1000)
            .expect("the rows are valid")
            .rows
            .len()
            <= 8
    );
    assert_eq!(
        read_all(
            &mut open(file.path(), &template()).expect("the file is valid"),
            1000
        )
        .expect("the file is valid")
        .len(),
        12
    );
}

#[test]
fn the_example_file_is_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs.example.csv");
    let mut reader = open(&path, &template_with_ids()).expect("the header is valid");
    assert!(reader.columns().len() >= 3);
    let rows = read_all(&mut reader, 1000).expect("every row is valid");
    assert!((24..=30).contains(&rows.len()), "{} rows", rows.len());
}
