//! No byte of a key anywhere; no prompt and no answer where they do not belong; files for their
//! owner alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use promptmill::simulator::{Arrival, Config, KeyRefusal, Reaction, Script};

use crate::support::{Ran, Scene};

const CANARY: &str = "sk-canary-7f3a9c2e5b8d1046";
const CANARY_2: &str = "sk-canary-0d4e6b8a1c3f5972";
const RUN: &str = "run jobs.csv -o out.csv";
const PROMPT: &str = "prompt-canary";
const ANSWER: &str = "answer-canary";

/// Errors that repeat the key as providers do, and answers that bear a mark.
fn echo(arrival: &Arrival<'_>) -> Option<Reaction> {
    let refusal = |status, key: &str| {
        let body = format!(
            r#"{{"error":{{"message":"Incorrect API key provided: {key} (Authorization: Bearer {key}). Prompt: {}","code":"invalid_api_key"}}}}"#,
            arrival.prompt
        );
        Some(Reaction::Refuse(KeyRefusal::Other { status, body }))
    };
    match arrival.number {
        1..=2 if arrival.key == CANARY => refusal(401, arrival.key),
        n if n % 5 == 0 => refusal(500, arrival.key),
        _ => Some(Reaction::Say(format!("{ANSWER} for {}", arrival.turn))),
    }
}

fn scene(script: Script) -> Scene {
    let scene = Scene::new(Config::default().script(script));
    let rows: Vec<_> = (1..=12).map(|row| format!("{PROMPT} {row}")).collect();
    scene.write("jobs.csv", &format!("prompt\n{}\n", rows.join("\n")));
    scene
}

/// Looks for the keys, or the half of them that tells them apart, in what the program said and in
/// every file that it wrote.
#[track_caller]
fn no_key_is_left(scene: &Scene, runs: &[Ran], but: &[&str]) {
    for key in [CANARY, CANARY_2] {
        let mark = &key["sk-canary-".len()..];
        for mark in [mark, &mark[..8], &mark[8..]] {
            for ran in runs {
                assert!(!ran.stdout.contains(mark), "{mark} in:\n{}", ran.stdout);
                assert!(!ran.stderr.contains(mark), "{mark} in:\n{}", ran.stderr);
            }
            for name in scene
                .files()
                .iter()
                .filter(|name| !but.contains(&name.as_str()))
            {
                let bytes = fs::read(scene.path(name)).unwrap();
                let found = bytes
                    .windows(mark.len())
                    .any(|part| part == mark.as_bytes());
                assert!(!found, "{mark} in {name}");
            }
        }
    }
}

#[test]
fn no_byte_of_a_key_is_left_anywhere() {
    let scene = scene(Script::new().rule(echo)).keys(&[CANARY, CANARY_2]);
    let mut runs = Vec::new();
    for words in [
        &format!("{RUN} -vv --log-format json"),
        &format!("{RUN} -vvv"),
        "status",
        "status --json",
        "keys list",
        "keys list --json",
        "export jobs.csv",
        "work -vv",
    ] {
        runs.push(scene.run(words));
    }
    assert!(
        runs[0].stderr.contains("attempt failed"),
        "{}",
        runs[0].stderr
    );
    no_key_is_left(&scene, &runs, &[]);
}

#[test]
fn no_byte_of_a_key_is_left_while_a_run_is_under_way_or_was_killed() {
    let scene = scene(Script::new().rule(echo)).keys(&[CANARY, CANARY_2]);
    scene.wait_for(0);
    let run = scene.start(&format!("{RUN} -vv --concurrency 2"));
    scene.wait_for_answered(4);
    scene.provider.hold();
    let names = scene.files();
    assert!(names.contains(&"promptmill.db-wal".to_owned()), "{names:?}");
    no_key_is_left(&scene, &[], &[]);
    let ran = run.kill();
    no_key_is_left(&scene, &[ran], &[]);
}

#[test]
fn a_key_file_is_the_only_place_where_its_keys_are() {
    let config = Config::default().key(CANARY_2);
    let scene = Scene::new(config);
    scene.write("jobs.csv", "prompt\na\nb\n");
    scene.write_with_mode("keys.txt", 0o600, &format!("{CANARY}\n{CANARY_2}\n"));
    let words = format!("{RUN} --api-key-file keys.txt -vv --log-format json");
    let runs = [scene.run(&words).exits(0), scene.run("keys list")];
    no_key_is_left(&scene, &runs, &["keys.txt"]);
}

