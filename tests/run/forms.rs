//! Data in and out in the forms people have: an object a line, and whole requests a line.

use promptmill::simulator::Config;
use serde_json::{Value, json};

use crate::support::{Scene, Sheet};

/// Rows that a table cannot say: numbers, lists, a field that comes late, one that is missing.
const OBJECTS: &str = r#"{"prompt": "one", "n": 1.50, "tags": ["a", {"b": null}]}
{"prompt": "two \"quoted\" =1+1\u0000", "late": true}

{ "n": 9007199254740993, "prompt":"three\nlines", "late": null }
"#;

fn scene(name: &str, text: &str) -> Scene {
    let scene = Scene::new(Config::default());
    scene.write(name, text);
    scene
}

fn objects(text: &str) -> Vec<Value> {
    let lines = text.lines().map(serde_json::from_str);
    lines.map(Result::unwrap).collect()
}

/// Holds a file to being refused before anything is asked.
#[track_caller]
fn check_refused(text: &str, flags: &str, code: i32, expected: &str) {
    let scene = scene("in.jsonl", text);
    scene
        .run(&format!("run in.jsonl {flags}"))
        .exits(code)
        .says(expected);
    assert_eq!(scene.requests(), 0);
}

/// A request of a Batch file.
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
fn an_object_a_line_comes_back_with_its_answer() {
    let scene = scene("in.jsonl", OBJECTS);
    scene.run("run in.jsonl").exits(0);
    let written = scene.read("in.results.jsonl");
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
    scene.run("run in.jsonl").exits(0).says("nothing to do");
    assert_eq!(scene.requests(), 3);
}

