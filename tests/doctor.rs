//! What somebody reads who types `promptmill doctor` after something failed: the built binary
//! against a simulated provider, one situation after the other, with texts and exit codes.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its situation has failed"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use promptmill::simulator::{
    Config, KeyRefusal, Personality, Reaction, SAMPLE_KEY, Script, SimulatedLimits,
    SimulatorThread, start_on_own_thread,
};
use promptmill::store::RunLock;
use tempfile::TempDir;

const CANARY: &str = "sk-ant-api03-canary0123456789abcdefghijklmnop";

/// A folder of its own with a simulated provider.
struct Case {
    folder: TempDir,
    provider: SimulatorThread,
    key: String,
}

/// What a command said and how it ended.
struct Said {
    text: String,
    code: i32,
}

impl Case {
    fn new(config: Config) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            provider: start_on_own_thread(config.record()).unwrap(),
            key: SAMPLE_KEY.to_owned(),
        }
    }

    /// A provider with the manners of the free keys.
    fn free() -> Self {
        Self::new(Config::default().personality(Personality::GptApiFree))
    }

    fn key(mut self, key: &str) -> Self {
        key.clone_into(&mut self.key);
        self
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command at the given base URL.
    fn at(&self, base_url: &str, arguments: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_promptmill"))
            .args(arguments)
            .args(["--base-url", base_url])
            .current_dir(self.path())
            .env_clear()
            .env("OPENAI_API_KEY", &self.key)
            .output()
            .unwrap();
        said(&output)
    }

    fn run(&self, arguments: &[&str]) -> Said {
        self.at(&self.provider.base_url(), arguments)
    }

    fn doctor(&self, arguments: &[&str]) -> Said {
        self.run(&[&["doctor"], arguments].concat())
    }

    /// The paths that were asked, in order.
    fn asked(&self) -> Vec<String> {
        let ledger = self.provider.ledger();
        ledger
            .entries
            .iter()
            .map(|entry| entry.path.clone())
            .collect()
    }
}

fn said(output: &Output) -> Said {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    for key in [CANARY, SAMPLE_KEY] {
        assert!(!text.contains(&key[..14]), "{text}");
        assert!(!errors.contains(&key[..14]), "{errors}");
    }
    Said {
        text,
        code: output.status.code().unwrap(),
    }
}

impl Said {
    #[track_caller]
    fn ends_with(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{}", self.text);
        self
    }

    /// Checks that a line of this check says so, with columns and color left aside.
    #[track_caller]
    fn has(&self, line: &str) -> &Self {
        assert!(self.knows(line), "no line begins `{line}`:\n{}", self.text);
        self
    }

    #[track_caller]
    fn lacks(&self, line: &str) -> &Self {
        assert!(!self.knows(line), "a line begins `{line}`:\n{}", self.text);
        self
    }

    fn knows(&self, line: &str) -> bool {
        let plain = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        self.text.lines().any(|own| plain(own).starts_with(line))
    }

    fn last(&self) -> &str {
        self.text.lines().last().unwrap_or_default()
    }
}

#[test]
fn a_sound_set_up_is_all_ok() {
    let case = Case::free();
    let said = case.doctor(&["--model", "gpt-4o-mini"]);
    said.ends_with(0)
        .has("ok GET /models 11 models listed")
        .has("ok POST /chat/completions answers")
        .has("ok source 1 key from OPENAI_API_KEY")
        .has("ok key-1 answers")
        .has("ok model name gpt-4o-mini is listed")
        .has("ok database none yet")
        .lacks("wrong");
    assert_eq!(case.asked(), ["/v1/models", "/v1/chat/completions"]);
    assert!(!case.path().join("promptmill.db").exists());
}

