//! What somebody types who has not read the manual: each answer says what to type instead, and
//! nothing is asked.

use promptmill::simulator::{Config, Personality, SAMPLE_KEY};

use crate::deaf::Deaf;
use crate::support::{Scene, jobs};

/// Runs words over a good file, and holds them to a code and to what they are told.
#[track_caller]
fn check(words: &str, code: i32, says: &[&str]) {
    check_file("jobs.csv", &jobs(3), words, code, says);
}

#[track_caller]
fn check_file(name: &str, text: &str, words: &str, code: i32, says: &[&str]) {
    let scene = Scene::new(Config::default());
    scene.write(name, text);
    let mut ran = scene.run(words).exits(code);
    for text in says {
        ran = ran.says(text);
    }
    assert_eq!(scene.requests(), 0);
}

#[test]
fn a_file_without_a_command() {
    check("jobs.csv", 2, &["tip: ", "`promptmill run jobs.csv`"]);
    check("jobs.csv -o out.csv", 2, &["`promptmill run jobs.csv`"]);
}

#[test]
fn a_command_without_a_file() {
    check("run", 2, &["for example `promptmill run jobs.csv -o"]);
    check("export", 2, &["`promptmill status` lists the batches"]);
}

#[test]
fn two_files_or_a_prompt_without_quotes() {
    let says = ["one file for each command", "wants quotes"];
    check("run jobs.csv more.csv", 2, &says);
    check("run jobs.csv --prompt Say it in French", 2, &says);
}

#[test]
fn a_verb_or_flag_of_another_program() {
    check("ruin jobs.csv", 2, &["'run'"]);
    check("resume jobs.csv", 2, &["the same `promptmill run` again"]);
    check("run jobs.csv --modle x", 2, &["'--model'"]);
    check("run jobs.csv --workers 4", 2, &["--concurrency"]);
    check(
        "run jobs.csv --temperature 0",
        2,
        &["--set temperature=VALUE"],
    );
}

#[test]
fn a_key_as_a_flag_is_refused_and_not_repeated() {
    let scene = Scene::with_rows(1);
    let key = "sk-proj-0123456789abcdefghij";
    for words in [
        format!("run jobs.csv --api-key {key}"),
        format!("run jobs.csv --api-key={key}"),
        format!("run jobs.csv {key}"),
    ] {
        let ran = scene.run(&words).exits(2);
        assert!(!ran.stderr.contains(key), "{}", ran.stderr);
    }
    scene
        .run("run jobs.csv --api-key x")
        .exits(2)
        .says("set OPENAI_API_KEY, or name a file with --api-key-file");
}

#[test]
fn numbers_and_times_that_are_none() {
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
            &[flag, "no whole number from 1 on"],
        );
    }
    check("run jobs.csv --rpm 1.5", 2, &["no whole number from 1 on"]);
    check(
        "run jobs.csv --timeout 5",
        2,
        &["5s is seconds, 5m minutes"],
    );
    check("run jobs.csv --max-cost lots", 2, &["write it like 5usd"]);
    check(
        "run jobs.csv --zone CET",
        2,
        &["write it like UTC or +08:00"],
    );
}

#[test]
fn a_wrong_value_in_a_variable_or_in_the_settings_file_is_found() {
    let scene = Scene::with_rows(3).set("PROMPTMILL_RPM", "0");
    let variable = "the value comes from the environment variable PROMPTMILL_RPM";
    scene.run("run jobs.csv").exits(2).says(variable);
    let typed = scene.run("run jobs.csv --rpm 0").exits(2);
    assert!(!typed.stderr.contains(variable), "{}", typed.stderr);
    let scene = scene.set("PROMPTMILL_RPM", "");
    let scene = scene.set("PROMPTMILL_RMP", "5");
    let stray = "PROMPTMILL_RMP is no setting; did you mean PROMPTMILL_RPM?";
    scene.run("status").exits(66).says(stray);
    let quiet = scene.run("status -q").exits(66);
    assert!(!quiet.stderr.contains(stray), "{}", quiet.stderr);
    let scene = scene.set("PROMPTMILL_RMP", "");
    for (line, says) in [
        ("rpm = 0", "a whole number from 1 on"),
        ("rpm = \"60\"", "a whole number from 1 on"),
        ("timeout = \"5\"", "5s is seconds"),
        ("timeout = 5", "5s is seconds"),
        ("model = gpt", "promptmill.toml:1"),
    ] {
        scene.write("promptmill.toml", &format!("{line}\n"));
        let ran = scene.run("run jobs.csv").exits(78);
        ran.says("promptmill.toml:1: ").says(says).says("hint: ");
    }
    assert_eq!(scene.requests(), 0);
}

#[test]
fn a_file_of_another_kind() {
    let semicolons = "id;prompt\n1;one, two\n";
    let says = ["separated by `;`: --delimiter ';'"];
    check_file("jobs.csv", semicolons, "run jobs.csv", 65, &says);
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
        &["put a line `prompt` above it"],
    );
}

#[test]
fn a_key_or_a_model_that_is_wrong_leads_to_the_doctor_with_the_same_flags() {
    let free = Config::default().personality(Personality::GptApiFree);
    let scene = Scene::new(free);
    scene.write("jobs.csv", &jobs(3));
    scene.write_with_mode("wrong.key", 0o600, "sk-of-somebody-else");
    let next = format!(
        "next       promptmill doctor --base-url {} --model gpt-4o-mini --api-key-file wrong.key",
        scene.provider.base_url()
    );
    let ran = scene.run("run jobs.csv -o out.csv --api-key-file wrong.key");
    ran.exits(77).says("Replace this key").says(&next);
    scene.write_with_mode("free.key", 0o600, SAMPLE_KEY);
    let words = "--api-key-file free.key --model GPT-4o";
    let ran = scene.run(&format!("run jobs.csv --batch second -o out.csv {words}"));
    ran.exits(78).says("in lower case exactly as listed");
    let doctor = scene.run(&format!("doctor {words}")).exits(78);
    let meant = "Write --model gpt-4o: upper and lower case matter.";
    assert!(doctor.stdout.contains(meant), "{}", doctor.stdout);
}

#[test]
fn a_server_that_is_not_there() {
    let deaf = Deaf::new();
    let scene = Scene::with_rows(3).set("PROMPTMILL_BASE_URL", &deaf.base_url());
    let says = "the connection was refused: nothing listens at that host and port";
    let ran = scene
        .run("run jobs.csv -o out.csv --max-outage 1ms")
        .exits(69);
    ran.says(says).says("next       promptmill run jobs.csv");
    assert_eq!(scene.sheet("out.csv").column("status"), ["pending"; 3]);
    scene.run("doctor").exits(69);
}
