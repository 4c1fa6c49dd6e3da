//! Holds `docs/RELIABILITY.md` to the tests: each kind of trouble has a line, and each test that a
//! line names is there.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read the documents has failed"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Kinds of trouble that are told of.
const KINDS: usize = 85;

/// The names of all tests of the project.
fn tests() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = vec![root.join("src"), root.join("tests")];
    let mut names = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                names.extend(tests_of(&fs::read_to_string(path).unwrap()));
            }
        }
    }
    names
}

/// Functions below a test attribute, and those that the suites of databases list.
fn tests_of(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((_, rest)) = line.split_once("fn ") {
            let of_suite = line.starts_with("pub(crate) async fn");
            let name = rest.split('(').next().unwrap().to_owned();
            if is_test || of_suite {
                names.push(name);
            }
            is_test = false;
        }
    }
    names
}

#[test]
fn each_kind_of_trouble_has_a_line_with_a_test_or_the_reason_why_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/RELIABILITY.md")).unwrap();
    let tests = tests();
    assert!(tests.len() > 300, "{} tests", tests.len());
    let mut expected = 1;
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let Ok(number) = cells[0].parse::<usize>() else {
            continue;
        };
        assert_eq!((number, cells.len()), (expected, 4), "{line}");
        expected += 1;
        let shown = cells[3];
        let named: Vec<_> = shown.split('`').skip(1).step_by(2).collect();
        let excused = shown
            .strip_prefix("none: ")
            .is_some_and(|why| why.len() > 10);
        assert!(named.is_empty() == excused, "row {number}: {shown}");
        for name in named {
            assert!(
                tests.contains(name),
                "row {number}: there is no test {name}"
            );
        }
    }
    assert_eq!(expected, KINDS + 1);
}
