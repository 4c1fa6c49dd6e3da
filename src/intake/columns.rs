//! The columns of an input: checks the header, finds a column by its name, and tells who asked
//! for one that is not there what they probably meant.

use std::collections::HashMap;

use csv::StringRecord;

use super::error::{IntakeError, SHOWN_CHARS, quoted, safe};

/// The column that holds the prompt when the recipe has no template for it.
pub(super) const PROMPT: &str = "prompt";

/// The most columns of a file.
const MOST_COLUMNS: usize = 10_000;

/// The most columns that a message lists.
const LISTED: usize = 12;

const HEADERLESS: &str =
    "the first line names the columns; if it is a job itself, put a line `prompt` above it";

/// Under such names people keep what they want to ask, the likeliest first.
const LIKELY: [&str; 14] = [
    "prompts",
    "question",
    "query",
    "instruction",
    "input",
    "text",
    "content",
    "message",
    "body",
    "request",
    "task",
    "user",
    "description",
    "title",
];

/// Words that mean something else in a template, so that a column of that name is reached
/// through `row`.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "none",
    "True",
    "False",
    "None",
    "and",
    "or",
    "not",
    "in",
    "is",
    "if",
    "else",
    "for",
    "recursive",
    "loop",
    "self",
    "super",
    "caller",
    "row",
    "import",
];

/// The columns of an input, with where its header stands.
#[derive(Debug)]
pub(super) struct Columns {
    /// The names, in the order of the header.
    pub(super) names: Vec<String>,
    index: HashMap<String, usize>,
    file: String,
    line: u64,
    delimiter: u8,
    /// Whether more columns may show up.
    is_open: bool,
}

impl Columns {
    /// Makes a list of columns that show up one after another.
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

    /// Returns the list with these new columns at its end.
    pub(super) fn with(&self, new: &[&str]) -> Result<Self, IntakeError> {
        let mut wider = Self {
            is_open: true,
            ..self.closed()
        };
        for name in new {
            wider.index.insert((*name).to_owned(), wider.names.len());
            wider.names.push((*name).to_owned());
        }
        if wider.names.len() > MOST_COLUMNS {
            return Err(IntakeError::Header {
                file: self.file.clone(),
                line: self.line,
                what: format!(
                    "the objects have more than {MOST_COLUMNS} fields of different names"
                ),
                hint: "put what differs from line to line into one field".to_owned(),
            });
        }
        Ok(wider)
    }

    /// Returns the list as one to which nothing is added.
    pub(super) fn closed(&self) -> Self {
        Self {
            names: self.names.clone(),
            index: self.index.clone(),
            file: self.file.clone(),
            line: self.line,
            delimiter: self.delimiter,
            is_open: false,
        }
    }

    /// Tells whether more columns may show up.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Takes the header's names. A column may be without a name; two may not have the same.
    pub(super) fn new(
        header: &StringRecord,
        file: &str,
        line: u64,
        delimiter: u8,
    ) -> Result<Self, IntakeError> {
        let refuse = |what, hint: &str| IntakeError::Header {
            file: file.to_owned(),
            line,
            what,
            hint: hint.to_owned(),
        };
        if header.len() > MOST_COLUMNS {
            let what = format!(
                "the header has {} columns; {MOST_COLUMNS} is the most",
                header.len()
            );
            return Err(refuse(
                what,
                "check --delimiter, and that no quote is left open",
            ));
        }
        if header.iter().all(|name| name.trim().is_empty()) {
            let what = "the header names no column".to_owned();
            return Err(refuse(
                what,
                "the first line names the columns, `prompt` among them",
            ));
        }
        let mut index = HashMap::with_capacity(header.len());
        for (place, name) in header
            .iter()
            .enumerate()
            .filter(|(_, name)| !name.is_empty())
        {
            if let Some(first) = index.insert(name.to_owned(), place) {
                let (first, second) = (first + 1, place + 1);
                let what = format!(
                    "the columns {first} and {second} are both called {}",
                    quoted(name)
                );
                return Err(refuse(what, "give each column a name of its own"));
            }
        }
        let names = header.iter().map(str::to_owned).collect();
        let file = file.to_owned();
        Ok(Self {
            names,
            index,
            file,
            line,
            delimiter,
            is_open: false,
        })
    }

