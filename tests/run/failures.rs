//! What a person does about failures: list them, look at one, ask some again, cancel the rest.

use promptmill::simulator::{Config, Reaction, Script};

use crate::support::{Scene, jobs, question};

const RUN: &str = "run jobs.csv -o out.csv --id-column id";

/// Ten rows of which 3 is filtered and 7 is too long, run to the end.
fn scene() -> Scene {
    let filtered = r#"{"error":{"message":"Flagged by our \u001b[31mmoderation system.","code":"content_policy_violation"}}"#;
    let long = r#"{"error":{"message":"maximum context length is 8192 tokens","code":"context_length_exceeded"}}"#;
    let on = |row: usize| {
        move |arrival: &promptmill::simulator::Arrival<'_>| arrival.prompt == question(row)
    };
    let script = Script::new()
        .on(on(3), Reaction::Json(400, filtered.to_owned()))
        .on(on(7), Reaction::Json(400, long.to_owned()));
    let scene = Scene::new(Config::default().script(script));
    scene.write("jobs.csv", &jobs(10));
    scene.run(RUN).exits(3);
    scene
}

fn rule(scene: &Scene, row: usize) -> String {
    let shown = scene
        .run(&format!("show jobs.csv {row} --json"))
        .exits(0)
        .json();
    shown["attempts"][0]["rule"].as_str().unwrap().to_owned()
}

#[test]
fn failures_are_listed_with_what_to_type() {
    let scene = scene();
    let (filtered, long) = (rule(&scene, 3), rule(&scene, 7));
    let listed = scene.run("failures jobs.csv").exits(0).stdout;
    for text in [
        "#3  3   ",
        "#7  7   ",
        "Flagged by our \\u{1b}[31mmoderation system.",
        "  cure:  ",
        &format!("  again: promptmill retry jobs.csv --cause {filtered}\n"),
        &format!("  again: promptmill retry jobs.csv --cause {long}\n"),
    ] {
        assert!(listed.contains(text), "no {text:?} in:\n{listed}");
    }
    let one = scene
        .run(&format!("failures jobs.csv --cause {long}"))
        .exits(0)
        .stdout;
    assert!(!one.contains("#3") && one.contains("#7"), "{one}");
    let limited = scene.run("failures jobs.csv --limit 1").exits(0).stdout;
    assert!(limited.contains("… and 1 more"), "{limited}");
    let json = scene.run("failures jobs.csv --json").exits(0).json();
    let ids: Vec<_> = json["failures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["id"])
        .collect();
    assert_eq!(ids, ["3", "7"]);
    assert_eq!(json["causes"].as_array().unwrap().len(), 2);
}

#[test]
fn a_row_is_shown_whole() {
    let scene = scene();
    let shown = scene.run("show jobs.csv 3").exits(0).stdout;
    for text in [
        "jobs.csv, row 3 (3): failed, 1 request\n",
        "        \"content\": \"question 3\"\n",
        "key-1, status 400, after ",
        "said: Flagged by our \\u{1b}[31mmoderation",
        "cure: ",
    ] {
        assert!(shown.contains(text), "no {text:?} in:\n{shown}");
    }
    let shown = scene.run("show jobs.csv #4").exits(0).stdout;
    assert!(
        shown.starts_with("jobs.csv, row 4 (4): answered, 1 request\n"),
        "{shown}"
    );
    assert!(
        shown.contains("\n  Simulated answer to \"question 4\" ("),
        "{shown}"
    );
    let json = scene.run("show jobs.csv 4 --json").exits(0).json();
    assert_eq!(json["request"]["messages"][0]["content"], "question 4");
    assert_eq!(json["status"], "done");
    scene
        .run("show jobs.csv 11")
        .exits(66)
        .says("no row of batch \"jobs.csv\" is called 11")
        .says("numbers 1 to 10");
}

#[test]
fn only_what_is_chosen_is_asked_again() {
    let scene = scene();
    let (filtered, long) = (rule(&scene, 3), rule(&scene, 7));
    let near = format!("{}x", &long);
    scene
        .run(&format!("retry jobs.csv --cause {near}"))
        .exits(66)
        .says(&format!("did you mean --cause {long}?"));
    scene
        .run("retry jobs.csv --scope sun")
        .exits(2)
        .says("transient");
    scene
        .run("retry jobs.csv --ids 3,99")
        .exits(66)
        .says("is called 99");
    scene
        .run(&format!("retry jobs.csv --cause {long} --max 5"))
        .exits(0)
        .says("1 failed row to be asked again; 1 failed row left as they are")
        .says("next: promptmill run jobs.csv");
    scene.run(RUN).exits(3);
    let ledger = scene.provider.ledger();
    assert_eq!(
        (
            ledger.of_prompt(&question(3)),
            ledger.of_prompt(&question(7))
        ),
        (1, 2)
    );
    scene.write("ids.txt", "3\n\n");
    scene.run("retry jobs.csv --ids-file ids.txt").exits(0);
    scene.run(RUN).exits(3);
    assert_eq!(scene.provider.ledger().of_prompt(&question(3)), 2);
    assert_eq!(rule(&scene, 3), filtered);
}

#[test]
fn what_is_cancelled_is_not_asked_until_it_is_taken_back() {
    let scene = Scene::with_rows(5);
    scene.run("import jobs.csv").exits(0);
    let ran = scene.run("cancel jobs.csv --ids 2,4").exits(0);
    ran.says("jobs.csv: 2 rows cancelled")
        .says("back with: promptmill retry jobs.csv --cause cancelled");
    scene.run("run jobs.csv -o out.csv").exits(3);
    assert_eq!(scene.requests(), 3);
    let sheet = scene.sheet("out.csv");
    assert_eq!(
        sheet.column("status"),
        ["done", "failed", "done", "failed", "done"]
    );
    assert!(sheet.cell(2, "error").contains("cancelled"));
    let listed = scene.run("failures jobs.csv").exits(0).stdout;
    assert!(listed.contains("2 rows: cancelled (request)"), "{listed}");
    scene
        .run("cancel jobs.csv --ids 1")
        .exits(0)
        .says("1 row had an answer");
    scene.run("retry jobs.csv --cause cancelled").exits(0);
    scene.run("run jobs.csv -o out.csv").exits(0);
    scene.sheet("out.csv").answers(5);
    assert_eq!(scene.requests(), 5);
}

#[test]
fn rows_in_flight_are_left_to_the_run_that_asks() {
    let scene = Scene::with_rows(3);
    scene.provider.hold();
    let run = scene.start("run jobs.csv -o out.csv");
    scene.wait_for(1);
    scene
        .run("cancel jobs.csv --ids 1")
        .exits(75)
        .says("0 rows cancelled")
        .says("1 row is in flight and left to the run that asks");
    let json = scene.run("cancel jobs.csv --json").exits(0).json();
    assert_eq!(
        (&json["cancelled"], &json["running"]),
        (&2.into(), &1.into())
    );
    scene.provider.release();
    run.finish().exits(3);
    assert_eq!(scene.requests(), 1);
}
