//! A batch follows its file: what is new is asked, what has changed is asked again, what has gone
//! is left out and kept.

use std::fmt::Write as _;
use std::time::Duration;

use promptmill::simulator::{Config, Reaction, Script};

use crate::support::{Scene, jobs};

const RUN: &str = "run jobs.csv -o out.csv";
const BY_ID: &str = "run jobs.csv -o out.csv --id-column id";

/// Writes rows of an id, a prompt and a remark.
fn write(scene: &Scene, rows: &[(&str, &str, &str)]) {
    let mut text = "id,prompt,remark\n".to_owned();
    for (id, prompt, remark) in rows {
        writeln!(text, "{id},{prompt},{remark}").unwrap();
    }
    scene.write("jobs.csv", &text);
}

/// Runs, and holds the run to so many requests.
#[track_caller]
fn costs(scene: &Scene, words: &str, requests: u64) {
    let before = scene.requests();
    scene.run(words).exits(0);
    assert_eq!(scene.requests() - before, requests);
    let (file, sheet) = (scene.read("jobs.csv"), scene.sheet("out.csv"));
    assert_eq!(sheet.len(), file.lines().count() - 1);
    for (row, line) in file.lines().skip(1).enumerate() {
        let prompt = sheet.cell(row + 1, "prompt");
        assert!(line.contains(prompt), "{line} became {prompt}");
        let completion = sheet.cell(row + 1, "response");
        assert!(
            completion.contains(&format!("\"{prompt}\"")),
            "{prompt} got {completion}"
        );
    }
}

#[test]
fn rows_that_are_appended_are_asked_alone() {
    let scene = Scene::with_rows(20);
    costs(&scene, RUN, 20);
    scene.write("jobs.csv", &jobs(25));
    costs(&scene, RUN, 5);
    scene.sheet("out.csv").answers(25);
}

#[test]
fn rows_in_another_order_cost_nothing_and_are_exported_in_it() {
    let scene = Scene::new(Config::default());
    write(
        &scene,
        &[("1", "one", ""), ("2", "two", ""), ("3", "three", "")],
    );
    costs(&scene, RUN, 3);
    write(
        &scene,
        &[("3", "three", ""), ("1", "one", ""), ("2", "two", "")],
    );
    costs(&scene, RUN, 0);
    assert_eq!(scene.sheet("out.csv").column("id"), ["3", "1", "2"]);
}

#[test]
fn equal_rows_are_each_asked() {
    let scene = Scene::new(Config::default());
    write(
        &scene,
        &[("1", "one", ""), ("1", "one", ""), ("1", "one", "")],
    );
    costs(&scene, RUN, 3);
    costs(&scene, RUN, 0);
    write(&scene, &[("1", "one", ""); 4]);
    costs(&scene, RUN, 1);
}

#[test]
fn a_changed_prompt_is_asked_again() {
    let scene = Scene::new(Config::default());
    write(
        &scene,
        &[("1", "one", "x"), ("2", "two", "x"), ("3", "three", "x")],
    );
    costs(&scene, BY_ID, 3);
    write(
        &scene,
        &[("1", "one", "x"), ("2", "deux", "x"), ("3", "three", "x")],
    );
    let ran = scene.run(BY_ID).exits(0);
    ran.says("jobs.csv: 3 rows (1 changed and to be asked again)");
    assert_eq!(scene.requests(), 4);
    costs(&scene, BY_ID, 0);
}

#[test]
fn a_remark_that_changes_costs_nothing_and_is_exported() {
    let scene = Scene::new(Config::default());
    write(&scene, &[("1", "one", "x"), ("2", "two", "x")]);
    costs(&scene, BY_ID, 2);
    write(&scene, &[("1", "one", "x"), ("2", "two", "looked at")]);
    costs(&scene, BY_ID, 0);
    assert_eq!(scene.sheet("out.csv").column("remark"), ["x", "looked at"]);
}

