//! What a file's owner sees of the intake: odd files come through byte by byte, and bad files are
//! refused with a line to look at.

use std::io::Write;
use std::path::Path;

use promptmill::domain::job::NewRow;
use promptmill::domain::request_template::RequestTemplate;
use promptmill::intake::{ExitKind, IntakeError, Options, Reader, Source};
use tempfile::NamedTempFile;

/// A recipe that takes the column `prompt` as it is.
fn plain() -> RequestTemplate {
    RequestTemplate {
        model: "test-model".to_owned(),
        prompt: None,
        system: None,
        params: Vec::new(),
        id_column: None,
        ..RequestTemplate::default()
    }
}

fn with_ids() -> RequestTemplate {
    RequestTemplate {
        id_column: Some("id".to_owned()),
        ..plain()
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

fn file_of(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(bytes).expect("it is written");
    file
}

fn read(bytes: &[u8], template: &RequestTemplate) -> Result<Vec<NewRow>, IntakeError> {
    let file = file_of(bytes);
    read_all(&mut open(file.path(), template)?, 3)
}

#[track_caller]
fn check_refused(bytes: &[u8], template: &RequestTemplate, expected: &str) {
    let file = file_of(bytes);
    let result = open(file.path(), template).and_then(|mut reader| read_all(&mut reader, 3));
    let error = result.expect_err("it must be refused");
    assert_eq!(error.exit_kind(), ExitKind::Bad);
    let name = file.path().to_str().expect("UTF-8");
    assert_eq!(error.to_string().replace(name, "jobs.csv"), expected);
}

const ROWS_HINT: &str = "hint: nothing was imported; mend the file and run it again";
const HEADER_HINT: &str = "hint: the first line names the columns, `prompt` among them";

#[track_caller]
fn check_bad_rows(bytes: &[u8], template: &RequestTemplate, expected: &[&str]) {
    let lines = expected
        .iter()
        .copied()
        .chain([ROWS_HINT])
        .collect::<Vec<_>>();
    check_refused(bytes, template, &lines.join("\n"));
}

#[track_caller]
fn check_cells(bytes: &[u8], expected: &[&str]) {
    let rows = read(bytes, &plain()).expect("the file is good");
    let cells: Vec<&str> = rows.iter().map(|row| row.cells.as_str()).collect();
    assert_eq!(cells, expected);
}

#[test]
fn a_row_becomes_a_key_its_cells_a_request_and_a_digest() {
    let rows = read(b"id,prompt\na1,\"Say \"\"hi\"\"\"\n", &with_ids()).expect("the file is good");
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
fn every_way_to_write_csv_gives_the_same_cells() {
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
fn odd_cells_come_through_unchanged() {
    let long = "長い文 ".repeat(10_000);
    let odd = [
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
        .expect("it is written");
    for cell in odd {
        writer.write_record([cell, ""]).expect("it is written");
    }
    let rows =
        read(&writer.into_inner().expect("it is written"), &plain()).expect("the file is good");
    for (row, cell) in rows.iter().zip(odd) {
        let cells: Vec<String> = serde_json::from_str(&row.cells).expect("JSON");
        assert_eq!(cells, [cell, ""]);
        let request: serde_json::Value = serde_json::from_str(&row.request).expect("JSON");
        assert_eq!(request["messages"][0]["content"], cell);
    }
    assert_eq!(rows.len(), odd.len());
}

#[test]
fn a_file_that_holds_no_rows_is_refused() {
    let empty = "jobs.csv: is empty\nhint: the first line names the columns, `prompt` among them; each further line is a job";
    check_refused(b"", &plain(), empty);
    check_refused(b"\xef\xbb\xbf\r\n\n", &plain(), empty);
    let no_rows = "jobs.csv: no rows below the header\nhint: each line below the header is a job; \
                   if the first line is a job itself, put a line `prompt` above it";
    check_refused(b"id,prompt\n\n", &plain(), no_rows);
}

#[test]
fn a_file_of_another_kind_is_refused() {
    check_refused(
        b"PK\x03\x04\x14\0\x06\0",
        &plain(),
        "jobs.csv: looks like a spreadsheet (xlsx, ods) or a zip archive, not CSV\nhint: save it as \"CSV UTF-8\" and give that file",
    );
    check_refused(
        b"\xff\xfep\0r\0",
        &plain(),
        "jobs.csv: is UTF-16, not UTF-8\nhint: save it as \"CSV UTF-8\", or convert it: `iconv -f UTF-16 -t UTF-8 IN > OUT`",
    );
}

#[test]
fn a_header_that_cannot_be_used_is_refused() {
    check_refused(
        b"\nid,prompt,id\n",
        &plain(),
        "jobs.csv:2: the columns 1 and 3 are both called `id`\nhint: give each column a name of its own",
    );
    check_refused(
        b"id,\"prompt\n1,a\n",
        &plain(),
        &format!(
            "jobs.csv:1: the header's field 2: a quote opens here and is never closed; close it, or double it where it belongs to the text\n{HEADER_HINT}"
        ),
    );
    check_refused(
        b"id,pr\xe9mpt\n1,a\n",
        &plain(),
        &format!(
            "jobs.csv:1: the header's field 2: is not UTF-8 (byte 3 of the cell); save the file as \"CSV UTF-8\"\n{HEADER_HINT}"
        ),
    );
    check_refused(
        b",,\n1,2,3\n",
        &plain(),
        &format!("jobs.csv:1: the header names no column\n{HEADER_HINT}"),
    );
}

#[test]
fn a_recipe_that_does_not_fit_the_file_is_refused() {
    check_refused(
        b"id,Prompt\n1,a\n",
        &plain(),
        "jobs.csv:1: no column `prompt`; did you mean `Prompt`? the columns are `id`, `Prompt`\n\
         hint: take the prompt from another column: --prompt '{{ Prompt }}'",
    );
    check_refused(
        b"ID,prompt\n1,a\n",
        &with_ids(),
        "jobs.csv:1: no column `id` for --id-column; did you mean `ID`? the columns are `ID`, `prompt`\nhint: --id-column ID",
    );
    let template = RequestTemplate {
        prompt: Some("{{ row[\"City \"] }}".to_owned()),
        ..plain()
    };
    check_refused(
        b"City,x\nRome,1\n",
        &template,
        "jobs.csv:1: no column `City ` for --prompt; did you mean `City`? the columns are `City`, `x`\nhint: write {{ City }} in --prompt",
    );
}

#[test]
fn bad_rows_are_told_together() {
    check_bad_rows(
        b"id,prompt\n1,a\n2\n3,b,c\n4,\" \"\n5,x\0y\n6,caf\xe9\n7,z\n",
        &plain(),
        &[
            "jobs.csv:3: the row has 1 field, the header has 2; a text with line breaks needs quotes, and an empty cell its delimiter",
            "jobs.csv:4: the row has 3 fields, the header has 2; put quotes around a text that holds the delimiter",
            "jobs.csv:5: column `prompt`: the prompt is empty; fill it in or remove the row",
            "jobs.csv:6: column `prompt`: holds a NUL byte; remove it",
            "jobs.csv:7: column `prompt`: is not UTF-8 (byte 4 of the cell); save the file as \"CSV UTF-8\"",
        ],
    );
}

#[test]
fn an_open_quote_is_told_where_it_opens_and_no_text_behind_it_becomes_a_row() {
    let unclosed = "a quote opens here and is never closed; close it, or double it where it belongs to the text";
    let open = format!("jobs.csv:4: column `prompt`: {unclosed}");
    check_bad_rows(
        b"id,prompt\n1,\"a\nb\"\n2,\"c\n3,d\n4,e\n",
        &plain(),
        &[&open],
    );
    // The next quote closes it by accident, and the number of fields comes out right.
    let follows = "jobs.csv:2: column `prompt`: text follows the closing quote; a quote inside quoted text is written twice (\"\")";
    check_bad_rows(b"id,prompt\n1,\"a\n2,\"b\"\n3,c\n", &plain(), &[follows]);
}

#[test]
fn ids_are_whole_and_unique() {
    let long = "x".repeat(257);
    check_bad_rows(
        format!("id,prompt\na,1\n,2\nb,3\na,4\n{long},5\n A,6\n").as_bytes(),
        &with_ids(),
        &[
            "jobs.csv:3: column `id`: the id is empty; each row needs one of its own",
            "jobs.csv:5: column `id`: the id `a` stands in line 2 already; each row needs one of its own",
            "jobs.csv:6: column `id`: the id has 257 bytes; 256 is the most",
        ],
    );
}

#[test]
fn after_ten_bad_rows_the_rest_is_counted() {
    let line = |line: u64| {
        format!(
            "jobs.csv:{line}: column `prompt`: the prompt is empty; fill it in or remove the row"
        )
    };
    let lines: Vec<String> = (2..12)
        .map(line)
        .chain(["and 15 more bad rows".to_owned()])
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    check_bad_rows(
        format!("id,prompt\n{}", "1,\n".repeat(25)).as_bytes(),
        &plain(),
        &lines,
    );
}

#[test]
fn after_a_bad_row_no_row_is_handed_out() {
    let file = file_of(b"prompt,x\na,1\nb,2\nc,3\nbad\nd,4\ne,5\nf,6\n");
    let mut reader = open(file.path(), &plain()).expect("the header is good");
    assert_eq!(reader.next_chunk(2).expect("two good rows").rows.len(), 2);
    assert!(reader.next_chunk(2).is_err());
    assert!(reader.next_chunk(2).is_err(), "and so it stays");
}

#[test]
fn the_same_content_has_the_same_keys_whatever_comes_between() {
    let keys = |text: &str| -> Vec<String> {
        let rows = read(text.as_bytes(), &plain()).expect("the file is good");
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
fn a_reader_may_move_to_another_thread() {
    let file = file_of(b"prompt\na\n");
    let mut reader = open(file.path(), &plain()).expect("the header is good");
    let rows = std::thread::spawn(move || read_all(&mut reader, 10));
    assert_eq!(
        rows.join()
            .expect("no panic")
            .expect("the file is good")
            .len(),
        1
    );
}

#[test]
fn large_cells_make_small_chunks() {
    let cell = "x".repeat(1 << 20);
    let file = file_of(format!("prompt\n{}", format!("{cell}\n").repeat(12)).as_bytes());
    let mut reader = open(file.path(), &plain()).expect("the header is good");
    assert!(reader.next_chunk(1000).expect("good rows").rows.len() <= 8);
    assert_eq!(
        read_all(&mut open(file.path(), &plain()).expect("good"), 1000)
            .expect("good")
            .len(),
        12
    );
}

#[test]
fn the_example_file_is_good() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs.example.csv");
    let mut reader = open(&path, &with_ids()).expect("the header is good");
    assert!(reader.columns().len() >= 3);
    let rows = read_all(&mut reader, 1000).expect("every row is good");
    assert!((24..=30).contains(&rows.len()), "{} rows", rows.len());
}
