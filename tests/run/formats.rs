//! Input and output files in JSONL, and files of complete requests.

use promptmill::simulator::Config;
use serde_json::{Value, json};

use crate::support::{CsvResults, TestEnv};

/// Rows that a table cannot represent: numbers, arrays, a field that appears late, a missing field.
const OBJECTS: &str = r#"{"prompt": "one", "n": 1.50, "tags": ["a", {"b": null}]}
{"prompt": "two \"quoted\" =1+1\u0000", "late": true}

{ "n": 9007199254740993, "prompt":"three\nlines", "late": null }
"#;

fn test_env(name: &str, text: &str) -> TestEnv {
    let env = TestEnv::new(Config::default());
    env.write(name, text);
    env
}

fn objects(text: &str) -> Vec<Value> {
    let lines = text.lines().map(serde_json::from_str);
    lines.map(Result::unwrap).collect()
}

/// Checks that a file is rejected before any request is sent.
#[track_caller]
fn check_error(text: &str, flags: &str, code: i32, expected: &str) {
    let env = test_env("in.jsonl", text);
    env.run(&format!("run in.jsonl {flags}"))
        .exits(code)
        .stderr_contains(expected);
    assert_eq!(env.requests(), 0);
}

/// Returns a line of a batch file.
fn request(id: &str, body: &str) -> String {
    format!(
        "{{\"custom_id\": \"{id}\", \"method\": \"POST\", \"url\": \"/v1/chat/completions\", \"body\": {body}}}\n"
    )
}

fn body(text: &str) -> String {
    format!(
        "{{\"model\": \"gpt-4o\",\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}] , \"seed\":1.0}}"
    )
}

#[test]
fn objects_are_returned_with_their_responses() {
    let env = test_env("in.jsonl", OBJECTS);
    env.run("run in.jsonl").exits(0);
    let written = env.read("in.results.jsonl");
    let lines: Vec<_> = written.lines().collect();
    let given: Vec<_> = OBJECTS.lines().filter(|line| !line.is_empty()).collect();
    for (line, given) in lines.iter().zip(given) {
        assert!(line.starts_with(given.trim_end_matches('}')), "{line}");
    }
    let found = objects(&written);
    assert_eq!(found.len(), 3);
    for row in &found {
        assert_eq!(row["status"], "done");
        let completion = row["response"].as_str().unwrap();
        assert!(
            completion.starts_with("Simulated answer to"),
            "{completion}"
        );
    }
    assert_eq!(found[1]["prompt"], "two \"quoted\" =1+1\0");
    env.run("run in.jsonl")
        .exits(0)
        .stderr_contains("nothing to do");
    assert_eq!(env.requests(), 3);
}

