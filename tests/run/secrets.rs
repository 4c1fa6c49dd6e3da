//! Secrets: no output or file contains a key, logs contain no prompts and responses, and files are
//! only accessible to their owner.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use promptmill::simulator::{Config, IncomingRequest, KeyRejection, Reaction, Script};

use crate::support::{FinishedProgram, TestEnv};

const CANARY: &str = "sk-canary-7f3a9c2e5b8d1046";
const CANARY_2: &str = "sk-canary-0d4e6b8a1c3f5972";
const RUN: &str = "run jobs.csv -o out.csv";
const PROMPT: &str = "prompt-canary";
const RESPONSE: &str = "response-canary";

/// Returns errors that echo the key, like those of some providers, and responses with a marker.
fn echo(request: &IncomingRequest<'_>) -> Option<Reaction> {
    let refusal = |status, key: &str| {
        let body = format!(
            r#"{{"error":{{"message":"Incorrect API key provided: {key} (Authorization: Bearer {key}). Prompt: {}","code":"invalid_api_key"}}}}"#,
            request.prompt
        );
        Some(Reaction::Reject(KeyRejection::Other { status, body }))
    };
    match request.number {
        1..=2 if request.key == CANARY => refusal(401, request.key),
        n if n % 5 == 0 => refusal(500, request.key),
        _ => Some(Reaction::Text(format!(
            "{RESPONSE} for {}",
            request.prompt_count
        ))),
    }
}

fn test_env(script: Script) -> TestEnv {
    let env = TestEnv::new(Config::default().script(script));
    let rows: Vec<_> = (1..=12).map(|row| format!("{PROMPT} {row}")).collect();
    env.write("jobs.csv", &format!("prompt\n{}\n", rows.join("\n")));
    env
}

/// Asserts that neither the outputs nor the files contain a key or half of its unique part. Files
/// in `allowed` are not checked.
#[track_caller]
fn assert_no_key(env: &TestEnv, runs: &[FinishedProgram], allowed: &[&str]) {
    for key in [CANARY, CANARY_2] {
        let part = &key["sk-canary-".len()..];
        for part in [part, &part[..8], &part[8..]] {
            for output in runs {
                assert!(
                    !output.stdout.contains(part),
                    "{part} found in:\n{}",
                    output.stdout
                );
                assert!(
                    !output.stderr.contains(part),
                    "{part} found in:\n{}",
                    output.stderr
                );
            }
            let mut names = env.files();
            names.retain(|name| !allowed.contains(&name.as_str()));
            for name in names {
                let bytes = fs::read(env.path(&name)).unwrap();
                let found = bytes
                    .windows(part.len())
                    .any(|window| window == part.as_bytes());
                assert!(!found, "{part} found in {name}");
            }
        }
    }
}

#[test]
fn no_output_or_file_contains_any_part_of_a_key() {
    let env = test_env(Script::new().rule(echo)).keys(&[CANARY, CANARY_2]);
    let mut runs = Vec::new();
    for args in [
        &format!("{RUN} -vv --log-format json"),
        &format!("{RUN} -vvv"),
        "status",
        "status --json",
        "keys list",
        "keys list --json",
        "export jobs.csv",
        "work -vv",
    ] {
        runs.push(env.run(args));
    }
    assert!(
        runs[0].stderr.contains("attempt failed"),
        "{}",
        runs[0].stderr
    );
    assert_no_key(&env, &runs, &[]);
}

#[test]
fn no_file_contains_any_part_of_a_key_during_a_run_or_after_a_kill() {
    let env = test_env(Script::new().rule(echo)).keys(&[CANARY, CANARY_2]);
    env.wait_for_requests(0);
    let run = env.start(&format!("{RUN} -vv --concurrency 2"));
    env.wait_for_responses(4);
    env.provider.hold();
    let names = env.files();
    assert!(names.contains(&"promptmill.db-wal".to_owned()), "{names:?}");
    assert_no_key(&env, &[], &[]);
    let output = run.kill();
    assert_no_key(&env, &[output], &[]);
}

#[test]
fn keys_of_a_key_file_are_stored_nowhere_else() {
    let config = Config::default().key(CANARY_2);
    let env = TestEnv::new(config);
    env.write("jobs.csv", "prompt\na\nb\n");
    env.write_with_mode("keys.txt", 0o600, &format!("{CANARY}\n{CANARY_2}\n"));
    let args = format!("{RUN} --api-key-file keys.txt -vv --log-format json");
    let runs = [env.run(&args).exits(0), env.run("keys list")];
    assert_no_key(&env, &runs, &["keys.txt"]);
}

