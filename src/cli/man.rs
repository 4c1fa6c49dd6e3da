//! Manual pages, generated from the definition of the command line.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::console;
use super::environment::VARIABLES;
use super::exit::{CliError, Exit, TABLE};
use super::settings::map_args;

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  promptmill man | man -l -
  promptmill man run | man -l -
  promptmill man --dir ~/.local/share/man/man1")]
pub(super) struct ManArgs {
    /// Command to describe [default: promptmill itself]
    pub(super) command: Vec<String>,
    /// Write the pages of all commands to this directory
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub(super) dir: Option<PathBuf>,
}

/// Files that the program reads or writes, each with its description.
const FILES: &str = "\
promptmill.toml | settings file in the current directory, unless --config is set
promptmill.db | SQLite database of the queue, unless --db is set
promptmill.db.lock | lock file with the ID of the process that is using the database; empty if there is none
promptmill.db.spool | results that could not be written to the database; the next run imports them";

/// Runs `promptmill man`.
pub(super) fn command(args: &ManArgs, program: Command) -> Result<Exit, CliError> {
    // The pages omit the text of options that `-h` hides.
    let program = map_args(program, &|arg| arg.hide_short_help(false));
    let mut program = program.disable_help_subcommand(true);
    program.build();
    if let Some(directory) = &args.dir {
        write_all(&program, directory)?;
        return Ok(Exit::Done);
    }
    let mut selected = &program;
    for name in &args.command {
        selected = selected
            .find_subcommand(name)
            .ok_or_else(|| unknown_command(name))?;
    }
    console::print(&page(selected)?)?;
    Ok(Exit::Done)
}

fn unknown_command(name: &str) -> CliError {
    let what = format!("unknown command '{name}'");
    let hint = "run `promptmill --help` to list the commands";
    CliError::new(Exit::Usage, &what, hint)
}

fn write_all(command: &Command, directory: &Path) -> Result<(), CliError> {
    let path = directory.join(format!("{}.1", title(command)));
    fs::write(&path, page(command)?).map_err(|error| {
        let what = format!("cannot write {}: {error}", path.display());
        let hint = "pass an existing directory with --dir";
        CliError::new(Exit::CannotWrite, &what, hint)
    })?;
    let mut subcommands = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    subcommands.try_for_each(|subcommand| write_all(subcommand, directory))
}

/// Returns the name of a page, like `promptmill-keys-list`.
fn title(command: &Command) -> String {
    command
        .get_display_name()
        .unwrap_or(command.get_name())
        .to_owned()
}

fn page(command: &Command) -> Result<String, CliError> {
    let mut page = Vec::new();
    let title = title(command);
    let man = Man::new(command.clone())
        .title(title.to_uppercase())
        .section("1")
        .source(format!("promptmill {}", env!("CARGO_PKG_VERSION")))
        .manual("User Commands");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    synopsis(command).to_writer(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        let mut commands = Roff::new();
        commands.control("SH", ["COMMANDS"]);
        for subcommand in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let name = format!("{}(1)", self::title(subcommand));
            let about = subcommand.get_about().unwrap_or_default().to_string();
            entry(&mut commands, &name, &about);
        }
        commands.to_writer(&mut page)?;
    }
    sections(command).to_writer(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// Returns the synopsis: a single line, since the options are listed below.
fn synopsis(command: &Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([roman(usage.trim_start_matches("Usage: "))]);
    roff
}

/// Returns the sections below the options: examples, exit codes, variables, files.
fn sections(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let examples = command
        .get_after_long_help()
        .or(command.get_after_help())
        .map(ToString::to_string);
    if let Some(examples) = examples
        .as_deref()
        .and_then(|text| text.strip_prefix("Examples:\n"))
    {
        roff.control("SH", ["EXAMPLES"]);
        roff.control("nf", []);
        for line in examples.lines() {
            roff.text([roman(line.trim_start())]);
        }
        roff.control("fi", []);
    }
    roff.control("SH", ["EXIT STATUS"]);
    roff.control("PD", ["0"]);
    entries(&mut roff, TABLE);
    roff.control("SH", ["ENVIRONMENT"]);
    let variables = command.get_arguments().filter_map(|arg| {
        let name = arg.get_env()?.to_str()?.to_owned();
        Some((name, format!("as --{}", arg.get_long()?)))
    });
    for (name, meaning) in variables {
        entry(&mut roff, &name, &meaning);
    }
    entries(&mut roff, VARIABLES);
    roff.control("PD", []);
    roff.control("SH", ["FILES"]);
    entries(&mut roff, FILES);
    roff
}

/// Adds an entry for each line, which contains a name and a meaning.
fn entries(roff: &mut Roff, lines: &str) {
    for (name, meaning) in lines.lines().filter_map(|line| line.split_once(" | ")) {
        entry(roff, name, meaning);
    }
}

fn entry(roff: &mut Roff, name: &str, meaning: &str) {
    roff.control("TP", []);
    roff.text([bold(name)]);
    roff.text([roman(meaning)]);
}
