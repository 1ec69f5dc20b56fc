//! `[?(..)]`: what a filter of a path is, and when it holds.
//!
//! As in RedisJSON a term that selects nothing, or several values, is none: it is unequal to everything and holds nothing. Numbers
//! compare with numbers, text with text; objects and arrays only with what two paths select.

use std::cmp::Ordering;
use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};
use veddb_storage::document::ValueRef;

use super::Segment;
use crate::json::same::same;
use crate::json::size;

/// A condition on a value.
#[derive(Debug, Clone)]
pub(super) enum Filter {
    Any(Vec<Filter>),
    All(Vec<Filter>),
    /// The term selects something.
    Some(Term),
    Compare(Term, Operator, Term),
    /// `=~`: a text, and the pattern that it matches.
    Matches(Term, Term),
}

/// One side of a comparison.
#[derive(Debug, Clone)]
pub(super) enum Term {
    /// `@..`
    Current(Vec<Segment>),
    /// `$..`
    Root(Vec<Segment>),
    Literal(Literal),
}

#[derive(Debug, Clone)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Integer(i64),
    Double(f64),
    /// With the pattern that it is, once it was one; none where it cannot be one.
    Text(String, OnceLock<Option<Regex>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// One side of a comparison, looked up.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side<'a> {
    Missing,
    Value(ValueRef<'a>),
    Literal(&'a Literal),
}

/// Bytes of a compiled pattern.
const PATTERN_SIZE_MAX: usize = 256 << 10;
/// Bytes of a pattern that a value is; a path is no longer.
const PATTERN_BYTES_MAX: usize = 4096;
/// What compiling one may take, in visits, and what each byte of it.
const PATTERN_VISITS: usize = 50_000;
const PATTERN_BYTE_VISITS: usize = 200;

/// A pattern, if it is one that can be.
pub(super) fn pattern(text: &str) -> Option<Regex> {
    let text = Some(text).filter(|text| text.len() <= PATTERN_BYTES_MAX)?;
    RegexBuilder::new(text).size_limit(PATTERN_SIZE_MAX).build().ok()
}

/// What it takes to compile it, in visits: milliseconds where it is a bad one.
pub(super) fn pattern_visits(text: &str) -> usize {
    PATTERN_VISITS + PATTERN_BYTE_VISITS * text.len().min(PATTERN_BYTES_MAX)
}

impl Operator {
    /// What it takes beyond the visits of its sides: large values are compared.
    pub(super) fn cost(left: Side<'_>, right: Side<'_>) -> u64 {
        match (left, right) {
            (Side::Value(a), Side::Value(b)) => u64::try_from(size(a).min(size(b)) / 16).unwrap_or(u64::MAX),
            _ => 0,
        }
    }

    /// Whether it holds.
    pub(super) fn holds(self, left: Side<'_>, right: Side<'_>) -> bool {
        match self {
            Operator::Equal => equal(left, right),
            Operator::Unequal => !equal(left, right),
            Operator::Less => order(left, right).is_some_and(Ordering::is_lt),
            Operator::LessOrEqual => order(left, right).is_some_and(Ordering::is_le),
            Operator::Greater => order(left, right).is_some_and(Ordering::is_gt),
            Operator::GreaterOrEqual => order(left, right).is_some_and(Ordering::is_ge),
        }
    }
}

/// A scalar as it compares.
enum Scalar<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Double(f64),
    Text(&'a str),
}

fn scalar(side: Side<'_>) -> Option<Scalar<'_>> {
    Some(match side {
        Side::Missing => return None,
        Side::Literal(Literal::Null) | Side::Value(ValueRef::Null) => Scalar::Null,
        Side::Literal(Literal::Bool(value)) => Scalar::Bool(*value),
        Side::Literal(Literal::Integer(value)) => Scalar::Integer(*value),
        Side::Literal(Literal::Double(value)) => Scalar::Double(*value),
        Side::Literal(Literal::Text(text, _)) => Scalar::Text(text),
        Side::Value(ValueRef::Bool(value)) => Scalar::Bool(value),
        Side::Value(ValueRef::Int32(value)) => Scalar::Integer(i64::from(value)),
        Side::Value(ValueRef::Int64(value)) => Scalar::Integer(value),
        Side::Value(ValueRef::Double(value)) => Scalar::Double(value),
        Side::Value(ValueRef::String(text)) => Scalar::Text(text),
        Side::Value(_) => return None,
    })
}

fn order(left: Side<'_>, right: Side<'_>) -> Option<Ordering> {
    match (scalar(left)?, scalar(right)?) {
        (Scalar::Null, Scalar::Null) => Some(Ordering::Equal),
        (Scalar::Bool(a), Scalar::Bool(b)) => Some(a.cmp(&b)),
        (Scalar::Integer(a), Scalar::Integer(b)) => Some(a.cmp(&b)),
        (Scalar::Integer(a), Scalar::Double(b)) => (a as f64).partial_cmp(&b),
        (Scalar::Double(a), Scalar::Integer(b)) => a.partial_cmp(&(b as f64)),
        (Scalar::Double(a), Scalar::Double(b)) => a.partial_cmp(&b),
        (Scalar::Text(a), Scalar::Text(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn equal(left: Side<'_>, right: Side<'_>) -> bool {
    match (left, right) {
        (Side::Value(a), Side::Value(b)) => {
            same(a, b, |a, b| order(Side::Value(a), Side::Value(b)).is_some_and(Ordering::is_eq))
        }
        _ => order(left, right).is_some_and(Ordering::is_eq),
    }
}
