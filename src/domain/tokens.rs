//! How many tokens a text has, told from its characters alone: no tokenizer knows every model, and a
//! guess that costs nothing can be made for each of a million rows.
//!
//! Measured against the tokenizer of GPT-4o and its successors (`o200k_base`) over 30 languages, code,
//! tables and noise: between 26 % too few and 16 % too many. Older tokenizers need up to half as much
//! again for Latin scripts, and several times as much for scripts that they were not made for.

/// Parts of a token that the weights below are written in.
const TOKEN: u64 = 20;

/// Tokens that a message costs beside its text: its role and the marks around it.
const PER_MESSAGE: u64 = 4;

/// Tokens that a request costs beside its messages: the start of the answer.
const PER_REQUEST: u64 = 3;

/// Tokens of a picture of middling size; its bytes tell nothing.
const PER_PICTURE: u64 = 1_000;

/// Letters of a word that cost nothing beyond the word itself.
const FREE_LETTERS: u64 = 6;

/// The parts of a request that the model reads; all else only steers it.
const READ: [&str; 7] = [
    "messages",
    "input",
    "prompt",
    "tools",
    "functions",
    "response_format",
    "text",
];

/// Estimates the tokens of a text.
#[must_use]
pub fn estimate(text: &str) -> u64 {
    let mut counter = Counter::default();
    text.chars().for_each(|c| counter.add(c));
    counter.tokens()
}

/// Estimates the prompt tokens of a request body: a JSON object as it is sent. What is no JSON is
/// taken as a text.
#[must_use]
pub fn estimate_request(body: &str) -> u64 {
    let mut scan = Scan::default();
    let mut rest = body;
    while let Some(at) = rest.find(['"', '{', '}', '[', ']']) {
        let mark = rest.as_bytes()[at];
        rest = &rest[at + 1..];
        match mark {
            b'{' | b'[' => scan.depth += 1,
            b'}' | b']' => scan.depth = scan.depth.saturating_sub(1),
            _ => {
                let Some(end) = end_of_string(rest) else {
                    return estimate(body);
                };
                let text = &rest[..end];
                rest = &rest[end + 1..];
                scan.string(text, rest.trim_start().starts_with(':'));
            }
        }
    }
    if scan.depth > 0 || !scan.is_object {
        return estimate(body);
    }
    scan.tokens + PER_REQUEST
}

/// Returns the most tokens that a request body allows its answer, where it says so.
#[must_use]
pub fn most_completion(body: &str) -> Option<u64> {
    // A quote within a text of the body has a backslash before it, so only names are found.
    ["\"max_completion_tokens\":", "\"max_tokens\":"]
        .iter()
        .find_map(|name| {
            let rest = body[body.find(name)? + name.len()..].trim_start();
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            rest[..end].parse().ok()
        })
}

/// A walk through a request's JSON, from string to string.
#[derive(Default)]
struct Scan {
    depth: usize,
    is_object: bool,
    is_read: bool,
    is_role: bool,
    tokens: u64,
}

impl Scan {
    fn string(&mut self, text: &str, is_name: bool) {
        if is_name && self.depth == 1 {
            self.is_object = true;
            self.is_read = READ.contains(&text);
        }
        let is_role = is_name && text == "role";
        if self.is_read && is_role {
            self.tokens += PER_MESSAGE;
        }
        let is_frame = is_name && ["role", "content", "type"].contains(&text);
        if self.is_read && self.depth >= 1 && !is_frame && !self.is_role {
            self.tokens += match text {
                _ if is_name && self.depth == 1 => 0,
                picture if picture.starts_with("data:image/") => PER_PICTURE,
                text => estimate_escaped(text),
            };
        }
        self.is_role = is_role;
    }
}

/// Returns where a JSON string ends, from behind its first quote.
fn end_of_string(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find(['"', '\\'])?;
        if text.as_bytes()[at] == b'"' {
            return Some(at);
        }
        // Two bytes behind a backslash is never inside a character: what is escaped is ASCII.
        from = at + 2;
        if !text.is_char_boundary(from) || from > text.len() {
            return None;
        }
    }
}

