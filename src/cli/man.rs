//! The manual pages, made from the command line's own description: one for the program, one for each
//! command.

use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::args::{Cli, ManArgs};
use super::environment::KEY_VARIABLES;
use super::error::CliError;
use super::exit::{Exit, TABLE};
use super::screen;

/// Files that the program reads or writes, and what each is for.
const FILES: [(&str, &str); 4] = [
    (
        "promptmill.toml",
        "the settings file, read in the folder where the program is started; --config names another",
    ),
    (
        "promptmill.db",
        "the queue, a SQLite database; --db names another",
    ),
    (
        "promptmill.db.lock",
        "tells who runs the queue; it stays, and is empty when nobody does",
    ),
    (
        "promptmill.db.spool",
        "results that a full disk kept out of the queue; the next run takes them in",
    ),
];

/// `promptmill man`.
pub(super) fn command(args: &ManArgs) -> Result<Exit, CliError> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    if let Some(folder) = &args.dir {
        write_all(&program, folder)?;
        return Ok(Exit::Done);
    }
    let mut chosen = &program;
    for name in &args.command {
        chosen = chosen
            .find_subcommand(name)
            .ok_or_else(|| no_command(name))?;
    }
    screen::print(&page(chosen)?)?;
    Ok(Exit::Done)
}

fn no_command(name: &str) -> CliError {
    let what = format!("no command is called \"{name}\"");
    CliError::new(Exit::Usage, &what, "`promptmill --help` lists them")
}

fn write_all(command: &Command, folder: &Path) -> Result<(), CliError> {
    let path = folder.join(format!("{}.1", title(command)));
    fs::write(&path, page(command)?).map_err(|error| {
        let what = format!("cannot write {}: {error}", path.display());
        CliError::new(
            Exit::CannotWrite,
            &what,
            "name a folder that is there with --dir",
        )
    })?;
    let below = command
        .get_subcommands()
        .filter(|below| !below.is_hide_set());
    below
        .into_iter()
        .try_for_each(|below| write_all(below, folder))
}

/// The page's name: `promptmill-keys-list`.
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
        for below in command
            .get_subcommands()
            .filter(|below| !below.is_hide_set())
        {
            let name = format!("{}(1)", self::title(below));
            entry(
                &mut commands,
                &name,
                &below.get_about().unwrap_or_default().to_string(),
            );
        }
        commands.to_writer(&mut page)?;
    }
    sections(command).to_writer(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// One line, since the options are below.
fn synopsis(command: &Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([roman(usage.trim_start_matches("Usage: "))]);
    roff
}

/// What stands below the options: examples, exit codes, variables, files.
fn sections(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let examples = command.get_before_help().map(ToString::to_string);
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
    for (codes, meaning, what_to_do) in TABLE {
        let needs_nothing = what_to_do == "nothing";
        let told = format!("{meaning}: {what_to_do}");
        entry(
            &mut roff,
            codes,
            if needs_nothing { meaning } else { &told },
        );
    }
    roff.control("SH", ["ENVIRONMENT"]);
    let variables = command.get_arguments().filter_map(|arg| {
        let name = arg.get_env()?.to_str()?.to_owned();
        Some((name, format!("as --{}", arg.get_long()?)))
    });
    for (name, meaning) in variables {
        entry(&mut roff, &name, &meaning);
    }
    for (name, meaning) in KEY_VARIABLES {
        entry(&mut roff, name, meaning);
    }
    roff.control("PD", []);
    roff.control("SH", ["FILES"]);
    for (name, meaning) in FILES {
        entry(&mut roff, name, meaning);
    }
    roff
}

fn entry(roff: &mut Roff, name: &str, meaning: &str) {
    roff.control("TP", []);
    roff.text([bold(name)]);
    roff.text([roman(meaning)]);
}
