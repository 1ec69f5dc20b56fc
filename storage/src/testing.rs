//! What this crate's tests share: an engine in a temporary directory, seeded random numbers.

use std::sync::Arc;

use crate::kv::Engine;
use crate::kv::fjall::Fjall;
use crate::seal::{Keyring, MasterKey, Sealer};

pub(crate) fn engine() -> (tempfile::TempDir, Arc<dyn Engine>, Sealer) {
    let dir = tempfile::tempdir().unwrap();
    let keyring = Keyring::create(dir.path(), &MasterKey::generate(), 0).unwrap();
    let engine: Arc<dyn Engine> = Arc::new(Fjall::open(&dir.path().join("kv")).unwrap());
    (dir, engine, Sealer::new(&keyring))
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seeded, good enough to choose test steps.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
