//! Errors in the command line. Tips for common mistakes are added to the messages of clap.

use std::ffi::OsString;
use std::path::Path;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::domain::redact::redact;

use super::exit::Exit;
use super::values::shell_line;
use super::{console, environment};

/// Flags with which users try to pass an API key.
const KEY_FLAGS: &str = "\
    --api-key --apikey --api_key --key --keys --token --openai-api-key";

/// Flags of similar programs, and the corresponding flags of this one.
const FOREIGN_FLAGS: [(&str, &str); 12] = [
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

/// Request parameters that users pass as flags.
const PARAMETERS: &str = "temperature max_tokens max_completion_tokens top_p stop response_format frequency_penalty \
    presence_penalty reasoning_effort";

/// Commands that users may expect, and tips.
const FOREIGN_COMMANDS: [(&str, &str); 8] = [
    ("resume", RESUME),
    ("continue", RESUME),
    ("start", "use `promptmill run INPUT`"),
    ("results", "use `promptmill export BATCH`"),
    ("list", "use `promptmill status` to list the batches"),
    ("errors", "use `promptmill failures BATCH`"),
    (
        "check",
        "use `promptmill doctor` for keys and endpoint, `promptmill verify` for the database",
    ),
    ("init", "no setup is required: use `promptmill run INPUT`"),
];

const RESUME: &str = "repeat the same `promptmill run` command to resume";

/// Prints the error, or the help that was requested.
pub(super) fn print(mut error: clap::Error, words: &[OsString], program: &Command) -> Exit {
    // Errors of standard output and standard error are ignored: they cannot be reported.
    if !error.use_stderr() {
        let _ = error.print();
        return Exit::Done;
    }
    if error.kind() == ErrorKind::MissingSubcommand && words.len() < 2 {
        // clap takes a global setting in the environment for an argument.
        let program = program.clone().mut_args(|arg| arg.env(None::<&str>));
        error = program.try_get_matches_from(words).err().unwrap_or(error);
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // It contains no input to redact, but an example with a key.
        let _ = error.print();
        return Exit::Usage;
    }
    if let Some(tip) = tip(&error, words, program) {
        let tips = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tips);
        // This tip is more specific than those of clap.
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::SuggestedSubcommand);
    }
    let message = error.render().to_string();
    let redacted = redact(&message, &[]);
    if redacted == message {
        let _ = error.print();
    } else {
        console::eprint(&redacted);
    }
    Exit::Usage
}

fn tip(error: &clap::Error, words: &[OsString], program: &Command) -> Option<String> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => command_tip(context(ContextKind::InvalidSubcommand)?),
        ErrorKind::UnknownArgument => flag_tip(context(ContextKind::InvalidArg)?, words, program),
        ErrorKind::MissingRequiredArgument => missing_tip(words),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            origin_tip(context(ContextKind::InvalidArg)?, words)
        }
        _ => None,
    }
}

fn command_tip(name: &str) -> Option<String> {
    if let Some((_, tip)) = FOREIGN_COMMANDS.iter().find(|(known, _)| *known == name) {
        return Some((*tip).to_owned());
    }
    let path = Path::new(name);
    let is_input = path.extension().is_some() || path.is_file() || name == "-";
    is_input.then(|| {
        let line = shell_line(&["promptmill", "run", name].map(str::to_owned));
        format!("pass the input file to a command: `{line}`")
    })
}

fn flag_tip(flag: &str, words: &[OsString], program: &Command) -> Option<String> {
    let name = flag.split('=').next().unwrap_or(flag);
    if KEY_FLAGS.split(' ').any(|known| known == name) {
        return Some(
            "API keys cannot be passed as flags, since the shell history and the process list\n       \
             would show them: set OPENAI_API_KEY, or pass a file with --api-key-file"
                .to_owned(),
        );
    }
    if let Some((_, own)) = FOREIGN_FLAGS.iter().find(|(known, _)| *known == name) {
        return Some(format!("use {own}"));
    }
    let parameter = name.trim_start_matches('-').replace('-', "_");
    if name.starts_with("--") && PARAMETERS.split(' ').any(|known| known == parameter) {
        return Some(format!(
            "set request parameters with --set {parameter}=VALUE"
        ));
    }
    if let Some(tip) = other_command_tip(name, program) {
        return Some(tip);
    }
    let takes_input = words.iter().any(|word| {
        ["run", "import", "estimate"]
            .iter()
            .any(|known| word == known)
    });
    (takes_input && !flag.starts_with('-')).then(|| {
        "only one input file is accepted; quote values with spaces: --prompt 'Say {{ text }}'"
            .to_owned()
    })
}

