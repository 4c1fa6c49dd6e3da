//! Files in the form of the OpenAI Batch API: what comes out, what is left to be sent there, and what
//! it sent back.

use promptmill::simulator::{Config, Reaction, Script};
use serde_json::{Value, json};

use crate::support::{Scene, jobs, question};

/// The row that is refused for good.
const BAD: usize = 3;

/// A provider that refuses one row and answers all others.
fn scene(rows: usize) -> Scene {
    let body = json!({"error": {"message": "Too long.", "type": "invalid_request_error",
                              "code": "context_length_exceeded"}});
    let refusal = Reaction::Json(400, body.to_string());
    let script = Script::new().on(move |arrival| arrival.prompt == question(BAD), refusal);
    let scene = Scene::new(Config::default().script(script));
    scene.write("jobs.csv", &jobs(rows));
    scene
}

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines().map(serde_json::from_str);
    lines.map(Result::unwrap).collect()
}

/// Reads an output file as its users do: the text of each answer by its `custom_id`.
fn texts(text: &str) -> Vec<(String, String)> {
    let text_of = |line: &Value| {
        let text = &line["response"]["body"]["choices"][0]["message"]["content"];
        (
            line["custom_id"].as_str().unwrap().to_owned(),
            text.as_str().unwrap().to_owned(),
        )
    };
    lines(text).iter().map(text_of).collect()
}

#[test]
fn answers_and_errors_of_a_table_come_out_as_the_api_gives_them() {
    let scene = scene(4);
    let flags = "--id-column id -o out.jsonl --output-format batch --error-file errors.jsonl";
    scene.run(&format!("run jobs.csv {flags}")).exits(3);
    let answers = scene.read("out.jsonl");
    let ids: Vec<_> = texts(&answers).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["1", "2", "4"]);
    let first = &lines(&answers)[0];
    let fields: Vec<_> = first.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["id", "custom_id", "response", "error"]);
    assert_eq!(first["response"]["status_code"], 200);
    let request_id = first["response"]["request_id"].as_str().unwrap();
    assert!(request_id.starts_with("req_"), "{request_id}");
    assert_eq!(first["error"], Value::Null);
    let failed = lines(&scene.read("errors.jsonl"));
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["custom_id"], "3");
    assert_eq!(failed[0]["response"]["status_code"], 400);
    assert_eq!(
        failed[0]["response"]["body"]["error"]["message"],
        "Too long."
    );
    let verify = "verify jobs.csv --output-format batch --error-file errors.jsonl -o out.jsonl";
    scene.run(verify).exits(0);
    scene.run(&verify.replace("-o out", "-o errors")).exits(65);
}

#[test]
fn without_a_file_for_errors_every_row_stands_in_the_one() {
    let scene = scene(4);
    scene.run("run jobs.csv --limit 3 -o out.csv").exits(4);
    let flags = "--output-format batch";
    let written = scene.run(&format!("export jobs.csv {flags}")).exits(0);
    let found = lines(&written.stdout);
    let what = |line: &Value| match (&line["response"], &line["error"]["code"]) {
        (Value::Null, code) => code.as_str().unwrap().to_owned(),
        (response, _) => response["status_code"].to_string(),
    };
    let mut what: Vec<_> = found.iter().map(what).collect();
    what.sort_unstable();
    assert_eq!(what, ["200", "200", "400", "pending"]);
}

#[test]
fn a_file_for_errors_needs_that_form_and_a_name_of_its_own() {
    let scene = scene(1);
    scene
        .run("run jobs.csv -o out.csv --error-file errors.jsonl")
        .exits(2)
        .says("--error-file is for results in the form `batch`");
    scene
        .run("run jobs.csv -o x.jsonl --output-format batch --error-file x.jsonl")
        .exits(2)
        .says("would go to one file");
    assert_eq!(scene.requests(), 0);
}
