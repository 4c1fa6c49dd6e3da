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

/// Answers requests as the Batch API would: each id, and the text that it gets.
fn output(requests: &str) -> String {
    let answered = lines(requests).into_iter().map(|request| {
        let text = format!("answer to {}", request["body"]["messages"][0]["content"]);
        let body = json!({"id": "c", "object": "chat.completion", "model": "gpt-4o-mini-batch",
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}});
        json!({"id": "batch_req_x", "custom_id": request["custom_id"],
               "response": {"status_code": 200, "request_id": "req_x", "body": body}, "error": null})
    });
    let lines: Vec<_> = answered.map(|line| line.to_string()).collect();
    lines.join("\n") + "\n"
}

#[test]
fn what_is_left_goes_to_the_batch_api_and_comes_back() {
    let scene = scene(5);
    scene.run("run jobs.csv --limit 3 -o out.csv").exits(4);
    scene
        .run("export jobs.csv --remainder rest.jsonl")
        .exits(0)
        .says("3 rows without an answer in rest.jsonl");
    let rest = scene.read("rest.jsonl");
    let requests = lines(&rest);
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert_eq!(request["method"], "POST");
        assert_eq!(request["url"], "/v1/chat/completions");
        assert_eq!(request["body"]["model"], "gpt-4o-mini");
    }
    // The file is one that runs here as well.
    scene.run("estimate rest.jsonl").exits(0);

    scene.write("output.jsonl", &output(&rest));
    let asked = scene.requests();
    scene
        .run("import-results jobs.csv output.jsonl")
        .exits(0)
        .says("3 answers taken in")
        .says("all rows are answered");
    scene
        .run("import-results jobs.csv output.jsonl")
        .exits(0)
        .says("0 answers taken in; 3 rows had ended before");
    scene
        .run("run jobs.csv -o out.csv")
        .exits(0)
        .says("nothing to do");
    assert_eq!(scene.requests(), asked);
    let sheet = scene.sheet("out.csv");
    assert_eq!(sheet.count("done"), 5);
    let text = format!("answer to \"{}\"", question(BAD));
    assert_eq!(sheet.cell(BAD, "response"), text);
    assert_eq!(sheet.cell(BAD, "prompt_tokens"), "5");
    scene.run("verify jobs.csv -o out.csv").exits(0);
    scene
        .run("export jobs.csv --remainder more.jsonl")
        .exits(0)
        .says("every row is answered; nothing was written");
}

#[test]
fn what_we_write_is_what_we_take() {
    let scene = scene(4);
    let form = "--output-format batch --error-file errors.jsonl";
    scene
        .run(&format!("run jobs.csv -o out.jsonl {form}"))
        .exits(3);
    let (answers, errors) = (scene.read("out.jsonl"), scene.read("errors.jsonl"));
    scene.run("import jobs.csv --batch again").exits(0);
    scene
        .run("import-results again out.jsonl errors.jsonl")
        .exits(0)
        .says("3 answers taken in, 1 row failed");
    scene
        .run(&format!("export again -o out.jsonl {form}"))
        .exits(0);
    // Other jobs have other numbers; all else is the same.
    let without_id = |text: &str| -> Vec<Value> {
        let mut lines = lines(text);
        for line in &mut lines {
            line["id"] = Value::Null;
        }
        lines
    };
    assert_eq!(without_id(&scene.read("out.jsonl")), without_id(&answers));
    let (found, given) = (lines(&scene.read("errors.jsonl")), lines(&errors));
    let error = |lines: &[Value]| lines[0]["response"]["body"]["error"]["message"].clone();
    assert_eq!(error(&found), error(&given));
    scene.run("show again 3").exits(0);
}

#[test]
fn what_the_api_did_not_answer_stays_to_be_asked() {
    let scene = scene(3);
    scene.run("import jobs.csv --id-column id").exits(0);
    let failed = |id: &str, status: u16, message: &str| {
        json!({"custom_id": id, "response": {"status_code": status, "request_id": "",
               "body": {"error": {"message": message}}}})
    };
    let expired = json!({"custom_id": "2", "response": null,
                         "error": {"code": "batch_expired", "message": "too late"}});
    let text = format!("{}\n{expired}\n", failed("1", 500, "Internal server error"));
    scene.write("errors.jsonl", &text);
    let told = scene.run("import-results jobs.csv errors.jsonl").exits(0);
    let told = told.says("0 answers taken in").stderr;
    assert!(
        told.contains("1 row without an answer: batch_expired"),
        "{told}"
    );
    let json = "--json import-results jobs.csv errors.jsonl";
    assert_eq!(scene.run(json).exits(0).json()["left"], 3);
}

#[test]
fn results_of_another_batch_are_refused_as_a_whole() {
    let scene = scene(2);
    scene.run("import jobs.csv --id-column id").exits(0);
    let request = |id: &str| json!({"custom_id": id, "body": {"messages": [{"content": "x"}]}});
    let mixed = output(&format!(
        "{}\n{}\n",
        request("1"),
        request("nobody\u{1b}[2J")
    ));
    scene.write("mixed.jsonl", &mixed);
    let told = scene.run("import-results jobs.csv mixed.jsonl").exits(65);
    let told = told.says("no row for the custom_id nobody").stderr;
    assert!(!told.contains('\u{1b}'), "{told}");
    scene.write(
        "broken.jsonl",
        &format!(
            "{}{{\"custom_id\":\"2\"\n",
            output(&request("1").to_string())
        ),
    );
    scene
        .run("import-results jobs.csv broken.jsonl")
        .exits(65)
        .says("broken.jsonl:2: ");
    scene.run("import-results jobs.csv absent.jsonl").exits(66);
    let status = scene.run("status --json").exits(0).json();
    assert_eq!(status["batches"][0]["done"], 0, "{status}");
}
