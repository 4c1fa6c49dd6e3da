//! The walls between the rooms: who may know whom, kept by reading the source.
//!
//! A failing test says where the wall was crossed and why it stands. Whoever moves a wall changes
//! the tables in this file and `ARCHITECTURE.md` together.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read the source has failed"
)]

#[path = "architecture/source.rs"]
mod source;
#[path = "architecture/walls.rs"]
mod walls;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use source::{Named, Token, named, tokens};

/// Code lines that a file may have, its tests not counted.
const LONGEST_FILE: usize = 400;

/// Tables that are read as one: a line for a case, in the order that they are asked.
const TABLES: &str = "domain/verdict/rules/";

/// Whom a room may know besides itself, and why no other. `room::part` is that part alone.
const ROOMS: [(&str, &[&str], &str); 15] = [
    (
        "domain",
        &[],
        "domain is pure: whoever needs it must not bring a database along",
    ),
    ("intake", &["domain"], EDGE),
    ("export", &["domain", "failpoint"], EDGE),
    ("store", &["domain", "failpoint"], EDGE),
    ("provider", &["domain"], EDGE),
    (
        "schema",
        &["domain"],
        "a schema judges texts: who asked for them and where they go is not its matter",
    ),
    ("simulator", &["domain"], EDGE),
    (
        "progress",
        &["domain", "clock"],
        "progress knows words and the present: what it shows comes as events",
    ),
    (
        "report",
        &["domain", "progress"],
        "a report is made of facts, in the words of progress; who reads the queue is cli",
    ),
    (
        "watch",
        &["domain", "progress"],
        "what is watched comes as values; who looks at the queue is cli",
    ),
    (
        "runner",
        &[
            "domain",
            "store",
            "provider",
            "schema",
            "progress::event",
            "clock",
            "failpoint",
        ],
        "the runner moves jobs between queue and provider; files, words and flags are for cli",
    ),
    (
        "clock",
        &["domain"],
        "the clock tells the time and nothing else",
    ),
    (
        "failpoint",
        &[],
        "a failpoint does what its name was told and knows nobody",
    ),
    (
        "cli",
        &[
            "domain",
            "intake",
            "export",
            "store",
            "provider",
            "schema",
            "simulator",
            "progress",
            "report",
            "watch",
            "runner",
            "clock",
            "failpoint",
        ],
        "cli puts all rooms together",
    ),
    (
        "main",
        &["cli"],
        "main parses, runs, prints the error and exits; all else is in cli",
    ),
];

const EDGE: &str =
    "an edge knows the domain only, so that it can be replaced alone; cli joins two edges";

/// Crates that belong to a room, and why.
const CRATES: [(&str, &[&str], &str); 15] = [
    ("sqlx", &["store"], "all SQL is in the store"),
    ("libsqlite3_sys", &["store"], "all SQL is in the store"),
    (
        "reqwest",
        &["provider"],
        "all requests leave through the provider's client",
    ),
    (
        "rustls",
        &["provider"],
        "all requests leave through the provider's client",
    ),
    (
        "jsonschema",
        &["schema"],
        "what a schema says is known in one place",
    ),
    ("hyper", &["simulator"], "only the simulator serves"),
    ("hyper_util", &["simulator"], "only the simulator serves"),
    (
        "http_body_util",
        &["simulator"],
        "only the simulator serves",
    ),
    (
        "clap",
        &["cli"],
        "flags are resolved in cli; the rooms take settings",
    ),
    (
        "anyhow",
        &["cli", "main"],
        "an edge has an error enum of its own",
    ),
    (
        "indicatif",
        &["progress"],
        "whether there is a bar is known in progress alone",
    ),
    (
        "ratatui",
        &["watch"],
        "whoever draws on the whole screen gives it back",
    ),
    (
        "csv",
        &["intake", "export"],
        "files are read by intake and written by export",
    ),
    (
        "minijinja",
        &["intake"],
        "templates are rendered before anything is queued",
    ),
    (
        "toml",
        &["cli"],
        "settings are resolved in cli; the rooms take them",
    ),
];

/// Crates that the domain may name, and the one part of it that may name one more.
const DOMAIN_CRATES: [&str; 1] = ["serde"];
const DOMAIN_EXCEPTION: (&str, &str) = ("domain/reply", "serde_json");

/// Names that say nothing about what a thing is for.
const EMPTY_WORDS: [&str; 4] = ["manager", "helper", "util", "common"];

/// A source file with its path below `src/`.
struct File {
    path: String,
    text: String,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many modules lie between the crate's root and the file's own module, that one counted.
    fn depth(&self) -> usize {
        let names = self.path.split('/').count();
        let is_root = matches!(self.path.as_str(), "lib.rs" | "main.rs");
        names - usize::from(self.path.ends_with("/mod.rs") || is_root)
    }

    fn crossing(&self, token: &Token, what: &str, why: &str) -> String {
        format!("src/{}:{}: {what}: {why}", self.path, token.line)
    }

    /// Returns the path below the crate's root; `None` for one that stays in its room or leaves
    /// the crate.
    fn below_root<'a>(&self, named: &'a Named) -> Option<&'a [String]> {
        let segments = &named.segments[..];
        match segments.first()?.as_str() {
            "crate" => Some(&segments[1..]),
            "promptmill" if self.room() == "main" => Some(&segments[1..]),
            "super" => {
                let climbed = segments
                    .iter()
                    .take_while(|segment| *segment == "super")
                    .count();
                (climbed >= self.depth() + named.token.inline).then(|| &segments[climbed..])
            }
            _ => None,
        }
    }
}