#[test]
fn a_new_column_costs_nothing_and_is_exported() {
    let scene = Scene::new(Config::default());
    scene.write("jobs.csv", "id,prompt\n1,one\n2,two\n");
    costs(&scene, BY_ID, 2);
    scene.write("jobs.csv", "mood,id,prompt\ngood,1,one\nbad,2,two\n");
    costs(&scene, BY_ID, 0);
    let sheet = scene.sheet("out.csv");
    assert_eq!(sheet.columns[..3], ["mood", "id", "prompt"]);
    assert_eq!(sheet.column("mood"), ["good", "bad"]);
}

#[test]
fn rows_that_go_are_withdrawn_and_have_their_answer_when_they_come_back() {
    let scene = Scene::with_rows(10);
    costs(&scene, RUN, 10);
    let whole = scene.read("out.csv");
    scene.write("jobs.csv", &jobs(6));
    let ran = scene
        .run(RUN)
        .exits(0)
        .says("jobs.csv: 6 rows (4 withdrawn)");
    assert!(
        ran.stderr.contains("nothing to do: all 6 rows"),
        "{}",
        ran.stderr
    );
    scene.sheet("out.csv").answers(6);
    let status = scene.run("status --json").exits(0).json();
    assert_eq!(status["batches"][0]["total"], 6);
    scene.write("jobs.csv", &jobs(10));
    costs(&scene, RUN, 0);
    assert_eq!(scene.read("out.csv"), whole);
}

#[test]
fn a_file_that_turns_bad_leaves_the_batch_as_it_was() {
    let scene = Scene::with_rows(10);
    costs(&scene, RUN, 10);
    let whole = scene.read("out.csv");
    scene.write("jobs.csv", &format!("{}11,ragged\n", jobs(5)));
    scene.run(RUN).exits(65).says("jobs.csv:7: ");
    let status = scene.run("status --json").exits(0).json();
    assert_eq!(status["batches"][0]["done"], 10);
    assert_eq!(scene.read("out.csv"), whole);
}

#[test]
fn an_import_during_a_run_joins_it() {
    let scene = Scene::with_rows(3);
    scene.provider.hold();
    let run = scene.start(RUN);
    scene.wait_for(1);
    scene.write("jobs.csv", &jobs(8));
    scene.run("import jobs.csv").exits(0).says("5 added");
    scene.provider.release();
    run.finish().exits(0);
    scene.sheet("out.csv").answers(8);
    assert_eq!(scene.requests(), 8);
}

#[test]
fn an_answer_to_a_prompt_that_was_changed_meanwhile_is_not_taken() {
    let scene = Scene::new(Config::default());
    write(&scene, &[("1", "old", "x")]);
    scene.provider.hold();
    let run = scene.start(BY_ID);
    scene.wait_for(1);
    write(&scene, &[("1", "new", "x")]);
    scene.run("import jobs.csv --id-column id").exits(0);
    scene.provider.release();
    run.finish().exits(0);
    let completion = scene.sheet("out.csv").cell(1, "response").to_owned();
    assert!(completion.contains("\"new\""), "{completion}");
    assert_eq!(scene.requests(), 2);
}

#[test]
fn an_answer_to_the_old_prompt_does_not_settle_the_new_one_that_is_in_flight() {
    // The old answer comes while the new request is under way.
    let script = Script::new()
        .on(|arrival| arrival.prompt == "old", late("old", 300))
        .on(|arrival| arrival.prompt == "new", late("new", 600));
    let keys = ["sk-first-0123456789abcdef", "sk-second-0123456789abcde"];
    let scene = Scene::new(Config::default().script(script)).keys(&keys);
    write(&scene, &[("1", "old", "x"), ("2", "other", "x")]);
    scene.provider.hold();
    let run = scene.start(BY_ID);
    scene.wait_for(2);
    write(&scene, &[("1", "new", "x"), ("2", "other", "x")]);
    scene.run("import jobs.csv --id-column id").exits(0);
    scene.provider.release();
    run.finish().exits(0);
    assert_eq!(scene.sheet("out.csv").cell(1, "response"), "\"new\"");
    assert_eq!(scene.requests(), 3);
    costs(&scene, BY_ID, 0);
}

fn late(prompt: &str, millis: u64) -> Reaction {
    Reaction::Say(format!("\"{prompt}\"")).after(Duration::from_millis(millis))
}
