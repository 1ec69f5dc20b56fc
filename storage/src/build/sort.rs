//! Sorting more keys than memory holds: runs in sealed temporary files, merged while they are read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::Error;
use crate::spill::{SpillReader, SpillWriter, Spills};

/// Keys of one block of a file, bytes.
const BLOCK_BYTES: usize = 64 << 10;

/// Keys in memory, one after the other.
#[derive(Default)]
struct Arena {
    bytes: Vec<u8>,
    /// Where each key begins and ends, and its mark.
    keys: Vec<(u32, u32, bool)>,
}

impl Arena {
    fn key(&self, at: usize) -> Option<(&[u8], bool)> {
        let (from, to, mark) = *self.keys.get(at)?;
        Some((self.bytes.get(from as usize..to as usize)?, mark))
    }

    fn push(&mut self, key: &[u8], mark: bool) {
        let from = self.bytes.len() as u32;
        self.bytes.extend_from_slice(key);
        self.keys.push((from, self.bytes.len() as u32, mark));
    }

    fn size(&self) -> usize {
        self.bytes.len() + 12 * self.keys.len()
    }

    fn sort(&mut self) {
        let Arena { bytes, keys } = self;
        let key = |(from, to, _): &(u32, u32, bool)| bytes.get(*from as usize..*to as usize).unwrap_or_default();
        keys.sort_unstable_by(|a, b| key(a).cmp(key(b)));
    }
}

/// Keys in ascending order, each with a mark, from memory or from a file.
pub(super) struct Run(Kind);

enum Kind {
    Memory { arena: Arena, at: usize },
    File { reader: SpillReader, block: Vec<u8>, at: usize },
}

impl Run {
    /// A run of keys that are in order; in memory if they are few.
    pub(super) fn of<'k>(
        keys: impl Iterator<Item = (&'k [u8], bool)>,
        memory_bytes: usize,
        place: &Spills,
    ) -> Result<Run, Error> {
        let mut arena = Arena::default();
        let mut keys = keys;
        for (key, mark) in keys.by_ref() {
            arena.push(key, mark);
            if arena.size() > memory_bytes {
                break;
            }
        }
        if arena.size() <= memory_bytes {
            return Ok(Run(Kind::Memory { arena, at: 0 }));
        }
        let mut writer = RunWriter::create(place)?;
        for at in 0..arena.keys.len() {
            if let Some((key, mark)) = arena.key(at) {
                writer.push(key, mark)?;
            }
        }
        drop(arena);
        for (key, mark) in keys {
            writer.push(key, mark)?;
        }
        writer.finish()
    }

    /// What of it is in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        match &self.0 {
            Kind::Memory { arena, .. } => arena.size(),
            Kind::File { .. } => BLOCK_BYTES,
        }
    }

    /// The next key; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<(Vec<u8>, bool)>, Error> {
        match &mut self.0 {
            Kind::Memory { arena, at } => {
                let next = arena.key(*at).map(|(key, mark)| (key.to_vec(), mark));
                *at += 1;
                Ok(next)
            }
            Kind::File { reader, block, at } => {
                if *at >= block.len() {
                    let Some(read) = reader.read()? else { return Ok(None) };
                    (*block, *at) = (read, 0);
                }
                let damaged = || Error::Engine("a temporary file is not what was written".into());
                let (head, rest) = block.get(*at..).and_then(|b| b.split_first_chunk::<5>()).ok_or_else(damaged)?;
                let [mark, length @ ..] = *head;
                let length = u32::from_le_bytes(length) as usize;
                let key = rest.get(..length).ok_or_else(damaged)?.to_vec();
                *at += 5 + length;
                Ok(Some((key, mark == 1)))
            }
        }
    }
}

struct RunWriter {
    writer: SpillWriter,
    block: Vec<u8>,
}

impl RunWriter {
    fn create(place: &Spills) -> Result<RunWriter, Error> {
        Ok(RunWriter { writer: place.create()?, block: Vec::new() })
    }

