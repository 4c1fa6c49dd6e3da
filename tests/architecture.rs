//! Checks the module boundaries in the source: which modules and crates each module can use.
//!
//! A failing test reports the location and the reason for the boundary. If you change a boundary,
//! change the tables in this file and `ARCHITECTURE.md` together.

#![expect(
    clippy::unwrap_used,
    reason = "an unreadable source file fails the test"
)]

#[path = "architecture/boundaries.rs"]
mod boundaries;
#[path = "architecture/detection.rs"]
mod detection;
#[path = "architecture/items.rs"]
mod items;
#[path = "architecture/measure.rs"]
mod measure;
#[path = "architecture/source.rs"]
mod source;
#[path = "architecture/structure.rs"]
mod structure;
#[path = "architecture/violations.rs"]
mod violations;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use source::{SourcePath, Token, paths, tokens};

/// Maximum number of lines in a file, without its tests.
const MAX_FILE_LINES: usize = 400;

/// Maximum number of lines of a function, with its signature.
const MAX_FUNCTION_LINES: usize = 60;

/// Maximum number of fields of a struct.
const MAX_FIELDS: usize = 12;

/// Directory of the rule tables, which can be longer.
const RULE_TABLES: &str = "domain/verdict/rules/";

/// The other modules that each module can use, and the reason. `module::part` allows only that
/// part.
const MODULES: &[(&str, &[&str], &str)] = &[
    (
        "domain",
        &[],
        "domain is pure, so that it can be used without the other modules",
    ),
    (
        "api",
        &["domain"],
        "api is pure: it only knows the JSON of requests and responses",
    ),
    ("intake", &["domain", "api"], ADAPTER),
    ("export", &["domain", "api", "failpoint"], ADAPTER),
    ("store", &["domain", "api", "failpoint"], ADAPTER),
    ("provider", &["domain", "api"], ADAPTER),
    (
        "schema",
        &["domain", "api"],
        "schema validates text and knows neither requests nor storage",
    ),
    ("simulator", &["domain"], ADAPTER),
    (
        "progress",
        &["domain", "clock"],
        "progress receives everything that it shows as events",
    ),
    (
        "report",
        &["domain", "progress"],
        "report receives its data as values; cli reads the database",
    ),
    (
        "watch",
        &["domain", "progress"],
        "watch receives its data as values; cli reads the database",
    ),
    (
        "scheduler",
        &["domain", "progress::event"],
        "scheduler is pure: it decides from events and the time, and the engine acts",
    ),
    (
        "engine",
        &[
            "domain",
            "scheduler",
            "api",
            "store",
            "provider",
            "schema",
            "progress::event",
            "clock",
            "failpoint",
        ],
        "engine moves jobs between the store and the provider; cli handles files, output and flags",
    ),
    ("clock", &["domain"], "clock only returns the time"),
    (
        "failpoint",
        &[],
        "failpoint is independent of the code that it interrupts",
    ),
    (
        "exit",
        &["domain", "intake", "export", "store", "provider", "engine"],
        "exit maps the errors of all modules to exit codes",
    ),
    (
        "doctor",
        &[
            "domain", "api", "store", "provider", "progress", "clock", "exit",
        ],
        "doctor receives the settings as values; cli resolves them",
    ),
    (
        "cli",
        &[
            "doctor",
            "exit",
            "domain",
            "api",
            "intake",
            "export",
            "store",
            "provider",
            "schema",
            "simulator",
            "progress",
            "report",
            "watch",
            "scheduler",
            "engine",
            "clock",
            "failpoint",
        ],
        "cli connects all modules",
    ),
    ("main", &["cli"], "main only calls cli"),
];

const ADAPTER: &str = "an adapter only uses domain and api, so that it can be replaced independently; cli connects adapters";

