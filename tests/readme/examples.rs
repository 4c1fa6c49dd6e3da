//! Runs the commands of the documentation and compares their output with what it shows.

use crate::sandbox::Sandbox;
use crate::{pages, read};

/// How the README runs the program from source.
const FROM_SOURCE: &str = "cargo run --release --locked --";

/// The README's command that runs this test. It is skipped, because the test would run itself.
const TESTS: &str = "cargo test --locked";

/// Start of the comment after a command whose exit code is not 0.
const EXIT_CODE: &str = "# exits with code ";

/// A fenced code block. `sh` blocks are run. A `text` block after one is the output of its last
/// line, unless it starts with `$`; a first or last line `…` represents omitted lines. `toml`
/// blocks are written to the settings file.
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
    assert!(open.is_none(), "a code block is not closed");
    blocks
}

/// Removes durations and rates, which vary between runs.
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

/// Runs a line, checks its exit code, and returns its output.
#[track_caller]
fn check_line(sandbox: &Sandbox, line: &str) -> String {
    let output = sandbox.run(&line.replace(FROM_SOURCE, "promptmill"));
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    let expected = line
        .split_once(EXIT_CODE)
        .map_or(0, |(_, code)| code.trim().parse().unwrap());
    let code = output.status.code();
    assert_eq!(code, Some(expected), "{line}\n{out}{err}");
    out + &err
}

/// Compares a block with the output of the command before it.
#[track_caller]
fn check_output(block: &Block, output: &str) {
    let output = without_times(output);
    if let Some(end) = block.text.strip_prefix("…\n") {
        let end = without_times(end);
        assert!(
            output.ends_with(&end),
            "expected end:\n{end}\noutput:\n{output}"
        );
    } else if let Some(start) = block.text.strip_suffix("…\n") {
        let start = without_times(start);
        assert!(
            output.starts_with(&start),
            "expected start:\n{start}\noutput:\n{output}"
        );
    } else {
        assert_eq!(
            output,
            without_times(&block.text),
            "the output differs from the documentation"
        );
    }
}

/// Runs the examples of a page, and returns the number of commands and of outputs compared.
#[track_caller]
fn check(path: &str) -> (u32, u32) {
    let sandbox = Sandbox::new();
    let (mut commands, mut outputs) = (0, 0);
    let mut output = String::new();
    for block in blocks(&read(path)) {
        match block.language.as_str() {
            "sh" => {
                for line in block.text.lines().filter(|line| *line != TESTS) {
                    output = check_line(&sandbox, line);
                    commands += 1;
                }
                continue;
            }
            "toml" => sandbox.write("promptmill.toml", &block.text),
            _ if !output.is_empty() && !block.text.starts_with("$ ") => {
                check_output(&block, &output);
                outputs += 1;
            }
            _ => {}
        }
        output.clear();
    }
    (commands, outputs)
}

#[test]
fn the_examples_of_the_readme_work_and_print_what_it_shows() {
    let (commands, outputs) = check("README.md");
    assert!(
        commands >= 3 && outputs >= 3,
        "{commands} commands, {outputs} outputs"
    );
}

#[test]
fn the_examples_of_the_other_pages_work_and_print_what_they_show() {
    let mut counts = (0, 0);
    for path in pages().iter().filter(|path| path.starts_with("docs/")) {
        let (commands, outputs) = check(path);
        counts = (counts.0 + commands, counts.1 + outputs);
    }
    assert!(counts.0 >= 18 && counts.1 >= 2, "{counts:?}");
}

/// A reader of the README may not have a key yet.
#[test]
fn no_example_of_the_readme_needs_a_key() {
    let readme = blocks(&read("README.md"));
    for block in readme.iter().filter(|block| block.language == "sh") {
        for line in block.text.lines() {
            let needs_key = line.contains(" run ") && !line.contains("--simulate");
            assert!(
                !needs_key,
                "this example needs a key; mark its block as text: {line}"
            );
        }
    }
}
