//! Embeddings: a vector for each text, in every form of input and results.

use promptmill::simulator::{Config, Reaction, Script};
use serde_json::{Value, json};

use crate::support::Scene;

const ROWS: &str = "id,prompt\n1,cat\n2,dog\n3,cat\n";
const RUN: &str = "run jobs.csv --endpoint embeddings --id-column id";

fn scene() -> Scene {
    let scene = Scene::new(Config::default());
    scene.write("jobs.csv", ROWS);
    scene
}

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines().map(serde_json::from_str);
    lines.map(Result::unwrap).collect()
}

#[test]
fn a_cell_holds_the_vector_as_json_and_a_line_has_it_as_it_is() {
    let scene = scene();
    scene
        .run(&format!("{RUN} -o out.csv --set dimensions=8"))
        .exits(0);
    for entry in scene.provider.ledger().entries {
        assert_eq!(entry.path, "/v1/embeddings");
        assert_eq!(entry.model, "text-embedding-3-small");
        let body: Value = serde_json::from_str(&entry.body).unwrap();
        assert_eq!(body["input"], entry.prompt);
        assert_eq!(
            (&body["dimensions"], &body["messages"]),
            (&json!(8), &Value::Null)
        );
    }
    let sheet = scene.sheet("out.csv");
    assert_eq!(sheet.count("done"), 3);
    let vectors: Vec<Vec<f64>> = sheet
        .column("response")
        .into_iter()
        .map(|cell| serde_json::from_str(cell).unwrap())
        .collect();
    assert!(vectors[0].len() > 2 && vectors[0] == vectors[2] && vectors[0] != vectors[1]);
    assert_eq!(sheet.column("completion_tokens"), ["", "", ""]);
    assert!(sheet.sum("prompt_tokens") > 0);

    scene.run("export jobs.csv -o out.jsonl").exits(0);
    let found = lines(&scene.read("out.jsonl"));
    assert_eq!(found[1]["response"], json!(vectors[1]));
    scene.run("verify jobs.csv -o out.jsonl").exits(0);
    let shown = scene.run("show jobs.csv 2 --json").exits(0).json();
    assert_eq!(
        shown["answer"]["text"].as_str().unwrap(),
        sheet.cell(2, "response")
    );
    scene
        .run(&format!("{RUN} -o out.csv --set dimensions=8"))
        .exits(0)
        .says("nothing to do");
}

#[test]
fn the_same_text_is_asked_once_with_dedupe() {
    let scene = scene();
    scene.run(&format!("{RUN} -o out.csv --dedupe")).exits(0);
    assert_eq!(scene.requests(), 2);
    let sheet = scene.sheet("out.csv");
    assert_eq!(sheet.cell(1, "response"), sheet.cell(3, "response"));
}

#[test]
fn batch_files_of_embeddings_come_in_and_go_out() {
    let scene = Scene::new(Config::default());
    let request = |id: &str, url: &str| {
        let body = json!({"model": "text-embedding-3-large", "input": ["a", id], "messages": []});
        let line = json!({"custom_id": id, "method": "POST", "url": url, "body": body});
        format!("{line}\n")
    };
    let good = request("r-1", "/v1/embeddings") + &request("r-2", "/v1/embeddings");
    scene.write("in.jsonl", &good);
    scene.run("run in.jsonl --limit 1 -o out.jsonl").exits(4);
    scene.run("export in.jsonl --remainder rest.jsonl").exits(0);
    let rest = lines(&scene.read("rest.jsonl"));
    assert_eq!((rest.len(), &rest[0]["url"]), (1, &json!("/v1/embeddings")));
    let embedding =
        |text: &str| json!({"object": "embedding", "index": 0, "embedding": [text.len(), 0.5]});
    let body = json!({"object": "list", "model": "m", "data": [embedding("a"), embedding("bc")],
                      "usage": {"prompt_tokens": 3, "total_tokens": 3}});
    let output = json!({"custom_id": rest[0]["custom_id"], "error": null,
                        "response": {"status_code": 200, "request_id": "q", "body": body}});
    scene.write("output.jsonl", &format!("{output}\n"));
    scene
        .run("import-results in.jsonl output.jsonl")
        .exits(0)
        .says("1 answer taken in");
    scene.run("export in.jsonl -o out.csv").exits(0);
    let sheet = scene.sheet("out.csv");
    assert_eq!(sheet.cell(2, "response"), "[[1,0.5],[2,0.5]]");

    let mixed = good.clone() + &request("r-3", "/v1/chat/completions");
    scene.write("mixed.jsonl", &mixed);
    scene
        .run("run mixed.jsonl")
        .exits(65)
        .says("mixed.jsonl:3: goes to `/v1/chat/completions`, the first line to `/v1/embeddings`");
}

#[test]
fn what_has_no_vector_is_no_answer_and_a_model_of_the_other_kind_stops_the_run() {
    let empty = Reaction::Json(200, r#"{"object":"list","data":[]}"#.to_owned());
    let script = Script::new().on(|arrival| arrival.prompt == "dog", empty);
    let broken = Scene::new(Config::default().script(script));
    broken.write("jobs.csv", ROWS);
    broken.run(&format!("{RUN} -o out.csv")).exits(3);
    let sheet = broken.sheet("out.csv");
    assert!(sheet.cell(2, "error").contains("answer-no-vector"));

    let scene = scene();
    scene
        .run(&format!("{RUN} --model gpt-4o-mini -o out.csv"))
        .exits(78)
        .says("embedding");
    let chat = "run jobs.csv --batch chat --model text-embedding-3-small";
    scene.run(chat).exits(78).says("--endpoint embeddings");
    assert!(scene.requests() <= 4);
    scene
        .run(&format!("{RUN} --system hello --batch s"))
        .exits(65)
        .says("--system: has no place in a request for embeddings");
}
