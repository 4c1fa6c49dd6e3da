//! Templates over the columns of a row. They are compiled once, reach nothing but the row, and
//! stop when they work too long or write too much.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use csv::StringRecord;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Enumerator, Object, Value};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};

use super::columns::Columns;
use super::error::IntakeError;

/// The most bytes one template may write for one row.
const OUTPUT_BYTES: usize = 1 << 20;

/// The work one template may do for one row: about so many steps, or 64 times as many bytes.
const FUEL: u64 = 250_000;

/// How deep loops, macros and blocks may be nested.
const DEPTH: usize = 64;

/// The name under which a template finds all columns, those among them that are no plain words.
const ROW: &str = "row";

/// The compiled templates of a recipe, by the flag each was given with.
#[derive(Debug)]
pub(super) struct Templates {
    environment: Environment<'static>,
    columns: Arc<Columns>,
    row: Arc<Row>,
    root: Value,
}

/// Why a template gives nothing for a row.
#[derive(Debug)]
pub(super) enum Unrendered {
    /// It is this row's fault, as far as one can tell.
    Row(String),
    /// No row can be rendered like this.
    RequestTemplate(IntakeError),
}

/// The row that is being rendered, as the map `row` of the templates.
#[derive(Debug)]
struct Row {
    now: Mutex<Now>,
}

/// The cells of the row, and the first column that was asked for in vain.
#[derive(Debug)]
struct Now {
    columns: Arc<Columns>,
    cells: StringRecord,
    missed: Option<String>,
    /// Names that can only be columns: empty in a row that has none of them, while more may come.
    expected: BTreeSet<String>,
    /// Columns that were looked up in vain while more may come, behind the flag of their template.
    absent: BTreeSet<(String, String)>,
}

/// What a template sees: every column by its name, and `row`.
#[derive(Debug)]
struct Root(Arc<Row>);

/// Tells whether a text is a template. Any other text is sent as it is.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

impl Templates {
    /// Makes room for templates over these columns.
    pub(super) fn new(columns: Arc<Columns>) -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(DEPTH);
        environment.set_debug(false);
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
        environment.set_syntax(syntax.expect("the default delimiters are valid"));
        let row = Arc::new(Row {
            now: Mutex::new(Now {
                columns: Arc::clone(&columns),
                cells: StringRecord::new(),
                missed: None,
                expected: BTreeSet::new(),
                absent: BTreeSet::new(),
            }),
        });
        let root = Value::from_object(Root(Arc::clone(&row)));
        Self {
            environment,
            columns,
            row,
            root,
        }
    }

    /// Compiles a template and checks the columns it names. `name` is its flag.
    pub(super) fn add(&mut self, name: &str, source: &str) -> Result<(), IntakeError> {
        let added = self
            .environment
            .add_template_owned(name.to_owned(), source.to_owned());
        added.map_err(|error| IntakeError::Template {
            name: name.to_owned(),
            what: format!("is no valid template: {}", wording(&error, source)),
            hint: "a column stands in double braces: {{ name }}, or {{ row[\"Column name\"] }} where the name is no plain word",
        })?;
        for wanted in self.wanted(name, source) {
            if self.columns.is_open() {
                self.row.now().expected.insert(wanted);
            } else {
                self.columns.require(&wanted, name)?;
            }
        }
        Ok(())
    }

    /// Takes up columns that have shown up.
    pub(super) fn grow(&mut self, columns: &Arc<Columns>) {
        self.columns = Arc::clone(columns);
        self.row.now().columns = Arc::clone(columns);
    }

    /// Returns the flags of templates with the columns they looked up in vain so far, though those
    /// might still have shown up.
    pub(super) fn missed(&self) -> Vec<(String, String)> {
        self.row.now().absent.iter().cloned().collect()
    }

    /// Renders the template that was added under `name` over a row. The row is the same afterwards.
    pub(super) fn render(
        &self,
        name: &str,
        cells: &mut StringRecord,
    ) -> Result<String, Unrendered> {
        std::mem::swap(&mut self.row.now().cells, cells);
        let rendered = self
            .environment
            .get_template(name)
            .and_then(|template| template.render(self.root.clone()));
        {
            let mut now = self.row.now();
            std::mem::swap(&mut now.cells, cells);
            if rendered.is_ok()
                && let Some(missed) = now.missed.take()
                && now.columns.is_open()
            {
                now.absent.insert((name.to_owned(), missed));
            }
        }
        match rendered {
            Ok(text) if text.len() <= OUTPUT_BYTES => Ok(text),
            Ok(_) => Err(Unrendered::Row(format!(
                "{name} gives more than 1 MiB; shorten it"
            ))),
            Err(error) => Err(self.unrendered(name, &error)),
        }
    }

    /// The names that can only be columns, in the order of the alphabet.
    fn wanted(&self, name: &str, source: &str) -> Vec<String> {
        let Ok(template) = self.environment.get_template(name) else {
            return Vec::new();
        };
        let set = assigned(source);
        let known = |wanted: &str| {
            wanted == ROW
                || set.contains(&wanted)
                || self
                    .environment
                    .globals()
                    .any(|(global, _)| global == wanted)
        };
        let mut wanted: Vec<_> = template.undeclared_variables(false).into_iter().collect();
        wanted.retain(|wanted| !known(wanted));
        wanted.sort();
        wanted
    }

    fn unrendered(&self, name: &str, error: &Error) -> Unrendered {
        let missed = self.row.now().missed.take();
        if let (Some(missed), ErrorKind::UndefinedError) = (missed, error.kind()) {
            return Unrendered::RequestTemplate(self.columns.unknown(&missed, name));
        }
        let template = self.environment.get_template(name);
        let wording = wording(
            error,
            template.as_ref().map_or("", |template| template.source()),
        );
        if is_the_templates_fault(error.kind()) {
            return Unrendered::RequestTemplate(IntakeError::Template {
                name: name.to_owned(),
                what: format!("cannot be rendered: {wording}"),
                hint: "see the filters and functions of minijinja: https://docs.rs/minijinja/latest/minijinja/filters/",
            });
        }
        Unrendered::Row(format!("{name} cannot be rendered: {wording}"))
    }
}

