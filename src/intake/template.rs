//! Renders minijinja templates over the columns of a row. Templates are compiled once, can access
//! nothing but the row, and have limits on evaluation and output size.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use csv::StringRecord;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Enumerator, Object, Value};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};

use super::columns::Columns;
use super::error::{IntakeError, Result};

/// Maximum size of the text that a template renders for one row.
const MAX_OUTPUT_BYTES: usize = 1 << 20;

/// Evaluation limit per rendering. One unit covers one instruction or 64 bytes of text.
const FUEL: u64 = 250_000;

/// Maximum nesting depth of loops, macros and blocks.
const MAX_DEPTH: usize = 64;

/// The map of all columns, including those whose names are not valid identifiers.
const ROW: &str = "row";

/// The compiled templates of a batch, named after their flags.
#[derive(Debug)]
pub(super) struct Templates {
    environment: Environment<'static>,
    columns: Arc<Columns>,
    row: Arc<RowContext>,
    root: Value,
}

/// Why a template, or the request of a row, could not be rendered.
#[derive(Debug)]
pub(super) enum RenderError {
    /// The row is invalid: the field, if the error is in one, and the message.
    Row(Option<usize>, String),
    /// The template is invalid.
    Template(IntakeError),
}

/// The row being rendered, exposed to templates as the map `row`.
#[derive(Debug)]
struct RowContext {
    state: Mutex<RowState>,
}

/// The cells of the row being rendered, and the lookups that failed.
#[derive(Debug)]
struct RowState {
    columns: Arc<Columns>,
    cells: StringRecord,
    /// The first column that the current rendering did not find.
    missing: Option<String>,
    /// Names that must be columns. While more columns can appear, a missing column is empty.
    assumed_columns: BTreeSet<String>,
    /// Missing columns, as pairs of template flag and column name, while more columns can appear.
    missing_columns: BTreeSet<(String, String)>,
}

/// The top-level scope of a template: every column by its name, and `row`.
#[derive(Debug)]
struct RootContext(Arc<RowContext>);

/// Returns whether a text is a template. Any other text is sent unchanged.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

impl Templates {
    /// Creates an empty set of templates over these columns.
    pub(super) fn new(columns: Arc<Columns>) -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(MAX_DEPTH);
        environment.set_debug(false);
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
        environment.set_syntax(syntax.expect("the default delimiters are valid"));
        let row = Arc::new(RowContext {
            state: Mutex::new(RowState {
                columns: Arc::clone(&columns),
                cells: StringRecord::new(),
                missing: None,
                assumed_columns: BTreeSet::new(),
                missing_columns: BTreeSet::new(),
            }),
        });
        let root = Value::from_object(RootContext(Arc::clone(&row)));
        Self {
            environment,
            columns,
            row,
            root,
        }
    }

    /// Compiles a template and checks the columns it references. `name` is its flag.
    pub(super) fn add(&mut self, name: &str, source: &str) -> Result<()> {
        let added = self
            .environment
            .add_template_owned(name.to_owned(), source.to_owned());
        added.map_err(|error| IntakeError::Template {
            name: name.to_owned(),
            message: format!("invalid template: {}", describe(&error, source)),
            hint: "write columns in double braces: {{ name }}, or {{ row[\"Column name\"] }} if the name contains spaces or punctuation",
        })?;
        for column in self.column_references(name, source) {
            if self.columns.is_open() {
                self.row.state().assumed_columns.insert(column);
            } else {
                self.columns.require(&column, name)?;
            }
        }
        Ok(())
    }

    /// Replaces the columns by a list that contains new ones.
    pub(super) fn set_columns(&mut self, columns: &Arc<Columns>) {
        self.columns = Arc::clone(columns);
        self.row.state().columns = Arc::clone(columns);
    }

    /// Returns the columns not found so far, as pairs of template flag and column name.
    pub(super) fn missing_columns(&self) -> Vec<(String, String)> {
        self.row.state().missing_columns.iter().cloned().collect()
    }

    /// Renders the template that was added as `name`. `cells` is unchanged when this returns.
    pub(super) fn render(
        &self,
        name: &str,
        cells: &mut StringRecord,
    ) -> Result<String, RenderError> {
        std::mem::swap(&mut self.row.state().cells, cells);
        let template = self.environment.get_template(name);
        let rendered = template.and_then(|template| template.render(self.root.clone()));
        let mut state = self.row.state();
        std::mem::swap(&mut state.cells, cells);
        if rendered.is_ok()
            && let Some(missing) = state.missing.take()
            && state.columns.is_open()
        {
            state.missing_columns.insert((name.to_owned(), missing));
        }
        drop(state);
        match rendered {
            Ok(text) if text.len() <= MAX_OUTPUT_BYTES => Ok(text),
            Ok(_) => {
                let message = format!("{name}: rendered text is larger than 1 MiB; shorten it");
                Err(RenderError::Row(None, message))
            }
            Err(error) => Err(self.render_error(name, &error)),
        }
    }

    /// Returns the names in a template that must be columns, sorted.
    fn column_references(&self, name: &str, source: &str) -> Vec<String> {
        let Ok(template) = self.environment.get_template(name) else {
            return Vec::new();
        };
        let assigned = assigned_names(source);
        let known = |name: &str| {
            name == ROW
                || assigned.contains(&name)
                || self.environment.globals().any(|(global, _)| global == name)
        };
        let mut names: Vec<_> = template.undeclared_variables(false).into_iter().collect();
        names.retain(|name| !known(name));
        names.sort();
        names
    }

    fn render_error(&self, name: &str, error: &Error) -> RenderError {
        let missing = self.row.state().missing.take();
        if let (Some(missing), ErrorKind::UndefinedError) = (missing, error.kind()) {
            return RenderError::Template(self.columns.unknown(&missing, name));
        }
        let template = self.environment.get_template(name);
        let source = template.as_ref().map_or("", |template| template.source());
        let description = describe(error, source);
        if is_template_error(error.kind()) {
            return RenderError::Template(IntakeError::Template {
                name: name.to_owned(),
                message: format!("cannot be rendered: {description}"),
                hint: "see the filters and functions that minijinja supports: https://docs.rs/minijinja/latest/minijinja/filters/",
            });
        }
        RenderError::Row(None, format!("{name}: cannot be rendered: {description}"))
    }
}

