//! Tests that the structure checks detect violations in source texts, and nothing else.

use super::items::{functions, structs};
use super::measure::test_lines;
use super::source::{code_lines, tokens};
use super::structure::Structure;
use super::violations::{
    cycle_violations, function_violations, impl_violations, module_style_violations,
    struct_violations,
};
use super::{File, MAX_FIELDS, MAX_FUNCTION_LINES};

fn files(sources: &[(&str, &str)]) -> Vec<File> {
    sources
        .iter()
        .map(|(path, text)| File::new(path, text))
        .collect()
}

/// Checks the dependencies in cycles of source texts.
#[track_caller]
fn check_cycles(sources: &[(&str, &str)], expected: &[&str]) {
    let files = files(sources);
    let found = cycle_violations(&Structure::new(&files)).concat();
    assert_eq!(found, expected, "{sources:?}");
}

#[test]
fn finds_cycles_in_every_notation() {
    let b = ("a/b.rs", "use super::c::C;\nstruct B;");
    let edge = "src/a/b.rs:1: uses a/c.rs";
    for text in [
        "use super::b::B; struct C;",
        "use crate::a::b::B; struct C;",
        "use crate::a::{b::{self, B}}; struct C;",
        "use super::b; struct C; fn f(_: b::B) {}",
        "struct C; fn f(_: super::b::B) {}",
        "use crate::a as x; struct C; fn f(_: x::b::B) {}",
        "use super::b::*; struct C;",
        "struct C; mod inner { use super::super::b::B; }",
        "use crate::a::B; struct C;",
        "struct C; macro_rules! m { () => { crate::a::b::B } }",
    ] {
        let root = ("lib.rs", "mod a;");
        let a = ("a/mod.rs", "mod b; mod c; pub(crate) use b::B;");
        check_cycles(
            &[root, a, b, ("a/c.rs", text)],
            &[edge, "src/a/c.rs:1: uses a/b.rs"],
        );
    }
    let a = ("a/mod.rs", "mod b;\nuse b::B; struct A;");
    let b = ("a/b.rs", "struct B(super::A);");
    check_cycles(
        &[a, b],
        &["src/a/mod.rs:2: uses a/b.rs", "src/a/b.rs:1: uses a/mod.rs"],
    );
}

#[test]
fn finds_no_cycle_without_one() {
    let b = ("a/b.rs", "use super::c::C;\nstruct B;");
    for text in [
        "struct C;",
        "//! See [`super::b::B`].\nstruct C; const X: &str = \"super::b::B\";",
        "struct C; #[cfg(test)] mod tests { use super::super::b::B; }",
        "struct C; use std::b::B;",
    ] {
        check_cycles(&[("a/mod.rs", "mod b; mod c;"), b, ("a/c.rs", text)], &[]);
    }
    // A re-export is no dependency, unless the module uses the name itself.
    let b = ("a/b.rs", "struct B(super::A);");
    check_cycles(&[("a/mod.rs", "mod b; pub use b::B; struct A;"), b], &[]);
    let a = ("a/mod.rs", "mod b; pub use b::B; struct A; fn f(_: B) {}");
    check_cycles(
        &[a, b],
        &["src/a/mod.rs:1: uses a/b.rs", "src/a/b.rs:1: uses a/mod.rs"],
    );
    // A module for tests is not part of the program.
    let a = ("a/mod.rs", "#[cfg(test)] mod b; use b::B; struct A;");
    check_cycles(&[a, b], &[]);
    // Imports of each other that lead nowhere end.
    let a = (
        "a/mod.rs",
        "use b::X; use crate::a::Y; use crate::a::b::Y as Z;",
    );
    check_cycles(&[a, ("a/b.rs", "use super::X; use super::Z as Y;")], &[]);
}

