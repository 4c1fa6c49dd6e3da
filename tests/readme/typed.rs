//! What the documents tell to type is typed, and what they show is compared with what is printed.

use crate::desk::Desk;
use crate::{documents, read};

/// How the README starts the program before it is installed.
const FROM_SOURCE: &str = "cargo run --release --locked --";

/// The README's other command for a fresh machine: the one that runs this test.
const TESTS: &str = "cargo test --locked";

/// How a line says that it ends with another exit code than 0.
const ENDS_WITH: &str = "# ends with code ";

/// A fenced block of a document: its language, and its lines. `sh` is typed; the `text` that follows is
/// what its last line prints, unless it begins with a prompt; after a first line `…` it is the end of
/// that. `toml` is the settings file.
struct Block {
    language: String,
    text: String,
}

fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in markdown.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(language), None) => {
                open = Some(Block {
                    language: language.to_owned(),
                    text: String::new(),
                });
            }
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// Takes times and speeds out of a text: they differ from run to run.
fn without_times(text: &str) -> String {
    let is_time = |word: &str| {
        let word = word.trim_matches(['(', ')', ',']);
        let number = word.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '/');
        number.len() < word.len()
            && !number.is_empty()
            && number.chars().all(|c| c.is_ascii_digit() || c == '.')
    };
    let lines = text.lines().map(|line| {
        let words = line.split(' ').filter(|word| !is_time(word));
        words.collect::<Vec<_>>().join(" ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Types a line, holds it to its exit code, and returns what it prints.
#[track_caller]
fn check_line(desk: &Desk, line: &str) -> String {
    let output = desk.types(&line.replace(FROM_SOURCE, "promptmill"));
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    let expected = line
        .split_once(ENDS_WITH)
        .map_or(0, |(_, code)| code.trim().parse().unwrap());
    let code = output.status.code();
    assert_eq!(code, Some(expected), "{line}\n{out}{err}");
    out + &err
}

/// Holds a block to what was printed before it.
#[track_caller]
fn check_shown(block: &Block, printed: &str) {
    let printed = without_times(printed);
    if let Some(end) = block.text.strip_prefix("…\n") {
        let end = without_times(end);
        assert!(
            printed.ends_with(&end),
            "{end}\nis not the end of\n{printed}"
        );
    } else {
        let expected = without_times(&block.text);
        assert_eq!(printed, expected, "a document shows something else");
    }
}

/// Types a document, and counts the lines typed and the outputs compared.
#[track_caller]
fn check(path: &str) -> (u32, u32) {
    let desk = Desk::new();
    let (mut typed, mut shown) = (0, 0);
    let mut printed = String::new();
    for block in blocks(&read(path)) {
        match block.language.as_str() {
            "sh" => {
                for line in block.text.lines().filter(|line| *line != TESTS) {
                    printed = check_line(&desk, line);
                    typed += 1;
                }
                continue;
            }
            "toml" => desk.write("promptmill.toml", &block.text),
            _ if !printed.is_empty() && !block.text.starts_with("$ ") => {
                check_shown(&block, &printed);
                shown += 1;
            }
            _ => {}
        }
        printed.clear();
    }
    (typed, shown)
}

#[test]
fn what_the_readme_types_works_and_prints_what_it_shows() {
    let (typed, shown) = check("README.md");
    assert!(typed >= 6 && shown >= 3, "{typed} lines, {shown} outputs");
}

#[test]
fn what_the_other_documents_type_works_and_prints_what_they_show() {
    let mut counts = (0, 0);
    for path in documents().iter().filter(|path| path.starts_with("docs/")) {
        let (typed, shown) = check(path);
        counts = (counts.0 + typed, counts.1 + shown);
    }
    assert!(counts.0 >= 6 && counts.1 >= 1, "{counts:?}");
}

/// Whoever tries the README has no key.
#[test]
fn every_block_of_the_readme_that_is_typed_needs_no_key() {
    let readme = blocks(&read("README.md"));
    for block in readme.iter().filter(|block| block.language == "sh") {
        for line in block.text.lines() {
            let asks = line.contains(" run ") && !line.contains("--simulate");
            assert!(
                !asks,
                "mark this block as text, since it needs a key: {line}"
            );
        }
    }
}
