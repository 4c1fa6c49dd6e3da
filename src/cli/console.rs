//! Output to the console: colors, text, and error messages.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use crate::domain::redact::redact;
use crate::progress::Stderr;
use crate::progress::safe::Safe;

use super::environment;
use super::exit::CliError;
use super::settings::ColorChoice;

/// Returns whether output on standard output is colored.
pub(super) fn stdout_color(choice: Option<ColorChoice>) -> bool {
    has_color(choice, &io::stdout())
}

/// Returns whether output on standard error is colored.
pub(super) fn stderr_color(choice: Option<ColorChoice>) -> bool {
    has_color(choice, &io::stderr())
}

fn has_color(choice: Option<ColorChoice>, stream: &impl IsTerminal) -> bool {
    match choice.unwrap_or_default() {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => stream.is_terminal() && !environment::disables_color(),
    }
}

/// Writes text to standard error. Errors are ignored, so that a closed stream does not change the
/// exit code.
pub(super) fn eprint(text: &str) {
    let _ = Stderr.write_all(text.as_bytes());
}

/// Writes text to standard output. A broken pipe is not an error, as with `| head`.
pub(super) fn print(text: &str) -> io::Result<()> {
    match io::stdout()
        .write_all(text.as_bytes())
        .and_then(|()| io::stdout().flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes a JSON value to standard output, in one line.
pub(super) fn print_json(value: &Value) -> io::Result<()> {
    print(&format!("{value}\n"))
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
    let mut output = format!("{label} {}\n", Safe(first));
    for line in lines {
        let line = Safe(line).to_string();
        let indent = if line.starts_with("hint:") { "" } else { "  " };
        let _ = writeln!(output, "{indent}{line}");
    }
    eprint(&output);
}
