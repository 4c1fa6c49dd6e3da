//! Tests that the checks detect violations.

use super::*;

/// Checks the line numbers of the boundary violations in a source text.
#[track_caller]
fn check(path: &str, text: &str, expected: &[usize]) {
    let file = File::new(path, text);
    let mut found = module_violations(&file);
    found.extend(crate_violations(&file, &dependencies()));
    found.extend(clock_violations(&file));
    let line = |violation: &String| {
        violation
            .split(':')
            .nth(1)
            .unwrap()
            .parse::<usize>()
            .unwrap()
    };
    let lines: BTreeSet<usize> = found.iter().map(line).collect();
    assert_eq!(
        Vec::from_iter(lines),
        expected,
        "{path}: {text}\n{found:#?}"
    );
}

#[test]
fn detects_module_violations_in_every_notation() {
    check("export/csv.rs", "use crate::domain::job::ExportRow;", &[]);
    check("export/csv.rs", "use crate::store::Queue;", &[1]);
    check(
        "export/csv.rs",
        "use crate::{domain::job,\n store::{self, Queue}};",
        &[1],
    );
    check("export/csv.rs", "fn f(x: &crate::store::Queue) {}", &[1]);
    check("export/csv.rs", "use super::super::store::Queue;", &[1]);
    check("export/csv.rs", "use super::formula::escape_formula;", &[]);
    check("export/mod.rs", "use super::store::Queue;", &[1]);
    check("export/mod.rs", "mod a { use super::formula; }", &[]);
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
        "engine/worker.rs",
        "use crate::progress::event::RunEvent;",
        &[],
    );
    check(
        "engine/worker.rs",
        "use crate::progress::{event, summary};",
        &[1],
    );
    check("cli/run.rs", "use crate::{export, store};", &[]);
    check("main.rs", "use promptmill::cli;", &[]);
    check("main.rs", "use promptmill::store;", &[1]);
    check("unknown/mod.rs", "", &[1]);
}

#[test]
fn detects_crates_outside_their_modules() {
    check("store/open.rs", "use sqlx::query;", &[]);
    check("engine/mod.rs", "let x = \n sqlx::query!(\"a\");", &[2]);
    check("engine/mod.rs", "use ::sqlx::query;", &[1]);
    check("engine/mod.rs", "use ::sqlx;", &[1]);
    check("engine/mod.rs", "use sqlx;", &[1]);
    check("domain/job.rs", "use serde::Serialize; use std::fmt;", &[]);
    check("domain/job.rs", "use tokio::time;", &[1]);
    check("api/chat.rs", "use serde_json::value::RawValue;", &[]);
    check("domain/job.rs", "use serde_json::Value;", &[1]);
    check(
        "provider/client.rs",
        "fn f(x: std::time::SystemTime) {}",
        &[1],
    );
    check("clock.rs", "use std::time::SystemTime;", &[]);
}

#[test]
fn ignores_comments_and_literals() {
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
fn allows_the_simulator_and_any_crate_in_tests() {
    let in_test_module = |code: &str| format!("#[cfg(test)]\nmod tests {{\n{code}\n}}\n");
    check(
        "provider/client.rs",
        &in_test_module("use crate::simulator::Simulator;"),
        &[],
    );
    check(
        "provider/client.rs",
        &in_test_module("use hyper::Request;"),
        &[],
    );
    check(
        "provider/client.rs",
        &in_test_module("use crate::store::Queue;"),
        &[3],
    );
    check(
        "provider/client.rs",
        &in_test_module("use super::super::super::store::Queue;"),
        &[3],
    );
    check(
        "provider/client.rs",
        &in_test_module("use super::super::base_url;"),
        &[],
    );
    let after = format!("{}use crate::simulator::Simulator;", in_test_module(""));
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
fn detects_style_violations() {
    #[track_caller]
    fn check(path: &str, text: &str, expected: usize) {
        let violations = style_violations(&File::new(path, text));
        assert_eq!(violations.len(), expected, "{violations:#?}");
    }
    check("a.rs", "//! A module.\nstruct Ring;", 0);
    check("a.rs", "struct Ring;", 1);
    check("a.rs", "//! A module.\nstruct KeyManager;\nmod utils;", 2);
    check(
        "a.rs",
        &format!("//! A module.{}", "\n// line".repeat(MAX_FILE_LINES)),
        1,
    );
    let tests = format!(
        "#[cfg(test)]\nmod tests {{}}{}",
        "\n// line".repeat(MAX_FILE_LINES)
    );
    check("a.rs", &format!("//! A module.\n{tests}"), 0);
    check("lib.rs", "//! The crate.\npub mod domain;\n", 0);
    check("lib.rs", "//! The crate.\npub mod domain;\nfn f() {}\n", 1);
}
