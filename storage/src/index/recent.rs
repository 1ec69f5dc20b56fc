//! Entries of an index that changed since the last checkpoint: what the tree does not know yet.
//!
//! One writer, the committer; readers take a lock for one lookup, one count or one piece of a walk. As in the memory table,
//! every version is kept that a reader may still need. A checkpoint brings the newest ones to the tree in order of their
//! keys, so that a page is written once for many entries.
//!
//! Invariant: a change is a change. What is added was not there, what is removed was.

use parking_lot::RwLock;
use rustc_hash::{FxHashSet, FxHasher};
use std::hash::Hasher as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::entry::Entry;
use super::keys::Keys;
use crate::lsn::Lsn;

/// Entries of a piece; more and it becomes two. Few enough that an insert moves little, and their keys lie together, so
/// that a search touches few cache lines.
const PIECE_ENTRIES_MAX: usize = 48;
/// What an entry costs beside its key.
const ENTRY_OVERHEAD_BYTES: usize = 40;

/// A table of changed entries.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    table: RwLock<Table>,
    bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Table {
    /// Of a unique index: hashes of the fields of all keys, since it is asked before each insert and mostly says no.
    fields: Option<FxHashSet<u64>>,
    /// `firsts[i]` is not greater than any key of piece i, and greater than all keys of the pieces before.
    firsts: Keys,
    pieces: Vec<Piece>,
}

/// Some entries that follow each other.
#[derive(Debug, Default)]
struct Piece {
    keys: Keys,
    entries: Vec<State>,
    /// How many more entries there are now than below the table.
    net: i64,
    /// The last unit that changed one.
    lsn_newest: Lsn,
}

/// What became of one entry. Small, since there is one for every change: mostly there is a single version.
#[derive(Debug)]
struct State {
    /// The first version that a reader may still need, and whether the entry was there before its first change.
    first: Packed,
    /// The versions after it.
    #[expect(clippy::box_collection, reason = "rarely there, and eight bytes where a vector alone has twenty-four")]
    more: Option<Box<Vec<(Lsn, bool)>>>,
}

/// An LSN and two flags in eight bytes.
#[derive(Debug, Clone, Copy)]
struct Packed(u64);

impl Packed {
    fn new(lsn: Lsn, there: bool, below: bool) -> Packed {
        Packed(lsn << 2 | u64::from(there) << 1 | u64::from(below))
    }

    fn version(self) -> (Lsn, bool) {
        (self.0 >> 2, self.0 & 2 != 0)
    }

    fn below(self) -> bool {
        self.0 & 1 != 0
    }
}

impl State {
    fn new(lsn: Lsn, there: bool) -> State {
        State { first: Packed::new(lsn, there, !there), more: None }
    }

    fn below(&self) -> bool {
        self.first.below()
    }

    fn last(&self) -> (Lsn, bool) {
        self.more.as_ref().and_then(|more| more.last().copied()).unwrap_or(self.first.version())
    }

    fn at(&self, lsn: Lsn) -> bool {
        let more = self.more.iter().flat_map(|more| more.iter().rev().copied());
        let mut versions = more.chain([self.first.version()]);
        versions.find(|(at, _)| *at <= lsn).map_or(self.below(), |(_, there)| there)
    }

    fn net(&self, lsn: Lsn) -> i64 {
        i64::from(self.at(lsn)) - i64::from(self.below())
    }

    fn push(&mut self, lsn: Lsn, there: bool, lsn_oldest_reader: Lsn) {
        let (last, was_there) = self.last();
        if last <= lsn_oldest_reader {
            // Nobody sees the versions before it.
            self.first = Packed::new(last, was_there, self.below());
            self.more = None;
        }
        self.more.get_or_insert_default().push((lsn, there));
    }

    /// Takes the newest version back; none when there is no other left.
    fn pop(&mut self) -> Option<()> {
        let more = self.more.as_mut()?;
        more.pop();
        if more.is_empty() {
            self.more = None;
        }
        Some(())
    }

    /// Takes versions after `lsn` back; false when none is left.
    fn truncate(&mut self, lsn: Lsn) -> bool {
        while self.last().0 > lsn {
            if self.pop().is_none() {
                return false;
            }
        }
        true
    }
}