fn room_crossings(file: &File) -> Vec<String> {
    let room = file.room();
    if room == "lib" {
        return Vec::new();
    }
    let Some((_, allowed, why)) = ROOMS.iter().find(|(name, ..)| *name == room) else {
        let why = "every room has a wall; add it to ROOMS in tests/architecture.rs";
        return vec![format!("src/{}:1: unknown room `{room}`: {why}", file.path)];
    };
    let is_allowed = |named: &Named, path: &[String]| {
        let other = path.first().map_or("", String::as_str);
        let part = path.get(1).map_or("", String::as_str);
        other == room
            || (named.token.in_test && other == "simulator")
            || allowed
                .iter()
                .any(|allowed| *allowed == other || *allowed == format!("{other}::{part}"))
    };
    named(&tokens(&file.text))
        .iter()
        .filter_map(|named| Some((named, file.below_root(named)?)))
        .filter(|(named, path)| !is_allowed(named, path))
        .map(|(named, path)| {
            file.crossing(
                &named.token,
                &format!("{room} names `{}`", path.join("::")),
                why,
            )
        })
        .collect()
}

fn crate_crossings(file: &File, dependencies: &BTreeSet<String>) -> Vec<String> {
    let room = file.room();
    let why_not = |name: &str| -> Option<&str> {
        if room == "domain" && dependencies.contains(name) {
            let (part, one_more) = DOMAIN_EXCEPTION;
            let is_allowed =
                DOMAIN_CRATES.contains(&name) || (file.path.starts_with(part) && name == one_more);
            return (!is_allowed).then_some("domain uses the standard library and serde only");
        }
        let (_, rooms, why) = CRATES.iter().find(|(owned, ..)| *owned == name)?;
        (!rooms.contains(&room)).then_some(*why)
    };
    named(&tokens(&file.text))
        .iter()
        .filter(|named| !named.token.in_test)
        .filter_map(|named| {
            let name = named.segments.first()?;
            let why = why_not(name)?;
            Some(file.crossing(
                &named.token,
                &format!("{room} names the crate `{name}`"),
                why,
            ))
        })
        .collect()
}

fn clock_crossings(file: &File) -> Vec<String> {
    let why = "only src/clock.rs reads the clock; take `now` as an argument";
    tokens(&file.text)
        .iter()
        .filter(|token| token.text == "SystemTime" && !token.in_test && file.path != "clock.rs")
        .map(|token| file.crossing(token, "names `SystemTime`", why))
        .collect()
}

fn form_faults(file: &File) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault =
        |line: usize, what: &str| faults.push(format!("src/{}:{line}: {what}", file.path));
    if !file.text.starts_with("//!") {
        fault(
            1,
            "does not begin with `//!`: say what the room is for and where its border runs",
        );
    }
    let code = file
        .text
        .find("#[cfg(test)]\nmod ")
        .unwrap_or(file.text.len());
    let lines = file.text[..code].lines().count();
    if lines > LONGEST_FILE && !file.path.contains(TABLES) {
        fault(
            lines,
            &format!("has {lines} lines of code, over {LONGEST_FILE}: split it by what it does"),
        );
    }
    let tokens = tokens(&file.text);
    for pair in tokens.windows(2) {
        let declares = ["struct", "enum", "trait", "mod"].contains(&pair[0].text.as_str());
        let name = pair[1].text.to_lowercase();
        if let Some(word) = EMPTY_WORDS
            .iter()
            .find(|word| declares && name.contains(**word))
        {
            fault(
                pair[1].line,
                &format!(
                    "`{}` has `{word}` in its name: say what it does",
                    pair[1].text
                ),
            );
        }
    }
    let is_map = |token: &Token| is_name(&token.text) || token.text == ";";
    if file.path == "lib.rs"
        && let Some(token) = tokens.iter().find(|token| !is_map(token))
    {
        fault(
            token.line,
            &format!(
                "`{}`: lib.rs is the map of the modules and has no code",
                token.text
            ),
        );
    }
    faults
}

fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<File> {
    let source = root().join("src");
    let mut files = Vec::new();
    let mut directories = vec![source.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&source).unwrap().to_str().unwrap();
                files.push(File::new(name, &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(
        files.len() > 10,
        "the source was not found below {}",
        source.display()
    );
    files
}

/// Names the crates of `[dependencies]` as code does.
fn dependencies() -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let section = manifest.split("[dependencies]").nth(1).unwrap();
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let names = lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim());
    names
        .filter(|name| !name.starts_with('#'))
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[track_caller]
fn check(faults: impl Iterator<Item = String>) {
    let faults: BTreeSet<String> = faults.collect();
    assert!(
        faults.is_empty(),
        "\n\n{}\n",
        Vec::from_iter(faults).join("\n")
    );
}

#[test]
fn rooms_know_only_whom_they_may() {
    check(sources().iter().flat_map(room_crossings));
}

#[test]
fn crates_stay_in_their_rooms() {
    let dependencies = dependencies();
    assert!(
        dependencies.contains("serde_json"),
        "Cargo.toml was not read: {dependencies:?}"
    );
    check(
        sources()
            .iter()
            .flat_map(|file| crate_crossings(file, &dependencies)),
    );
}

#[test]
fn the_clock_is_read_in_one_place() {
    check(sources().iter().flat_map(clock_crossings));
}

#[test]
fn files_have_their_form() {
    check(sources().iter().flat_map(form_faults));
}
