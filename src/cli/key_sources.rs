//! Sources of API keys, and the permission checks of key files.
//!
//! A key is never the value of a flag, as it would be visible in the shell history and in the
//! process list. Only the first configured source is read.

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
use super::exit::{CliError, Exit};
use super::settings::tables::FileKey;

/// Maximum size of a key file, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The configured sources of API keys.
#[derive(Debug, Default)]
pub(super) struct KeySources {
    pub(super) file: Option<PathBuf>,
    pub(super) command: Option<String>,
    pub(super) listed: Vec<FileKey>,
    pub(super) insecure: bool,
}

/// An API key with its label and limits.
#[derive(Clone, Debug)]
pub(super) struct NamedKey {
    pub(super) label: String,
    pub(super) secret: SecretString,
    /// The group of keys with which it shares limits or an account.
    pub(super) group: Option<String>,
    pub(super) weight: NonZeroU32,
    /// Limits that are configured for this key.
    pub(super) limits: KeyLimits,
    /// The models to use it for; all if empty.
    pub(super) models: Vec<String>,
}

impl KeySources {
    /// Describes the source of the keys, without reading it.
    pub(super) fn describe(&self) -> String {
        if let Some(path) = &self.file {
            return format!("file {}", path.display());
        }
        if self.command.is_some() {
            return "command (api-key-command)".to_owned();
        }
        if let Some(path) = credential() {
            return format!("credential {}", path.display());
        }
        if !self.listed.is_empty() {
            let keys = self.listed.iter().enumerate().map(describe_listed);
            return keys.collect::<Vec<_>>().join(", ");
        }
        match (self.count(), environment::text("OPENAI_API_KEY")) {
            (0, None) => "none".to_owned(),
            (0, Some(_)) => "environment variable OPENAI_API_KEY".to_owned(),
            (count, _) => format!("{count} in environment variable PROMPTMILL_API_KEYS"),
        }
    }

    /// Returns the source of the keys, and the files that contain them.
    pub(super) fn location(&self) -> (String, Vec<PathBuf>) {
        if let Some(path) = &self.file {
            return (path.display().to_string(), vec![path.clone()]);
        }
        let listed = self.listed.iter();
        let name = if self.command.is_some() {
            "the API key command"
        } else if credential().is_some() {
            "systemd credentials"
        } else if !self.listed.is_empty() {
            let files = listed.filter_map(|key| key.file.clone()).collect();
            return ("[[keys]] in the settings file".to_owned(), files);
        } else if environment::text("PROMPTMILL_API_KEYS").is_some() {
            "PROMPTMILL_API_KEYS"
        } else {
            "OPENAI_API_KEY"
        };
        (name.to_owned(), Vec::new())
    }

    /// Counts the keys without reading files or running commands; 0 if that would be necessary.
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

