//! Expressions: MongoDB's aggregation expressions, parsed once into a tree and evaluated on documents.
//!
//! An operator is one entry in the table of its family, and [`OPERATORS`] lists the families. Adding one is a function, an
//! entry and its tests. An expression is used by `$expr`, computed projections, pipeline updates and the stages.
//! Does not know collections, commands or the clock: now is handed in.

mod accumulate;
mod arithmetic;
mod array;
mod binary;
mod bitwise;
mod boolean;
mod calendar;
mod comparison;
mod conditional;
mod convert;
mod date;
mod date_math;
mod date_text;
mod element;
mod evaluate;
mod misc;
mod number;
mod object;
mod parse;
pub mod reckon;
mod regex;
mod set;
mod sum;
#[cfg(test)]
mod tests;
mod text;
mod trigonometry;
mod variable;

use std::fmt;

pub use accumulate::at_percentile;
pub use date_math::Unit as DateUnit;
pub(crate) use evaluate::{Args, Environment};
pub use evaluate::{Root, Scope, Watch, Work};
pub use parse::{ExpressionLimits, Parser, check_name as check_variable_name};
pub use sum::Sum;

use super::codec::{RawObject, ValueRef};
use super::value::Value;
use parse::{Base, Node};

/// Why an expression cannot be, or has no value; the message names the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExpressionError(pub String);

/// A parsed expression.
#[derive(Debug)]
pub struct Expression {
    node: Node,
    volatile: bool,
}

/// An operator of the language.
pub struct Operator {
    /// With its dollar sign.
    pub name: &'static str,
    /// One sentence for the reference.
    pub summary: &'static str,
    /// How its operand reads, and what is done with it.
    pub(crate) form: Form,
}

/// What an operator's function answers: a value, nothing, or what is wrong.
pub(crate) type Outcome = Result<Option<Value>, String>;

