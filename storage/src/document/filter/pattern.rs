//! `$regex` with `$options`, and regular expression literals.
//!
//! [`super::super::regex`] makes of MongoDB's expressions what the `regex` crate matches.

use regex::Regex;
use regex_syntax::hir::Look;
use regex_syntax::hir::literal::Extractor;

use super::super::bounds::{Bounds, Interval};
use super::super::codec::ValueRef;
use super::super::ordered::class;
use super::super::regex::compile_to_test;
use super::{FieldOperator, FilterError, Node, Operand, Parser, Test};

/// The operators on text.
pub(super) const OPERATORS: &[FieldOperator] = &[FieldOperator {
    name: "$regex",
    operand: "pattern, with $options beside it",
    summary: "Text that the regular expression finds itself in.",
    parse: regex,
}];

/// The operand beside `$regex`; by itself it asks nothing.
pub(super) const OPTIONS: &str = "$options";

fn regex(parser: &mut Parser<'_>, operand: Operand<'_>) -> Result<Node, FilterError> {
    let beside = match operand.siblings.get(OPTIONS) {
        None => None,
        Some(ValueRef::String(options)) => Some(options),
        Some(_) => return Err(operand.error("$options needs a string")),
    };
    let matcher = match operand.value {
        ValueRef::String(pattern) => compile(parser, operand, pattern, beside.unwrap_or_default())?,
        ValueRef::Regex { options, .. } if beside.is_some() && !options.is_empty() => {
            return Err(operand.error("options are given twice"));
        }
        ValueRef::Regex { pattern, options } => compile(parser, operand, pattern, beside.unwrap_or(options))?,
        _ => return Err(operand.error("needs a string or a regular expression")),
    };
    Ok(operand.node(matcher))
}

/// `{"$regularExpression": ..}` where a constant could stand.
pub(super) fn literal(parser: &mut Parser<'_>, operand: Operand<'_>) -> Result<Node, FilterError> {
    Ok(operand.node(compile_literal(parser, operand, operand.value)?))
}

pub(super) fn compile_literal(
    parser: &Parser<'_>,
    operand: Operand<'_>,
    value: ValueRef<'_>,
) -> Result<Matcher, FilterError> {
    let ValueRef::Regex { pattern, options } = value else {
        return Err(operand.error("needs a regular expression"));
    };
    compile(parser, operand, pattern, options)
}

fn compile(parser: &Parser<'_>, operand: Operand<'_>, pattern: &str, options: &str) -> Result<Matcher, FilterError> {
    let size_max = parser.limits().regex_size;
    let regex = compile_to_test(pattern, options, size_max).map_err(|what| operand.error(what))?;
    let mut options: Vec<char> = options.chars().collect();
    options.sort_unstable();
    options.dedup();
    Ok(Matcher { regex, pattern: pattern.into(), options: options.into_iter().collect() })
}

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Matcher {
    regex: Regex,
    /// As it was written.
    pattern: Box<str>,
    options: String,
}

impl Test for Matcher {
    fn passes(&self, value: Option<ValueRef<'_>>) -> bool {
        match value {
            Some(ValueRef::String(text)) => self.regex.is_match(text),
            // A stored expression matches itself, as in MongoDB.
            Some(ValueRef::Regex { pattern, options }) => pattern == &*self.pattern && options == self.options,
            _ => false,
        }
    }

    fn bounds(&self) -> Option<Bounds> {
        let stored = ValueRef::Regex { pattern: &self.pattern, options: &self.options };
        let mut intervals = match self.prefixes() {
            Some(prefixes) => prefixes.iter().map(|prefix| Interval::text_prefix(prefix)).collect(),
            None => vec![Interval::class(class::STRING)],
        };
        intervals.push(Interval::point(stored));
        Some(Bounds::new(intervals, false))
    }
}

impl Matcher {
    /// What every text that it finds itself in begins with one of; none when it may match anywhere.
    fn prefixes(&self) -> Option<Vec<Vec<u8>>> {
        let has = |option| self.options.contains(option);
        let mut parser = regex_syntax::ParserBuilder::new();
        parser.case_insensitive(has('i')).multi_line(has('m')).dot_matches_new_line(has('s'));
        let hir = parser.build().parse(self.regex.as_str()).ok()?;
        if !hir.properties().look_set_prefix().contains(Look::Start) {
            return None;
        }
        let found = Extractor::new().extract(&hir);
        Some(found.literals()?.iter().map(|literal| literal.as_bytes().to_vec()).collect())
    }
}
