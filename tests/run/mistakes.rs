//! Invalid files, flags, base URLs and databases: each is reported with an exit code and a hint,
//! before any request is sent.

use promptmill::simulator::Config;

use crate::support::{KEY, TestEnv, jobs};

const RUN: &str = "run jobs.csv -o out.csv";

/// Runs a command with three valid rows, and checks its exit code and messages.
#[track_caller]
fn check(args: &str, code: i32, expected: &[&str]) {
    check_file(&jobs(3), args, code, expected);
}

#[track_caller]
fn check_file(input: &str, args: &str, code: i32, expected: &[&str]) {
    let env = TestEnv::new(Config::default());
    env.write("jobs.csv", input);
    let mut output = env.run(args).exits(code);
    for text in expected {
        output = output.stderr_contains(text);
    }
    assert_eq!((output.stdout.as_str(), env.requests()), ("", 0));
    assert!(!env.files().contains(&"out.csv".to_owned()));
}

#[test]
fn a_missing_input_exits_with_66() {
    let expected = ["error: none.csv: no such file", "hint: check the path"];
    check("run none.csv -o out.csv", 66, &expected);
    check("import none.csv", 66, &expected);
}

#[test]
fn a_directory_as_input_is_rejected() {
    check("run . -o out.csv", 66, &["is a directory", "hint: "]);
}

#[test]
fn a_row_with_missing_fields_is_rejected() {
    let file = "id,prompt\n1,one\n2\n3,three\n";
    check_file(file, RUN, 65, &["jobs.csv:3: ", "nothing was imported"]);
}

#[test]
fn a_duplicate_id_is_rejected() {
    let file = "id,prompt\n1,one\n2,two\n1,three\n";
    let run = format!("{RUN} --id-column id");
    check_file(file, &run, 65, &["jobs.csv:4: ", "nothing was imported"]);
}

#[test]
fn an_input_without_rows_or_header_is_rejected() {
    check_file("id,prompt\n", RUN, 65, &["no rows after the header"]);
    check_file("", RUN, 65, &["jobs.csv: input is empty"]);
}

#[test]
fn an_input_that_is_not_csv_is_rejected() {
    check_file("[{\"prompt\": \"a\"}]\n", RUN, 65, &["jobs.csv"]);
}

#[test]
fn a_missing_column_is_rejected() {
    let template = format!("{RUN} --prompt {{{{promt}}}}");
    check(&template, 65, &["jobs.csv:1: ", "promt", "note"]);
    check(
        &format!("{RUN} --id-column nr"),
        65,
        &["jobs.csv:1: ", "nr"],
    );
    check_file("id,text\n1,a\n", RUN, 65, &["jobs.csv:1: ", "prompt"]);
}

#[test]
fn an_invalid_command_line_is_rejected() {
    check(&format!("{RUN} --modle x"), 2, &["--modle", "--model"]);
    check(&format!("{RUN} --concurrency 0"), 2, &["--concurrency"]);
    check(
        &format!("{RUN} --timeout soon"),
        2,
        &["expected a duration like 90s"],
    );
    check(&format!("{RUN} --set temperature"), 2, &["temperature"]);
    check("run", 2, &["Usage: "]);
    check("ruin jobs.csv", 2, &["run"]);
}

#[test]
fn an_invalid_base_url_is_rejected() {
    let with = |url: &str| format!("{RUN} --base-url {url}");
    check(
        &with("ftp://example.com/v1"),
        78,
        &["unsupported scheme `ftp:`"],
    );
    check(
        &with("http://example.com/v1"),
        78,
        &[
            "plain http:// is only accepted for localhost",
            "use https://",
        ],
    );
    check(
        &with("https://chatgpt.com"),
        78,
        &["https://api.openai.com/v1"],
    );
}

#[test]
fn a_base_url_with_a_password_is_rejected_and_not_printed() {
    let env = TestEnv::with_rows(3);
    let output = env
        .run(&format!(
            "{RUN} --base-url https://anna:hunter2@example.com/v1"
        ))
        .exits(78)
        .stderr_contains("remove everything before the `@`");
    assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
}

#[test]
fn a_base_url_with_an_endpoint_path_is_shortened_with_a_note() {
    let env = TestEnv::with_rows(3);
    let url = format!("{}/chat/completions/", env.provider.base_url());
    env.run(&format!("{RUN} --base-url {url}"))
        .exits(0)
        .stderr_contains("removed `/chat/completions` from the base URL");
    env.results("out.csv").assert_completed(3);
}

#[test]
fn a_public_host_requires_a_key() {
    let env = TestEnv::with_rows(3).set_var("PROMPTMILL_API_KEYS", "");
    // Nothing is sent without a key.
    for url in [
        "https://api.openai.com/v1/chat/completions",
        "https://192.0.2.1/v1",
    ] {
        env.run(&format!("{RUN} --base-url {url}"))
            .exits(77)
            .stderr_contains("no API key for https://")
            .stderr_contains("set OPENAI_API_KEY");
    }
}