/// How an operator's operand reads.
pub(crate) enum Form {
    /// Arguments in an array, of which a single one may stand alone. All are evaluated first.
    List {
        /// At least so many.
        least: usize,
        /// At most so many.
        most: usize,
        /// Computes the value.
        run: fn(&mut Args<'_>) -> Outcome,
    },
    /// Arguments in an object, by name. All that are given are evaluated first.
    Named {
        /// Their names, in the order in which the function has them; those that must be given end in an exclamation mark.
        names: &'static [&'static str],
        /// Computes the value.
        run: fn(&mut Args<'_>) -> Outcome,
    },
    /// Reads its operand itself.
    Special {
        /// What it takes, in the notation of the reference.
        operand: &'static str,
        /// Reads it.
        parse: fn(&mut Parser<'_>, &'static str, ValueRef<'_>) -> Result<Node, ExpressionError>,
    },
}

/// An operator with arguments in an array.
const fn list(
    name: &'static str,
    summary: &'static str,
    (least, most): (usize, usize),
    run: fn(&mut Args<'_>) -> Outcome,
) -> Operator {
    Operator { name, summary, form: Form::List { least, most, run } }
}

/// An operator with arguments by name.
const fn named(
    name: &'static str,
    summary: &'static str,
    names: &'static [&'static str],
    run: fn(&mut Args<'_>) -> Outcome,
) -> Operator {
    Operator { name, summary, form: Form::Named { names, run } }
}

/// An operator that reads its operand itself.
const fn special(
    name: &'static str,
    summary: &'static str,
    operand: &'static str,
    parse: fn(&mut Parser<'_>, &'static str, ValueRef<'_>) -> Result<Node, ExpressionError>,
) -> Operator {
    Operator { name, summary, form: Form::Special { operand, parse } }
}

/// Any number of arguments.
const ANY: (usize, usize) = (0, usize::MAX);

/// Every operator, by family.
pub const OPERATORS: &[(&str, &[Operator])] = &[
    ("arithmetic", arithmetic::OPERATORS),
    ("trigonometry", trigonometry::OPERATORS),
    ("bitwise", bitwise::OPERATORS),
    ("comparison", comparison::OPERATORS),
    ("boolean", boolean::OPERATORS),
    ("conditional", conditional::OPERATORS),
    ("text", text::OPERATORS),
    ("regular expressions", regex::OPERATORS),
    ("arrays", array::OPERATORS),
    ("elements", element::OPERATORS),
    ("sets", set::OPERATORS),
    ("objects", object::OPERATORS),
    ("parts of dates", date::OPERATORS),
    ("reckoning with dates", date_math::OPERATORS),
    ("dates as text", date_text::OPERATORS),
    ("conversion", convert::OPERATORS),
    ("accumulation", accumulate::OPERATORS),
    ("variables", variable::OPERATORS),
    ("miscellany", misc::OPERATORS),
];

impl Operator {
    /// What it takes, in the notation of the reference: `?` is what may be left out.
    pub fn operand(&self) -> String {
        match &self.form {
            Form::Special { operand, .. } => (*operand).to_owned(),
            Form::List { most: 1, .. } => "a".to_owned(),
            Form::List { least, most: usize::MAX, .. } => {
                let named: String = LETTERS.iter().take((*least).max(1)).map(|letter| format!("{letter}, ")).collect();
                format!("[{named}...]")
            }
            Form::List { least, most, .. } => {
                let argument = |(at, letter)| format!("{letter}{}", if at < *least { "" } else { "?" });
                let named: Vec<String> = LETTERS.iter().take(*most).enumerate().map(argument).collect();
                format!("[{}]", named.join(", "))
            }
            Form::Named { names, .. } => {
                let argument = |name: &&str| name.strip_suffix('!').map_or_else(|| format!("{name}?"), str::to_owned);
                format!("{{{}}}", names.iter().map(argument).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// Names of arguments that have none.
const LETTERS: [&str; 4] = ["a", "b", "c", "d"];

/// The variables that every expression has, with one sentence each for the reference.
pub const VARIABLES: &[(&str, &str)] = &[
    ("$$ROOT", "The document."),
    ("$$CURRENT", "Where paths begin: the document, unless `$let` says otherwise."),
    ("$$NOW", "The time at which the command began."),
    ("$$REMOVE", "No value: the member that it is given to is not there."),
];

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// Names the operator that is unknown or whose operand cannot be.
    pub fn parse(value: ValueRef<'_>, limits: &ExpressionLimits) -> Result<Expression, ExpressionError> {
        Expression::parse_with(value, limits, &[])
    }

    /// Reads an expression that may use these variables beside the system's; their values stand in [`Scope::variables`] in
    /// the same order.
    ///
    /// # Errors
    /// Names the operator that is unknown or whose operand cannot be.
    pub fn parse_with(
        value: ValueRef<'_>,
        limits: &ExpressionLimits,
        variables: &[&str],
    ) -> Result<Expression, ExpressionError> {
        let mut parser = Parser::new(limits, variables);
        let node = parser.expression(value)?;
        Ok(Expression { node, volatile: parser.is_volatile() })
    }

    /// Its value on a document; None is a missing one.
    ///
    /// # Errors
    /// Names the operator that was given what it cannot use.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Option<Value>, ExpressionError> {
        self.evaluate_within(scope, &Work::default())
    }

    /// The same, within what several evaluations may do together.
    ///
    /// # Errors
    /// Those of [`Expression::evaluate`].
    pub fn evaluate_within(&self, scope: &Scope<'_>, work: &Work) -> Result<Option<Value>, ExpressionError> {
        Ok(self.node.evaluate(&mut Environment::new(scope, work))?.map(std::borrow::Cow::into_owned))
    }

    /// Whether its value on a document is true: anything but false, zero, null and missing.
    ///
    /// # Errors
    /// Those of [`Expression::evaluate`].
    pub fn is_true(&self, scope: &Scope<'_>) -> Result<bool, ExpressionError> {
        self.is_true_within(scope, &Work::default())
    }

    /// The same, within what several evaluations may do together.
    ///
    /// # Errors
    /// Those of [`Expression::evaluate`].
    pub fn is_true_within(&self, scope: &Scope<'_>, work: &Work) -> Result<bool, ExpressionError> {
        Ok(self.node.evaluate(&mut Environment::new(scope, work))?.is_some_and(|value| boolean::truth(&value)))
    }

    /// What a plain path leads to in a packed document, if nothing has to be computed for it. None when the expression is
    /// anything else, or an array stands on the way.
    pub fn look<'d>(&self, root: RawObject<'d>) -> Option<Option<ValueRef<'d>>> {
        let Node::Path(Base::Root, steps) = &self.node else { return None };
        let (first, rest) = steps.split_first()?;
        let mut found = root.get(first);
        for step in rest {
            found = match found {
                Some(ValueRef::Object(object)) => object.get(step),
                Some(ValueRef::Array(_)) => return None,
                _ => return Some(None),
            };
        }
        Some(found)
    }

    /// Whether two evaluations on one document may differ: it reads the time or draws a random number.
    pub fn is_volatile(&self) -> bool {
        self.volatile
    }

    /// The value, if it is the same for all documents without a look at them.
    pub fn as_constant(&self) -> Option<&Value> {
        if let Node::Constant(value) = &self.node { Some(value) } else { None }
    }
}
