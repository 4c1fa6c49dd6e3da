//! Tests of `promptmill doctor`: the built binary against a simulated provider, with its printed
//! findings and exit codes.

#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use promptmill::simulator::{
    Config, KeyRejection, Personality, Reaction, SAMPLE_KEY, Script, SimulatedLimits,
    SimulatorThread, start_on_own_thread,
};
use tempfile::TempDir;

const CANARY: &str = "sk-ant-api03-canary0123456789abcdefghijklmnop";

/// A temporary directory with a simulated provider.
struct TestEnv {
    dir: TempDir,
    provider: SimulatorThread,
    key: String,
}

/// Standard output and exit code of a command.
struct CommandOutput {
    text: String,
    code: i32,
}

impl TestEnv {
    fn new(config: Config) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            provider: start_on_own_thread(config.record()).unwrap(),
            key: SAMPLE_KEY.to_owned(),
        }
    }

    /// Simulates the provider of the free keys.
    fn with_free_provider() -> Self {
        Self::new(Config::default().personality(Personality::GptApiFree))
    }

    fn key(mut self, key: &str) -> Self {
        key.clone_into(&mut self.key);
        self
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Runs a command at the given base URL.
    fn run_at(&self, base_url: &str, arguments: &[&str]) -> CommandOutput {
        let output = Command::new(env!("CARGO_BIN_EXE_promptmill"))
            .args(arguments)
            .args(["--base-url", base_url])
            .current_dir(self.path())
            .env_clear()
            .env("OPENAI_API_KEY", &self.key)
            .output()
            .unwrap();
        check_output(&output)
    }

    fn run(&self, arguments: &[&str]) -> CommandOutput {
        self.run_at(&self.provider.base_url(), arguments)
    }

    fn doctor(&self, arguments: &[&str]) -> CommandOutput {
        self.run(&[&["doctor"], arguments].concat())
    }

    /// Returns the paths of all requests, in order.
    fn requested_paths(&self) -> Vec<String> {
        let log = self.provider.request_log();
        log.entries.iter().map(|entry| entry.path.clone()).collect()
    }
}

/// Asserts that the output contains no key.
#[track_caller]
fn check_output(output: &Output) -> CommandOutput {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    for key in [CANARY, SAMPLE_KEY] {
        assert!(!text.contains(&key[..14]), "{text}");
        assert!(!errors.contains(&key[..14]), "{errors}");
    }
    CommandOutput {
        text,
        code: output.status.code().unwrap(),
    }
}

impl CommandOutput {
    #[track_caller]
    fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{}", self.text);
        self
    }

    /// Asserts that a line starts with `line`, ignoring the width of columns.
    #[track_caller]
    fn has_line(&self, line: &str) -> &Self {
        assert!(
            self.contains_line(line),
            "no line starts with `{line}`:\n{}",
            self.text
        );
        self
    }

    #[track_caller]
    fn has_no_line(&self, line: &str) -> &Self {
        assert!(
            !self.contains_line(line),
            "a line starts with `{line}`:\n{}",
            self.text
        );
        self
    }

    fn contains_line(&self, line: &str) -> bool {
        let plain = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        self.text.lines().any(|own| plain(own).starts_with(line))
    }

    fn last(&self) -> &str {
        self.text.lines().last().unwrap_or_default()
    }
}

#[test]
fn a_working_setup_passes_all_checks() {
    let env = TestEnv::with_free_provider();
    let output = env.doctor(&["--model", "gpt-4o-mini"]);
    output
        .exits(0)
        .has_line("ok GET /models 11 models listed")
        .has_line("ok POST /chat/completions responds")
        .has_line("ok source 1 key from OPENAI_API_KEY")
        .has_line("ok key-1 responded after")
        .has_line("ok model name gpt-4o-mini is listed")
        .has_line("ok database no database at")
        .has_no_line("error");
    assert_eq!(
        env.requested_paths(),
        ["/v1/models", "/v1/chat/completions"]
    );
    assert!(!env.path().join("promptmill.db").exists());
}

#[test]
fn no_spend_sends_no_chat_request() {
    let env = TestEnv::with_free_provider();
    let output = env.doctor(&["--no-spend", "--model", "GPT-4o-mini"]);
    output
        .exits(78)
        .has_line("ok key-1 listed the models (no chat request was sent)")
        .has_line("error model name \"GPT-4o-mini\" is not listed; did you mean \"gpt-4o-mini\"?");
    assert_eq!(env.requested_paths(), ["/v1/models", "/v1/models"]);
}