/// Estimates the tokens of a JSON string's inside.
fn estimate_escaped(text: &str) -> u64 {
    if !text.contains('\\') {
        return estimate(text);
    }
    let mut counter = Counter::default();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            counter.add(c);
            continue;
        }
        match chars.next() {
            Some('n' | 'r') => counter.add('\n'),
            Some('t' | 'b' | 'f') => counter.add('\t'),
            Some('u') => {
                let code = (0..4).try_fold(0, |code, _| {
                    Some(code * 16 + chars.next().and_then(|c| c.to_digit(16))?)
                });
                counter.add(code.and_then(char::from_u32).unwrap_or('\u{fffd}'));
            }
            Some(other) => counter.add(other),
            None => {}
        }
    }
    counter.tokens()
}

/// What a character is to a tokenizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Start,
    Small,
    Capital,
    /// A letter with an accent.
    Accented,
    Digit,
    Blank,
    LineEnd,
    Mark,
    /// Of another script: counted one by one.
    Other,
}

impl Kind {
    fn of(c: char) -> Self {
        match c {
            'a'..='z' => Self::Small,
            'A'..='Z' => Self::Capital,
            '0'..='9' => Self::Digit,
            '\n' | '\r' => Self::LineEnd,
            ' ' | '\t' | '\u{b}' | '\u{c}' => Self::Blank,
            '\0'..='\u{7f}' => Self::Mark,
            '\u{80}'..='\u{2ff}' | '\u{1e00}'..='\u{1eff}' => Self::Accented,
            _ => Self::Other,
        }
    }

    fn is_letter(self) -> bool {
        matches!(self, Self::Small | Self::Capital | Self::Accented)
    }
}

/// Adds up characters. A tokenizer splits a text into words, numbers of three digits, marks and line
/// ends, and a word into the more pieces the longer and rarer it is.
#[derive(Default)]
struct Counter {
    weight: u64,
    before: Kind,
    /// Characters of this kind in a row.
    run: u64,
}

impl Counter {
    #[expect(
        clippy::match_same_arms,
        reason = "one kind after another, as a reader looks for them"
    )]
    fn add(&mut self, c: char) {
        let kind = Kind::of(c);
        let (before, word) = (self.before, self.before.is_letter());
        let goes_on = match kind {
            Kind::Small | Kind::Accented => word,
            Kind::Capital => before == Kind::Capital,
            _ => before == kind,
        };
        self.run = if goes_on { self.run + 1 } else { 1 };
        self.weight += match kind {
            Kind::Small if !goes_on => TOKEN,
            Kind::Small if self.run > FREE_LETTERS => 4,
            Kind::Capital if goes_on => 4,
            Kind::Capital => TOKEN,
            Kind::Accented if goes_on => 15,
            Kind::Accented => TOKEN + 15,
            Kind::Digit if goes_on && self.run % 3 != 1 => 0,
            // A blank before a number is a token of its own; before a word it belongs to the word.
            Kind::Digit if before == Kind::Blank => 2 * TOKEN,
            Kind::Digit => TOKEN,
            Kind::Blank if self.run == 2 => TOKEN,
            Kind::LineEnd if matches!(before, Kind::LineEnd | Kind::Blank) => 0,
            Kind::LineEnd if before == Kind::Mark => 6,
            Kind::LineEnd => TOKEN,
            Kind::Mark if goes_on => 8,
            Kind::Mark => 16,
            Kind::Other => weight_of(c),
            Kind::Small | Kind::Blank | Kind::Start => 0,
        };
        self.before = kind;
    }

    fn tokens(&self) -> u64 {
        self.weight.div_ceil(TOKEN)
    }
}