#[test]
fn objects_become_a_table_and_a_table_becomes_objects() {
    let scene = scene("in.jsonl", OBJECTS);
    scene.run("run in.jsonl -o out.csv --csv-raw").exits(0);
    let sheet = Sheet::read(&scene.read("out.csv"));
    assert_eq!(sheet.columns[..4], ["prompt", "n", "tags", "late"]);
    assert_eq!(sheet.column("n"), ["1.50", "", "9007199254740993"]);
    assert_eq!(sheet.column("late"), ["", "true", ""]);
    assert_eq!(sheet.cell(1, "tags"), r#"["a", {"b": null}]"#);

    scene.write("in.csv", "id,prompt\n7,\"a, b\"\n");
    scene.run("run in.csv -o out.jsonl").exits(0);
    let found = objects(&scene.read("out.jsonl"));
    assert_eq!(
        (&found[0]["id"], &found[0]["prompt"]),
        (&json!("7"), &json!("a, b"))
    );
    assert_eq!(found[0]["status"], "done");
}

#[test]
fn templates_and_ids_reach_the_fields_of_an_object() {
    let scene = scene(
        "in.ndjson",
        "{\"id\":\"a\",\"city\":\"Rome\"}\n{\"id\":\"b\",\"city\":\"Bonn\",\"long name\":{\"k\":[1]}}\n",
    );
    let mut run = scene.command("run in.ndjson -o out.csv --id-column id --prompt");
    run.arg("In {{ city }}{% if row['long name'] %} {{ row['long name'] }}{% endif %}");
    assert!(run.output().unwrap().status.success());
    let sheet = scene.sheet("out.csv");
    let answers = sheet.column("response");
    assert!(answers[0].contains("\"In Rome\""), "{answers:?}");
    assert!(
        answers[1].contains("\"In Bonn {\"k\":[1]}\""),
        "{answers:?}"
    );
}

#[test]
fn a_pipe_of_objects_gives_objects() {
    let scene = Scene::new(Config::default());
    let ran = scene
        .pipe("run - -o - -q", "{\"prompt\":\"hi\"}\n")
        .exits(0);
    assert_eq!(objects(&ran.stdout)[0]["status"], "done");
}

#[test]
fn a_name_that_no_object_has_is_found_out_at_the_end() {
    check_refused(
        "{\"question\":\"a\"}\n{\"question\":\"b\",\"x\":1}\n",
        "",
        65,
        "no column `prompt`; the columns are `question`, `x`\nhint: take the prompt from another column: --prompt '{{ question }}'",
    );
    check_refused(
        "{\"city\":\"a\"}\n",
        "--prompt {{cty}}",
        65,
        "no column `cty` for --prompt; did you mean `city`?",
    );
    check_refused(
        "{\"city\":\"a\"}\n",
        "--prompt {{row['Town']}}",
        65,
        "no column `Town` for --prompt;",
    );
}

#[test]
fn bad_lines_are_told_by_number_and_without_what_is_in_them() {
    check_refused(
        "{\"prompt\":\"a\"}\n{\"prompt\":secret}\n[1]\n{\"prompt\":null}\n{\"prompt\":\"\\ud800\"}\n",
        "",
        65,
        "in.jsonl:2: the JSON is broken at character 11\n\
         \x20 in.jsonl:3: is no JSON object; each line is one, `{…}`\n\
         \x20 in.jsonl:4: column `prompt`: the prompt is empty; fill it in or remove the row\n\
         \x20 in.jsonl:5: column `prompt`: holds half of a surrogate pair, which is no text\n",
    );
    check_refused("", "", 65, "holds no line");
    check_refused("[{\"prompt\":\"a\"}]", "", 65, "is one JSON list");
    check_refused(
        "{\n \"prompt\": \"a\"\n}",
        "",
        65,
        "an object stands on one line",
    );
    check_refused(
        "{\"prompt\":\"a\"}\n",
        "--input-format csv",
        65,
        "--input-format jsonl",
    );
}

#[test]
fn requests_are_sent_byte_for_byte_as_they_stand() {
    let text = request("r-1", &body("one")) + &request("r-2", &body("two"));
    let scene = scene("batch.jsonl", &text);
    scene.run("run batch.jsonl").exits(0);
    let sent: Vec<_> = scene
        .provider
        .ledger()
        .entries
        .into_iter()
        .map(|entry| entry.body)
        .collect();
    assert_eq!(sent.len(), 2);
    for expected in [body("one"), body("two")] {
        assert!(sent.contains(&expected), "{sent:?}");
    }
    let found = objects(&scene.read("batch.results.jsonl"));
    assert_eq!(
        (&found[0]["custom_id"], &found[1]["custom_id"]),
        (&json!("r-1"), &json!("r-2"))
    );
    assert_eq!(found[0]["response"]["body"]["model"], "gpt-4o");
    scene.run("run batch.jsonl").exits(0).says("nothing to do");
}

#[test]
fn requests_that_cannot_be_sent_are_told_by_line() {
    let good = request("r-1", &body("one"));
    let two = |line: &str| format!("{good}{line}");
    let again = two(&good);
    check_refused(
        &again,
        "",
        65,
        "in.jsonl:2: column `custom_id`: the id `r-1` stands in line 1 already",
    );
    let other = two(&request("r-2", &body("x").replace("gpt-4o", "gpt-5")));
    check_refused(
        &other,
        "",
        65,
        "in.jsonl:2: asks for the model `gpt-5`, the first line for `gpt-4o`",
    );
    let streamed = two(&request(
        "r-2",
        &body("x").replace("1.0", "1,\"stream\":true"),
    ));
    check_refused(&streamed, "", 65, "in.jsonl:2: the body asks for a stream");
    let elsewhere = two(&good
        .replace("r-1", "r-2")
        .replace("/v1/chat/completions", "/v1/responses"));
    check_refused(&elsewhere, "", 65, "in.jsonl:2: the url is `/v1/responses`");
    check_refused(
        &two("{\"prompt\":\"a\"}\n"),
        "",
        65,
        "in.jsonl:2: `custom_id` is missing",
    );
}

#[test]
fn requests_take_no_recipe() {
    let good = request("r-1", &body("one"));
    check_refused(&good, "--prompt hi", 65, "leave --prompt out");
    check_refused(&good, "--set n=1", 65, "leave --set out");
    check_refused(
        &good,
        "--model other",
        65,
        "the requests of the file ask for \"gpt-4o\"",
    );
}

#[test]
fn an_estimate_and_a_check_of_results_know_the_forms_too() {
    let text = request("r-1", &body("one"));
    let scene = scene("batch.jsonl", &text);
    let told = scene.run("estimate batch.jsonl").exits(0).stdout;
    assert!(told.contains("\"seed\": 1.0"), "{told}");
    scene.run("run batch.jsonl").exits(0);
    scene
        .run("verify batch.jsonl -o batch.results.jsonl")
        .exits(0);
    scene.run("export batch.jsonl -o out.csv").exits(0);
    scene.run("verify batch.jsonl -o out.csv").exits(0);
    let told = scene.run("estimate batch.jsonl").exits(0).stdout;
    assert!(
        told.contains("to ask   nothing") && !told.contains("refuse"),
        "{told}"
    );
}
