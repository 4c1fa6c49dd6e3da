//! The command to type next, whole: it has the flags of this command line without which it would look
//! at another queue or for other keys.

use super::values::shell_line;

/// Flags with a value that choose the queue and the settings file: every command needs them.
const PLACES: [&str; 2] = ["--db", "--config"];

/// Flags with a value that choose the keys.
const KEYS: [&str; 2] = ["--api-key-file", "--api-key-command"];

/// The flag without a value that belongs to the keys.
const KEYS_BARE: &str = "--insecure-key-file";

/// Writes this command line once more.
pub(super) fn again() -> String {
    let mut words = vec!["promptmill".to_owned()];
    words.extend(typed());
    shell_line(&words)
}

/// Writes a command with its words, and with what it needs of this command line.
pub(super) fn command(words: &[&str]) -> String {
    with(words, &typed())
}

/// A name that is no text is shown as well as can be.
fn typed() -> Vec<String> {
    let words = std::env::args_os().skip(1);
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect()
}

fn with(words: &[&str], typed: &[String]) -> String {
    let mut line: Vec<String> = ["promptmill"]
        .iter()
        .chain(words)
        .map(|&word| word.to_owned())
        .collect();
    let needs_keys = words.first() == Some(&"doctor");
    let mut rest = typed.iter();
    while let Some(word) = rest.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (word.as_str(), None),
        };
        if PLACES.contains(&flag) || (needs_keys && KEYS.contains(&flag)) {
            let value = value.or_else(|| rest.next().map(String::as_str));
            line.push(flag.to_owned());
            line.extend(value.map(str::to_owned));
        } else if needs_keys && flag == KEYS_BARE {
            line.push(flag.to_owned());
        }
    }
    shell_line(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &[&str], typed: &str, expected: &str) {
        let typed: Vec<_> = typed.split(' ').map(str::to_owned).collect();
        assert_eq!(with(words, &typed), expected);
    }

    #[test]
    fn the_same_queue_is_asked() {
        let retry = ["retry", "jobs.csv"];
        check(&retry, "run jobs.csv", "promptmill retry jobs.csv");
        check(
            &retry,
            "--db q.db run jobs.csv --api-key-file k --config=my.toml",
            "promptmill retry jobs.csv --db q.db --config my.toml",
        );
    }

    #[test]
    fn the_doctor_gets_the_same_keys() {
        check(
            &["doctor", "--model", "m"],
            "run jobs.csv --api-key-file k.txt --insecure-key-file --rpm 3",
            "promptmill doctor --model m --api-key-file k.txt --insecure-key-file",
        );
    }
}
