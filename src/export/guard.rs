//! Keeps a spreadsheet from running a cell as a formula.
//!
//! Quoting does not help: a spreadsheet takes the quotes off and then looks at the first
//! character. So a text cell that starts like a formula gets an apostrophe in front. That changes
//! the text, and cannot be undone for sure; whoever feeds a program asks for raw cells instead.

use std::borrow::Cow;

/// Returns the text as it may stand in a cell: with an apostrophe in front when a spreadsheet
/// would run it, and with U+FFFD for every NUL, at which some programs end the text.
///
/// What starts a formula is `=`, `+`, `-`, `@`, their full-width forms, tab, CR and LF. A plain
/// number (`-5`, `+3.5`, `-1e9`) is left alone: it is shown, not run.
pub(super) fn guard(text: &str) -> Cow<'_, str> {
    let runs = starts_formula(text) && !is_number(text);
    let has_nul = text.as_bytes().contains(&0);
    match (runs, has_nul) {
        (false, false) => Cow::Borrowed(text),
        (false, true) => Cow::Owned(text.replace('\0', "\u{fffd}")),
        (true, false) => Cow::Owned(format!("'{text}")),
        (true, true) => Cow::Owned(format!("'{}", text.replace('\0', "\u{fffd}"))),
    }
}

fn starts_formula(text: &str) -> bool {
    match text.as_bytes().first() {
        Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r' | b'\n') => true,
        Some(0xEF) => text.starts_with(['＝', '＋', '－', '＠']),
        _ => false,
    }
}

/// Tells whether the text is a sign, digits, at most one point and at most one exponent.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_digits = !(whole.is_empty() && fraction.is_empty());
    has_digits
        && all_digits(whole)
        && all_digits(fraction)
        && exponent.is_none_or(|digits| {
            let digits = digits.strip_prefix(['+', '-']).unwrap_or(digits);
            !digits.is_empty() && all_digits(digits)
        })
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: &str) {
        assert_eq!(guard(input), expected, "{input:?}");
    }

    #[test]
    fn what_starts_a_formula_gets_an_apostrophe() {
        check("=1+1", "'=1+1");
        check("+1+1", "'+1+1");
        check("-2+3+cmd|' /C calc'!A0", "'-2+3+cmd|' /C calc'!A0");
        check("@SUM(A1)", "'@SUM(A1)");
        check("\t=1", "'\t=1");
        check("\r=1", "'\r=1");
        check("\n=1", "'\n=1");
        check("＝1+1", "'＝1+1");
        check("＋1", "'＋1");
        check("－1", "'－1");
        check("＠A1", "'＠A1");
        check("- a list item", "'- a list item");
        check("-", "'-");
    }

    #[test]
    fn a_number_is_not_run() {
        for number in ["-5", "+3.5", "-0.25", "-.5", "-1e9", "+2.5E-3", "5", "1e+6"] {
            check(number, number);
        }
        for formula in [
            "-5-5", "+", "-.", "-e5", "-1e", "+1.2.3", "-1e5e5", "=5", "-٣",
        ] {
            check(formula, &format!("'{formula}"));
        }
    }

    #[test]
    fn other_text_is_left_alone_and_not_copied() {
        for text in ["", "a=b", " =1", "'=1", "中文", "ｆｕｌｌ", "a\r\nb"] {
            assert!(
                matches!(guard(text), Cow::Borrowed(same) if same == text),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_nul_becomes_the_replacement_character() {
        check("a\0b", "a\u{fffd}b");
        check("=\0", "'=\u{fffd}");
    }
}
