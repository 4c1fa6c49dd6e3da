//! Answers of providers, read and judged: every fixture names the rule, the scope and the action
//! that it must get, and every rule has a fixture.
//!
//! The fixtures are no recordings. Their texts come from documentation and issue threads, shortened,
//! and some from memory; `unknown.json` and most of `statuses.json` are made up. Whoever has a
//! recorded answer should put it in the place of what is here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use promptmill::domain::failure::Failure;
use promptmill::domain::time::Timestamp;
use promptmill::domain::verdict::{Action, Context, Scope, SetAside, judge, rules};
use promptmill::provider::refusal;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

/// 2025-11-24T06:00:00Z, 14:00 in China.
const NOW: Timestamp = Timestamp::from_millis(1_763_964_000_000);
const KEY: &str = "sk-fixture0123456789abcdef";

/// One answer, and what is to be made of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    name: String,
    #[serde(default = "unknown_host")]
    host: String,
    #[serde(default = "usual_model")]
    model: String,
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The body: a string as it is, anything else as JSON.
    body: Value,
    expect: Expected,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    rule: String,
    scope: Scope,
    action: String,
    #[serde(default)]
    wait_ms: Option<u64>,
}

fn unknown_host() -> String {
    "api.unknown.example".to_owned()
}

fn usual_model() -> String {
    "gpt-4o-mini".to_owned()
}

#[test]
fn every_refusal_gets_its_verdict() {
    let mut wrong = Vec::new();
    for (file, fixture) in fixtures() {
        let found = verdict(&fixture);
        if found != fixture.expect {
            let (name, expected) = (&fixture.name, &fixture.expect);
            wrong.push(format!(
                "{file}: {name}\n  expected {expected:?}\n  found    {found:?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_rule_has_a_fixture_and_every_name_is_its_own() {
    let fixtures = fixtures();
    let rules: BTreeSet<&str> = rules::all().map(|rule| rule.id).collect();
    let shown: BTreeSet<&str> = fixtures
        .iter()
        .map(|(_, one)| one.expect.rule.as_str())
        .collect();
    let missing: Vec<_> = rules.difference(&shown).collect();
    let unknown: Vec<_> = shown.difference(&rules).collect();
    assert!(missing.is_empty(), "rules without a fixture: {missing:?}");
    assert!(unknown.is_empty(), "fixtures of no rule: {unknown:?}");
    let names: BTreeSet<&str> = fixtures.iter().map(|(_, one)| one.name.as_str()).collect();
    assert_eq!(names.len(), fixtures.len(), "two fixtures share a name");
}

fn verdict(fixture: &Fixture) -> Expected {
    let headers = headers(&fixture.headers);
    let body = match &fixture.body {
        Value::String(text) => text.clone(),
        json => json.to_string(),
    };
    let body = body.as_bytes();
    let refusal = if fixture.status == 200 {
        refusal::error_in_success(&headers, body, &[KEY], NOW).expect("a success with an error")
    } else {
        refusal::read(fixture.status, &headers, body, &[KEY], NOW)
    };
    let context = Context {
        host: &fixture.host,
        model: &fixture.model,
    };
    let verdict = judge(&Failure::Refused(refusal), context);
    Expected {
        rule: verdict.rule.to_owned(),
        scope: verdict.scope,
        action: name(verdict.action),
        wait_ms: verdict.wait.map(millis),
    }
}

fn name(action: Action) -> String {
    match action {
        Action::Retry { at_most: None } => "retry".to_owned(),
        Action::Retry {
            at_most: Some(most),
        } => format!("retry at most {most}"),
        Action::Wait => "wait".to_owned(),
        Action::NextKey(SetAside::Doubted) => "next key, doubted".to_owned(),
        Action::NextKey(SetAside::Quarantined) => "next key, quarantined".to_owned(),
        Action::NextKey(SetAside::Exhausted) => "next key, exhausted".to_owned(),
        Action::NextKey(SetAside::Dead) => "next key, dead".to_owned(),
        Action::FailJob => "fail job".to_owned(),
        Action::StopRun => "stop run".to_owned(),
    }
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).expect("at most a day")
}

fn headers(pairs: &BTreeMap<String, String>) -> HeaderMap {
    let parsed = pairs.iter().map(|(name, value)| {
        let name = name.parse::<HeaderName>().expect("a header's name");
        (
            name,
            HeaderValue::from_str(value).expect("a header's value"),
        )
    });
    parsed.collect()
}

fn fixtures() -> Vec<(String, Fixture)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/refusals");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder of fixtures") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a readable fixture");
        let file = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let fixtures: Vec<Fixture> =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        all.extend(fixtures.into_iter().map(|fixture| (file.clone(), fixture)));
    }
    all
}