#[test]
fn without_spending_no_chat_call_is_made() {
    let case = Case::free();
    let said = case.doctor(&["--no-spend", "--model", "GPT-4o-mini"]);
    said.ends_with(78)
        .has("ok key-1 lists the models (no chat call was made)")
        .has("wrong model name \"GPT-4o-mini\" is not listed; did you mean \"gpt-4o-mini\"?");
    assert_eq!(case.asked(), ["/v1/models", "/v1/models"]);
}

#[test]
fn a_model_in_the_wrong_case_or_with_odd_hyphens_is_told_with_the_right_name() {
    let case = Case::free();
    for (name, why) in [
        ("GPT-4o-mini", "upper and lower case matter."),
        (
            "gpt\u{2011}4o\u{2011}mini",
            "the name holds U+2011, which only looks like what is meant.",
        ),
        ("gpt-4o-mini-ca", "`-ca` makes another model of it."),
        ("gpt-4o-mni", "letter by letter as it is listed."),
    ] {
        let said = case.doctor(&["--model", name]);
        let meant =
            "and was refused (HTTP 403, chatanywhere-free-list); did you mean \"gpt-4o-mini\"?";
        said.ends_with(78)
            .has(&format!(
                "wrong model name \"{name}\" is not listed, {meant}"
            ))
            .has(&format!("-> Write --model gpt-4o-mini: {why}"))
            .has("ok key-1 not refused");
        assert!(
            said.last()
                .starts_with("1 thing is wrong: model name. Write --model gpt-4o-mini")
        );
    }
}

#[test]
fn a_model_that_is_not_there_gets_those_that_are() {
    let said = Case::free().doctor(&["--model", "claude-sonnet-4"]);
    said.ends_with(78)
        .has("wrong model name \"claude-sonnet-4\" is not listed, and was refused")
        .has("-> Choose a listed one: deepseek-r1, deepseek-v3, gpt-3.5-turbo");
}

#[test]
fn a_model_of_another_endpoint_is_told_from_a_wrong_name() {
    let case = Case::free();
    let said = case.doctor(&["--model", "text-embedding-3-small"]);
    said.ends_with(78)
        .has("ok model name text-embedding-3-small is listed")
        .has("wrong chat wrong endpoint for text-embedding-3-small: it answers at /embeddings only")
        .has("-> Choose a chat model");
}

#[test]
fn a_base_url_that_is_off_is_told_with_the_right_one() {
    let case = Case::free();
    let right = case.provider.base_url();
    let wrong = right.replace("/v1", "/api");
    let said = case.at(&wrong, &["doctor"]);
    said.ends_with(78)
        .has(&format!(
            "wrong base URL wrong endpoint: no API is at {wrong}, but one is at {right}"
        ))
        .has(&format!("-> Write --base-url {right}"))
        .has("warning GET /models Invalid URL");
    let said = case.at(&wrong, &["doctor", "--no-spend"]);
    said.ends_with(78).has("wrong base URL wrong endpoint");
    let said = case.at(&format!("{right}/completions"), &["doctor"]);
    said.ends_with(0).has(&format!(
        "warning base URL {right} was made of it: `…/completions` was taken off"
    ));
    let said = case.at("http://example.com/v1", &["doctor"]);
    said.ends_with(78)
        .has("wrong base URL the base URL is http");
}

#[test]
fn a_missing_list_of_models_is_no_fault() {
    let missing = |arrival: &promptmill::simulator::Arrival<'_>| arrival.path == "/v1/models";
    let script = Script::new().on(missing, Reaction::Status(404));
    let case = Case::new(Config::default().script(script));
    let said = case.doctor(&[]);
    said.ends_with(0)
        .has("warning GET /models")
        .has("ok POST /chat/completions answers")
        .has("ok model name gpt-4o-mini");
    let said = case.doctor(&["--no-spend"]);
    said.has("warning GET /models").lacks("wrong base URL");
}

