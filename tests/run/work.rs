//! `work`: several batches at the same time, under shared limits.

use std::time::Duration;

use promptmill::simulator::{Config, Reaction, Script};
use rustix::process::Signal;

use crate::support::{RunningProgram, TestEnv, jobs};

/// Imports `big.csv` and then `small.csv`.
fn import_big_and_small(env: &TestEnv, big: usize, small: usize) {
    env.write("big.csv", &jobs(big));
    env.write("small.csv", &jobs(small).replace("question", "riddle"));
    env.run("import big.csv").exits(0);
    env.run("import small.csv").exits(0);
}

#[test]
fn batches_share_a_rate_limit_and_the_small_one_is_done_first() {
    let env = TestEnv::new(Config::default());
    import_big_and_small(&env, 60, 8);
    let output = env.run("work --rpm 6000 --summary always").exits(0);
    let done = |text: &str| output.stderr.find(text).unwrap();
    let (small, big) = (
        done("all 8 rows of small.csv"),
        done("all 60 rows of big.csv"),
    );
    assert!(small < big, "{}", output.stderr);
    assert_eq!(env.requests(), 68);
}

#[test]
fn requests_alternate_between_two_batches() {
    let env = TestEnv::new(Config::default().record());
    import_big_and_small(&env, 20, 8);
    env.run("work --concurrency 1").exits(0);
    let log = env.provider.request_log();
    let prompts: Vec<_> = log
        .entries
        .iter()
        .take(16)
        .map(|entry| &entry.prompt)
        .collect();
    let riddles = prompts.iter().filter(|prompt| prompt.contains("riddle"));
    assert_eq!(riddles.count(), 8, "{prompts:?}");
}

#[test]
fn the_batch_with_the_earliest_deadline_is_sent_first() {
    let env = TestEnv::new(Config::default().record());
    import_big_and_small(&env, 20, 20);
    env.write("urgent.csv", &jobs(20).replace("question", "plea"));
    let import = env.run("import urgent.csv --deadline 6h --json").exits(0);
    assert!(import.json()["deadline"].is_string());
    env.run("work --concurrency 1").exits(0);
    let log = env.provider.request_log();
    let first = log.entries.iter().take(20);
    let pleas = first.filter(|entry| entry.prompt.contains("plea")).count();
    assert_eq!(pleas, 10, "half of the requests are for the first batch");
    let import = env.run("import urgent.csv --deadline none --json").exits(0);
    assert!(import.json()["deadline"].is_null());
    env.run("import urgent.csv --deadline soon")
        .exits(2)
        .stderr_contains("expected a duration like 6h");
}

#[test]
fn a_batch_that_waits_for_its_key_does_not_block_the_others() {
    let throttled = Reaction::RateLimited(Duration::from_hours(2));
    let script = Script::new().on(|request| request.model == "slow", throttled);
    let env = TestEnv::new(Config::default().script(script));
    env.write("slow.csv", &jobs(5));
    env.write("fast.csv", &jobs(30));
    env.run("import slow.csv --model slow").exits(0);
    env.run("import fast.csv --model fast").exits(0);
    let settings = "[[keys]]\nenv = \"SLOW_KEY\"\nmodels = [\"slow\"]\n\
                    [[keys]]\nenv = \"FAST_KEY\"\nmodels = [\"fast\"]\n";
    env.write("promptmill.toml", settings);
    let env = env
        .set_var("SLOW_KEY", "sk-slow-0123456789abcdef")
        .set_var("FAST_KEY", "sk-fast-0123456789abcdef");
    env.run("work --max-wait 1s")
        .exits(4)
        .stderr_contains("slow.csv");
    env.run("export fast.csv -o fast-results.csv").exits(0);
    env.results("fast-results.csv").assert_completed(30);
}

