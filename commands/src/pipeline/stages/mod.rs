//! The stages, one entry each in [`STAGES`].

mod bucket;
mod bucket_auto;
mod densify;
mod documents;
mod facet;
mod fill;
mod granularity;
mod graph;
mod group;
mod limit;
mod lookup;
mod matching;
mod project;
mod redact;
mod replace;
mod sample;
mod sort;
mod union;
mod unwind;
pub mod window;
mod write;

use std::sync::Arc;

use veddb_storage::document::ValueRef;

use super::{Reader, Stage};

pub use lookup::Lookup;
pub use matching::Match;
pub use sort::Sorted;
pub use unwind::Unwind;

/// A stage of the language.
#[derive(Debug)]
pub struct StageOperator {
    /// With its dollar sign.
    pub name: &'static str,
    /// One sentence for the reference.
    pub summary: &'static str,
    /// Where it may stand.
    pub place: Place,
    /// Reads its operand; some are several stages.
    pub parse: fn(&mut Reader<'_>, ValueRef<'_>) -> Parsed,
}

/// What reading a stage comes to.
pub type Parsed = Result<Vec<Arc<dyn Stage>>, String>;

/// Where a stage may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Anywhere.
    Anywhere,
    /// Only at the beginning.
    First,
    /// Only at the end of the whole pipeline.
    Last,
}

/// Every stage, by family.
pub const STAGES: &[&[StageOperator]] = &[
    documents::STAGES,
    matching::STAGES,
    project::STAGES,
    replace::STAGES,
    redact::STAGES,
    limit::STAGES,
    sort::STAGES,
    unwind::STAGES,
    group::STAGES,
    lookup::STAGES,
    graph::STAGES,
    union::STAGES,
    facet::STAGES,
    write::STAGES,
    bucket::STAGES,
    bucket_auto::STAGES,
    sample::STAGES,
    window::STAGES,
    densify::STAGES,
    fill::STAGES,
];

/// The stage of this name.
pub fn find(name: &str) -> Option<&'static StageOperator> {
    STAGES.iter().flat_map(|family| family.iter()).find(|stage| stage.name == name)
}
