//! Rows that ask the same, asked once.

use promptmill::simulator::{Config, Reaction, Script};

use crate::support::{Scene, Sheet};

/// Six rows of three prompts.
const ROWS: &str = "id,prompt\n1,a\n2,b\n3,a\n4,a\n5,c\n6,b\n";
const RUN: &str = "run jobs.csv -o out.csv --id-column id --set temperature=0 --dedupe";

fn scene(config: Config) -> Scene {
    let scene = Scene::new(config);
    scene.write("jobs.csv", ROWS);
    scene
}

/// Holds rows with the same prompt to the same answer, and tokens to being counted once.
#[track_caller]
fn check(sheet: &Sheet, asked: &[&str]) {
    assert_eq!(sheet.count("done"), sheet.len());
    let (prompts, answers) = (sheet.column("prompt"), sheet.column("response"));
    for (prompt, completion) in prompts.iter().zip(&answers) {
        let first = prompts.iter().position(|other| other == prompt).unwrap();
        assert_eq!(*completion, answers[first]);
        assert!(
            completion.contains(&format!("\"{prompt}\"")),
            "{completion}"
        );
    }
    assert_eq!(sheet.column("attempts"), asked);
    let tokens = sheet.column("prompt_tokens");
    for (asked, tokens) in asked.iter().zip(tokens) {
        assert_eq!(*asked == "0", tokens.is_empty());
    }
}

#[test]
fn rows_that_ask_the_same_are_asked_once() {
    let scene = scene(Config::default());
    scene
        .run(RUN)
        .exits(0)
        .says("3 rows got a copy")
        .says("6 done, 0 failed, 0 left");
    assert_eq!(scene.requests(), 3);
    check(&scene.sheet("out.csv"), &["1", "1", "0", "0", "1", "0"]);
    scene.run("verify jobs.csv -o out.csv").exits(0);
    scene.run(RUN).exits(0).says("nothing to do");
    // A new row that asks what was answered before is not asked.
    scene.write("jobs.csv", &format!("{ROWS}7,b\n"));
    scene.run(RUN).exits(0);
    assert_eq!(scene.requests(), 3);
    check(
        &scene.sheet("out.csv"),
        &["1", "1", "0", "0", "1", "0", "0"],
    );
}

#[test]
fn without_temperature_0_each_row_is_asked_unless_that_is_wanted() {
    let free = "run jobs.csv -o out.csv --dedupe";
    let asked = scene(Config::default());
    asked.run(free).exits(0);
    assert_eq!(asked.requests(), 6);
    let forced = scene(Config::default());
    forced.run(&format!("{free}=always")).exits(0);
    assert_eq!(forced.requests(), 3);
    let never = scene(Config::default());
    never.run(&format!("{RUN}=never")).exits(0);
    assert_eq!(never.requests(), 6);
}

#[test]
fn what_fails_one_fails_all_and_a_retry_asks_once() {
    let body = r#"{"error":{"message":"Too long.","code":"context_length_exceeded"}}"#;
    let refusal = move |arrival: &promptmill::simulator::Arrival<'_>| {
        let refused = arrival.prompt == "a" && arrival.turn == 1;
        refused.then(|| Reaction::Json(400, body.to_owned()))
    };
    let scene = scene(Config::default().script(Script::new().rule(refusal)));
    scene.run(RUN).exits(3).says("3 done, 3 failed, 0 left");
    let sheet = scene.sheet("out.csv");
    for row in [1, 3, 4] {
        assert!(sheet.cell(row, "error").contains("Too long."));
    }
    scene.run("verify jobs.csv -o out.csv").exits(0);
    scene.run("retry jobs.csv").exits(0);
    scene.run(RUN).exits(0);
    assert_eq!(scene.requests(), 4);
    let sheet = scene.sheet("out.csv");
    assert_eq!(sheet.count("done"), 6);
}

#[test]
fn a_killed_run_has_lost_no_copy() {
    let scene = scene(Config::default());
    scene.provider.hold();
    let run = scene.start(&format!("{RUN} --concurrency 1"));
    scene.wait_for(1);
    run.kill();
    scene.provider.release();
    scene.run(RUN).exits(0);
    // The request that was in flight is asked again, and no other.
    assert_eq!(scene.requests(), 4);
    check(&scene.sheet("out.csv"), &["2", "1", "0", "0", "1", "0"]);
}

#[test]
fn a_bound_leaves_the_copies_to_the_next_run() {
    let scene = scene(Config::default());
    scene.run(&format!("{RUN} --limit 1")).exits(4);
    assert_eq!(scene.requests(), 1);
    scene.run(&RUN.replace(" --dedupe", "")).exits(0);
    // Row 1 is answered for 3 and 4 as well; what is left is asked row by row.
    assert_eq!(scene.requests(), 4);
    check(&scene.sheet("out.csv"), &["1", "1", "0", "0", "1", "1"]);
}