#[test]
fn a_bad_key_and_the_key_of_another_provider_are_told_apart() {
    let said = Case::free().key("sk-wrong-0123456789").doctor(&[]);
    said.ends_with(77)
        .has("wrong key-1 ApiKey错误 (HTTP 401, key-is-invalid)")
        .has("-> Replace this key with a valid one.");
    let said = Case::free().key(CANARY).doctor(&[]);
    said.ends_with(77)
        .has("wrong key-1 ApiKey错误 (HTTP 401, key-is-invalid)")
        .has("-> It has the form of a key of Anthropic: use it with --base-url https://api.anthropic.com/v1");
    let said = Case::free().key("").doctor(&[]);
    said.ends_with(77)
        .has("wrong no key")
        .has("-> Set OPENAI_API_KEY");
}

#[test]
fn each_key_is_tried_once_and_told_by_its_label() {
    let config = Config::default()
        .refuse("sk-poor-0123456789", KeyRefusal::NoBalance)
        .refuse("sk-dead-0123456789", KeyRefusal::Invalid);
    let case = Case::new(config);
    let file = case.path().join("keys");
    fs::write(
        &file,
        "sk-good-0123456789\nsk-poor-0123456789\nsk-dead-0123456789\n",
    )
    .unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let said = case.doctor(&["--api-key-file", "keys"]);
    said.ends_with(77)
        .has("ok source 3 keys from keys")
        .has("ok key file only you may read keys")
        .has("ok key-1 answers")
        .has("wrong key-2 Insufficient Balance (HTTP 402,")
        .has("wrong key-3 Incorrect API key provided");
    assert!(
        said.last()
            .starts_with("2 things are wrong; mend the first one first: key-2.")
    );
    let chats = case
        .asked()
        .iter()
        .filter(|path| *path != "/v1/models")
        .count();
    assert_eq!(chats, 3);

    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let said = case.doctor(&["--api-key-file", "keys"]);
    said.ends_with(77)
        .has("wrong source the key file keys may be read by others (mode 644)")
        .has("-> chmod 600 keys");
    let said = case.doctor(&["--api-key-file", "keys", "--insecure-key-file"]);
    said.has("warning key file others may use keys (mode 644)");
}

#[test]
fn a_days_quota_is_told_from_a_bad_key() {
    let limits = SimulatedLimits {
        requests_per_day: Some(1),
        ..SimulatedLimits::default()
    };
    let config = Config::default().personality(Personality::GptApiFree);
    let case = Case::new(config.limits(limits));
    case.doctor(&[]).ends_with(0).has("ok key-1 answers");
    let said = case.doctor(&[]);
    said.ends_with(0)
        .has("warning key-1 good, but a limit is reached: 免费API限制每日1次请求")
        .has("-> Run again after 00:00 in China (UTC+8)");
    assert!(
        said.last().starts_with("nothing is wrong, "),
        "{}",
        said.last()
    );
}

#[test]
fn a_prompt_that_was_too_long_is_remembered_with_its_cure() {
    let case = Case::free();
    let prompt = "word ".repeat(6_000);
    fs::write(case.path().join("jobs.csv"), format!("prompt\n{prompt}\n")).unwrap();
    case.run(&["run", "jobs.csv", "-q"]).ends_with(3);
    let said = case.doctor(&[]);
    said.ends_with(0)
        .has("ok chosen gpt-4o-mini: that of the batch jobs.csv")
        .has("warning failed rows 1 row of jobs.csv failed: 免费API限制模型输入token小于4096")
        .has("-> Shorten this row's prompt to the tokens that the provider names")
        .has("ok key-1")
        .has("ok file mode only you may read it")
        .has("ok database promptmill.db: sound, 1 batch");
}

#[test]
fn a_key_that_the_queue_holds_back_is_told_when_it_works_again() {
    let refused = KeyRefusal::Invalid;
    let case = Case::new(Config::default());
    fs::write(case.path().join("jobs.csv"), "prompt\nhello\n").unwrap();
    case.provider
        .set_script(Script::new().always(Reaction::Refuse(refused)));
    case.run(&["run", "jobs.csv", "-q"]).ends_with(77);
    case.provider.set_script(Script::new());
    let said = case.doctor(&[]);
    said.ends_with(0)
        .has("-> `promptmill keys reset key-1` lets it be tried again.");
    assert!(
        said.text.contains("the queue holds it back as dead"),
        "{}",
        said.text
    );
}

