//! A minimal Rust tokenizer that finds the paths in a source file and whether they are in test
//! code. Comments and literals are skipped.

/// A token of a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// A word, `::`, or a single character.
    pub text: String,
    /// Line number, starting at 1.
    pub line: usize,
    /// Whether it is in an item with `#[cfg(test)]`.
    pub in_test: bool,
    /// Number of enclosing inline modules.
    pub inline: usize,
}

/// A path in the source. A group in braces is expanded to one path per item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourcePath {
    /// The segments as written.
    pub segments: Vec<String>,
    /// The first token.
    pub token: Token,
}

/// Splits source into tokens.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = source;
    while !rest.is_empty() {
        let (length, is_token) = next(rest);
        let text = &rest[..length];
        if is_token {
            let text = text.to_owned();
            tokens.push(Token {
                text,
                line,
                in_test: false,
                inline: 0,
            });
        }
        line += text.matches('\n').count();
        rest = &rest[length..];
    }
    set_context(&mut tokens);
    tokens
}

/// Returns the length of the next lexeme in bytes, and whether it is a token.
fn next(rest: &str) -> (usize, bool) {
    let first = rest.chars().next().expect("the rest is not empty");
    if rest.starts_with("//") {
        (rest.find('\n').unwrap_or(rest.len()), false)
    } else if rest.starts_with("/*") {
        (block_comment(rest), false)
    } else if let Some(length) = literal(rest) {
        (length, false)
    } else if first.is_alphanumeric() || first == '_' {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        (rest.find(|c| !is_word(c)).unwrap_or(rest.len()), true)
    } else if rest.starts_with("::") {
        (2, true)
    } else {
        (first.len_utf8(), !first.is_whitespace())
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

/// Sets `in_test` and `inline` of all tokens.
fn set_context(tokens: &mut [Token]) {
    // For each open brace: whether it encloses test code, and whether it belongs to a module.
    let mut open: Vec<(bool, bool)> = Vec::new();
    let (mut under_attribute, mut at) = (false, 0);
    while at < tokens.len() {
        let in_test = under_attribute || open.iter().any(|(test, _)| *test);
        let inline = open.iter().filter(|(_, module)| *module).count();
        let attribute = attribute_length(&tokens[at..]);
        for token in &mut tokens[at..at + attribute.max(1)] {
            (token.in_test, token.inline) = (in_test, inline);
        }
        if attribute > 0 {
            under_attribute |= is_test_attribute(&tokens[at..at + attribute]);
            at += attribute;
            continue;
        }
        match tokens[at].text.as_str() {
            "{" => {
                let module = at >= 2 && tokens[at - 2].text == "mod";
                open.push((under_attribute, module));
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
            let path = |segments| SourcePath {
                segments,
                token: tokens[at].clone(),
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
fn tree(tokens: &[Token], at: usize, before: &[String], paths: &mut Vec<Vec<String>>) -> usize {
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
            paths.push(path);
            return at;
        }
        at += 1;
    }
}
