//! How far a rotation has come: the file `<dir>/rotation`, replaced after each batch.
//!
//! It saves work after a crash and decides nothing: a record under the new key is passed over wherever the pass begins, and
//! a rotation is completed by what is counted then.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Figures, KeyCounts};
use crate::Error;
use crate::error::io;
use crate::seal::{Purpose, Rotation, Sealer, replace_file};

const CONTEXT: &[u8] = b"rotation";
const FORMAT: u32 = 1;

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Step {
    /// Count the records.
    Count,
    /// Re-seal documents.
    Documents,
    /// Re-seal index pages.
    Pages,
    /// Let go of everything older, and look whether anything is left.
    Finish,
}

/// How far a rotation has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Progress {
    format: u32,
    from: u32,
    to: u32,
    pub(super) step: Step,
    /// The key of the engine at which the step goes on, hexadecimal.
    after: String,
    /// Records passed.
    pub(super) done: u64,
    /// Records counted at the beginning.
    pub(super) total: u64,
    /// Records by key.
    pub(super) records: KeyCounts,
}

/// The file of a data directory.
pub(crate) fn file(dir: &Path) -> PathBuf {
    dir.join("rotation")
}

/// Reads the file; none where there is none.
pub(super) fn read(path: &Path, sealer: &Sealer) -> Result<Option<Progress>, Error> {
    let sealed = match std::fs::read(path) {
        Ok(sealed) => sealed,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(path, error)),
    };
    let damaged = |what: String| Error::Damaged { path: path.to_path_buf(), at: "offset 0".into(), what };
    let plain = sealer.open(Purpose::Catalog, CONTEXT, &sealed).map_err(|e| damaged(e.to_string()))?;
    let progress: Progress = serde_json::from_slice(&plain).map_err(|e| damaged(e.to_string()))?;
    if progress.format != FORMAT {
        return Err(damaged(format!("format {} is not known to this version", progress.format)));
    }
    Ok(Some(progress))
}

impl Progress {
    /// A rotation that begins, or begins again.
    pub(super) fn new(rotation: &Rotation) -> Progress {
        Progress {
            format: FORMAT,
            from: rotation.from,
            to: rotation.to,
            step: Step::Count,
            after: String::new(),
            done: 0,
            total: 0,
            records: KeyCounts::new(),
        }
    }

    /// Whether it is of this rotation. One that is turned round begins anew.
    pub(super) fn is_of(&self, rotation: &Rotation) -> bool {
        (self.from, self.to) == (rotation.from, rotation.to)
    }

    /// Where the step goes on.
    pub(super) fn after(&self) -> Vec<u8> {
        hex::decode(&self.after).unwrap_or_default()
    }

    /// Goes on there, or with another step.
    pub(super) fn advance(&mut self, step: Step, after: &[u8]) {
        self.step = step;
        self.after = hex::encode(after);
    }

    /// Notes a batch.
    pub(super) fn passed(&mut self, seen: u64, renewed: u64) {
        self.done += seen;
        let before = self.records.entry(self.from).or_default();
        let moved = renewed.min(*before);
        *before -= moved;
        *self.records.entry(self.to).or_default() += moved;
    }

    /// Puts it on disk.
    pub(super) fn save(&self, path: &Path, sealer: &Sealer) -> Result<(), Error> {
        let plain = serde_json::to_vec(self).map_err(|e| Error::Engine(e.to_string()))?;
        let mut sealed = Vec::new();
        sealer.seal(Purpose::Catalog, CONTEXT, &plain, &mut sealed);
        replace_file(path, &sealed)
    }

    /// Shows it to whoever asks.
    pub(super) fn show(&self, figures: &mut Figures) {
        figures.step = match self.step {
            Step::Count => "count",
            Step::Documents => "documents",
            Step::Pages => "pages",
            Step::Finish => "finish",
        }
        .to_owned();
        (figures.done, figures.total) = (self.done, self.total);
        figures.records.clone_from(&self.records);
        figures.counted = None;
    }
}