    /// Finds a column by its exact name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// Finds the column that holds the prompt when there is no template for it.
    pub(super) fn prompt(&self) -> Result<usize, IntakeError> {
        self.find(PROMPT).ok_or_else(|| {
            let likely = || self.nearest(PROMPT).or_else(|| self.likely());
            let hint = self.delimiter_hint().unwrap_or_else(|| match likely() {
                Some(name) => format!(
                    "take the prompt from another column: --prompt '{}'",
                    reference(name)
                ),
                None if self.is_rather_a_row() => HEADERLESS.to_owned(),
                None => format!(
                    "make the prompt from the columns you have: --prompt 'About {}: …'",
                    reference(self.first())
                ),
            });
            self.missing(PROMPT, "", hint)
        })
    }

    /// Finds a column that `asker` names, which is a flag.
    pub(super) fn require(&self, name: &str, asker: &str) -> Result<usize, IntakeError> {
        self.find(name).ok_or_else(|| self.unknown(name, asker))
    }

    /// Says that a column `asker` names is not there.
    pub(super) fn unknown(&self, name: &str, asker: &str) -> IntakeError {
        let hint = self
            .delimiter_hint()
            .unwrap_or_else(|| match self.nearest(name) {
                Some(near) if asker == "--id-column" => format!("{asker} {}", shell_word(near)),
                Some(near) => format!("write {} in {asker}", reference(near)),
                None => format!("name one of the columns in {asker}, spelled as in the header"),
            });
        self.missing(name, &format!(" for {asker}"), hint)
    }

    fn missing(&self, name: &str, asker: &str, hint: String) -> IntakeError {
        let split_wrongly = self.delimiter_hint().is_some();
        let guess = match self.nearest(name).filter(|_| !split_wrongly) {
            Some(near) => format!("; did you mean {}?", quoted(near)),
            None => ";".to_owned(),
        };
        let what = format!("no column {}{asker}{guess} {}", quoted(name), self.list());
        IntakeError::NoColumn {
            file: self.file.clone(),
            line: self.line,
            what,
            hint,
        }
    }

    fn list(&self) -> String {
        let all = || self.names.iter().filter(|name| !name.is_empty());
        let names: Vec<_> = all().take(LISTED).map(|name| listed(name)).collect();
        let more = all().count().saturating_sub(LISTED);
        let tail = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        match names.as_slice() {
            [_] if self.is_rather_a_row() => {
                format!("the only column is {}", length(self.first()))
            }
            [only] => format!("the only column is {only}"),
            _ => format!("the columns are {}{tail}", names.join(", ")),
        }
    }

    /// A header of one column that holds another delimiter was split by the wrong one.
    fn delimiter_hint(&self) -> Option<String> {
        let [only] = self.names.as_slice() else {
            return None;
        };
        let used = [';', '\t', '|', ',']
            .into_iter()
            .filter(|&mark| mark as u32 != u32::from(self.delimiter));
        let mark = used.into_iter().find(|&mark| only.contains(mark))?;
        let shown = mark.escape_default();
        Some(format!(
            "the fields seem to be separated by `{shown}`: --delimiter '{shown}'"
        ))
    }

    /// The name that was probably meant: the same but for case and spaces, else a slip or two away.
    fn nearest(&self, wanted: &str) -> Option<&str> {
        let plain = |name: &str| {
            let letters = name.chars().filter(|symbol| symbol.is_alphanumeric());
            letters.flat_map(char::to_lowercase).collect::<String>()
        };
        let wanted = plain(wanted);
        let slips = |name: &str| edits(&plain(name), &wanted);
        let named = self
            .names
            .iter()
            .filter(|name| !name.is_empty() && name.len() < 200);
        let near = named
            .map(|name| (slips(name), name))
            .min_by_key(|(slips, _)| *slips)?;
        let allowed = (wanted.chars().count() / 3).min(2);
        (near.0 <= allowed).then_some(near.1.as_str())
    }

