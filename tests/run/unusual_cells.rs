//! A thousand rows of unusual text: they are imported and exported unchanged.

use std::fmt::Write as _;

use promptmill::simulator::Config;
use serde_json::{Value, json};

use crate::support::{CsvResults, TestEnv};

const ROWS: usize = 1000;

/// Returns the unusual text with this number.
fn unusual(number: usize) -> String {
    let texts = [
        "",
        " ",
        "\"",
        "a \"quoted\" word, with a comma",
        "two\nlines",
        "two\r\nlines\r\n",
        "a lone\rreturn",
        "\n",
        "'",
        "=1+1",
        "@SUM(A1:A9)",
        "-5",
        "+49 30 1234",
        "\t=cmd|' /C calc'!A0",
        "😀 👩\u{200d}👩\u{200d}👧 🇩🇪",
        "漢字 日本語 한국어 العربية עברית",
        "\u{feff}a mark in the middle\u{feff}",
        "\u{202e}right to left",
        "\u{8}\u{1b}[2J",
        "\u{1}\u{1f}\u{7f}\u{85}\u{2028}",
        "{{ not a template }} {% if x %}",
        r#"{"json": [1, "two"]}"#,
        r"back\slash \n \u0041",
        "null",
        "NaN",
        "1e400",
        ";|,",
        "ends with a quote\"",
        "\"\"",
        "\u{fffd}\u{10ffff}",
    ];
    if number % 97 == 13 {
        return format!("{}ä\"\n", "long, ".repeat(17_000));
    }
    texts[number % texts.len()].to_owned()
}

/// Returns the cells of a row: an ID, a prompt that is not blank, and two unusual texts.
fn cells(row: usize) -> [String; 4] {
    [
        format!("row-{row}"),
        format!("{row}: {}", unusual(row)),
        unusual(row * 7 + 3),
        unusual(row * 11 + row / 30),
    ]
}

/// Checks that all rows are completed and their cells unchanged.
#[track_caller]
fn check(results: &CsvResults) {
    assert_eq!(
        results.columns[..4],
        ["id", "prompt", "unusual", "Ünusual, \"two\""]
    );
    let columns: Vec<_> = (0..4)
        .map(|at| results.column(&results.columns[at]))
        .collect();
    assert_eq!((columns[0].len(), results.count("done")), (ROWS, ROWS));
    for row in 0..ROWS {
        for (column, given) in columns.iter().zip(cells(row)) {
            assert!(column[row] == given, "row {row}: {:?}", column[row]);
        }
    }
}

#[test]
fn unusual_cells_are_unchanged_in_every_format() {
    let env = TestEnv::new(Config::default());
    let mut table = csv::Writer::from_writer(Vec::new());
    table
        .write_record(["id", "prompt", "unusual", "Ünusual, \"two\""])
        .unwrap();
    (0..ROWS).for_each(|row| table.write_record(cells(row)).unwrap());
    let text = String::from_utf8(table.into_inner().unwrap()).unwrap();
    env.write("cells.csv", &format!("\u{feff}{text}"));
    env.run("run cells.csv -o out.csv --csv-raw --id-column id --concurrency 64")
        .exits(0);
    check(&CsvResults::parse(&env.read("out.csv")));
    for entry in env.provider.request_log().entries {
        let body: Value = serde_json::from_str(&entry.body).unwrap();
        let prompt = body["messages"][0]["content"].as_str().unwrap();
        let row: usize = prompt.split_once(':').unwrap().0.parse().unwrap();
        assert!(prompt == cells(row)[1], "{prompt:?}");
    }

    // Export the same rows as objects, and convert these back to a table.
    env.run("export cells.csv -o objects.jsonl").exits(0);
    let written = env.read("objects.jsonl");
    assert_eq!(written.lines().count(), ROWS);
    let mut given = String::new();
    for (row, line) in written.lines().enumerate() {
        let found: Value = serde_json::from_str(line).unwrap();
        let [id, prompt, one, two] = cells(row);
        let expected = json!({"id": id, "prompt": prompt, "unusual": one, "Ünusual, \"two\"": two});
        for (name, value) in expected.as_object().unwrap() {
            assert!(
                found[name] == *value,
                "row {row}, {name}: {:?}",
                found[name]
            );
        }
        writeln!(given, "{expected}").unwrap();
    }
    env.write("cells.jsonl", &given);
    env.run("run cells.jsonl -o again.csv --csv-raw --id-column id --concurrency 64")
        .exits(0);
    check(&CsvResults::parse(&env.read("again.csv")));
    assert_eq!(env.requests(), 2 * ROWS as u64);
}
