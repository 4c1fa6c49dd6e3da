//! A few rows for a look, before all others are asked.

use promptmill::simulator::{Config, Reaction, Script};

use crate::support::{Scene, jobs, question};

const RUN: &str = "run jobs.csv -o out.csv";

#[test]
fn a_sample_is_asked_shown_and_stays_answered() {
    let scene = Scene::with_rows(40);
    let ran = scene
        .run(&format!("{RUN} --sample 5 --seed 3"))
        .exits(0)
        .says("5 rows drawn (--seed 3), 5 answered, and they stay so; 35 rows left to ask");
    assert_eq!(
        ran.stdout.matches("\n answer (").count(),
        5,
        "{}",
        ran.stdout
    );
    assert_eq!(
        ran.stdout
            .matches("  Simulated answer to \"question ")
            .count(),
        5
    );
    assert_eq!(
        (
            scene.requests(),
            scene.files().contains(&"out.csv".to_owned())
        ),
        (5, false)
    );
    scene.run(RUN).exits(0);
    scene.sheet("out.csv").answers(40);
    assert_eq!(scene.requests(), 40);
    scene
        .run(&format!("{RUN} --sample 5"))
        .exits(0)
        .says("no row is left to ask");
    assert_eq!(scene.requests(), 40);
}

#[test]
fn the_same_seed_draws_the_same_rows() {
    let drawn = |seed: u64| {
        let scene = Scene::with_rows(40);
        let words = format!("{RUN} --sample 5 --seed {seed} --json");
        let json = scene.run(&words).exits(0).json();
        let rows = json["rows"].as_array().unwrap();
        rows.iter()
            .map(|row| row["row"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
}

#[test]
fn what_went_wrong_with_a_sample_is_shown_with_its_cure() {
    let refused = r#"{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}"#;
    let scene = Scene::new(
        Config::default().script(Script::new().always(Reaction::Json(401, refused.to_owned()))),
    );
    scene.write("jobs.csv", &jobs(40));
    let ran = scene.run(&format!("{RUN} --sample 3")).exits(77);
    assert!(
        ran.stdout
            .contains(" no answer (key-invalid-code)\n  Incorrect API key"),
        "{}",
        ran.stdout
    );
    ran.says("promptmill doctor");

    let script = Script::new().on(
        |arrival| arrival.prompt != question(1),
        Reaction::Status(400),
    );
    let scene = Scene::new(Config::default().script(script));
    scene.write("jobs.csv", &jobs(4));
    scene
        .run(&format!("{RUN} --sample 4"))
        .exits(3)
        .says("1 answered");
}