#[test]
fn a_local_endpoint_that_requires_a_key_is_reported() {
    let env = TestEnv::with_rows(3).set_var("PROMPTMILL_API_KEYS", "");
    env.run(RUN)
        .exits(78)
        .stderr_contains("The endpoint received no key.");
    assert_eq!(env.requests(), 1);
}

#[test]
fn an_unwritable_output_costs_no_request() {
    for (path, expected) in [
        ("none/out.csv", "directory \"none\" not found"),
        (".", "is a directory"),
        ("/dev/null", "not a regular file"),
        ("jobs.csv/out.csv", "cannot write the results"),
    ] {
        let env = TestEnv::with_rows(3);
        let output = env.run(&format!("run jobs.csv -o {path}"));
        output
            .exits(73)
            .stderr_contains(expected)
            .stderr_contains("hint: ");
        assert_eq!(env.requests(), 0);
    }
}

#[test]
fn an_output_that_is_a_symbolic_link_is_rejected() {
    let env = TestEnv::with_rows(3);
    env.write("precious.csv", "precious\n");
    std::os::unix::fs::symlink("precious.csv", env.path("out.csv")).unwrap();
    env.run(RUN).exits(73).stderr_contains("symbolic link");
    assert_eq!(env.read("precious.csv"), "precious\n");
}

#[test]
fn an_output_that_is_the_input_is_rejected() {
    let env = TestEnv::with_rows(3);
    for path in ["jobs.csv", "./jobs.csv"] {
        let output = env.run(&format!("run jobs.csv -o {path}")).exits(73);
        output
            .stderr_contains("it is the input")
            .stderr_contains("choose another output file");
    }
    assert_eq!(env.read("jobs.csv"), jobs(3));
    assert_eq!(env.requests(), 0);
}

#[test]
fn an_output_that_is_the_database_is_rejected() {
    let env = TestEnv::with_rows(3);
    let expected = "it is the database";
    env.run("run jobs.csv -o promptmill.db")
        .exits(73)
        .stderr_contains(expected);
    assert_eq!(env.requests(), 0);
    env.run(RUN).exits(0);
    env.run("export jobs.csv -o ./promptmill.db")
        .exits(73)
        .stderr_contains(expected);
    env.run(RUN).exits(0).stderr_contains("nothing to do");
}

#[test]
fn a_second_run_is_rejected_while_another_is_using_the_database() {
    let env = TestEnv::with_rows(3);
    env.provider.hold();
    let first = env.start(RUN);
    env.wait_for_requests(1);
    for args in [RUN, "work", "import-results jobs.csv x.jsonl"] {
        env.run(args)
            .exits(75)
            .stderr_contains("another run is using the database (process ")
            .stderr_contains("promptmill status");
    }
    let status = env.run("status --json").exits(0).json();
    assert_eq!(status["batches"][0]["running"], 1);
    let exported = env.run("export jobs.csv").exits(0).stdout;
    assert_eq!(exported.matches("pending").count(), 3);
    env.write("more.csv", &jobs(2));
    env.run("import more.csv").exits(0);
    env.provider.release();
    first.finish().exits(0);
    assert_eq!(env.requests(), 3);
}

#[test]
fn a_foreign_database_is_not_changed() {
    let env = TestEnv::with_rows(3);
    let foreign = "this is text, not a database\n".repeat(200);
    env.write("other.db", &foreign);
    for args in ["status", "work", RUN, "export jobs.csv"] {
        env.run(&format!("{args} --db other.db"))
            .exits(74)
            .stderr_contains("is not a promptmill database");
    }
    assert_eq!(env.read("other.db"), foreign);
    assert_eq!(env.files(), ["jobs.csv", "other.db"]);
}

#[test]
fn a_database_that_cannot_be_created_is_reported() {
    let env = TestEnv::with_rows(3);
    env.run(&format!("{RUN} --db none/queue.db"))
        .exits(74)
        .stderr_contains("create the directory first");
    env.run(&format!("{RUN} --db ."))
        .exits(74)
        .stderr_contains("choose a file");
    assert_eq!(env.requests(), 0);
}

#[test]
fn a_mistake_in_the_settings_file_is_reported_with_its_line() {
    let env = TestEnv::with_rows(3);
    env.write("promptmill.toml", "model = \"gpt-4o\"\nconcurency = 4\n");
    env.run(RUN)
        .exits(78)
        .stderr_contains("promptmill.toml:2: ")
        .stderr_contains("concurency");
    env.run(&format!("{RUN} --config none.toml"))
        .exits(78)
        .stderr_contains("none.toml");
    env.write("promptmill.toml", "model = \"gpt-4o\"\nconcurrency = 4\n");
    env.run(RUN).exits(0);
    assert_eq!(env.results("out.csv").column("model"), ["gpt-4o"; 3]);
}

#[test]
fn a_malformed_key_is_rejected() {
    let env = TestEnv::with_rows(3).keys(&["two words"]);
    env.run(RUN)
        .exits(77)
        .stderr_contains("key-1 is not a valid API key");
    assert_eq!(env.requests(), 0);
    let env = env.keys(&[&format!("Bearer {KEY}")]);
    env.run(RUN).exits(0);
    assert_eq!(env.provider.request_log().count_by_key(KEY), 3);
}