    fn push(&mut self, key: &[u8], mark: bool) -> Result<(), Error> {
        self.block.push(u8::from(mark));
        self.block.extend_from_slice(&(key.len() as u32).to_le_bytes());
        self.block.extend_from_slice(key);
        if self.block.len() >= BLOCK_BYTES {
            self.writer.write(&self.block)?;
            self.block.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Run, Error> {
        if !self.block.is_empty() {
            self.writer.write(&self.block)?;
        }
        Ok(Run(Kind::File { reader: self.writer.finish()?, block: Vec::new(), at: 0 }))
    }
}

/// Takes keys in any order.
pub(crate) struct Sorter {
    place: Spills,
    memory_bytes: usize,
    arena: Arena,
    runs: Vec<Run>,
}

impl Sorter {
    /// Holds so many bytes of keys in memory.
    pub(crate) fn new(place: Spills, memory_bytes: usize) -> Sorter {
        // Positions in memory are 32 bits.
        Sorter { place, memory_bytes: memory_bytes.min(1 << 30), arena: Arena::default(), runs: Vec::new() }
    }

    pub(crate) fn push(&mut self, key: &[u8]) -> Result<(), Error> {
        self.arena.push(key, true);
        if self.arena.size() < self.memory_bytes {
            return Ok(());
        }
        let mut arena = std::mem::take(&mut self.arena);
        arena.sort();
        let mut writer = RunWriter::create(&self.place)?;
        for at in 0..arena.keys.len() {
            if let Some((key, mark)) = arena.key(at) {
                writer.push(key, mark)?;
            }
        }
        self.runs.push(writer.finish()?);
        Ok(())
    }

    /// All keys in ascending order.
    pub(crate) fn finish(mut self) -> Result<Merge, Error> {
        self.arena.sort();
        self.runs.push(Run(Kind::Memory { arena: self.arena, at: 0 }));
        let mut heads = BinaryHeap::new();
        for (at, run) in self.runs.iter_mut().enumerate() {
            if let Some((key, _)) = run.next()? {
                heads.push(Reverse((key, at)));
            }
        }
        Ok(Merge { runs: self.runs, heads })
    }
}

/// The keys of several runs as one.
pub(crate) struct Merge {
    runs: Vec<Run>,
    heads: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
}

impl Merge {
    /// The next key; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let Some(Reverse((key, at))) = self.heads.pop() else { return Ok(None) };
        if let Some(run) = self.runs.get_mut(at)
            && let Some((next, _)) = run.next()?
        {
            self.heads.push(Reverse((next, at)));
        }
        Ok(Some(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn keys_come_back_in_order_through_files() {
        let (dir, _engine, sealer) = testing::engine();
        let place = Spills::new(dir.path().to_path_buf(), sealer, 0);
        let mut random = testing::Random::new(3);
        let mut keys: Vec<Vec<u8>> = (0..20_000).map(|_| format!("{}", random.below(1 << 30)).into_bytes()).collect();
        let mut sorter = Sorter::new(place.clone(), 50_000);
        keys.iter().for_each(|key| sorter.push(key).unwrap());
        assert!(sorter.runs.len() > 3);
        let mut merge = sorter.finish().unwrap();
        keys.sort();
        for key in &keys {
            assert_eq!(merge.next().unwrap().as_ref(), Some(key));
        }
        assert_eq!(merge.next().unwrap(), None);
        for memory_bytes in [1000, 10_000_000] {
            let marked = keys.iter().enumerate().map(|(at, key)| (key.as_slice(), at % 2 == 0));
            let mut run = Run::of(marked, memory_bytes, &place).unwrap();
            for (at, key) in keys.iter().enumerate() {
                assert_eq!(run.next().unwrap(), Some((key.clone(), at % 2 == 0)));
            }
            assert_eq!(run.next().unwrap(), None);
        }
    }
}
