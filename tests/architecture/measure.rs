//! Prints the structure numbers of the source: `scripts/measure`.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;

use super::items::{Item, functions, scattered_types, structs};
use super::source::{Token, code_lines};
use super::structure::{Parsed, Structure};
use super::{MAX_FIELDS, MAX_FUNCTION_LINES, dependencies, root, sources};

/// Number of lines from which a file is long.
const LONG_FILE: usize = 300;
/// Number of lines below which a file is short.
const SHORT_FILE: usize = 40;

/// Returns the lines of a file that are only compiled for tests.
pub(crate) fn test_lines(file: &Parsed) -> BTreeSet<usize> {
    let all = file.file.text.lines().count();
    if file.is_test {
        return (1..=all).collect();
    }
    let run = |run: &[Token]| match run {
        [first, .., last] if first.in_test => first.line..last.line + 1,
        _ => 0..0,
    };
    let runs = file.tokens.chunk_by(|a, b| a.in_test == b.in_test);
    runs.flat_map(run).collect()
}

/// Returns the lines of a file without its tests, and those of them that contain code.
fn lines(file: &Parsed) -> (usize, usize) {
    let all = file.file.text.lines().count();
    let tests = test_lines(file);
    let code = code_lines(&file.file.text);
    (all - tests.len(), code.difference(&tests).count())
}

#[test]
#[ignore = "prints a table; run by scripts/measure"]
fn measure() {
    let files = sources();
    let structure = Structure::new(&files);
    let code = || structure.files.iter().filter(|file| !file.is_test);
    let sizes: Vec<(usize, usize)> = code().map(lines).collect();
    let count =
        |matches: &dyn Fn(usize) -> bool| sizes.iter().filter(|(lines, _)| matches(*lines)).count();
    row(
        "lines with tests",
        files
            .iter()
            .map(|file| file.text.lines().count())
            .sum::<usize>(),
    );
    row(
        "lines without tests",
        sizes.iter().map(|(lines, _)| lines).sum::<usize>(),
    );
    row(
        "lines of code without tests",
        sizes.iter().map(|(_, code)| code).sum::<usize>(),
    );
    row("files", sizes.len());
    row(
        &format!("files over {LONG_FILE} lines"),
        count(&|lines| lines > LONG_FILE),
    );
    row(
        &format!("files under {SHORT_FILE} lines"),
        count(&|lines| lines < SHORT_FILE),
    );
    print_items("function lines", MAX_FUNCTION_LINES, &structure, functions);
    print_items("struct fields", MAX_FIELDS, &structure, structs);
    let manifest = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    row("direct dependencies", dependencies().len());
    row("locked packages", manifest.matches("[[package]]").count());
    print_list(
        "short files with a single caller",
        &single_callers(&structure),
    );
    let scattered = scattered_types(&structure);
    let text = |(name, files): &(String, BTreeSet<String>)| {
        format!("{name}: {}", Vec::from_iter(files.clone()).join(", "))
    };
    print_list(
        "types with `impl` in several files",
        &scattered.iter().map(text).collect::<Vec<_>>(),
    );
    let cycles = structure.cycles();
    print_list(
        "cycles",
        &cycles
            .iter()
            .map(|cycle| structure.names(cycle))
            .collect::<Vec<_>>(),
    );
}

/// Returns the short files that only one other file uses.
fn single_callers(structure: &Structure) -> Vec<String> {
    let dependencies = structure.dependencies();
    let callers = |at: usize| {
        dependencies
            .iter()
            .filter(move |of| of.contains_key(&at))
            .count()
    };
    let files = structure.files.iter().enumerate();
    let code = files.filter(|(_, file)| !file.is_test && file.file.path != "main.rs");
    let found = code.filter(|(at, file)| lines(file).0 < SHORT_FILE && callers(*at) == 1);
    found.map(|(_, file)| file.file.path.clone()).collect()
}

fn print_items(what: &str, limit: usize, structure: &Structure, find: fn(&[Token]) -> Vec<Item>) {
    let items = structure
        .files
        .iter()
        .filter(|file| !file.is_test)
        .flat_map(|file| {
            let found = find(&file.tokens).into_iter();
            found.map(|item| {
                (
                    item.size,
                    format!("src/{}:{} {}", file.file.path, item.line, item.name),
                )
            })
        });
    let mut items: Vec<(usize, String)> = items.collect();
    items.sort();
    let (most, name) = items.last().unwrap();
    row(&format!("most {what}"), format!("{most} ({name})"));
    let above: Vec<_> = items.iter().filter(|(size, _)| *size > limit).collect();
    let text = |(size, name): &&(usize, String)| format!("{size:4} {name}");
    print_list(
        &format!("more than {limit} {what}"),
        &above.iter().map(text).collect::<Vec<_>>(),
    );
}

#[expect(clippy::print_stdout, reason = "the table is the purpose")]
fn row(name: &str, value: impl Display) {
    println!("{name:36} {value}");
}

#[expect(clippy::print_stdout, reason = "the table is the purpose")]
fn print_list(name: &str, items: &[String]) {
    row(name, items.len());
    for item in items {
        println!("  {item}");
    }
}