#[test]
fn converts_between_objects_and_tables() {
    let env = test_env("in.jsonl", OBJECTS);
    env.run("run in.jsonl -o out.csv --csv-raw").exits(0);
    let results = CsvResults::parse(&env.read("out.csv"));
    assert_eq!(results.columns[..4], ["prompt", "n", "tags", "late"]);
    assert_eq!(results.column("n"), ["1.50", "", "9007199254740993"]);
    assert_eq!(results.column("late"), ["", "true", ""]);
    assert_eq!(results.cell(1, "tags"), r#"["a", {"b": null}]"#);

    env.write("in.csv", "id,prompt\n7,\"a, b\"\n");
    env.run("run in.csv -o out.jsonl").exits(0);
    let found = objects(&env.read("out.jsonl"));
    assert_eq!(
        (&found[0]["id"], &found[0]["prompt"]),
        (&json!("7"), &json!("a, b"))
    );
    assert_eq!(found[0]["status"], "done");
}

#[test]
fn templates_and_ids_can_use_the_fields_of_an_object() {
    let env = test_env(
        "in.ndjson",
        "{\"id\":\"a\",\"city\":\"Rome\"}\n{\"id\":\"b\",\"city\":\"Bonn\",\"long name\":{\"k\":[1]}}\n",
    );
    let mut run = env.command("run in.ndjson -o out.csv --id-column id --prompt");
    run.arg("In {{ city }}{% if row['long name'] %} {{ row['long name'] }}{% endif %}");
    assert!(run.output().unwrap().status.success());
    let results = env.results("out.csv");
    let responses = results.column("response");
    assert!(responses[0].contains("\"In Rome\""), "{responses:?}");
    assert!(
        responses[1].contains("\"In Bonn {\"k\":[1]}\""),
        "{responses:?}"
    );
}

#[test]
fn jsonl_from_standard_input_is_written_as_jsonl() {
    let env = TestEnv::new(Config::default());
    let output = env
        .run_with_input("run - -o - -q", "{\"prompt\":\"hi\"}\n")
        .exits(0);
    assert_eq!(objects(&output.stdout)[0]["status"], "done");
}

#[test]
fn unknown_columns_are_reported_at_the_end_of_the_input() {
    check_error(
        "{\"question\":\"a\"}\n{\"question\":\"b\",\"x\":1}\n",
        "",
        65,
        "column `prompt` not found; available columns: `question`, `x`\nhint: use another column as the prompt: --prompt '{{ question }}'",
    );
    check_error(
        "{\"city\":\"a\"}\n",
        "--prompt {{cty}}",
        65,
        "column `cty` not found (referenced by --prompt); did you mean `city`?",
    );
    check_error(
        "{\"city\":\"a\"}\n",
        "--prompt {{row['Town']}}",
        65,
        "column `Town` not found (referenced by --prompt);",
    );
}

#[test]
fn invalid_lines_are_reported_by_number_without_their_contents() {
    check_error(
        "{\"prompt\":\"a\"}\n{\"prompt\":secret}\n[1]\n{\"prompt\":null}\n{\"prompt\":\"\\ud800\"}\n",
        "",
        65,
        "in.jsonl:2: invalid JSON at byte 11\n\
         \x20 in.jsonl:3: not a JSON object; write one object `{…}` per line\n\
         \x20 in.jsonl:4: column `prompt`: the prompt is empty; fill it in or remove the row\n\
         \x20 in.jsonl:5: column `prompt`: value contains an unpaired surrogate; remove it\n",
    );
    check_error("", "", 65, "input is empty");
    check_error("[{\"prompt\":\"a\"}]", "", 65, "is a JSON array");
    check_error(
        "{\n \"prompt\": \"a\"\n}",
        "",
        65,
        "write each object on one line",
    );
    check_error(
        "{\"prompt\":\"a\"}\n",
        "--input-format csv",
        65,
        "--input-format jsonl",
    );
}

#[test]
fn complete_requests_are_sent_unchanged() {
    let text = request("r-1", &body("one")) + &request("r-2", &body("two"));
    let env = test_env("batch.jsonl", &text);
    env.run("run batch.jsonl").exits(0);
    let sent: Vec<_> = env
        .provider
        .request_log()
        .entries
        .into_iter()
        .map(|entry| entry.body)
        .collect();
    assert_eq!(sent.len(), 2);
    for expected in [body("one"), body("two")] {
        assert!(sent.contains(&expected), "{sent:?}");
    }
    let found = objects(&env.read("batch.results.jsonl"));
    assert_eq!(
        (&found[0]["custom_id"], &found[1]["custom_id"]),
        (&json!("r-1"), &json!("r-2"))
    );
    assert_eq!(found[0]["response"]["body"]["model"], "gpt-4o");
    env.run("run batch.jsonl")
        .exits(0)
        .stderr_contains("nothing to do");
}

#[test]
fn invalid_requests_are_reported_by_line() {
    let good = request("r-1", &body("one"));
    let with_second = |line: &str| format!("{good}{line}");
    let duplicate = with_second(&good);
    check_error(
        &duplicate,
        "",
        65,
        "in.jsonl:2: column `custom_id`: duplicate ID `r-1`, first used in line 1",
    );
    let other = with_second(&request("r-2", &body("x").replace("gpt-4o", "gpt-5")));
    check_error(
        &other,
        "",
        65,
        "in.jsonl:2: model is `gpt-5`, but the first line has `gpt-4o`",
    );
    let streamed = with_second(&request(
        "r-2",
        &body("x").replace("1.0", "1,\"stream\":true"),
    ));
    check_error(&streamed, "", 65, "in.jsonl:2: the body sets `stream`");
    let elsewhere = with_second(
        &good
            .replace("r-1", "r-2")
            .replace("/v1/chat/completions", "/v1/responses"),
    );
    check_error(
        &elsewhere,
        "",
        65,
        "in.jsonl:2: unsupported url `/v1/responses`",
    );
    check_error(
        &with_second("{\"prompt\":\"a\"}\n"),
        "",
        65,
        "in.jsonl:2: `custom_id` is missing",
    );
}

#[test]
fn complete_requests_reject_request_settings() {
    let good = request("r-1", &body("one"));
    check_error(&good, "--prompt hi", 65, "remove --prompt");
    check_error(&good, "--set n=1", 65, "remove --set");
    check_error(
        &good,
        "--model other",
        65,
        "the requests in the file use \"gpt-4o\"",
    );
}

#[test]
fn estimate_and_verify_support_complete_requests() {
    let text = request("r-1", &body("one"));
    let env = test_env("batch.jsonl", &text);
    let output = env.run("estimate batch.jsonl").exits(0).stdout;
    assert!(output.contains("\"seed\": 1.0"), "{output}");
    env.run("run batch.jsonl").exits(0);
    env.run("verify batch.jsonl -o batch.results.jsonl")
        .exits(0);
    env.run("export batch.jsonl -o out.csv").exits(0);
    env.run("verify batch.jsonl -o out.csv").exits(0);
    let output = env.run("estimate batch.jsonl").exits(0).stdout;
    assert!(
        output.contains("to send    nothing") && !output.contains("would reject"),
        "{output}"
    );
}