    /// Reads the keys of the first configured source. It is not an error if there are none.
    pub(super) async fn read(&self) -> Result<Vec<NamedKey>, CliError> {
        let text = if let Some(path) = &self.file {
            read_file(path, self.insecure)?
        } else if let Some(command) = &self.command {
            run_command(command).await?
        } else if let Some(path) = credential() {
            // systemd restricts access to credentials.
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
        let default = FileKey::default();
        let keys = lines.map(|line| (&default, line.to_owned().into()));
        label_keys(keys.collect())
    }

    async fn read_listed(&self) -> Result<Vec<NamedKey>, CliError> {
        let mut keys = Vec::new();
        for key in &self.listed {
            let text = match (&key.env, &key.file, &key.command) {
                (Some(name), None, None) => {
                    let what = format!("environment variable {name} is not set");
                    let hint = "set it, or remove the key from the settings file";
                    let missing = || CliError::new(Exit::NoKey, &what, hint);
                    SecretString::from(environment::text(name).ok_or_else(missing)?)
                }
                (None, Some(path), None) => read_file(path, self.insecure)?,
                (None, None, Some(command)) => run_command(command).await?,
                _ => {
                    let what = "a key in the settings file has no source, or more than one";
                    let hint = "set exactly one of `env`, `file`, and `command` in each [[keys]]";
                    return Err(CliError::new(Exit::Config, what, hint));
                }
            };
            keys.push((key, text.expose_secret().trim().to_owned().into()));
        }
        label_keys(keys)
    }
}

fn describe_listed((index, key): (usize, &FileKey)) -> String {
    let label = key.label.clone();
    let label = label.unwrap_or_else(|| format!("key-{}", index + 1));
    let source = match (&key.env, &key.file, &key.command) {
        (Some(name), ..) => format!("environment variable {name}"),
        (_, Some(path), _) => format!("file {}", path.display()),
        (_, _, Some(_)) => "command".to_owned(),
        _ => "no source".to_owned(),
    };
    format!("{label} ({source})")
}

/// Labels the keys, removes duplicates, and rejects malformed keys.
fn label_keys(keys: Vec<(&FileKey, SecretString)>) -> Result<Vec<NamedKey>, CliError> {
    let mut seen = HashSet::new();
    let mut named = Vec::new();
    for (index, (listed, secret)) in keys.into_iter().enumerate() {
        let label = listed
            .label
            .clone()
            .unwrap_or_else(|| format!("key-{}", index + 1));
        let key = secret.expose_secret();
        let key = key
            .strip_prefix("Bearer ")
            .unwrap_or(key)
            .trim_matches(['"', '\'']);
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let what = format!(
                "{label} is not a valid API key: it is empty, or has spaces or non-ASCII characters"
            );
            let hint = "remove spaces, comments, and names around the key";
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
                    zone: listed.zone.clone().unwrap_or_default(),
                },
                models: listed.models.clone(),
            });
        }
    }
    Ok(named)
}

fn credential() -> Option<PathBuf> {
    environment::credentials()
        .map(|directory| directory.join("api-keys"))
        .filter(|path| path.exists())
}

/// Reads a key file that only its owner can access. The open file is checked, so that it cannot be
/// replaced between check and read.
fn read_file(path: &Path, insecure: bool) -> Result<SecretString, CliError> {
    let displayed = path.display();
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let flags = if insecure { 0 } else { no_follow };
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|error| {
            let what = format!("cannot read the key file {displayed}: {error}");
            let hint = "pass an existing file that you own and that is not a symbolic link";
            CliError::new(Exit::NoKey, &what, hint)
        })?;
    check_file(&file, path, insecure)?;
    let mut text = String::new();
    file.take(MAX_FILE)
        .read_to_string(&mut text)
        .map_err(|error| {
            let what = format!("cannot read the key file {displayed}: {error}");
            let hint = "pass a text file with one key per line";
            CliError::new(Exit::NoKey, &what, hint)
        })?;
    Ok(SecretString::from(text))
}

fn check_file(file: &File, path: &Path, insecure: bool) -> Result<(), CliError> {
    let displayed = path.display();
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        let what = format!("the key file {displayed} is not a regular file");
        let hint = "pass a text file with one key per line";
        return Err(CliError::new(Exit::NoKey, &what, hint));
    }
    let is_private = metadata.mode().trailing_zeros() >= 6;
    let is_own = [0, rustix::process::getuid().as_raw()].contains(&metadata.uid());
    if insecure || (is_own && is_private) {
        return Ok(());
    }
    let what = if is_own {
        format!(
            "other users have access to the key file {displayed} (mode {:o})",
            metadata.mode() & 0o777
        )
    } else {
        format!("the key file {displayed} belongs to another user")
    };
    let hint =
        format!("run `chmod 600 {displayed}`, or pass --insecure-key-file to accept the file");
    Err(CliError::new(Exit::NoKey, &what, &hint))
}

/// Runs the user's command that prints keys. Its standard error is inherited.
async fn run_command(command: &str) -> Result<SecretString, CliError> {
    let failed = |reason: String| {
        let what = format!("the API key command failed: {reason}");
        let hint = "run the command in a shell: it must print one key per line";
        CliError::new(Exit::NoKey, &what, hint)
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
    let text = String::from_utf8(output.stdout);
    let text = text.map_err(|_| failed("its output is not UTF-8".to_owned()))?;
    Ok(SecretString::from(text))
}
