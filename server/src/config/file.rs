//! Reads settings from a file in redis.conf syntax and from the command line.
//!
//! A line is a name and its value, quoted as Redis quotes; `#` begins a comment line. Flags come after the file and
//! win: `veddb server veddb.conf --port 7000 --bind 127.0.0.1`.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::Settings;
use super::table::Setting;
use crate::quoting;

/// What a start was asked for.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// The file they came from, absolute; none when from flags or standard input alone.
    pub file: Option<PathBuf>,
}

/// Why the server does not start. Shows the line as Redis does, without the value of a secret.
#[derive(Debug)]
pub enum ConfigError {
    /// A line or flag that cannot be.
    Bad {
        /// The file, or what stands for it.
        origin: String,
        /// Counted from 1; 0 for a flag.
        line: usize,
        /// The line.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// The file cannot be read.
    Unreadable(PathBuf, std::io::Error),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "*** FATAL CONFIG FILE ERROR (VedDB {}) ***", env!("CARGO_PKG_VERSION"))?;
        match self {
            ConfigError::Bad { origin, line: 0, text, reason } => {
                write!(f, "Reading {origin}\n>>> '{text}'\n{reason}")
            }
            ConfigError::Bad { origin, line, text, reason } => {
                write!(f, "Reading the configuration file {origin}, at line {line}\n>>> '{text}'\n{reason}")
            }
            ConfigError::Unreadable(path, source) => write!(f, "can't open config file '{}': {source}", path.display()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Reads `[FILE|-] [--setting value ...]`.
pub fn load(arguments: &[String]) -> Result<Loaded, ConfigError> {
    let mut settings = Settings::default();
    let mut file = None;
    let mut flags = arguments;
    if let Some((first, rest)) = arguments.split_first().filter(|(first, _)| !first.starts_with("--")) {
        flags = rest;
        if first == "-" {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|error| ConfigError::Unreadable(PathBuf::from("-"), error))?;
            read_text(&mut settings, &text, "standard input")?;
        } else {
            let path = Path::new(first);
            let unreadable = |error| ConfigError::Unreadable(path.to_owned(), error);
            let text = std::fs::read_to_string(path).map_err(unreadable)?;
            read_text(&mut settings, &text, first)?;
            file = Some(std::path::absolute(path).map_err(unreadable)?);
        }
    }
    read_flags(&mut settings, flags)?;
    Ok(Loaded { settings, file })
}

fn read_text(settings: &mut Settings, text: &str, origin: &str) -> Result<(), ConfigError> {
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let set = words(line).and_then(|words| match words.split_first() {
            Some((name, values)) => set(settings, name, values),
            None => Ok(()),
        });
        set.map_err(|reason| ConfigError::Bad {
            origin: origin.to_owned(),
            line: at + 1,
            text: without_secret(line),
            reason,
        })?;
    }
    Ok(())
}

/// The words of a line of the file.
pub(super) fn words(line: &str) -> Result<Vec<String>, String> {
    let words = quoting::split(line.as_bytes()).ok_or("Unbalanced quotes in configuration line")?;
    words.into_iter().map(|word| String::from_utf8(word).map_err(|_| "the line is not UTF-8".to_owned())).collect()
}

fn read_flags(settings: &mut Settings, flags: &[String]) -> Result<(), ConfigError> {
    let mut rest = flags;
    while let Some((flag, after)) = rest.split_first() {
        // A value may itself begin with dashes only by standing in the file.
        let count = after.iter().take_while(|word| !word.starts_with("--")).count();
        let (values, next) = after.split_at(count);
        rest = next;
        let result = match flag.strip_prefix("--") {
            Some(name) => set(settings, name, values),
            None => Err("a setting is written --name value".to_owned()),
        };
        result.map_err(|reason| ConfigError::Bad {
            origin: "the command line".to_owned(),
            line: 0,
            text: without_secret(&[std::slice::from_ref(flag), values].concat().join(" ")),
            reason,
        })?;
    }
    Ok(())
}

fn set(settings: &mut Settings, name: &str, values: &[String]) -> Result<(), String> {
    if is_account(name) {
        let [_, ..] = values else { return Err("a user or a role needs a name".to_owned()) };
        let name_of =
            |words: &[Bytes]| words.first().zip(words.get(1)).map(|(kind, name)| (kind.clone(), name.clone()));
        let mut line = vec![Bytes::from(name.to_ascii_lowercase())];
        line.extend(values.iter().map(|value| Bytes::from(value.clone())));
        if settings.users.iter().any(|known| name_of(known) == name_of(&line)) {
            return Err("Duplicate user found. A user can only be defined once in config files".to_owned());
        }
        settings.users.push(line);
        return Ok(());
    }
    let setting = Setting::find(name.as_bytes()).ok_or("Bad directive or wrong number of arguments")?;
    // Only some take several words, as in redis.conf; `save ""` is one empty word.
    let value = match values {
        [] => return Err("Bad directive or wrong number of arguments".to_owned()),
        [one] => one.clone(),
        _ if setting.words => values.join(" "),
        _ => return Err("Bad directive or wrong number of arguments".to_owned()),
    };
    (setting.set)(settings, &value)
}

/// Whether a line is about a user or a role, and not a setting.
pub(super) fn is_account(name: &str) -> bool {
    ["user", "role"].iter().any(|word| word.eq_ignore_ascii_case(name))
}

fn without_secret(line: &str) -> String {
    let name = line.split_whitespace().next().unwrap_or_default().trim_start_matches("--");
    let is_secret = Setting::find(name.as_bytes()).is_some_and(|setting| setting.secret);
    if is_secret || is_account(name) { format!("{name} (hidden)") } else { line.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        let mut settings = Settings::default();
        read_text(&mut settings, text, "test.conf").map_err(|error| error.to_string())?;
        Ok(settings)
    }

    #[test]
    fn a_file_is_read_as_redis_reads_it() {
        let text =
            "# comment\n\n  port 7000\nBIND 127.0.0.1 ::1\nrequirepass \"a b\"\nmaxmemory-cache 1mb\nsave \"\"\n";
        let settings = read(text).unwrap();
        assert_eq!(settings.port, 7000);
        assert_eq!(settings.bind.len(), 2);
        assert_eq!(settings.requirepass.0, "a b");
        assert_eq!(settings.maxmemory_cache, 1 << 20);
    }

    #[test]
    fn a_bad_line_is_named() {
        let refused = read("port 1\nfoo bar\n").unwrap_err();
        assert!(refused.ends_with("test.conf, at line 2\n>>> 'foo bar'\nBad directive or wrong number of arguments"));
        assert!(read("port 70000").unwrap_err().ends_with("argument must be between 0 and 65535 inclusive"));
        assert!(read("port").unwrap_err().ends_with("Bad directive or wrong number of arguments"));
        assert!(read("requirepass a b").unwrap_err().contains("(hidden)"));
        assert!(read("dir \"x").unwrap_err().ends_with("Unbalanced quotes in configuration line"));
    }

    #[test]
    fn flags_win_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("veddb.conf");
        std::fs::write(&path, "port 7000\ntimeout 5\n").unwrap();
        let arguments = [path.to_str().unwrap(), "--port", "7001", "--bind", "127.0.0.1", "::1"].map(str::to_owned);
        let loaded = load(&arguments).unwrap();
        assert_eq!((loaded.settings.port, loaded.settings.timeout_s), (7001, 5));
        assert_eq!(loaded.file.as_deref(), Some(path.as_path()));
        assert!(load(&["--nope".to_owned(), "1".to_owned()]).is_err());
    }
}
