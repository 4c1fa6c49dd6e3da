//! HTML escaping. All external text in the report passes through here.

use std::fmt;

use crate::progress::safe::Safe;

/// Displays text for use in an element or a quoted attribute. Markup and invisible characters are
/// escaped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Html<'a>(pub(super) &'a str);

impl fmt::Display for Html<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Safe(self.0).to_string();
        let mut plain = 0;
        for (at, character) in text.match_indices(['&', '<', '>', '"', '\'']) {
            let reference = match character {
                "&" => "&amp;",
                "<" => "&lt;",
                ">" => "&gt;",
                "\"" => "&quot;",
                _ => "&#39;",
            };
            f.write_str(&text[plain..at])?;
            f.write_str(reference)?;
            plain = at + character.len();
        }
        f.write_str(&text[plain..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(Html(text).to_string(), expected);
    }

    #[test]
    fn markup_and_invisible_characters_are_escaped() {
        check("jobs.csv", "jobs.csv");
        check(
            "<script>alert('&\"')</script>",
            "&lt;script&gt;alert(&#39;&amp;&quot;&#39;)&lt;/script&gt;",
        );
        check("&amp;", "&amp;amp;");
        check("日本 🎉", "日本 🎉");
        check("a\u{202e}b\u{0}\n", "a\\u{202e}b\\u{0}\\n");
    }
}
