//! Rejected keys: they are disabled at once, and keys are never printed.

use std::time::Duration;

use promptmill::simulator::{Config, KeyRejection, Reaction, SAMPLE_KEY, Script};

use crate::support::{FinishedProgram, TestEnv, jobs};

const DEAD: &str = "sk-dead-0123456789abcdef";
const FORBIDDEN: &str = "sk-forbidden-0123456789ab";
const GOOD: &str = "sk-good-0123456789abcdef";
const RUN: &str = "run jobs.csv -o out.csv";
/// One request at a time, so that the number of requests per key is deterministic.
const ONE_BY_ONE: &str = "run jobs.csv -o out.csv --concurrency 1";
/// The default concurrency.
const CONCURRENCY: u64 = 16;

/// Sets three keys, of which only the last one is valid.
fn env_with_three_keys() -> TestEnv {
    let config = Config::default()
        .reject(DEAD, KeyRejection::Invalid)
        .reject(FORBIDDEN, KeyRejection::Forbidden);
    let env = TestEnv::new(config).keys(&[DEAD, FORBIDDEN, GOOD]);
    env.write("jobs.csv", &jobs(60));
    env
}

/// Asserts that the output contains neither a key nor its last part.
#[track_caller]
fn assert_prints_no_key(output: &FinishedProgram, keys: &[&str]) {
    for key in keys {
        let tail = &key[key.len() - 12..];
        for text in [&output.stdout, &output.stderr] {
            assert!(!text.contains(tail), "part of {key} found in:\n{text}");
        }
    }
}

#[test]
fn refused_keys_are_disabled_and_the_valid_one_completes_all_rows() {
    let env = env_with_three_keys();
    let output = env
        .run(RUN)
        .exits(0)
        .stderr_contains("warning: key-1 is disabled: ");
    assert_prints_no_key(&output, &[DEAD, FORBIDDEN, GOOD]);
    env.results("out.csv").assert_completed(60);
    let log = env.provider.request_log();
    assert_eq!(log.count_by_key(GOOD), 60);
    // In the worst case, all slots are in use before the first rejection arrives.
    assert!(log.count_by_key(DEAD) + log.count_by_key(FORBIDDEN) <= CONCURRENCY);
    assert!(log.max_per_prompt() <= 3);
}

#[test]
fn an_invalid_key_costs_one_request_and_a_forbidden_one_at_most_three() {
    let env = env_with_three_keys();
    env.run(ONE_BY_ONE).exits(0);
    env.results("out.csv").assert_completed(60);
    let log = env.provider.request_log();
    assert_eq!(log.count_by_key(DEAD), 1);
    // A 403 without a reason is not necessarily caused by the key.
    assert!(
        log.count_by_key(FORBIDDEN) <= 3,
        "{}",
        log.count_by_key(FORBIDDEN)
    );
}

#[test]
fn a_refused_key_is_not_used_again_for_the_same_row() {
    let env = env_with_three_keys();
    env.run(RUN).exits(0);
    let mut refused = Vec::new();
    for entry in env.provider.request_log().entries {
        if entry.status != Some(200) {
            refused.push((entry.key, entry.prompt));
        }
    }
    let all = refused.len();
    refused.sort_unstable();
    refused.dedup();
    assert_eq!(refused.len(), all);
}

#[test]
fn the_next_run_does_not_use_refused_keys() {
    let env = env_with_three_keys();
    env.run(RUN).exits(0);
    let before = env.provider.request_log();
    env.write("jobs.csv", &jobs(80));
    env.run(RUN).exits(0);
    let after = env.provider.request_log();
    env.results("out.csv").assert_completed(80);
    assert_eq!(after.count_by_key(DEAD), before.count_by_key(DEAD));
    assert_eq!(after.count_by_key(GOOD), 80);
    let keys = env.run("keys list --json").exits(0).json();
    let dead = &keys["keys"][0];
    assert_eq!(
        (&dead["label"], &dead["state"]),
        (&"key-1".into(), &"dead".into())
    );
}

#[test]
fn a_reset_key_is_used_again() {
    let env = env_with_three_keys();
    env.run(ONE_BY_ONE).exits(0);
    let before = env.provider.request_log().count_by_key(DEAD);
    env.run("keys reset key-1").exits(0);
    env.write("jobs.csv", &jobs(80));
    env.run(ONE_BY_ONE).exits(0);
    assert_eq!(env.provider.request_log().count_by_key(DEAD), before + 1);
}

#[test]
fn if_all_keys_are_refused_each_sends_one_request_and_all_rows_stay_pending() {
    let config = Config::default().key(GOOD);
    let keys = [DEAD, FORBIDDEN, "sk-third-0123456789abcdef"];
    let env = TestEnv::new(config).keys(&keys);
    env.write("jobs.csv", &jobs(60));
    let output = env
        .run(ONE_BY_ONE)
        .exits(77)
        .stderr_contains("no usable API key left; 60 of 60 rows")
        .stderr_contains("key-1")
        .stderr_contains("key-2")
        .stderr_contains("key-3");
    assert_prints_no_key(&output, &keys);
    assert_eq!(env.requests(), 3);
    assert_eq!(env.results("out.csv").count("pending"), 60);
    // The keys stay disabled: the next run sends nothing, and reports the same.
    env.run(RUN).exits(77).stderr_contains("key-2");
    assert_eq!(env.requests(), 3);
    let env = env.keys(&[GOOD]);
    env.run(RUN).exits(0);
    env.results("out.csv").assert_completed(60);
}