/// Returns a tip that lists the commands with this flag.
fn other_command_tip(flag: &str, program: &Command) -> Option<String> {
    let name = flag.strip_prefix("--")?;
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
    (!commands.is_empty()).then(|| format!("{flag} is an option of {}", commands.join(", ")))
}

fn missing_tip(words: &[OsString]) -> Option<String> {
    let example = match words.get(1)?.to_str()? {
        "run" => "promptmill run jobs.csv -o results.csv",
        "estimate" => "promptmill estimate jobs.csv",
        "import" => "promptmill import jobs.csv",
        name @ ("export" | "failures" | "retry" | "cancel" | "show") => {
            return Some(format!(
                "run `promptmill status` to list the batches, then `promptmill {name} BATCH{}`",
                if name == "show" { " ROW" } else { "" }
            ));
        }
        _ => return None,
    };
    Some(format!("use for example `{example}`"))
}

/// Returns a tip if the invalid value is not on the command line, but in an environment variable.
fn origin_tip(arg: &str, words: &[OsString]) -> Option<String> {
    let flag = arg.split([' ', '=']).next()?;
    let name = flag.strip_prefix("--")?;
    let variable = format!("PROMPTMILL_{}", name.replace('-', "_").to_uppercase());
    let words = words.iter().filter_map(|word| word.to_str());
    let is_flag = words
        .map(|word| word.split('=').next().unwrap_or(word))
        .any(|word| word == flag);
    // The only setting with a short flag is `-o`, which has no invalid values.
    (!is_flag && environment::own_variables().contains(&variable))
        .then(|| format!("the value comes from the environment variable {variable}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command_line::{Cli, command};
    use crate::cli::settings::FileSettings;

    #[track_caller]
    fn check(line: &str, expected: Option<&str>) {
        let words = ["promptmill"].into_iter().chain(line.split_whitespace());
        let words: Vec<_> = words.map(OsString::from).collect();
        let error = Cli::parse(&words, &FileSettings::default()).expect_err("it is invalid");
        let tip = tip(&error, &words, &command());
        match expected {
            Some(part) => assert!(
                tip.as_deref().is_some_and(|tip| tip.contains(part)),
                "{tip:?}"
            ),
            None => assert_eq!(tip, None),
        }
    }

    #[test]
    fn gives_tips_for_common_mistakes() {
        check("jobs.csv", Some("`promptmill run jobs.csv`"));
        check("jobs.csv -o out.csv", Some("`promptmill run jobs.csv`"));
        check("resume", Some("the same `promptmill run`"));
        check("run", Some("promptmill run jobs.csv -o"));
        check("show jobs.csv", Some("promptmill show BATCH ROW"));
        check("run jobs.csv --api-key x", Some("OPENAI_API_KEY"));
        check("run jobs.csv --api-key=x", Some("OPENAI_API_KEY"));
        check("run jobs.csv --workers 4", Some("--concurrency"));
        check("run jobs.csv --temperature 0", Some("--set temperature="));
        check("run jobs.csv --max-tokens 9", Some("--set max_tokens="));
        check(
            "run one.csv two.csv",
            Some("only one input file is accepted"),
        );
    }

    #[test]
    fn names_the_commands_that_have_a_flag() {
        check(
            "import jobs.csv --rpm 3",
            Some("--rpm is an option of `run`, `estimate`, `work`"),
        );
        check("export jobs.csv --redo", Some("`run`"));
    }

    #[test]
    fn leaves_other_mistakes_to_clap() {
        for line in ["ruin", "run a.csv --modle x", "run a.csv --rpm 0"] {
            check(line, None);
        }
    }

    #[test]
    fn tips_name_existing_flags_for_unknown_ones() {
        let words = ["promptmill", "run", "--help"].map(OsString::from);
        let help = Cli::parse(&words, &FileSettings::default())
            .expect_err("help")
            .to_string()
            + " ";
        for (foreign, own) in FOREIGN_FLAGS {
            assert!(help.contains(&format!("{own} ")), "{own}");
            assert!(!help.contains(&format!("{foreign} ")), "{foreign}");
        }
        for flag in KEY_FLAGS.split(' ') {
            assert!(!help.contains(&format!("{flag} ")), "{flag}");
        }
    }
}