    fn likely(&self) -> Option<&str> {
        let called = |likely: &str| {
            self.names
                .iter()
                .find(|name| name.trim().eq_ignore_ascii_case(likely))
        };
        LIKELY.into_iter().find_map(called).map(String::as_str)
    }

    /// What is longer than a name may be somebody's text: the file has no header then.
    /// Tells whether the header seems to be a job: it is long, or one column that is a sentence.
    fn is_rather_a_row(&self) -> bool {
        let is_sentence = match self.names.as_slice() {
            [only] => {
                only.split_whitespace().count() > 3
                    || only.trim_end().ends_with(['.', '?', '!', '。', '？', '！'])
            }
            _ => false,
        };
        is_sentence || self.names.iter().any(|name| !is_short(name))
    }

    fn first(&self) -> &str {
        let named = self.names.iter().find(|name| !name.trim().is_empty());
        named.map_or("", String::as_str)
    }
}

fn is_short(name: &str) -> bool {
    name.chars().nth(SHOWN_CHARS).is_none()
}

/// A name in a list; the text of what is too long for a name is not told.
fn listed(name: &str) -> String {
    if is_short(name) {
        quoted(name)
    } else {
        length(name)
    }
}

fn length(name: &str) -> String {
    format!("a name of {} characters", name.chars().count())
}

/// How a template refers to a column.
fn reference(name: &str) -> String {
    let plain = |symbol: char| symbol.is_ascii_alphanumeric() || symbol == '_';
    let word = name.chars().all(plain) && !name.starts_with(|symbol: char| symbol.is_ascii_digit());
    if word && !RESERVED.contains(&name) {
        format!("{{{{ {name} }}}}")
    } else {
        format!("{{{{ row[\"{}\"] }}}}", safe(name).replace('"', "\\\""))
    }
}

fn shell_word(name: &str) -> String {
    let plain = |symbol: char| symbol.is_alphanumeric() || "_-.".contains(symbol);
    let name = safe(name);
    if name.chars().all(plain) {
        name
    } else {
        format!("'{name}'")
    }
}

