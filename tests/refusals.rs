//! Checks how error responses of providers are classified. Each fixture specifies the expected
//! rule, scope and action, and each rule has a fixture.
//!
//! The fixtures are not recordings. Their texts are shortened from documentation and issue threads,
//! or written from memory; `unknown.json` and most of `statuses.json` are invented. If you have a
//! recorded response, replace the fixture with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use promptmill::domain::failure::Failure;
use promptmill::domain::time::Timestamp;
use promptmill::domain::verdict::{Action, Context, KeyPenalty, Scope, classify, rules};
use promptmill::provider::error_response;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

/// 2025-11-24T06:00:00Z, 14:00 in China.
const NOW: Timestamp = Timestamp::from_millis(1_763_964_000_000);
const KEY: &str = "sk-fixture0123456789abcdef";

/// An error response and its expected classification.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    name: String,
    #[serde(default = "default_host")]
    host: String,
    #[serde(default = "default_model")]
    model: String,
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The body. A string is used verbatim, anything else as JSON.
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

fn default_host() -> String {
    "api.unknown.example".to_owned()
}

fn default_model() -> String {
    "gpt-4o-mini".to_owned()
}

#[test]
fn every_fixture_has_the_expected_verdict() {
    let mut mismatches = Vec::new();
    for (file, fixture) in fixtures() {
        let found = verdict(&fixture);
        if found != fixture.expect {
            let (name, expected) = (&fixture.name, &fixture.expect);
            mismatches.push(format!(
                "{file}: {name}\n  expected {expected:?}\n  found    {found:?}"
            ));
        }
    }
    assert!(
        mismatches.is_empty(),
        "{} fixtures have another verdict:\n{}",
        mismatches.len(),
        mismatches.join("\n")
    );
}

#[test]
fn every_rule_has_a_fixture_and_fixture_names_are_unique() {
    let fixtures = fixtures();
    let rules: BTreeSet<&str> = rules::all().map(|rule| rule.id).collect();
    let covered: BTreeSet<&str> = fixtures
        .iter()
        .map(|(_, fixture)| fixture.expect.rule.as_str())
        .collect();
    let missing: Vec<_> = rules.difference(&covered).collect();
    let unknown: Vec<_> = covered.difference(&rules).collect();
    assert!(missing.is_empty(), "rules without a fixture: {missing:?}");
    assert!(
        unknown.is_empty(),
        "fixtures with unknown rules: {unknown:?}"
    );
    let names: BTreeSet<&str> = fixtures
        .iter()
        .map(|(_, fixture)| fixture.name.as_str())
        .collect();
    assert_eq!(names.len(), fixtures.len(), "two fixtures share a name");
}

fn verdict(fixture: &Fixture) -> Expected {
    let headers = headers(&fixture.headers);
    let body = match &fixture.body {
        Value::String(text) => text.clone(),
        json => json.to_string(),
    };
    let body = body.as_bytes();
    let response = if fixture.status == 200 {
        error_response::parse_embedded(&headers, body, &[KEY], NOW)
            .expect("the success response contains an error")
    } else {
        error_response::parse(fixture.status, &headers, body, &[KEY], NOW)
    };
    let context = Context {
        host: &fixture.host,
        model: &fixture.model,
    };
    let verdict = classify(&Failure::ErrorResponse(response), context);
    Expected {
        rule: verdict.rule.to_owned(),
        scope: verdict.scope,
        action: action_name(verdict.action),
        wait_ms: verdict.wait.map(millis),
    }
}

fn action_name(action: Action) -> String {
    match action {
        Action::Retry { at_most: None } => "retry".to_owned(),
        Action::Retry { at_most: Some(max) } => format!("retry at most {max}"),
        Action::Wait => "wait".to_owned(),
        Action::NextKey(KeyPenalty::Probation) => "next key, probation".to_owned(),
        Action::NextKey(KeyPenalty::Quarantined) => "next key, quarantined".to_owned(),
        Action::NextKey(KeyPenalty::Exhausted) => "next key, exhausted".to_owned(),
        Action::NextKey(KeyPenalty::Dead) => "next key, dead".to_owned(),
        Action::FailJob => "fail job".to_owned(),
        Action::StopRun => "stop run".to_owned(),
    }
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).expect("at most a day")
}

fn headers(pairs: &BTreeMap<String, String>) -> HeaderMap {
    let parsed = pairs.iter().map(|(name, value)| {
        let name = name.parse::<HeaderName>().expect("a header name");
        (name, HeaderValue::from_str(value).expect("a header value"))
    });
    parsed.collect()
}

fn fixtures() -> Vec<(String, Fixture)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/refusals");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory).expect("the fixture directory") {
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