/// The weight of a character by its script.
fn weight_of(c: char) -> u64 {
    match c {
        // Cyrillic, Armenian; Devanagari; Georgian.
        '\u{400}'..='\u{58f}' | '\u{900}'..='\u{97f}' | '\u{10a0}'..='\u{10ff}' => 6,
        // Arabic; the other scripts of India.
        '\u{600}'..='\u{77f}' | '\u{980}'..='\u{dff}' => 7,
        // Greek; Hebrew.
        '\u{370}'..='\u{3ff}' | '\u{590}'..='\u{5ff}' => 8,
        // Thai and Lao.
        '\u{e00}'..='\u{eff}' => 9,
        // Burmese, Khmer.
        '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' => 12,
        // Chinese and Japanese marks, kana, Hangul, wide forms.
        '\u{3000}'..='\u{30ff}' | '\u{ac00}'..='\u{d7af}' | '\u{ff00}'..='\u{ffef}' => 14,
        // Dashes, quotes, signs.
        '\u{2000}'..='\u{2e7f}' => 15,
        // Chinese characters.
        '\u{3400}'..='\u{9fff}' => 17,
        // Combining marks.
        '\u{300}'..='\u{36f}' => TOKEN,
        // Emoji and rare Chinese characters.
        '\u{10000}'.. => 30,
        // Ethiopic and all that no tokenizer has learned: nearly a token for each byte.
        _ => 2 * TOKEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_of_an_answer_is_read_and_not_that_in_a_text() {
        let text = r#"{"messages":[{"content":"\\"max_tokens\\":9"}]}"#;
        assert_eq!(most_completion(text), None);
        assert_eq!(most_completion(r#"{"max_tokens": 20,"n":1}"#), Some(20));
        assert_eq!(most_completion(r#"{"max_completion_tokens":7}"#), Some(7));
        assert_eq!(most_completion(r#"{"max_tokens":null}"#), None);
    }

    /// A name, the tokens that `o200k_base` makes of a text, and the text as JSON.
    const MEASURED: &str = include_str!("tokens/measured.tsv");

    #[test]
    fn texts_of_all_kinds_are_told_within_the_range_that_is_stated() {
        let (mut estimated, mut counted) = (0, 0);
        for line in MEASURED.lines() {
            let mut cells = line.split('\t');
            let mut next = || cells.next().unwrap();
            let (name, tokens, json) = (next(), next().parse::<u64>().unwrap(), next());
            let found = estimate_escaped(&json[1..json.len() - 1]);
            let allowed = tokens * 7 / 10..=tokens * 13 / 10;
            assert!(allowed.contains(&found), "{name}: {found} for {tokens}");
            (estimated, counted) = (estimated + found, counted + tokens);
        }
        assert!(
            counted > 4_000 && estimated.abs_diff(counted) * 10 < counted,
            "{estimated} for {counted}"
        );
    }

    #[track_caller]
    fn check(body: &str, expected: u64) {
        assert_eq!(estimate_request(body), expected, "{body}");
    }

    #[test]
    fn of_a_request_only_what_the_model_reads_is_counted() {
        let bare =
            r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello world"}]}"#;
        check(bare, 2 + PER_MESSAGE + PER_REQUEST);
        let steered = r#"{"user":"somebody in particular","messages":[{"role":"user","content":"Hello world"}],"temperature":0.5,"stop":["a","b c d"]}"#;
        check(steered, 2 + PER_MESSAGE + PER_REQUEST);
        let two = r#"{"messages":[{"role":"system","content":"Hello"},{"role":"user","content":[{"type":"text","text":"Hello world"}]}]}"#;
        assert!(estimate_request(two) > 3 + 2 * PER_MESSAGE + PER_REQUEST);
        check(
            r#"{"model":"e","input":["Hello world","Hello"]}"#,
            3 + PER_REQUEST,
        );
    }

    #[test]
    fn escapes_are_the_characters_they_stand_for() {
        let request = |text: &str| {
            let text = serde_json::to_string(text).unwrap();
            format!(r#"{{"messages":[{{"role":"user","content":{text}}}]}}"#)
        };
        for text in ["say \"hi\"\n\nto\tme \\ you", "\u{1}a {b} [c]", "你好 👋"] {
            check(&request(text), estimate(text) + PER_MESSAGE + PER_REQUEST);
        }
    }

    #[test]
    fn a_picture_is_not_counted_by_its_bytes() {
        let body = format!(
            r#"{{"messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{}"}}}}]}}]}}"#,
            "iVBORw0KGgo".repeat(10_000)
        );
        let tokens = estimate_request(&body);
        assert!(
            (PER_PICTURE..PER_PICTURE + 40).contains(&tokens),
            "{tokens}"
        );
    }

    #[test]
    fn what_is_no_request_is_taken_as_a_text_and_harms_nobody() {
        for text in [
            "",
            "plain words",
            "{\"a",
            "\"\\",
            "[\"a\"]",
            "{\"a\":\"\\é\"}",
            "}]",
        ] {
            assert!(
                estimate_request(text) <= estimate(text).max(PER_REQUEST),
                "{text}"
            );
        }
    }
}