#[test]
fn a_wrong_model_stops_only_its_batch() {
    let env = TestEnv::new(Config::default().model("m-1"));
    env.write("right.csv", &jobs(9));
    env.write("wrong.csv", &jobs(9));
    env.run("import wrong.csv --model no-such-model").exits(0);
    env.run("import right.csv --model m-1").exits(0);
    env.run("work").exits(78).stderr_contains("no-such-model");
    env.run("export right.csv -o right-results.csv").exits(0);
    env.results("right-results.csv").assert_completed(9);
    assert!(env.requests() <= 11, "{} requests", env.requests());
}

#[test]
fn a_model_without_a_key_stops_only_its_batch() {
    let env = TestEnv::new(Config::default()).keys(&[]);
    let settings = "[[keys]]\nenv = \"KEY_A\"\nmodels = [\"m-a\"]\n";
    env.write("promptmill.toml", settings);
    let env = env.set_var("KEY_A", "sk-a-0123456789abcdef");
    for (name, model) in [("b.csv", "m-b"), ("a.csv", "m-a"), ("c.csv", "m-c")] {
        env.write(name, &jobs(3));
        env.run(&format!("import {name} --model {model}")).exits(0);
    }
    env.run("work")
        .exits(77)
        .stderr_contains("all 3 rows of a.csv")
        .stderr_contains("batch c.csv: no API key")
        .stderr_contains("for the model \"m-b\"");
    assert_eq!(env.requests(), 3);
}

#[test]
fn several_batches_can_be_named() {
    let env = TestEnv::new(Config::default());
    for name in ["a.csv", "b.csv", "c.csv"] {
        env.write(name, &jobs(3));
        env.run(&format!("import {name}")).exits(0);
    }
    env.run("work --batch a.csv --batch c.csv --batch a.csv")
        .exits(0);
    assert_eq!(env.requests(), 6);
    let batches = env.run("status --json").exits(0).json();
    let done = batches["batches"].as_array().unwrap().iter();
    let done: Vec<_> = done.map(|batch| batch["done"].as_u64()).collect();
    assert_eq!(done, [Some(3), Some(0), Some(3)]);
}

#[test]
fn limits_of_a_run_apply_to_all_batches_together() {
    let env = TestEnv::new(Config::default());
    import_big_and_small(&env, 20, 20);
    env.run("work --max-requests 11").exits(4);
    assert_eq!(env.requests(), 11);
}

/// Starts `work --stay` on a batch of three rows, and waits until it is done.
fn start_staying(env: &TestEnv, args: &str) -> RunningProgram {
    env.write("jobs.csv", &jobs(3));
    env.run("import jobs.csv").exits(0);
    let mut work = env.start(&format!("work --stay --summary always {args}"));
    work.wait_for_line("all 3 rows of jobs.csv");
    work
}

#[test]
fn stay_processes_later_batches_until_sigterm() {
    let env = TestEnv::new(Config::default());
    let mut work = start_staying(&env, "");
    env.write("more.csv", &jobs(4));
    env.run("import more.csv").exits(0);
    work.wait_for_line("all 4 rows of more.csv");
    env.write("jobs.csv", &jobs(5));
    env.run("import jobs.csv").exits(0);
    work.wait_for_line("all 5 rows of jobs.csv");
    work.signal(Signal::TERM);
    work.finish().exits(0);
    assert_eq!(env.requests(), 9);
}

#[test]
fn stay_sends_failed_rows_again_after_retry() {
    let script = Script::new().first_n_per_prompt(1, Reaction::Status(400));
    let env = TestEnv::new(Config::default().script(script));
    env.write("jobs.csv", &jobs(2));
    env.run("import jobs.csv").exits(0);
    let mut work = env.start("work --stay --summary always");
    work.wait_for_line("2 failed");
    env.run("retry jobs.csv").exits(0);
    work.wait_for_line("all 2 rows of jobs.csv");
    work.signal(Signal::TERM);
    work.finish().exits(0);
}

