//! Finds the known model name closest to a misspelled one, and how the two differ.

use strsim::osa_distance;

/// Number of edits allowed per eight characters of a name.
const EDITS_PER_EIGHT: usize = 2;

/// Maximum length of a name that is compared by edits, in bytes.
const MAX_COMPARED: usize = 128;

/// Suffixes that some providers append: `gpt-4o-mini-ca` is a cheaper `gpt-4o-mini` at
/// `ChatAnywhere`, and Ollama lists each model with its tag.
const SUFFIXES: [&str; 2] = ["-ca", ":latest"];

/// The known name closest to an unknown one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMatch<'a> {
    /// The known name.
    pub name: &'a str,
    /// How the two differ.
    pub difference: Difference,
}

/// How an unknown name differs from a known one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Only in case.
    Case,
    /// A look-alike or invisible character.
    Character(char),
    /// A suffix that only one of the names has.
    Suffix(&'static str),
    /// A vendor prefix, as in `openai/gpt-4o`, that only one of the names has.
    VendorPrefix,
    /// One or more letters.
    Letters,
}

/// Returns the known name closest to an unknown one, if any is close enough.
#[must_use]
pub fn nearest<'a>(name: &str, known: &'a [String]) -> Option<NearMatch<'a>> {
    let same_but = |fold: &dyn Fn(&str) -> String| {
        let folded = fold(name);
        let mut known = known.iter().map(String::as_str);
        known.find(|known| fold(known) == folded)
    };
    if let Some(name) = same_but(&str::to_lowercase) {
        let difference = Difference::Case;
        return Some(NearMatch { name, difference });
    }
    if let Some(unusual) = name.chars().find(|c| is_unusual(*c))
        && let Some(name) = same_but(&normalize)
    {
        let difference = Difference::Character(unusual);
        return Some(NearMatch { name, difference });
    }
    for suffix in SUFFIXES {
        if let Some(name) = same_but(&|name| without_suffix(&normalize(name), suffix)) {
            let difference = Difference::Suffix(suffix);
            return Some(NearMatch { name, difference });
        }
    }
    if let Some(name) = same_but(&|name| without_vendor(&normalize(name))) {
        let difference = Difference::VendorPrefix;
        return Some(NearMatch { name, difference });
    }
    nearest_by_edits(&normalize(name), known)
}

/// Returns whether a list contains a name; a `:latest` tag can be omitted.
#[must_use]
pub fn is_listed(known: &[String], name: &str) -> bool {
    known
        .iter()
        .any(|known| known == name || known.strip_suffix(":latest") == Some(name))
}

fn nearest_by_edits<'a>(name: &str, known: &'a [String]) -> Option<NearMatch<'a>> {
    let allowed = (name.chars().count() * EDITS_PER_EIGHT).div_ceil(8).max(1);
    let short = known.iter().filter(|known| known.len() <= MAX_COMPARED);
    let near = short.filter_map(|known| {
        let edits = osa_distance(name, &normalize(known));
        (edits <= allowed).then_some((edits, known))
    });
    // The first of equally close names wins: providers list recommended models first.
    let (_, name) = near.min_by_key(|(edits, _)| *edits)?;
    let difference = Difference::Letters;
    Some(NearMatch { name, difference })
}

/// Normalizes a name to characters on a keyboard: lowercase, plain hyphens, nothing invisible.
fn normalize(name: &str) -> String {
    let visible = name.chars().filter(|c| !is_invisible(*c));
    visible
        .flat_map(|c| to_keyboard_char(c).to_lowercase())
        .collect::<String>()
}

fn is_unusual(c: char) -> bool {
    is_invisible(c) || to_keyboard_char(c) != c
}

/// Returns whether a character is whitespace, a control character or of zero width.
fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'
        )
}

/// Maps look-alike characters to those of a keyboard: typographic hyphens and dashes, and the
/// full-width forms of Chinese input methods.
fn to_keyboard_char(c: char) -> char {
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

fn without_vendor(name: &str) -> String {
    name.rsplit('/').next().unwrap_or(name).to_owned()
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
    fn finds_the_nearest_name_and_the_difference() {
        use Difference::{Case, Character, Letters, Suffix, VendorPrefix};
        check("GPT-4o-mini", Some(("gpt-4o-mini", Case)));
        let hyphen = Character('\u{2011}');
        check("gpt\u{2011}4o\u{2011}mini", Some(("gpt-4o-mini", hyphen)));
        let dash = Character('\u{2013}');
        check("GPT\u{2013}4o-Mini", Some(("gpt-4o-mini", dash)));
        check("gpt-4o-mini ", Some(("gpt-4o-mini", Character(' '))));
        check("gpt-4o\u{200b}", Some(("gpt-4o", Character('\u{200b}'))));
        check("ｇpt-4o", Some(("gpt-4o", Character('ｇ'))));
        check("gpt-4o-mini-ca", Some(("gpt-4o-mini", Suffix("-ca"))));
        check("gpt-5-nano", Some(("gpt-5-nano-ca", Suffix("-ca"))));
        check("openai/gpt-4o", Some(("gpt-4o", VendorPrefix)));
        check("qwen3-8b", Some(("qwen/qwen3-8b", VendorPrefix)));
        check("gpt-4o-mni", Some(("gpt-4o-mini", Letters)));
        check("gtp-4o", Some(("gpt-4o", Letters)));
        check("gpt4o", Some(("gpt-4o", Letters)));
        check("deepseekv3", Some(("deepseek-v3", Letters)));
    }

    #[test]
    fn a_different_model_is_not_near() {
        check("claude-sonnet-4", None);
        check("mistral", None);
        check("o1", None);
        check("", None);
        assert_eq!(nearest("gpt-4o", &[]), None);
    }

    #[test]
    fn names_are_listed_exactly_or_without_the_latest_tag() {
        assert!(is_listed(&list(), "gpt-4o"));
        assert!(is_listed(&list(), "llama3.2"));
        assert!(!is_listed(&list(), "GPT-4o"));
        assert!(!is_listed(&list(), "gpt-5-nano"));
    }
}