#[test]
fn a_key_that_was_put_into_the_settings_file_is_not_repeated() {
    let scene = Scene::with_rows(1);
    scene.write(
        "promptmill.toml",
        &format!("[[keys]]\nlabel = \"a\"\nkey = \"{CANARY}\"\n"),
    );
    let ran = scene.run(RUN).exits(78);
    no_key_is_left(&scene, &[ran], &["promptmill.toml"]);
    scene.write("promptmill.toml", &format!("api-key = \"{CANARY}\"\n"));
    let ran = scene.run(RUN).exits(78);
    no_key_is_left(&scene, &[ran], &["promptmill.toml"]);
}

#[test]
fn a_key_that_is_typed_as_a_flag_is_refused() {
    let scene = Scene::with_rows(1);
    scene.run(&format!("{RUN} --api-key {CANARY}")).exits(2);
    assert_eq!(scene.requests(), 0);
}

#[test]
fn a_prompt_and_an_answer_are_in_no_log() {
    let scene = scene(Script::new().rule(|arrival| match arrival.number {
        3 => Some(Reaction::Status(500)),
        _ => Some(Reaction::Say(ANSWER.to_owned())),
    }))
    .set("RUST_LOG", "trace");
    for format in ["text", "json"] {
        let ran = scene
            .run(&format!("{RUN} -vvv --redo --log-format {format}"))
            .exits(0);
        assert!(
            ran.stderr.contains("DEBUG") || format == "text",
            "{}",
            ran.stderr
        );
        for mark in [PROMPT, ANSWER] {
            assert!(!ran.stderr.contains(mark), "{mark} in:\n{}", ran.stderr);
        }
        fs::remove_file(scene.path("promptmill.db")).unwrap();
    }
    assert_eq!(scene.sheet("out.csv").column("response"), [ANSWER; 12]);
}

#[test]
fn files_are_for_their_owner_alone() {
    let scene = Scene::with_rows(2);
    scene.provider.hold();
    let run = scene.start(RUN);
    scene.wait_for(1);
    let names = [
        "promptmill.db",
        "promptmill.db-wal",
        "promptmill.db-shm",
        "promptmill.db.lock",
    ];
    let mode = |name: &str| fs::metadata(scene.path(name)).unwrap().permissions().mode() & 0o777;
    for name in names {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    scene.provider.release();
    run.finish().exits(0);
    assert_eq!(mode("out.csv"), 0o600);
}

#[test]
fn a_key_file_that_others_may_read_is_refused_with_the_command_that_mends_it() {
    let scene = Scene::with_rows(2);
    scene.write_with_mode("keys.txt", 0o600, CANARY);
    let path = scene.path("keys.txt");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let words = format!("{RUN} --api-key-file keys.txt");
    let ran = scene
        .run(&words)
        .exits(77)
        .says("the key file keys.txt may be read by others (mode 644)")
        .says("hint: chmod 600 keys.txt");
    no_key_is_left(&scene, &[ran], &["keys.txt"]);
    assert_eq!(scene.requests(), 0);
    scene.run(&format!("{words} --insecure-key-file")).exits(0);
    assert_eq!(scene.provider.ledger().of_key(CANARY), 2);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    scene.run(&words).exits(0).says("nothing to do");
}

#[test]
fn a_key_file_that_is_not_there_or_a_link_is_refused() {
    let scene = Scene::with_rows(2);
    let words = format!("{RUN} --api-key-file keys.txt");
    scene
        .run(&words)
        .exits(77)
        .says("cannot read the key file keys.txt");
    scene.write_with_mode("real.txt", 0o600, CANARY);
    std::os::unix::fs::symlink("real.txt", scene.path("keys.txt")).unwrap();
    scene.run(&words).exits(77).says("no symbolic link");
    assert_eq!(scene.requests(), 0);
}

#[test]
fn a_key_command_that_fails_says_so_and_sends_nothing() {
    let scene = Scene::with_rows(2).set("PROMPTMILL_API_KEY_COMMAND", "exit 3");
    scene
        .run(RUN)
        .exits(77)
        .says("the key command failed")
        .says("run it by hand");
    assert_eq!(scene.requests(), 0);
}

#[test]
fn a_key_of_no_known_form_is_not_left_either() {
    let key = "Zq9vKx3mPw7tRb2n";
    let script = Script::new().rule(|arrival| {
        let body = format!("go away, {}, you are not known here", arrival.key);
        Some(Reaction::Refuse(KeyRefusal::Other { status: 401, body }))
    });
    let scene = scene(script).keys(&[key]);
    let ran = scene.run(&format!("{RUN} -vvv")).exits(77).says("go away");
    let database = fs::read(scene.path("promptmill.db")).unwrap();
    for mark in [&key[..8], &key[8..]] {
        assert!(!ran.stderr.contains(mark), "{}", ran.stderr);
        assert!(!scene.read("out.csv").contains(mark));
        let found = database.windows(8).any(|part| part == mark.as_bytes());
        assert!(!found, "{mark} is in the database");
    }
}
