//! `veddb rollback show FILE`: prints what a rollback file has, as lines of JSON.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use veddb_storage::rollback_lines;

use crate::config::file;
use crate::data;

/// Runs it with the words after `rollback`.
///
/// # Errors
/// When the words are others, or the file cannot be opened under the master key that the settings name.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    let [verb, path, settings @ ..] = arguments else { bail!("usage: veddb rollback show FILE [--SETTING VALUE ...]") };
    if verb != "show" {
        bail!("no verb {verb}: it is show");
    }
    let path = Path::new(path);
    let loaded = file::load(settings)?;
    // It lies in a directory of the data directory, beside which the master key is where none is named.
    let named = settings.iter().any(|word| word == "--dir") || loaded.file.is_some();
    let dir = if named { loaded.settings.dir.clone() } else { data_directory(path)? };
    let mut out = std::io::stdout().lock();
    rollback_lines(path, &dir, &data::master_key(&loaded.settings)?, &mut |lines| out.write_all(lines))?;
    Ok(())
}

fn data_directory(path: &Path) -> anyhow::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    path.parent()
        .and_then(Path::parent)
        .map(Path::to_owned)
        .context("the file is in no data directory: name it by --dir")
}