#[test]
fn measures_functions() {
    let text = "fn a() {}\nfn b(x: [u8; 2])\nwhere\n T: X,\n{\n \"}\";\n r#\"}\"#; '}'; // }\n}\n\
                trait T { fn c(&self); fn d(&self) {\n } }\ntype F = fn(u8);\n\
                #[cfg(test)]\nmod tests { fn e() {\n\n } }";
    let found = functions(&tokens(text));
    let sizes: Vec<_> = found
        .iter()
        .map(|item| (item.name.as_str(), item.line, item.size))
        .collect();
    assert_eq!(sizes, [("a", 1, 1), ("b", 2, 7), ("d", 9, 2)]);
    let long = format!("fn f() {{{}}}", "\n".repeat(MAX_FUNCTION_LINES));
    let short = format!("fn f() {{{}}}", "\n".repeat(MAX_FUNCTION_LINES - 1));
    let files = files(&[("a.rs", &long), ("b.rs", &short)]);
    let found = function_violations(&Structure::new(&files));
    let size = MAX_FUNCTION_LINES + 1;
    assert_eq!(
        found,
        [format!("src/a.rs:1: `f` has {size} lines: divide it")]
    );
}

#[test]
fn counts_fields() {
    let text = "struct A;\nstruct B { a: u8, #[arg(long = \"x: y\", f = a::b)] pub(crate) b: Vec<(u8, u8)> }\n\
                struct C(u8, pub Map<u8, fn(u8, u8) -> Vec<u8>>, #[x] [u8; 2]);\n\
                struct D<T: X> where T: Y { x: Box<dyn Fn(T) -> T>, y: &'static str }\nstruct E {}\nstruct F();";
    let sizes: Vec<_> = structs(&tokens(text))
        .iter()
        .map(|item| item.size)
        .collect();
    assert_eq!(sizes, [0, 2, 3, 2, 0, 0]);
    let fields = |count: usize| "x: u8,".repeat(count);
    let text = format!(
        "struct A {{ {} }} struct B {{ {} }}",
        fields(MAX_FIELDS + 1),
        fields(MAX_FIELDS)
    );
    let files = files(&[("a.rs", &text)]);
    let found = struct_violations(&Structure::new(&files));
    let size = MAX_FIELDS + 1;
    assert_eq!(
        found,
        [format!("src/a.rs:1: `A` has {size} fields: divide it")]
    );
}

#[test]
fn finds_types_with_methods_in_several_files() {
    let a = (
        "a.rs",
        "pub struct A<'a, T>(&'a T); impl<'a, T: Fn() -> u8> A<'a, T> {} struct B;",
    );
    let scattered = "src/a.rs:1: `a::A` has `impl` blocks in a.rs, b.rs: move them to one file";
    for (text, expected) in [
        ("use crate::a::A; impl A<'_, u8> {}", true),
        (
            "#[expect(x)]\nimpl<T> crate::a::A<'_, T> where T: X {}",
            true,
        ),
        ("use crate::a::A; impl Iterator for A<'_, u8> {}", false),
        (
            "use crate::a::A; impl<T> x::From<A<'_, T>> for u8 {}",
            false,
        ),
        ("struct A; impl A {}", false),
        ("fn f(_: impl A) -> impl A {}", false),
        (
            "#[cfg(test)] mod tests { use crate::a::A; impl A<'_, u8> {} }",
            false,
        ),
    ] {
        let files = files(&[a, ("b.rs", text)]);
        let found = impl_violations(&Structure::new(&files));
        assert_eq!(found, [scattered][..usize::from(expected)], "{text}");
    }
}

#[test]
fn finds_a_file_beside_its_directory() {
    let files = files(&[("a.rs", ""), ("a/b.rs", ""), ("c/mod.rs", "")]);
    let found = module_style_violations(&files, |path| ["a", "c"].contains(&path));
    assert_eq!(found, ["src/a.rs:1: move it to a/mod.rs"]);
}

#[test]
fn counts_lines_of_code_and_of_tests() {
    let text = "//! A.\n\n/* b\n*/ let x = \"\n\n// no comment\"; // c\n#[cfg(test)]\nmod tests {\n\n    fn f() {}\n}\nx";
    assert_eq!(
        Vec::from_iter(code_lines(text)),
        [4, 5, 6, 7, 8, 10, 11, 12]
    );
    let files = files(&[("a.rs", text)]);
    let structure = Structure::new(&files);
    assert_eq!(
        Vec::from_iter(test_lines(&structure.files[0])),
        [7, 8, 9, 10, 11]
    );
}
