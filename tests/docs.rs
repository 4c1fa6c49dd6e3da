//! Documents that are made from the program: they say what it does, or this fails and has written the
//! right text to be copied. And what the program says of itself: help, manual pages, completions.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read the documents has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use promptmill::domain::verdict::rules;
use promptmill::domain::verdict::{Action, Scope, SetAside, every};
use tempfile::TempDir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs the program in a folder of its own, with no environment.
#[track_caller]
fn run(words: &[&str]) -> Output {
    let folder = TempDir::new().unwrap();
    run_in(folder.path(), words)
}

#[track_caller]
fn run_in(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_promptmill"))
        .args(words)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap()
}

#[track_caller]
fn said(words: &[&str]) -> String {
    let output = run(words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Every command with those below it, as words; the program itself is none.
fn commands() -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut open: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(command) = open.pop() {
        let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
        words.push("--help");
        let help = said(&words);
        let below = help
            .lines()
            .skip_while(|line| *line != "Commands:")
            .skip(1)
            .take_while(|line| !line.is_empty())
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| *name != "help");
        open.extend(below.map(|name| [command.clone(), vec![name.to_owned()]].concat()));
        found.push(command);
    }
    assert!(found.len() > 15, "{found:?}");
    found
}

/// Holds a document to the text that it should be.
#[track_caller]
fn check_document(path: &str, expected: &str) {
    let found = fs::read_to_string(root().join(path)).unwrap_or_default();
    if found != expected {
        let name = Path::new(path).file_name().unwrap();
        let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&made, expected).unwrap();
        panic!(
            "{path} does not say what the program does: copy {} there",
            made.display()
        );
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[test]
fn the_table_of_settings_is_that_of_the_program() {
    let settings: serde_json::Value =
        serde_json::from_str(&said(&["config", "show", "--json"])).unwrap();
    let mut text = "# Settings\n\n\
        Made from the program by `tests/docs.rs`; change the help of a flag, not this page.\n\n\
        A flag wins over the environment, the environment over the settings file, that over the default. \
        The key in `promptmill.toml`\nis the flag's name without the dashes (but for `config` itself). `promptmill config show` \
        tells each value and where it comes from.\n\n\
        | flag | environment | default | what it is for |\n| --- | --- | --- | --- |\n"
        .to_owned();
    let list = settings["settings"].as_array().unwrap();
    assert!(list.len() > 20, "{list:?}");
    for setting in list {
        let part = |name: &str| setting[name].as_str().unwrap_or_default();
        let default = match part("default") {
            "" => String::new(),
            default if default.contains(' ') => cell(default),
            default => format!("`{}`", cell(default)),
        };
        writeln!(
            text,
            "| `--{}` | `{}` | {default} | {} |",
            part("name"),
            part("environment"),
            cell(part("help"))
        )
        .unwrap();
    }
    let example = fs::read_to_string(root().join("promptmill.example.toml")).unwrap();
    let (_, tables) = example.split_once("# --- Tables").unwrap();
    let (_, tables) = tables.split_once("\n\n").unwrap();
    text.push_str(
        "\nRequest parameters are `--set NAME=VALUE`, in the file the table `[set]`. Keys are never the value of a flag: \
         see\n[the README](../README.md#keys).\n\n## The tables of the file\n\n\
        As in [promptmill.example.toml](../promptmill.example.toml), where each line is commented out:\n\n",
    );
    writeln!(text, "```toml\n{tables}```").unwrap();
    check_document("docs/SETTINGS.md", &text);
}

/// Every setting is a flag, a variable and a key of the file, all by one name.
#[test]
fn every_setting_is_in_the_example_file_and_every_key_there_is_a_setting() {
    let settings: serde_json::Value =
        serde_json::from_str(&said(&["config", "show", "--json"])).unwrap();
    let list = settings["settings"].as_array().unwrap();
    let names = list.iter().map(|setting| setting["name"].as_str().unwrap());
    // What names the file cannot stand in it.
    let names: BTreeSet<_> = names.filter(|name| *name != "config").collect();
    for setting in list {
        let name = setting["name"].as_str().unwrap();
        let variable = format!("PROMPTMILL_{}", name.replace('-', "_").to_uppercase());
        assert_eq!(setting["environment"], variable);
    }
    let example = fs::read_to_string(root().join("promptmill.example.toml")).unwrap();
    let (top, _tables) = example.split_once("# --- Tables").unwrap();
    let keys = top.lines().filter_map(|line| {
        let name = line.strip_prefix("# ")?.split_once(" = ")?.0;
        let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        is_name.then_some(name)
    });
    assert_eq!(keys.collect::<BTreeSet<_>>(), names);
}

/// Says what promptmill does about a failure.
fn does(action: Action) -> String {
    match action {
        Action::Retry { at_most: None } => "asks again later, up to `--max-attempts`".to_owned(),
        Action::Retry {
            at_most: Some(times),
        } => format!("asks again later, {times} attempts in all"),
        Action::Wait => "waits for the limit; that is no attempt".to_owned(),
        Action::NextKey(SetAside::Doubted) => {
            "asks with the next key, and finds out whose fault it is".to_owned()
        }
        Action::NextKey(SetAside::Quarantined) => {
            "sets the key aside for a while; the next key takes the row".to_owned()
        }
        Action::NextKey(SetAside::Exhausted) => {
            "sets the key aside until there is money or quota; the next key takes the row"
                .to_owned()
        }
        Action::NextKey(SetAside::Dead) => {
            "never uses the key again; the next key takes the row".to_owned()
        }
        Action::FailJob => "fails the row; nothing else is touched".to_owned(),
        Action::StopRun => "stops the run; the row stays pending".to_owned(),
    }
}

const SCOPES: [(Scope, &str); 9] = [
    (Scope::Key, "The key"),
    (Scope::Account, "The account behind the key"),
    (Scope::KeyModel, "This key for this model"),
    (Scope::Model, "The model"),
    (Scope::Endpoint, "The address or the endpoint"),
    (Scope::Request, "The row"),
    (Scope::Network, "The way there"),
    (Scope::Quota, "A limit"),
    (Scope::Transient, "Something that passes"),
];

#[test]
fn the_table_of_errors_is_that_of_the_judge() {
    let seen: BTreeMap<_, _> = rules::all().map(|rule| (rule.id, rule.seen)).collect();
    let mut text = "# Errors and their cures\n\n\
        Made from the rules of the judge by `tests/docs.rs`; change a rule, not this page.\n\n\
        The name of the rule stands behind each failure: in `promptmill failures BATCH`, in the summary, in the \
        column `error`.\nThe tables are by whose fault it is; an empty cure means that there is nothing to do.\n"
        .to_owned();
    let mut told = BTreeSet::new();
    for (scope, heading) in SCOPES {
        write!(text, "\n## {heading}\n\n| rule | seen at | what promptmill does | cure |\n| --- | --- | --- | --- |\n").unwrap();
        for known in every().filter(|known| known.scope == scope) {
            assert!(
                told.insert(known.rule),
                "two rules are called {}",
                known.rule
            );
            let at = seen.get(known.rule).copied().unwrap_or_default();
            writeln!(
                text,
                "| `{}` | {} | {} | {} |",
                known.rule,
                cell(at),
                does(known.action),
                cell(known.hint)
            )
            .unwrap();
        }
    }
    assert_eq!(told.len(), every().count());
    check_document("docs/ERRORS.md", &text);
}

#[test]
fn every_command_explains_itself_within_80_columns() {
    for command in commands() {
        let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
        words.push("--help");
        let help = said(&words);
        let name = command.join(" ");
        assert!(help.contains("\nUsage: promptmill"), "{name}");
        // What only leads to commands shows them instead.
        let leads = help.contains("\nCommands:\n");
        let shows = help.starts_with("Examples:\n  ") || leads;
        assert!(shows, "`{name} --help` has no example");
        for line in examples(&help) {
            let is_whole = line.starts_with("  ") && line.contains("promptmill ");
            assert!(is_whole, "an example of {name} is wider than 80: {line}");
        }
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
    }
}

/// The lines of a help's examples.
fn examples(help: &str) -> impl Iterator<Item = &str> {
    let lines = help.strip_prefix("Examples:\n").unwrap_or_default().lines();
    lines.take_while(|line| !line.is_empty())
}

/// Examples in help are typed as they are: every flag and command in them is there.
#[test]
fn examples_in_help_are_understood() {
    for command in commands() {
        let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
        words.push("--help");
        let help = said(&words);
        for line in examples(&help) {
            for typed in line
                .split("&&")
                .filter_map(|part| part.split_once("promptmill "))
            {
                check_example(typed.1);
            }
        }
    }
}

#[track_caller]
fn check_example(typed: &str) {
    let typed = typed.split(" | ").next().unwrap();
    let typed = typed.split("   ").next().unwrap();
    let words: Vec<&str> = typed.split_whitespace().collect();
    let command = words.iter().copied().take_while(|word| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
    });
    let mut command: Vec<&str> = command.take(2).collect();
    while !command.is_empty() {
        let mut asked = command.clone();
        asked.push("--help");
        let output = run(&asked);
        let help = String::from_utf8(output.stdout).unwrap();
        if output.status.success() {
            let told = help.split_once("\nUsage:").unwrap().1;
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                let name = flag.split('=').next().unwrap();
                // What is behind `config show` are the flags of `run`.
                let known = told.split_whitespace().any(|word| word == name)
                    || command == ["config", "show"];
                assert!(known, "no {name} in the help of {command:?}: {typed}");
            }
            return;
        }
        command.pop();
    }
    panic!("no such command: {typed}");
}