#[test]
fn a_misspelled_model_name_is_reported_with_the_nearest_one() {
    let env = TestEnv::with_free_provider();
    for (name, why) in [
        ("GPT-4o-mini", "model names are case-sensitive."),
        (
            "gpt\u{2011}4o\u{2011}mini",
            "the name contains U+2011, which only looks like the right character.",
        ),
        ("gpt-4o-mini-ca", "`-ca` makes it a different model."),
        ("gpt-4o-mni", "this is the listed spelling."),
    ] {
        let output = env.doctor(&["--model", name]);
        let suggestion = "and was rejected with HTTP 403 (chatanywhere-free-list); did you mean \"gpt-4o-mini\"?";
        output
            .exits(78)
            .has_line(&format!(
                "error model name \"{name}\" is not listed, {suggestion}"
            ))
            .has_line(&format!("-> Use --model gpt-4o-mini: {why}"))
            .has_line("ok key-1 not rejected");
        assert!(
            output
                .last()
                .starts_with("1 error: model name. Use --model gpt-4o-mini")
        );
    }
}

#[test]
fn an_unknown_model_is_reported_with_the_listed_ones() {
    let output = TestEnv::with_free_provider().doctor(&["--model", "claude-sonnet-4"]);
    output
        .exits(78)
        .has_line("error model name \"claude-sonnet-4\" is not listed, and was rejected")
        .has_line("-> Choose one of the listed models: deepseek-r1, deepseek-v3, gpt-3.5-turbo");
}

#[test]
fn a_model_without_chat_support_is_reported_with_its_endpoint() {
    let env = TestEnv::with_free_provider();
    let output = env.doctor(&["--model", "text-embedding-3-small"]);
    output
        .exits(78)
        .has_line("ok model name text-embedding-3-small is listed")
        .has_line(
            "error chat text-embedding-3-small does not support chat requests, only /embeddings",
        )
        .has_line("-> Choose a chat model");
}

#[test]
fn a_wrong_base_url_is_reported_with_the_right_one() {
    let env = TestEnv::with_free_provider();
    let right = env.provider.base_url();
    let wrong = right.replace("/v1", "/api");
    let output = env.run_at(&wrong, &["doctor"]);
    output
        .exits(78)
        .has_line(&format!(
            "error base URL no API found at {wrong}; found one at {right}"
        ))
        .has_line(&format!("-> Use --base-url {right}"))
        .has_line("warning GET /models Invalid URL");
    let output = env.run_at(&wrong, &["doctor", "--no-spend"]);
    output.exits(78).has_line("error base URL no API found");
    let output = env.run_at(&format!("{right}/completions"), &["doctor"]);
    output.exits(0).has_line(&format!(
        "warning base URL corrected to {right}: removed `/completions` from the base URL"
    ));
    let output = env.run_at("http://example.com/v1", &["doctor"]);
    output
        .exits(78)
        .has_line("error base URL plain http:// is only accepted for localhost");
}

#[test]
fn a_missing_model_list_is_a_warning() {
    let missing =
        |request: &promptmill::simulator::IncomingRequest<'_>| request.path == "/v1/models";
    let script = Script::new().on(missing, Reaction::Status(404));
    let env = TestEnv::new(Config::default().script(script));
    let output = env.doctor(&[]);
    output
        .exits(0)
        .has_line("warning GET /models")
        .has_line("ok POST /chat/completions responds")
        .has_line("ok model name gpt-4o-mini");
    let output = env.doctor(&["--no-spend"]);
    output
        .has_line("warning GET /models")
        .has_no_line("error base URL");
}

#[test]
fn distinguishes_an_invalid_key_from_a_key_of_another_provider() {
    let output = TestEnv::with_free_provider()
        .key("sk-wrong-0123456789")
        .doctor(&[]);
    output
        .exits(77)
        .has_line("error key-1 ApiKey错误 (HTTP 401, key-is-invalid)")
        .has_line("-> Replace this API key with a valid one.");
    let output = TestEnv::with_free_provider().key(CANARY).doctor(&[]);
    output.exits(77)
        .has_line("error key-1 ApiKey错误 (HTTP 401, key-is-invalid)")
        .has_line("-> This looks like a key for Anthropic: use it with --base-url https://api.anthropic.com/v1");
    let output = TestEnv::with_free_provider().key("").doctor(&[]);
    output
        .exits(77)
        .has_line("error no key")
        .has_line("-> Set OPENAI_API_KEY");
}

