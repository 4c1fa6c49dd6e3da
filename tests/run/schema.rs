//! Structured answers: each is held to a schema, and asked for again where it does not fit.

use promptmill::simulator::{Arrival, Config, Reaction, Script};
use serde_json::{Value, json};

use crate::support::{Scene, jobs};

const SCHEMA: &str = r#"{"type": "object", "additionalProperties": false,
  "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
  "required": ["city", "people"]}"#;
const RUN: &str = "run jobs.csv -o out.csv --schema city.json --columns-from-schema";

fn text(said: &str) -> Reaction {
    Reaction::Say(said.to_owned())
}

fn scene(script: Script, rows: usize) -> Scene {
    let scene = Scene::new(Config::default().script(script));
    scene.write("city.json", SCHEMA);
    scene.write("jobs.csv", &jobs(rows));
    scene
}

/// Tells whether a text stands in a request: asked again, it is no longer the last message.
fn has(arrival: &Arrival<'_>, text: &str) -> bool {
    String::from_utf8_lossy(arrival.body).contains(text)
}

/// The body of the request of this number, from 0.
fn body(scene: &Scene, number: usize) -> Value {
    let entries = scene.provider.ledger().entries;
    serde_json::from_str(&entries[number].body).unwrap()
}

#[test]
fn an_answer_that_fits_is_kept_and_its_fields_become_columns() {
    let good = r#"{"people": 2800000, "city": "=Rome"}"#;
    let scene = scene(Script::new().always(text(good)), 2);
    scene.run(RUN).exits(0);
    assert_eq!(scene.requests(), 2);
    let format = &body(&scene, 0)["response_format"];
    assert_eq!(format["type"], "json_schema");
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    assert_eq!(format["json_schema"]["schema"], schema);
    let sheet = scene.sheet("out.csv");
    assert_eq!(sheet.column("response"), [good, good]);
    assert_eq!(sheet.column("city"), ["'=Rome", "'=Rome"]);
    assert_eq!(sheet.column("people"), ["2800000", "2800000"]);
    let export = "export jobs.csv -o out.jsonl --columns-from-schema";
    scene.run(export).exits(0);
    let text = scene.read("out.jsonl");
    let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&line["city"], &line["people"]),
        (&json!("=Rome"), &json!(2_800_000))
    );
    scene
        .run("verify jobs.csv -o out.csv --columns-from-schema")
        .exits(0);
    scene.run(RUN).exits(0).says("nothing to do");
}

