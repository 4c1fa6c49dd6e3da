//! Holds the documents for users to the program: what `README.md` tells to type is typed, what it
//! says is printed is printed, and every flag, variable, code and setting it names is there.
//!
//! What needs a key, a network or a model of one's own is not in here; those blocks are `text`.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read the documents has failed"
)]

#[path = "readme/desk.rs"]
mod desk;
#[path = "readme/typed.rs"]
mod typed;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use desk::Desk;

/// Flags of cargo that the documents name.
const CARGO_FLAGS: [&str; 5] = ["--release", "--locked", "--path", "--features", "--test"];

/// The variable with a list of keys: no flag has it, since a key is never a flag's value.
const KEYS_VARIABLE: &str = "PROMPTMILL_API_KEYS";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The documents for those who run the program, as paths from the root.
fn documents() -> Vec<String> {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let names = docs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut documents: Vec<_> = names
        .filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "md"))
        .map(|name| format!("docs/{name}"))
        .collect();
    assert!(documents.len() > 2, "{documents:?}");
    documents.extend(["README.md", "SECURITY.md", "promptmill.example.toml"].map(str::to_owned));
    documents
}

/// Every word of a text that starts like this and goes on in these characters.
fn words<'a>(text: &'a str, start: &str, goes_on: impl Fn(char) -> bool) -> BTreeSet<&'a str> {
    let found = text.match_indices(start).filter_map(|(at, _)| {
        let before = text[..at].chars().next_back();
        let rest = &text[at..];
        let length = rest.find(|c| !goes_on(c)).unwrap_or(rest.len());
        let word = rest[..length].trim_end_matches('-');
        (before.is_none_or(|c| !goes_on(c)) && word.len() > start.len()).then_some(word)
    });
    found.collect()
}

fn flags(text: &str) -> BTreeSet<&str> {
    words(text, "--", |c| c.is_ascii_alphanumeric() || c == '-')
}

fn variables(text: &str) -> BTreeSet<&str> {
    words(text, "PROMPTMILL_", |c| {
        c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit()
    })
}

/// The help of the program and of every command it lists.
fn all_help(desk: &Desk) -> String {
    let help = |command: &str| {
        let output = desk.types(&format!("promptmill {command} --help"));
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let mut all = help("");
    let commands: Vec<String> = all
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect();
    assert!(commands.contains(&"run".to_owned()), "{commands:?}");
    for command in commands {
        all.push_str(&help(&command));
    }
    all
}

/// The section of a document under a heading, without those below it.
fn section<'a>(markdown: &'a str, heading: &str) -> &'a str {
    let start = markdown.find(heading).unwrap() + heading.len();
    let rest = &markdown[start..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

#[test]
fn every_flag_and_variable_that_the_documents_name_is_there() {
    let help = all_help(&Desk::new());
    let (known_flags, known_variables) = (flags(&help), variables(&help));
    for path in documents() {
        let text = read(&path);
        for flag in flags(&text) {
            assert!(
                known_flags.contains(flag) || CARGO_FLAGS.contains(&flag),
                "{path} names {flag}, which no command has"
            );
        }
        for variable in variables(&text) {
            assert!(
                known_variables.contains(variable) || variable == KEYS_VARIABLE,
                "{path} names {variable}, which nothing reads"
            );
        }
    }
}

#[test]
fn every_variable_of_the_program_is_in_the_documents() {
    let help = all_help(&Desk::new());
    let (readme, settings) = (read("README.md"), read("docs/SETTINGS.md"));
    let told = &variables(&readme) | &variables(&settings);
    let untold: Vec<_> = variables(&help)
        .into_iter()
        .filter(|name| !told.contains(name))
        .collect();
    assert!(untold.is_empty(), "no document tells of {untold:?}");
}

#[test]
fn the_table_of_exit_codes_is_that_of_the_program() {
    let code = |line: &str| {
        line.split_once(" = ")?
            .1
            .strip_suffix(',')?
            .parse::<u8>()
            .ok()
    };
    let source = read("src/cli/exit.rs");
    let inside = source.split_once("enum Exit {").unwrap().1;
    let inside = inside.split_once("\n}").unwrap().0;
    let expected: BTreeSet<u8> = inside.lines().filter_map(code).collect();
    assert!(expected.len() > 10, "{expected:?}");

    let readme = read("README.md");
    let rows = section(&readme, "\n## Exit codes\n").lines();
    let cells = rows.filter_map(|row| row.strip_prefix("| ")?.split(" | ").next());
    let told: BTreeSet<u8> = cells
        .flat_map(|cell| cell.split(", "))
        .filter_map(|number| number.parse().ok())
        .collect();
    assert_eq!(told, expected);
}

/// The anchors of a document: its headings as links spell them.
fn anchors(markdown: &str) -> Vec<String> {
    let headings = markdown
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
    let spelt = headings.map(|heading| heading.to_lowercase().replace(' ', "-"));
    spelt.collect()
}

#[test]
fn every_link_leads_somewhere() {
    for path in documents() {
        let text = read(&path);
        let folder = root().join(&path).parent().unwrap().to_owned();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let leads = target.starts_with("https://") || {
                let whole = if file.is_empty() {
                    text.clone()
                } else {
                    fs::read_to_string(folder.join(file)).unwrap_or_default()
                };
                !whole.is_empty()
                    && (anchor.is_empty() || anchors(&whole).iter().any(|known| known == anchor))
            };
            assert!(leads, "{path}: {target} leads nowhere");
        }
    }
}

/// The settings of the example file as they are when every comment sign is taken away.
fn filled_in_example() -> String {
    let example = read("promptmill.example.toml");
    let lines = example.lines().map(|line| {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let name = bare.split(" = ").next().unwrap_or_default();
        let is_setting = bare.contains(" = ")
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || "-_".contains(c));
        if is_setting || bare.starts_with('[') {
            bare
        } else {
            line
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check_settings(text: &str) {
    let desk = Desk::new();
    desk.write("settings.toml", text);
    let output = desk.types("promptmill status --json --config settings.toml");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_example_settings_are_read_as_they_are_and_filled_in() {
    check_settings(&read("promptmill.example.toml"));
    check_settings(&filled_in_example());
}

#[test]
fn the_example_settings_have_every_key_of_the_file() {
    let filled_in = filled_in_example();
    let source = read("src/cli/file.rs");
    let fields = source.lines().filter_map(|line| {
        let (name, _) = line.strip_prefix("    pub(super) ")?.split_once(": ")?;
        Some(name.replace('_', "-"))
    });
    let mut seen = 0;
    for name in fields {
        let forms = [
            format!("{name} = "),
            format!("[{name}]"),
            format!("[[{name}]]"),
            format!("[{name}."),
        ];
        let is_there = filled_in
            .lines()
            .any(|line| forms.iter().any(|form| line.starts_with(form.as_str())));
        assert!(is_there, "promptmill.example.toml does not have {name}");
        seen += 1;
    }
    assert!(seen > 20, "only {seen} keys were found in src/cli/file.rs");
}