impl Row {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cell(&self, name: &str) -> Option<Value> {
        let now = self.now();
        let place = now.columns.find(name)?;
        now.cells.get(place).map(Value::from)
    }

    /// The value of a column that may show up yet.
    fn absent(&self, name: &str) -> Option<Value> {
        let now = self.now();
        (now.columns.is_open() && now.expected.contains(name)).then(|| Value::from(""))
    }
}

impl Object for Row {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let cell = self.cell(key);
        if cell.is_some() {
            return cell;
        }
        let mut now = self.now();
        now.missed.get_or_insert_with(|| key.to_owned());
        now.columns.is_open().then(|| Value::from(""))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let columns = Arc::clone(&self.now().columns);
        let named = columns.names.iter().filter(|name| !name.is_empty());
        Enumerator::Values(named.map(|name| Value::from(name.as_str())).collect())
    }
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let row = || (key == ROW).then(|| Value::from_dyn_object(Arc::clone(&self.0)));
        self.0.cell(key).or_else(row).or_else(|| self.0.absent(key))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.0.enumerate()
    }
}

/// What a template error says, as far as it cannot hold a cell's text.
fn wording(error: &Error, source: &str) -> String {
    let detail = error
        .detail()
        .filter(|detail| is_free_of_cells(error.kind(), detail));
    let what = match (error.kind(), detail) {
        (ErrorKind::OutOfFuel, _) => "it works too long on this row".to_owned(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    match error.line() {
        Some(line) if source.contains('\n') => format!("{what} (line {line} of the template)"),
        _ => what,
    }
}

/// Some details quote the values they are about; those that only name kinds and names pass.
fn is_free_of_cells(kind: ErrorKind, detail: &str) -> bool {
    const NAMES_KINDS: [&str; 5] = [
        "cannot ",
        "can only ",
        "tried to use ",
        "value of type ",
        "invalid ",
    ];
    match kind {
        ErrorKind::InvalidOperation => NAMES_KINDS.iter().any(|start| detail.starts_with(start)),
        ErrorKind::SyntaxError
        | ErrorKind::UndefinedError
        | ErrorKind::UnknownFilter
        | ErrorKind::UnknownTest
        | ErrorKind::UnknownFunction
        | ErrorKind::UnknownMethod => true,
        _ => false,
    }
}

/// All cells are strings, so these come with every row.
fn is_the_templates_fault(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::SyntaxError
            | ErrorKind::UnknownFilter
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownFunction
            | ErrorKind::UnknownMethod
            | ErrorKind::MissingArgument
            | ErrorKind::TooManyArguments
    )
}

/// The names a template sets itself, somewhere. A `{% set %}` in an `{% if %}` counts behind it,
/// which minijinja's own list of undeclared names does not know.
fn assigned(source: &str) -> Vec<&str> {
    let blocks = source.split("{%").skip(1);
    let sets = blocks.filter_map(|block| {
        let block = block.trim_start_matches(['-', '+']).trim_start();
        block.strip_prefix("set")?.strip_prefix(char::is_whitespace)
    });
    let targets = sets.filter_map(|set| set.split(['=', '%', '|']).next());
    targets
        .flat_map(|names| names.split([',', '(', ')', ' ', '\n', '\t', '-']))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templates(names: &[&str]) -> Templates {
        let header = StringRecord::from(names);
        let columns = Columns::new(&header, "jobs.csv", 1, b',').expect("the header is good");
        Templates::new(Arc::new(columns))
    }

    /// Renders a template over a row with the columns `name`, `Full name` and `count`.
    fn render(source: &str, cells: &[&str]) -> Result<String, String> {
        let mut templates = templates(&["name", "Full name", "count"]);
        templates
            .add("--prompt", source)
            .map_err(|error| error.to_string())?;
        let mut cells = StringRecord::from(cells);
        templates
            .render("--prompt", &mut cells)
            .map_err(|unrendered| match unrendered {
                Unrendered::Row(what) => format!("row: {what}"),
                Unrendered::RequestTemplate(error) => error.to_string(),
            })
    }

    #[track_caller]
    fn check(source: &str, expected: &str) {
        let found = render(source, &["Ann", "Ann <O'Neil> & \"Co\"", "3"]);
        assert_eq!(found.as_deref(), Ok(expected));
    }

    #[track_caller]
    fn check_refused(source: &str, expected: &str) {
        let refused = render(source, &["Ann", "secret", "three"]).expect_err("it must be refused");
        assert_eq!(refused.lines().next(), Some(expected));
        assert!(!refused.contains("secret"), "{refused}");
    }

    #[test]
    fn a_template_sees_the_columns_as_text() {
        check("Hi {{ name }}!\n", "Hi Ann!\n");
        check("{{ row[\"Full name\"] }}", "Ann <O'Neil> & \"Co\"");
        check(
            "{{ row.name }}{{ name|upper }}{{ name ~ count }}",
            "AnnANNAnn3",
        );
        check("{{ count|int + 1 }}", "4");
        check(
            "{{ row[\"Full name\"]|tojson }}",
            "\"Ann \\u003cO\\u0027Neil\\u003e \\u0026 \\\"Co\\\"\"",
        );
        check(
            "{% for key, value in row|items %}{{ key }}={{ value|length }};{% endfor %}",
            "name=3;Full name=19;count=1;",
        );
        check(
            "{% if count == \"3\" %}{% set word = \"three\" %}{% else %}{% set word = \"some\" %}{% endif %}{{ word }}",
            "three",
        );
        check(
            "{{ row.none|default(\"-\") }}{% for i in range(2) %}{{ loop.index }}{% endfor %}",
            "-12",
        );
        check(
            "{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(name) }}",
            "<Ann>",
        );
    }

    #[test]
    fn a_column_that_is_not_there_is_found_out() {
        let columns = "the columns are `name`, `Full name`, `count`";
        check_refused(
            "{{ nam }}",
            &format!("jobs.csv:1: no column `nam` for --prompt; did you mean `name`? {columns}"),
        );
        check_refused(
            "{{ nope|default(1) }}",
            &format!("jobs.csv:1: no column `nope` for --prompt; {columns}"),
        );
        check_refused(
            "{{ row[\"full name\"] }}",
            &format!(
                "jobs.csv:1: no column `full name` for --prompt; did you mean `Full name`? {columns}"
            ),
        );
    }

    #[test]
    fn a_template_that_cannot_work_is_the_recipes_fault() {
        check_refused(
            "{{ name",
            "--prompt: is no valid template: syntax error: unexpected end of input, expected end of variable block",
        );
        check_refused(
            "{{ Full name }}",
            "--prompt: is no valid template: syntax error: unexpected identifier, expected end of variable block",
        );
        check_refused(
            "a\n{{ name|shout }}",
            "--prompt: cannot be rendered: unknown filter: filter shout is unknown (line 2 of the template)",
        );
        check_refused(
            "{{ f(name) }}",
            "jobs.csv:1: no column `f` for --prompt; the columns are `name`, `Full name`, `count`",
        );
        check_refused(
            "{{ name.shout() }}",
            "--prompt: cannot be rendered: unknown method: string has no method named shout",
        );
    }

    #[test]
    fn a_row_that_does_not_fit_is_the_rows_fault_and_its_text_is_not_told() {
        check_refused(
            "{{ count|int }}",
            "row: --prompt cannot be rendered: invalid operation: invalid float literal",
        );
        check_refused(
            "{{ -row[\"Full name\"] }}",
            "row: --prompt cannot be rendered: invalid operation",
        );
        check_refused(
            "{% include row[\"Full name\"] %}",
            "row: --prompt cannot be rendered: template not found",
        );
    }

    #[test]
    fn a_template_stops_when_it_works_too_long_or_writes_too_much() {
        let loops = "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}";
        check_refused(
            loops,
            "row: --prompt cannot be rendered: it works too long on this row",
        );
        let writes = "{% for i in range(99999999) %}{{ name * 99999 }}{% endfor %}";
        assert!(render(writes, &["Ann", "", ""]).is_err());
        check_refused(
            "{{ name * 500000 }}",
            "row: --prompt gives more than 1 MiB; shorten it",
        );
        let nested = "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(name) }}";
        assert!(
            render(nested, &["Ann", "", ""])
                .expect_err("it must be stopped")
                .starts_with("row: ")
        );
    }

    #[test]
    fn only_braces_make_a_template() {
        assert!(is_template("{{ a }}") && is_template("{% if a %}"));
        assert!(!is_template("a { b } {# c #} %}"));
    }
}
