//! Mistakes of first-time users: each message shows what to type instead, and no request is sent.

use promptmill::simulator::{Config, Personality, SAMPLE_KEY};

use crate::closed_port::ClosedPort;
use crate::support::{TestEnv, jobs};

/// Runs a command with a valid file, and checks its exit code and messages.
#[track_caller]
fn check(args: &str, code: i32, expected: &[&str]) {
    check_file("jobs.csv", &jobs(3), args, code, expected);
}

#[track_caller]
fn check_file(name: &str, text: &str, args: &str, code: i32, expected: &[&str]) {
    let env = TestEnv::new(Config::default());
    env.write(name, text);
    let mut output = env.run(args).exits(code);
    for text in expected {
        output = output.stderr_contains(text);
    }
    assert_eq!(env.requests(), 0);
}

#[test]
fn a_file_without_a_command_gets_the_right_command() {
    check("jobs.csv", 2, &["tip: ", "`promptmill run jobs.csv`"]);
    check("jobs.csv -o out.csv", 2, &["`promptmill run jobs.csv`"]);
}

#[test]
fn a_command_without_a_file_gets_an_example() {
    check("run", 2, &["for example `promptmill run jobs.csv -o"]);
    check(
        "export",
        2,
        &["run `promptmill status` to list the batches"],
    );
}

#[test]
fn a_second_file_or_an_unquoted_prompt_gets_a_hint() {
    let expected = [
        "only one input file is accepted",
        "quote values with spaces",
    ];
    check("run jobs.csv more.csv", 2, &expected);
    check("run jobs.csv --prompt Say it in French", 2, &expected);
}

#[test]
fn a_command_or_flag_of_another_program_gets_a_suggestion() {
    check("ruin jobs.csv", 2, &["'run'"]);
    check("resume jobs.csv", 2, &["the same `promptmill run` command"]);
    check("run jobs.csv --modle x", 2, &["'--model'"]);
    check("run jobs.csv --workers 4", 2, &["--concurrency"]);
    check(
        "run jobs.csv --temperature 0",
        2,
        &["--set temperature=VALUE"],
    );
}

#[test]
fn a_key_as_a_flag_is_rejected_and_not_printed() {
    let env = TestEnv::with_rows(1);
    let key = "sk-proj-0123456789abcdefghij";
    for args in [
        format!("run jobs.csv --api-key {key}"),
        format!("run jobs.csv --api-key={key}"),
        format!("run jobs.csv {key}"),
    ] {
        let output = env.run(&args).exits(2);
        assert!(!output.stderr.contains(key), "{}", output.stderr);
    }
    env.run("run jobs.csv --api-key x")
        .exits(2)
        .stderr_contains("set OPENAI_API_KEY, or pass a file with --api-key-file");
}

#[test]
fn invalid_numbers_and_durations_are_rejected_with_the_expected_format() {
    for flag in [
        "--rpm",
        "--tpm",
        "--rpd",
        "--limit",
        "--max-requests",
        "--max-attempts",
    ] {
        check(
            &format!("run jobs.csv {flag} 0"),
            2,
            &[flag, "expected a positive integer"],
        );
    }
    check(
        "run jobs.csv --rpm 1.5",
        2,
        &["expected a positive integer"],
    );
    check(
        "run jobs.csv --timeout 5",
        2,
        &["use 5s for seconds, 5m for minutes"],
    );
    check("run jobs.csv --max-cost lots", 2, &["US dollars like 5usd"]);
    check(
        "run jobs.csv --zone PST",
        2,
        &["like America/Los_Angeles, or an offset like +08:00"],
    );
    check(
        "run jobs.csv --zone America/Los_Angles",
        2,
        &["did you mean America/Los_Angeles?"],
    );
}

