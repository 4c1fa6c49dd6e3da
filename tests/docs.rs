//! Checks the generated pages of the documentation, and the program's help, manual pages and
//! completions. If a generated page is out of date, its test writes the new version to a file.

#![expect(clippy::unwrap_used, reason = "an unreadable document fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use promptmill::domain::verdict::rules;
use promptmill::domain::verdict::{Action, KeyPenalty, Scope, all_verdicts};
use tempfile::TempDir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs the program in an empty directory with an empty environment.
#[track_caller]
fn run(args: &[&str]) -> Output {
    let dir = TempDir::new().unwrap();
    run_in(dir.path(), args)
}

#[track_caller]
fn run_in(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_promptmill"))
        .args(args)
        .current_dir(dir)
        .env_clear()
        .output()
        .unwrap()
}

/// Returns the standard output of a successful command.
#[track_caller]
fn stdout(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the name of every command and subcommand as a list of words. The program itself has an
/// empty name.
fn commands() -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut pending: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(command) = pending.pop() {
        let mut args: Vec<&str> = command.iter().map(String::as_str).collect();
        args.push("--help");
        let help = stdout(&args);
        let subcommands = help
            .lines()
            .skip_while(|line| *line != "Commands:")
            .skip(1)
            .take_while(|line| !line.is_empty())
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| *name != "help");
        pending.extend(subcommands.map(|name| [command.clone(), vec![name.to_owned()]].concat()));
        found.push(command);
    }
    assert!(found.len() > 15, "{found:?}");
    found
}

/// Compares a page with its generated content.
#[track_caller]
fn check_document(path: &str, expected: &str) {
    let found = fs::read_to_string(root().join(path)).unwrap_or_default();
    if found != expected {
        let name = Path::new(path).file_name().unwrap();
        let generated = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&generated, expected).unwrap();
        panic!(
            "{path} is out of date: copy {} over it",
            generated.display()
        );
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[test]
fn the_settings_page_matches_the_program() {
    let settings: serde_json::Value =
        serde_json::from_str(&stdout(&["config", "show", "--json"])).unwrap();
    let mut text = "# Settings\n\n\
        Generated from the program by `tests/docs.rs`; change the help of a flag, not this page.\n\n\
        Flags override environment variables, which override `promptmill.toml`, which overrides the defaults. The key in \
        the file is\nthe name of the flag without the dashes (`config` itself is only a flag). `promptmill config show` \
        prints each value and its origin.\n\n\
        | flag | environment variable | default | description |\n| --- | --- | --- | --- |\n"
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
        "\nRequest parameters are set with `--set NAME=VALUE`, or in the table `[set]` of the file. For API keys, see \
         [KEYS.md](KEYS.md).\n\n## Tables\n\n\
        From [promptmill.example.toml](../promptmill.example.toml):\n\n",
    );
    writeln!(text, "```toml\n{tables}```").unwrap();
    check_document("docs/SETTINGS.md", &text);
}

/// A setting has the same name as a flag, as an environment variable and in the file.
#[test]
fn the_example_settings_match_the_program() {
    let settings: serde_json::Value =
        serde_json::from_str(&stdout(&["config", "show", "--json"])).unwrap();
    let list = settings["settings"].as_array().unwrap();
    for setting in list {
        let name = setting["name"].as_str().unwrap();
        let variable = format!("PROMPTMILL_{}", name.replace('-', "_").to_uppercase());
        assert_eq!(setting["environment"], variable);
    }
    let example = fs::read_to_string(root().join("promptmill.example.toml")).unwrap();
    let (header, _) = example.split_once("# --- ").unwrap();
    let (_, tables) = example.split_once("# --- Tables").unwrap();
    let mut text = header.to_owned();
    let mut group = "";
    // The path of the file cannot be set in the file.
    for setting in list.iter().filter(|setting| setting["name"] != "config") {
        if setting["group"] != group {
            group = setting["group"].as_str().unwrap();
            writeln!(text, "{:-<98}\n", format!("# --- {group} ")).unwrap();
        }
        text.push_str(&example_setting(setting));
    }
    check_document(
        "promptmill.example.toml",
        &format!("{text}# --- Tables{tables}"),
    );
}

/// Returns a setting of the example file: its help, and a line with its example or default.
#[track_caller]
fn example_setting(setting: &serde_json::Value) -> String {
    let part = |name: &str| setting[name].as_str();
    let (name, default) = (part("name").unwrap(), part("default"));
    let values = setting["values"].as_array().unwrap();
    let values: Vec<_> = values.iter().filter_map(|value| value.as_str()).collect();
    let mut help = format!("{}.", part("help").unwrap());
    if !values.is_empty() {
        write!(help, " Values: {}.", values.join(", ")).unwrap();
    }
    if let (Some(_), Some(default)) = (part("example"), default) {
        write!(help, " Default: {default}.").unwrap();
    }
    let example = part("example").or(default);
    let example = example.unwrap_or_else(|| panic!("add an `[example: …]` to the help of {name}"));
    let is_bare = example.parse::<i64>().is_ok() || example.parse::<bool>().is_ok();
    let value = if is_bare {
        example.to_owned()
    } else {
        format!("{example:?}")
    };
    format!("{}# {name} = {value}\n\n", comment(&help))
}

