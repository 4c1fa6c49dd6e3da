//! Checks the dependency tree of this platform against `deny.toml`: licenses, sources and banned
//! crates. It only needs cargo. `cargo deny` also checks advisories and the other platforms.

#![expect(
    clippy::unwrap_used,
    reason = "an unreadable dependency tree fails the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

/// Maximum number of crates in a release build. Lower it when a dependency is removed.
const MAX_CRATES: usize = 258;

#[derive(Deserialize)]
struct Rules {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Crate>,
    skip: Vec<Crate>,
}

#[derive(Deserialize)]
struct Crate {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    license: Option<String>,
}

fn rules() -> Rules {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Runs cargo and returns its output.
#[track_caller]
fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(args)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns all crates that are compiled on this platform, including those of tests.
fn packages() -> Vec<Package> {
    let version = cargo(&["-vV"]);
    let mut lines = version.lines();
    let host = lines.find_map(|line| line.strip_prefix("host: ")).unwrap();
    let mut args = vec!["metadata", "--locked", "--offline", "--format-version=1"];
    args.extend(["--filter-platform", host]);
    let metadata: Metadata = serde_json::from_str(&cargo(&args)).unwrap();
    metadata.packages
}

/// Returns the names and versions of the crates in a release build.
fn release_crates() -> BTreeSet<(String, String)> {
    let args = ["tree", "--locked", "--offline", "--edges=normal"];
    let listed = cargo(&[args.as_slice(), &["--prefix=none", "--format={p}"]].concat());
    let mut tree = BTreeSet::new();
    for line in listed.lines() {
        let mut words = line.split(' ');
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            tree.insert((name.to_owned(), version.to_owned()));
        }
    }
    tree
}

/// Returns whether a license expression can be satisfied with the allowed licenses. `/` is the old
/// notation for `OR`.
fn is_satisfied(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.replace('/', " OR ");
    let spaced = expression.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let (satisfied, rest) = parse_or(&words, allowed);
    satisfied && rest.is_empty()
}

fn parse_or<'a>(words: &'a [&'a str], allowed: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    let (mut satisfied, mut rest) = parse_and(words, allowed);
    while let ["OR", after @ ..] = rest {
        let (operand, remaining) = parse_and(after, allowed);
        (satisfied, rest) = (satisfied | operand, remaining);
    }
    (satisfied, rest)
}

fn parse_and<'a>(words: &'a [&'a str], allowed: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    let (mut satisfied, mut rest) = parse_operand(words, allowed);
    while let ["AND", after @ ..] = rest {
        let (operand, remaining) = parse_operand(after, allowed);
        (satisfied, rest) = (satisfied & operand, remaining);
    }
    (satisfied, rest)
}

fn parse_operand<'a>(words: &'a [&'a str], allowed: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    match words {
        ["(", inner @ ..] => match parse_or(inner, allowed) {
            (satisfied, [")", rest @ ..]) => (satisfied, rest),
            _ => (false, &[]),
        },
        [name, "WITH", exception, rest @ ..] => {
            (allowed.contains(&format!("{name} WITH {exception}")), rest)
        }
        [name, rest @ ..] => (allowed.contains(*name), rest),
        [] => (false, &[]),
    }
}

#[test]
fn every_license_is_allowed() {
    let allowed = rules().licenses.allow;
    let packages = packages();
    assert!(packages.len() > 100, "the dependency tree is incomplete");
    for package in packages {
        let license = package.license.unwrap_or_default();
        assert!(
            is_satisfied(&license, &allowed),
            "the license `{license}` of {} {} is not allowed by deny.toml",
            package.name,
            package.version
        );
    }
}

#[test]
fn parses_license_expressions() {
    let allowed = BTreeSet::from(["MIT", "ISC", "A WITH x"].map(str::to_owned));
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("(GPL-3.0 OR MIT) AND BSL-1.0", false),
        ("A WITH x", true),
        ("MIT WITH x", false),
        ("(MIT", false),
        ("MIT ISC", false),
        ("", false),
    ] {
        assert_eq!(is_satisfied(expression, &allowed), expected, "{expression}");
    }
}

#[test]
fn all_crates_come_from_an_allowed_registry() {
    let rules = rules();
    for package in packages() {
        let Some(source) = package.source else {
            assert_eq!(
                package.name,
                env!("CARGO_PKG_NAME"),
                "path dependencies are not allowed"
            );
            continue;
        };
        let registry = source.strip_prefix("registry+").unwrap_or(&source);
        let known = rules.sources.allow_registry.contains(registry);
        assert!(known, "{} comes from {source}", package.name);
    }
}

#[test]
fn no_banned_crate_is_used() {
    for banned in rules().bans.deny {
        let found = packages().iter().any(|package| package.name == banned.name);
        assert!(!found, "{}: {}", banned.name, banned.reason);
    }
}

#[test]
fn deny_toml_lists_all_duplicate_versions() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, version) in release_crates() {
        versions.entry(name).or_default().insert(version);
    }
    let duplicates = versions.into_iter().filter(|(_, found)| found.len() > 1);
    let duplicates: BTreeSet<_> = duplicates.map(|(name, _)| name).collect();
    let skipped = rules().bans.skip.into_iter().map(|skipped| {
        assert!(!skipped.reason.is_empty());
        skipped.name
    });
    let skipped: BTreeSet<_> = skipped.collect();
    assert_eq!(duplicates, skipped, "update `skip` in deny.toml");
}

#[test]
fn the_number_of_crates_is_limited() {
    let crates = release_crates().len();
    assert!(
        crates <= MAX_CRATES,
        "{crates} crates in a release build, at most {MAX_CRATES} allowed; can the new one be avoided?"
    );
}
