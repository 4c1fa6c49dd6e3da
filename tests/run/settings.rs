//! Settings: their sources, and errors for unknown names.

use promptmill::simulator::Config;

use crate::support::{KEY, TestEnv};

const FILE: &str = "\
# mine
model = \"gpt-4o\"
concurrency = 4
timeout = \"90s\"

[set]
temperature = 0
top_p = 1
";

/// Returns the value and the source of a setting.
fn value_and_source(env: &TestEnv, args: &str, name: &str) -> (String, String) {
    let shown = env
        .run(&format!("config show --json {args}"))
        .exits(0)
        .json();
    let settings = shown["settings"].as_array().unwrap();
    let found = settings.iter().find(|setting| setting["name"] == name);
    let found = found.unwrap_or_else(|| panic!("{name} not found in {shown}"));
    let text = |part: &str| found[part].as_str().unwrap_or_default().to_owned();
    (text("value"), text("where"))
}

#[track_caller]
fn check(env: &TestEnv, args: &str, name: &str, value: &str, source: &str) {
    let expected = (value.to_owned(), source.to_owned());
    assert_eq!(value_and_source(env, args, name), expected, "{name}");
}

#[test]
fn config_show_lists_each_setting_with_its_source() {
    let env = TestEnv::new(Config::default())
        .set_var("PROMPTMILL_RPM", "20")
        .set_var("PROMPTMILL_TIMEOUT", "5m");
    env.write("promptmill.toml", FILE);
    let line = "--concurrency 8 --set temperature=1 --csv-raw";
    check(&env, line, "model", "gpt-4o", "promptmill.toml:2");
    check(&env, line, "concurrency", "8", "--concurrency");
    check(&env, "", "concurrency", "4", "promptmill.toml:3");
    check(&env, line, "rpm", "20", "PROMPTMILL_RPM");
    check(&env, line, "timeout", "5m", "PROMPTMILL_TIMEOUT");
    check(&env, line, "grace", "30s", "default");
    check(&env, line, "csv-raw", "true", "--csv-raw");
    check(&env, "", "csv-raw", "false", "default");
    check(&env, line, "color", "auto", "default");
    check(&env, line, "set.temperature", "1", "--set");
    check(&env, line, "set.top_p", "1", "promptmill.toml:8");
    env.write("other.toml", "\nmodel = \"m\"\n");
    check(&env, "--config other.toml", "model", "m", "other.toml:2");
    let text = env.run("config show").exits(0).stdout;
    assert!(text.contains("settings file: promptmill.toml\n"), "{text}");
}

#[test]
fn a_time_zone_is_a_name_or_an_offset_in_every_source() {
    let env = TestEnv::new(Config::default());
    for zone in ["America/Los_Angeles", "-08:00", "+08:00", "UTC"] {
        check(&env, &format!("--zone {zone}"), "zone", zone, "--zone");
        check(&env, &format!("--zone={zone}"), "zone", zone, "--zone");
        let env = TestEnv::new(Config::default()).set_var("PROMPTMILL_ZONE", zone);
        check(&env, "", "zone", zone, "PROMPTMILL_ZONE");
        let keys =
            format!("[[keys]]\nenv = \"K\"\nzone = \"{zone}\"\n[groups.a]\nzone = \"{zone}\"\n");
        let env = TestEnv::new(Config::default());
        env.write("promptmill.toml", &format!("zone = \"{zone}\"\n{keys}"));
        check(&env, "", "zone", zone, "promptmill.toml:1");
    }
    env.write("promptmill.toml", "[groups.a]\nzone = \"Asia/Shangai\"\n");
    env.run("status")
        .exits(78)
        .stderr_contains("promptmill.toml:2: unknown time zone; did you mean Asia/Shanghai?");
}

