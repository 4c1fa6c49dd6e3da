//! A recipe that changes is refused while there are answers to the old one, with the ways out.

use promptmill::simulator::Config;

use crate::support::{Scene, jobs};

const RUN: &str = "run jobs.csv -o out.csv";

fn answered() -> Scene {
    let scene = Scene::with_rows(6);
    scene.run(RUN).exits(0);
    scene
}

/// Holds a changed recipe to being refused, and named.
#[track_caller]
fn check(flags: &str, what: &str) {
    let scene = answered();
    scene
        .run(&format!("{RUN} {flags}"))
        .exits(78)
        .says("the recipe of batch \"jobs.csv\" has changed")
        .says(what)
        .says("--redo")
        .says("--batch NAME");
    assert_eq!(scene.requests(), 6);
    scene.run(RUN).exits(0).says("nothing to do");
}

#[test]
fn each_part_of_a_recipe_that_has_changed_is_named() {
    check("--model other", "the model (was \"gpt-4o-mini\")");
    check("--prompt Say:{{prompt}}", "the prompt");
    check("--system Be_kind.", "the system message");
    check("--set temperature=0", "the parameters");
    check("--id-column id", "the id column");
}

#[test]
fn redo_asks_every_row_anew() {
    let scene = answered();
    scene.run(&format!("{RUN} --model other --redo")).exits(0);
    assert_eq!(scene.requests(), 12);
    let sheet = scene.sheet("out.csv");
    sheet.answers(6);
    assert_eq!(sheet.column("model"), ["other"; 6]);
    assert_eq!(sheet.sum("attempts"), 6);
    scene
        .run(&format!("{RUN} --model other"))
        .exits(0)
        .says("nothing to do");
}

#[test]
fn a_second_batch_stands_beside_the_first() {
    let scene = answered();
    let second = "run jobs.csv -o second.csv --model other --batch second";
    scene.run(second).exits(0);
    assert_eq!(scene.requests(), 12);
    scene.sheet("second.csv").answers(6);
    scene.run(RUN).exits(0).says("nothing to do");
    let status = scene.run("status --json").exits(0).json();
    let names: Vec<_> = status["batches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| &b["name"])
        .collect();
    assert_eq!(names, ["jobs.csv", "second"]);
    scene.run("export second -o again.csv").exits(0);
    assert_eq!(scene.read("again.csv"), scene.read("second.csv"));
}

#[test]
fn redo_over_a_template_that_changes_few_requests_asks_those() {
    let scene = Scene::new(Config::default());
    scene.write("jobs.csv", "id,prompt,extra\n1,a,\n2,b,\n3,c,now\n");
    scene
        .run(&format!("{RUN} --id-column id --prompt {{{{prompt}}}}"))
        .exits(0);
    let changed = format!("{RUN} --id-column id --prompt {{{{prompt}}}}{{{{extra}}}}");
    scene.run(&changed).exits(78);
    scene.run(&format!("{changed} --redo")).exits(0);
    assert_eq!(scene.requests(), 4);
}

#[test]
fn pace_keys_and_address_are_no_part_of_a_recipe() {
    let scene = answered();
    let other = Scene::with_rows(0);
    scene.write("jobs.csv", &jobs(8));
    let url = other.provider.base_url();
    scene
        .run(&format!(
            "{RUN} --base-url {url} --rpm 6000 --concurrency 2"
        ))
        .exits(0);
    assert_eq!((scene.requests(), other.requests()), (6, 2));
    scene.sheet("out.csv").answers(8);
}
