//! Where keys come from, and the checks of a key file.
//!
//! A key is never a flag's value: it would stand in the shell's history and in the process list.
//! The first source that is there is taken; sources are not mixed.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::num::NonZeroU32;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::fs::OFlags;
use secrecy::{ExposeSecret, SecretString};
use tokio::process::Command;

use crate::domain::limits::KeyLimits;

use super::environment;
use super::error::CliError;
use super::exit::Exit;
use super::file::FileKey;

/// The largest key file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Where to look for keys.
#[derive(Debug, Default)]
pub(super) struct KeySources {
    pub(super) file: Option<PathBuf>,
    pub(super) command: Option<String>,
    pub(super) listed: Vec<FileKey>,
    pub(super) insecure: bool,
}

/// A key with its name for people.
#[derive(Clone, Debug)]
pub(super) struct NamedKey {
    pub(super) label: String,
    pub(super) secret: SecretString,
    /// The limit or account that it shares with other keys.
    pub(super) group: Option<String>,
    pub(super) weight: NonZeroU32,
    /// What it may send, as far as it says itself.
    pub(super) limits: KeyLimits,
    /// The models it may be used for; empty is all.
    models: Vec<String>,
}

impl NamedKey {
    /// Makes a key of weight 1, in no group, for all models.
    pub(super) fn new(label: String, secret: SecretString) -> Self {
        Self {
            label,
            secret,
            group: None,
            weight: NonZeroU32::MIN,
            limits: KeyLimits::default(),
            models: Vec::new(),
        }
    }

    /// Tells whether the key may be used for a model.
    pub(super) fn serves(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|served| served == model)
    }
}

impl KeySources {
    /// Says where keys would be read from, without reading one.
    pub(super) fn describe(&self) -> String {
        if let Some(path) = &self.file {
            return format!("the file {}", path.display());
        }
        if self.command.is_some() {
            return "a command (api-key-command)".to_owned();
        }
        if let Some(path) = credential() {
            return format!("the credential {}", path.display());
        }
        if !self.listed.is_empty() {
            let keys = self.listed.iter().enumerate().map(describe_listed);
            return keys.collect::<Vec<_>>().join(", ");
        }
        match (self.count(), environment::text("OPENAI_API_KEY")) {
            (0, None) => "none".to_owned(),
            (0, Some(_)) => "the variable OPENAI_API_KEY".to_owned(),
            (count, _) => format!("{count} in the variable PROMPTMILL_API_KEYS"),
        }
    }

    /// Counts the keys without reading one: 0 where only reading would tell.
    pub(super) fn count(&self) -> usize {
        if self.file.is_some() || self.command.is_some() || credential().is_some() {
            return 0;
        }
        if !self.listed.is_empty() {
            return self.listed.len();
        }
        let list = environment::text("PROMPTMILL_API_KEYS").unwrap_or_default();
        let keys = list.split(',').filter(|key| !key.trim().is_empty());
        keys.count()
    }

    /// Reads the keys of the first source that is there; none at all is no error.
    pub(super) async fn read(&self) -> Result<Vec<NamedKey>, CliError> {
        let text = if let Some(path) = &self.file {
            read_file(path, self.insecure)?
        } else if let Some(command) = &self.command {
            run_command(command).await?
        } else if let Some(path) = credential() {
            // systemd has checked who may read it.
            read_file(&path, true)?
        } else if !self.listed.is_empty() {
            return self.read_listed().await;
        } else if let Some(list) = environment::text("PROMPTMILL_API_KEYS") {
            SecretString::from(list.replace(',', "\n"))
        } else {
            SecretString::from(environment::text("OPENAI_API_KEY").unwrap_or_default())
        };
        let lines = text.expose_secret().lines();
        let lines = lines
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let plain = FileKey::default();
        named(lines.map(|line| (&plain, line.to_owned().into())).collect())
    }

    async fn read_listed(&self) -> Result<Vec<NamedKey>, CliError> {
        let mut keys = Vec::new();
        for key in &self.listed {
            let text = match key {
                FileKey {
                    env: Some(name),
                    file: None,
                    command: None,
                    ..
                } => {
                    let what = format!("the environment variable {name} of a key is not set");
                    let missing =
                        || CliError::new(Exit::NoKey, &what, "set it, or take the key out");
                    SecretString::from(environment::text(name).ok_or_else(missing)?)
                }
                FileKey {
                    file: Some(path),
                    env: None,
                    command: None,
                    ..
                } => read_file(path, self.insecure)?,
                FileKey {
                    command: Some(command),
                    env: None,
                    file: None,
                    ..
                } => run_command(command).await?,
                _ => {
                    let what = "a key of the settings file does not have just one source";
                    let hint = "give each of [[keys]] one of `env`, `file` and `command`";
                    return Err(CliError::new(Exit::Config, what, hint));
                }
            };
            keys.push((key, text.expose_secret().trim().to_owned().into()));
        }
        named(keys)
    }
}

