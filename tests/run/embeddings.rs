//! Embeddings, in every input and output format.

use promptmill::simulator::{Config, Reaction, Script};
use serde_json::{Value, json};

use crate::support::TestEnv;

const ROWS: &str = "id,prompt\n1,cat\n2,dog\n3,cat\n";
const RUN: &str = "run jobs.csv --endpoint embeddings --id-column id";

fn test_env() -> TestEnv {
    let env = TestEnv::new(Config::default());
    env.write("jobs.csv", ROWS);
    env
}

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines().map(serde_json::from_str);
    lines.map(Result::unwrap).collect()
}

#[test]
fn a_vector_is_json_text_in_csv_and_an_array_in_jsonl() {
    let env = test_env();
    env.run(&format!("{RUN} -o out.csv --set dimensions=8"))
        .exits(0);
    for entry in env.provider.request_log().entries {
        assert_eq!(entry.path, "/v1/embeddings");
        assert_eq!(entry.model, "text-embedding-3-small");
        let body: Value = serde_json::from_str(&entry.body).unwrap();
        assert_eq!(body["input"], entry.prompt);
        assert_eq!(
            (&body["dimensions"], &body["messages"]),
            (&json!(8), &Value::Null)
        );
    }
    let results = env.results("out.csv");
    assert_eq!(results.count("done"), 3);
    let vectors: Vec<Vec<f64>> = results
        .column("response")
        .into_iter()
        .map(|cell| serde_json::from_str(cell).unwrap())
        .collect();
    assert!(vectors[0].len() > 2 && vectors[0] == vectors[2] && vectors[0] != vectors[1]);
    assert_eq!(results.column("completion_tokens"), ["", "", ""]);
    assert!(results.sum("prompt_tokens") > 0);

    env.run("export jobs.csv -o out.jsonl").exits(0);
    let found = lines(&env.read("out.jsonl"));
    assert_eq!(found[1]["response"], json!(vectors[1]));
    env.run("verify jobs.csv -o out.jsonl").exits(0);
    let shown = env.run("show jobs.csv 2 --json").exits(0).json();
    assert_eq!(
        shown["answer"]["text"].as_str().unwrap(),
        results.cell(2, "response")
    );
    env.run(&format!("{RUN} -o out.csv --set dimensions=8"))
        .exits(0)
        .stderr_contains("nothing to do");
}

#[test]
fn dedupe_sends_identical_texts_once() {
    let env = test_env();
    env.run(&format!("{RUN} -o out.csv --dedupe")).exits(0);
    assert_eq!(env.requests(), 2);
    let results = env.results("out.csv");
    assert_eq!(results.cell(1, "response"), results.cell(3, "response"));
}

#[test]
fn supports_batch_files_of_embeddings() {
    let env = TestEnv::new(Config::default());
    let request = |id: &str, url: &str| {
        let body = json!({"model": "text-embedding-3-large", "input": ["a", id], "messages": []});
        let line = json!({"custom_id": id, "method": "POST", "url": url, "body": body});
        format!("{line}\n")
    };
    let good = request("r-1", "/v1/embeddings") + &request("r-2", "/v1/embeddings");
    env.write("in.jsonl", &good);
    env.run("run in.jsonl --limit 1 -o out.jsonl").exits(4);
    env.run("export in.jsonl --remainder rest.jsonl").exits(0);
    let rest = lines(&env.read("rest.jsonl"));
    assert_eq!((rest.len(), &rest[0]["url"]), (1, &json!("/v1/embeddings")));
    let embedding =
        |text: &str| json!({"object": "embedding", "index": 0, "embedding": [text.len(), 0.5]});
    let body = json!({"object": "list", "model": "m", "data": [embedding("a"), embedding("bc")],
                      "usage": {"prompt_tokens": 3, "total_tokens": 3}});
    let output = json!({"custom_id": rest[0]["custom_id"], "error": null,
                        "response": {"status_code": 200, "request_id": "q", "body": body}});
    env.write("output.jsonl", &format!("{output}\n"));
    env.run("import-results in.jsonl output.jsonl")
        .exits(0)
        .stderr_contains("1 response imported");
    env.run("export in.jsonl -o out.csv").exits(0);
    let results = env.results("out.csv");
    assert_eq!(results.cell(2, "response"), "[[1,0.5],[2,0.5]]");

    let mixed = good.clone() + &request("r-3", "/v1/chat/completions");
    env.write("mixed.jsonl", &mixed);
    env.run("run mixed.jsonl").exits(65).stderr_contains(
        "mixed.jsonl:3: url is `/v1/chat/completions`, but the first line has `/v1/embeddings`",
    );
}

#[test]
fn a_missing_vector_fails_the_row_and_a_chat_model_stops_the_run() {
    let empty = Reaction::Json(200, r#"{"object":"list","data":[]}"#.to_owned());
    let script = Script::new().on(|request| request.prompt == "dog", empty);
    let broken = TestEnv::new(Config::default().script(script));
    broken.write("jobs.csv", ROWS);
    broken.run(&format!("{RUN} -o out.csv")).exits(3);
    let results = broken.results("out.csv");
    assert!(results.cell(2, "error").contains("answer-no-vector"));

    let env = test_env();
    env.run(&format!("{RUN} --model gpt-4o-mini -o out.csv"))
        .exits(78)
        .stderr_contains("embedding");
    let chat = "run jobs.csv --batch chat --model text-embedding-3-small";
    env.run(chat)
        .exits(78)
        .stderr_contains("--endpoint embeddings");
    assert!(env.requests() <= 4);
    env.run(&format!("{RUN} --system hello --batch s"))
        .exits(65)
        .stderr_contains("--system: not supported for embeddings");
}
