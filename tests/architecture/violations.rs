//! Checks the structure: cycles between files, sizes of functions and structs, `impl` blocks, and
//! the module style.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::items::{Item, functions, scattered_types, structs};
use super::structure::Structure;
use super::{File, MAX_FIELDS, MAX_FUNCTION_LINES, check, root, sources};

/// Returns the structure of the source of this crate.
pub(crate) fn source_structure() -> &'static Structure<'static> {
    static FILES: LazyLock<Vec<File>> = LazyLock::new(sources);
    static STRUCTURE: LazyLock<Structure> = LazyLock::new(|| Structure::new(&FILES));
    &STRUCTURE
}

/// Paths whose known violations are still to be removed. Empty these lists; never add to them.
mod unfinished {
    pub(super) const CYCLES: &[&str] = &[];
    pub(super) const STYLE: &[&str] = &[];
    pub(super) const FUNCTIONS: &[&str] = &[];
    pub(super) const FIELDS: &[&str] = &[];
    pub(super) const IMPLS: &[&str] = &[];
}

/// Returns the cycles between files, and a dependency of each.
pub(crate) fn cycle_violations(structure: &Structure) -> Vec<Vec<String>> {
    let dependencies = structure.dependencies();
    let describe = |cycle: Vec<usize>| {
        let name = |at: usize| &structure.files[at].file.path;
        let edges = cycle.iter().flat_map(|from| {
            let inside = dependencies[*from].iter();
            let inside = inside.filter(|(to, _)| cycle.contains(to));
            inside.map(|(to, line)| format!("src/{}:{line}: uses {}", name(*from), name(*to)))
        });
        edges.collect()
    };
    structure.cycles().into_iter().map(describe).collect()
}

/// Returns the files beside a directory of the same name.
pub(crate) fn module_style_violations(
    files: &[File],
    is_directory: impl Fn(&str) -> bool,
) -> Vec<String> {
    let stems = files
        .iter()
        .filter_map(|file| file.path.strip_suffix(".rs"));
    stems
        .filter(|stem| is_directory(stem))
        .map(|stem| format!("src/{stem}.rs:1: move it to {stem}/mod.rs"))
        .collect()
}

/// Returns the functions with too many lines.
pub(crate) fn function_violations(structure: &Structure) -> Vec<String> {
    let is_long = |item: &Item| item.size > MAX_FUNCTION_LINES;
    item_violations(structure, functions, is_long, "lines")
}

/// Returns the structs with too many fields.
pub(crate) fn struct_violations(structure: &Structure) -> Vec<String> {
    let is_large = |item: &Item| item.size > MAX_FIELDS;
    item_violations(structure, structs, is_large, "fields")
}

fn item_violations(
    structure: &Structure,
    find: fn(&[super::Token]) -> Vec<Item>,
    is_wrong: fn(&Item) -> bool,
    unit: &str,
) -> Vec<String> {
    let code = structure.files.iter().filter(|file| !file.is_test);
    let found = code.flat_map(|file| {
        let wrong = find(&file.tokens).into_iter().filter(is_wrong);
        let path = &file.file.path;
        wrong.map(move |Item { name, line, size }| {
            format!("src/{path}:{line}: `{name}` has {size} {unit}: divide it")
        })
    });
    found.collect()
}

/// Returns the types with inherent `impl` blocks in several files.
pub(crate) fn impl_violations(structure: &Structure) -> Vec<String> {
    let describe = |(name, files): (String, BTreeSet<String>)| {
        let (first, others) = (files.first().cloned(), Vec::from_iter(files).join(", "));
        let first = first.unwrap_or_default();
        format!("src/{first}:1: `{name}` has `impl` blocks in {others}: move them to one file")
    };
    let scattered = scattered_types(structure).into_iter();
    scattered.map(describe).collect()
}

/// Fails if there are violations in finished files, or if a list of unfinished files is too long.
#[track_caller]
fn check_finished(violations: Vec<String>, unfinished: &[&str]) {
    let is_in = |violation: &str, start: &str| violation.starts_with(&format!("src/{start}"));
    let finished = |violation: &String| !unfinished.iter().any(|start| is_in(violation, start));
    let is_obsolete = |start: &&&str| !violations.iter().any(|violation| is_in(violation, start));
    let obsolete: Vec<_> = unfinished.iter().filter(is_obsolete).collect();
    assert!(
        obsolete.is_empty(),
        "remove from the list of unfinished paths: {obsolete:?}"
    );
    check(violations.into_iter().filter(finished));
}

#[test]
fn files_do_not_depend_on_each_other_in_cycles() {
    let cycles = cycle_violations(source_structure());
    check_finished(cycles.concat(), unfinished::CYCLES);
}

#[test]
fn modules_with_parts_are_in_a_directory() {
    let is_directory = |path: &str| root().join("src").join(path).is_dir();
    let found = module_style_violations(&sources(), is_directory);
    check_finished(found, unfinished::STYLE);
}

#[test]
fn functions_are_short() {
    check_finished(
        function_violations(source_structure()),
        unfinished::FUNCTIONS,
    );
}

#[test]
fn structs_have_few_fields() {
    check_finished(struct_violations(source_structure()), unfinished::FIELDS);
}

#[test]
fn the_methods_of_a_type_are_in_one_file() {
    check_finished(impl_violations(source_structure()), unfinished::IMPLS);
}