#[test]
fn a_slow_refusal_costs_one_request_per_key_too() {
    // The first key is rejected at once. The free slot must not be used for a second request with
    // one of the others, which are rejected later.
    let late = Reaction::Reject(KeyRejection::Invalid).after(Duration::from_millis(150));
    let script = Script::new()
        .for_key(DEAD, Reaction::Reject(KeyRejection::Invalid))
        .always(late);
    let keys = [DEAD, FORBIDDEN, "sk-third-0123456789abcdef"];
    let env = TestEnv::new(Config::default().script(script)).keys(&keys);
    env.write("jobs.csv", &jobs(60));
    env.run(RUN).exits(77);
    let log = env.provider.request_log();
    assert_eq!(keys.map(|key| log.count_by_key(key)), [1, 1, 1]);
}

#[test]
fn a_single_key_with_an_unspecific_403_costs_few_requests() {
    let env = TestEnv::new(Config::default().reject(FORBIDDEN, KeyRejection::Forbidden));
    let env = env.keys(&[FORBIDDEN]);
    env.write("jobs.csv", &jobs(60));
    let output = env.run(RUN).exits(77);
    assert_prints_no_key(&output, &[FORBIDDEN]);
    assert!(env.requests() <= 3, "{}", env.requests());
    assert_eq!(env.results("out.csv").count("pending"), 60);
}

#[test]
fn a_key_without_credit_is_disabled_and_the_others_continue() {
    for refusal in [KeyRejection::NoBalance, KeyRejection::NoQuota] {
        let env = TestEnv::new(Config::default().reject(DEAD, refusal.clone()));
        let env = env.keys(&[DEAD, GOOD]);
        env.write("jobs.csv", &jobs(20));
        env.run(ONE_BY_ONE).exits(0);
        env.results("out.csv").assert_completed(20);
        assert_eq!(
            env.provider.request_log().count_by_key(DEAD),
            1,
            "{refusal:?}"
        );
        let keys = env.run("keys list --json").exits(0).json();
        assert_eq!(keys["keys"][0]["state"], "exhausted", "{refusal:?}");
    }
}

#[test]
fn an_unsupported_region_stops_the_run_with_one_request() {
    let env = TestEnv::new(Config::default().reject(DEAD, KeyRejection::Country));
    let env = env.keys(&[DEAD]);
    env.write("jobs.csv", &jobs(20));
    env.run(RUN)
        .exits(77)
        .stderr_contains("Country, region, or territory not supported");
    assert_eq!(env.requests(), 1);
    assert_eq!(env.results("out.csv").count("pending"), 20);
}

#[test]
fn a_key_that_is_deactivated_during_a_run_is_disabled() {
    let script = Script::new().on(
        |request| request.key == DEAD && request.key_count > 5,
        Reaction::Reject(KeyRejection::Deactivated),
    );
    let env = TestEnv::new(Config::default().script(script)).keys(&[DEAD, GOOD]);
    env.write("jobs.csv", &jobs(60));
    env.run(ONE_BY_ONE).exits(0);
    env.results("out.csv").assert_completed(60);
    let log = env.provider.request_log();
    assert_eq!((log.count_by_key(DEAD), log.requests), (6, 61));
}

#[test]
fn keys_come_from_the_first_configured_source() {
    let config = Config::default().key(GOOD).key(SAMPLE_KEY);
    let env = TestEnv::new(config).keys(&[DEAD]);
    env.write("jobs.csv", &jobs(4));
    env.write_with_mode("keys.txt", 0o600, &format!("# mine\n{GOOD}\n"));
    env.run(&format!("{RUN} --api-key-file keys.txt")).exits(0);
    assert_eq!(env.provider.request_log().count_by_key(GOOD), 4);
    let env = env
        .set_var("PROMPTMILL_API_KEYS", "")
        .set_var("OPENAI_API_KEY", SAMPLE_KEY);
    env.write("jobs.csv", &jobs(6));
    env.run(RUN).exits(0);
    let env = env.set_var("PROMPTMILL_API_KEY_COMMAND", &format!("echo {GOOD}"));
    env.write("jobs.csv", &jobs(9));
    env.run(RUN).exits(0);
    let log = env.provider.request_log();
    assert_eq!(
        (log.count_by_key(SAMPLE_KEY), log.count_by_key(GOOD)),
        (2, 7)
    );
}

#[test]
fn the_settings_file_refers_to_key_sources() {
    let env = TestEnv::new(Config::default().key(GOOD)).keys(&[DEAD]);
    env.write("jobs.csv", &jobs(4));
    let settings = "[[keys]]\nlabel = \"work\"\nenv = \"WORK_KEY\"\n";
    env.write("promptmill.toml", settings);
    env.run(RUN).exits(77).stderr_contains("WORK_KEY");
    let env = env.set_var("WORK_KEY", GOOD);
    env.run(RUN).exits(0);
    let keys = env.run("keys list --json").exits(0).json();
    assert_eq!(keys["keys"][0]["label"], "work");
}
