//! Structured output: responses are validated against a schema, and violations are retried.

use promptmill::simulator::{Config, IncomingRequest, Reaction, Script};
use serde_json::{Value, json};

use crate::support::{TestEnv, jobs};

const SCHEMA: &str = r#"{"type": "object", "additionalProperties": false,
  "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
  "required": ["city", "people"]}"#;
const RUN: &str = "run jobs.csv -o out.csv --schema city.json --columns-from-schema";

fn text(text: &str) -> Reaction {
    Reaction::Text(text.to_owned())
}

fn test_env(script: Script, rows: usize) -> TestEnv {
    let env = TestEnv::new(Config::default().script(script));
    env.write("city.json", SCHEMA);
    env.write("jobs.csv", &jobs(rows));
    env
}

/// Returns whether a request contains a text. In a retry, the prompt is not the last message.
fn contains(request: &IncomingRequest<'_>, text: &str) -> bool {
    String::from_utf8_lossy(request.body).contains(text)
}

/// Returns the body of a request; the first one has number 0.
fn body(env: &TestEnv, number: usize) -> Value {
    let entries = env.provider.request_log().entries;
    serde_json::from_str(&entries[number].body).unwrap()
}

#[test]
fn the_fields_of_a_valid_response_become_columns() {
    let good = r#"{"people": 2800000, "city": "=Rome"}"#;
    let env = test_env(Script::new().always(text(good)), 2);
    env.run(RUN).exits(0);
    assert_eq!(env.requests(), 2);
    let format = &body(&env, 0)["response_format"];
    assert_eq!(format["type"], "json_schema");
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    assert_eq!(format["json_schema"]["schema"], schema);
    let results = env.results("out.csv");
    assert_eq!(results.column("response"), [good, good]);
    assert_eq!(results.column("city"), ["'=Rome", "'=Rome"]);
    assert_eq!(results.column("people"), ["2800000", "2800000"]);
    let export = "export jobs.csv -o out.jsonl --columns-from-schema";
    env.run(export).exits(0);
    let text = env.read("out.jsonl");
    let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&line["city"], &line["people"]),
        (&json!("=Rome"), &json!(2_800_000))
    );
    env.run("verify jobs.csv -o out.csv --columns-from-schema")
        .exits(0);
    env.run(RUN).exits(0).stderr_contains("nothing to do");
}

