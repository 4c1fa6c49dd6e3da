//! Keys that are refused: out at once, without a wait, and without a word that gives them away.

use std::time::Duration;

use promptmill::simulator::{Config, KeyRefusal, Reaction, SAMPLE_KEY, Script};

use crate::support::{Ran, Scene, jobs};

const DEAD: &str = "sk-dead-0123456789abcdef";
const FORBIDDEN: &str = "sk-forbidden-0123456789ab";
const GOOD: &str = "sk-good-0123456789abcdef";
const RUN: &str = "run jobs.csv -o out.csv";
/// One request at a time: then it is certain which key is asked how often.
const ONE_BY_ONE: &str = "run jobs.csv -o out.csv --concurrency 1";
/// The most requests in flight when nobody says.
const SLOTS: u64 = 16;

fn three_keys() -> Scene {
    let config = Config::default()
        .refuse(DEAD, KeyRefusal::Invalid)
        .refuse(FORBIDDEN, KeyRefusal::Forbidden);
    let scene = Scene::new(config).keys(&[DEAD, FORBIDDEN, GOOD]);
    scene.write("jobs.csv", &jobs(60));
    scene
}

/// Looks for a key, or any part of it that would be of use.
#[track_caller]
fn names_no_key(ran: &Ran, keys: &[&str]) {
    for key in keys {
        let tail = &key[key.len() - 12..];
        for text in [&ran.stdout, &ran.stderr] {
            assert!(!text.contains(tail), "{key} is in:\n{text}");
        }
    }
}

#[test]
fn refused_keys_are_left_out_and_the_good_one_does_it_all() {
    let scene = three_keys();
    let ran = scene
        .run(RUN)
        .exits(0)
        .says("warning: key-1 is set aside until it is changed");
    names_no_key(&ran, &[DEAD, FORBIDDEN, GOOD]);
    scene.sheet("out.csv").answers(60);
    let ledger = scene.provider.ledger();
    assert_eq!(ledger.of_key(GOOD), 60);
    // At worst the refusals come back after all slots were filled.
    assert!(ledger.of_key(DEAD) + ledger.of_key(FORBIDDEN) <= SLOTS);
    assert!(ledger.max_of_one_prompt() <= 3);
}

#[test]
fn a_refused_key_is_asked_once_and_one_that_may_be_refused_three_times() {
    let scene = three_keys();
    scene.run(ONE_BY_ONE).exits(0);
    scene.sheet("out.csv").answers(60);
    let ledger = scene.provider.ledger();
    assert_eq!(ledger.of_key(DEAD), 1);
    // A bare 403 may be anybody's fault.
    assert!(
        ledger.of_key(FORBIDDEN) <= 3,
        "{}",
        ledger.of_key(FORBIDDEN)
    );
}

#[test]
fn a_key_is_never_asked_twice_for_the_row_it_was_refused_for() {
    let scene = three_keys();
    scene.run(RUN).exits(0);
    let mut refused = Vec::new();
    for entry in scene.provider.ledger().entries {
        if entry.status != Some(200) {
            refused.push((entry.key, entry.prompt));
        }
    }
    let all = refused.len();
    refused.sort_unstable();
    refused.dedup();
    assert_eq!(refused.len(), all);
}

#[test]
fn the_next_run_leaves_refused_keys_alone() {
    let scene = three_keys();
    scene.run(RUN).exits(0);
    let before = scene.provider.ledger();
    scene.write("jobs.csv", &jobs(80));
    scene.run(RUN).exits(0);
    let after = scene.provider.ledger();
    scene.sheet("out.csv").answers(80);
    assert_eq!(after.of_key(DEAD), before.of_key(DEAD));
    assert_eq!(after.of_key(GOOD), 80);
    let keys = scene.run("keys list --json").exits(0).json();
    let dead = &keys["keys"][0];
    assert_eq!(
        (&dead["label"], &dead["state"]),
        (&"key-1".into(), &"dead".into())
    );
}

#[test]
fn a_key_that_was_reset_is_tried_again() {
    let scene = three_keys();
    scene.run(ONE_BY_ONE).exits(0);
    let before = scene.provider.ledger().of_key(DEAD);
    scene.run("keys reset key-1").exits(0);
    scene.write("jobs.csv", &jobs(80));
    scene.run(ONE_BY_ONE).exits(0);
    assert_eq!(scene.provider.ledger().of_key(DEAD), before + 1);
}

#[test]
fn when_all_keys_are_refused_each_is_asked_once_and_all_rows_wait() {
    let config = Config::default().key(GOOD);
    let keys = [DEAD, FORBIDDEN, "sk-third-0123456789abcdef"];
    let scene = Scene::new(config).keys(&keys);
    scene.write("jobs.csv", &jobs(60));
    let ran = scene
        .run(ONE_BY_ONE)
        .exits(77)
        .says("no key is left that may be used; 60 of 60 rows")
        .says("key-1")
        .says("key-2")
        .says("key-3");
    names_no_key(&ran, &keys);
    assert_eq!(scene.requests(), 3);
    assert_eq!(scene.sheet("out.csv").count("pending"), 60);
    // Dead keys stay dead: the next run asks nobody, and says the same.
    scene.run(RUN).exits(77).says("key-2");
    assert_eq!(scene.requests(), 3);
    let scene = scene.keys(&[GOOD]);
    scene.run(RUN).exits(0);
    scene.sheet("out.csv").answers(60);
}

