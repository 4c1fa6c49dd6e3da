//! Tests the walls themselves: a crossing that is not seen would make the other tests pass for nothing.

use super::*;

/// Checks the lines on which crossings of any kind are found.
#[track_caller]
fn check(path: &str, text: &str, expected: &[usize]) {
    let file = File::new(path, text);
    let mut found = room_crossings(&file);
    found.extend(crate_crossings(&file, &dependencies()));
    found.extend(clock_crossings(&file));
    let line = |fault: &String| fault.split(':').nth(1).unwrap().parse::<usize>().unwrap();
    let lines: BTreeSet<usize> = found.iter().map(line).collect();
    assert_eq!(
        Vec::from_iter(lines),
        expected,
        "{path}: {text}\n{found:#?}"
    );
}

#[test]
fn a_room_that_names_another_is_seen_however_it_is_written() {
    check("export/csv.rs", "use crate::domain::job::Record;", &[]);
    check("export/csv.rs", "use crate::store::Queue;", &[1]);
    check(
        "export/csv.rs",
        "use crate::{domain::job,\n store::{self, Queue}};",
        &[1],
    );
    check("export/csv.rs", "fn f(x: &crate::store::Queue) {}", &[1]);
    check("export/csv.rs", "use super::super::store::Queue;", &[1]);
    check("export/csv.rs", "use super::guard::guard;", &[]);
    check("export/mod.rs", "use super::store::Queue;", &[1]);
    check("export/mod.rs", "mod a { use super::guard; }", &[]);
    check(
        "export/mod.rs",
        "\nmod a { use super::super::store; }",
        &[2],
    );
    check("export/mod.rs", "use crate as c;", &[1]);
    check("export/mod.rs", "use crate::*;", &[1]);
    check(
        "domain/job.rs",
        "pub(crate) fn f() { crate::clock::now() }",
        &[1],
    );
    check(
        "runner/worker.rs",
        "use crate::progress::event::RunEvent;",
        &[],
    );
    check(
        "runner/worker.rs",
        "use crate::progress::{event, summary};",
        &[1],
    );
    check("cli/run.rs", "use crate::{export, store};", &[]);
    check("main.rs", "use promptmill::cli;", &[]);
    check("main.rs", "use promptmill::store;", &[1]);
    check("cellar/mod.rs", "", &[1]);
}

#[test]
fn a_crate_outside_its_room_is_seen() {
    check("store/open.rs", "use sqlx::query;", &[]);
    check("runner/mod.rs", "let x = \n sqlx::query!(\"a\");", &[2]);
    check("runner/mod.rs", "use ::sqlx::query;", &[1]);
    check("runner/mod.rs", "use ::sqlx;", &[1]);
    check("runner/mod.rs", "use sqlx;", &[1]);
    check("domain/job.rs", "use serde::Serialize; use std::fmt;", &[]);
    check("domain/job.rs", "use tokio::time;", &[1]);
    check("domain/reply.rs", "use serde_json::value::RawValue;", &[]);
    check("domain/job.rs", "use serde_json::Value;", &[1]);
    check(
        "provider/client.rs",
        "fn f(x: std::time::SystemTime) {}",
        &[1],
    );
    check("clock.rs", "use std::time::SystemTime;", &[]);
}

#[test]
fn comments_and_text_name_nobody() {
    check(
        "export/mod.rs",
        "//! See [`crate::store`].\n/* crate::store /* sqlx::x */ */",
        &[],
    );
    check(
        "export/mod.rs",
        "const A: &str = \"crate::store \\\" sqlx::query\";",
        &[],
    );
    check(
        "export/mod.rs",
        "const A: &str = r#\"crate::store \" sqlx::query\"#;",
        &[],
    );
    check(
        "export/mod.rs",
        "const A: [char; 2] = ['\"', '\\'']; use crate::store;",
        &[1],
    );
    check(
        "export/mod.rs",
        "fn f<'a>(a: &'a str) -> &'a str { crate::store::f(b'\"') }",
        &[1],
    );
}

#[test]
fn tests_may_use_the_simulator_and_any_crate_but_no_other_room() {
    let inside = |code: &str| format!("#[cfg(test)]\nmod tests {{\n{code}\n}}\n");
    check(
        "provider/client.rs",
        &inside("use crate::simulator::Simulator;"),
        &[],
    );
    check("provider/client.rs", &inside("use hyper::Request;"), &[]);
    check(
        "provider/client.rs",
        &inside("use crate::store::Queue;"),
        &[3],
    );
    check(
        "provider/client.rs",
        &inside("use super::super::super::store::Queue;"),
        &[3],
    );
    check(
        "provider/client.rs",
        &inside("use super::super::base_url;"),
        &[],
    );
    let after = format!("{}use crate::simulator::Simulator;", inside(""));
    check("provider/client.rs", &after, &[5]);
    check(
        "provider/client.rs",
        "#[cfg(not(test))]\nuse crate::simulator::Simulator;",
        &[2],
    );
    check(
        "provider/client.rs",
        "#[cfg(test)]\nuse crate::simulator::A;\nuse hyper::B;",
        &[3],
    );
}

#[test]
fn faults_of_form_are_seen() {
    #[track_caller]
    fn check(path: &str, text: &str, expected: usize) {
        let faults = form_faults(&File::new(path, text));
        assert_eq!(faults.len(), expected, "{faults:#?}");
    }
    check("a.rs", "//! A room.\nstruct Ring;", 0);
    check("a.rs", "struct Ring;", 1);
    check("a.rs", "//! A room.\nstruct KeyManager;\nmod utils;", 2);
    check(
        "a.rs",
        &format!("//! A room.{}", "\n// line".repeat(LONGEST_FILE)),
        1,
    );
    let tests = format!(
        "#[cfg(test)]\nmod tests {{}}{}",
        "\n// line".repeat(LONGEST_FILE)
    );
    check("a.rs", &format!("//! A room.\n{tests}"), 0);
    check("lib.rs", "//! The map.\npub mod domain;\n", 0);
    check("lib.rs", "//! The map.\npub mod domain;\nfn f() {}\n", 1);
}
