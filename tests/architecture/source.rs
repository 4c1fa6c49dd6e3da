//! A minimal Rust tokenizer that finds the paths in a source file and whether they are in test
//! code. Comments and literals are skipped.

use std::collections::BTreeSet;

/// A token of a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// A word, `::`, or a single character.
    pub text: String,
    /// Line number, starting at 1.
    pub line: usize,
    /// Whether it is in an item with `#[cfg(test)]`.
    pub in_test: bool,
    /// Names of the enclosing inline modules.
    pub modules: Vec<String>,
    /// Number of enclosing braces that are not modules.
    pub nesting: usize,
}

/// A path in the source. A group in braces is expanded to one path per item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourcePath {
    /// The segments as written.
    pub segments: Vec<String>,
    /// The name after `as`, if there is one.
    pub alias: Option<String>,
    /// Whether it is in a `use` declaration.
    pub is_use: bool,
    /// The first token.
    pub token: Token,
    /// Index of the first token.
    pub at: usize,
}

/// Splits source into tokens.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let lexemes = lexemes(source).filter(|(_, _, kind)| *kind == Lexeme::Token);
    let mut tokens: Vec<Token> = lexemes
        .map(|(text, line, _)| Token {
            text: text.to_owned(),
            line,
            in_test: false,
            modules: Vec::new(),
            nesting: 0,
        })
        .collect();
    set_context(&mut tokens);
    tokens
}

/// Returns the numbers of the lines that are neither blank nor only a comment.
pub(crate) fn code_lines(source: &str) -> BTreeSet<usize> {
    lexemes(source)
        .filter(|(_, _, kind)| *kind != Lexeme::Blank)
        .flat_map(|(text, line, _)| line..=line + text.matches('\n').count())
        .collect()
}

/// The kind of a lexeme.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lexeme {
    Token,
    Literal,
    /// White space or a comment.
    Blank,
}

/// Returns the lexemes of a source text with their first lines.
fn lexemes(source: &str) -> impl Iterator<Item = (&str, usize, Lexeme)> {
    let (mut line, mut rest) = (1, source);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (length, kind) = next(rest);
        let text = &rest[..length];
        let lexeme = (text, line, kind);
        line += text.matches('\n').count();
        rest = &rest[length..];
        Some(lexeme)
    })
}