#[test]
fn a_violation_is_retried_with_its_reason() {
    let wrong = r#"{"city": "Rome", "people": "secret"}"#;
    let script = Script::new()
        .on(|request| request.number == 1, text(wrong))
        .on(|request| request.number == 2, text("Rome, of course."))
        .always(text(r#"{"city": "Rome", "people": 3}"#));
    let env = test_env(script, 1);
    env.run(RUN).exits(0);
    assert_eq!(env.requests(), 3);
    let first = body(&env, 0)["messages"].as_array().unwrap().len();
    let retry = body(&env, 1)["messages"].clone();
    assert_eq!(retry.as_array().unwrap().len(), first + 2);
    assert_eq!(retry[first], json!({"role": "assistant", "content": wrong}));
    let reason = retry[first + 1]["content"].as_str().unwrap();
    assert!(
        reason.contains("/people") && reason.contains("integer"),
        "{reason}"
    );
    let last = body(&env, 2)["messages"].clone();
    assert_eq!(last.as_array().unwrap().len(), first + 2);
    assert_eq!(last[first]["content"], "Rome, of course.");
    let results = env.results("out.csv");
    assert_eq!(
        (results.cell(1, "attempts"), results.cell(1, "people")),
        ("3", "3")
    );
    let output = env.run("status --json").exits(0);
    assert!(!output.stdout.contains("secret"));
}

#[test]
fn a_row_fails_after_three_violations() {
    let script = Script::new()
        .on(
            |request| contains(request, "question 2"),
            text(r#"{"city": "secret"}"#),
        )
        .always(text(r#"{"city": "Rome", "people": 3}"#));
    let env = test_env(script, 5);
    let output = env.run(&format!("{RUN} --json")).exits(3);
    let summary = output.json();
    assert_eq!(env.requests(), 7);
    let results = env.results("out.csv");
    assert_eq!(results.count("done"), 4);
    let error = results.cell(2, "error");
    assert!(
        error.contains("does not match the schema") && error.contains("\"people\" is a required"),
        "{error}"
    );
    assert!(
        error.ends_with("(schema)") && !error.contains("secret"),
        "{error}"
    );
    // Tokens of invalid responses are counted too.
    let exported = results.column("completion_tokens");
    let exported: u64 = exported
        .iter()
        .filter_map(|cell| cell.parse::<u64>().ok())
        .sum();
    assert!(
        summary["completion_tokens"].as_u64().unwrap() > exported,
        "{summary}"
    );
    env.run("failures jobs.csv").exits(0);
    env.provider
        .set_script(Script::new().always(text(r#"{"city": "Rome", "people": 3}"#)));
    env.run("retry jobs.csv --cause schema").exits(0);
    env.run(RUN).exits(0);
    assert_eq!(env.requests(), 8);
}

#[test]
fn the_response_format_is_configurable() {
    let formats = [
        ("--response-format json", json!({"type": "json_object"})),
        ("--response-format none", Value::Null),
        (
            r#"--set response_format={"type":"text"}"#,
            json!({"type": "text"}),
        ),
    ];
    for (flag, expected) in formats {
        let good = text(r#"{"city": "Rome", "people": 3}"#);
        let env = test_env(Script::new().always(good), 1);
        env.run(&format!("{RUN} {flag}")).exits(0);
        assert_eq!(body(&env, 0)["response_format"], expected, "{flag}");
    }
}

#[test]
fn simulated_responses_match_the_schema() {
    let env = test_env(Script::new(), 3);
    env.run(&format!("{RUN} --simulate")).exits(0);
    assert_eq!(env.results("out.csv").column("people"), ["1", "1", "1"]);
    assert_eq!(env.requests(), 0);
}

#[test]
fn imported_results_are_validated_too() {
    let env = test_env(Script::new(), 2);
    let import = "import jobs.csv --id-column id --schema city.json";
    env.run(import).exits(0);
    let line = |id: &str, text: &str| {
        let body = json!({"choices": [{"message": {"content": text}}]});
        let response = json!({"status_code": 200, "request_id": "q", "body": body});
        format!("{}\n", json!({"custom_id": id, "response": response}))
    };
    let good = line("1", r#"{"city": "Rome", "people": 3}"#);
    env.write("output.jsonl", &(good + &line("2", "Rome")));
    env.run("import-results jobs.csv output.jsonl")
        .exits(0)
        .stderr_contains("1 response imported")
        .stderr_contains("schema");
}

#[test]
fn an_invalid_schema_is_rejected_before_any_request() {
    let env = test_env(Script::new(), 1);
    for (text, expected) in [
        ("{\n \"type\": }", "invalid JSON at line 2, column 10"),
        (
            r#"{"properties": {"a": {"type": "text"}}}"#,
            "/properties/a/type",
        ),
        (r#"{"$ref": "https://example.com/s.json"}"#, "example.com"),
    ] {
        env.write("city.json", text);
        env.run(RUN)
            .exits(78)
            .stderr_contains("cannot use the schema city.json")
            .stderr_contains(expected);
    }
    let missing = RUN.replace("city.json", "none.json");
    env.run(&missing).exits(78).stderr_contains("none.json");
    env.run("import jobs.csv --batch plain").exits(0);
    env.run("export plain --columns-from-schema")
        .exits(2)
        .stderr_contains("--columns-from-schema requires a batch that was imported with --schema");
    env.write("city.json", SCHEMA);
    env.run(&format!("{RUN} --endpoint embeddings"))
        .exits(2)
        .stderr_contains("--schema does not apply to embeddings");
    assert_eq!(env.requests(), 0);
}
