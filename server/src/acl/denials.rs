//! ACL LOG: what was refused of late, so much of it as `acllog-max-len` says.
//!
//! The same thing refused again within a minute is counted, and not listed again.

use std::collections::VecDeque;

use parking_lot::Mutex;
use veddb_commands::session::DenialEntry;

/// What is refused again within this time of the last is the same entry, milliseconds.
const SAME_MS: u64 = 60_000;
/// So many of the latest entries are compared with.
const COMPARED: usize = 10;

/// What was refused, the latest first.
#[derive(Debug, Default)]
pub(crate) struct Denials(Mutex<Log>);

#[derive(Debug, Default)]
struct Log {
    entries: VecDeque<DenialEntry>,
    next_id: u64,
}

impl Denials {
    /// Adds one; its `count`, `id` and `created_ms` are filled in here.
    pub(crate) fn add(&self, entry: DenialEntry, most: usize) {
        let mut log = self.0.lock();
        if most == 0 {
            log.entries.clear();
            return;
        }
        let is_same = |known: &DenialEntry| {
            (known.reason, known.context) == (entry.reason, entry.context)
                && known.object == entry.object
                && known.user == entry.user
                && entry.updated_ms.abs_diff(known.updated_ms) <= SAME_MS
        };
        let same = log.entries.iter().take(COMPARED).position(is_same);
        if let Some(mut known) = same.and_then(|at| log.entries.remove(at)) {
            (known.client, known.updated_ms) = (entry.client, entry.updated_ms);
            known.count += 1;
            log.entries.push_front(known);
            return;
        }
        let id = log.next_id;
        log.next_id += 1;
        let created_ms = entry.updated_ms;
        log.entries.push_front(DenialEntry { count: 1, id, created_ms, ..entry });
        log.entries.truncate(most);
    }

    /// The latest ones.
    pub(crate) fn latest(&self, most: usize) -> Vec<DenialEntry> {
        self.0.lock().entries.iter().take(most).cloned().collect()
    }

    /// Forgets them.
    pub(crate) fn clear(&self) {
        self.0.lock().entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_counted_and_the_oldest_is_forgotten() {
        let entry = |object: &'static str, updated_ms| DenialEntry {
            count: 0,
            reason: "key",
            context: "toplevel",
            object: object.into(),
            user: "ada".into(),
            client: String::new(),
            id: 0,
            created_ms: 0,
            updated_ms,
        };
        let denials = Denials::default();
        for (object, at) in [("a", 1), ("b", 2), ("a", 3), ("a", 70_000), ("c", 70_001)] {
            denials.add(entry(object, at), 3);
        }
        let shown: Vec<_> =
            denials.latest(9).iter().map(|known| (known.object.clone(), known.count, known.id)).collect();
        assert_eq!(shown, [("c".into(), 1, 3), ("a".into(), 1, 2), ("a".into(), 2, 0)]);
    }
}
