//! Checks that the table of failures in `docs/RELIABILITY.md` is complete, and that the tests that
//! it names exist.

#![expect(clippy::unwrap_used, reason = "an unreadable document fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Number of rows in the table of failures.
const FAILURES: usize = 85;

/// Returns the names of all tests in the project.
fn tests() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = vec![root.join("src"), root.join("tests")];
    let mut names = BTreeSet::new();
    while let Some(dir) = folders.pop() {
        for entry in fs::read_dir(dir).unwrap() {
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

/// Returns the functions with a test attribute, and those of the store's conformance suite, which
/// have none.
fn tests_of(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((_, rest)) = line.split_once("fn ") {
            let is_shared = line.starts_with("pub(crate) async fn");
            let name = rest.split('(').next().unwrap().to_owned();
            if is_test || is_shared {
                names.push(name);
            }
            is_test = false;
        }
    }
    names
}

#[test]
fn each_failure_has_an_existing_test_or_a_reason_for_having_none() {
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
        let cell = cells[3];
        let named: Vec<_> = cell.split('`').skip(1).step_by(2).collect();
        let has_reason = cell
            .strip_prefix("none: ")
            .is_some_and(|why| why.len() > 10);
        assert!(named.is_empty() == has_reason, "row {number}: {cell}");
        for name in named {
            assert!(
                tests.contains(name),
                "row {number}: test {name} does not exist"
            );
        }
    }
    assert_eq!(expected, FAILURES + 1);
}
