//! Text styles: the ANSI escape sequences of the progress bar and the summary.

use std::fmt;

/// Styles text if color is enabled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    /// Whether to write escape sequences.
    pub color: bool,
}

/// Text with an optional style.
pub(super) struct Styled<T> {
    code: Option<&'static str>,
    text: T,
}

impl Palette {
    pub(super) fn success<T>(self, text: T) -> Styled<T> {
        self.style("\u{1b}[1;32m", text)
    }

    pub(super) fn warning<T>(self, text: T) -> Styled<T> {
        self.style("\u{1b}[1;33m", text)
    }

    pub(super) fn error<T>(self, text: T) -> Styled<T> {
        self.style("\u{1b}[1;31m", text)
    }

    pub(super) fn bold<T>(self, text: T) -> Styled<T> {
        self.style("\u{1b}[1m", text)
    }

    pub(super) fn dim<T>(self, text: T) -> Styled<T> {
        self.style("\u{1b}[2m", text)
    }

    fn style<T>(self, code: &'static str, text: T) -> Styled<T> {
        Styled {
            code: self.color.then_some(code),
            text,
        }
    }
}

impl<T: fmt::Display> fmt::Display for Styled<T> {
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
    fn without_color_no_escape_sequences_are_written() {
        let plain = Palette { color: false };
        let (a, b, c) = (plain.success("a"), plain.error("b"), plain.dim("c"));
        assert_eq!(format!("{a}{b}{c}"), "abc");
        let colored = Palette { color: true }.warning("x");
        assert_eq!(colored.to_string(), "\u{1b}[1;33mx\u{1b}[0m");
    }
}
