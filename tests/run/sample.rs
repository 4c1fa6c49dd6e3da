//! `run --sample`: a few random rows are sent first.

use promptmill::simulator::{Config, Reaction, Script};

use crate::support::{TestEnv, jobs, question};

const RUN: &str = "run jobs.csv -o out.csv";

#[test]
fn a_sample_is_processed_printed_and_kept() {
    let env = TestEnv::with_rows(40);
    let output = env
        .run(&format!("{RUN} --sample 5 --seed 3"))
        .exits(0)
        .stderr_contains("sample of 5 rows (--seed 3): 5 completed; 35 rows pending");
    assert_eq!(
        output.stdout.matches("\n response (").count(),
        5,
        "{}",
        output.stdout
    );
    assert_eq!(
        output
            .stdout
            .matches("  Simulated answer to \"question ")
            .count(),
        5
    );
    assert_eq!(
        (env.requests(), env.files().contains(&"out.csv".to_owned())),
        (5, false)
    );
    env.run(RUN).exits(0);
    env.results("out.csv").assert_completed(40);
    assert_eq!(env.requests(), 40);
    env.run(&format!("{RUN} --sample 5"))
        .exits(0)
        .stderr_contains("no pending rows");
    assert_eq!(env.requests(), 40);
}

#[test]
fn the_same_seed_selects_the_same_rows() {
    let sampled_rows = |seed: u64| {
        let env = TestEnv::with_rows(40);
        let args = format!("{RUN} --sample 5 --seed {seed} --json");
        let json = env.run(&args).exits(0).json();
        let rows = json["rows"].as_array().unwrap();
        rows.iter()
            .map(|row| row["row"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(sampled_rows(1), sampled_rows(1));
    assert_ne!(sampled_rows(1), sampled_rows(2));
}

#[test]
fn failures_of_a_sample_are_printed_with_a_hint() {
    let refused = r#"{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}"#;
    let env = TestEnv::new(
        Config::default().script(Script::new().always(Reaction::Json(401, refused.to_owned()))),
    );
    env.write("jobs.csv", &jobs(40));
    let output = env.run(&format!("{RUN} --sample 3")).exits(77);
    assert!(
        output
            .stdout
            .contains(" failed attempt (key-invalid-code)\n  Incorrect API key"),
        "{}",
        output.stdout
    );
    output.stderr_contains("promptmill doctor");

    let script = Script::new().on(
        |request| request.prompt != question(1),
        Reaction::Status(400),
    );
    let env = TestEnv::new(Config::default().script(script));
    env.write("jobs.csv", &jobs(4));
    env.run(&format!("{RUN} --sample 4"))
        .exits(3)
        .stderr_contains("1 completed");
}
