//! What stands on the screen: color or not, texts, and errors.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use crate::domain::redact::redact;
use crate::progress::Stderr;
use crate::progress::safe::Safe;

use super::args::ColorChoice;
use super::environment;
use super::error::CliError;

/// Tells whether standard error may be colored.
pub(super) fn stderr_color(choice: Option<ColorChoice>) -> bool {
    match choice.unwrap_or_default() {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => io::stderr().is_terminal() && !environment::is_plain(),
    }
}

/// Writes a text to standard error. A closed one is no reason to end otherwise.
pub(super) fn say(text: &str) {
    let _ = Stderr.write_all(text.as_bytes());
}

/// Writes data to standard output; a reader that has gone is none of our errors.
pub(super) fn print(text: &str) -> io::Result<()> {
    match io::stdout()
        .write_all(text.as_bytes())
        .and_then(|()| io::stdout().flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Prints the error that ends the program.
pub(super) fn print_error(error: &CliError, color: Option<ColorChoice>) {
    let text = redact(&error.message, &[]);
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let label = if stderr_color(color) {
        "\x1b[1;31merror:\x1b[0m"
    } else {
        "error:"
    };
    let mut shown = format!("{label} {}\n", Safe(first));
    for line in lines {
        let line = Safe(line).to_string();
        let indent = if line.starts_with("hint:") { "" } else { "  " };
        let _ = writeln!(shown, "{indent}{line}");
    }
    say(&shown);
}
