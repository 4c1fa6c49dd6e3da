//! Escaping of external text for the terminal.
//!
//! Provider messages, key labels and file names can contain escape sequences, control characters,
//! line breaks, and bidirectional or invisible characters. All of these characters are escaped, not
//! only known sequences: a list of sequences is never complete.

use std::fmt;

/// Displays external text on one line, with control characters (C0, DEL, C1), bidirectional marks,
/// zero-width and other invisible characters escaped.
#[derive(Clone, Copy, Debug)]
pub struct Safe<'a>(pub &'a str);

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plain = 0;
        for (at, unsafe_char) in self.0.char_indices().filter(|(_, c)| is_unsafe(*c)) {
            f.write_str(&self.0[plain..at])?;
            write!(f, "{}", unsafe_char.escape_default())?;
            plain = at + unsafe_char.len_utf8();
        }
        f.write_str(&self.0[plain..])
    }
}

/// Displays at most the given number of characters, escaped like [`Safe`], followed by `…` if the
/// text is longer.
#[derive(Clone, Copy, Debug)]
pub struct Truncated<'a>(pub &'a str, pub usize);

impl fmt::Display for Truncated<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(self.1) {
            Some((end, _)) => write!(f, "{}…", Safe(&self.0[..end])),
            None => Safe(self.0).fmt(f),
        }
    }
}

fn is_unsafe(c: char) -> bool {
    matches!(c,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        // Bidirectional marks, embeddings, overrides and isolates.
        | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        // Zero-width and other invisible characters.
        | '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{feff}'
        // Line and paragraph separators, and tag characters.
        | '\u{2028}' | '\u{2029}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: &str) {
        assert_eq!(Safe(input).to_string(), expected);
    }

    #[test]
    fn control_and_invisible_characters_are_escaped() {
        check("\u{1b}[31mred\u{1b}[0m", "\\u{1b}[31mred\\u{1b}[0m");
        check("\u{1b}]52;c;aGk=\u{7}", "\\u{1b}]52;c;aGk=\\u{7}");
        check("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}");
        check("a\r\nb\tc", "a\\r\\nb\\tc");
        check("abc\u{202e}fdp", "abc\\u{202e}fdp");
        check("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}");
        check("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}");
        check("\u{e0041}", "\\u{e0041}");
        check("\0", "\\u{0}");
    }

    #[test]
    fn visible_text_in_any_language_is_unchanged() {
        for text in [
            "",
            "plain",
            "免费API限制使用",
            "שלום",
            "naïve — “quoted” 😀",
            "\\u{1b}",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn text_is_truncated_between_characters() {
        assert_eq!(Truncated("免费API", 2).to_string(), "免费…");
        assert_eq!(Truncated("免费API", 5).to_string(), "免费API");
        assert_eq!(Truncated("a\u{7}bc", 2).to_string(), "a\\u{7}…");
        assert_eq!(Truncated("", 0).to_string(), "");
    }
}
