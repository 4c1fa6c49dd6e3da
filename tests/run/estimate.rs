//! What is told beforehand: it is so, it costs no request, and it leaves nothing behind.

use promptmill::simulator::Config;

use crate::support::{KEY, Scene, jobs};

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[test]
fn a_file_is_estimated_without_a_key_and_nothing_is_left_behind() {
    let scene = Scene::with_rows(30).set("PROMPTMILL_API_KEYS", "");
    for words in ["estimate jobs.csv", "run jobs.csv --dry-run"] {
        let words = format!("{words} --set max_tokens=50 --rpm 10");
        let told = scene.run(&words).exits(0).stdout;
        has(
            &told,
            &[
                "jobs.csv: 30 rows\n",
                "to ask   30 rows (30 new)\n",
                "answers  600 to 1,500 tokens (up to max_tokens)\n",
                "time     3m 0s (10 requests a minute, with one key)\n",
                "cost     $0.000",
                "3 of the requests, as sent:",
                "row 1\n",
                "\"content\": \"question 30\"",
                "\"max_tokens\": 50",
            ],
        );
    }
    assert_eq!(
        (scene.files(), scene.requests()),
        (vec!["jobs.csv".to_owned()], 0)
    );
}

#[test]
fn what_is_done_is_not_asked_again_and_tells_of_the_rest() {
    let scene = Scene::with_rows(6);
    scene.run("run jobs.csv -o out.csv").exits(0);
    let told = scene.run("estimate jobs.csv").exits(0).stdout;
    has(
        &told,
        &["to ask   nothing\n", "not      6 rows (6 answered)\n"],
    );
    scene.write("jobs.csv", &jobs(8));
    let json = scene.run("estimate jobs.csv --json").exits(0).json();
    assert_eq!(
        (&json["to_ask"], &json["new"], &json["answered"]),
        (&2.into(), &2.into(), &6.into())
    );
    let told = scene.run("estimate jobs.csv").exits(0).stdout;
    has(
        &told,
        &[
            "to ask   2 rows (2 new)\n",
            "as the 6 answers of this batch so far",
        ],
    );
    let told = scene
        .run("estimate jobs.csv --model gpt-4o")
        .exits(0)
        .stdout;
    has(
        &told,
        &[
            "8 rows (2 new, 6 changed)",
            "`run` will refuse this",
            "--redo",
        ],
    );
    assert_eq!(scene.requests(), 6);
    // The estimate has changed nothing.
    scene.run("run jobs.csv -o out.csv").exits(0);
    scene.sheet("out.csv").answers(8);
    assert_eq!(scene.requests(), 8);
}

#[test]
fn keys_share_the_work_and_are_not_read() {
    let second = format!("{KEY}2");
    let scene = Scene::with_rows(30).keys(&[KEY, &second]);
    let told = scene.run("estimate jobs.csv --rpm 10").exits(0).stdout;
    has(
        &told,
        &["time     1m 30s (10 requests a minute, each of 2 keys)\n"],
    );
    let told = scene
        .run("estimate jobs.csv --model home-made")
        .exits(0)
        .stdout;
    has(&told, &["cost     the price of this model is not known\n"]);
}

#[test]
fn a_mistake_is_told_as_an_import_would() {
    let scene = Scene::new(Config::default());
    scene.write("jobs.csv", "id,text\n1,a\n");
    scene
        .run("estimate jobs.csv --prompt {{txt}}")
        .exits(65)
        .says("did you mean `text`?");
    scene
        .run("estimate none.csv")
        .exits(66)
        .says("no such file");
    scene.write("jobs.csv", "id,prompt\n1,\"a \u{1b}[31m\"\n");
    let told = scene.run("estimate jobs.csv").exits(0).stdout;
    assert!(!told.contains('\u{1b}'), "{told:?}");
}
