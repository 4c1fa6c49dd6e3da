//! Text that is broken at its words where a terminal ends, so that what is set in stays set in.

use super::frame::columns;

/// A narrower column of words than this is left as it is: the terminal breaks it no worse.
const NARROWEST: usize = 20;

/// Breaks a text at its spaces into lines of at most `width` columns, each but the first with
/// `indent` spaces before it, which count. A longer word has a line of its own. `None` breaks
/// nothing.
pub(super) fn wrap(text: &str, indent: usize, width: Option<usize>) -> String {
    let Some(room) = width.and_then(|width| width.checked_sub(indent)) else {
        return text.to_owned();
    };
    if room < NARROWEST || columns(text) <= room {
        return text.to_owned();
    }
    let (mut wrapped, mut used) = (String::new(), 0);
    for word in text.split(' ') {
        let wide = columns(word);
        if used > 0 && used + 1 + wide > room {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(indent));
            used = 0;
        } else if used > 0 {
            wrapped.push(' ');
            used += 1;
        }
        wrapped.push_str(word);
        used += wide;
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, indent: usize, width: Option<usize>, expected: &str) {
        assert_eq!(wrap(text, indent, width), expected);
    }

    #[test]
    fn words_go_to_the_next_line_under_the_first() {
        let text = "the request is longer than the model takes";
        check(
            text,
            4,
            Some(26),
            "the request is longer\n    than the model takes",
        );
        check(
            text,
            4,
            Some(25),
            "the request is longer\n    than the model takes",
        );
        check(
            text,
            4,
            Some(24),
            "the request is\n    longer than the\n    model takes",
        );
    }

    #[test]
    fn where_it_fits_or_nothing_is_known_it_stays() {
        for width in [None, Some(0), Some(3), Some(23), Some(46)] {
            check(
                "the request is longer than the model takes",
                4,
                width,
                "the request is longer than the model takes",
            );
        }
    }

    #[test]
    fn a_long_word_is_whole() {
        let path = "/a/very/long/path/to/some/file.csv";
        check(
            &format!("see {path} there"),
            2,
            Some(24),
            &format!("see\n  {path}\n  there"),
        );
    }
}
