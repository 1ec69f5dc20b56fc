//! `$eq $ne $gt $gte $lt $lte $in $nin`.

use std::cmp::Ordering;

use rustc_hash::FxHashSet;

use super::super::bounds::{Bounds, Edge, Interval};
use super::super::codec::{Packed, ValueRef};
use super::super::order::{class, compare};
use super::super::ordered::class_of;
use super::super::value::Kind;
use super::{FieldOperator, FilterError, Node, Operand, Parser, Test, pattern};

/// The comparison operators.
pub(super) const OPERATORS: &[FieldOperator] = &[
    FieldOperator {
        name: "$eq",
        operand: "value",
        summary: "Equal to the value; null also matches a missing field.",
        parse: eq,
    },
    FieldOperator { name: "$ne", operand: "value", summary: "Not equal to the value.", parse: ne },
    FieldOperator {
        name: "$gt",
        operand: "value",
        summary: "Greater than the value, among values of its type.",
        parse: gt,
    },
    FieldOperator {
        name: "$gte",
        operand: "value",
        summary: "Greater than or equal to the value, among values of its type.",
        parse: gte,
    },
    FieldOperator {
        name: "$lt",
        operand: "value",
        summary: "Less than the value, among values of its type.",
        parse: lt,
    },
    FieldOperator {
        name: "$lte",
        operand: "value",
        summary: "Less than or equal to the value, among values of its type.",
        parse: lte,
    },
    FieldOperator {
        name: "$in",
        operand: "[value, ...]",
        summary: "Equal to one of the values, or matching one of the expressions.",
        parse: in_,
    },
    FieldOperator { name: "$nin", operand: "[value, ...]", summary: "Not in the list.", parse: nin },
];

fn eq(_: &mut Parser<'_>, operand: Operand<'_>) -> Result<Node, FilterError> {
    Ok(operand.node(Equal::new(Packed::from_ref(operand.value))))
}

fn ne(_: &mut Parser<'_>, operand: Operand<'_>) -> Result<Node, FilterError> {
    if operand.value.kind() == Kind::Regex {
        return Err(operand.error("a regular expression; use $not"));
    }
    Ok(Node::Not(Box::new(operand.node(Equal::new(Packed::from_ref(operand.value))))))
}

fn gt(_: &mut Parser<'_>, operand: Operand<'_>) -> Result<Node, FilterError> {
    range(operand, Ordering::Greater, false)
}

fn gte(_: &mut Parser<'_>, operand: Operand<'_>) -> Result<Node, FilterError> {
    range(operand, Ordering::Greater, true)
}

fn lt(_: &mut Parser<'_>, operand: Operand<'_>) -> Result<Node, FilterError> {
    range(operand, Ordering::Less, false)
}

fn lte(_: &mut Parser<'_>, operand: Operand<'_>) -> Result<Node, FilterError> {
    range(operand, Ordering::Less, true)
}

fn range(operand: Operand<'_>, side: Ordering, or_equal: bool) -> Result<Node, FilterError> {
    if operand.value.kind() == Kind::Regex {
        return Err(operand.error("cannot compare with a regular expression"));
    }
    Ok(operand.node(Range { bound: Packed::from_ref(operand.value), side, or_equal }))
}

fn in_(parser: &mut Parser<'_>, operand: Operand<'_>) -> Result<Node, FilterError> {
    let ValueRef::Array(list) = operand.value else {
        return Err(operand.error("needs an array"));
    };
    let mut constants = Vec::new();
    let mut patterns = Vec::new();
    for element in list.iter() {
        match element {
            ValueRef::Regex { .. } => patterns.push(pattern::compile_literal(parser, operand, element)?),
            ValueRef::Object(o) if o.iter().next().is_some_and(|(name, _)| name.starts_with('$')) => {
                return Err(operand.error("operators cannot stand in the list"));
            }
            constant => constants.push(Packed::from_ref(constant)),
        }
    }
    constants.sort_by(|a, b| compare(a.get(), b.get()));
    constants.dedup_by(|a, b| compare(a.get(), b.get()).is_eq());
    let nullish = constants.iter().any(|c| c.get().kind() == Kind::Null);
    let text =
        |constant: &Packed| if let ValueRef::String(text) = constant.get() { Some(Box::from(text)) } else { None };
    let texts = constants.iter().filter_map(text).collect();
    Ok(operand.node(In { constants, texts, patterns, nullish }))
}

fn nin(parser: &mut Parser<'_>, operand: Operand<'_>) -> Result<Node, FilterError> {
    Ok(Node::Not(Box::new(in_(parser, operand)?)))
}

/// Equality with a constant.
#[derive(Debug)]
pub(super) struct Equal([Packed; 1]);

impl Equal {
    pub(super) fn new(constant: Packed) -> Equal {
        Equal([constant])
    }
}

