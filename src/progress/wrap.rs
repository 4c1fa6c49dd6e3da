//! Word wrapping with a hanging indent.

use unicode_width::UnicodeWidthStr;

/// Minimum width for wrapping; in less space, the terminal breaks lines just as well.
const MIN_WIDTH: usize = 20;

/// Wraps text at spaces into lines of at most `width` columns, including the `indent` of all lines
/// but the first, which the caller has already indented. Longer words are not split. `None`
/// disables wrapping.
pub(super) fn wrap(text: &str, indent: usize, width: Option<usize>) -> String {
    let Some(available) = width.and_then(|width| width.checked_sub(indent)) else {
        return text.to_owned();
    };
    if available < MIN_WIDTH || text.width() <= available {
        return text.to_owned();
    }
    let (mut wrapped, mut used) = (String::new(), 0);
    for word in text.split(' ') {
        let word_width = word.width();
        if used > 0 && used + 1 + word_width > available {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(indent));
            used = 0;
        } else if used > 0 {
            wrapped.push(' ');
            used += 1;
        }
        wrapped.push_str(word);
        used += word_width;
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "the request is longer than the model limit";

    #[track_caller]
    fn check(text: &str, width: Option<usize>, expected: &[&str]) {
        assert_eq!(wrap(text, 4, width), expected.join("\n    "));
    }

    #[test]
    fn continuation_lines_are_indented() {
        let two_lines = ["the request is longer", "than the model limit"];
        check(TEXT, Some(26), &two_lines);
        check(TEXT, Some(25), &two_lines);
        let three_lines = ["the request is", "longer than the", "model limit"];
        check(TEXT, Some(24), &three_lines);
    }

    #[test]
    fn short_text_and_narrow_or_unknown_widths_are_not_wrapped() {
        for width in [None, Some(0), Some(3), Some(23), Some(46)] {
            check(TEXT, width, &[TEXT]);
        }
    }

    #[test]
    fn long_words_are_not_split() {
        let path = "/a/very/long/path/to/some/file.csv";
        let text = format!("see {path} there");
        check(&text, Some(26), &["see", path, "there"]);
    }
}