/// Wraps a text into comment lines.
fn comment(text: &str) -> String {
    let mut lines = vec!["#".to_owned()];
    for word in text.split_whitespace() {
        if lines.last().unwrap().chars().count() + 1 + word.chars().count() > 100 {
            lines.push("#".to_owned());
        }
        let line = lines.last_mut().unwrap();
        line.push(' ');
        line.push_str(word);
    }
    lines.join("\n") + "\n"
}

/// Describes what promptmill does about a failure.
fn effect(action: Action) -> String {
    match action {
        Action::Retry { at_most: None } => "retries later, up to `--max-attempts`".to_owned(),
        Action::Retry {
            at_most: Some(times),
        } => format!("retries later, {times} attempts in total"),
        Action::Wait => "waits for the rate limit; does not count as an attempt".to_owned(),
        Action::NextKey(KeyPenalty::Probation) => {
            "retries with the next key, to find out what causes the failure".to_owned()
        }
        Action::NextKey(KeyPenalty::Quarantined) => {
            "disables the key temporarily; retries with the next key".to_owned()
        }
        Action::NextKey(KeyPenalty::Exhausted) => {
            "disables the key until credit or quota is available again; retries with the next key"
                .to_owned()
        }
        Action::NextKey(KeyPenalty::Dead) => {
            "disables the key; retries with the next key".to_owned()
        }
        Action::FailJob => "fails the row; other rows are not affected".to_owned(),
        Action::StopRun => "stops the run; the row stays pending".to_owned(),
    }
}

const SCOPES: [(Scope, &str); 9] = [
    (Scope::Key, "Key"),
    (Scope::Account, "Account"),
    (Scope::KeyModel, "Key and model"),
    (Scope::Model, "Model"),
    (Scope::Endpoint, "Endpoint"),
    (Scope::Request, "Request"),
    (Scope::Network, "Network"),
    (Scope::Quota, "Quota"),
    (Scope::Transient, "Temporary error"),
];

#[test]
fn the_error_page_matches_the_rules() {
    let seen: BTreeMap<_, _> = rules::all().map(|rule| (rule.id, rule.seen)).collect();
    let mut text = "# Errors\n\n\
        Generated from the rules in `src/domain/verdict/rules` by `tests/docs.rs`; change a rule, not this page.\n\n\
        Each failure is shown with the name of the rule that matched it: in the summary, in `promptmill failures BATCH`, and in the \
        `error`\ncolumn. The tables are grouped by scope, the party that caused the failure. Rules without a hint need no action.\n"
        .to_owned();
    let mut listed = BTreeSet::new();
    for (scope, heading) in SCOPES {
        write!(text, "\n## {heading}\n\n| rule | seen at | what promptmill does | hint |\n| --- | --- | --- | --- |\n").unwrap();
        for known in all_verdicts().filter(|known| known.scope == scope) {
            assert!(
                listed.insert(known.rule),
                "two rules are named {}",
                known.rule
            );
            let at = seen.get(known.rule).copied().unwrap_or_default();
            writeln!(
                text,
                "| `{}` | {} | {} | {} |",
                known.rule,
                cell(at),
                effect(known.action),
                cell(known.hint)
            )
            .unwrap();
        }
    }
    assert_eq!(listed.len(), all_verdicts().count());
    check_document("docs/ERRORS.md", &text);
}

#[test]
fn every_command_has_help_within_80_columns() {
    for command in commands() {
        let mut args: Vec<&str> = command.iter().map(String::as_str).collect();
        args.push("--help");
        let help = stdout(&args);
        let name = command.join(" ");
        assert!(help.contains("\nUsage: promptmill"), "{name}");
        // A command that only has subcommands lists them instead of examples.
        let has_subcommands = help.contains("\nCommands:\n");
        let has_examples = help.contains("\nExamples:\n  ");
        assert!(
            has_examples || has_subcommands,
            "`{name} --help` has no examples"
        );
        for line in examples(&help) {
            let is_complete = line.starts_with("  ") && line.contains("promptmill ");
            assert!(
                is_complete,
                "an example of {name} is wider than 80 columns: {line}"
            );
        }
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
    }
}

/// Returns the lines of the examples in a help text.
fn examples(help: &str) -> impl Iterator<Item = &str> {
    let (_, examples) = help.split_once("\nExamples:\n").unwrap_or_default();
    examples.lines().take_while(|line| !line.is_empty())
}

#[test]
fn without_arguments_prints_help_with_an_unredacted_example() {
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(2));
    let help = String::from_utf8(output.stderr).unwrap();
    assert!(help.contains("Usage: promptmill"), "{help}");
    let example = "OPENAI_API_KEY=sk-… promptmill run jobs.csv -o results.csv";
    assert!(help.contains(example), "{help}");
}