/// Crates that only some modules can use, and the reason.
const CRATES: [(&str, &[&str], &str); 15] = [
    ("sqlx", &["store"], "all SQL is in the store"),
    ("libsqlite3_sys", &["store"], "all SQL is in the store"),
    (
        "reqwest",
        &["provider"],
        "all requests are sent by the provider's client",
    ),
    (
        "rustls",
        &["provider"],
        "all requests are sent by the provider's client",
    ),
    (
        "jsonschema",
        &["schema"],
        "schemas are only interpreted in schema",
    ),
    (
        "hyper",
        &["simulator"],
        "only the simulator runs an HTTP server",
    ),
    (
        "hyper_util",
        &["simulator"],
        "only the simulator runs an HTTP server",
    ),
    (
        "http_body_util",
        &["simulator"],
        "only the simulator runs an HTTP server",
    ),
    (
        "clap",
        &["cli"],
        "flags are resolved in cli; other modules receive values",
    ),
    (
        "anyhow",
        &["cli", "main"],
        "other modules have their own error enums",
    ),
    (
        "indicatif",
        &["progress"],
        "only progress draws a progress bar",
    ),
    (
        "ratatui",
        &["watch"],
        "only watch draws on the whole screen",
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
        "settings are resolved in cli; other modules receive values",
    ),
];

/// Modules that can use no other crates than these.
const PURE_MODULES: [(&str, &[&str]); 2] = [
    (
        "domain",
        &["serde", "jiff", "strsim", "base64", "percent_encoding"],
    ),
    ("api", &["serde", "serde_json"]),
];

/// Words that do not describe the purpose of a type or module.
const VAGUE_WORDS: [&str; 4] = ["manager", "helper", "util", "common"];

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

    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Returns the nesting depth of the file's module below the crate root.
    fn depth(&self) -> usize {
        let names = self.path.split('/').count();
        let is_root = matches!(self.path.as_str(), "lib.rs" | "main.rs");
        names - usize::from(self.path.ends_with("/mod.rs") || is_root)
    }

    fn violation(&self, token: &Token, what: &str, why: &str) -> String {
        format!("src/{}:{}: {what}: {why}", self.path, token.line)
    }

    /// Returns the path relative to the crate root; `None` if it stays in its module or is in
    /// another crate.
    fn below_root<'a>(&self, path: &'a SourcePath) -> Option<&'a [String]> {
        let segments = &path.segments[..];
        match segments.first()?.as_str() {
            "crate" => Some(&segments[1..]),
            "promptmill" if self.module() == "main" => Some(&segments[1..]),
            "super" => {
                let levels = segments
                    .iter()
                    .take_while(|segment| *segment == "super")
                    .count();
                (levels >= self.depth() + path.token.modules.len()).then(|| &segments[levels..])
            }
            _ => None,
        }
    }
}

fn module_violations(file: &File) -> Vec<String> {
    let module = file.module();
    if module == "lib" {
        return Vec::new();
    }
    let Some((_, allowed, why)) = MODULES.iter().find(|(name, ..)| *name == module) else {
        let why = "add it to MODULES in tests/architecture.rs";
        return vec![format!(
            "src/{}:1: unknown module `{module}`: {why}",
            file.path
        )];
    };
    let is_allowed = |token: &Token, path: &[String]| {
        let other = path.first().map_or("", String::as_str);
        let part = path.get(1).map_or("", String::as_str);
        other == module
            || (token.in_test && other == "simulator")
            || allowed
                .iter()
                .any(|allowed| *allowed == other || *allowed == format!("{other}::{part}"))
    };
    paths(&tokens(&file.text))
        .iter()
        .filter_map(|path| Some((&path.token, file.below_root(path)?)))
        .filter(|(token, path)| !is_allowed(token, path))
        .map(|(token, path)| {
            file.violation(token, &format!("{module} uses `{}`", path.join("::")), why)
        })
        .collect()
}