#[test]
fn stay_drains_on_sigterm_and_exits_with_0() {
    let env = TestEnv::new(Config::default());
    let mut work = start_staying(&env, "");
    env.provider.hold();
    env.write("more.csv", &jobs(4));
    env.run("import more.csv").exits(0);
    env.wait_for_requests(4);
    work.signal(Signal::TERM);
    work.wait_for_line("stopping: waiting for");
    env.provider.release();
    work.finish().exits(0);
    let status = env.run("status --json").exits(0).json();
    let more = &status["batches"][1];
    assert!(more["done"].as_u64() >= Some(1), "{more}");
}

#[test]
fn stay_opens_no_batch_after_sigterm() {
    let env = TestEnv::new(Config::default());
    let mut work = start_staying(&env, "--grace 2s");
    env.provider.hold();
    env.write("jobs.csv", &jobs(4));
    env.run("import jobs.csv").exits(0);
    env.wait_for_requests(4);
    work.signal(Signal::TERM);
    work.wait_for_line("stopping: waiting for");
    env.write("more.csv", &jobs(4));
    env.run("import more.csv").exits(0);
    work.finish().exits(0);
    assert_eq!(env.requests(), 4);
}

#[test]
fn stay_ends_at_a_limit_of_the_run() {
    let env = TestEnv::new(Config::default());
    import_big_and_small(&env, 20, 20);
    env.run("work --stay --max-requests 7").exits(4);
    assert_eq!(env.requests(), 7);
}

#[test]
fn stay_counts_the_rows_of_a_batch_once() {
    let env = TestEnv::new(Config::default());
    env.write("jobs.csv", &jobs(3));
    env.run("import jobs.csv").exits(0);
    let work = env.start("work --stay --json");
    env.wait_for_responses(3);
    env.write("jobs.csv", &jobs(5));
    env.run("import jobs.csv").exits(0);
    env.wait_for_responses(5);
    work.signal(Signal::TERM);
    let report = work.finish().exits(0).json();
    assert_eq!(
        (&report["total"], &report["requests"]),
        (&5.into(), &5.into())
    );
}

#[test]
fn stay_uses_a_key_again_after_a_reset() {
    let script = Script::new().always(Reaction::Status(401));
    let env = TestEnv::new(Config::default().script(script));
    env.write("jobs.csv", &jobs(3));
    env.run("import jobs.csv").exits(0);
    let mut work = env.start("work --stay --summary always");
    work.wait_for_line("no usable API key");
    env.provider.set_script(Script::new());
    env.run("keys reset").exits(0);
    work.wait_for_line("all 3 rows of jobs.csv");
    work.signal(Signal::TERM);
    work.finish().exits(0);
    assert_eq!(env.requests(), 4);
}

#[test]
fn stay_is_interrupted_by_ctrl_c() {
    let env = TestEnv::new(Config::default());
    let work = start_staying(&env, "");
    work.signal(Signal::INT);
    work.finish().exits(130);
}

#[test]
fn stay_ignores_other_batches_if_some_are_named() {
    let env = TestEnv::new(Config::default());
    let mut work = start_staying(&env, "--batch jobs.csv");
    env.write("more.csv", &jobs(4));
    env.run("import more.csv").exits(0);
    env.write("jobs.csv", &jobs(6));
    env.run("import jobs.csv").exits(0);
    work.wait_for_line("all 6 rows of jobs.csv");
    work.signal(Signal::TERM);
    work.finish().exits(0);
    assert_eq!(env.requests(), 6);
}

#[test]
fn a_batch_that_has_stopped_does_not_change_the_exit_code_of_stay() {
    let env = TestEnv::new(Config::default().model("m-1"));
    env.write("jobs.csv", &jobs(2));
    env.run("import jobs.csv --model no-such-model").exits(0);
    let mut work = env.start("work --stay --summary always");
    work.wait_for_line("no-such-model");
    work.signal(Signal::TERM);
    work.finish().exits(0);
}