#[test]
fn each_key_is_tried_once_and_reported_by_its_label() {
    let config = Config::default()
        .reject("sk-poor-0123456789", KeyRejection::NoBalance)
        .reject("sk-dead-0123456789", KeyRejection::Invalid);
    let env = TestEnv::new(config);
    let file = env.path().join("keys");
    fs::write(
        &file,
        "sk-good-0123456789\nsk-poor-0123456789\nsk-dead-0123456789\n",
    )
    .unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let output = env.doctor(&["--api-key-file", "keys"]);
    output
        .exits(77)
        .has_line("ok source 3 keys from keys")
        .has_line("ok key file only you can read keys")
        .has_line("ok key-1 responded after")
        .has_line("error key-2 Insufficient Balance (HTTP 402,")
        .has_line("error key-3 Incorrect API key provided");
    assert!(
        output
            .last()
            .starts_with("2 errors; fix this one first: key-2.")
    );
    let chat_requests = env
        .requested_paths()
        .iter()
        .filter(|path| *path != "/v1/models")
        .count();
    assert_eq!(chat_requests, 3);

    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let output = env.doctor(&["--api-key-file", "keys"]);
    output
        .exits(77)
        .has_line("error source other users have access to the key file keys (mode 644)")
        .has_line("-> Run `chmod 600 keys");
    let output = env.doctor(&["--api-key-file", "keys", "--insecure-key-file"]);
    output.has_line("warning key file other users can access keys (mode 644)");
}

#[test]
fn a_used_up_daily_quota_is_a_warning() {
    let limits = SimulatedLimits {
        requests_per_day: Some(1),
        ..SimulatedLimits::default()
    };
    let config = Config::default().personality(Personality::GptApiFree);
    let env = TestEnv::new(config.limits(limits));
    env.doctor(&[])
        .exits(0)
        .has_line("ok key-1 responded after");
    let output = env.doctor(&[]);
    output
        .exits(0)
        .has_line(
            "warning key-1 accepted, but a rate limit or quota is reached: 免费API限制每日1次请求",
        )
        .has_line("-> Run again after 00:00 China time (UTC+8)");
    assert!(
        output.last().starts_with("no errors, "),
        "{}",
        output.last()
    );
}

#[test]
fn failed_rows_are_reported_with_a_hint() {
    let env = TestEnv::with_free_provider();
    let prompt = "word ".repeat(6_000);
    fs::write(env.path().join("jobs.csv"), format!("prompt\n{prompt}\n")).unwrap();
    env.run(&["run", "jobs.csv", "-q"]).exits(3);
    let output = env.doctor(&[]);
    output
        .exits(0)
        .has_line("ok chosen gpt-4o-mini: the model of batch jobs.csv")
        .has_line("warning failed rows 1 row of jobs.csv failed: 免费API限制模型输入token小于4096")
        .has_line("-> Shorten the prompt of this row to the number of tokens given in the message")
        .has_line("ok key-1")
        .has_line("ok file mode only you can read the database")
        .has_line("ok database promptmill.db: intact, 1 batch");
}

#[test]
fn a_key_that_works_again_but_is_disabled_is_reported() {
    let refused = KeyRejection::Invalid;
    let env = TestEnv::new(Config::default());
    fs::write(env.path().join("jobs.csv"), "prompt\nhello\n").unwrap();
    env.provider
        .set_script(Script::new().always(Reaction::Reject(refused)));
    env.run(&["run", "jobs.csv", "-q"]).exits(77);
    env.provider.set_script(Script::new());
    let output = env.doctor(&[]);
    output
        .exits(0)
        .has_line("-> Run `promptmill keys reset key-1` to use the key again.");
    assert!(
        output
            .text
            .contains("an earlier run recorded it as disabled: "),
        "{}",
        output.text
    );
}

