//! Checks that memory usage does not depend on the size of the input. This test requires its own
//! process, because it measures the peak memory usage of the process.

use std::io::{BufWriter, Write};

use promptmill::api::RequestTemplate;
use promptmill::intake::{Options, Reader, Source};

const ROWS: usize = 200_000;

#[test]
fn a_large_file_is_streamed() {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    write_rows(file.as_file_mut()).expect("the file is written");
    let size = file.path().metadata().expect("the file exists").len();
    let template = RequestTemplate {
        model: "test-model".to_owned(),
        prompt: Some("Summarize: {{ prompt }}".to_owned()),
        system: None,
        params: Vec::new(),
        id_column: Some("id".to_owned()),
        ..RequestTemplate::default()
    };
    let source = Source::open(file.path(), Options::default()).expect("the file opens");
    let mut reader = Reader::new(source, &template).expect("the header is valid");

    let before = peak_memory();
    let mut count = 0;
    loop {
        let chunk = reader.next_chunk(1000).expect("the rows are valid");
        if chunk.rows.is_empty() {
            break;
        }
        count += chunk.rows.len();
    }
    let growth = peak_memory() - before;
    assert_eq!(count, ROWS);
    assert!(
        growth * 4 < size,
        "memory usage grew by {growth} bytes while reading a file of {size} bytes"
    );
}

fn write_rows(file: &mut std::fs::File) -> std::io::Result<()> {
    let mut out = BufWriter::new(file);
    writeln!(out, "id,prompt,note")?;
    let text = "words that are repeated in every row, ".repeat(7);
    for number in 0..ROWS {
        writeln!(out, "{number},\"{text}\n{number}\",x")?;
    }
    out.flush()
}

/// Returns the peak memory usage of the process in bytes; 0 if it is not available.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.map_or(0, |kib| kib.trim().parse::<u64>().expect("a number")) * 1024
}
