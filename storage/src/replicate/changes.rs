//! What changed, read from the log one change after the other: for change streams.
//!
//! Unlike a [`super::Follower`] whoever reads so holds nothing back: what is trimmed before it is read is lost to it, and it is told.
//! Reads only what no crash can take back. A place in between can be written down and read on from, by another process and on
//! another store of the history as well.
//!
//! Invariant: between two places that were handed out there is no change that was not told.

use super::event::{Event, told};
use super::feed::Reading;
use super::follower::{FollowError, check};
use super::position::{Position, term_at};
use crate::Error;
use crate::collection::is_own;
use crate::effect::{self, Effect};
use crate::log::{LogCursor, Read};
use crate::lsn::Lsn;
use crate::names::NamesAt;
use crate::view::View;

/// A place between two changes of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangePlace {
    /// A unit.
    pub position: Position,
    /// How many of its effects are before the place, counted as any store of the history counts them; 0: all of them.
    pub seen: u32,
}

/// What was met.
#[derive(Debug)]
pub enum Change {
    /// Something that happened.
    Event(Event),
    /// Nothing that is told of. There may be more.
    Passed,
    /// There is nothing more to read, or nothing that is on disk.
    End,
}

/// Reads changes. Made by [`View::changes`].
pub struct Changes<'v> {
    view: &'v View,
    cursor: LogCursor,
    /// The last unit that is read.
    limit: Lsn,
    place: ChangePlace,
    /// What collections were called: looked up when there is something to tell.
    names: Option<NamesAt<'v>>,
    group: Option<Group>,
    bytes_read: u64,
    _reading: Reading,
}

impl std::fmt::Debug for Changes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changes").field("place", &self.place).finish_non_exhaustive()
    }
}

/// A group of the log that is being read.
struct Group {
    bytes: Vec<u8>,
    at: usize,
    term: u64,
    /// The unit that comes next or is being read.
    lsn: Lsn,
    /// Units from that one on.
    units: u32,
    /// Of the unit that is being read: effects that are left, and how many of those that count are before them.
    unit: Option<(u32, u32)>,
}

impl View {
    /// Reads what changed after a place, as far as it is on disk and this view shows it. Reads files, as [`Changes::read`] does.
    ///
    /// # Errors
    /// `Foreign` and `Diverged`: it is no place of this store's log. `Lost`: what comes after it is not in the log any more. `Ahead`:
    /// this store is a replica and has not received so much yet.
    pub fn changes(&self, after: ChangePlace) -> Result<Changes<'_>, FollowError> {
        let feed = &self.shared.feed;
        let last = self.state.lsn;
        let limit = self.lsn_lasting();
        match check(feed.history_id(), &self.state.terms, last, after.position) {
            // What a replica has not yet heard of, the primary may have written under any term. A primary that has less than it once
            // told is another one.
            Err(FollowError::Ahead(_) | FollowError::Diverged { .. }) if after.position.lsn > last => {
                let is_replica = self.shared.replica.load(std::sync::atomic::Ordering::Acquire);
                let diverged = FollowError::Diverged { common: None };
                return Err(if is_replica { FollowError::Ahead(last) } else { diverged });
            }
            other => other?,
        }
        // The unit that is read first.
        let first = if after.seen == 0 { after.position.lsn + 1 } else { after.position.lsn };
        let lost = || FollowError::Lost(after.position.lsn);
        if first <= feed.names_after() {
            return Err(lost());
        }
        let reading = feed.reading();
        let cursor = LogCursor::open(feed.dir(), feed.identity().clone(), feed.places(), first)?.ok_or_else(lost)?;
        Ok(Changes {
            view: self,
            cursor,
            limit,
            place: after,
            names: None,
            group: None,
            bytes_read: 0,
            _reading: reading,
        })
    }

    /// The place before the first change of the history.
    pub fn first_change(&self) -> ChangePlace {
        self.place(0)
    }

    /// The place after the last change that is on disk and that this view shows.
    pub fn last_change(&self) -> ChangePlace {
        self.place(self.lsn_lasting())
    }

    /// The same, where nothing happened after this place to the collection of this name: neither to its documents nor to its name. A
    /// look into memory. None also where that is not known.
    pub fn unchanged(&self, db: u8, name: &str, since: ChangePlace) -> Option<ChangePlace> {
        let collection = self.collection(db, name)?;
        let lsn = since.position.lsn;
        let is_unchanged = since.seen == 0
            && since.position.history == self.shared.feed.history_id()
            && term_at(&self.state.terms, lsn) == since.position.term
            && collection.changed_lsn() <= lsn
            && lsn >= self.shared.feed.names_after();
        let mut later = self.state.past_names.iter().rev().take_while(|past| past.until > lsn);
        let renamed = |past: &crate::names::PastName| {
            past.collection == collection.id().0 || (past.db == db && *past.name == *name)
        };
        (is_unchanged && !later.any(renamed)).then(|| self.last_change()).filter(|place| place.position.lsn >= lsn)
    }

    /// Whether units were written that are not on disk yet. If so they will be soon, whatever `appendfsync` says.
    pub fn is_waiting_for_disk(&self) -> bool {
        let waits = self.lsn_lasting() < self.state.lsn;
        if waits {
            self.shared.feed.want_sync();
        }
        waits
    }

    fn lsn_lasting(&self) -> Lsn {
        self.shared.feed.lsn_lasting().min(self.state.lsn)
    }

    fn place(&self, lsn: Lsn) -> ChangePlace {
        // Before the first unit there is no term.
        let term = if lsn == 0 { 0 } else { term_at(&self.state.terms, lsn) };
        let position = Position { history: self.shared.feed.history_id(), term, lsn };
        ChangePlace { position, seen: 0 }
    }
}

