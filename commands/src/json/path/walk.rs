//! From a path and a value to what the path selects, in RedisJSON's order.
//!
//! Each recursive call goes down a level of the value, so its depth bounds the recursion.

use std::cell::Cell;

use regex::Regex;
use veddb_storage::document::ValueRef;

use super::filter::{Filter, Literal, Operator, Side, Term, pattern, pattern_visits};
use super::{Path, Place, Segment};
use crate::context::{Limits, ReadContext};
use crate::error::{CommandError, ErrorCode};

/// The most values that the paths of one request may visit; several `..` multiply.
const VISITS_MAX: u64 = 10_000_000;
/// After so many visits a read looks whether it may go on.
const VISITS_BETWEEN: u64 = 4096;
/// So many members or elements are stepped over in about the time of one visit.
const STEPS_A_VISIT: usize = 16;

/// What the places that one unit changes may take. They are held while all other writes wait.
const PLACES_BYTES_MAX: usize = 128 << 20;

/// What the walks of one request may cost together.
#[derive(Debug)]
pub(in crate::json) struct Effort<'c> {
    visits_max: Cell<u64>,
    visits: Cell<u64>,
    /// After how many visits it was last asked whether it may go on.
    looked_at: Cell<u64>,
    places_bytes: Cell<usize>,
    context: Option<&'c ReadContext<'c>>,
}

impl<'c> Effort<'c> {
    fn new(visits_max: u64, context: Option<&'c ReadContext<'c>>) -> Effort<'c> {
        let (visits, looked_at, places_bytes) = (Cell::new(0), Cell::new(0), Cell::new(0));
        Effort { visits_max: Cell::new(visits_max.min(VISITS_MAX)), visits, looked_at, places_bytes, context }
    }

    /// Of a read, which ends where its client is gone and moves where it may take longer.
    pub(in crate::json) fn read(context: &'c ReadContext<'c>) -> Effort<'c> {
        Effort::new(VISITS_MAX, Some(context))
    }

    /// Counts so many visits, about to be made.
    fn charge(&self, path: &Path, visits: u64) -> Result<(), CommandError> {
        let visits = self.visits.get().saturating_add(visits);
        self.visits.set(visits);
        if visits > self.visits_max.get() {
            let what = format!("{}: it visits more than {} values", path.original, self.visits_max.get());
            return Err(CommandError::new(ErrorCode::TooBig, what));
        }
        if visits - self.looked_at.get() >= VISITS_BETWEEN {
            self.looked_at.set(visits);
            if let Some(context) = self.context {
                context.check(None)?;
            }
        }
        Ok(())
    }

    /// Counts what takes as long as so many visits.
    pub(in crate::json) fn charge_of(&self, path: &Path, visits: usize) -> Result<(), CommandError> {
        self.charge(path, u64::try_from(visits).unwrap_or(u64::MAX))
    }

    /// Counts so many members, elements or bytes that are stepped over.
    pub(in crate::json) fn charge_steps(&self, path: &Path, steps: usize) -> Result<(), CommandError> {
        self.charge_of(path, steps / STEPS_A_VISIT)
    }

    /// Counts the bytes of a place that is held.
    pub(super) fn hold(&self, path: &Path, bytes: usize) -> Result<(), CommandError> {
        let bytes = self.places_bytes.get().saturating_add(bytes);
        self.places_bytes.set(bytes);
        if bytes > PLACES_BYTES_MAX {
            let what = format!("{}: it selects more values than can be changed at once", path.original);
            return Err(CommandError::new(ErrorCode::TooBig, what));
        }
        Ok(())
    }
}

impl Effort<'static> {
    /// Of a unit, for which all other writes wait: what any unit may take.
    pub(in crate::json) fn write(limits: &Limits) -> Effort<'static> {
        Effort::new(limits.max_commit_work, None)
    }

    /// Allows a few visits more of each value of these bytes.
    pub(in crate::json) fn allow(&self, bytes: usize) {
        let more = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(4);
        self.visits_max.set(self.visits_max.get().saturating_add(more).min(VISITS_MAX));
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
    effort: &Effort<'_>,
    found: Found<'_, 'v>,
) -> Result<(), CommandError> {
    let mut walk = Walk { path, root, effort, pattern: None };
    walk.visit(segments, root, None, found)
}

struct Walk<'v, 'c> {
    path: &'c Path,
    root: ValueRef<'v>,
    effort: &'c Effort<'c>,
    /// The last pattern that a path found, which often is the same for all elements.
    pattern: Option<(String, Option<Regex>)>,
}

impl<'v, 'c> Walk<'v, 'c> {
    fn charge(&self, visits: u64) -> Result<(), CommandError> {
        self.effort.charge(self.path, visits)
    }

    fn charge_steps(&self, steps: usize) -> Result<(), CommandError> {
        self.effort.charge_steps(self.path, steps)
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
                self.charge(Operator::cost(left, right))?;
                Ok(operator.holds(left, right))
            }
            Filter::Matches(text, source) => {
                let (text, source) = (self.side(text, current)?, self.side(source, current)?);
                self.matches(text, source)
            }
        }
    }

    /// A pattern is compiled when it is first needed, which counts as the many visits that it takes.
    fn matches(&mut self, text: Side<'_>, source: Side<'_>) -> Result<bool, CommandError> {
        let Side::Value(ValueRef::String(text)) = text else { return Ok(false) };
        self.charge_steps(text.len())?;
        match source {
            Side::Literal(Literal::Text(source, compiled)) => {
                if compiled.get().is_none() {
                    self.effort.charge_of(self.path, pattern_visits(source))?;
                }
                Ok(compiled.get_or_init(|| pattern(source)).as_ref().is_some_and(|pattern| pattern.is_match(text)))
            }
            Side::Value(ValueRef::String(source)) => {
                let last = self.pattern.take().filter(|(last, _)| last == source);
                let (_, pattern) = match last {
                    Some(last) => self.pattern.insert(last),
                    None => {
                        self.effort.charge_of(self.path, pattern_visits(source))?;
                        self.pattern.insert((source.to_owned(), pattern(source)))
                    }
                };
                Ok(pattern.as_ref().is_some_and(|pattern| pattern.is_match(text)))
            }
            _ => Ok(false),
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