#[test]
fn short_help_fits_on_a_screen() {
    for command in commands().iter().filter(|command| !command.is_empty()) {
        let mut args: Vec<&str> = command.iter().map(String::as_str).collect();
        args.push("-h");
        let help = stdout(&args);
        assert!(help.lines().count() <= 30, "{help}");
        assert!(!help.contains("[env: "), "{help}");
        let pointer = "Print help (see all options with '--help')";
        assert!(help.trim_end().ends_with(pointer), "{help}");
    }
}

#[test]
fn help_does_not_print_values_of_environment_variables() {
    const VALUE: &str = "value-of-a-variable";
    let settings: serde_json::Value =
        serde_json::from_str(&stdout(&["config", "show", "--json"])).unwrap();
    let list = settings["settings"].as_array().unwrap();
    let names = list
        .iter()
        .filter_map(|setting| setting["environment"].as_str());
    let names: Vec<_> = names
        .chain(["PROMPTMILL_API_KEYS", "OPENAI_API_KEY"])
        .collect();
    assert!(names.len() > 40, "{names:?}");
    for command in commands() {
        for flag in ["-h", "--help"] {
            let output = Command::new(env!("CARGO_BIN_EXE_promptmill"))
                .args(&command)
                .arg(flag)
                .env_clear()
                .envs(names.iter().map(|name| (name, VALUE)))
                .output()
                .unwrap();
            assert!(output.status.success(), "{command:?}: {output:?}");
            let help = String::from_utf8(output.stdout).unwrap();
            assert!(!help.contains(VALUE), "{help}");
        }
    }
}

#[test]
fn examples_in_help_use_existing_commands_and_flags() {
    for command in commands() {
        let mut args: Vec<&str> = command.iter().map(String::as_str).collect();
        args.push("--help");
        let help = stdout(&args);
        for line in examples(&help) {
            for (_, example) in line
                .split("&&")
                .filter_map(|part| part.split_once("promptmill "))
            {
                check_example(example);
            }
        }
    }
}

#[track_caller]
fn check_example(example: &str) {
    let example = example.split(" | ").next().unwrap();
    let example = example.split("   ").next().unwrap();
    let args: Vec<&str> = example.split_whitespace().collect();
    let command = args.iter().copied().take_while(|word| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
    });
    let mut command: Vec<&str> = command.take(2).collect();
    while !command.is_empty() {
        let mut help_command = command.clone();
        help_command.push("--help");
        let output = run(&help_command);
        let help = String::from_utf8(output.stdout).unwrap();
        if output.status.success() {
            let usage = help.split_once("\nUsage:").unwrap().1;
            for flag in args.iter().filter(|word| word.starts_with("--")) {
                let name = flag.split('=').next().unwrap();
                // `config show` accepts the flags of `run`.
                let known = usage.split_whitespace().any(|word| word == name)
                    || command == ["config", "show"];
                assert!(
                    known,
                    "{name} not found in the help of {command:?}: {example}"
                );
            }
            return;
        }
        command.pop();
    }
    panic!("unknown command: {example}");
}

#[test]
fn every_command_has_a_manual_page_with_exit_codes_and_variables() {
    let dir = TempDir::new().unwrap();
    let output = run_in(dir.path(), &["man", "--dir", "."]);
    assert!(output.status.success(), "{output:?}");
    for command in commands() {
        let name = [vec!["promptmill".to_owned()], command.clone()]
            .concat()
            .join("-");
        let page = fs::read_to_string(dir.path().join(format!("{name}.1"))).unwrap();
        let mut args = vec!["man"];
        args.extend(command.iter().map(String::as_str));
        assert_eq!(stdout(&args), page, "{name}");
        for part in [
            ".SH NAME",
            ".SH \"EXIT STATUS\"",
            ".SH ENVIRONMENT",
            "PROMPTMILL_DB",
            "OPENAI_API_KEY",
        ] {
            assert!(page.contains(part), "{part} not found in {name}.1:\n{page}");
        }
        let lacks_description = page.contains("\\fR\n\n.");
        assert!(
            !lacks_description,
            "an option in {name}.1 has no description:\n{page}"
        );
    }
    let wrong = run(&["man", "--dir", "none"]);
    assert_eq!(wrong.status.code(), Some(73));
    assert_eq!(run(&["man", "ruin"]).status.code(), Some(2));
}

#[test]
fn the_manual_page_and_the_readme_describe_the_same_exit_codes() {
    let (page, readme) = (
        stdout(&["man"]),
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
            action => format!("{}: {action}", cells[1]),
        };
        assert!(
            page.contains(&line),
            "{line:?} not found in the manual page"
        );
        count += 1;
    }
    assert_eq!(count, 14);
}

#[test]
fn completions_are_generated_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = stdout(&["completions", shell]);
        for word in ["estimate", "failures", "concurrency"] {
            assert!(script.contains(word), "{shell}: {word} not found");
        }
    }
    let mut bash = Command::new("/bin/bash");
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("completions");
    fs::write(&path, stdout(&["completions", "bash"])).unwrap();
    let checked = bash.arg("-n").arg(&path).output();
    // Passes on systems without bash.
    assert!(checked.is_err() || checked.unwrap().status.success());
}
