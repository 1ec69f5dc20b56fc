//! From a path and a value to what the path selects, in RedisJSON's order.
//!
//! Each recursive call goes down a level of the value, so its depth bounds the recursion.

use veddb_storage::document::ValueRef;

use super::filter::{Filter, Side, Term};
use super::{Path, Place, Segment, Step};
use crate::error::{CommandError, ErrorCode};

/// The most nodes that one path may visit; several `..` multiply.
const VISITS_MAX: u64 = 10_000_000;

/// The way from the root to where the walk is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trail<'t> {
    above: Option<&'t Trail<'t>>,
    step: Way<'t>,
}

#[derive(Debug, Clone, Copy)]
enum Way<'t> {
    Name(&'t str),
    Index(usize),
}

/// The place at the end of a trail.
pub(super) fn place(trail: Option<&Trail<'_>>) -> Place {
    let mut place = Place::new();
    let mut end = trail;
    while let Some(trail) = end {
        place.push(match trail.step {
            Way::Name(name) => Step::Name(name.to_owned()),
            Way::Index(index) => Step::Index(index),
        });
        end = trail.above;
    }
    place.reverse();
    place
}

/// Hands over what the segments select, one by one, with the trails to it.
pub(super) fn walk<'v>(
    path: &Path,
    segments: &[Segment],
    root: ValueRef<'v>,
    found: &mut dyn FnMut(ValueRef<'v>, Option<&Trail<'_>>),
) -> Result<(), CommandError> {
    let mut walk = Walk { root, visits_left: VISITS_MAX };
    walk.visit(segments, root, None, found).map_err(|TooLong| {
        let what = format!("{}: it visits more than {VISITS_MAX} values", path.original);
        CommandError::new(ErrorCode::TooBig, what)
    })
}

/// There is more to visit than may be.
struct TooLong;

type Found<'f, 'v> = &'f mut dyn FnMut(ValueRef<'v>, Option<&Trail<'_>>);

/// What is done with each member or element.
type Then<'f, 'v> = &'f mut dyn FnMut(&mut Walk<'v>, ValueRef<'v>, Option<&Trail<'_>>) -> Result<(), TooLong>;

struct Walk<'v> {
    root: ValueRef<'v>,
    visits_left: u64,
}

impl<'v> Walk<'v> {
    fn visit(
        &mut self,
        segments: &[Segment],
        value: ValueRef<'v>,
        trail: Option<&Trail<'_>>,
        found: Found<'_, 'v>,
    ) -> Result<(), TooLong> {
        self.visits_left = self.visits_left.checked_sub(1).ok_or(TooLong)?;
        let Some((segment, rest)) = segments.split_first() else {
            found(value, trail);
            return Ok(());
        };
        let on = |step| Trail { above: trail, step };
        match (segment, value) {
            (Segment::Names(names), ValueRef::Object(members)) => {
                for name in names {
                    if let Some(member) = members.get(name) {
                        self.visit(rest, member, Some(&on(Way::Name(name))), found)?;
                    }
                }
            }
            (Segment::Indexes(indexes), ValueRef::Array(elements)) => {
                for index in indexes {
                    let index = absolute(*index, elements.len());
                    if let Some(element) = elements.get(index) {
                        self.visit(rest, element, Some(&on(Way::Index(index))), found)?;
                    }
                }
            }
            (Segment::Range { start, end, step }, ValueRef::Array(elements)) => {
                let length = elements.len();
                let start = start.map_or(0, |start| absolute(start, length));
                let end = end.map_or(length, |end| absolute(end, length));
                let range = elements.iter().enumerate().take(end).skip(start).step_by(*step);
                for (index, element) in range {
                    self.visit(rest, element, Some(&on(Way::Index(index))), found)?;
                }
            }
            (Segment::All, _) => {
                self.each(value, trail, &mut |walk, child, trail| walk.visit(rest, child, trail, found))?;
            }
            (Segment::Below, _) => self.below(rest, value, trail, found)?,
            (Segment::Filter(filter), ValueRef::Object(_) | ValueRef::Array(_)) => {
                self.each(value, trail, &mut |walk, child, trail| {
                    if walk.holds(filter, child)? { walk.visit(rest, child, trail, found) } else { Ok(()) }
                })?
            }
            // RedisJSON asks a scalar itself.
            (Segment::Filter(filter), scalar) if self.holds(filter, scalar)? => {
                self.visit(rest, scalar, trail, found)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The node, then everything below it.
    fn below(
        &mut self,
        rest: &[Segment],
        value: ValueRef<'v>,
        trail: Option<&Trail<'_>>,
        found: Found<'_, 'v>,
    ) -> Result<(), TooLong> {
        self.visit(rest, value, trail, found)?;
        self.each(value, trail, &mut |walk, child, trail| walk.below(rest, child, trail, found))
    }

    /// The members or elements.
    fn each(&mut self, value: ValueRef<'v>, trail: Option<&Trail<'_>>, then: Then<'_, 'v>) -> Result<(), TooLong> {
        match value {
            ValueRef::Object(members) => {
                for (name, member) in members.iter() {
                    then(self, member, Some(&Trail { above: trail, step: Way::Name(name) }))?;
                }
            }
            ValueRef::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    then(self, element, Some(&Trail { above: trail, step: Way::Index(index) }))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn holds(&mut self, filter: &Filter, current: ValueRef<'v>) -> Result<bool, TooLong> {
        match filter {
            Filter::Any(filters) => {
                for filter in filters {
                    if self.holds(filter, current)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Filter::All(filters) => {
                for filter in filters {
                    if !self.holds(filter, current)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Filter::Some(term) => Ok(!matches!(self.side(term, current)?, Side::Missing)),
            Filter::Compare(left, operator, right) => {
                let (left, right) = (self.side(left, current)?, self.side(right, current)?);
                Ok(operator.holds(left, right))
            }
        }
    }

    fn side<'t>(&mut self, term: &'t Term, current: ValueRef<'v>) -> Result<Side<'t>, TooLong>
    where
        'v: 't,
    {
        let (segments, from) = match term {
            Term::Literal(literal) => return Ok(Side::Literal(literal)),
            Term::Current(segments) => (segments, current),
            Term::Root(segments) => (segments, self.root),
        };
        let (mut count, mut first) = (0_usize, None);
        self.visit(segments, from, None, &mut |value, _| {
            count += 1;
            first.get_or_insert(value);
        })?;
        Ok(first.filter(|_| count == 1).map_or(Side::Missing, Side::Value))
    }
}

/// An index from the start. One before the start is the start, as in RedisJSON; one past the end stays out.
fn absolute(index: i64, length: usize) -> usize {
    let distance = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
    if index >= 0 { distance.min(length) } else { length.saturating_sub(distance) }
}