impl<'v> Changes<'v> {
    /// The place before what comes next.
    pub fn place(&self) -> ChangePlace {
        self.place
    }

    /// How many bytes of units were read.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// What comes next. Not all that happens is told: nothing of the server's own collections but that one gets a name that is not,
    /// nothing of expiries alone, and nothing of indexes.
    ///
    /// # Errors
    /// `Lost`: what comes next was trimmed meanwhile. `Failed`.
    pub fn read(&mut self) -> Result<Change, FollowError> {
        let mut group = match self.group.take() {
            Some(group) => group,
            None => match self.cursor.read(self.limit)? {
                Read::End => return Ok(Change::End),
                Read::Gone => return Err(FollowError::Lost(self.place.position.lsn)),
                Read::Frame(frame) => {
                    self.bytes_read += frame.units.len() as u64;
                    Group {
                        bytes: frame.units,
                        at: 0,
                        term: frame.term,
                        lsn: frame.first_lsn,
                        units: frame.count,
                        unit: None,
                    }
                }
            },
        };
        let damaged = |lsn: Lsn| {
            FollowError::Failed(Error::Damaged {
                path: self.view.shared.feed.dir().to_path_buf(),
                at: format!("LSN {lsn}"),
                what: "not a group of units".into(),
            })
        };
        let ChangePlace { position: Position { lsn: known, .. }, seen } = self.place;
        let is_partly_seen = seen > 0 && group.lsn == known;
        if group.unit.is_none() && group.lsn <= known && !is_partly_seen {
            group.pass().ok_or_else(|| damaged(group.lsn))?;
            self.group = group.unless_over();
            return Ok(Change::Passed);
        }
        let skipped = if group.unit.is_none() && is_partly_seen { seen } else { 0 };
        let found = group.effect(skipped).ok_or_else(|| damaged(group.lsn))?;
        let (lsn, position) = (group.lsn, Position { term: group.term, lsn: group.lsn, ..self.place.position });
        // After the last one the unit is seen whole.
        let seen = match group.unit {
            Some((left, seen)) if left > 0 => seen,
            _ => 0,
        };
        if seen == 0 {
            group.unit = None;
            group.units -= 1;
            group.lsn += 1;
        }
        self.group = group.unless_over();
        let event = found.and_then(|effect| self.event(lsn, effect));
        self.place = ChangePlace { position, seen };
        Ok(event.map_or(Change::Passed, Change::Event))
    }

    fn event(&mut self, lsn: Lsn, effect: Effect) -> Option<Event> {
        let (collection, kind, id, version, document) = told(effect)?;
        let view = self.view;
        let names = self.names.get_or_insert_with(|| NamesAt::of(&view.state));
        // All that are asked for are known: it would be lost otherwise.
        let (db, name) = names.at(collection, lsn)?;
        if is_own(name) && !matches!(kind, super::EventKind::Rename(_)) {
            return None;
        }
        Some(Event { lsn, kind, db, collection: name.to_owned(), id, version, document })
    }
}

impl Group {
    fn unless_over(self) -> Option<Group> {
        (self.units > 0).then_some(self)
    }

    /// The count of effects and the length of the unit that begins here.
    fn head(&self) -> Option<(u32, usize)> {
        let (count, rest) = self.bytes.get(self.at..)?.split_first_chunk::<4>()?;
        let (length, _) = rest.split_first_chunk::<4>()?;
        Some((u32::from_le_bytes(*count), u32::from_le_bytes(*length) as usize))
    }

    /// Leaves out a unit.
    fn pass(&mut self) -> Option<()> {
        let (_, length) = self.head()?;
        self.at = self.at.checked_add(8 + length).filter(|at| *at <= self.bytes.len())?;
        self.units -= 1;
        self.lsn += 1;
        Some(())
    }

    /// The next effect after so many that count; none where the unit has no more, or it is one that does not count. The outer none: these
    /// are not units.
    fn effect(&mut self, skipped: u32) -> Option<Option<Effect>> {
        let (mut left, mut seen) = match self.unit {
            Some(unit) => unit,
            None => {
                let (count, _) = self.head()?;
                self.at += 8;
                (count, 0)
            }
        };
        let mut found = None;
        while left > 0 {
            let mut rest = self.bytes.get(self.at..)?;
            let before = rest.len();
            let effect = effect::decode(&mut rest)?;
            self.at += before - rest.len();
            left -= 1;
            // What goes from indexes each store finds out for itself.
            if matches!(effect, Effect::Unindex { .. }) {
                continue;
            }
            seen += 1;
            if seen > skipped {
                found = Some(effect);
                break;
            }
        }
        self.unit = Some((left, seen));
        Some(found)
    }
}
