//! From a path and a value to what the path selects, in RedisJSON's order.
//!
//! Each recursive call goes down a level of the value, so its depth bounds the recursion.

use veddb_storage::document::ValueRef;

use super::filter::{Filter, Side, Term};
use super::{Path, Place, Segment};
use crate::context::{Limits, ReadContext};
use crate::error::{CommandError, ErrorCode};

/// The most values that one path may visit; several `..` multiply.
const VISITS_MAX: u64 = 10_000_000;
/// After so many visits a read looks whether it may go on.
const VISITS_BETWEEN: u64 = 4096;
/// So many members or elements are stepped over in about the time of one visit.
const STEPS_A_VISIT: usize = 16;

/// What a walk may cost.
#[derive(Debug, Clone, Copy)]
pub(in crate::json) struct Effort<'c> {
    visits_max: u64,
    context: Option<&'c ReadContext<'c>>,
}

impl<'c> Effort<'c> {
    /// Of a read, which ends where its client is gone and moves where it may take longer.
    pub(in crate::json) fn read(context: &'c ReadContext<'c>) -> Effort<'c> {
        Effort { visits_max: VISITS_MAX, context: Some(context) }
    }
}

impl Effort<'static> {
    /// Of a unit, for which all other writes wait: a few visits of each value of these bytes, and what any unit may take.
    pub(in crate::json) fn write(limits: &Limits, bytes: usize) -> Effort<'static> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let visits_max = limits.max_commit_work.saturating_add(bytes.saturating_mul(4)).min(VISITS_MAX);
        Effort { visits_max, context: None }
    }
}

/// The way from the root to where the walk is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trail<'t> {
    above: Option<&'t Trail<'t>>,
    step: usize,
}

/// The place at the end of a trail.
pub(super) fn place(trail: Option<&Trail<'_>>) -> Place {
    let mut place = Place::new();
    let mut end = trail;
    while let Some(trail) = end {
        place.push(u32::try_from(trail.step).unwrap_or(u32::MAX));
        end = trail.above;
    }
    place.reverse();
    place
}

/// Told what the segments select, one by one, with the trails to it.
type Found<'f, 'v> = &'f mut dyn FnMut(ValueRef<'v>, Option<&Trail<'_>>) -> Result<(), CommandError>;

/// What is done with each member or element.
type Then<'f, 'v, 'c> =
    &'f mut dyn FnMut(&mut Walk<'v, 'c>, ValueRef<'v>, Option<&Trail<'_>>) -> Result<(), CommandError>;

/// Hands over what the segments of a path select.
pub(super) fn walk<'v>(
    path: &Path,
    segments: &[Segment],
    root: ValueRef<'v>,
    effort: Effort<'_>,
    found: Found<'_, 'v>,
) -> Result<(), CommandError> {
    let mut walk = Walk { path, root, effort, visits: 0, looked_at: 0 };
    walk.visit(segments, root, None, found)
}

struct Walk<'v, 'c> {
    path: &'c Path,
    root: ValueRef<'v>,
    effort: Effort<'c>,
    visits: u64,
    /// After how many visits it was last asked whether it may go on.
    looked_at: u64,
}

impl<'v, 'c> Walk<'v, 'c> {
    fn charge(&mut self, visits: u64) -> Result<(), CommandError> {
        self.visits = self.visits.saturating_add(visits);
        if self.visits > self.effort.visits_max {
            let what = format!("{}: it visits more than {} values", self.path.original, self.effort.visits_max);
            return Err(CommandError::new(ErrorCode::TooBig, what));
        }
        if self.visits - self.looked_at >= VISITS_BETWEEN {
            self.looked_at = self.visits;
            if let Some(context) = self.effort.context {
                context.check(None)?;
            }
        }
        Ok(())
    }

    fn charge_steps(&mut self, steps: usize) -> Result<(), CommandError> {
        self.charge(u64::try_from(steps / STEPS_A_VISIT).unwrap_or(u64::MAX))
    }

    fn visit(
        &mut self,
        segments: &[Segment],
        value: ValueRef<'v>,
        trail: Option<&Trail<'_>>,
        found: Found<'_, 'v>,
    ) -> Result<(), CommandError> {
        self.charge(1)?;
        let Some((segment, rest)) = segments.split_first() else { return found(value, trail) };
        let on = |step| Trail { above: trail, step };
        match (segment, value) {
            (Segment::Names(names), ValueRef::Object(members)) => {
                for name in names {
                    let (member, steps) = members.find(name);
                    self.charge_steps(steps)?;
                    if let Some((step, member)) = member {
                        self.visit(rest, member, Some(&on(step)), found)?;
                    }
                }
            }
            (Segment::Indexes(indexes), ValueRef::Array(elements)) => {
                let length = elements.len();
                self.charge_steps(length)?;
                for index in indexes {
                    let index = absolute(*index, length);
                    self.charge_steps(index)?;
                    if let Some(element) = elements.get(index) {
                        self.visit(rest, element, Some(&on(index)), found)?;
                    }
                }
            }
            (Segment::Range { start, end, step }, ValueRef::Array(elements)) => {
                let length = elements.len();
                self.charge_steps(length)?;
                let start = start.map_or(0, |start| absolute(start, length));
                let end = end.map_or(length, |end| absolute(end, length));
                let range = elements.iter().enumerate().take(end).skip(start).step_by(*step);
                for (index, element) in range {
                    self.visit(rest, element, Some(&on(index)), found)?;
                }
            }
            (Segment::All, _) => {
                self.each(value, trail, &mut |walk, child, trail| walk.visit(rest, child, trail, found))?;
            }
            (Segment::Below, _) => self.below(rest, value, trail, found)?,
            (Segment::Filter(filter), ValueRef::Object(_) | ValueRef::Array(_)) => {
                self.each(value, trail, &mut |walk, child, trail| {
                    if walk.holds(filter, child)? { walk.visit(rest, child, trail, found) } else { Ok(()) }
                })?;
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
    ) -> Result<(), CommandError> {
        self.visit(rest, value, trail, found)?;
        self.each(value, trail, &mut |walk, child, trail| walk.below(rest, child, trail, found))
    }

    /// The members or elements.
    fn each(
        &mut self,
        value: ValueRef<'v>,
        trail: Option<&Trail<'_>>,
        then: Then<'_, 'v, 'c>,
    ) -> Result<(), CommandError> {
        match value {
            ValueRef::Object(members) => {
                for (step, (_, member)) in members.iter().enumerate() {
                    then(self, member, Some(&Trail { above: trail, step }))?;
                }
            }
            ValueRef::Array(elements) => {
                for (step, element) in elements.iter().enumerate() {
                    then(self, element, Some(&Trail { above: trail, step }))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn holds(&mut self, filter: &Filter, current: ValueRef<'v>) -> Result<bool, CommandError> {
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
                self.charge(operator.cost(left, right))?;
                Ok(operator.holds(left, right))
            }
        }
    }

    fn side<'t>(&mut self, term: &'t Term, current: ValueRef<'v>) -> Result<Side<'t>, CommandError>
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
            Ok(())
        })?;
        Ok(first.filter(|_| count == 1).map_or(Side::Missing, Side::Value))
    }
}

/// An index from the start. One before the start is the start, as in RedisJSON; one past the end stays out.
fn absolute(index: i64, length: usize) -> usize {
    let distance = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
    if index >= 0 { distance.min(length) } else { length.saturating_sub(distance) }
}