impl Test for Equal {
    fn passes(&self, value: Option<ValueRef<'_>>) -> bool {
        let [constant] = &self.0;
        match value {
            None => constant.get().kind() == Kind::Null,
            Some(value) => compare(value, constant.get()).is_eq(),
        }
    }

    fn equals_any(&self) -> Option<&[Packed]> {
        Some(&self.0)
    }

    fn rank(&self) -> u8 {
        1
    }

    fn bounds(&self) -> Option<Bounds> {
        let [constant] = &self.0;
        Some(Bounds::equal(constant.get()))
    }
}

/// One side of a constant, among values of its own type.
#[derive(Debug)]
struct Range {
    bound: Packed,
    side: Ordering,
    or_equal: bool,
}

impl Test for Range {
    fn passes(&self, value: Option<ValueRef<'_>>) -> bool {
        let bound = self.bound.get();
        let Some(value) = value else {
            return match bound.kind() {
                // Missing is null here, which only "or equal" can reach.
                Kind::Null => self.or_equal,
                // They bound what is missing, too.
                Kind::MinKey => self.side == Ordering::Greater,
                Kind::MaxKey => self.side == Ordering::Less,
                _ => false,
            };
        };
        // MinKey and MaxKey have no type of their own to stay in: they bound all others.
        let unbracketed = matches!(bound.kind(), Kind::MinKey | Kind::MaxKey);
        if !unbracketed && class(value.kind()) != class(bound.kind()) {
            return false;
        }
        let order = compare(value, bound);
        // NaN compares with nothing but itself.
        if is_nan(value) != is_nan(bound) && !unbracketed {
            return false;
        }
        order == self.side || (self.or_equal && order.is_eq())
    }

    fn rank(&self) -> u8 {
        match (self.side, self.or_equal) {
            (Ordering::Greater, true) => 5,
            (Ordering::Greater, false) => 4,
            (_, false) => 3,
            (_, true) => 2,
        }
    }

    fn bounds(&self) -> Option<Bounds> {
        let bound = self.bound.get();
        match bound.kind() {
            // What they bound is not one type's values; an array may be met by its elements or as a whole.
            Kind::MinKey | Kind::MaxKey | Kind::Array => return None,
            Kind::Null if self.or_equal => return Some(Bounds::equal(bound)),
            Kind::Null => return Some(Bounds::new(Vec::new(), true)),
            _ if is_nan(bound) && self.or_equal => return Some(Bounds::equal(bound)),
            _ if is_nan(bound) => return Some(Bounds::new(Vec::new(), true)),
            _ => {}
        }
        let of_its_type = Interval::class(class_of(bound.kind()));
        // NaN, the lowest number, is on no side of another.
        let low =
            if bound.kind().is_number() { Edge::after(ValueRef::Double(f64::NAN)) } else { of_its_type.low.clone() };
        let interval = match (self.side, self.or_equal) {
            (Ordering::Greater, true) => Interval { low: Edge::before(bound), high: of_its_type.high },
            (Ordering::Greater, false) => Interval { low: Edge::after(bound), high: of_its_type.high },
            (_, true) => Interval { low, high: Edge::after(bound) },
            (_, false) => Interval { low, high: Edge::before(bound) },
        };
        Some(Bounds::new(vec![interval], true))
    }
}

fn is_nan(value: ValueRef<'_>) -> bool {
    match value {
        ValueRef::Double(n) => n.is_nan(),
        ValueRef::Decimal(n) => n.is_nan(),
        _ => false,
    }
}

/// One of a list.
#[derive(Debug)]
struct In {
    /// Sorted, distinct.
    constants: Vec<Packed>,
    /// The texts among them: most lists are of texts, and these are found at once.
    texts: FxHashSet<Box<str>>,
    patterns: Vec<pattern::Matcher>,
    nullish: bool,
}

impl Test for In {
    fn passes(&self, value: Option<ValueRef<'_>>) -> bool {
        let Some(value) = value else { return self.nullish };
        let listed = match value {
            ValueRef::String(text) => self.texts.contains(text),
            value => self.constants.binary_search_by(|c| compare(c.get(), value)).is_ok(),
        };
        listed || self.patterns.iter().any(|p| p.passes(Some(value)))
    }

    fn equals_any(&self) -> Option<&[Packed]> {
        if self.patterns.is_empty() { Some(&self.constants) } else { None }
    }

    fn bounds(&self) -> Option<Bounds> {
        let mut exact = true;
        let mut intervals = Vec::new();
        let constants = self.constants.iter().map(|constant| Bounds::equal(constant.get()));
        for bounds in constants.chain(self.patterns.iter().filter_map(Test::bounds)) {
            exact &= bounds.exact;
            intervals.extend_from_slice(bounds.intervals());
        }
        Some(Bounds::new(intervals, exact))
    }
}
