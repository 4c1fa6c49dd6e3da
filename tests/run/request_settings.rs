//! Changed request settings are rejected if a batch has responses to requests with the old ones.

use promptmill::simulator::Config;

use crate::support::{TestEnv, jobs};

const RUN: &str = "run jobs.csv -o out.csv";

fn env_with_completed_batch() -> TestEnv {
    let env = TestEnv::with_rows(6);
    env.run(RUN).exits(0);
    env
}

/// Checks that a change is rejected and described.
#[track_caller]
fn check(flags: &str, change: &str) {
    let env = env_with_completed_batch();
    env.run(&format!("{RUN} {flags}"))
        .exits(78)
        .stderr_contains("the request settings of batch \"jobs.csv\" have changed")
        .stderr_contains(change)
        .stderr_contains("--redo")
        .stderr_contains("--batch NAME");
    assert_eq!(env.requests(), 6);
    env.run(RUN).exits(0).stderr_contains("nothing to do");
}

#[test]
fn rejects_each_changed_setting() {
    check("--model other", "the model (was \"gpt-4o-mini\")");
    check("--prompt Say:{{prompt}}", "the prompt");
    check("--system Be_kind.", "the system message");
    check("--set temperature=0", "the parameters");
    check("--id-column id", "the ID column");
}

#[test]
fn redo_sends_all_rows_again() {
    let env = env_with_completed_batch();
    env.run(&format!("{RUN} --model other --redo")).exits(0);
    assert_eq!(env.requests(), 12);
    let results = env.results("out.csv");
    results.assert_completed(6);
    assert_eq!(results.column("model"), ["other"; 6]);
    assert_eq!(results.sum("attempts"), 6);
    env.run(&format!("{RUN} --model other"))
        .exits(0)
        .stderr_contains("nothing to do");
}

#[test]
fn a_second_batch_does_not_affect_the_first() {
    let env = env_with_completed_batch();
    let second = "run jobs.csv -o second.csv --model other --batch second";
    env.run(second).exits(0);
    assert_eq!(env.requests(), 12);
    env.results("second.csv").assert_completed(6);
    env.run(RUN).exits(0).stderr_contains("nothing to do");
    let status = env.run("status --json").exits(0).json();
    let names: Vec<_> = status["batches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| &b["name"])
        .collect();
    assert_eq!(names, ["jobs.csv", "second"]);
    env.run("export second -o again.csv").exits(0);
    assert_eq!(env.read("again.csv"), env.read("second.csv"));
}

#[test]
fn redo_with_a_new_template_sends_changed_requests_only() {
    let env = TestEnv::new(Config::default());
    env.write("jobs.csv", "id,prompt,extra\n1,a,\n2,b,\n3,c,now\n");
    env.run(&format!("{RUN} --id-column id --prompt {{{{prompt}}}}"))
        .exits(0);
    let changed = format!("{RUN} --id-column id --prompt {{{{prompt}}}}{{{{extra}}}}");
    env.run(&changed).exits(78);
    env.run(&format!("{changed} --redo")).exits(0);
    assert_eq!(env.requests(), 4);
}

#[test]
fn limits_and_base_url_are_not_request_settings() {
    let env = env_with_completed_batch();
    let other = TestEnv::with_rows(0);
    env.write("jobs.csv", &jobs(8));
    let url = other.provider.base_url();
    env.run(&format!(
        "{RUN} --base-url {url} --rpm 6000 --concurrency 2"
    ))
    .exits(0);
    assert_eq!((env.requests(), other.requests()), (6, 2));
    env.results("out.csv").assert_completed(8);
}