/// How many characters must be added, dropped or changed to make `left` of `right`.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (count, from) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], count + 1);
        for (place, to) in right.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[place + 1];
            row[place + 1] = changed.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Result<Columns, IntakeError> {
        Columns::new(&StringRecord::from(names), "jobs.csv", 1, b',')
    }

    #[track_caller]
    fn check_header(names: &[&str], expected: &str) {
        let error = columns(names).expect_err("it must be refused");
        assert_eq!(error.to_string(), expected);
    }

    #[track_caller]
    fn check_prompt(names: &[&str], expected: &str) {
        let columns = columns(names).expect("the header is good");
        let error = columns.prompt().expect_err("there is no such column");
        assert_eq!(error.to_string(), expected);
    }

    #[track_caller]
    fn check_unknown(names: &[&str], name: &str, asker: &str, expected: &str) {
        let columns = columns(names).expect("the header is good");
        let error = columns
            .require(name, asker)
            .expect_err("there is no such column");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_header_has_names_and_each_once() {
        check_header(
            &["a", "b", "", "a"],
            "jobs.csv:1: the columns 1 and 4 are both called `a`\nhint: give each column a name of its own",
        );
        check_header(
            &["", " "],
            "jobs.csv:1: the header names no column\nhint: the first line names the columns, `prompt` among them",
        );
        check_header(
            &vec!["x"; 10_001],
            "jobs.csv:1: the header has 10001 columns; 10000 is the most\n\
             hint: check --delimiter, and that no quote is left open",
        );
        let unnamed = columns(&["", "prompt", ""]).expect("an index column has no name as a rule");
        assert_eq!(unnamed.find("prompt"), Some(1));
        assert_eq!(unnamed.find(""), None);
    }

    #[test]
    fn a_missing_prompt_column_is_answered_with_what_to_write() {
        check_prompt(
            &["id", "Prompt"],
            "jobs.csv:1: no column `prompt`; did you mean `Prompt`? the columns are `id`, `Prompt`\n\
             hint: take the prompt from another column: --prompt '{{ Prompt }}'",
        );
        check_prompt(
            &["id", " prompt"],
            "jobs.csv:1: no column `prompt`; did you mean ` prompt`? the columns are `id`, ` prompt`\n\
             hint: take the prompt from another column: --prompt '{{ row[\" prompt\"] }}'",
        );
        check_prompt(
            &["id", "title", "question"],
            "jobs.csv:1: no column `prompt`; the columns are `id`, `title`, `question`\n\
             hint: take the prompt from another column: --prompt '{{ question }}'",
        );
        check_prompt(
            &["id", "Country"],
            "jobs.csv:1: no column `prompt`; the columns are `id`, `Country`\n\
             hint: make the prompt from the columns you have: --prompt 'About {{ id }}: …'",
        );
    }

    #[test]
    fn a_file_without_a_header_does_not_tell_its_first_prompt() {
        let prompt = "Write a letter to my bank and tell them that I will not pay for it.";
        check_prompt(
            &["1", prompt],
            "jobs.csv:1: no column `prompt`; the columns are `1`, a name of 67 characters\n\
             hint: the first line names the columns; if it is a job itself, put a line `prompt` above it",
        );
    }

    #[test]
    fn a_sentence_alone_is_a_job_without_a_header() {
        for prompt in ["What is two and two?", "日本の首都は？"] {
            let letters = prompt.chars().count();
            let told = format!(
                "jobs.csv:1: no column `prompt`; the only column is a name of {letters} characters\n\
                 hint: the first line names the columns; if it is a job itself, put a line `prompt` above it"
            );
            check_prompt(&[prompt], &told);
        }
        check_prompt(
            &["Full name"],
            "jobs.csv:1: no column `prompt`; the only column is `Full name`\n\
             hint: make the prompt from the columns you have: --prompt 'About {{ row[\"Full name\"] }}: …'",
        );
    }

    #[test]
    fn a_wrong_delimiter_is_seen() {
        check_prompt(
            &["id;prompt"],
            "jobs.csv:1: no column `prompt`; the only column is `id;prompt`\n\
             hint: the fields seem to be separated by `;`: --delimiter ';'",
        );
        check_prompt(
            &["id;prompt;note"],
            "jobs.csv:1: no column `prompt`; the only column is `id;prompt;note`\n\
             hint: the fields seem to be separated by `;`: --delimiter ';'",
        );
        check_unknown(
            &["id\tprompt"],
            "id",
            "--id-column",
            "jobs.csv:1: no column `id` for --id-column; the only column is `id\\tprompt`\n\
             hint: the fields seem to be separated by `\\t`: --delimiter '\\t'",
        );
    }

    #[test]
    fn a_near_miss_is_named() {
        check_unknown(
            &["city", "country"],
            "contry",
            "--prompt",
            "jobs.csv:1: no column `contry` for --prompt; did you mean `country`? the columns are `city`, `country`\n\
             hint: write {{ country }} in --prompt",
        );
        check_unknown(
            &["Row ID", "prompt"],
            "row_id",
            "--id-column",
            "jobs.csv:1: no column `row_id` for --id-column; did you mean `Row ID`? the columns are `Row ID`, `prompt`\n\
             hint: --id-column 'Row ID'",
        );
        let names: Vec<String> = (0..14).map(|place| format!("column{place}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let columns = columns(&names).expect("the header is good");
        let error = columns.unknown("x", "--system").to_string();
        assert!(
            error.contains("`column11` and 2 more\nhint: name one of the columns"),
            "{error}"
        );
    }

    #[test]
    fn edits_are_counted() {
        for (left, right, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("contry", "country", 1),
            ("promt", "prompt", 1),
            ("abc", "xyz", 3),
        ] {
            assert_eq!(edits(left, right), expected, "{left} {right}");
            assert_eq!(edits(right, left), expected, "{right} {left}");
        }
    }
}
