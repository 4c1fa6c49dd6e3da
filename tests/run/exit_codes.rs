//! Every exit code. With `-q`, nothing is printed only for the codes 0 and 3.

use std::net::TcpListener;
use std::time::Duration;

use promptmill::simulator::{Config, KeyRejection, Reaction, Script};
use rustix::process::Signal;

use crate::support::{TestEnv, jobs};

const RUN: &str = "run jobs.csv -o out.csv";

/// Starts a provider that always reacts in the same way.
fn env_with_reaction(reaction: Reaction) -> TestEnv {
    let env = TestEnv::new(Config::default().script(Script::new().always(reaction)));
    env.write("jobs.csv", &jobs(2));
    env
}

/// Returns a base URL that refuses connections.
fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/v1", listener.local_addr().unwrap())
}

#[track_caller]
fn check(env: &TestEnv, args: &str, code: i32) {
    let output = env.run(&format!("{args} -q")).exits(code);
    let silent = output.stderr.is_empty();
    assert_eq!(silent, [0, 3].contains(&code), "{args}:\n{}", output.stderr);
}

#[test]
fn success_exits_with_0() {
    let env = TestEnv::with_rows(2);
    check(&env, RUN, 0);
    check(&env, RUN, 0);
}

#[test]
fn an_unexpected_error_exits_with_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    check(
        &TestEnv::with_rows(2),
        &format!("simulate --port {port}"),
        1,
    );
}

#[test]
fn an_invalid_command_line_exits_with_2() {
    for args in [
        "run",
        "walk",
        "run jobs.csv --colour red",
        "run jobs.csv --timeout soon",
    ] {
        check(&TestEnv::with_rows(2), args, 2);
    }
}

#[test]
fn failed_rows_exit_with_3() {
    let body = r#"{"error":{"message":"This model's maximum context length is 8192 tokens","code":"context_length_exceeded"}}"#;
    check(
        &env_with_reaction(Reaction::Json(400, body.to_owned())),
        RUN,
        3,
    );
}

#[test]
fn a_long_rate_limit_exits_with_4() {
    let env = env_with_reaction(Reaction::RateLimited(Duration::from_hours(2)));
    check(&env, RUN, 4);
}

#[test]
fn invalid_input_exits_with_65_and_missing_input_with_66() {
    let env = TestEnv::with_rows(2);
    env.write("bad.csv", "id,prompt\n1,a,b\n");
    check(&env, "run bad.csv", 65);
    check(&env, "run missing.csv", 66);
    check(&env, "export jobs.csv", 66);
}

#[test]
fn an_unavailable_endpoint_exits_with_69() {
    let env = TestEnv::with_rows(2).set_var("PROMPTMILL_BASE_URL", &closed_port());
    check(&env, &format!("{RUN} --max-outage 0s"), 69);
}

#[test]
fn unwritable_results_exit_with_73() {
    check(
        &TestEnv::with_rows(2),
        "run jobs.csv -o no/such/folder/out.csv",
        73,
    );
    check(&TestEnv::with_rows(2), "run jobs.csv -o /dev/full", 73);
}

#[test]
fn an_invalid_database_exits_with_74() {
    let env = TestEnv::with_rows(2);
    env.write("other.db", &"this is no database ".repeat(100));
    check(&env, &format!("{RUN} --db other.db"), 74);
    check(&env, &format!("{RUN} --db ."), 74);
}

#[test]
fn a_database_in_use_exits_with_75() {
    let env = TestEnv::with_rows(2);
    env.provider.hold();
    let first = env.start(RUN);
    env.wait_for_requests(1);
    check(&env, RUN, 75);
    env.provider.release();
    first.finish().exits(0);
}

#[test]
fn no_usable_key_exits_with_77() {
    let refusal = KeyRejection::Other {
        status: 401,
        body: "invalid api key".to_owned(),
    };
    check(&env_with_reaction(Reaction::Reject(refusal)), RUN, 77);
    let env = TestEnv::with_rows(2);
    check(&env, &format!("{RUN} --api-key-file missing.txt"), 77);
}

#[test]
fn invalid_settings_exit_with_78() {
    let env = TestEnv::with_rows(2);
    check(&env, &format!("{RUN} --base-url http://example.com/v1"), 78);
    check(&env, &format!("{RUN} --config missing.toml"), 78);
    env.write("promptmill.toml", "modell = \"x\"\n");
    check(&env, RUN, 78);
    let elsewhere = Reaction::Redirect("http://127.0.0.1:1/v1/chat/completions".to_owned());
    check(&env_with_reaction(elsewhere), RUN, 78);
}

#[test]
fn a_signal_during_a_long_wait_stops_the_run_immediately_with_130_or_143() {
    // The test times out if the run waits for the rate limit or for the grace period.
    let retry_after = Duration::from_hours(2);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 143)] {
        let env = env_with_reaction(Reaction::RateLimited(retry_after));
        let run = env.start(&format!("{RUN} -q --max-wait 5h --grace 10m"));
        env.wait_for_responses(1);
        run.signal(signal);
        run.finish()
            .exits(code)
            .stderr_contains("jobs.csv: stopped: ");
        assert_eq!(env.requests(), 1);
        assert_eq!(env.results("out.csv").count("pending"), 2);
    }
}

#[test]
fn a_signal_during_a_rate_limit_wait_stops_the_run_immediately() {
    let env = TestEnv::with_rows(3);
    let run = env.start(&format!("{RUN} --rpm 1 --grace 10m"));
    env.wait_for_responses(1);
    run.signal(Signal::TERM);
    run.finish().exits(143);
    assert_eq!(env.requests(), 1);
    assert_eq!(env.results("out.csv").count("done"), 1);
}
