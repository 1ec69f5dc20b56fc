//! Names that collections had: who reads the log later than it was written finds in it numbers alone.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

use crate::collection::CollectionHandle;
use crate::commit::Committer;
use crate::lsn::Lsn;
use crate::view::{Names, State};

/// So many are remembered, and at most twice as many between two looks.
const NAMES_MAX: usize = 20_000;

/// A name that a collection had up to a unit, in which it was dropped or got another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PastName {
    pub(crate) collection: u32,
    pub(crate) db: u8,
    pub(crate) name: Arc<str>,
    pub(crate) until: Lsn,
}

/// Without those that nobody asks for who reads after this unit, and the unit after which all are known: that one, or a later one
/// where there are too many of them.
pub(crate) fn after(names: &[PastName], lsn: Lsn) -> (Vec<PastName>, Lsn) {
    let kept: Vec<&PastName> = names.iter().filter(|name| name.until > lsn).collect();
    let (forgotten, kept) = kept.split_at(kept.len().saturating_sub(NAMES_MAX));
    let known_after = forgotten.iter().map(|name| name.until).fold(lsn, Lsn::max);
    (kept.iter().copied().cloned().collect(), known_after)
}

impl Committer {
    /// Forgets names of units that the log no longer has: nobody asks for them any more. Of too many the oldest, too. Before a state
    /// without them is published.
    pub(crate) fn forget_names(&mut self) {
        let before = self.shared.feed.lsn_first().saturating_sub(1);
        let names = &self.working.past_names;
        if names.first().is_some_and(|name| name.until <= before) || names.len() > NAMES_MAX {
            let (names, known_after) = after(names, before);
            self.working.past_names = Arc::new(names);
            self.shared.feed.forget_names(known_after);
        }
    }

    /// The same where there are so many that the next checkpoint is not to be waited for.
    pub(crate) fn forget_names_if_many(&mut self) {
        if self.working.past_names.len() > 2 * NAMES_MAX {
            self.forget_names();
        }
    }
}

/// Where collections are looked up by number and moment.
pub(crate) struct NamesAt<'s> {
    now: HashMap<u32, &'s CollectionHandle>,
    past: HashMap<u32, Vec<&'s PastName>>,
}

impl<'s> NamesAt<'s> {
    pub(crate) fn of(state: &'s State) -> NamesAt<'s> {
        let now = state.databases.iter().flat_map(Names::values).map(|found| (found.id().0, found)).collect();
        let mut past: HashMap<u32, Vec<&PastName>> = HashMap::new();
        for name in &*state.past_names {
            past.entry(name.collection).or_default().push(name);
        }
        NamesAt { now, past }
    }

    /// Database and name of a collection before the end of a unit; none when that is not known any more.
    pub(crate) fn at(&self, collection: u32, lsn: Lsn) -> Option<(u8, &'s str)> {
        // In the order of their units.
        let past = self.past.get(&collection).and_then(|names| names.iter().find(|name| name.until >= lsn));
        past.map(|name| (name.db, &*name.name))
            .or_else(|| self.now.get(&collection).map(|found| (found.0.meta.db, found.name())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_names_the_oldest_are_forgotten_and_that_is_told() {
        let name = |until| PastName { collection: until as u32, db: 0, name: format!("c{until}").into(), until };
        let names: Vec<PastName> = (1..=NAMES_MAX as u64 + 5).map(name).collect();
        let (kept, known_after) = after(&names, 10);
        assert_eq!((kept.len(), known_after, kept[0].until), (NAMES_MAX - 5, 10, 11));
        let (kept, known_after) = after(&names, 0);
        assert_eq!((kept.len(), known_after, kept[0].until), (NAMES_MAX, 5, 6));
    }
}