#[test]
fn an_answer_that_does_not_fit_is_asked_again_with_the_reason() {
    let wrong = r#"{"city": "Rome", "people": "secret"}"#;
    let script = Script::new()
        .on(|arrival| arrival.number == 1, text(wrong))
        .on(|arrival| arrival.number == 2, text("Rome, of course."))
        .always(text(r#"{"city": "Rome", "people": 3}"#));
    let scene = scene(script, 1);
    scene.run(RUN).exits(0);
    assert_eq!(scene.requests(), 3);
    let first = body(&scene, 0)["messages"].as_array().unwrap().len();
    let again = body(&scene, 1)["messages"].clone();
    assert_eq!(again.as_array().unwrap().len(), first + 2);
    assert_eq!(again[first], json!({"role": "assistant", "content": wrong}));
    let said = again[first + 1]["content"].as_str().unwrap();
    assert!(
        said.contains("/people") && said.contains("integer"),
        "{said}"
    );
    let last = body(&scene, 2)["messages"].clone();
    assert_eq!(last.as_array().unwrap().len(), first + 2);
    assert_eq!(last[first]["content"], "Rome, of course.");
    let sheet = scene.sheet("out.csv");
    assert_eq!(
        (sheet.cell(1, "attempts"), sheet.cell(1, "people")),
        ("3", "3")
    );
    // All three were paid for.
    let ran = scene.run("status --json").exits(0);
    assert!(!ran.stdout.contains("secret"));
}

#[test]
fn one_that_never_fits_fails_its_row_alone_after_three_requests() {
    let script = Script::new()
        .on(
            |arrival| has(arrival, "question 2"),
            text(r#"{"city": "secret"}"#),
        )
        .always(text(r#"{"city": "Rome", "people": 3}"#));
    let scene = scene(script, 5);
    let ran = scene.run(&format!("{RUN} --json")).exits(3);
    let told = ran.json();
    assert_eq!(scene.requests(), 7);
    let sheet = scene.sheet("out.csv");
    assert_eq!(sheet.count("done"), 4);
    let error = sheet.cell(2, "error");
    assert!(
        error.contains("does not fit the schema") && error.contains("\"people\" is a required"),
        "{error}"
    );
    assert!(
        error.ends_with("(schema)") && !error.contains("secret"),
        "{error}"
    );
    // What did not fit was paid for all the same.
    let kept = sheet.column("completion_tokens");
    let kept: u64 = kept
        .iter()
        .filter_map(|cell| cell.parse::<u64>().ok())
        .sum();
    assert!(told["completion_tokens"].as_u64().unwrap() > kept, "{told}");
    scene.run("failures jobs.csv").exits(0);
    scene
        .provider
        .set_script(Script::new().always(text(r#"{"city": "Rome", "people": 3}"#)));
    scene.run("retry jobs.csv --cause schema").exits(0);
    scene.run(RUN).exits(0);
    assert_eq!(scene.requests(), 8);
}

#[test]
fn how_it_is_asked_for_is_the_users_to_say() {
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
        let scene = scene(Script::new().always(good), 1);
        scene.run(&format!("{RUN} {flag}")).exits(0);
        assert_eq!(body(&scene, 0)["response_format"], expected, "{flag}");
    }
}

#[test]
fn without_a_key_the_made_up_answers_fit() {
    let scene = scene(Script::new(), 3);
    scene.run(&format!("{RUN} --simulate")).exits(0);
    assert_eq!(scene.sheet("out.csv").column("people"), ["1", "1", "1"]);
    assert_eq!(scene.requests(), 0);
}

#[test]
fn what_comes_back_from_the_batch_api_is_held_to_it_too() {
    let scene = scene(Script::new(), 2);
    let import = "import jobs.csv --id-column id --schema city.json";
    scene.run(import).exits(0);
    let line = |id: &str, text: &str| {
        let body = json!({"choices": [{"message": {"content": text}}]});
        let response = json!({"status_code": 200, "request_id": "q", "body": body});
        format!("{}\n", json!({"custom_id": id, "response": response}))
    };
    let good = line("1", r#"{"city": "Rome", "people": 3}"#);
    scene.write("output.jsonl", &(good + &line("2", "Rome")));
    scene
        .run("import-results jobs.csv output.jsonl")
        .exits(0)
        .says("1 answer taken in")
        .says("schema");
}

#[test]
fn a_schema_that_is_none_is_refused_with_its_place_before_anything_is_asked() {
    let scene = scene(Script::new(), 1);
    for (text, expected) in [
        ("{\n \"type\": }", "line 2, column 10: it is no JSON"),
        (
            r#"{"properties": {"a": {"type": "text"}}}"#,
            "/properties/a/type",
        ),
        (r#"{"$ref": "https://example.com/s.json"}"#, "example.com"),
    ] {
        scene.write("city.json", text);
        scene
            .run(RUN)
            .exits(78)
            .says("cannot use the schema city.json")
            .says(expected);
    }
    let missing = RUN.replace("city.json", "none.json");
    scene.run(&missing).exits(78).says("none.json");
    scene.run("import jobs.csv --batch plain").exits(0);
    scene
        .run("export plain --columns-from-schema")
        .exits(2)
        .says("needs a batch that was imported with --schema");
    scene.write("city.json", SCHEMA);
    scene
        .run(&format!("{RUN} --endpoint embeddings"))
        .exits(2)
        .says("embeddings have none");
    assert_eq!(scene.requests(), 0);
}