#[test]
fn an_endpoint_that_is_not_there_is_unreachable() {
    let case = Case::free();
    let gone = start_on_own_thread(Config::default()).unwrap().base_url();
    let said = case.at(&gone, &["doctor"]);
    said.ends_with(69)
        .has("wrong connection 127.0.0.1 cannot be reached")
        .has("-> Check that the endpoint is up");
    case.provider
        .set_script(Script::new().always(Reaction::Html(502)));
    case.doctor(&[])
        .ends_with(69)
        .has("wrong POST /chat/completions");
    let away = Reaction::Redirect("https://elsewhere.example/v1".to_owned());
    case.provider.set_script(Script::new().always(away));
    let said = case.doctor(&[]);
    said.ends_with(78)
        .has("wrong redirect it redirects to elsewhere.example");
}

#[test]
fn a_clock_that_is_off_and_the_limits_are_read_from_the_headers() {
    let head = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let list = Reaction::Raw {
        status: 200,
        headers: vec![head("date", "Sun, 06 Nov 1994 08:49:37 GMT")],
        body: r#"{"data":[{"id":"gpt-4o-mini"}]}"#.to_owned(),
    };
    let script = Script::new().on(|arrival| arrival.path == "/v1/models", list);
    let limits = SimulatedLimits {
        requests_per_minute: Some(60),
        ..SimulatedLimits::default()
    };
    let said = Case::new(Config::default().script(script).limits(limits)).doctor(&[]);
    said.ends_with(0)
        .has("warning clock this machine is")
        .has("-> Set this machine's clock")
        .has("ok limits 59 of 60 requests left");
    assert!(said.text.contains("ahead of the endpoint"), "{}", said.text);
}

#[test]
fn a_database_that_is_none_is_wrong_and_an_open_one_gets_its_mode() {
    let case = Case::free();
    let database = case.path().join("promptmill.db");
    fs::write(
        &database,
        "this is a letter, and no database at all\n".repeat(99),
    )
    .unwrap();
    fs::set_permissions(&database, Permissions::from_mode(0o644)).unwrap();
    let said = case.doctor(&[]);
    said.ends_with(74)
        .has("wrong database promptmill.db is not a promptmill database")
        .has("warning file mode others may use promptmill.db")
        .has("-> chmod 600 promptmill.db")
        .has("ok POST /chat/completions answers");
}

#[test]
fn who_holds_the_lock_is_told_and_a_look_takes_nothing() {
    let case = Case::free();
    fs::write(case.path().join("jobs.csv"), "prompt\nhello\n").unwrap();
    case.run(&["run", "jobs.csv", "-q"]).ends_with(0);
    let database = case.path().join("promptmill.db");
    let lock = RunLock::take(&database, "process 4711").unwrap();
    let said = case.doctor(&["--no-spend"]);
    said.ends_with(0)
        .has("warning lock a run is under way (process 4711)");
    drop(lock);
    case.doctor(&["--no-spend"])
        .ends_with(0)
        .has("ok lock free");
}

#[test]
fn programs_get_one_object() {
    let said = Case::free().key(CANARY).doctor(&["--json"]);
    said.ends_with(77);
    let report: serde_json::Value = serde_json::from_str(&said.text).unwrap();
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
fn a_simulated_provider_needs_no_key_and_a_quiet_report_is_empty() {
    let case = Case::free().key("");
    let said = case.doctor(&["--simulate"]);
    said.ends_with(0)
        .has("ok base URL the simulated provider")
        .has("ok simulated key answers");
    let said = case.doctor(&["--simulate", "--quiet"]);
    assert_eq!((said.text.as_str(), said.code), ("", 0));
}