#[test]
fn an_unreachable_or_failing_endpoint_is_an_error() {
    let env = TestEnv::with_free_provider();
    let gone = start_on_own_thread(Config::default()).unwrap().base_url();
    let output = env.run_at(&gone, &["doctor"]);
    output
        .exits(69)
        .has_line("error connection cannot reach 127.0.0.1")
        .has_line("-> Check that the endpoint is running");
    env.provider
        .set_script(Script::new().always(Reaction::Html(502)));
    env.doctor(&[])
        .exits(69)
        .has_line("error POST /chat/completions");
    let redirect = Reaction::Redirect("https://elsewhere.example/v1".to_owned());
    env.provider.set_script(Script::new().always(redirect));
    let output = env.doctor(&[]);
    output
        .exits(78)
        .has_line("error redirect the endpoint redirects to elsewhere.example");
}

#[test]
fn clock_skew_and_rate_limits_are_read_from_the_headers() {
    let head = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let list = Reaction::Raw {
        status: 200,
        headers: vec![head("date", "Sun, 06 Nov 1994 08:49:37 GMT")],
        body: r#"{"data":[{"id":"gpt-4o-mini"}]}"#.to_owned(),
    };
    let script = Script::new().on(|request| request.path == "/v1/models", list);
    let limits = SimulatedLimits {
        requests_per_minute: Some(60),
        ..SimulatedLimits::default()
    };
    let output = TestEnv::new(Config::default().script(script).limits(limits)).doctor(&[]);
    output
        .exits(0)
        .has_line("warning clock this machine's clock is")
        .has_line("-> Synchronize this machine's clock")
        .has_line("ok limits 59 of 60 requests remaining");
    assert!(
        output.text.contains("ahead of the endpoint's"),
        "{}",
        output.text
    );
}

#[test]
fn another_file_in_place_of_the_database_is_an_error_and_its_mode_a_warning() {
    let env = TestEnv::with_free_provider();
    let database = env.path().join("promptmill.db");
    fs::write(&database, "this is a letter, not a database\n".repeat(99)).unwrap();
    fs::set_permissions(&database, Permissions::from_mode(0o644)).unwrap();
    let output = env.doctor(&[]);
    output
        .exits(74)
        .has_line("error database promptmill.db is not a promptmill database")
        .has_line("warning file mode other users can access promptmill.db")
        .has_line("-> Run `chmod 600 promptmill.db")
        .has_line("ok POST /chat/completions responds");
}

#[test]
fn the_process_that_holds_the_run_lock_is_reported() {
    let env = TestEnv::with_free_provider();
    fs::write(env.path().join("jobs.csv"), "prompt\nhello\n").unwrap();
    env.run(&["run", "jobs.csv", "-q"]).exits(0);
    let lock_file = env.path().join("promptmill.db.lock");
    fs::write(&lock_file, "process 4711\n").unwrap();
    let lock = File::open(&lock_file).unwrap();
    lock.lock().unwrap();
    let output = env.doctor(&["--no-spend"]);
    output
        .exits(0)
        .has_line("warning lock a run is using the database (process 4711)");
    drop(lock);
    env.doctor(&["--no-spend"])
        .exits(0)
        .has_line("ok lock free");
}

#[test]
fn json_output_is_one_object() {
    let output = TestEnv::with_free_provider()
        .key(CANARY)
        .doctor(&["--json"]);
    output.exits(77);
    let report: serde_json::Value = serde_json::from_str(&output.text).unwrap();
    assert_eq!(
        (&report["wrong"], &report["exit_code"]),
        (&1.into(), &77.into())
    );
    let checks = report["checks"].as_array().unwrap();
    let wrong = checks
        .iter()
        .find(|check| check["state"] == "wrong")
        .unwrap();
    assert_eq!(
        (&wrong["group"], &wrong["check"]),
        (&"keys".into(), &"key-1".into())
    );
    assert!(wrong["cure"].as_str().unwrap().contains("Anthropic"));
}

#[test]
fn the_simulated_provider_needs_no_key_and_a_quiet_report_is_empty() {
    let env = TestEnv::with_free_provider().key("");
    let output = env.doctor(&["--simulate"]);
    output
        .exits(0)
        .has_line("ok base URL the built-in simulated provider")
        .has_line("ok simulated key responded");
    let output = env.doctor(&["--simulate", "--quiet"]);
    assert_eq!((output.text.as_str(), output.code), ("", 0));
}