impl Piece {
    fn net_at(&self, lsn: Lsn) -> i64 {
        if self.lsn_newest <= lsn { self.net } else { self.entries.iter().map(|entry| entry.net(lsn)).sum() }
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], &State)> {
        self.entries.iter().enumerate().map(|(at, state)| (self.keys.get(at), state))
    }

    /// Drops entries that are again as they were below, for every reader there is; answers how many bytes that gives.
    fn forget(&mut self, lsn_oldest_reader: Lsn) -> usize {
        let mut bytes = 0;
        for at in (0..self.entries.len()).rev() {
            let settled = |state: &State| {
                let (lsn, there) = state.last();
                lsn <= lsn_oldest_reader && there == state.below()
            };
            if self.entries.get(at).is_some_and(settled) {
                bytes += self.keys.get(at).len() + ENTRY_OVERHEAD_BYTES;
                self.remove(at);
            }
        }
        bytes
    }

    fn remove(&mut self, at: usize) {
        self.keys.remove(at);
        self.entries.remove(at);
    }
}

impl Table {
    /// The piece in which a key is or belongs.
    fn piece_of(&self, key: &[u8]) -> usize {
        match self.firsts.search(key) {
            Ok(at) => at,
            Err(after) => after.saturating_sub(1),
        }
    }

    fn note_fields(&mut self, key: &[u8]) {
        if let (Some(hashes), Some(entry)) = (&mut self.fields, Entry::of(key)) {
            hashes.insert(hash(entry.fields));
        }
    }

    fn split(&mut self, at: usize) {
        let Some(piece) = self.pieces.get_mut(at) else { return };
        let middle = piece.entries.len() / 2;
        let mut entries = piece.entries.split_off(middle);
        let mut keys = piece.keys.split_off(middle);
        entries.reserve(PIECE_ENTRIES_MAX + 1 - entries.len());
        keys.reserve(PIECE_ENTRIES_MAX + 1, 2 * keys.size());
        let net = entries.iter().map(|entry| entry.net(Lsn::MAX)).sum();
        piece.net -= net;
        let lsn_newest = piece.lsn_newest;
        self.firsts.insert(at + 1, keys.get(0));
        self.pieces.insert(at + 1, Piece { keys, entries, net, lsn_newest });
    }

    /// All entries from this key on.
    fn from(&self, key: &[u8]) -> impl Iterator<Item = (&[u8], &State)> {
        let first = self.piece_of(key);
        let start = self.pieces.get(first).map_or(0, |piece| match piece.keys.search(key) {
            Ok(at) | Err(at) => at,
        });
        self.pieces.iter().skip(first).flat_map(Piece::iter).skip(start)
    }
}

fn hash(fields: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(fields);
    hasher.finish()
}

impl Recent {
    /// An empty table, of an index that is unique or not.
    pub(crate) fn new(unique: bool) -> Recent {
        let table = Table { fields: unique.then(FxHashSet::default), ..Table::default() };
        Recent { table: RwLock::new(table), bytes: AtomicUsize::new(0) }
    }

    /// What it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// Notes that an entry is there from this unit on, or not. Versions that no reader at `lsn_oldest_reader` or later can
    /// see are dropped.
    pub(crate) fn put(&self, key: &[u8], there: bool, lsn: Lsn, lsn_oldest_reader: Lsn) {
        let mut table = self.table.write();
        if table.pieces.is_empty() {
            table.firsts.push(&[]);
            let keys = Keys::with_capacity(PIECE_ENTRIES_MAX + 1, 32 * PIECE_ENTRIES_MAX);
            let entries = Vec::with_capacity(PIECE_ENTRIES_MAX + 1);
            table.pieces.push(Piece { keys, entries, ..Piece::default() });
        }
        let at = table.piece_of(key);
        let Some(piece) = table.pieces.get_mut(at) else { return };
        piece.lsn_newest = piece.lsn_newest.max(lsn);
        piece.net += if there { 1 } else { -1 };
        match piece.keys.search(key) {
            Ok(found) => {
                let Some(entry) = piece.entries.get_mut(found) else { return };
                entry.push(lsn, there, lsn_oldest_reader);
            }
            Err(place) => {
                piece.keys.insert(place, key);
                piece.entries.insert(place, State::new(lsn, there));
                self.bytes.fetch_add(key.len() + ENTRY_OVERHEAD_BYTES, Ordering::Relaxed);
                if piece.entries.len() > PIECE_ENTRIES_MAX {
                    self.bytes.fetch_sub(piece.forget(lsn_oldest_reader), Ordering::Relaxed);
                    if piece.entries.len() > PIECE_ENTRIES_MAX / 2 {
                        table.split(at);
                    }
                }
                table.note_fields(key);
            }
        }
    }