#[test]
fn an_invalid_value_is_reported_with_its_variable_or_line() {
    let env = TestEnv::with_rows(3).set_var("PROMPTMILL_RPM", "0");
    let variable = "the value comes from the environment variable PROMPTMILL_RPM";
    env.run("run jobs.csv").exits(2).stderr_contains(variable);
    let from_flag = env.run("run jobs.csv --rpm 0").exits(2);
    assert!(!from_flag.stderr.contains(variable), "{}", from_flag.stderr);
    let env = env.set_var("PROMPTMILL_RPM", "");
    let env = env.set_var("PROMPTMILL_RMP", "5");
    let unknown = "unknown environment variable PROMPTMILL_RMP; did you mean PROMPTMILL_RPM?";
    env.run("status").exits(66).stderr_contains(unknown);
    let quiet = env.run("status -q").exits(66);
    assert!(!quiet.stderr.contains(unknown), "{}", quiet.stderr);
    let env = env.set_var("PROMPTMILL_RMP", "");
    for (line, expected) in [
        ("rpm = 0", "expected a positive integer"),
        ("rpm = \"60\"", "expected a positive integer"),
        ("timeout = \"5\"", "5s for seconds"),
        ("timeout = 5", "5s for seconds"),
        ("model = gpt", "promptmill.toml:1"),
    ] {
        env.write("promptmill.toml", &format!("{line}\n"));
        let output = env.run("run jobs.csv").exits(78);
        output
            .stderr_contains("promptmill.toml:1: ")
            .stderr_contains(expected)
            .stderr_contains("hint: ");
    }
    assert_eq!(env.requests(), 0);
}

#[test]
fn an_input_in_an_unsupported_format_gets_a_hint() {
    let semicolons = "id;prompt\n1;one, two\n";
    let expected = ["separated by `;`; use --delimiter ';'"];
    check_file("jobs.csv", semicolons, "run jobs.csv", 65, &expected);
    let zip = "PK\u{3}\u{4}spreadsheet";
    for name in ["jobs.xlsx", "jobs.csv"] {
        check_file(
            name,
            zip,
            &format!("run {name}"),
            65,
            &["save it as \"CSV UTF-8\""],
        );
    }
    let bare = "What is the capital of France?\nWhat is two and two?\n";
    check_file(
        "jobs.csv",
        bare,
        "run jobs.csv",
        65,
        &["insert a line `prompt` above it"],
    );
}

#[test]
fn a_refused_key_or_model_suggests_the_doctor_with_the_same_flags() {
    let free = Config::default().personality(Personality::GptApiFree);
    let env = TestEnv::new(free);
    env.write("jobs.csv", &jobs(3));
    env.write_with_mode("wrong.key", 0o600, "sk-of-another-user");
    let next = format!(
        "next       promptmill doctor --base-url {} --model gpt-4o-mini --api-key-file wrong.key",
        env.provider.base_url()
    );
    let output = env.run("run jobs.csv -o out.csv --api-key-file wrong.key");
    output
        .exits(77)
        .stderr_contains("Replace this API key")
        .stderr_contains(&next);
    env.write_with_mode("free.key", 0o600, SAMPLE_KEY);
    let args = "--api-key-file free.key --model GPT-4o";
    let output = env.run(&format!("run jobs.csv --batch second -o out.csv {args}"));
    output
        .exits(78)
        .stderr_contains("matches an entry of the free list exactly, in lowercase");
    let doctor = env.run(&format!("doctor {args}")).exits(78);
    let suggestion = "Use --model gpt-4o: model names are case-sensitive.";
    assert!(doctor.stdout.contains(suggestion), "{}", doctor.stdout);
}

#[test]
fn a_refused_connection_is_reported_with_its_cause() {
    let closed = ClosedPort::new();
    let env = TestEnv::with_rows(3).set_var("PROMPTMILL_BASE_URL", &closed.base_url());
    let expected = "the connection was refused: nothing is listening on that host and port";
    let output = env
        .run("run jobs.csv -o out.csv --max-outage 1ms")
        .exits(69);
    output
        .stderr_contains(expected)
        .stderr_contains("next       promptmill run jobs.csv");
    assert_eq!(env.results("out.csv").column("status"), ["pending"; 3]);
    env.run("doctor").exits(69);
}

#[test]
fn without_a_command_the_examples_are_printed() {
    let env = TestEnv::new(Config::default());
    let plain = env.run("").exits(2).stderr_contains("Examples:");
    let env = env.set_var("PROMPTMILL_COLOR", "never");
    assert_eq!(env.run("").exits(2).stderr, plain.stderr);
    env.run("--quiet")
        .exits(2)
        .stderr_contains("requires a subcommand");
}
