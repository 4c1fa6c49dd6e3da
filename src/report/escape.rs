//! HTML escaping. All external text in the report passes through here.

use std::fmt;

use crate::progress::safe::Safe;

/// Displays text for use in an element or a quoted attribute. Markup and invisible characters are
/// escaped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Html<'a>(pub(super) &'a str);

impl fmt::Display for Html<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const REFERENCES: [(char, &str); 5] = [
            // First, so that the other references are not escaped again.
            ('&', "&amp;"),
            ('<', "&lt;"),
            ('>', "&gt;"),
            ('"', "&quot;"),
            ('\'', "&#39;"),
        ];
        let text = Safe(self.0).to_string();
        let escape = |text: String, (c, reference): (char, &str)| text.replace(c, reference);
        f.write_str(&REFERENCES.into_iter().fold(text, escape))
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
