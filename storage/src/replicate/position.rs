//! Where a store's log stands, and whether that is on another store's line.

use serde::{Deserialize, Serialize};

use crate::lsn::Lsn;

/// Names the line of changes that began with the making of a store. A replica takes that of its primary.
pub type HistoryId = [u8; 16];

/// The last unit of a log. Two stores at equal positions have the same units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The history.
    pub history: HistoryId,
    /// The term of that unit. Its upper 32 bits count promotions ([`promotions`]); the lower ones are random and only tell
    /// apart who wrote: a store that takes writes draws them anew at each start and each promotion, so that two that were
    /// promoted apart, or a restart that lost its last units to a power cut, cannot write different units under one term.
    pub term: u64,
    /// Its LSN; 0 before the first.
    pub lsn: Lsn,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{:x}:{}", hex::encode(self.history), self.term, self.lsn)
    }
}

/// Where a term begins in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TermStart {
    /// The term.
    pub term: u64,
    /// Its first unit.
    pub first_lsn: Lsn,
}

/// How many promotions led to a term. Of two primaries the one with more is the right one.
pub const fn promotions(term: u64) -> u32 {
    (term >> 32) as u32
}

/// A term after more promotions than this beyond a store's own is not believed: no server is so far behind and still has a log
/// in common with another one, and whoever believed it would soon have no later terms left.
const PROMOTIONS_AHEAD_MAX: u32 = 1 << 16;
/// No history has seen so many promotions.
pub const PROMOTIONS_MAX: u32 = 1 << 31;

/// Whether a term that another server claims is beyond belief for one whose own term is this.
pub const fn is_beyond_belief(own: u64, claimed: u64) -> bool {
    promotions(claimed) > PROMOTIONS_MAX || promotions(claimed).saturating_sub(promotions(own)) > PROMOTIONS_AHEAD_MAX
}

/// So many terms are kept; what is older is in no log any more.
const TERMS_MAX: usize = 1000;

/// A term that nobody else writes under, after so many promotions.
pub(crate) fn next_term(promotions: u32) -> u64 {
    u64::from(promotions) << 32 | u64::from(rand::random::<u32>())
}

/// The term of a unit; that of the first for what is before it.
pub(crate) fn term_at(terms: &[TermStart], lsn: Lsn) -> u64 {
    let found = terms.iter().rev().find(|start| start.first_lsn <= lsn).or(terms.first());
    found.map_or(1, |start| start.term)
}

/// With the term of the unit that was written last.
pub(crate) fn with_term(terms: &[TermStart], term: u64, first_lsn: Lsn) -> Vec<TermStart> {
    let kept = terms.len().saturating_sub(TERMS_MAX - 1);
    let mut terms = terms.get(kept..).unwrap_or_default().to_vec();
    terms.push(TermStart { term, first_lsn });
    terms
}

/// The last unit that two logs of one history have in common, from their terms and their ends. 0 where no common term is known.
pub(crate) fn last_common((ours, our_end): (&[TermStart], Lsn), (theirs, their_end): (&[TermStart], Lsn)) -> Lsn {
    // A term has one writer and one beginning, so whoever has units of it has the same of them, up to some point. Theirs are what
    // another server says, and may be anything.
    let end_of = |terms: &[TermStart], at: usize, end: Lsn| {
        terms.get(at + 1).map_or(end, |next| next.first_lsn.saturating_sub(1))
    };
    let common = ours.iter().enumerate().rev().find_map(|(at, ours_of)| {
        let same = theirs.iter().position(|theirs_of| theirs_of == ours_of)?;
        Some(end_of(ours, at, our_end).min(end_of(theirs, same, their_end)))
    });
    common.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(starts: &[(u64, Lsn)]) -> Vec<TermStart> {
        starts.iter().map(|(term, first_lsn)| TermStart { term: *term, first_lsn: *first_lsn }).collect()
    }

    #[test]
    fn terms_of_units() {
        let of = |lsn| term_at(&terms(&[(1, 1), (5, 10), (9, 11)]), lsn);
        assert_eq!([0, 1, 9, 10, 11, 99].map(of), [1, 1, 1, 5, 9, 9]);
        assert_eq!(term_at(&[], 7), 1);
        assert_eq!(promotions(next_term(7)), 7);
    }

    #[test]
    fn what_two_logs_have_in_common() {
        let cases = [
            // ours, theirs, common
            ((vec![(1, 1)], 50), (vec![(1, 1)], 40), 40),
            ((vec![(1, 1)], 40), (vec![(1, 1)], 50), 40),
            // They were promoted at 30 and we went on.
            ((vec![(1, 1)], 50), (vec![(1, 1), (7, 31)], 60), 30),
            ((vec![(1, 1), (7, 31)], 60), (vec![(1, 1)], 20), 20),
            // Both were, at different units.
            ((vec![(1, 1), (7, 31)], 60), (vec![(1, 1), (8, 21)], 60), 20),
            ((vec![(1, 1), (7, 31), (9, 41)], 60), (vec![(1, 1), (7, 31), (8, 51)], 60), 40),
            // Nothing of the beginning is known any more.
            ((vec![(7, 31), (9, 41)], 60), (vec![(1, 1), (7, 31)], 35), 35),
            ((vec![(9, 41)], 60), (vec![(1, 1)], 35), 0),
            // Terms that no log has.
            ((vec![(1, 1)], 60), (vec![(1, 1), (7, 0)], 60), 0),
            ((vec![(1, 1), (7, 31)], 60), (vec![(7, 31), (1, 0)], 60), 0),
        ];
        for (ours, theirs, common) in cases {
            assert_eq!(last_common((&terms(&ours.0), ours.1), (&terms(&theirs.0), theirs.1)), common);
        }
    }

    #[test]
    fn terms_that_nobody_can_have_come_to_are_not_believed() {
        let term = |promotions: u32| u64::from(promotions) << 32 | 7;
        for (own, claimed, beyond) in [
            (0, 0, false),
            (5, 1, false),
            (5, 5 + PROMOTIONS_AHEAD_MAX, false),
            (5, 6 + PROMOTIONS_AHEAD_MAX, true),
            (0, u32::MAX, true),
            (PROMOTIONS_MAX, PROMOTIONS_MAX, false),
            (PROMOTIONS_MAX, PROMOTIONS_MAX + 1, true),
            (u32::MAX, u32::MAX, true),
        ] {
            assert_eq!(is_beyond_belief(term(own), term(claimed)), beyond, "{own} {claimed}");
        }
    }

    #[test]
    fn the_oldest_terms_are_forgotten() {
        let mut all = terms(&[(1, 1)]);
        for n in 2..=1500 {
            all = with_term(&all, n, n);
        }
        assert_eq!((all.len(), all[0].term, all[999].term), (TERMS_MAX, 501, 1500));
    }
}