#[test]
fn flags_and_variables_override_the_settings_file_for_every_command() {
    let env = TestEnv::with_rows(1);
    let file = "db = \"file.db\"\ninsecure-key-file = true\nrpm = 6\n";
    env.write("promptmill.toml", file);
    env.run("import jobs.csv").exits(0);
    // A flag before the command is as explicit as one behind it.
    env.run("--db flag.db import jobs.csv").exits(0);
    env.run("verify --db flag.db").exits(0);
    assert!(env.path("file.db").exists() && env.path("flag.db").exists());
    env.write_with_mode("keys.txt", 0o644, &format!("{KEY}\n"));
    let run = "run jobs.csv -o out.csv --api-key-file keys.txt";
    let env = env.set_var("PROMPTMILL_INSECURE_KEY_FILE", "0");
    env.run(run).exits(77);
    let env = env.set_var("PROMPTMILL_INSECURE_KEY_FILE", "");
    env.run(run).exits(0);
}

#[test]
fn color_and_log_format_can_be_set_in_the_settings_file() {
    let env = TestEnv::with_rows(1);
    env.write(
        "promptmill.toml",
        "color = \"always\"\nlog-format = \"json\"\n",
    );
    env.run("run none.csv")
        .exits(66)
        .stderr_contains("\x1b[1;31merror:");
    let url = env.provider.base_url();
    let args = format!("run jobs.csv --base-url {url}/chat/completions");
    let output = env.run(&args).exits(0);
    let log = output.stderr.lines().find(|line| line.starts_with('{'));
    let log: serde_json::Value = serde_json::from_str(log.unwrap()).unwrap();
    assert_eq!(log["level"], "WARN");
    let output = env.run("run none.csv --color never").exits(66);
    assert!(output.stderr.starts_with("error:"), "{}", output.stderr);
}

#[test]
fn config_show_prints_only_the_source_of_a_key() {
    let env = TestEnv::new(Config::default());
    env.write("keys.txt", &format!("{KEY}\n"));
    for (args, shown) in [
        (
            "config show",
            "keys: 1 in environment variable PROMPTMILL_API_KEYS\n",
        ),
        (
            "config show --api-key-file keys.txt",
            "keys: file keys.txt\n",
        ),
        (
            "config show --api-key-command printenv",
            "keys: command (api-key-command)\n",
        ),
    ] {
        let text = env.run(args).exits(0).stdout;
        assert!(text.contains(shown) && !text.contains(KEY), "{text}");
    }
    env.write(
        "promptmill.toml",
        "[[keys]]\nlabel = \"work\"\nenv = \"WORK_KEY\"\n[[keys]]\nfile = \"home.key\"\n",
    );
    let text = env.run("config show").exits(0).stdout;
    assert!(
        text.contains("keys: work (environment variable WORK_KEY), key-2 (file home.key)\n"),
        "{text}"
    );
    let url = "https://anna:hunter2@example.com/v1";
    let text = env
        .run(&format!("config show --base-url {url}"))
        .exits(0)
        .stdout;
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn an_unknown_setting_is_rejected_with_the_nearest_name() {
    let env = TestEnv::with_rows(1);
    for (line, expected) in [
        ("concurency = 4", "did you mean concurrency?"),
        ("base_url = \"x\"", "did you mean base-url?"),
        ("unrelated_name = 1", "use one of db, "),
        ("api_key = \"x\"", "configure API keys as [[keys]]"),
        ("[[keys]]\nlable = \"a\"", "did you mean label?"),
    ] {
        env.write("promptmill.toml", &format!("# mine\n{line}\n"));
        let number = 2 + line.matches('\n').count();
        for args in ["run jobs.csv", "config show"] {
            env.run(args)
                .exits(78)
                .stderr_contains(&format!("promptmill.toml:{number}: unknown setting '"))
                .stderr_contains(expected);
        }
    }
    // These commands do not read the settings file.
    env.run("completions bash").exits(0);
    env.run("man run").exits(0);
    env.run("config show --bogus")
        .exits(2)
        .stderr_contains("--bogus");
}
