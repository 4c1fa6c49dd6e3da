//! The columns of an input: checks the header, finds columns by name, and suggests a fix when a
//! column is not found.

use std::collections::HashMap;

use csv::StringRecord;

use super::error::{IntakeError, MAX_SHOWN_CHARS, Result, quoted, safe};

/// The column that contains the prompt when there is no prompt template.
pub(super) const PROMPT: &str = "prompt";

/// Maximum number of columns of an input.
const MAX_COLUMNS: usize = 10_000;

/// Maximum number of columns listed in a message.
const MAX_LISTED: usize = 12;

/// Hint for an invalid header.
pub(super) const HEADER_HINT: &str = "name the columns in the first line, including `prompt`";

const NO_HEADER_HINT: &str =
    "the first line must be a header; if it is data, insert a line `prompt` above it";

/// Common names for a column of prompts, most likely first.
const PROMPT_SYNONYMS: &str = "prompts question query instruction input text content message body \
                               request task user description title";

/// Reserved words of templates. A column with one of these names must be accessed through `row`.
const RESERVED_WORDS: &str = "true false none True False None and or not in is if else for recursive \
                              loop self super caller row import";

/// The columns of an input, and the position of its header.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    /// The names in header order.
    pub(super) names: Vec<String>,
    index: HashMap<String, usize>,
    file: String,
    line: u64,
    delimiter: u8,
    /// Whether more columns can appear.
    is_open: bool,
}

impl Columns {
    /// Creates an empty list for an input whose columns are discovered row by row.
    pub(super) fn open(file: &str) -> Self {
        Self {
            names: Vec::new(),
            index: HashMap::new(),
            file: file.to_owned(),
            line: 1,
            delimiter: b',',
            is_open: true,
        }
    }

    /// Returns the list with new columns appended.
    pub(super) fn extended(&self, new: &[&str]) -> Result<Self> {
        let mut extended = self.clone();
        for name in new {
            extended
                .index
                .insert((*name).to_owned(), extended.names.len());
            extended.names.push((*name).to_owned());
        }
        if extended.names.len() > MAX_COLUMNS {
            return Err(IntakeError::Header {
                file: self.file.clone(),
                line: self.line,
                message: format!("the objects have more than {MAX_COLUMNS} distinct fields"),
                hint: "move data from field names into field values".to_owned(),
            });
        }
        Ok(extended)
    }

    /// Returns the list, marked as complete.
    pub(super) fn closed(&self) -> Self {
        Self {
            is_open: false,
            ..self.clone()
        }
    }

    /// Returns whether more columns can appear.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Creates the list from a header. Columns can be unnamed; names must be unique.
    pub(super) fn new(header: &StringRecord, file: &str, line: u64, delimiter: u8) -> Result<Self> {
        let reject = |message, hint: &str| IntakeError::Header {
            file: file.to_owned(),
            line,
            message,
            hint: hint.to_owned(),
        };
        if header.len() > MAX_COLUMNS {
            let message = format!(
                "the header has {} columns; the maximum is {MAX_COLUMNS}",
                header.len()
            );
            return Err(reject(
                message,
                "check --delimiter, and look for an unclosed quote",
            ));
        }
        if header.iter().all(|name| name.trim().is_empty()) {
            let message = "the header has no column names".to_owned();
            return Err(reject(message, HEADER_HINT));
        }
        let mut index = HashMap::with_capacity(header.len());
        for (position, name) in header
            .iter()
            .enumerate()
            .filter(|(_, name)| !name.is_empty())
        {
            if let Some(first) = index.insert(name.to_owned(), position) {
                let (first, second) = (first + 1, position + 1);
                let message = format!(
                    "duplicate column name {} (columns {first} and {second})",
                    quoted(name)
                );
                return Err(reject(message, "rename one of the columns"));
            }
        }
        Ok(Self {
            names: header.iter().map(str::to_owned).collect(),
            index,
            file: file.to_owned(),
            line,
            delimiter,
            is_open: false,
        })
    }

    /// Returns the position of a column, by its exact name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// Returns the position of the column that is the prompt when there is no template.
    pub(super) fn prompt(&self) -> Result<usize> {
        self.find(PROMPT).ok_or_else(|| {
            let similar = || self.nearest(PROMPT).or_else(|| self.prompt_synonym());
            let hint = self.delimiter_hint().unwrap_or_else(|| match similar() {
                Some(name) => format!(
                    "use another column as the prompt: --prompt '{}'",
                    template_reference(name)
                ),
                None if self.looks_like_data() => NO_HEADER_HINT.to_owned(),
                None => format!(
                    "build the prompt from existing columns: --prompt 'About {}: …'",
                    template_reference(self.first())
                ),
            });
            self.not_found(PROMPT, "", hint)
        })
    }

