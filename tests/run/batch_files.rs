//! Files in the format of the OpenAI Batch API: exporting results and remaining requests, and
//! importing results.

use promptmill::simulator::{Config, Reaction, Script};
use serde_json::{Value, json};

use crate::support::{TestEnv, jobs, question};

/// The row that the provider rejects.
const REFUSED: usize = 3;

/// Starts a provider that rejects one row and completes all others.
fn test_env(rows: usize) -> TestEnv {
    let body = json!({"error": {"message": "Too long.", "type": "invalid_request_error",
                              "code": "context_length_exceeded"}});
    let refusal = Reaction::Json(400, body.to_string());
    let script = Script::new().on(move |request| request.prompt == question(REFUSED), refusal);
    let env = TestEnv::new(Config::default().script(script));
    env.write("jobs.csv", &jobs(rows));
    env
}

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines().map(serde_json::from_str);
    lines.map(Result::unwrap).collect()
}

/// Parses an output file, and returns the `custom_id` and text of each response.
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
fn exports_responses_and_errors_like_the_api() {
    let env = test_env(4);
    let flags = "--id-column id -o out.jsonl --output-format batch --error-file errors.jsonl";
    env.run(&format!("run jobs.csv {flags}")).exits(3);
    let responses = env.read("out.jsonl");
    let ids: Vec<_> = texts(&responses).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["1", "2", "4"]);
    let first = &lines(&responses)[0];
    let fields: Vec<_> = first.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["id", "custom_id", "response", "error"]);
    assert_eq!(first["response"]["status_code"], 200);
    let request_id = first["response"]["request_id"].as_str().unwrap();
    assert!(request_id.starts_with("req_"), "{request_id}");
    assert_eq!(first["error"], Value::Null);
    let failed = lines(&env.read("errors.jsonl"));
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["custom_id"], "3");
    assert_eq!(failed[0]["response"]["status_code"], 400);
    assert_eq!(
        failed[0]["response"]["body"]["error"]["message"],
        "Too long."
    );
    let verify = "verify jobs.csv --output-format batch --error-file errors.jsonl -o out.jsonl";
    env.run(verify).exits(0);
    env.run(&verify.replace("-o out", "-o errors")).exits(65);
}

#[test]
fn without_an_error_file_all_rows_are_in_one_file() {
    let env = test_env(4);
    env.run("run jobs.csv --limit 3 -o out.csv").exits(4);
    let flags = "--output-format batch";
    let written = env.run(&format!("export jobs.csv {flags}")).exits(0);
    let found = lines(&written.stdout);
    let outcome = |line: &Value| match (&line["response"], &line["error"]["code"]) {
        (Value::Null, code) => code.as_str().unwrap().to_owned(),
        (response, _) => response["status_code"].to_string(),
    };
    let mut outcomes: Vec<_> = found.iter().map(outcome).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["200", "200", "400", "pending"]);
}

#[test]
fn an_error_file_requires_the_batch_format_and_another_name() {
    let env = test_env(1);
    env.run("run jobs.csv -o out.csv --error-file errors.jsonl")
        .exits(2)
        .stderr_contains("--error-file requires the output format `batch`");
    env.run("run jobs.csv -o x.jsonl --output-format batch --error-file x.jsonl")
        .exits(2)
        .stderr_contains("--output and --error-file are the same file");
    assert_eq!(env.requests(), 0);
}

/// Returns the output file that the Batch API would return for these requests.
fn batch_output(requests: &str) -> String {
    let results = lines(requests).into_iter().map(|request| {
        let text = format!("response to {}", request["body"]["messages"][0]["content"]);
        let body = json!({"id": "c", "object": "chat.completion", "model": "gpt-4o-mini-batch",
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}});
        json!({"id": "batch_req_x", "custom_id": request["custom_id"],
               "response": {"status_code": 200, "request_id": "req_x", "body": body}, "error": null})
    });
    let lines: Vec<_> = results.map(|line| line.to_string()).collect();
    lines.join("\n") + "\n"
}