#[test]
fn a_slow_refusal_costs_each_key_one_request_too() {
    // The first key's 401 comes at once and the others' later: the free hand must not go to them.
    let late = Reaction::Refuse(KeyRefusal::Invalid).after(Duration::from_millis(150));
    let script = Script::new()
        .for_key(DEAD, Reaction::Refuse(KeyRefusal::Invalid))
        .always(late);
    let keys = [DEAD, FORBIDDEN, "sk-third-0123456789abcdef"];
    let scene = Scene::new(Config::default().script(script)).keys(&keys);
    scene.write("jobs.csv", &jobs(60));
    scene.run(RUN).exits(77);
    let ledger = scene.provider.ledger();
    assert_eq!(keys.map(|key| ledger.of_key(key)), [1, 1, 1]);
}

#[test]
fn a_single_key_with_a_bare_403_costs_few_requests() {
    let scene = Scene::new(Config::default().refuse(FORBIDDEN, KeyRefusal::Forbidden));
    let scene = scene.keys(&[FORBIDDEN]);
    scene.write("jobs.csv", &jobs(60));
    let ran = scene.run(RUN).exits(77);
    names_no_key(&ran, &[FORBIDDEN]);
    assert!(scene.requests() <= 3, "{}", scene.requests());
    assert_eq!(scene.sheet("out.csv").count("pending"), 60);
}

#[test]
fn a_key_without_money_is_left_out_and_the_others_go_on() {
    for refusal in [KeyRefusal::NoBalance, KeyRefusal::NoQuota] {
        let scene = Scene::new(Config::default().refuse(DEAD, refusal.clone()));
        let scene = scene.keys(&[DEAD, GOOD]);
        scene.write("jobs.csv", &jobs(20));
        scene.run(ONE_BY_ONE).exits(0);
        scene.sheet("out.csv").answers(20);
        assert_eq!(scene.provider.ledger().of_key(DEAD), 1, "{refusal:?}");
        let keys = scene.run("keys list --json").exits(0).json();
        assert_eq!(keys["keys"][0]["state"], "exhausted", "{refusal:?}");
    }
}

#[test]
fn a_place_that_is_not_served_stops_the_run_with_few_requests() {
    let scene = Scene::new(Config::default().refuse(DEAD, KeyRefusal::Country));
    let scene = scene.keys(&[DEAD]);
    scene.write("jobs.csv", &jobs(20));
    scene
        .run(RUN)
        .exits(77)
        .says("Country, region, or territory not supported");
    assert_eq!(scene.requests(), 1);
    assert_eq!(scene.sheet("out.csv").count("pending"), 20);
}

#[test]
fn a_key_that_dies_in_the_middle_of_a_run_is_left_out_then() {
    let script = Script::new().on(
        |arrival| arrival.key == DEAD && arrival.of_key > 5,
        Reaction::Refuse(KeyRefusal::Deactivated),
    );
    let scene = Scene::new(Config::default().script(script)).keys(&[DEAD, GOOD]);
    scene.write("jobs.csv", &jobs(60));
    scene.run(ONE_BY_ONE).exits(0);
    scene.sheet("out.csv").answers(60);
    let ledger = scene.provider.ledger();
    assert_eq!((ledger.of_key(DEAD), ledger.requests), (6, 61));
}

#[test]
fn keys_come_from_the_first_source_that_is_there() {
    let config = Config::default().key(GOOD).key(SAMPLE_KEY);
    let scene = Scene::new(config).keys(&[DEAD]);
    scene.write("jobs.csv", &jobs(4));
    scene.write_with_mode("keys.txt", 0o600, &format!("# mine\n{GOOD}\n"));
    scene
        .run(&format!("{RUN} --api-key-file keys.txt"))
        .exits(0);
    assert_eq!(scene.provider.ledger().of_key(GOOD), 4);
    let scene = scene
        .set("PROMPTMILL_API_KEYS", "")
        .set("OPENAI_API_KEY", SAMPLE_KEY);
    scene.write("jobs.csv", &jobs(6));
    scene.run(RUN).exits(0);
    let scene = scene.set("PROMPTMILL_API_KEY_COMMAND", &format!("echo {GOOD}"));
    scene.write("jobs.csv", &jobs(9));
    scene.run(RUN).exits(0);
    let ledger = scene.provider.ledger();
    assert_eq!((ledger.of_key(SAMPLE_KEY), ledger.of_key(GOOD)), (2, 7));
}

#[test]
fn keys_are_named_in_the_settings_file_by_where_they_are() {
    let scene = Scene::new(Config::default().key(GOOD)).keys(&[DEAD]);
    scene.write("jobs.csv", &jobs(4));
    let settings = "[[keys]]\nlabel = \"work\"\nenv = \"WORK_KEY\"\n";
    scene.write("promptmill.toml", settings);
    scene.run(RUN).exits(77).says("WORK_KEY");
    let scene = scene.set("WORK_KEY", GOOD);
    scene.run(RUN).exits(0);
    let keys = scene.run("keys list --json").exits(0).json();
    assert_eq!(keys["keys"][0]["label"], "work");
}
