//! The URL of a database server instead of a file: a clear error, and no part of the password in any
//! output.

use crate::support::{FinishedProgram, TestEnv};

/// The password of the URLs, in two parts, between which there can be a delimiter.
const PASSWORD: [&str; 2] = ["QzVx", "W7kp"];

/// URLs, most of them malformed; `*` is replaced by the password.
const URLS: [&str; 10] = [
    "postgres://me:*@db.example/jobs",
    "PostgreSQL://me:*@db.example:5432/jobs",
    "postgresql://db.example/jobs?password=*",
    "postgres://db.example/jobs?password=*@x",
    "postgres://me:*",
    "postgres://*@",
    "postgres:/me:*@db.example",
    "postgres:me:*@db.example",
    "postgres//me:*@db.example",
    "\"postgres://me:*@db.example\"",
];

const COMMANDS: [&str; 14] = [
    "run jobs.csv -o out.csv -vv",
    "run jobs.csv -o out.csv --simulate",
    "import jobs.csv",
    "estimate jobs.csv --json",
    "work",
    "export jobs.csv -o out.csv",
    "import-results jobs.csv out.jsonl",
    "status",
    "status --watch",
    "report jobs.csv",
    "failures jobs.csv",
    "keys",
    "verify --json",
    "backup copy.db",
];

#[track_caller]
fn assert_no_password(output: &FinishedProgram) {
    for part in PASSWORD {
        for text in [&output.stdout, &output.stderr] {
            assert!(!text.contains(part), "{part} found in:\n{text}");
        }
    }
}

/// Returns the variants of a URL, with delimiters in the password.
fn with_password(url: &str) -> impl Iterator<Item = String> {
    ["", "/", "@", ":", "%40"].iter().map(move |delimiter| {
        let [first, second] = PASSWORD;
        url.replace('*', &format!("{first}{delimiter}{second}"))
    })
}

#[test]
fn every_command_rejects_a_server_without_showing_the_password() {
    let url = with_password(URLS[0]).next().unwrap();
    let env = TestEnv::with_rows(1);
    let by_variable = TestEnv::with_rows(1).set_var("PROMPTMILL_DB", &url);
    for command in COMMANDS {
        for output in [
            env.run(&format!("{command} --db {url}")),
            by_variable.run(command),
        ] {
            assert_no_password(&output);
            let error = "this build does not support PostgreSQL\nhint: pass the path of a file";
            output.exits(78).stderr_contains(error);
        }
    }
    assert_eq!(env.files(), ["jobs.csv"]);
    assert_eq!(env.requests(), 0);
}

#[test]
fn no_part_of_the_password_of_a_malformed_url_is_shown() {
    for url in URLS {
        for url in with_password(url) {
            let env = TestEnv::with_rows(1).set_var("PROMPTMILL_DB", &url);
            assert_no_password(&env.run("status").exits(78));
            for command in ["doctor", "config show", "config show --json", "--help"] {
                assert_no_password(&env.run(command));
            }
        }
    }
}

#[test]
fn the_password_in_a_settings_file_is_not_shown() {
    let env = TestEnv::with_rows(1);
    for url in with_password("postgres://me:*@db.example/jobs") {
        env.write("promptmill.toml", &format!("db = \"{url}\"\n"));
        for command in ["status", "doctor"] {
            let output = env.run(command).exits(78);
            assert_no_password(&output);
        }
        assert_no_password(&env.run("config show"));
        env.write(
            "promptmill.toml",
            &format!("db = \"{url}\"\nconcurrency = \"x\"\n"),
        );
        assert_no_password(&env.run("status").exits(78));
    }
}

#[test]
fn other_urls_are_rejected_too() {
    for url in with_password("mysql://me:*@db.example/jobs") {
        let output = TestEnv::with_rows(1).run(&format!("status --db {url}"));
        assert_no_password(&output);
        output
            .exits(78)
            .stderr_contains("the database must be a file, not a URL");
    }
}
