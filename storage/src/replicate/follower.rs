//! Reading the log from a position on, group by group, as it is published.

use bytes::Bytes;
use std::sync::Arc;

use super::feed::{Feed, Pin};
use super::position::{Position, TermStart, term_at};
use super::units::Units;
use crate::Error;
use crate::log::{LogCursor, Read};
use crate::lsn::Lsn;

/// Why a log cannot be followed from a position.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// What comes next is not in the log any more, or was given up since the follower was too slow.
    #[error("the log no longer has what comes after LSN {0}")]
    Lost(Lsn),
    /// The position is of another history.
    #[error("the position is of another history")]
    Foreign,
    /// The position is after the end of the log, whose last unit is this one: units there were lost here, or not yet received.
    #[error("the log ends at LSN {0}, before the position")]
    Ahead(Lsn),
    /// The log went on differently before the position.
    #[error("the log went on differently; the last unit in common is {}", common.map_or("not known".to_owned(), |lsn| lsn.to_string()))]
    Diverged {
        /// The last unit that both have, as far as the position alone tells; [`crate::Store::common`] knows more.
        common: Option<Lsn>,
    },
    /// The store has been closed.
    #[error("the store has been closed")]
    Closed,
    /// The log cannot be read.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Reads the log after a position. Holds back its trimming: see [`crate::Store::follow`].
pub struct Follower {
    feed: Arc<Feed>,
    pin: Pin,
    cursor: LogCursor,
    position: Position,
    /// Of a group that was not handed out whole.
    rest: Option<Units>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("lsn", &self.position.lsn).finish_non_exhaustive()
    }
}

impl Follower {
    pub(super) fn open(
        feed: &Arc<Feed>,
        terms: &[TermStart],
        last: Lsn,
        after: Position,
    ) -> Result<Follower, FollowError> {
        check(feed.history_id(), terms, last, after)?;
        // First, so that what is found is not trimmed.
        let pin = feed.pin(after.lsn);
        let cursor = match LogCursor::open(feed.dir(), feed.identity().clone(), feed.places(), after.lsn + 1)? {
            Some(cursor) => cursor,
            None => {
                pin.forget();
                return Err(FollowError::Lost(after.lsn));
            }
        };
        Ok(Follower { feed: Arc::clone(feed), pin, cursor, position: after, rest: None })
    }

    /// Says whose it is: what was kept for another follower of this name that went away is this one's now.
    #[must_use]
    pub fn named(self, name: &str) -> Follower {
        self.pin.belongs_to(name);
        self
    }

    /// The last unit that was handed out.
    pub fn position(&self) -> Position {
        self.position
    }

    /// How many units there are to read.
    pub fn behind(&self) -> u64 {
        self.feed.lsn_readable().saturating_sub(self.position.lsn)
    }

    /// What is up to this unit will not be asked for again, by this follower or by whoever comes back in its place. Until this
    /// is called all that it has read is kept, too.
    pub fn acknowledge(&self, lsn: Lsn) {
        self.pin.advance(lsn);
    }

    /// Ends it for good: nothing is kept for whoever might come back.
    pub fn end(self) {
        self.pin.forget();
    }

    /// The next units, about `max_bytes` of them, and more only where one alone takes more; a group of the log is read at a
    /// time. None: there is nothing yet, [`crate::Store::on_commit`] tells when there is. Reads files, and may take its time.
    ///
    /// # Errors
    /// `Lost` when the follower was too slow, `Closed` when all was read of a store that is closed, `Failed`.
    pub fn next(&mut self, max_bytes: usize) -> Result<Option<Units>, FollowError> {
        let mut parts: Vec<Units> = Vec::new();
        let mut bytes = 0;
        while bytes < max_bytes {
            let units = match self.rest.take() {
                Some(units) => units,
                None => match self.read()? {
                    Some(units) => units,
                    None => break,
                },
            };
            if let Some(first) = parts.first()
                && first.term() != units.term()
            {
                self.rest = Some(units);
                break;
            }
            let (units, rest) = units.split(max_bytes - bytes);
            self.rest = rest;
            bytes += units.bytes().len();
            parts.push(units);
        }
        let joined = Units::joined(parts);
        if let Some(units) = &joined {
            self.position = Position { term: units.term(), lsn: units.last_lsn(), ..self.position };
        } else if self.feed.is_closed() {
            return Err(FollowError::Closed);
        }
        Ok(joined)
    }

    /// The next group, without what is up to the position.
    fn read(&mut self) -> Result<Option<Units>, FollowError> {
        loop {
            let frame = match self.cursor.read(self.feed.lsn_readable())? {
                Read::Frame(frame) => frame,
                Read::End => return Ok(None),
                Read::Gone => return Err(FollowError::Lost(self.position.lsn)),
            };
            let known = (self.position.lsn + 1).saturating_sub(frame.first_lsn);
            if known >= u64::from(frame.count) {
                continue;
            }
            let units = Units::new(frame.first_lsn, frame.count, frame.term, Bytes::from(frame.units));
            return units.after(known as u32).map(Some).ok_or_else(|| {
                let (path, at) = (self.feed.dir().to_path_buf(), format!("LSN {}", frame.first_lsn));
                FollowError::Failed(Error::Damaged { path, at, what: "not a group of units".into() })
            });
        }
    }
}

/// Whether a position is on the line of a log that ends at `last`.
pub(super) fn check(
    history: super::HistoryId,
    terms: &[TermStart],
    last: Lsn,
    after: Position,
) -> Result<(), FollowError> {
    if after.history != history {
        return Err(FollowError::Foreign);
    }
    // Before the first unit there is nothing to differ in.
    if after.lsn == 0 || (after.lsn <= last && term_at(terms, after.lsn) == after.term) {
        return Ok(());
    }
    let known = terms.iter().position(|start| start.term == after.term);
    let end = known.map(|at| terms.get(at + 1).map_or(last, |next| next.first_lsn.saturating_sub(1)));
    match end {
        Some(end) if end == last => Err(FollowError::Ahead(last)),
        common => Err(FollowError::Diverged { common }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_on_and_off_the_line() {
        let terms = [(1, 1), (5, 10), (9, 21)].map(|(term, first_lsn)| TermStart { term, first_lsn });
        let at = |term, lsn| check([7; 16], &terms, 30, Position { history: [7; 16], term, lsn });
        for (term, lsn) in [(0, 0), (1, 1), (1, 9), (5, 10), (5, 20), (9, 21), (9, 30)] {
            assert!(at(term, lsn).is_ok(), "{term} {lsn}");
        }
        assert!(matches!(at(9, 31), Err(FollowError::Ahead(30))));
        assert!(matches!(at(5, 21), Err(FollowError::Diverged { common: Some(20) })));
        assert!(matches!(at(5, 99), Err(FollowError::Diverged { common: Some(20) })));
        assert!(matches!(at(8, 15), Err(FollowError::Diverged { common: None })));
        let foreign = Position { history: [8; 16], term: 1, lsn: 1 };
        assert!(matches!(check([7; 16], &terms, 30, foreign), Err(FollowError::Foreign)));
    }
}
