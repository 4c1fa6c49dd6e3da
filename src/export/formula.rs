//! Prevents spreadsheets from executing cells as formulas (CSV injection).
//!
//! Quoting does not help: a spreadsheet removes the quotes and then examines the first character.
//! So a cell that starts like a formula gets a leading apostrophe. This cannot be undone reliably;
//! programs that read the file should use raw cells instead.

use std::borrow::Cow;

/// Escapes the text of a cell: adds an apostrophe to formulas, and replaces NUL with U+FFFD, because
/// some programs truncate text at NUL.
///
/// Formulas start with `=`, `+`, `-`, `@`, their full-width forms, tab, CR or LF. Plain numbers
/// (`-5`, `+3.5`, `-1e9`) are not formulas.
pub(super) fn escape_formula(text: &str) -> Cow<'_, str> {
    let is_formula = starts_formula(text) && !is_number(text);
    let has_nul = text.as_bytes().contains(&0);
    match (is_formula, has_nul) {
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

/// Returns whether the text is a number with an optional sign, decimal point and exponent.
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
        assert_eq!(escape_formula(input), expected, "{input:?}");
    }

    #[test]
    fn formulas_get_an_apostrophe() {
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
    fn numbers_are_unchanged() {
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
    fn other_text_is_unchanged_and_not_copied() {
        for text in ["", "a=b", " =1", "'=1", "中文", "ｆｕｌｌ", "a\r\nb"] {
            assert!(
                matches!(escape_formula(text), Cow::Borrowed(same) if same == text),
                "{text:?}"
            );
        }
    }

    #[test]
    fn nul_becomes_the_replacement_character() {
        check("a\0b", "a\u{fffd}b");
        check("=\0", "'=\u{fffd}");
    }
}
