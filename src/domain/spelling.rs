//! Near misses of model names: which known name was meant, and what differs. Names only; where the
//! known ones come from is the caller's affair.

/// How many changed letters still make a near miss, for each eight letters of the name.
const EDITS_PER_EIGHT: usize = 2;

/// The longest name that is compared letter by letter, in characters.
const LONGEST: usize = 128;

/// What a name has in front of or behind it at some providers: `gpt-4o-mini-ca` is a cheaper
/// `gpt-4o-mini` at `ChatAnywhere`, and Ollama lists each model with its tag.
const SUFFIXES: [&str; 2] = ["-ca", ":latest"];

/// A known name that may have been meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near<'a> {
    /// The known name.
    pub name: &'a str,
    /// What differs.
    pub difference: Difference,
}

/// What differs between a name and the one that was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Upper and lower case.
    Case,
    /// A character that only looks like the right one, or is not seen at all.
    Character(char),
    /// A suffix that only one of the two has.
    Suffix(&'static str),
    /// The maker in front of it, as in `openai/gpt-4o`, that only one of the two has.
    Maker,
    /// Some letters.
    Letters,
}

/// Returns the known name that was most likely meant by a name that is not known.
#[must_use]
pub fn nearest<'a>(name: &str, known: &'a [String]) -> Option<Near<'a>> {
    let same_but = |fold: &dyn Fn(&str) -> String| {
        let folded = fold(name);
        let mut known = known.iter().map(String::as_str);
        known.find(|known| fold(known) == folded)
    };
    if let Some(name) = same_but(&str::to_lowercase) {
        let difference = Difference::Case;
        return Some(Near { name, difference });
    }
    if let Some(odd) = name.chars().find(|c| is_odd(*c))
        && let Some(name) = same_but(&plain)
    {
        let difference = Difference::Character(odd);
        return Some(Near { name, difference });
    }
    for suffix in SUFFIXES {
        if let Some(name) = same_but(&|name| without_suffix(&plain(name), suffix)) {
            let difference = Difference::Suffix(suffix);
            return Some(Near { name, difference });
        }
    }
    if let Some(name) = same_but(&|name| without_maker(&plain(name))) {
        let difference = Difference::Maker;
        return Some(Near { name, difference });
    }
    by_letters(&plain(name), known)
}

/// Returns whether a list knows a name; a tag `:latest` need not be written.
#[must_use]
pub fn knows(known: &[String], name: &str) -> bool {
    known
        .iter()
        .any(|known| known == name || known.strip_suffix(":latest") == Some(name))
}

fn by_letters<'a>(name: &str, known: &'a [String]) -> Option<Near<'a>> {
    let allowed = (name.chars().count() * EDITS_PER_EIGHT).div_ceil(8).max(1);
    let near = known.iter().filter_map(|known| {
        let edits = distance(name, &plain(known));
        (edits <= allowed).then_some((edits, known))
    });
    // The first of equals is taken: providers list what they recommend first.
    let (_, name) = near.min_by_key(|(edits, _)| *edits)?;
    let difference = Difference::Letters;
    Some(Near { name, difference })
}

/// Writes a name as a keyboard would: lower case, plain hyphens, nothing that is not seen.
fn plain(name: &str) -> String {
    let visible = name.chars().filter(|c| !is_unseen(*c));
    visible
        .flat_map(|c| keyboard(c).to_lowercase())
        .collect::<String>()
}

fn is_odd(c: char) -> bool {
    is_unseen(c) || keyboard(c) != c
}

/// Spaces of all kinds, and characters without width.
fn is_unseen(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'
        )
}

/// The character of the keyboard that another one looks like: hyphens and dashes of text
/// processors, and the full-width forms of Chinese input.
fn keyboard(c: char) -> char {
    match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' => '-',
        '\u{3002}' => '.',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        other => other,
    }
}

fn without_suffix(name: &str, suffix: &str) -> String {
    name.strip_suffix(suffix).unwrap_or(name).to_owned()
}

fn without_maker(name: &str) -> String {
    name.rsplit('/').next().unwrap_or(name).to_owned()
}

/// The fewest letters to add, to drop, to change or to swap with the next one.
fn distance(one: &str, other: &str) -> usize {
    let one: Vec<char> = one.chars().take(LONGEST).collect();
    let other: Vec<char> = other.chars().take(LONGEST).collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, against) in other.iter().enumerate() {
            let changed = last[column] + usize::from(letter != against);
            let mut fewest = changed.min(last[column + 1] + 1).min(line[column] + 1);
            let swapped =
                row > 0 && column > 0 && one[row - 1] == *against && other[column - 1] == *letter;
            if swapped {
                fewest = fewest.min(before_last[column - 1] + 1);
            }
            line.push(fewest);
        }
        before_last = std::mem::replace(&mut last, line);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 7] = [
        "gpt-4o",
        "gpt-4o-mini",
        "gpt-4.1-nano",
        "deepseek-v3",
        "gpt-5-nano-ca",
        "qwen/qwen3-8b",
        "llama3.2:latest",
    ];

    fn list() -> Vec<String> {
        KNOWN.map(str::to_owned).to_vec()
    }

    #[track_caller]
    fn check(name: &str, expected: Option<(&str, Difference)>) {
        let known = list();
        let found = nearest(name, &known).map(|near| (near.name, near.difference));
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn the_name_that_was_meant_is_found_with_what_differs() {
        use Difference::{Case, Character, Letters, Maker, Suffix};
        check("GPT-4o-mini", Some(("gpt-4o-mini", Case)));
        check(
            "gpt\u{2011}4o\u{2011}mini",
            Some(("gpt-4o-mini", Character('\u{2011}'))),
        );
        check(
            "GPT\u{2013}4o-Mini",
            Some(("gpt-4o-mini", Character('\u{2013}'))),
        );
        check("gpt-4o-mini ", Some(("gpt-4o-mini", Character(' '))));
        check("gpt-4o\u{200b}", Some(("gpt-4o", Character('\u{200b}'))));
        check("ｇpt-4o", Some(("gpt-4o", Character('ｇ'))));
        check("gpt-4o-mini-ca", Some(("gpt-4o-mini", Suffix("-ca"))));
        check("gpt-5-nano", Some(("gpt-5-nano-ca", Suffix("-ca"))));
        check("openai/gpt-4o", Some(("gpt-4o", Maker)));
        check("qwen3-8b", Some(("qwen/qwen3-8b", Maker)));
        check("gpt-4o-mni", Some(("gpt-4o-mini", Letters)));
        check("gtp-4o", Some(("gpt-4o", Letters)));
        check("gpt4o", Some(("gpt-4o", Letters)));
        check("deepseekv3", Some(("deepseek-v3", Letters)));
    }

    #[test]
    fn another_model_is_no_near_miss() {
        check("claude-sonnet-4", None);
        check("mistral", None);
        check("o1", None);
        check("", None);
        assert_eq!(nearest("gpt-4o", &[]), None);
    }

    #[test]
    fn a_list_knows_exact_names_and_leaves_out_the_latest_tag() {
        assert!(knows(&list(), "gpt-4o"));
        assert!(knows(&list(), "llama3.2"));
        assert!(!knows(&list(), "GPT-4o"));
        assert!(!knows(&list(), "gpt-5-nano"));
    }

    #[test]
    fn distances_count_single_changes() {
        for (one, other, edits) in [
            ("", "", 0),
            ("abc", "", 3),
            ("abc", "abd", 1),
            ("abc", "acb", 1),
            ("abc", "xabc", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), edits, "{one} {other}");
            assert_eq!(distance(other, one), edits, "{other} {one}");
        }
    }
}
