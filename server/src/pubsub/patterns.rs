//! Which patterns may match a channel, without trying all of them.
//!
//! Patterns are kept by the literal bytes that they begin with. A channel is looked up by as many of its first bytes as there are
//! lengths of such beginnings; only what is found there is matched as a whole.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

/// Values by pattern.
#[derive(Debug)]
pub(crate) struct Patterns<T> {
    by_start: HashMap<Bytes, HashMap<Bytes, T>>,
    /// How many starts there are of each length.
    lengths: BTreeMap<usize, usize>,
    count: usize,
    /// Of all patterns together.
    bytes: usize,
}

impl<T> Default for Patterns<T> {
    fn default() -> Patterns<T> {
        Patterns { by_start: HashMap::new(), lengths: BTreeMap::new(), count: 0, bytes: 0 }
    }
}

/// The bytes that a pattern begins with and that stand for themselves.
fn start(pattern: &Bytes) -> Bytes {
    let length = pattern.iter().position(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\')).unwrap_or(pattern.len());
    pattern.slice(..length)
}

impl<T> Patterns<T> {
    /// How many patterns there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// What matching a channel may cost at most, in bytes compared.
    pub(crate) fn cost_max(&self, channel: &[u8]) -> usize {
        self.bytes.saturating_mul(channel.len())
    }

    /// All patterns, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Bytes, &T)> {
        self.by_start.values().flatten()
    }

    /// What is kept for a pattern.
    pub(crate) fn get_mut(&mut self, pattern: &Bytes) -> Option<&mut T> {
        self.by_start.get_mut(&start(pattern))?.get_mut(pattern)
    }

    /// What is kept for a pattern; a new one where there is none.
    pub(crate) fn entry(&mut self, pattern: &Bytes) -> &mut T
    where
        T: Default,
    {
        let start = start(pattern);
        let length = start.len();
        let same = self.by_start.entry(start).or_insert_with(|| {
            *self.lengths.entry(length).or_default() += 1;
            HashMap::new()
        });
        same.entry(pattern.clone()).or_insert_with(|| {
            self.count += 1;
            self.bytes += pattern.len();
            T::default()
        })
    }

    /// Forgets a pattern.
    pub(crate) fn remove(&mut self, pattern: &Bytes) {
        let start = start(pattern);
        let Some(same) = self.by_start.get_mut(&start) else { return };
        if same.remove(pattern).is_some() {
            self.count -= 1;
            self.bytes -= pattern.len();
        }
        if !same.is_empty() {
            return;
        }
        self.by_start.remove(&start);
        if let Some(count) = self.lengths.get_mut(&start.len()) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&start.len());
            }
        }
    }

    /// Those that may match a channel, as they begin with the same bytes.
    pub(crate) fn candidates(&self, channel: &[u8]) -> impl Iterator<Item = (&Bytes, &T)> {
        let starts = self.lengths.range(..=channel.len()).filter_map(|(length, _)| channel.get(..*length));
        starts.filter_map(|start| self.by_start.get(start)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use veddb_commands::glob;

    #[test]
    fn finds_what_a_trial_of_all_finds() {
        let all = ["*", "a*", "?", "a?c", "ab[cd]", "abc", "\\*", "a\\*", "[", "[a", "abcd*", "", "b*"];
        let mut patterns = Patterns::default();
        for (number, pattern) in all.iter().enumerate() {
            *patterns.entry(&Bytes::from_static(pattern.as_bytes())) = number;
        }
        for channel in ["", "a", "abc", "abd", "*", "a*", "abcde", "b", "["] {
            let matches = |pattern: &str| glob::matches(pattern.as_bytes(), channel.as_bytes(), false);
            let candidates = patterns.candidates(channel.as_bytes()).map(|(_, number)| *number);
            let mut found: Vec<usize> = candidates.filter(|number| matches(all[*number])).collect();
            found.sort_unstable();
            let expected: Vec<usize> = (0..all.len()).filter(|number| matches(all[*number])).collect();
            assert_eq!(found, expected, "{channel}");
        }
        for (number, pattern) in all.iter().enumerate() {
            assert_eq!(patterns.len(), all.len() - number);
            patterns.remove(&Bytes::from_static(pattern.as_bytes()));
        }
        assert!(
            patterns.by_start.is_empty() && patterns.lengths.is_empty() && patterns.len() == 0 && patterns.bytes == 0
        );
    }
}