impl RowContext {
    fn state(&self) -> MutexGuard<'_, RowState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cell(&self, name: &str) -> Option<Value> {
        let state = self.state();
        let index = state.columns.find(name)?;
        state.cells.get(index).map(Value::from)
    }

    /// Returns an empty value for a column that may still appear.
    fn assumed_empty(&self, name: &str) -> Option<Value> {
        let state = self.state();
        (state.columns.is_open() && state.assumed_columns.contains(name)).then(|| Value::from(""))
    }
}

impl Object for RowContext {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let cell = self.cell(key);
        if cell.is_some() {
            return cell;
        }
        let mut state = self.state();
        state.missing.get_or_insert_with(|| key.to_owned());
        state.columns.is_open().then(|| Value::from(""))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let columns = Arc::clone(&self.state().columns);
        let named = columns.names.iter().filter(|name| !name.is_empty());
        Enumerator::Values(named.map(|name| Value::from(name.as_str())).collect())
    }
}

impl Object for RootContext {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let row = || (key == ROW).then(|| Value::from_dyn_object(Arc::clone(&self.0)));
        let cell = self.0.cell(key).or_else(row);
        cell.or_else(|| self.0.assumed_empty(key))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.0.enumerate()
    }
}

/// Describes a template error without quoting the contents of a cell.
fn describe(error: &Error, source: &str) -> String {
    let detail = error
        .detail()
        .filter(|detail| is_safe_to_show(error.kind(), detail));
    let message = match (error.kind(), detail) {
        (ErrorKind::OutOfFuel, _) => "evaluation limit exceeded for this row".to_owned(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    match error.line() {
        Some(line) if source.contains('\n') => format!("{message} (line {line} of the template)"),
        _ => message,
    }
}

/// Some details quote values. Only those that consist of type and variable names are safe.
fn is_safe_to_show(kind: ErrorKind, detail: &str) -> bool {
    const SAFE_PREFIXES: [&str; 5] = [
        "cannot ",
        "can only ",
        "tried to use ",
        "value of type ",
        "invalid ",
    ];
    match kind {
        ErrorKind::InvalidOperation => SAFE_PREFIXES.iter().any(|start| detail.starts_with(start)),
        ErrorKind::SyntaxError
        | ErrorKind::UndefinedError
        | ErrorKind::UnknownFilter
        | ErrorKind::UnknownTest
        | ErrorKind::UnknownFunction
        | ErrorKind::UnknownMethod => true,
        _ => false,
    }
}

/// Returns whether an error occurs for every row, given that all cells are strings.
fn is_template_error(kind: ErrorKind) -> bool {
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

/// Returns the names that a template assigns. A `{% set %}` inside an `{% if %}` is visible after
/// it, which minijinja's list of undeclared variables does not reflect.
fn assigned_names(source: &str) -> Vec<&str> {
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
    use crate::intake::fixture::cases;

    fn templates(names: &[&str]) -> Templates {
        let header = StringRecord::from(names);
        let columns = Columns::new(&header, "jobs.csv", 1, b',').unwrap();
        Templates::new(Arc::new(columns))
    }

    /// Renders a template over the columns `name`, `Full name` and `count`.
    fn render(source: &str, cells: &[&str]) -> Result<String, String> {
        let mut templates = templates(&["name", "Full name", "count"]);
        templates
            .add("--prompt", source)
            .map_err(|error| error.to_string())?;
        let mut cells = StringRecord::from(cells);
        templates
            .render("--prompt", &mut cells)
            .map_err(|error| match error {
                RenderError::Row(_, message) => format!("row: {message}"),
                RenderError::Template(error) => error.to_string(),
            })
    }

    #[track_caller]
    fn check(source: &str, expected: &str) {
        let found = render(source, &["Ann", "Ann <O'Neil> & \"Co\"", "3"]);
        assert_eq!(found.as_deref(), Ok(expected));
    }

    #[track_caller]
    fn check_error(source: &str, expected: &str) {
        let error = render(source, &["Ann", "secret", "three"]).unwrap_err();
        assert_eq!(error.lines().next(), Some(expected));
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn columns_are_text_in_a_template() {
        check("Hi {{ name }}!\n", "Hi Ann!\n");
        let table = r#"
            {{ row["Full name"] }} => Ann <O'Neil> & "Co"
            {{ row.name }}{{ name|upper }}{{ name ~ count }} => AnnANNAnn3
            {{ count|int + 1 }} => 4
            {{ row["Full name"]|tojson }} => "Ann \u003cO\u0027Neil\u003e \u0026 \"Co\""
            {% for key, value in row|items %}{{ key }}={{ value|length }};{% endfor %} => name=3;Full name=19;count=1;
            {% if count == "3" %}{% set word = "three" %}{% else %}{% set word = "some" %}{% endif %}{{ word }} => three
            {{ row.none|default("-") }}{% for i in range(2) %}{{ loop.index }}{% endfor %} => -12
            {% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(name) }} => <Ann>
        "#;
        for (source, expected) in cases(table) {
            check(source, expected);
        }
    }

    #[test]
    fn rejects_unknown_columns() {
        let table = r#"
            {{ nam }} => `nam` not found (referenced by --prompt); did you mean `name`?
            {{ nope|default(1) }} => `nope` not found (referenced by --prompt);
            {{ f(name) }} => `f` not found (referenced by --prompt);
            {{ row["full name"] }} => `full name` not found (referenced by --prompt); did you mean `Full name`?
        "#;
        for (source, expected) in cases(table) {
            let columns = "available columns: `name`, `Full name`, `count`";
            check_error(source, &format!("jobs.csv:1: column {expected} {columns}"));
        }
    }

    #[test]
    fn rejects_invalid_templates() {
        let table = r"
            {{ name => invalid template: syntax error: unexpected end of input, expected end of variable block
            {{ Full name }} => invalid template: syntax error: unexpected identifier, expected end of variable block
            {{ name.shout() }} => cannot be rendered: unknown method: string has no method named shout
        ";
        for (source, expected) in cases(table) {
            check_error(source, &format!("--prompt: {expected}"));
        }
        let expected = "--prompt: cannot be rendered: unknown filter: filter shout is unknown (line 2 of the template)";
        check_error("a\n{{ name|shout }}", expected);
    }

    #[test]
    fn errors_of_rows_do_not_quote_cells() {
        let table = r#"
            {{ count|int }} => invalid operation: invalid float literal
            {{ -row["Full name"] }} => invalid operation
            {% include row["Full name"] %} => template not found
        "#;
        for (source, expected) in cases(table) {
            let expected = format!("row: --prompt: cannot be rendered: {expected}");
            check_error(source, &expected);
        }
    }

    #[test]
    fn evaluation_and_output_size_are_limited() {
        let loops = "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}";
        let expected = "row: --prompt: cannot be rendered: evaluation limit exceeded for this row";
        check_error(loops, expected);
        let writes = "{% for i in range(99999999) %}{{ name * 99999 }}{% endfor %}";
        assert!(render(writes, &["Ann", "", ""]).is_err());
        let expected = "row: --prompt: rendered text is larger than 1 MiB; shorten it";
        check_error("{{ name * 500000 }}", expected);
        let nested = "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(name) }}";
        assert!(
            render(nested, &["Ann", "", ""])
                .unwrap_err()
                .starts_with("row: ")
        );
    }

    #[test]
    fn only_double_braces_and_tags_make_a_template() {
        assert!(is_template("{{ a }}") && is_template("{% if a %}"));
        assert!(!is_template("a { b } {# c #} %}"));
    }
}
