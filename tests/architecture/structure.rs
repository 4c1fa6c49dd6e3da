//! Resolves the paths in the source to the files that define what they refer to, and finds cycles
//! between files.
//!
//! A `mod` declaration is not a dependency, nor is a re-export of a part of the module itself: a
//! path through a re-export leads to the file that defines the item.

use std::collections::{BTreeMap, BTreeSet};

use super::File;
use super::source::{SourcePath, Token, paths, tokens};

/// Maximum number of steps to resolve a path, so that cyclic imports end.
const MAX_STEPS: usize = 40;

/// Keywords that declare an item whose name follows.
const DECLARATIONS: [&str; 8] = [
    "fn", "struct", "enum", "trait", "type", "const", "static", "union",
];

/// A file with its tokens.
pub(crate) struct Parsed<'a> {
    /// The file.
    pub file: &'a File,
    /// All of its tokens.
    pub tokens: Vec<Token>,
    /// Path of its module below the crate root.
    pub module: Vec<String>,
    /// Whether it is only compiled for tests.
    pub is_test: bool,
}

/// The names in a module.
#[derive(Default)]
struct Module {
    /// Index of the file.
    file: usize,
    items: BTreeSet<String>,
    /// Imported names, and the paths that they refer to.
    imports: BTreeMap<String, Vec<String>>,
    /// Paths of glob imports.
    globs: Vec<Vec<String>>,
}

/// What a path refers to.
enum Target {
    Module(Vec<String>),
    /// An item: the index of its file, and its path.
    Item(usize, Vec<String>),
}

/// All files with their modules and dependencies.
pub(crate) struct Structure<'a> {
    /// The files, in the order given.
    pub files: Vec<Parsed<'a>>,
    modules: BTreeMap<Vec<String>, Module>,
}