    /// Takes the newest version of an entry back.
    pub(crate) fn pop(&self, key: &[u8]) {
        let mut table = self.table.write();
        let at = table.piece_of(key);
        let Some(piece) = table.pieces.get_mut(at) else { return };
        let Ok(found) = piece.keys.search(key) else { return };
        let Some(entry) = piece.entries.get_mut(found) else { return };
        piece.net -= if entry.last().1 { 1 } else { -1 };
        if entry.pop().is_none() {
            piece.remove(found);
            self.bytes.fetch_sub(key.len() + ENTRY_OVERHEAD_BYTES, Ordering::Relaxed);
        }
    }

    /// Takes every version after `lsn` back.
    pub(crate) fn truncate(&self, lsn: Lsn) {
        let mut table = self.table.write();
        let mut bytes = 0;
        for piece in &mut table.pieces {
            for at in (0..piece.entries.len()).rev() {
                if piece.entries.get_mut(at).is_some_and(|entry| !entry.truncate(lsn)) {
                    piece.remove(at);
                }
            }
            piece.net = piece.entries.iter().map(|entry| entry.net(lsn)).sum();
            piece.lsn_newest = piece.lsn_newest.min(lsn);
            bytes += piece.iter().map(|(key, _)| key.len() + ENTRY_OVERHEAD_BYTES).sum::<usize>();
        }
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Whether an entry is there at `lsn`; none when the table does not know it.
    pub(crate) fn get(&self, key: &[u8], lsn: Lsn) -> Option<bool> {
        let table = self.table.read();
        let piece = table.pieces.get(table.piece_of(key))?;
        piece.keys.search(key).ok().and_then(|found| piece.entries.get(found)).map(|entry| entry.at(lsn))
    }

    /// Whether it may know an entry with these fields. Of a unique index it is nearly always right.
    pub(crate) fn may_know(&self, fields: &[u8]) -> bool {
        let table = self.table.read();
        table.fields.as_ref().is_none_or(|hashes| hashes.contains(&hash(fields)))
    }

    /// How many more entries with keys less than this one there are at `lsn` than below the table.
    fn net_before(&self, key: Option<&[u8]>, lsn: Lsn) -> i64 {
        let table = self.table.read();
        let Some(key) = key else { return table.pieces.iter().map(|piece| piece.net_at(lsn)).sum() };
        let at = table.piece_of(key);
        let whole: i64 = table.pieces.iter().take(at).map(|piece| piece.net_at(lsn)).sum();
        let Some(piece) = table.pieces.get(at) else { return whole };
        let (Ok(end) | Err(end)) = piece.keys.search(key);
        whole + piece.entries.iter().take(end).map(|entry| entry.net(lsn)).sum::<i64>()
    }

    /// How many more entries there are in `from..to` at `lsn` than below the table.
    pub(crate) fn net(&self, from: &[u8], to: Option<&[u8]>, lsn: Lsn) -> i64 {
        self.net_before(to, lsn) - self.net_before(Some(from), lsn)
    }

    /// Up to `limit` entries in `from..to` at `lsn`, in order, with whether they are there.
    pub(crate) fn after(&self, from: &[u8], to: Option<&[u8]>, lsn: Lsn, limit: usize) -> Vec<(Box<[u8]>, bool)> {
        let table = self.table.read();
        let inside = table.from(from).take_while(|(key, _)| to.is_none_or(|to| *key < to));
        inside.take(limit).map(|(key, state)| (key.into(), state.at(lsn))).collect()
    }

    /// Up to `limit` entries in `from..to` at `lsn`, from the last one down.
    pub(crate) fn before(&self, from: &[u8], to: Option<&[u8]>, lsn: Lsn, limit: usize) -> Vec<(Box<[u8]>, bool)> {
        let table = self.table.read();
        let last = to.map_or(table.pieces.len(), |to| table.piece_of(to) + 1);
        let rest = table.pieces.get(..last.min(table.pieces.len())).unwrap_or_default();
        let entries = rest.iter().rev().flat_map(|piece| piece.iter().rev());
        let inside = entries.skip_while(|(key, _)| to.is_some_and(|to| *key >= to)).take_while(|(key, _)| *key >= from);
        inside.take(limit).map(|(key, state)| (key.into(), state.at(lsn))).collect()
    }

    /// Up to `limit` entries after this key whose newest state is not what is below, with that state. Only sensible for
    /// a table that is no longer written to.
    pub(crate) fn changed(&self, after: Option<&[u8]>, limit: usize) -> Vec<(Box<[u8]>, bool)> {
        let table = self.table.read();
        let rest = table.from(after.unwrap_or_default()).skip_while(|(key, _)| after == Some(*key));
        let changed = rest.filter(|(_, state)| state.at(Lsn::MAX) != state.below());
        changed.take(limit).map(|(key, state)| (key.into(), state.at(Lsn::MAX))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use std::collections::BTreeSet;

    #[test]
    fn agrees_with_sets_at_every_moment() {
        let mut random = testing::Random::new(11);
        let key = |n: u64| format!("{n:04}").into_bytes();
        let below: BTreeSet<Vec<u8>> = (0..600).step_by(2).map(key).collect();
        let mut now = below.clone();
        let mut moments = vec![(0, now.clone())];
        let table = Recent::default();
        for lsn in 1..=3000 {
            let k = key(random.below(600));
            let there = !now.contains(&k);
            if there {
                now.insert(k.clone())
            } else {
                now.remove(&k)
            };
            table.put(&k, there, lsn, 0);
            // A unit that fails leaves nothing.
            if random.below(5) == 0 {
                let other = key(random.below(600));
                table.put(&other, !now.contains(&other), lsn + 1, 0);
                table.pop(&other);
            }
            if lsn % 500 == 0 {
                moments.push((lsn, now.clone()));
            }
        }
        for (lsn, set) in &moments {
            for _ in 0..100 {
                let (from, to) = (key(random.below(600)), key(random.below(601)));
                if from > to {
                    continue;
                }
                let count = set.range(from.clone()..to.clone()).count() as i64;
                let before = below.range(from.clone()..to.clone()).count() as i64;
                assert_eq!(table.net(&from, Some(&to), *lsn), count - before);
                let up = table.after(&from, Some(&to), *lsn, usize::MAX);
                let mut down = table.before(&from, Some(&to), *lsn, usize::MAX);
                assert!(up.iter().all(|(key, there)| set.contains(&**key) == *there));
                down.reverse();
                assert_eq!(up, down);
                assert_eq!(table.after(&from, Some(&to), *lsn, 3), up.get(..3.min(up.len())).unwrap());
            }
            assert_eq!(table.net(b"", None, *lsn), set.len() as i64 - below.len() as i64);
        }
        let mut changed = below.clone();
        let mut last: Option<Box<[u8]>> = None;
        loop {
            let some = table.changed(last.as_deref(), 7);
            let Some((key, _)) = some.last() else { break };
            last = Some(key.clone());
            for (key, there) in some {
                if there {
                    changed.insert(key.into())
                } else {
                    changed.remove(&*key)
                };
            }
        }
        assert_eq!(changed, now);
        let (lsn, set) = &moments[3];
        table.truncate(*lsn);
        assert_eq!(table.net(b"", None, Lsn::MAX), set.len() as i64 - below.len() as i64);
        assert_eq!(table.get(&key(1), Lsn::MAX).unwrap_or(below.contains(&key(1))), set.contains(&key(1)));
    }
}
