//! Finds functions, structs, and inherent `impl` blocks with their sizes.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Token;
use super::structure::{Parsed, Structure};

/// A function or struct.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its name.
    pub name: String,
    /// Its first line.
    pub line: usize,
    /// Number of lines of a function, or of fields of a struct.
    pub size: usize,
}

/// Returns the functions of a file that are not tests, with their lines.
pub(crate) fn functions(tokens: &[Token]) -> Vec<Item> {
    let measure = |at: usize, name: &str| {
        let start = body(tokens, at)?;
        (tokens[start].text == "{").then(|| Item {
            name: name.to_owned(),
            line: tokens[at].line,
            size: tokens[close(tokens, start)].line - tokens[at].line + 1,
        })
    };
    declarations(tokens, "fn", measure)
}

/// Returns the structs of a file that are not for tests, with their fields.
pub(crate) fn structs(tokens: &[Token]) -> Vec<Item> {
    let measure = |at: usize, name: &str| {
        Some(Item {
            name: name.to_owned(),
            line: tokens[at].line,
            size: fields(tokens, at),
        })
    };
    declarations(tokens, "struct", measure)
}

fn declarations(
    tokens: &[Token],
    keyword: &str,
    measure: impl Fn(usize, &str) -> Option<Item>,
) -> Vec<Item> {
    let is_declaration = |at: &usize| tokens[*at].text == keyword && !tokens[*at].in_test;
    let found = (0..tokens.len()).filter(is_declaration);
    let named = found.filter_map(|at| {
        let name = &tokens.get(at + 1)?.text;
        let is_name = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
        is_name.then(|| measure(at, name))?
    });
    named.collect()
}

/// Returns the index of the `{` or `;` after the signature that starts at `at`.
fn body(tokens: &[Token], at: usize) -> Option<usize> {
    let mut depth = 0;
    (at..tokens.len()).find(|at| {
        let text = tokens[*at].text.as_str();
        depth += i32::from(text == "(" || text == "[") - i32::from(text == ")" || text == "]");
        depth == 0 && (text == "{" || text == ";")
    })
}

/// Returns the index of the bracket that closes the one at `open`.
fn close(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    let closes = |at: &usize| {
        let text = tokens[*at].text.as_str();
        depth += i32::from(matches!(text, "{" | "(" | "["));
        depth -= i32::from(matches!(text, "}" | ")" | "]"));
        depth == 0
    };
    (open..tokens.len())
        .find(closes)
        .unwrap_or(tokens.len() - 1)
}

/// Counts the fields of the struct that is declared at `at`.
fn fields(tokens: &[Token], at: usize) -> usize {
    let opens = |token: &Token| matches!(token.text.as_str(), "{" | "(" | ";");
    let Some(open) = (at..tokens.len()).find(|at| opens(&tokens[*at])) else {
        return 0;
    };
    if tokens[open].text == ";" {
        return 0;
    }
    let (mut depth, mut angles, mut fields) = (0, 0, 0);
    let is_tuple = tokens[open].text == "(";
    let mut is_item = false;
    for pair in tokens[open..=close(tokens, open)].windows(2) {
        let text = pair[0].text.as_str();
        match text {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            "<" => angles += 1,
            ">" => angles -= 1,
            "-" if pair[1].text == ">" => angles += 1,
            ":" if depth == 1 && !is_tuple => fields += 1,
            "," if depth == 1 && angles == 0 => is_item = false,
            _ if depth == 1 && is_tuple && !is_item => {
                fields += 1;
                is_item = true;
            }
            _ => {}
        }
    }
    fields
}

/// Returns the types with inherent `impl` blocks in several files: their names and the files.
pub(crate) fn scattered_types(structure: &Structure) -> Vec<(String, BTreeSet<String>)> {
    let mut found: BTreeMap<Vec<String>, BTreeSet<String>> = BTreeMap::new();
    for file in structure.files.iter().filter(|file| !file.is_test) {
        for (path, module) in inherent_impls(file) {
            let unknown = || (0, [&module[..], &path].concat());
            let (_, item) = structure.item(&module, &path).unwrap_or_else(unknown);
            let files = found.entry(item).or_default();
            files.insert(file.file.path.clone());
        }
    }
    let scattered = found.into_iter().filter(|(_, files)| files.len() > 1);
    scattered
        .map(|(item, files)| (item.join("::"), files))
        .collect()
}

/// Returns the types of the inherent `impl` blocks, and the modules that these are in.
fn inherent_impls(file: &Parsed) -> Vec<(Vec<String>, Vec<String>)> {
    let tokens = &file.tokens;
    let is_block = |at: &usize| {
        let before = at.checked_sub(1).map(|at| tokens[at].text.as_str());
        let starts = matches!(before, None | Some("}" | "{" | ";" | "]" | "unsafe"));
        tokens[*at].text == "impl" && starts && !tokens[*at].in_test
    };
    let blocks = (0..tokens.len()).filter(is_block);
    let typed = blocks.filter_map(|at| {
        let module = [&file.module[..], &tokens[at].modules].concat();
        Some((inherent_type(&tokens[at + 1..])?, module))
    });
    typed.collect()
}

/// Returns the type after `impl`; `None` if the block implements a trait.
fn inherent_type(tokens: &[Token]) -> Option<Vec<String>> {
    let (mut angles, mut path, mut is_path) = (0, Vec::new(), true);
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "<" => {
                angles += 1;
                is_path = path.is_empty();
            }
            ">" if at > 0 && tokens[at - 1].text != "-" => angles -= 1,
            "for" if angles == 0 && tokens[at + 1].text != "<" => return None,
            "{" | "where" if angles == 0 => break,
            "::" => {}
            name if angles == 0 && is_path => path.push(name.to_owned()),
            _ => {}
        }
    }
    Some(path)
}