impl<'a> Structure<'a> {
    /// Parses all files.
    pub(crate) fn new(files: &'a [File]) -> Self {
        let parse = |file: &'a File| Parsed {
            file,
            tokens: tokens(&file.text),
            module: module_path(&file.path),
            is_test: false,
        };
        let mut parsed: Vec<Parsed> = files.iter().map(parse).collect();
        let test_modules: Vec<Vec<String>> = parsed.iter().flat_map(test_modules).collect();
        for file in &mut parsed {
            file.is_test = test_modules
                .iter()
                .any(|module| file.module.starts_with(module));
        }
        let mut structure = Self {
            files: Vec::new(),
            modules: BTreeMap::new(),
        };
        for (at, file) in parsed.iter().enumerate().filter(|(_, file)| !file.is_test) {
            structure.add(at, file);
        }
        structure.files = parsed;
        structure
    }

    fn add(&mut self, at: usize, file: &Parsed) {
        let module = |token: &Token| [&file.module[..], &token.modules].concat();
        let new = || Module {
            file: at,
            ..Module::default()
        };
        self.modules.entry(file.module.clone()).or_insert_with(new);
        let code = |token: &&Token| !token.in_test && token.nesting == 0;
        for (token, name) in file.tokens.iter().zip(file.tokens.iter().skip(1)) {
            let entry = self.modules.entry(module(token)).or_insert_with(new);
            let declares = DECLARATIONS.contains(&token.text.as_str());
            if code(&token) && declares && !DECLARATIONS.contains(&name.text.as_str()) {
                entry.items.insert(name.text.clone());
            }
        }
        let uses = paths(&file.tokens).into_iter().filter(|path| path.is_use);
        for path in uses.filter(|path| !path.token.in_test) {
            let entry = self.modules.entry(module(&path.token)).or_insert_with(new);
            match path.segments.last().map(String::as_str) {
                Some("*") => entry.globs.push(target_path(&path)),
                _ => drop(entry.imports.insert(local_name(&path), target_path(&path))),
            }
        }
    }

    /// Returns the files that each file depends on, with the first line that does.
    pub(crate) fn dependencies(&self) -> Vec<BTreeMap<usize, usize>> {
        let of = |at: usize| {
            let file = &self.files[at];
            let mut found = BTreeMap::new();
            let code = paths(&file.tokens);
            let code = code.iter().filter(|path| !path.token.in_test);
            for path in code.filter(|_| !file.is_test) {
                let dependency = self.dependency(at, path);
                if let Some(other) = dependency.filter(|other| *other != at) {
                    found.entry(other).or_insert(path.token.line);
                }
            }
            found
        };
        (0..self.files.len()).map(of).collect()
    }

    fn dependency(&self, at: usize, path: &SourcePath) -> Option<usize> {
        let file = &self.files[at];
        let module = [&file.module[..], &path.token.modules].concat();
        match self.resolve(&module, &target_path(path), 0)? {
            Target::Item(other, _) => {
                let is_below = self.files[other].module.starts_with(&file.module);
                let is_reexport = is_below && is_public_use(&file.tokens, path);
                let is_used = !is_reexport || is_mentioned(&file.tokens, &local_name(path));
                is_used.then_some(other)
            }
            Target::Module(module) => {
                let is_glob = path.segments.last().is_some_and(|last| last == "*");
                is_glob.then(|| self.modules[&module].file)
            }
        }
    }

    /// Returns the path of the type that a path refers to, and the index of its file.
    pub(crate) fn item(&self, from: &[String], path: &[String]) -> Option<(usize, Vec<String>)> {
        match self.resolve(from, path, 0)? {
            Target::Item(file, item) => Some((file, item)),
            Target::Module(_) => None,
        }
    }

    /// Resolves a path as written in a module.
    fn resolve(&self, from: &[String], path: &[String], steps: usize) -> Option<Target> {
        match path.first()?.as_str() {
            "crate" | "promptmill" => self.member(&[], &path[1..], steps),
            _ => self.member(from, path, steps),
        }
    }

    fn member(&self, module: &[String], path: &[String], steps: usize) -> Option<Target> {
        let Some((name, rest)) = path.split_first() else {
            return Some(Target::Module(module.to_vec()));
        };
        match name.as_str() {
            _ if steps == MAX_STEPS => return None,
            "self" => return self.member(module, rest, steps + 1),
            "super" => return self.member(module.split_last()?.1, rest, steps + 1),
            _ => {}
        }
        let below = [module, std::slice::from_ref(name)].concat();
        if !rest.is_empty() && self.modules.contains_key(&below) {
            return self.member(&below, rest, steps + 1);
        }
        let found = self.modules.get(module)?;
        if found.items.contains(name) {
            return Some(Target::Item(found.file, below));
        }
        if let Some(import) = found.imports.get(name) {
            // An import such as `use csv;` refers to a crate.
            let is_itself = import.len() == 1 && import[0] == *name;
            let target = (!is_itself).then(|| self.resolve(module, import, steps + 1));
            match target.flatten() {
                Some(Target::Module(other)) => return self.member(&other, rest, steps + 1),
                Some(item) => return Some(item),
                None => {}
            }
        }
        if self.modules.contains_key(&below) {
            return Some(Target::Module(below));
        }
        found
            .globs
            .iter()
            .find_map(|glob| match self.resolve(module, glob, steps + 1)? {
                Target::Module(other) => self.member(&other, path, steps + 1),
                Target::Item(..) => None,
            })
    }

    /// Lists the files of a cycle.
    pub(crate) fn names(&self, cycle: &[usize]) -> String {
        let names = cycle.iter().map(|at| self.files[*at].file.path.as_str());
        names.collect::<Vec<_>>().join(", ")
    }

    /// Returns the cycles between files: sets of files that all depend on each other, directly or
    /// indirectly.
    pub(crate) fn cycles(&self) -> Vec<Vec<usize>> {
        let dependencies = self.dependencies();
        let reachable = |from: usize| {
            let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
            while let Some(at) = next.pop() {
                let new = dependencies[at]
                    .keys()
                    .filter(|other| reached.insert(**other));
                next.extend(new.copied().collect::<Vec<_>>());
            }
            reached
        };
        let reached: Vec<_> = (0..self.files.len()).map(reachable).collect();
        let component = |from: usize| {
            let members = reached[from].iter().copied();
            members
                .filter(|other| reached[*other].contains(&from))
                .collect::<Vec<_>>()
        };
        let components = (0..self.files.len()).map(component);
        let cycles: BTreeSet<_> = components.filter(|members| members.len() > 1).collect();
        cycles.into_iter().collect()
    }
}

/// Returns the path of the module in a file: `export/csv.rs` is `["export", "csv"]`.
fn module_path(path: &str) -> Vec<String> {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    let names = path.split('/').filter(|_| path != "lib");
    names.map(str::to_owned).collect()
}

/// Returns the modules in files of their own that a file declares for tests only.
fn test_modules(file: &Parsed) -> Vec<Vec<String>> {
    let declares =
        |triple: &&[Token]| triple[0].text == "mod" && triple[2].text == ";" && triple[0].in_test;
    let declarations = file.tokens.windows(3).filter(declares);
    let name = |triple: &[Token]| [&file.module[..], &[triple[1].text.clone()]].concat();
    declarations.map(name).collect()
}

/// Returns the name that a `use` declaration introduces.
fn local_name(path: &SourcePath) -> String {
    let last = || target_path(path).pop().unwrap_or_default();
    path.alias.clone().unwrap_or_else(last)
}

/// Returns the path without a final `*` or `self`.
fn target_path(path: &SourcePath) -> Vec<String> {
    match path.segments.split_last() {
        Some((last, rest)) if !rest.is_empty() && (last == "*" || last == "self") => rest.to_vec(),
        _ => path.segments.clone(),
    }
}

fn is_public_use(tokens: &[Token], path: &SourcePath) -> bool {
    let before = path.at.checked_sub(2).map(|at| tokens[at].text.as_str());
    path.is_use && matches!(before, Some("pub" | ")"))
}

/// Returns whether code uses a name, apart from the declaration that imports it.
fn is_mentioned(tokens: &[Token], name: &str) -> bool {
    let code = tokens.iter().filter(|token| !token.in_test);
    code.filter(|token| token.text == name).count() > 1
}