fn crate_violations(file: &File, dependencies: &BTreeSet<String>) -> Vec<String> {
    let module = file.module();
    let reason_against = |name: &str| -> Option<&str> {
        let pure = PURE_MODULES.iter().find(|(pure, _)| *pure == module);
        if let Some((_, allowed)) = pure.filter(|_| dependencies.contains(name)) {
            let is_allowed = allowed.contains(&name);
            return (!is_allowed).then_some("a pure module only uses the crates in PURE_MODULES");
        }
        let (_, modules, why) = CRATES.iter().find(|(owned, ..)| *owned == name)?;
        (!modules.contains(&module)).then_some(*why)
    };
    paths(&tokens(&file.text))
        .iter()
        .filter(|path| !path.token.in_test)
        .filter_map(|path| {
            let name = path.segments.first()?;
            let why = reason_against(name)?;
            Some(file.violation(
                &path.token,
                &format!("{module} uses the crate `{name}`"),
                why,
            ))
        })
        .collect()
}

fn clock_violations(file: &File) -> Vec<String> {
    let why = "only src/clock.rs reads the clock; pass `now` as an argument";
    tokens(&file.text)
        .iter()
        .filter(|token| token.text == "SystemTime" && !token.in_test && file.path != "clock.rs")
        .map(|token| file.violation(token, "uses `SystemTime`", why))
        .collect()
}

fn style_violations(file: &File) -> Vec<String> {
    let mut violations = Vec::new();
    let mut report =
        |line: usize, what: &str| violations.push(format!("src/{}:{line}: {what}", file.path));
    if !file.text.starts_with("//!") {
        report(
            1,
            "does not start with `//!`: describe the purpose of the module",
        );
    }
    let code = file
        .text
        .find("#[cfg(test)]\nmod ")
        .unwrap_or(file.text.len());
    let lines = file.text[..code].lines().count();
    if lines > MAX_FILE_LINES && !file.path.contains(RULE_TABLES) {
        report(
            lines,
            &format!("has {lines} lines, more than {MAX_FILE_LINES}: split it by responsibility"),
        );
    }
    let tokens = tokens(&file.text);
    for pair in tokens.windows(2) {
        let declares = ["struct", "enum", "trait", "mod"].contains(&pair[0].text.as_str());
        let name = pair[1].text.to_lowercase();
        if let Some(word) = VAGUE_WORDS
            .iter()
            .find(|word| declares && name.contains(**word))
        {
            report(
                pair[1].line,
                &format!(
                    "`{}` contains `{word}`: choose a name that describes its purpose",
                    pair[1].text
                ),
            );
        }
    }
    let is_declaration = |token: &Token| is_name(&token.text) || token.text == ";";
    if file.path == "lib.rs"
        && let Some(token) = tokens.iter().find(|token| !is_declaration(token))
    {
        report(
            token.line,
            &format!(
                "`{}`: lib.rs only declares modules and contains no code",
                token.text
            ),
        );
    }
    violations
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
        "source files not found in {}",
        source.display()
    );
    files
}

/// Returns the crates of `[dependencies]`, spelled as in code.
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
fn check(violations: impl Iterator<Item = String>) {
    let violations: BTreeSet<String> = violations.collect();
    assert!(
        violations.is_empty(),
        "\n\n{}\n",
        Vec::from_iter(violations).join("\n")
    );
}

#[test]
fn modules_only_use_allowed_modules() {
    check(sources().iter().flat_map(module_violations));
}

#[test]
fn crates_are_only_used_in_their_modules() {
    let dependencies = dependencies();
    assert!(
        dependencies.contains("serde_json"),
        "serde_json is missing: {dependencies:?}"
    );
    check(
        sources()
            .iter()
            .flat_map(|file| crate_violations(file, &dependencies)),
    );
}

#[test]
fn only_the_clock_module_reads_the_clock() {
    check(sources().iter().flat_map(clock_violations));
}

#[test]
fn files_follow_the_style() {
    check(sources().iter().flat_map(style_violations));
}
