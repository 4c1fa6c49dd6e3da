//! Text that is not ours, in HTML: the one place through which it goes into a page.

use std::fmt;

use crate::progress::safe::Safe;

/// Shows a text inside an element or a quoted attribute: what HTML would act on is written as a
/// reference, what is no visible character by its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Html<'a>(pub(super) &'a str);

impl fmt::Display for Html<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Safe(self.0).to_string();
        let mut plain = 0;
        for (at, sign) in text.match_indices(['&', '<', '>', '"', '\'']) {
            let reference = match sign {
                "&" => "&amp;",
                "<" => "&lt;",
                ">" => "&gt;",
                "\"" => "&quot;",
                _ => "&#39;",
            };
            f.write_str(&text[plain..at])?;
            f.write_str(reference)?;
            plain = at + sign.len();
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
    fn nothing_in_a_text_is_markup() {
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
