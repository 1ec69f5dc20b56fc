//! Changing the JSON of a key at the places that a path selects, within a unit.
//!
//! Owns what all such commands do alike: the key is looked up, its value changed in an owned copy, judged, and put back with
//! the expiry it had. Nothing is stored where a command fails.

use std::rc::Rc;

use bytes::Bytes;
use veddb_storage::document::codec::pack_value;
use veddb_storage::document::json::render_value;
use veddb_storage::document::{Packed, Value, ValueRef};
use veddb_storage::{KeyValue, Transaction};

use super::growth::Growth;
use super::path::{Addition, Effort, Path, Place, at};
use super::{no_key, no_path, wrong_type};
use crate::args::Args;
use crate::context::{Limits, WriteContext};
use crate::error::{CommandError, ErrorCode};
use crate::keyspace::{self, Slot, class};
use crate::reply::Reply;

/// A key whose value is to be changed.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) db: u8,
    pub(super) key: Bytes,
    pub(super) limits: Limits,
    /// What is noted of it.
    pub(super) event: &'static str,
}

/// Which values of a path are changed, and how.
pub(super) struct Change {
    /// Those that are.
    pub(super) fits: fn(ValueRef<'_>) -> bool,
    /// What the others are said not to be.
    pub(super) otherwise: &'static str,
    /// What is inside another match is changed before it: the change may move it.
    pub(super) inner_first: bool,
}

/// What a key's JSON is in this unit.
pub(super) struct Held {
    slot: Slot,
    effort: Rc<Effort<'static>>,
}

impl Held {
    /// As it is stored.
    pub(super) fn value(&self) -> ValueRef<'_> {
        match self.slot.value() {
            KeyValue::Json(value) => value,
            // [`Target::find`] has looked.
            KeyValue::String(_) => ValueRef::Null,
        }
    }

    /// What a path selects, with the places.
    pub(super) fn places(&self, path: &Path) -> Result<Vec<(ValueRef<'_>, Place)>, CommandError> {
        path.places(self.value(), &self.effort)
    }

    /// Where a value would be put that is not there yet.
    pub(super) fn addition<'p>(&self, path: &'p Path) -> Result<Option<Addition<'p>>, CommandError> {
        path.addition(self.value(), &self.effort)
    }

    /// What the unit may take.
    pub(super) fn effort(&self) -> &Effort<'static> {
        &self.effort
    }

    /// Bytes of it, as it is stored.
    pub(super) fn bytes(&self) -> usize {
        self.slot.document.body.len()
    }
}

impl Target {
    /// The key at argument 1.
    pub(super) fn new(args: &Args, context: &WriteContext<'_>, event: &'static str) -> Target {
        Target { db: context.db, key: args.bytes(1).clone(), limits: *context.limits, event }
    }

    /// What the key holds.
    pub(super) fn find(&self, tx: &mut Transaction<'_>) -> Result<Option<Held>, CommandError> {
        let effort = Rc::new(Effort::write(&self.limits));
        let held = self.find_within(tx, &effort)?;
        if let Some(held) = &held {
            effort.allow(held.bytes());
        }
        Ok(held)
    }

    /// What it holds, where several share what a unit may take.
    pub(super) fn find_within(
        &self,
        tx: &mut Transaction<'_>,
        effort: &Rc<Effort<'static>>,
    ) -> Result<Option<Held>, CommandError> {
        let Some(slot) = keyspace::find(tx, self.db, &self.key)? else { return Ok(None) };
        match slot.value() {
            KeyValue::Json(_) => Ok(Some(Held { slot, effort: effort.clone() })),
            KeyValue::String(_) => Err(wrong_type()),
        }
    }

    /// Has the key hold this, which is known to be small enough.
    pub(super) fn put(
        &self,
        tx: &mut Transaction<'_>,
        held: Option<&Held>,
        value: ValueRef<'_>,
    ) -> Result<(), CommandError> {
        let slot = held.map(|held| &held.slot);
        keyspace::put(tx, self.db, &self.key, slot, KeyValue::Json(value), slot.map_or(0, Slot::expires_ms))?;
        tx.note_key(self.db, class::MODULE, self.event, &self.key);
        Ok(())
    }