#[test]
fn every_command_has_a_manual_page_with_exit_codes_and_variables() {
    let folder = TempDir::new().unwrap();
    let output = run_in(folder.path(), &["man", "--dir", "."]);
    assert!(output.status.success(), "{output:?}");
    for command in commands() {
        let name = [vec!["promptmill".to_owned()], command.clone()]
            .concat()
            .join("-");
        let page = fs::read_to_string(folder.path().join(format!("{name}.1"))).unwrap();
        let mut words = vec!["man"];
        words.extend(command.iter().map(String::as_str));
        assert_eq!(said(&words), page, "{name}");
        for part in [
            ".SH NAME",
            ".SH \"EXIT STATUS\"",
            ".SH ENVIRONMENT",
            "PROMPTMILL_DB",
            "OPENAI_API_KEY",
        ] {
            assert!(page.contains(part), "no {part} in {name}.1:\n{page}");
        }
    }
    let wrong = run(&["man", "--dir", "none"]);
    assert_eq!(wrong.status.code(), Some(73));
    assert_eq!(run(&["man", "ruin"]).status.code(), Some(2));
}

/// The manual has the exit codes in the words of the README.
#[test]
fn the_exit_codes_of_the_manual_are_those_of_the_readme() {
    let (page, readme) = (
        said(&["man"]),
        fs::read_to_string(root().join("README.md")).unwrap(),
    );
    let table = readme.split_once("## Exit codes").unwrap().1;
    let rows = table
        .lines()
        .filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit());
    let mut count = 0;
    for row in rows.take_while(|row| !row.contains("--")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let line = match cells[2] {
            "nothing" => format!("\n{}\n", cells[1]),
            to_do => format!("{}: {to_do}", cells[1]),
        };
        assert!(page.contains(&line), "no {line:?} in the manual page");
        count += 1;
    }
    assert_eq!(count, 14);
}

#[test]
fn shells_get_their_completions() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = said(&["completions", shell]);
        for word in ["estimate", "failures", "concurrency"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
    let mut bash = Command::new("/bin/bash");
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("completions");
    fs::write(&path, said(&["completions", "bash"])).unwrap();
    let checked = bash.arg("-n").arg(&path).output();
    // Where there is no bash, nobody completes with it.
    assert!(checked.is_err() || checked.unwrap().status.success());
}
