//! A file of any size is read in little memory. This test has a process of its own, because it
//! measures the process.

use std::io::{BufWriter, Write};

use promptmill::domain::request_template::RequestTemplate;
use promptmill::intake::{Options, Reader, Source};

const ROWS: usize = 200_000;

#[test]
fn a_large_file_streams_in_little_memory() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    write_rows(file.as_file_mut()).expect("it is written");
    let size = file.path().metadata().expect("it is there").len();
    let template = RequestTemplate {
        model: "test-model".to_owned(),
        prompt: Some("Sum up: {{ prompt }}".to_owned()),
        system: None,
        params: Vec::new(),
        id_column: Some("id".to_owned()),
        ..RequestTemplate::default()
    };
    let source = Source::open(file.path(), Options::default()).expect("it opens");
    let mut reader = Reader::new(source, &template).expect("the header is good");

    let before = peak_memory();
    let mut count = 0;
    loop {
        let chunk = reader.next_chunk(1000).expect("good rows");
        if chunk.rows.is_empty() {
            break;
        }
        count += chunk.rows.len();
    }
    let grown = peak_memory() - before;
    assert_eq!(count, ROWS);
    assert!(
        grown * 4 < size,
        "{grown} bytes of memory for a file of {size}"
    );
}

fn write_rows(file: &mut std::fs::File) -> std::io::Result<()> {
    let mut out = BufWriter::new(file);
    writeln!(out, "id,prompt,note")?;
    let text = "words that come again in every row, ".repeat(7);
    for number in 0..ROWS {
        writeln!(out, "{number},\"{text}\n{number}\",x")?;
    }
    out.flush()
}

/// The most memory the process ever held, in bytes; 0 where that is not told.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.map_or(0, |kib| kib.trim().parse::<u64>().expect("a number")) * 1024
}
