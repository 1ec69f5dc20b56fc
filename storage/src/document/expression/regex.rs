//! `$regexMatch $regexFind $regexFindAll`, in linear time. An expression that is a constant is compiled once.

use std::borrow::Cow;

use ::regex::{Match, Regex};

use super::super::codec::ValueRef;
use super::super::regex;
use super::super::value::{Object, Value};
use super::evaluate::{Environment, type_name};
use super::parse::{Evaluate, Evaluated, Node, error};
use super::{ExpressionError, Operator, Parser, special};

pub(super) const OPERATORS: &[Operator] = &[
    special(
        "$regexFind",
        "The first match of the `regex` in the `input`: {match, idx, captures}; else null.",
        "{input, regex, options?}",
        find,
    ),
    special(
        "$regexFindAll",
        "All matches of the `regex` in the `input`, in order.",
        "{input, regex, options?}",
        find_all,
    ),
    special("$regexMatch", "Whether the `regex` matches in the `input`.", "{input, regex, options?}", is_match),
];

fn find(parser: &mut Parser<'_>, name: &'static str, operand: ValueRef<'_>) -> Result<Node, ExpressionError> {
    parse(parser, name, operand, Wanted::First)
}

fn find_all(parser: &mut Parser<'_>, name: &'static str, operand: ValueRef<'_>) -> Result<Node, ExpressionError> {
    parse(parser, name, operand, Wanted::All)
}

fn is_match(parser: &mut Parser<'_>, name: &'static str, operand: ValueRef<'_>) -> Result<Node, ExpressionError> {
    parse(parser, name, operand, Wanted::Whether)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Whether,
    First,
    All,
}

#[derive(Debug)]
struct Search {
    name: &'static str,
    wanted: Wanted,
    input: Node,
    regex: Node,
    options: Option<Node>,
    /// Where pattern and options are constants; none if one of them is null.
    compiled: Option<Option<Regex>>,
    size_max: usize,
}

fn parse(
    parser: &mut Parser<'_>,
    name: &'static str,
    operand: ValueRef<'_>,
    wanted: Wanted,
) -> Result<Node, ExpressionError> {
    let mut parts = parser.named(name, operand, &["input!", "regex!", "options"])?.into_iter();
    let (Some(Some(input)), Some(Some(regex)), options) = (parts.next(), parts.next(), parts.next().flatten()) else {
        return Err(error(name, "needs input and regex"));
    };
    let size_max = parser.limits().regex_size;
    let compiled = match (&regex, &options) {
        (Node::Constant(regex), None) => Some(compile(name, Some(regex), None, size_max)?),
        (Node::Constant(regex), Some(Node::Constant(options))) => {
            Some(compile(name, Some(regex), Some(options), size_max)?)
        }
        _ => None,
    };
    Ok(Node::Special(Box::new(Search { name, wanted, input, regex, options, compiled, size_max })))
}

fn compile(
    name: &str,
    regex: Option<&Value>,
    options: Option<&Value>,
    size_max: usize,
) -> Result<Option<Regex>, ExpressionError> {
    let beside = match options {
        None | Some(Value::Null) => None,
        Some(Value::String(options)) => Some(options.as_str()),
        other => return Err(error(name, format_args!("options must be a string, not {}", type_name(other)))),
    };
    let (pattern, own) = match regex {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(pattern)) => (pattern, ""),
        Some(Value::Regex { pattern, options }) => (pattern, options.as_str()),
        other => return Err(error(name, format_args!("regex must be a string or a regex, not {}", type_name(other)))),
    };
    if !own.is_empty() && beside.is_some() {
        return Err(error(name, "options are given twice"));
    }
    let options = [own, beside.unwrap_or_default()].concat();
    regex::compile(pattern, &options, size_max).map(Some).map_err(|what| error(name, what))
}

impl Evaluate for Search {
    fn evaluate<'e>(&'e self, environment: &mut Environment<'_>) -> Evaluated<'e> {
        let input = self.input.evaluate(environment)?;
        environment.spend_on_constant(input.as_ref())?;
        let made;
        let regex = match &self.compiled {
            Some(compiled) => compiled.as_ref(),
            None => {
                let regex = self.regex.evaluate(environment)?;
                let options = match &self.options {
                    Some(options) => options.evaluate(environment)?,
                    None => None,
                };
                // To compile is far more than to evaluate a node.
                environment.spend(2000)?;
                made = compile(self.name, regex.as_deref(), options.as_deref(), self.size_max)?;
                made.as_ref()
            }
        };
        let text = match input.as_deref() {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.as_str()),
            other => return Err(error(self.name, format_args!("input must be a string, not {}", type_name(other)))),
        };
        let value = match (text, regex, self.wanted) {
            (Some(text), Some(regex), Wanted::Whether) => Value::Bool(regex.is_match(text)),
            (Some(text), Some(regex), Wanted::First) => matches(regex, text).next().unwrap_or(Value::Null),
            (Some(text), Some(regex), Wanted::All) => Value::Array(matches(regex, text).collect()),
            (_, _, Wanted::Whether) => Value::Bool(false),
            (_, _, Wanted::First) => Value::Null,
            (_, _, Wanted::All) => Value::Array(Vec::new()),
        };
        environment.spend(text.map_or(0, str::len) as u64 / 16)?;
        Ok(Some(Cow::Owned(value)))
    }
}

/// The matches; each says at which code point it begins. The next is looked for where one ends, a character later where it
/// is empty, and not at the end of the text.
fn matches<'t>(regex: &'t Regex, text: &'t str) -> impl Iterator<Item = Value> + 't {
    let (mut byte, mut point) = (0, 0);
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let captures = regex.captures_at(text, next?)?;
        let whole = captures.get(0)?;
        point += text.get(byte..whole.start())?.chars().count();
        byte = whole.start();
        let step = if whole.is_empty() { text.get(byte..)?.chars().next().map_or(1, char::len_utf8) } else { 0 };
        next = Some(whole.end() + step).filter(|next| *next < text.len());
        let group =
            |found: Option<Match<'_>>| found.map_or(Value::Null, |found| Value::String(found.as_str().to_owned()));
        Some(Value::Object(Object(vec![
            ("match".into(), Value::String(whole.as_str().to_owned())),
            ("idx".into(), Value::integer(point as i64)),
            ("captures".into(), Value::Array(captures.iter().skip(1).map(group).collect())),
        ])))
    })
}
