//! Checks the user documentation against the program: runs its commands and compares their output,
//! and checks that every flag, variable, exit code and setting that it mentions exists.
//!
//! Examples that need a real key, the network or a local model are marked as `text` and not run.

#![expect(clippy::unwrap_used, reason = "an unreadable document fails the test")]

#[path = "readme/examples.rs"]
mod examples;
#[path = "readme/sandbox.rs"]
mod sandbox;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sandbox::Sandbox;

/// Flags of cargo that the documentation mentions.
const CARGO_FLAGS: [&str; 5] = ["--release", "--locked", "--path", "--features", "--test"];

/// The environment variable for API keys. It has no flag, because a key is never the value of a
/// flag.
const KEYS_VARIABLE: &str = "PROMPTMILL_API_KEYS";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Returns the user documentation, as paths relative to the root.
fn pages() -> Vec<String> {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let names = docs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut pages: Vec<_> = names
        .filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "md"))
        .map(|name| format!("docs/{name}"))
        .collect();
    assert!(pages.len() > 2, "{pages:?}");
    pages.extend(["README.md", "SECURITY.md", "promptmill.example.toml"].map(str::to_owned));
    pages
}

/// Returns the words of a text that begin with `start` and consist of the accepted characters.
fn words<'a>(text: &'a str, start: &str, is_part: impl Fn(char) -> bool) -> BTreeSet<&'a str> {
    let found = text.match_indices(start).filter_map(|(at, _)| {
        let before = text[..at].chars().next_back();
        let rest = &text[at..];
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let word = rest[..length].trim_end_matches('-');
        (before.is_none_or(|c| !is_part(c)) && word.len() > start.len()).then_some(word)
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

/// Returns the help of the program and of every command that it lists.
fn all_help(sandbox: &Sandbox) -> String {
    let help = |command: &str| {
        let output = sandbox.run(&format!("promptmill {command} --help"));
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

/// Returns the section under a heading, without the following sections.
fn section<'a>(markdown: &'a str, heading: &str) -> &'a str {
    let start = markdown.find(heading).unwrap() + heading.len();
    let rest = &markdown[start..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

#[test]
fn every_flag_and_variable_in_the_documentation_exists() {
    let help = all_help(&Sandbox::new());
    let (known_flags, known_variables) = (flags(&help), variables(&help));
    for path in pages() {
        let text = read(&path);
        for flag in flags(&text) {
            assert!(
                known_flags.contains(flag) || CARGO_FLAGS.contains(&flag),
                "{path} mentions {flag}, which does not exist"
            );
        }
        for variable in variables(&text) {
            assert!(
                known_variables.contains(variable) || variable == KEYS_VARIABLE,
                "{path} mentions {variable}, which the program does not read"
            );
        }
    }
}

#[test]
fn every_variable_of_the_program_is_documented() {
    let help = all_help(&Sandbox::new());
    let (readme, settings) = (read("README.md"), read("docs/SETTINGS.md"));
    let documented = &variables(&readme) | &variables(&settings);
    let missing: Vec<_> = variables(&help)
        .into_iter()
        .filter(|name| !documented.contains(name))
        .collect();
    assert!(missing.is_empty(), "not documented: {missing:?}");
}

#[test]
fn the_readme_lists_the_exit_codes_of_the_program() {
    let code = |line: &str| {
        line.split_once(" = ")?
            .1
            .strip_suffix(',')?
            .parse::<u8>()
            .ok()
    };
    let source = read("src/exit/mod.rs");
    let inside = source.split_once("enum Exit {").unwrap().1;
    let inside = inside.split_once("\n}").unwrap().0;
    let expected: BTreeSet<u8> = inside.lines().filter_map(code).collect();
    assert!(expected.len() > 10, "{expected:?}");

    let readme = read("README.md");
    let rows = section(&readme, "\n## Exit codes\n").lines();
    let cells = rows.filter_map(|row| row.strip_prefix("| ")?.split(" | ").next());
    let documented: BTreeSet<u8> = cells
        .flat_map(|cell| cell.split(", "))
        .filter_map(|number| number.parse().ok())
        .collect();
    assert_eq!(documented, expected);
}

/// Returns the anchors of a page: its headings in lower case with hyphens.
fn anchors(markdown: &str) -> Vec<String> {
    let headings = markdown
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
    let anchors = headings.map(|heading| heading.to_lowercase().replace(' ', "-"));
    anchors.collect()
}

#[test]
fn every_link_has_a_target() {
    for path in pages() {
        let text = read(&path);
        let dir = root().join(&path).parent().unwrap().to_owned();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let exists = target.starts_with("https://") || {
                let whole = if file.is_empty() {
                    text.clone()
                } else {
                    fs::read_to_string(dir.join(file)).unwrap_or_default()
                };
                !whole.is_empty()
                    && (anchor.is_empty() || anchors(&whole).iter().any(|known| known == anchor))
            };
            assert!(exists, "{path}: link target {target} not found");
        }
    }
}

/// Returns the example settings with every setting uncommented.
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
    let sandbox = Sandbox::new();
    sandbox.write("settings.toml", text);
    let output = sandbox.run("promptmill status --json --config settings.toml");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_example_settings_are_valid_with_and_without_comments() {
    check_settings(&read("promptmill.example.toml"));
    check_settings(&filled_in_example());
}

/// `tests/docs.rs` checks the settings with a flag.
#[test]
fn the_example_settings_contain_every_setting_of_the_tables() {
    let filled_in = filled_in_example();
    let source = read("src/cli/settings/tables.rs");
    let fields = source.lines().filter_map(|line| {
        let (name, _) = line
            .strip_prefix("    pub(in crate::cli) ")?
            .split_once(": ")?;
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
        let is_listed = filled_in
            .lines()
            .any(|line| forms.iter().any(|form| line.starts_with(form.as_str())));
        assert!(is_listed, "promptmill.example.toml does not contain {name}");
        seen += 1;
    }
    assert!(seen > 15, "only {seen} settings found");
}
