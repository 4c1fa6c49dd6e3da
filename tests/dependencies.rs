//! What may come in as a dependency: `deny.toml` is held to the tree of this platform, with nothing
//! but cargo, so that a licence, a source or a crate that is not wanted fails the tests at once.
//! `cargo deny` looks at all platforms, and for advisories too.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read the tree has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

/// Crates in the tree of a release build, none more: a new one is a decision. Lower it when one goes.
const BUDGET: usize = 255;

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

/// Runs cargo, and returns what it prints.
#[track_caller]
fn cargo(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(words)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// All crates that are compiled on this platform, those of tests too.
fn packages() -> Vec<Package> {
    let version = cargo(&["-vV"]);
    let mut lines = version.lines();
    let host = lines.find_map(|line| line.strip_prefix("host: ")).unwrap();
    let mut words = vec!["metadata", "--locked", "--offline", "--format-version=1"];
    words.extend(["--filter-platform", host]);
    let metadata: Metadata = serde_json::from_str(&cargo(&words)).unwrap();
    metadata.packages
}

/// The crates that the program itself is made of, as name and version.
fn own_tree() -> BTreeSet<(String, String)> {
    let words = ["tree", "--locked", "--offline", "--edges=normal"];
    let listed = cargo(&[words.as_slice(), &["--prefix=none", "--format={p}"]].concat());
    let mut tree = BTreeSet::new();
    for line in listed.lines() {
        let mut words = line.split(' ');
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            tree.insert((name.to_owned(), version.to_owned()));
        }
    }
    tree
}

/// Tells whether a licence expression can be kept with the licences that are allowed. `/` is the old
/// way to write `OR`.
fn is_kept(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.replace('/', " OR ");
    let spaced = expression.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let (kept, rest) = either(&words, allowed);
    kept && rest.is_empty()
}

fn either<'a>(words: &'a [&'a str], allowed: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    let (mut kept, mut rest) = both(words, allowed);
    while let ["OR", after @ ..] = rest {
        let (other, left) = both(after, allowed);
        (kept, rest) = (kept | other, left);
    }
    (kept, rest)
}

fn both<'a>(words: &'a [&'a str], allowed: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    let (mut kept, mut rest) = one(words, allowed);
    while let ["AND", after @ ..] = rest {
        let (other, left) = one(after, allowed);
        (kept, rest) = (kept & other, left);
    }
    (kept, rest)
}

fn one<'a>(words: &'a [&'a str], allowed: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    match words {
        ["(", inner @ ..] => match either(inner, allowed) {
            (kept, [")", rest @ ..]) => (kept, rest),
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
fn every_licence_asks_for_no_more_than_its_notice() {
    let allowed = rules().licenses.allow;
    let packages = packages();
    assert!(packages.len() > 100, "the tree was not read");
    for package in packages {
        let license = package.license.unwrap_or_default();
        let what = format!("{} {} is under `{license}`", package.name, package.version);
        assert!(is_kept(&license, &allowed), "{what}: see deny.toml");
    }
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = BTreeSet::from(["MIT", "ISC", "A WITH x"].map(str::to_owned));
    for (expression, kept) in [
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
        assert_eq!(is_kept(expression, &allowed), kept, "{expression}");
    }
}

#[test]
fn everything_comes_from_the_registry() {
    let rules = rules();
    for package in packages() {
        let Some(source) = package.source else {
            assert_eq!(package.name, env!("CARGO_PKG_NAME"), "a path is no source");
            continue;
        };
        let registry = source.strip_prefix("registry+").unwrap_or(&source);
        let known = rules.sources.allow_registry.contains(registry);
        assert!(known, "{} comes from {source}", package.name);
    }
}

#[test]
fn nothing_that_is_banned_is_there() {
    for banned in rules().bans.deny {
        let found = packages().iter().any(|package| package.name == banned.name);
        assert!(!found, "{}: {}", banned.name, banned.reason);
    }
}

#[test]
fn no_crate_is_there_twice_but_those_that_are_known() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, version) in own_tree() {
        versions.entry(name).or_default().insert(version);
    }
    let twice = versions.into_iter().filter(|(_, known)| known.len() > 1);
    let twice: BTreeSet<_> = twice.map(|(name, _)| name).collect();
    let skipped = rules().bans.skip.into_iter().map(|skipped| {
        assert!(!skipped.reason.is_empty());
        skipped.name
    });
    let skipped: BTreeSet<_> = skipped.collect();
    assert_eq!(twice, skipped, "deny.toml lists those that are there twice");
}

#[test]
fn the_tree_keeps_within_its_budget() {
    let crates = own_tree().len();
    assert!(
        crates <= BUDGET,
        "{crates} crates, {BUDGET} at most: is the new one worth it?"
    );
}