    /// Has it hold what became of its value.
    pub(super) fn put_changed(&self, tx: &mut Transaction<'_>, held: &Held, value: &Value) -> Result<(), CommandError> {
        let packed = pack_value(value);
        check_size(value, &packed, &self.limits)?;
        self.put(tx, Some(held), packed.get())
    }

    /// Takes the key away.
    pub(super) fn take(&self, tx: &mut Transaction<'_>, held: &Held) -> Result<(), CommandError> {
        keyspace::take(tx, &held.slot)?;
        tx.note_key(self.db, class::MODULE, self.event, &self.key);
        Ok(())
    }

    /// Changes the values that a path selects, one after the other. The outcomes in the path's order: none where the value is of
    /// another type, or no longer where it was.
    pub(super) fn change<T>(
        &self,
        tx: &mut Transaction<'_>,
        path: &Path,
        change: &Change,
        each: impl FnMut(&mut Value) -> Result<T, CommandError>,
    ) -> Result<Vec<Option<T>>, CommandError> {
        self.change_adding(tx, path, change, 0, each)
    }

    /// The same, of a change that adds so many bytes of JSON to each value.
    pub(super) fn change_adding<T>(
        &self,
        tx: &mut Transaction<'_>,
        path: &Path,
        change: &Change,
        added_bytes: usize,
        mut each: impl FnMut(&mut Value) -> Result<T, CommandError>,
    ) -> Result<Vec<Option<T>>, CommandError> {
        let held = self.find(tx)?.ok_or_else(no_key)?;
        let places = held.places(path)?;
        let places: Vec<Option<Place>> =
            places.into_iter().map(|(value, place)| (change.fits)(value).then_some(place)).collect();
        let mut outcomes: Vec<Option<T>> = places.iter().map(|_| None).collect();
        if places.iter().all(Option::is_none) {
            return Ok(outcomes);
        }
        Growth::new(&self.limits).add(added_bytes, places.iter().flatten().count())?;
        let mut root = held.value().to_value();
        let mut one = |(place, outcome): (&Option<Place>, &mut Option<T>)| -> Result<(), CommandError> {
            if let Some(value) = place.as_ref().and_then(|place| at(&mut root, place)) {
                // A path may select one array again and again, and each time its elements may move.
                if let Value::Array(elements) = value {
                    held.effort.charge_steps(path, elements.len())?;
                }
                *outcome = Some(each(value)?);
            }
            Ok(())
        };
        let pairs = places.iter().zip(outcomes.iter_mut());
        if change.inner_first {
            pairs.rev().try_for_each(&mut one)?
        } else {
            pairs.into_iter().try_for_each(&mut one)?
        }
        self.put_changed(tx, &held, &root)?;
        Ok(outcomes)
    }
}

/// The outcomes as RedisJSON answers them: all of them, or the last in the older notation, where there has to be one.
pub(super) fn answer(
    path: &Path,
    named: &str,
    change: &Change,
    outcomes: Vec<Option<Reply>>,
) -> Result<Reply, CommandError> {
    if !path.legacy {
        return Ok(Reply::Array(outcomes.into_iter().map(|outcome| outcome.unwrap_or(Reply::Null)).collect()));
    }
    outcomes.into_iter().flatten().last().ok_or_else(|| no_path(named, change.otherwise))
}

/// What is said of a value with too much JSON text.
pub(super) fn too_long(limits: &Limits) -> CommandError {
    let what = format!("it would have more than {} bytes of JSON", limits.max_document_size);
    CommandError::new(ErrorCode::TooBig, what)
}

/// No update may make what JSON.SET may not bring.
fn check_size(value: &Value, packed: &Packed, limits: &Limits) -> Result<(), CommandError> {
    if value.depth() > limits.max_document_depth {
        let what = format!("it would have more than {} levels of nesting", limits.max_document_depth);
        return Err(CommandError::new(ErrorCode::TooBig, what));
    }
    // No packed value becomes more than 8 times as long as JSON, so small ones need not be written out.
    if packed.size().saturating_mul(8) > limits.max_document_size {
        let mut text = Vec::with_capacity(packed.size() * 2);
        render_value(&mut text, packed.get());
        if text.len() > limits.max_document_size {
            return Err(too_long(limits));
        }
    }
    Ok(())
}
