//! What people type first and wrongly: clap says what it does not understand, this says what was
//! probably meant.

use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory as _};

use crate::domain::redact::redact;

use super::args::Cli;
use super::environment;
use super::exit::Exit;
use super::screen;
use super::values::shell_line;

/// Flags under which people give a key itself.
const KEY_FLAGS: [&str; 7] = [
    "--api-key",
    "--apikey",
    "--api_key",
    "--key",
    "--keys",
    "--token",
    "--openai-api-key",
];

/// Names of other programs' flags, and what they are called here.
const FLAGS: [(&str, &str); 12] = [
    ("--workers", "--concurrency"),
    ("--threads", "--concurrency"),
    ("--parallel", "--concurrency"),
    ("--jobs", "--concurrency"),
    ("--retries", "--max-attempts"),
    ("--max-retries", "--max-attempts"),
    ("--url", "--base-url"),
    ("--api-base", "--base-url"),
    ("--endpoint-url", "--base-url"),
    ("--database", "--db"),
    ("--template", "--prompt"),
    ("--system-prompt", "--system"),
];

/// Request parameters that people give as flags.
const PARAMETERS: [&str; 9] = [
    "temperature",
    "max_tokens",
    "max_completion_tokens",
    "top_p",
    "stop",
    "response_format",
    "frequency_penalty",
    "presence_penalty",
    "reasoning_effort",
];

/// Commands that people look for, and what does it here.
const COMMANDS: [(&str, &str); 8] = [
    (
        "resume",
        "type the same `promptmill run` again: it goes on where it stopped",
    ),
    (
        "continue",
        "type the same `promptmill run` again: it goes on where it stopped",
    ),
    ("start", "`promptmill run INPUT`"),
    ("results", "`promptmill export BATCH` writes them"),
    ("list", "`promptmill status` lists the batches"),
    ("errors", "`promptmill failures BATCH`"),
    (
        "check",
        "`promptmill doctor` looks at keys and endpoint, `promptmill verify` at the queue",
    ),
    ("init", "nothing has to be set up: `promptmill run INPUT`"),
];

/// Says what is wrong with the words of a command line; or shows the help that they ask for.
pub(super) fn print(mut error: clap::Error, words: &[OsString]) -> Exit {
    if !error.use_stderr() {
        // A closed stream takes no text; there is nobody to tell.
        let _ = error.print();
        return Exit::Done;
    }
    if let Some(tip) = tip(&error, words) {
        let tips = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tips);
        // One tip is enough, and ours knows more.
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::SuggestedSubcommand);
    }
    let said = error.render().to_string();
    let clean = redact(&said, &[]);
    if clean == said {
        let _ = error.print();
    } else {
        screen::say(&clean);
    }
    Exit::Usage
}

fn tip(error: &clap::Error, words: &[OsString]) -> Option<String> {
    let said = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => command_tip(said(ContextKind::InvalidSubcommand)?),
        ErrorKind::UnknownArgument => flag_tip(said(ContextKind::InvalidArg)?, words),
        ErrorKind::MissingRequiredArgument => missing_tip(words),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            origin_tip(said(ContextKind::InvalidArg)?, words)
        }
        _ => None,
    }
}

fn command_tip(name: &str) -> Option<String> {
    if let Some((_, tip)) = COMMANDS.iter().find(|(known, _)| *known == name) {
        return Some((*tip).to_owned());
    }
    let path = Path::new(name);
    let is_input = path.extension().is_some() || path.is_file() || name == "-";
    is_input.then(|| {
        let line = shell_line(&["promptmill", "run", name].map(str::to_owned));
        format!("a file is the word after a command: `{line}`")
    })
}

fn flag_tip(flag: &str, words: &[OsString]) -> Option<String> {
    let name = flag.split('=').next().unwrap_or(flag);
    if KEY_FLAGS.contains(&name) {
        return Some(
            "a key is never typed as a flag, where the shell's history and the list of processes\n       \
             would show it: set OPENAI_API_KEY, or name a file with --api-key-file"
                .to_owned(),
        );
    }
    if let Some((_, ours)) = FLAGS.iter().find(|(known, _)| *known == name) {
        return Some(format!("that is {ours} here"));
    }
    let parameter = name.trim_start_matches('-').replace('-', "_");
    if name.starts_with("--") && PARAMETERS.contains(&parameter.as_str()) {
        return Some(format!("request parameters are --set {parameter}=VALUE"));
    }
    if let Some(elsewhere) = elsewhere(name) {
        return Some(elsewhere);
    }
    let takes_input = words.iter().any(|word| {
        ["run", "import", "estimate"]
            .iter()
            .any(|known| word == known)
    });
    (takes_input && !flag.starts_with('-')).then(|| {
        "one file for each command; a text of several words wants quotes: --prompt 'Say {{ text }}'"
            .to_owned()
    })
}

