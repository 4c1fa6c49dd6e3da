//! Answers and errors that would do harm: formulas for a spreadsheet, commands for a terminal.

use promptmill::simulator::{Config, KeyRefusal, Reaction, Script};

use crate::support::Scene;

const RUN: &str = "run jobs.csv -o out.csv";
const FORMULA: &str = "=HYPERLINK(\"https://example.com/?\"&A1,\"click\")";
/// Clears the screen, writes to the clipboard (OSC 52), and turns the text around.
const TRICKS: &str = "\u{1b}[2J\u{1b}]52;c;cm0gLXJmIH4K\u{7}\u{9b}31mred\u{202e}";

fn says(text: &str) -> Scene {
    let script = Script::new().always(Reaction::Say(text.to_owned()));
    let scene = Scene::new(Config::default().script(script));
    scene.write("jobs.csv", "prompt,sum\na,=1+1\n");
    scene
}

#[test]
fn a_cell_that_a_spreadsheet_would_run_gets_an_apostrophe() {
    let scene = says(FORMULA);
    scene.run(RUN).exits(0);
    let sheet = scene.sheet("out.csv");
    assert_eq!(sheet.cell(1, "response"), format!("'{FORMULA}"));
    assert_eq!(sheet.cell(1, "sum"), "'=1+1");
}

#[test]
fn raw_cells_are_as_they_came() {
    let scene = says(FORMULA);
    scene.run(&format!("{RUN} --csv-raw")).exits(0);
    let sheet = scene.sheet("out.csv");
    assert_eq!(sheet.cell(1, "response"), FORMULA);
    assert_eq!(sheet.cell(1, "sum"), "=1+1");
    let piped = scene.run("export jobs.csv --csv-raw").exits(0).stdout;
    assert_eq!(piped, scene.read("out.csv"));
}

#[test]
fn an_answer_of_many_lines_quotes_and_commas_comes_back_as_it_was() {
    let text = "first, \"second\"\nthird\r\n\n字 🦀 é\t.";
    let scene = says(text);
    scene.run(RUN).exits(0);
    assert_eq!(scene.sheet("out.csv").cell(1, "response"), text);
}

/// Looks for bytes that a terminal acts on.
#[track_caller]
fn is_harmless(text: &str) {
    let bad = |c: &char| (c.is_control() && *c != '\n') || *c == '\u{202e}';
    assert_eq!(text.chars().find(bad), None, "{text:?}");
}

#[test]
fn what_a_provider_says_reaches_the_terminal_without_its_commands() {
    for status in [400, 401, 403, 404, 429, 500] {
        let error = serde_json::json!({"error": {"message": format!("{TRICKS} no")}});
        let reaction = Reaction::Json(status, error.to_string());
        let scene = Scene::new(Config::default().script(Script::new().always(reaction)));
        scene.write("jobs.csv", "prompt\na\n");
        let flags = "--max-attempts 1 --max-wait 0s --max-outage 0s";
        for words in [&format!("{RUN} {flags} -vv"), "status", "keys list"] {
            let ran = scene.run(words);
            is_harmless(&ran.stderr);
            is_harmless(&ran.stdout);
        }
    }
}

#[test]
fn a_plain_text_error_is_made_harmless_too() {
    let body = format!("Forbidden {TRICKS}");
    let refusal = KeyRefusal::Other { status: 403, body };
    let script = Script::new().always(Reaction::Refuse(refusal));
    let scene = Scene::new(Config::default().script(script));
    scene.write("jobs.csv", "prompt\na\n");
    let ran = scene.run(RUN).exits(77).says("Forbidden");
    is_harmless(&ran.stderr);
}

#[test]
fn names_of_files_and_columns_are_made_harmless_too() {
    let scene = Scene::new(Config::default());
    let name = "evil\u{1b}[2J.csv";
    scene.write(name, "na\u{1b}me,prompt\n1\n");
    let ran = scene.run(&format!("run {name} -o out.csv")).exits(65);
    is_harmless(&ran.stderr);
    scene.write(name, "na\u{1b}me,prompt\n1,a\n");
    let ran = scene.run(&format!("run {name} -o out.csv")).exits(0);
    is_harmless(&ran.stderr);
    is_harmless(&scene.run("status").exits(0).stdout);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let scene = Scene::with_rows(2000);
    scene.run("import jobs.csv").exits(0);
    let program = env!("CARGO_BIN_EXE_promptmill");
    let mut shell = std::process::Command::new("sh");
    let script = format!("{{ '{program}' export jobs.csv; echo code $? >&2; }} | head -n 1");
    let shell = shell.arg("-c").arg(script).current_dir(scene.folder());
    let output = shell.output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "code 0\n");
}
