//! Where frames begin, as far as readers of the log have met them: the next reader need not look for its place from a segment's
//! first frame on.
//!
//! Invariant: what is noted was read there. Frames are never moved, so it stays right as long as the segment is there.

use parking_lot::Mutex;
use std::collections::BTreeMap;

use crate::lsn::Lsn;

/// Of each stretch of a segment this long, bytes, one place is remembered: the last that was noted.
const STRETCH_BYTES: u64 = 64 << 10;
/// So many places are remembered; of more those of the oldest segments are forgotten.
const PLACES_MAX: usize = 16_384;

/// By the first LSN of a segment and the stretch: which frame begins there, and where.
#[derive(Debug, Default)]
pub(crate) struct Places(Mutex<BTreeMap<(Lsn, u64), (Lsn, u64)>>);

impl Places {
    /// The frame of this LSN begins at the offset, or will.
    pub(super) fn note(&self, segment: Lsn, lsn: Lsn, offset: u64) {
        let mut places = self.0.lock();
        places.insert((segment, offset / STRETCH_BYTES), (lsn, offset));
        if places.len() > PLACES_MAX {
            places.pop_first();
        }
    }

    /// The last frame that is known to begin at or before this LSN, and where.
    pub(super) fn near(&self, segment: Lsn, lsn: Lsn) -> Option<(Lsn, u64)> {
        let places = self.0.lock();
        let found =
            places.range((segment, 0)..=(segment, u64::MAX)).rev().find(|(_, (first_lsn, _))| *first_lsn <= lsn);
        found.map(|(_, place)| *place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_place_before_is_found() {
        let places = Places::default();
        for lsn in 1..1000 {
            places.note(1, lsn, 100 + lsn * 1000);
        }
        places.note(1000, 1000, 100);
        let (lsn, offset) = places.near(1, 500).unwrap();
        assert!(lsn <= 500 && lsn > 500 - 2 * STRETCH_BYTES / 1000 && offset == 100 + lsn * 1000, "{lsn}");
        assert_eq!(places.near(1, 5000), Some((999, 100 + 999_000)));
        assert_eq!(places.near(1000, 1000), Some((1000, 100)));
        assert_eq!(places.near(1, 0), None);
        assert_eq!(places.near(2000, 3000), None);
    }
}
