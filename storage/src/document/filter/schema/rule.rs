//! What a schema's keywords ask of a value. A rule about one type holds of every value of another.

use std::cmp::Ordering;

use dec::{Context, Decimal128};
use regex::Regex;

use super::super::super::codec::{Packed, RawArray, RawObject, ValueRef, pack_value};
use super::super::super::order::{compare, to_decimal};
use super::super::super::value::{Kind, Object, Value};
use super::Schema;

/// One keyword's demand.
#[derive(Debug)]
pub(super) enum Rule {
    /// The value is of one of these types.
    Kinds(Vec<Kind>),
    /// It equals one of these, the order of names aside.
    OneOfValues(Vec<Packed>),
    /// All of the schemas.
    All(Vec<Schema>),
    /// At least one of them.
    Any(Vec<Schema>),
    /// Exactly one of them.
    One(Vec<Schema>),
    /// Not this one.
    Not(Box<Schema>),
    /// A number on this side of the bound.
    Bound { bound: Packed, side: Ordering, exclusive: bool },
    /// A number that is a multiple.
    Multiple(Decimal128),
    /// A text that the expression finds itself in.
    Pattern(Regex),
    /// So many characters, elements or members.
    Size { of: Kind, at_least: usize, at_most: usize },
    /// Elements that differ.
    Unique,
    /// What the elements are: the first by their place, the others by one schema.
    Elements { first: Vec<Schema>, others: Others },
    /// Members that have to be there.
    Required(Vec<String>),
    /// What the members are.
    Members { named: Vec<(String, Schema)>, patterns: Vec<(Regex, Schema)>, others: Others },
    /// Where there is this member, the whole is as this says.
    Depends(Vec<(String, Rule)>),
    /// A schema of the whole.
    Whole(Box<Schema>),
}

/// What those are that no name or place speaks of.
#[derive(Debug)]
pub(super) enum Others {
    Any,
    None,
    As(Box<Schema>),
}

impl Others {
    fn allow(&self, value: ValueRef<'_>) -> bool {
        match self {
            Others::Any => true,
            Others::None => false,
            Others::As(schema) => schema.fits(value),
        }
    }
}

impl Rule {
    pub(super) fn fits(&self, value: ValueRef<'_>) -> bool {
        match self {
            Rule::Kinds(kinds) => kinds.contains(&value.kind()),
            Rule::OneOfValues(values) => {
                let value = unordered(value);
                values.binary_search_by(|one| compare(one.get(), value.get())).is_ok()
            }
            Rule::All(schemas) => schemas.iter().all(|schema| schema.fits(value)),
            Rule::Any(schemas) => schemas.iter().any(|schema| schema.fits(value)),
            Rule::One(schemas) => schemas.iter().filter(|schema| schema.fits(value)).take(2).count() == 1,
            Rule::Not(schema) => !schema.fits(value),
            Rule::Whole(schema) => schema.fits(value),
            Rule::Bound { bound, side, exclusive } => {
                !value.kind().is_number() || is_beyond(value, bound.get(), *side, *exclusive)
            }
            Rule::Multiple(of) => !value.kind().is_number() || is_multiple(value, *of),
            Rule::Pattern(regex) => match value {
                ValueRef::String(text) => regex.is_match(text),
                _ => true,
            },
            Rule::Size { of, at_least, at_most } => {
                let size = match value {
                    ValueRef::String(text) if *of == Kind::String => text.chars().count(),
                    ValueRef::Array(array) if *of == Kind::Array => array.len(),
                    ValueRef::Object(object) if *of == Kind::Object => object.iter().count(),
                    _ => return true,
                };
                (*at_least..=*at_most).contains(&size)
            }
            Rule::Unique => !matches!(value, ValueRef::Array(array) if has_twins(array)),
            Rule::Elements { first, others } => {
                let ValueRef::Array(array) = value else { return true };
                let mut first = first.iter();
                array
                    .iter()
                    .all(|element| first.next().map_or_else(|| others.allow(element), |schema| schema.fits(element)))
            }
            Rule::Required(names) => match value {
                ValueRef::Object(object) => names.iter().all(|name| object.get(name).is_some()),
                _ => true,
            },
            Rule::Members { named, patterns, others } => match value {
                ValueRef::Object(object) => members_fit(object, named, patterns, others),
                _ => true,
            },
            Rule::Depends(list) => match value {
                ValueRef::Object(object) => {
                    list.iter().all(|(name, rule)| object.get(name).is_none() || rule.fits(value))
                }
                _ => true,
            },
        }
    }
}

fn members_fit(
    object: RawObject<'_>,
    named: &[(String, Schema)],
    patterns: &[(Regex, Schema)],
    others: &Others,
) -> bool {
    object.iter().all(|(name, value)| {
        let mut spoken_of = false;
        // Sorted by name.
        if let Ok(at) = named.binary_search_by(|(known, _)| known.as_str().cmp(name))
            && let Some((_, schema)) = named.get(at)
        {
            spoken_of = true;
            if !schema.fits(value) {
                return false;
            }
        }
        for (regex, schema) in patterns {
            if regex.is_match(name) {
                spoken_of = true;
                if !schema.fits(value) {
                    return false;
                }
            }
        }
        spoken_of || others.allow(value)
    })
}

fn is_beyond(value: ValueRef<'_>, bound: ValueRef<'_>, side: Ordering, exclusive: bool) -> bool {
    let order = compare(value, bound);
    // NaN is on no side of another number.
    is_nan(value) == is_nan(bound) && (order == side || (!exclusive && order.is_eq()))
}

fn is_nan(value: ValueRef<'_>) -> bool {
    match value {
        ValueRef::Double(n) => n.is_nan(),
        ValueRef::Decimal(n) => n.is_nan(),
        _ => false,
    }
}

/// Whether division leaves nothing.
fn is_multiple(value: ValueRef<'_>, of: Decimal128) -> bool {
    short_decimal(value).is_some_and(|value| Context::<Decimal128>::default().rem(value, of).is_zero())
}

/// A number as a decimal. A double counts with its 15 digits, so that 0.3 is a multiple of 0.1.
pub(super) fn short_decimal(value: ValueRef<'_>) -> Option<Decimal128> {
    match value {
        ValueRef::Double(n) if n.is_finite() => Context::<Decimal128>::default().parse(format!("{n:.14e}")).ok(),
        other => to_decimal(other),
    }
}

fn has_twins(array: RawArray<'_>) -> bool {
    let mut values: Vec<Packed> = array.iter().map(unordered).collect();
    values.sort_by(|a, b| compare(a.get(), b.get()));
    values.iter().zip(values.iter().skip(1)).any(|(a, b)| compare(a.get(), b.get()).is_eq())
}

/// The value with the members of all its objects sorted by name: what this dialect compares.
pub(super) fn unordered(value: ValueRef<'_>) -> Packed {
    match value {
        ValueRef::Object(_) | ValueRef::Array(_) => pack_value(&sorted(value.to_value())),
        scalar => Packed::from_ref(scalar),
    }
}

// A document's depth bounds it.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(Object(mut members)) => {
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(Object(members.into_iter().map(|(name, value)| (name, sorted(value))).collect()))
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        scalar => scalar,
    }
}
