//! A thousand odd rows, in and out again, column by column: nothing of what people have in their files
//! is lost on the way.

use std::fmt::Write as _;

use promptmill::simulator::Config;
use serde_json::{Value, json};

use crate::support::{Scene, Sheet};

const ROWS: usize = 1000;

/// What one cell may hold, and the column beside it another time.
fn odd(number: usize) -> String {
    let odd = [
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
    odd[number % odd.len()].to_owned()
}

/// The cells of a row: an id, a prompt that is not blank, two odd ones.
fn cells(row: usize) -> [String; 4] {
    [
        format!("row-{row}"),
        format!("{row}: {}", odd(row)),
        odd(row * 7 + 3),
        odd(row * 11 + row / 30),
    ]
}

/// What is there for every row after a run: the cells as given, and an answer.
#[track_caller]
fn check(sheet: &Sheet) {
    assert_eq!(
        sheet.columns[..4],
        ["id", "prompt", "odd one", "Ödd, \"two\""]
    );
    let columns: Vec<_> = (0..4).map(|at| sheet.column(&sheet.columns[at])).collect();
    assert_eq!((columns[0].len(), sheet.count("done")), (ROWS, ROWS));
    for row in 0..ROWS {
        for (column, given) in columns.iter().zip(cells(row)) {
            assert!(column[row] == given, "row {row}: {:?}", column[row]);
        }
    }
}

#[test]
fn a_thousand_odd_rows_come_back_column_by_column() {
    let scene = Scene::new(Config::default());
    let mut table = csv::Writer::from_writer(Vec::new());
    table
        .write_record(["id", "prompt", "odd one", "Ödd, \"two\""])
        .unwrap();
    (0..ROWS).for_each(|row| table.write_record(cells(row)).unwrap());
    let text = String::from_utf8(table.into_inner().unwrap()).unwrap();
    scene.write("odd.csv", &format!("\u{feff}{text}"));
    scene
        .run("run odd.csv -o out.csv --csv-raw --id-column id --concurrency 64")
        .exits(0);
    check(&Sheet::read(&scene.read("out.csv")));
    for entry in scene.provider.ledger().entries {
        let body: Value = serde_json::from_str(&entry.body).unwrap();
        let prompt = body["messages"][0]["content"].as_str().unwrap();
        let row: usize = prompt.split_once(':').unwrap().0.parse().unwrap();
        assert!(prompt == cells(row)[1], "{prompt:?}");
    }

    // The same as objects, and from these a table again.
    scene.run("export odd.csv -o objects.jsonl").exits(0);
    let written = scene.read("objects.jsonl");
    assert_eq!(written.lines().count(), ROWS);
    let mut given = String::new();
    for (row, line) in written.lines().enumerate() {
        let found: Value = serde_json::from_str(line).unwrap();
        let [id, prompt, one, two] = cells(row);
        let expected = json!({"id": id, "prompt": prompt, "odd one": one, "Ödd, \"two\"": two});
        for (name, value) in expected.as_object().unwrap() {
            assert!(
                found[name] == *value,
                "row {row}, {name}: {:?}",
                found[name]
            );
        }
        writeln!(given, "{expected}").unwrap();
    }
    scene.write("odd.jsonl", &given);
    scene
        .run("run odd.jsonl -o again.csv --csv-raw --id-column id --concurrency 64")
        .exits(0);
    check(&Sheet::read(&scene.read("again.csv")));
    assert_eq!(scene.requests(), 2 * ROWS as u64);
}
