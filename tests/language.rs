//! Checks that the source, the documentation and the README use standard terms.

#![expect(
    clippy::unwrap_used,
    reason = "an unreadable source file fails the test"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Words to replace with a standard term: report, print, return, respect, fix.
const WORDS: [&str; 7] = ["tell", "tells", "told", "heed", "heeded", "mend", "mends"];

/// Allowed phrases: stored rule ids, idioms, and example prompts.
const ALLOWED: [&str; 4] = [
    "told-to-retry",
    "told-not-to-retry",
    "tell two vectors apart",
    "tell them that I will not pay",
];

/// Returns the files below `path` that have one of the extensions.
fn files(path: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() || extension.is_some_and(|extension| extensions.contains(&extension)) {
            found.extend(files(&path, extensions));
        }
    }
    found
}

/// Returns the first discouraged word of a line.
fn discouraged(line: &str) -> Option<&'static str> {
    let line = ALLOWED
        .iter()
        .fold(line.to_owned(), |line, allowed| line.replace(allowed, ""));
    let mut words = line.split(|c: char| !c.is_alphanumeric());
    words.find_map(|word| {
        WORDS
            .into_iter()
            .find(|known| *known == word.to_lowercase())
    })
}

#[test]
fn texts_use_standard_terms() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut lines = 0;
    for name in ["src", "docs", "README.md"] {
        for file in files(&root.join(name), &["rs", "md"]) {
            let text = fs::read_to_string(&file).unwrap();
            for (index, line) in text.lines().enumerate() {
                lines += 1;
                if let Some(word) = discouraged(line) {
                    let file = file.strip_prefix(root).unwrap().display();
                    found.push(format!("{file}:{}: {word}", index + 1));
                }
            }
        }
    }
    assert!(lines > 10_000, "only {lines} lines were checked");
    assert!(
        found.is_empty(),
        "use a standard term instead (report, print, return, respect, fix):\n{}",
        found.join("\n")
    );
}

#[test]
fn a_discouraged_word_is_found_between_other_words() {
    assert_eq!(discouraged("The provider Told nothing."), Some("told"));
    assert_eq!(discouraged("rule `told-to-retry`: retold, toldyou"), None);
}