/// Tells which commands have a flag that this one has not.
fn elsewhere(flag: &str) -> Option<String> {
    let name = flag.strip_prefix("--")?;
    let program = Cli::command();
    let has = |command: &&Command| {
        command
            .get_arguments()
            .any(|arg| arg.get_long() == Some(name))
    };
    let commands: Vec<_> = program
        .get_subcommands()
        .filter(has)
        .map(|command| format!("`{}`", command.get_name()))
        .collect();
    (!commands.is_empty()).then(|| format!("{flag} is a flag of {}", commands.join(", ")))
}

fn missing_tip(words: &[OsString]) -> Option<String> {
    let example = match words.get(1)?.to_str()? {
        "run" => "promptmill run jobs.csv -o results.csv",
        "estimate" => "promptmill estimate jobs.csv",
        "import" => "promptmill import jobs.csv",
        name @ ("export" | "failures" | "retry" | "cancel" | "show") => {
            return Some(format!(
                "`promptmill status` lists the batches; then `promptmill {name} NAME{}`",
                if name == "show" { " ROW" } else { "" }
            ));
        }
        _ => return None,
    };
    Some(format!("for example `{example}`"))
}

/// A wrong value that is not on the line comes from a variable.
fn origin_tip(arg: &str, words: &[OsString]) -> Option<String> {
    let flag = arg.split([' ', '=']).next()?;
    let name = flag.strip_prefix("--")?;
    let variable = format!("PROMPTMILL_{}", name.replace('-', "_").to_uppercase());
    let typed = words.iter().filter_map(|word| word.to_str());
    let is_typed = typed
        .map(|word| word.split('=').next().unwrap_or(word))
        .any(|word| word == flag);
    // `-o` is the only setting with a letter, and every text is a value of it.
    (!is_typed && environment::ours().contains(&variable))
        .then(|| format!("the value comes from the environment variable {variable}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<&str>) {
        let words: Vec<_> = line.split_whitespace().map(OsString::from).collect();
        let error = Cli::try_parse_from(&words).expect_err("it is wrong");
        let tip = tip(&error, &words);
        match expected {
            Some(part) => assert!(
                tip.as_deref().is_some_and(|tip| tip.contains(part)),
                "{tip:?}"
            ),
            None => assert_eq!(tip, None),
        }
    }

    #[test]
    fn what_is_meant_is_said() {
        check("promptmill jobs.csv", Some("`promptmill run jobs.csv`"));
        check(
            "promptmill jobs.csv -o out.csv",
            Some("`promptmill run jobs.csv`"),
        );
        check("promptmill resume", Some("the same `promptmill run` again"));
        check("promptmill run", Some("promptmill run jobs.csv -o"));
        check("promptmill show jobs.csv", Some("promptmill show NAME ROW"));
        check(
            "promptmill run jobs.csv --api-key x",
            Some("OPENAI_API_KEY"),
        );
        check(
            "promptmill run jobs.csv --api-key=x",
            Some("OPENAI_API_KEY"),
        );
        check("promptmill run jobs.csv --workers 4", Some("--concurrency"));
        check(
            "promptmill run jobs.csv --temperature 0",
            Some("--set temperature="),
        );
        check(
            "promptmill run jobs.csv --max-tokens 9",
            Some("--set max_tokens="),
        );
        check(
            "promptmill run one.csv two.csv",
            Some("one file for each command"),
        );
    }

    #[test]
    fn a_flag_of_another_command_is_placed() {
        check(
            "promptmill import jobs.csv --rpm 3",
            Some("--rpm is a flag of `run`, `estimate`, `work`"),
        );
        check("promptmill export jobs.csv --redo", Some("`run`"));
    }

    #[test]
    fn what_clap_knows_better_is_left_to_it() {
        for line in [
            "promptmill ruin",
            "promptmill run a.csv --modle x",
            "promptmill run a.csv --rpm 0",
        ] {
            check(line, None);
        }
    }

    /// Each flag that is named in a tip is there, and none that is there is among the others'.
    #[test]
    fn the_tables_are_true() {
        let mut help = Cli::try_parse_from(["promptmill", "run", "--help"])
            .expect_err("help")
            .to_string();
        help.push(' ');
        for (others, ours) in FLAGS {
            assert!(help.contains(&format!("{ours} ")), "{ours}");
            assert!(!help.contains(&format!("{others} ")), "{others}");
        }
        for flag in KEY_FLAGS {
            assert!(!help.contains(&format!("{flag} ")), "{flag}");
        }
    }
}