#[test]
fn remaining_requests_can_be_completed_by_the_batch_api() {
    let env = test_env(5);
    env.run("run jobs.csv --limit 3 -o out.csv").exits(4);
    env.run("export jobs.csv --remainder rest.jsonl")
        .exits(0)
        .stderr_contains("3 rows not completed, written to rest.jsonl");
    let rest = env.read("rest.jsonl");
    let requests = lines(&rest);
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert_eq!(request["method"], "POST");
        assert_eq!(request["url"], "/v1/chat/completions");
        assert_eq!(request["body"]["model"], "gpt-4o-mini");
    }
    // The file is also a valid input file.
    env.run("estimate rest.jsonl").exits(0);

    env.write("output.jsonl", &batch_output(&rest));
    let sent = env.requests();
    env.run("import-results jobs.csv output.jsonl")
        .exits(0)
        .stderr_contains("3 responses imported")
        .stderr_contains("all rows completed");
    env.run("import-results jobs.csv output.jsonl")
        .exits(0)
        .stderr_contains("0 responses imported; 3 rows already done or failed");
    env.run("run jobs.csv -o out.csv")
        .exits(0)
        .stderr_contains("nothing to do");
    assert_eq!(env.requests(), sent);
    let results = env.results("out.csv");
    assert_eq!(results.count("done"), 5);
    let text = format!("response to \"{}\"", question(REFUSED));
    assert_eq!(results.cell(REFUSED, "response"), text);
    assert_eq!(results.cell(REFUSED, "prompt_tokens"), "5");
    env.run("verify jobs.csv -o out.csv").exits(0);
    env.run("export jobs.csv --remainder more.jsonl")
        .exits(0)
        .stderr_contains("all rows completed; no file was written");
}

#[test]
fn exported_results_can_be_imported() {
    let env = test_env(4);
    let flags = "--output-format batch --error-file errors.jsonl";
    env.run(&format!("run jobs.csv -o out.jsonl {flags}"))
        .exits(3);
    let (responses, errors) = (env.read("out.jsonl"), env.read("errors.jsonl"));
    env.run("import jobs.csv --batch again").exits(0);
    env.run("import-results again out.jsonl errors.jsonl")
        .exits(0)
        .stderr_contains("3 responses imported, 1 row failed");
    env.run(&format!("export again -o out.jsonl {flags}"))
        .exits(0);
    // Only the `id`, which is derived from the job, can differ.
    let without_id = |text: &str| -> Vec<Value> {
        let mut lines = lines(text);
        for line in &mut lines {
            line["id"] = Value::Null;
        }
        lines
    };
    assert_eq!(without_id(&env.read("out.jsonl")), without_id(&responses));
    let (found, given) = (lines(&env.read("errors.jsonl")), lines(&errors));
    let error = |lines: &[Value]| lines[0]["response"]["body"]["error"]["message"].clone();
    assert_eq!(error(&found), error(&given));
    env.run("show again 3").exits(0);
}

#[test]
fn requests_with_temporary_errors_stay_pending() {
    let env = test_env(3);
    env.run("import jobs.csv --id-column id").exits(0);
    let failed = |id: &str, status: u16, message: &str| {
        json!({"custom_id": id, "response": {"status_code": status, "request_id": "",
               "body": {"error": {"message": message}}}})
    };
    let expired = json!({"custom_id": "2", "response": null,
                         "error": {"code": "batch_expired", "message": "too late"}});
    let text = format!("{}\n{expired}\n", failed("1", 500, "Internal server error"));
    env.write("errors.jsonl", &text);
    let output = env.run("import-results jobs.csv errors.jsonl").exits(0);
    let output = output.stderr_contains("0 responses imported").stderr;
    assert!(
        output.contains("1 row without a response: batch_expired"),
        "{output}"
    );
    let json = "--json import-results jobs.csv errors.jsonl";
    assert_eq!(env.run(json).exits(0).json()["left"], 3);
}

#[test]
fn rejects_files_with_results_of_another_batch() {
    let env = test_env(2);
    env.run("import jobs.csv --id-column id").exits(0);
    let request = |id: &str| json!({"custom_id": id, "body": {"messages": [{"content": "x"}]}});
    let mixed = batch_output(&format!(
        "{}\n{}\n",
        request("1"),
        request("nobody\u{1b}[2J")
    ));
    env.write("mixed.jsonl", &mixed);
    let output = env.run("import-results jobs.csv mixed.jsonl").exits(65);
    let output = output
        .stderr_contains("no row for the custom_id nobody")
        .stderr;
    assert!(!output.contains('\u{1b}'), "{output}");
    env.write(
        "broken.jsonl",
        &format!(
            "{}{{\"custom_id\":\"2\"\n",
            batch_output(&request("1").to_string())
        ),
    );
    env.run("import-results jobs.csv broken.jsonl")
        .exits(65)
        .stderr_contains("broken.jsonl:2: ");
    env.run("import-results jobs.csv absent.jsonl").exits(66);
    let status = env.run("status --json").exits(0).json();
    assert_eq!(status["batches"][0]["done"], 0, "{status}");
}
