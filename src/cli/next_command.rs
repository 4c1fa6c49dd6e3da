//! Commands suggested to the user. They repeat the flags of this command line that select the
//! database, the settings file, and the API keys.

use super::values::shell_line;

/// Flags with a value that every command needs.
const DATABASE_FLAGS: [&str; 2] = ["--db", "--config"];

/// Flags with a value that select the API keys.
const KEY_FLAGS: [&str; 2] = ["--api-key-file", "--api-key-command"];

/// The flag without a value that modifies `--api-key-file`.
const KEY_SWITCH: &str = "--insecure-key-file";

/// Returns this command line, quoted for a shell.
pub(super) fn repeat() -> String {
    let mut words = vec!["promptmill".to_owned()];
    words.extend(arguments());
    shell_line(&words)
}

/// Returns the command with these words, followed by the flags to repeat.
pub(super) fn build(words: &[&str]) -> String {
    with_flags(words, &arguments())
}

fn arguments() -> Vec<String> {
    let words = std::env::args_os().skip(1);
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect()
}

fn with_flags(words: &[&str], arguments: &[String]) -> String {
    let mut line: Vec<String> = ["promptmill"]
        .iter()
        .chain(words)
        .map(|&word| word.to_owned())
        .collect();
    let needs_keys = words.first() == Some(&"doctor");
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (word.as_str(), None),
        };
        if DATABASE_FLAGS.contains(&flag) || (needs_keys && KEY_FLAGS.contains(&flag)) {
            let value = value.or_else(|| rest.next().map(String::as_str));
            line.push(flag.to_owned());
            line.extend(value.map(str::to_owned));
        } else if needs_keys && flag == KEY_SWITCH {
            line.push(flag.to_owned());
        }
    }
    shell_line(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &[&str], arguments: &str, expected: &str) {
        let arguments: Vec<_> = arguments.split(' ').map(str::to_owned).collect();
        assert_eq!(with_flags(words, &arguments), expected);
    }

    #[test]
    fn repeats_the_flags_for_database_and_settings_file() {
        let retry = ["retry", "jobs.csv"];
        check(&retry, "run jobs.csv", "promptmill retry jobs.csv");
        check(
            &retry,
            "--db q.db run jobs.csv --api-key-file k --config=my.toml",
            "promptmill retry jobs.csv --db q.db --config my.toml",
        );
    }

    #[test]
    fn repeats_the_key_flags_for_the_doctor() {
        check(
            &["doctor", "--model", "m"],
            "run jobs.csv --api-key-file k.txt --insecure-key-file --rpm 3",
            "promptmill doctor --model m --api-key-file k.txt --insecure-key-file",
        );
    }
}