fn describe_listed((place, key): (usize, &FileKey)) -> String {
    let label = key.label.clone();
    let label = label.unwrap_or_else(|| format!("key-{}", place + 1));
    let source = match (&key.env, &key.file, &key.command) {
        (Some(name), ..) => format!("variable {name}"),
        (_, Some(path), _) => format!("file {}", path.display()),
        (_, _, Some(_)) => "a command".to_owned(),
        _ => "no source".to_owned(),
    };
    format!("{label} ({source})")
}

/// Names the keys, drops doubles, and refuses what no provider can have given out.
fn named(keys: Vec<(&FileKey, SecretString)>) -> Result<Vec<NamedKey>, CliError> {
    let mut seen = HashSet::new();
    let mut named = Vec::new();
    for (place, (listed, secret)) in keys.into_iter().enumerate() {
        let label = listed
            .label
            .clone()
            .unwrap_or_else(|| format!("key-{}", place + 1));
        let key = secret.expose_secret();
        let key = key
            .strip_prefix("Bearer ")
            .unwrap_or(key)
            .trim_matches(['"', '\'']);
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let what = format!("{label} is no key: it is empty or has a character that no key has");
            let hint = "a key is one word; look for quotes, spaces or a name in front of it";
            return Err(CliError::new(Exit::NoKey, &what, hint));
        }
        if seen.insert(key.to_owned()) {
            named.push(NamedKey {
                label,
                secret: SecretString::from(key),
                group: listed.group.clone(),
                weight: listed.weight.unwrap_or(NonZeroU32::MIN),
                limits: KeyLimits {
                    rpm: listed.rpm,
                    tpm: listed.tpm,
                    rpd: listed.rpd,
                    in_flight: listed.concurrency,
                    zone: listed.zone.unwrap_or_default(),
                },
                models: listed.models.clone(),
            });
        }
    }
    Ok(named)
}

fn credential() -> Option<PathBuf> {
    environment::credentials()
        .map(|folder| folder.join("api-keys"))
        .filter(|path| path.exists())
}

/// Reads a key file that only we may read. The checks are made on the open file, so that it cannot
/// be exchanged after them.
fn read_file(path: &Path, insecure: bool) -> Result<SecretString, CliError> {
    let shown = path.display();
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let flags = if insecure { 0 } else { no_follow };
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|error| {
            let what = format!("cannot read the key file {shown}: {error}");
            CliError::new(
                Exit::NoKey,
                &what,
                "it must be a file of yours, and no symbolic link",
            )
        })?;
    check_file(&file, path, insecure)?;
    let mut text = String::new();
    file.take(MAX_FILE)
        .read_to_string(&mut text)
        .map_err(|error| {
            let what = format!("cannot read the key file {shown}: {error}");
            CliError::new(Exit::NoKey, &what, "it must be text, one key a line")
        })?;
    Ok(SecretString::from(text))
}

fn check_file(file: &File, path: &Path, insecure: bool) -> Result<(), CliError> {
    let shown = path.display();
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        let what = format!("the key file {shown} is not a file");
        return Err(CliError::new(
            Exit::NoKey,
            &what,
            "name a file with one key a line",
        ));
    }
    let only_ours = metadata.mode().trailing_zeros() >= 6;
    let mine = [0, rustix::process::getuid().as_raw()].contains(&metadata.uid());
    if insecure || (mine && only_ours) {
        return Ok(());
    }
    let what = if mine {
        format!(
            "the key file {shown} may be read by others (mode {:o})",
            metadata.mode() & 0o777
        )
    } else {
        format!("the key file {shown} belongs to another user")
    };
    let hint = format!("chmod 600 {shown}   (or --insecure-key-file, if that is meant so)");
    Err(CliError::new(Exit::NoKey, &what, &hint))
}

/// Runs a command of the user's that prints keys. What it says on standard error is shown.
async fn run_command(command: &str) -> Result<SecretString, CliError> {
    let failed = |why: String| {
        let what = format!("the key command failed: {why}");
        CliError::new(
            Exit::NoKey,
            &what,
            "run it by hand: it must print one key a line",
        )
    };
    let mut shell = Command::new("sh");
    let shell = shell
        .arg("-c")
        .arg(command)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = shell
        .output()
        .await
        .map_err(|error: io::Error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    let text = String::from_utf8(output.stdout).map_err(|_| failed("no text".to_owned()))?;
    Ok(SecretString::from(text))
}
