//! What a run has found, as it is printed.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

/// Times in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<f64>);

impl Times {
    /// Adds the time between two moments in nanoseconds.
    pub(crate) fn add(&mut self, from: u64, to: u64) {
        self.0.push(to.saturating_sub(from) as f64 / 1e6);
        self.0.sort_by(f64::total_cmp);
    }

    fn at(&self, share: f64) -> f64 {
        // The least one that so large a share is not above.
        let at = (self.0.len() as f64 * share).ceil() as usize;
        self.0.get(at.saturating_sub(1)).copied().unwrap_or_default()
    }
}

impl Display for Times {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} | {:.0} | {:.0} | {:.0}", self.at(0.0), self.at(0.5), self.at(0.99), self.at(1.0))
    }
}

/// The figures of one run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What was asked of the servers and clients.
    pub(crate) mode: &'static str,
    pub(crate) kills: u64,
    pub(crate) cuts: u64,
    /// How a primary is cut off.
    pub(crate) cut: &'static str,
    /// Writes that were acknowledged, refused, and neither.
    pub(crate) done: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
    /// Acknowledged writes that are not there any more.
    pub(crate) lost: u64,
    /// Rounds in which Sentinel replaced more than the one that was harmed, and what was lost in them.
    pub(crate) twice: u64,
    pub(crate) lost_twice: u64,
    /// Before the harm, how long the one that was lost first had been acknowledged.
    pub(crate) lost_ms_most: f64,
    /// Units that primaries that came back moved to files.
    pub(crate) rolled_back: u64,
    /// From the harm to the first acknowledged write that was begun after it, by client and harm.
    pub(crate) resumed: BTreeMap<(&'static str, &'static str), Times>,
    /// From the cut to the first write that the primary refused which was cut off.
    pub(crate) fenced: Times,
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.mode)?;
        let failovers = self.kills + self.cuts;
        writeln!(f, "{failovers} failovers: {} by kill -9, {} by {}", self.kills, self.cuts, self.cut)?;
        writeln!(f, "writes: {} acknowledged, {} refused, {} unknown", self.done, self.refused, self.unknown)?;
        writeln!(f, "acknowledged writes that are lost: {}", self.lost)?;
        if self.lost > 0 {
            writeln!(f, "the first of these was acknowledged {:.1} ms before the harm", self.lost_ms_most)?;
        }
        let (twice, lost) = (self.twice, self.lost_twice);
        writeln!(f, "rounds in which Sentinel replaced a second primary: {twice}; lost in these: {lost}")?;
        writeln!(f, "units in rollback files: {}", self.rolled_back)?;
        writeln!(f, "from the harm to the first acknowledged write begun after it, ms:\n")?;
        writeln!(f, "| client | harm | least | median | p99 | most |\n|---|---|---|---|---|---|")?;
        for ((client, harm), times) in &self.resumed {
            writeln!(f, "| {client} | {harm} | {times} |")?;
        }
        if !self.fenced.0.is_empty() {
            writeln!(f, "| a client beside it is refused | cut | {} |", self.fenced)?;
        }
        Ok(())
    }
}
