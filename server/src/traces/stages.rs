//! Where the time of a request goes: the stretches of it that are spans of their own.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use veddb_storage::Logged;

/// Stretches of one request that are kept; of a command that commits more often the first ones are, and the last.
const STAGES_MAX: usize = 64;

/// The stages of long work.
pub(crate) const WAIT_FOR_A_THREAD: &str = "wait for a thread";
pub(crate) const WORK: &str = "work";

/// A stretch of a request's time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stage {
    /// What it went to.
    pub(crate) name: &'static str,
    pub(crate) from: Instant,
    pub(crate) to: Instant,
    /// Units of the group of writes that it was one of.
    pub(crate) units: Option<u32>,
}

/// Where whoever works for a request notes it; nowhere where nothing is traced.
#[derive(Debug, Clone, Default)]
pub struct Stages(Option<Arc<Mutex<Vec<Stage>>>>);

impl Stages {
    /// Stages that are kept.
    pub(crate) fn kept() -> Stages {
        Stages(Some(Arc::default()))
    }

    /// Whether it is worth to look at the clock.
    pub(crate) fn are_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Notes a stretch.
    pub(crate) fn note(&self, name: &'static str, from: Instant, to: Instant) {
        self.add(&[Stage { name, from, to, units: None }]);
    }

    /// Notes how a group of writes came into the log.
    pub(crate) fn note_log(&self, logged: &Logged) {
        let Logged { units, began, written, synced } = *logged;
        let stage = |name, from, to| Stage { name, from, to, units: Some(units) };
        self.add(&[stage("log write", began, written)]);
        if let Some(synced) = synced {
            self.add(&[stage("log sync", written, synced)]);
        }
    }

    fn add(&self, stages: &[Stage]) {
        if let Some(kept) = &self.0 {
            let mut kept = kept.lock();
            for stage in stages {
                if kept.len() == STAGES_MAX {
                    kept.pop();
                }
                kept.push(*stage);
            }
        }
    }

    /// Notes what the time went to since this, where work was given up that had not noted its end.
    pub(crate) fn note_rest(&self, asked: Instant) {
        let Some(kept) = &self.0 else { return };
        let last = kept.lock().last().map(|stage| stage.to);
        let (name, from) = last.map_or((WAIT_FOR_A_THREAD, asked), |to| (WORK, to));
        self.note(name, from, Instant::now());
    }

    /// What was noted so far.
    pub(crate) fn take(&self) -> Vec<Stage> {
        self.0.as_ref().map_or_else(Vec::new, |kept| std::mem::take(&mut kept.lock()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_kept_than_there_may_be() {
        let (stages, now) = (Stages::kept(), Instant::now());
        (0..STAGES_MAX + 5).for_each(|_| stages.note("run", now, now));
        stages.note("work", now, now);
        let kept = stages.take();
        assert_eq!((kept.len(), kept.last().map(|stage| stage.name)), (STAGES_MAX, Some("work")));
        assert!(stages.take().is_empty());
        let nowhere = Stages::default();
        nowhere.note("run", now, now);
        assert!(nowhere.take().is_empty());
    }
}