    /// Returns the position of a column that `flag` refers to.
    pub(super) fn require(&self, name: &str, flag: &str) -> Result<usize> {
        self.find(name).ok_or_else(|| self.unknown(name, flag))
    }

    /// Returns the error for an unknown column that `flag` refers to.
    pub(super) fn unknown(&self, name: &str, flag: &str) -> IntakeError {
        let hint = self
            .delimiter_hint()
            .unwrap_or_else(|| match self.nearest(name) {
                Some(near) if flag == "--id-column" => format!("use {flag} {}", shell_quoted(near)),
                Some(near) => format!("use {} in {flag}", template_reference(near)),
                None => {
                    format!("use one of the available columns in {flag}; names are case-sensitive")
                }
            });
        self.not_found(name, &format!(" (referenced by {flag})"), hint)
    }

    fn not_found(&self, name: &str, reference: &str, hint: String) -> IntakeError {
        let split_wrongly = self.delimiter_hint().is_some();
        let guess = match self.nearest(name).filter(|_| !split_wrongly) {
            Some(near) => format!("; did you mean {}?", quoted(near)),
            None => ";".to_owned(),
        };
        let message = format!(
            "column {} not found{reference}{guess} {}",
            quoted(name),
            self.list_columns()
        );
        IntakeError::Header {
            file: self.file.clone(),
            line: self.line,
            message,
            hint,
        }
    }

    fn list_columns(&self) -> String {
        let all = || self.names.iter().filter(|name| !name.is_empty());
        let names: Vec<_> = all()
            .take(MAX_LISTED)
            .map(|name| displayed_name(name))
            .collect();
        let more = all().count().saturating_sub(MAX_LISTED);
        let names = match names.as_slice() {
            [_] if self.looks_like_data() => redacted_name(self.first()),
            _ if more > 0 => format!("{} and {more} more", names.join(", ")),
            _ => names.join(", "),
        };
        format!("available columns: {names}")
    }

    /// Suggests another delimiter if the only column name contains it.
    fn delimiter_hint(&self) -> Option<String> {
        let [only] = self.names.as_slice() else {
            return None;
        };
        let mut delimiters = [';', '\t', '|', ','].into_iter();
        let delimiter = delimiters
            .find(|&other| other != char::from(self.delimiter) && only.contains(other))?;
        let shown = delimiter.escape_default();
        Some(format!(
            "fields appear to be separated by `{shown}`; use --delimiter '{shown}'"
        ))
    }

    /// Returns the most similar name, ignoring case and punctuation, with at most two typos.
    fn nearest(&self, target: &str) -> Option<&str> {
        let plain = |name: &str| {
            let letters = name.chars().filter(|c| c.is_alphanumeric());
            letters.flat_map(char::to_lowercase).collect::<String>()
        };
        let target = plain(target);
        let distance = |name: &str| strsim::levenshtein(&plain(name), &target);
        let named = self
            .names
            .iter()
            .filter(|name| !name.is_empty() && name.len() < 200);
        let near = named
            .map(|name| (distance(name), name))
            .min_by_key(|(distance, _)| *distance)?;
        let allowed = (target.chars().count() / 3).min(2);
        (near.0 <= allowed).then_some(near.1.as_str())
    }

    fn prompt_synonym(&self) -> Option<&str> {
        let find = |synonym: &str| {
            self.names
                .iter()
                .find(|name| name.trim().eq_ignore_ascii_case(synonym))
        };
        PROMPT_SYNONYMS
            .split(' ')
            .find_map(find)
            .map(String::as_str)
    }

    /// Returns whether the header is probably data, not names: it contains long text, or its only
    /// column is a sentence.
    fn looks_like_data(&self) -> bool {
        let is_sentence = match self.names.as_slice() {
            [only] => {
                only.split_whitespace().count() > 3
                    || only.trim_end().ends_with(['.', '?', '!', '。', '？', '！'])
            }
            _ => false,
        };
        is_sentence || self.names.iter().any(|name| !is_name_length(name))
    }

    fn first(&self) -> &str {
        let named = self.names.iter().find(|name| !name.trim().is_empty());
        named.map_or("", String::as_str)
    }
}

fn is_name_length(name: &str) -> bool {
    name.chars().nth(MAX_SHOWN_CHARS).is_none()
}

/// Formats a name for a list. Text that is too long for a name may be a prompt and is not shown.
fn displayed_name(name: &str) -> String {
    if is_name_length(name) {
        quoted(name)
    } else {
        redacted_name(name)
    }
}

fn redacted_name(name: &str) -> String {
    format!("a name of {} characters", name.chars().count())
}

/// Returns the template expression for a column.
fn template_reference(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_word = name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit());
    if is_word && !RESERVED_WORDS.split(' ').any(|word| word == name) {
        format!("{{{{ {name} }}}}")
    } else {
        format!("{{{{ row[\"{}\"] }}}}", safe(name).replace('"', "\\\""))
    }
}

