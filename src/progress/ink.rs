//! Color, or none: the few escape sequences that the summary uses.

use std::fmt;

/// Colors text when it may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ink {
    /// Whether escape sequences may be written.
    pub color: bool,
}

/// A text in a color.
pub(super) struct Painted<T> {
    code: Option<&'static str>,
    text: T,
}

impl Ink {
    pub(super) fn good<T>(self, text: T) -> Painted<T> {
        self.paint("\u{1b}[1;32m", text)
    }

    pub(super) fn warn<T>(self, text: T) -> Painted<T> {
        self.paint("\u{1b}[1;33m", text)
    }

    pub(super) fn bad<T>(self, text: T) -> Painted<T> {
        self.paint("\u{1b}[1;31m", text)
    }

    pub(super) fn strong<T>(self, text: T) -> Painted<T> {
        self.paint("\u{1b}[1m", text)
    }

    pub(super) fn dim<T>(self, text: T) -> Painted<T> {
        self.paint("\u{1b}[2m", text)
    }

    fn paint<T>(self, code: &'static str, text: T) -> Painted<T> {
        Painted {
            code: self.color.then_some(code),
            text,
        }
    }
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "{code}{}\u{1b}[0m", self.text),
            None => self.text.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_color_there_is_no_escape_sequence() {
        let plain = Ink { color: false };
        let text = format!("{}{}{}", plain.good("a"), plain.bad("b"), plain.dim("c"));
        assert_eq!(text, "abc");
        assert_eq!(
            Ink { color: true }.warn("x").to_string(),
            "\u{1b}[1;33mx\u{1b}[0m"
        );
    }
}