/// Returns the length of the next lexeme in bytes, and its kind.
fn next(rest: &str) -> (usize, Lexeme) {
    let first = rest.chars().next().expect("the rest is not empty");
    if rest.starts_with("//") {
        (rest.find('\n').unwrap_or(rest.len()), Lexeme::Blank)
    } else if rest.starts_with("/*") {
        (block_comment(rest), Lexeme::Blank)
    } else if let Some(length) = literal(rest) {
        (length, Lexeme::Literal)
    } else if first.is_alphanumeric() || first == '_' {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        (
            rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            Lexeme::Token,
        )
    } else if rest.starts_with("::") {
        (2, Lexeme::Token)
    } else {
        let blank = first.is_whitespace();
        let kind = if blank { Lexeme::Blank } else { Lexeme::Token };
        (first.len_utf8(), kind)
    }
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Returns the length of the string or character literal at the start, if there is one.
fn literal(rest: &str) -> Option<usize> {
    let start = rest.trim_start_matches(['b', 'c', 'r', '#']);
    let prefix = &rest[..rest.len() - start.len()];
    let hashes = prefix.matches('#').count();
    if start.starts_with('"') && (hashes == 0 || prefix.contains('r')) {
        if prefix.contains('r') {
            let end = format!("\"{}", "#".repeat(hashes));
            let length = start[1..]
                .find(&end)
                .map_or(start.len(), |at| 1 + at + end.len());
            return Some(prefix.len() + length);
        }
        return Some(prefix.len() + quoted(start, b'"'));
    }
    let is_character = |text: &str| {
        // A lifetime has no closing quote after its first character.
        let mut inner = text[1..].chars();
        inner
            .next()
            .is_some_and(|c| c == '\\' || inner.next() == Some('\''))
    };
    let quote = if prefix == "b" { start } else { rest };
    (quote.starts_with('\'') && is_character(quote))
        .then(|| rest.len() - quote.len() + quoted(quote, b'\''))
}

fn quoted(text: &str, end: u8) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != end {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// Sets the context of all tokens.
fn set_context(tokens: &mut [Token]) {
    // For each open brace: whether it encloses test code, and the module that it belongs to.
    let mut open: Vec<(bool, Option<String>)> = Vec::new();
    let (mut under_attribute, mut at) = (false, 0);
    while at < tokens.len() {
        let attribute = attribute_length(&tokens[at..]);
        under_attribute |= is_test_attribute(&tokens[at..at + attribute]);
        let in_test = under_attribute || open.iter().any(|(test, _)| *test);
        let modules = || open.iter().filter_map(|(_, module)| module.as_ref());
        for token in &mut tokens[at..at + attribute.max(1)] {
            token.in_test = in_test;
            token.nesting = open.len() - modules().count();
            token.modules.extend(modules().cloned());
        }
        if attribute > 0 {
            at += attribute;
            continue;
        }
        match tokens[at].text.as_str() {
            "{" => {
                let is_module = at >= 2 && tokens[at - 2].text == "mod";
                open.push((
                    under_attribute,
                    is_module.then(|| tokens[at - 1].text.clone()),
                ));
                under_attribute = false;
            }
            "}" => drop(open.pop()),
            ";" => under_attribute = false,
            _ => {}
        }
        at += 1;
    }
}

/// Returns the number of tokens of the attribute at the start; 0 if there is none.
fn attribute_length(tokens: &[Token]) -> usize {
    let mut texts = tokens.iter().map(|token| token.text.as_str());
    if (texts.next(), texts.next()) != (Some("#"), Some("[")) {
        return 0;
    }
    let mut depth = 1;
    let inner = texts.take_while(|text| {
        depth += i32::from(*text == "[") - i32::from(*text == "]");
        depth > 0
    });
    2 + inner.count() + 1
}

fn is_test_attribute(tokens: &[Token]) -> bool {
    let has = |word: &str| tokens.iter().any(|token| token.text == word);
    has("cfg") && has("test") && !has("not")
}

/// Finds all paths, including single names in a `use`.
pub(crate) fn paths(tokens: &[Token]) -> Vec<SourcePath> {
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
        let after_colons = at >= 2 && text(at - 1) == "::";
        let continues = after_colons && is_word(text(at - 2)) && !is_keyword(text(at - 2));
        let is_used = at >= 1 && text(at - 1) == "use" || after_colons && text(at - 2) == "use";
        if is_word(text(at)) && !continues && (text(at + 1) == "::" || is_used) {
            let mut paths = Vec::new();
            tree(tokens, at, &[], &mut paths);
            let path = |(segments, alias)| SourcePath {
                segments,
                alias,
                is_use: is_used,
                token: tokens[at].clone(),
                at,
            };
            found.extend(paths.into_iter().map(path));
        }
    }
    found
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Returns whether a word is a keyword that can precede a path that begins with `::`.
fn is_keyword(text: &str) -> bool {
    [
        "use", "as", "in", "return", "mut", "dyn", "impl", "for", "match", "if", "else",
    ]
    .contains(&text)
}

/// Collects the paths of the `use` tree at `at`, and returns the index after it.
fn tree(
    tokens: &[Token],
    at: usize,
    before: &[String],
    paths: &mut Vec<(Vec<String>, Option<String>)>,
) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let (mut path, mut at) = (before.to_vec(), at);
    loop {
        if text(at) == "{" {
            at += 1;
            while !matches!(text(at), "}" | "") {
                at = tree(tokens, at, &path, paths);
                while !matches!(text(at), "," | "}" | "") {
                    at += 1;
                }
                at += usize::from(text(at) == ",");
            }
            return at + 1;
        }
        path.push(text(at).to_owned());
        at += 1;
        let next = text(at + 1);
        if text(at) != "::" || !(is_word(next) || next == "{" || next == "*") {
            let alias = (text(at) == "as").then(|| next.to_owned());
            paths.push((path, alias));
            return at;
        }
        at += 1;
    }
}