fn shell_quoted(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    let name = safe(name);
    if name.chars().all(plain) {
        name
    } else {
        format!("'{name}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::fixture::cases;

    fn columns(names: &[&str]) -> Result<Columns, IntakeError> {
        Columns::new(&StringRecord::from(names), "jobs.csv", 1, b',')
    }

    #[track_caller]
    fn check_header(names: &[&str], expected: &str) {
        let error = columns(names).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    /// Checks the message and the hint, separated by ` / `, for columns that have no `prompt`.
    #[track_caller]
    fn check_prompt(table: &str) {
        for (names, expected) in cases(table) {
            let names: Vec<_> = names.split(',').collect();
            let error = columns(&names).unwrap().prompt().unwrap_err();
            let expected = expected.replace(" / ", "\nhint: ");
            let expected = format!("jobs.csv:1: column `prompt` not found; {expected}");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[track_caller]
    fn check_unknown(names: &[&str], name: &str, flag: &str, expected: &str) {
        let error = columns(names).unwrap().require(name, flag).unwrap_err();
        let start = format!("jobs.csv:1: column `{name}` not found (referenced by {flag}); ");
        assert_eq!(error.to_string(), start + expected);
    }

    #[test]
    fn column_names_are_present_and_unique() {
        let expected = "jobs.csv:1: duplicate column name `a` (columns 1 and 4)\nhint: rename one of the columns";
        check_header(&["a", "b", "", "a"], expected);
        let expected = "jobs.csv:1: the header has no column names\nhint: name the columns in the first line, including `prompt`";
        check_header(&["", " "], expected);
        check_header(
            &vec!["x"; 10_001],
            "jobs.csv:1: the header has 10001 columns; the maximum is 10000\n\
             hint: check --delimiter, and look for an unclosed quote",
        );
        let unnamed = columns(&["", "prompt", ""]).unwrap();
        assert_eq!(unnamed.find("prompt"), Some(1));
        assert_eq!(unnamed.find(""), None);
    }

    #[test]
    fn a_missing_prompt_column_gets_a_suggestion() {
        check_prompt(
            r#"
            id,Prompt => did you mean `Prompt`? available columns: `id`, `Prompt` / use another column as the prompt: --prompt '{{ Prompt }}'
            id, prompt => did you mean ` prompt`? available columns: `id`, ` prompt` / use another column as the prompt: --prompt '{{ row[" prompt"] }}'
            id,title,question => available columns: `id`, `title`, `question` / use another column as the prompt: --prompt '{{ question }}'
            id,Country => available columns: `id`, `Country` / build the prompt from existing columns: --prompt 'About {{ id }}: …'
            Full name => available columns: `Full name` / build the prompt from existing columns: --prompt 'About {{ row["Full name"] }}: …'
            "#,
        );
    }

    #[test]
    fn prompts_in_place_of_a_header_are_not_shown() {
        check_prompt(
            "
            1,Write a letter to my bank and tell them that I will not pay for it. => available columns: `1`, a name of 67 characters / the first line must be a header; if it is data, insert a line `prompt` above it
            What is two and two? => available columns: a name of 20 characters / the first line must be a header; if it is data, insert a line `prompt` above it
            日本の首都は？ => available columns: a name of 7 characters / the first line must be a header; if it is data, insert a line `prompt` above it
            ",
        );
    }

    #[test]
    fn detects_a_wrong_delimiter() {
        check_prompt(
            "
            id;prompt => available columns: `id;prompt` / fields appear to be separated by `;`; use --delimiter ';'
            id;prompt;note => available columns: `id;prompt;note` / fields appear to be separated by `;`; use --delimiter ';'
            ",
        );
        check_unknown(
            &["id\tprompt"],
            "id",
            "--id-column",
            "available columns: `id\\tprompt`\nhint: fields appear to be separated by `\\t`; use --delimiter '\\t'",
        );
    }

    #[test]
    fn suggests_similar_names() {
        check_unknown(
            &["city", "country"],
            "contry",
            "--prompt",
            "did you mean `country`? available columns: `city`, `country`\nhint: use {{ country }} in --prompt",
        );
        check_unknown(
            &["Row ID", "prompt"],
            "row_id",
            "--id-column",
            "did you mean `Row ID`? available columns: `Row ID`, `prompt`\nhint: use --id-column 'Row ID'",
        );
        let names: Vec<String> = (0..14)
            .map(|position| format!("column{position}"))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let columns = columns(&names).unwrap();
        let error = columns.unknown("x", "--system").to_string();
        assert!(
            error.contains("`column11` and 2 more\nhint: use one of the available columns"),
            "{error}"
        );
    }
}