#[test]
fn a_key_in_the_settings_file_is_not_printed() {
    let env = TestEnv::with_rows(1);
    env.write(
        "promptmill.toml",
        &format!("[[keys]]\nlabel = \"a\"\nkey = \"{CANARY}\"\n"),
    );
    let output = env.run(RUN).exits(78);
    assert_no_key(&env, &[output], &["promptmill.toml"]);
    env.write("promptmill.toml", &format!("api-key = \"{CANARY}\"\n"));
    let output = env.run(RUN).exits(78);
    assert_no_key(&env, &[output], &["promptmill.toml"]);
}

#[test]
fn a_key_as_a_flag_is_rejected() {
    let env = TestEnv::with_rows(1);
    env.run(&format!("{RUN} --api-key {CANARY}")).exits(2);
    assert_eq!(env.requests(), 0);
}

#[test]
fn logs_contain_no_prompts_and_no_responses() {
    let env = test_env(Script::new().rule(|request| match request.number {
        3 => Some(Reaction::Status(500)),
        _ => Some(Reaction::Text(RESPONSE.to_owned())),
    }))
    .set_var("RUST_LOG", "trace");
    for format in ["text", "json"] {
        let output = env
            .run(&format!("{RUN} -vvv --redo --log-format {format}"))
            .exits(0);
        assert!(
            output.stderr.contains("DEBUG") || format == "text",
            "{}",
            output.stderr
        );
        for marker in [PROMPT, RESPONSE] {
            assert!(
                !output.stderr.contains(marker),
                "{marker} found in:\n{}",
                output.stderr
            );
        }
        fs::remove_file(env.path("promptmill.db")).unwrap();
    }
    assert_eq!(env.results("out.csv").column("response"), [RESPONSE; 12]);
}

#[test]
fn files_are_accessible_only_to_their_owner() {
    let env = TestEnv::with_rows(2);
    env.provider.hold();
    let run = env.start(RUN);
    env.wait_for_requests(1);
    let names = [
        "promptmill.db",
        "promptmill.db-wal",
        "promptmill.db-shm",
        "promptmill.db.lock",
    ];
    let mode = |name: &str| fs::metadata(env.path(name)).unwrap().permissions().mode() & 0o777;
    for name in names {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    env.provider.release();
    run.finish().exits(0);
    assert_eq!(mode("out.csv"), 0o600);
}

#[test]
fn a_key_file_that_others_can_read_is_rejected_with_a_chmod_command() {
    let env = TestEnv::with_rows(2);
    env.write_with_mode("keys.txt", 0o600, CANARY);
    let path = env.path("keys.txt");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let args = format!("{RUN} --api-key-file keys.txt");
    let output = env
        .run(&args)
        .exits(77)
        .stderr_contains("other users have access to the key file keys.txt (mode 644)")
        .stderr_contains("hint: run `chmod 600 keys.txt`");
    assert_no_key(&env, &[output], &["keys.txt"]);
    assert_eq!(env.requests(), 0);
    env.run(&format!("{args} --insecure-key-file")).exits(0);
    assert_eq!(env.provider.request_log().count_by_key(CANARY), 2);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    env.run(&args).exits(0).stderr_contains("nothing to do");
}

#[test]
fn a_missing_or_symlinked_key_file_is_rejected() {
    let env = TestEnv::with_rows(2);
    let args = format!("{RUN} --api-key-file keys.txt");
    env.run(&args)
        .exits(77)
        .stderr_contains("cannot read the key file keys.txt");
    env.write_with_mode("real.txt", 0o600, CANARY);
    std::os::unix::fs::symlink("real.txt", env.path("keys.txt")).unwrap();
    env.run(&args)
        .exits(77)
        .stderr_contains("not a symbolic link");
    assert_eq!(env.requests(), 0);
}

#[test]
fn a_failing_key_command_is_reported_and_nothing_is_sent() {
    let env = TestEnv::with_rows(2).set_var("PROMPTMILL_API_KEY_COMMAND", "exit 3");
    env.run(RUN)
        .exits(77)
        .stderr_contains("the API key command failed")
        .stderr_contains("run the command in a shell");
    assert_eq!(env.requests(), 0);
}

#[test]
fn keys_in_an_unknown_format_are_redacted_too() {
    let key = "Zq9vKx3mPw7tRb2n";
    let script = Script::new().rule(|request| {
        let body = format!("go away, {}, you are not known here", request.key);
        Some(Reaction::Reject(KeyRejection::Other { status: 401, body }))
    });
    let env = test_env(script).keys(&[key]);
    let output = env
        .run(&format!("{RUN} -vvv"))
        .exits(77)
        .stderr_contains("go away");
    let database = fs::read(env.path("promptmill.db")).unwrap();
    for marker in [&key[..8], &key[8..]] {
        assert!(!output.stderr.contains(marker), "{}", output.stderr);
        assert!(!env.read("out.csv").contains(marker));
        let found = database.windows(8).any(|part| part == marker.as_bytes());
        assert!(!found, "{marker} is in the database");
    }
}
