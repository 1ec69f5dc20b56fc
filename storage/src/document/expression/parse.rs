//! Expression values to trees, within limits.

use std::borrow::Cow;

use super::super::codec::{RawObject, ValueRef};
use super::super::value::{Object, Value};
use super::evaluate::{Args, Environment, weight};
use super::{ExpressionError, Form, OPERATORS, Operator, Outcome};

/// Bounds of one expression.
#[derive(Debug, Clone, Copy)]
pub struct ExpressionLimits {
    /// Operators and fields; constants do not count.
    pub nodes: usize,
    /// Bytes of one compiled regular expression.
    pub regex_size: usize,
}

impl Default for ExpressionLimits {
    fn default() -> ExpressionLimits {
        ExpressionLimits { nodes: 10_000, regex_size: 1 << 20 }
    }
}

/// What a path starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    /// The document.
    Root,
    /// The time.
    Now,
    /// A variable, by its place among those in sight.
    Slot(usize),
}

/// An expression's tree.
#[derive(Debug)]
pub(crate) enum Node {
    /// Always this.
    Constant(Value),
    /// Always missing: `$$REMOVE`.
    Remove,
    /// What a path leads to.
    Path(Base, Box<[Box<str>]>),
    /// An object of these.
    Object(Vec<(String, Node)>),
    /// An array of these.
    Array(Vec<Node>),
    /// A function of evaluated arguments.
    Call(Call),
    /// An operator that evaluates its arguments itself.
    Special(Box<dyn Evaluate>),
}

/// A function and its arguments.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Args<'_>) -> Outcome,
    /// None: not given.
    pub(crate) arguments: Vec<Option<Node>>,
}

/// An operator that evaluates its arguments itself: not all of them, or several times.
pub(crate) trait Evaluate: std::fmt::Debug + Send + Sync {
    /// Its value.
    fn evaluate<'e>(&'e self, environment: &mut Environment<'_>) -> Evaluated<'e>;
}

/// A value, borrowed where it is a constant of the expression.
pub(crate) type Evaluated<'e> = Result<Option<Cow<'e, Value>>, ExpressionError>;

/// Reads one expression and counts its nodes. The text's depth limit bounds the recursion.
pub struct Parser<'l> {
    limits: &'l ExpressionLimits,
    nodes: usize,
    /// The names of the variables in sight, innermost last.
    variables: Vec<String>,
    volatile: bool,
    /// Whether functions of constants are computed at once.
    folds: bool,
    /// How much has been computed so.
    folded: u64,
}

/// So much is computed of constants when an expression is read; what is beyond it waits for the evaluation, which counts its
/// work.
const FOLDED_MAX: u64 = 100_000;

/// An error that names the operator.
pub(crate) fn error(name: &str, what: impl std::fmt::Display) -> ExpressionError {
    ExpressionError(format!("{name}: {what}"))
}

impl<'l> Parser<'l> {
    /// A parser that has read nothing.
    pub(crate) fn new(limits: &'l ExpressionLimits, variables: &[&str]) -> Parser<'l> {
        let variables = variables.iter().map(|name| (*name).to_owned()).collect();
        Parser { limits, nodes: 0, variables, volatile: false, folds: true, folded: 0 }
    }

    /// The limits.
    pub(crate) fn limits(&self) -> &'l ExpressionLimits {
        self.limits
    }

    /// Whether something was read that may have another value the next time.
    pub(crate) fn is_volatile(&self) -> bool {
        self.volatile
    }

    /// Notes that something was read that may have another value the next time.
    pub(crate) fn note_volatile(&mut self) {
        self.volatile = true;
    }

    /// Reads an expression.
    pub(crate) fn expression(&mut self, value: ValueRef<'_>) -> Result<Node, ExpressionError> {
        match value {
            ValueRef::String(text) if text.starts_with('$') => self.path(text),
            ValueRef::Object(object) => match object.iter().next() {
                Some((name, _)) if name.starts_with('$') => self.operator(object),
                _ => self.object(object),
            },
            ValueRef::Array(array) => {
                let nodes: Vec<Node> =
                    array.iter().map(|element| self.expression(element)).collect::<Result<_, _>>()?;
                Ok(folded_array(nodes))
            }
            other => Ok(Node::Constant(other.to_value())),
        }
    }

    fn count(&mut self) -> Result<(), ExpressionError> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            return Err(ExpressionError(format!("more than {} operators and fields", self.limits.nodes)));
        }
        Ok(())
    }

    /// `$path` or `$$variable.path`.
    fn path(&mut self, text: &str) -> Result<Node, ExpressionError> {
        self.count()?;
        let Some(variable) = text.strip_prefix("$$") else {
            let path = field_path(text, text.get(1..).unwrap_or_default())?;
            // A $let may have given CURRENT another meaning.
            let base = self.slot("CURRENT").map_or(Base::Root, Base::Slot);
            return Ok(Node::Path(base, path));
        };
        let (name, rest) = match variable.split_once('.') {
            Some((name, rest)) => (name, field_path(text, rest)?),
            None => (variable, Box::default()),
        };
        if name.is_empty() {
            return Err(ExpressionError(format!("{text:?} names no variable")));
        }
        let base = match (self.slot(name), name) {
            (Some(slot), _) => Base::Slot(slot),
            (None, "ROOT" | "CURRENT") => Base::Root,
            (None, "NOW") => {
                self.volatile = true;
                Base::Now
            }
            (None, "REMOVE") => return Ok(Node::Remove),
            _ => {
                check_name(name).map_err(|what| ExpressionError(format!("$${name}: {what}")))?;
                return Err(ExpressionError(format!("use of undefined variable {name}")));
            }
        };
        Ok(Node::Path(base, rest))
    }

    /// What stands for `$$CURRENT` where a variable does.
    pub(crate) fn current(&self) -> Option<Base> {
        self.slot("CURRENT").map(Base::Slot)
    }

    fn slot(&self, name: &str) -> Option<usize> {
        self.variables.iter().rposition(|known| known == name)
    }

    /// Reads an expression in which these variables are in sight as well.
    pub(crate) fn with_variables(&mut self, names: &[&str], value: ValueRef<'_>) -> Result<Node, ExpressionError> {
        let before = self.variables.len();
        self.variables.extend(names.iter().map(|name| (*name).to_owned()));
        let node = self.expression(value);
        self.variables.truncate(before);
        node
    }

    /// Reads an expression as it is written: nothing is computed yet, and so nothing fails yet.
    pub(crate) fn unfolded(&mut self, value: ValueRef<'_>) -> Result<Node, ExpressionError> {
        let before = std::mem::replace(&mut self.folds, false);
        let node = self.expression(value);
        self.folds = before;
        node
    }

    fn object(&mut self, object: RawObject<'_>) -> Result<Node, ExpressionError> {
        self.count()?;
        let mut members = Vec::new();
        for (name, value) in object.iter() {
            check_field(name)?;
            members.push((name.to_owned(), self.expression(value)?));
        }
        if !members.iter().all(|(_, node)| matches!(node, Node::Constant(_))) {
            return Ok(Node::Object(members));
        }
        let constant = |(name, node)| if let Node::Constant(value) = node { Some((name, value)) } else { None };
        Ok(Node::Constant(Value::Object(Object(members.into_iter().filter_map(constant).collect()))))
    }

    fn operator(&mut self, object: RawObject<'_>) -> Result<Node, ExpressionError> {
        let mut members = object.iter();
        let Some((name, operand)) = members.next() else { return self.object(object) };
        self.count()?;
        if members.next().is_some() {
            return Err(error(name, "an expression's object has exactly one operator"));
        }
        let Some(operator) = operator(name) else {
            return Err(ExpressionError(format!("unknown expression operator {name}")));
        };
        match &operator.form {
            Form::Special { parse, .. } => parse(self, operator.name, operand),
            Form::List { least, most, run } => {
                let arguments = self.list(operator.name, operand, *least, *most)?;
                self.call(operator.name, *run, arguments.into_iter().map(Some).collect())
            }
            Form::Named { names, run } => {
                let arguments = self.named(operator.name, operand, names)?;
                self.call(operator.name, *run, arguments)
            }
        }
    }

    /// A function and its arguments; its value where all of them are constants. A constant that has none is an error even
    /// where it would never be evaluated, as in MongoDB.
    pub(crate) fn call(
        &mut self,
        name: &'static str,
        run: fn(&mut Args<'_>) -> Outcome,
        arguments: Vec<Option<Node>>,
    ) -> Result<Node, ExpressionError> {
        let constant = |node: &Option<Node>| matches!(node, None | Some(Node::Constant(_)));
        if self.folds && self.folded < FOLDED_MAX && arguments.iter().all(constant) {
            let value = |node: &Option<Node>| match node {
                Some(Node::Constant(value)) => Some(value.clone()),
                _ => None,
            };
            let value = run(&mut Args::constant(arguments.iter().map(value))).map_err(|what| error(name, what))?;
            self.folded += value.as_ref().map_or(0, weight);
            return Ok(value.map_or(Node::Remove, Node::Constant));
        }
        Ok(Node::Call(Call { name, run, arguments }))
    }

    /// Arguments in an array, or a single one.
    pub(crate) fn list(
        &mut self,
        name: &str,
        operand: ValueRef<'_>,
        least: usize,
        most: usize,
    ) -> Result<Vec<Node>, ExpressionError> {
        let arguments = match operand {
            ValueRef::Array(array) => {
                array.iter().map(|value| self.expression(value)).collect::<Result<Vec<_>, _>>()?
            }
            single => vec![self.expression(single)?],
        };
        let given = arguments.len();
        if (least..=most).contains(&given) {
            return Ok(arguments);
        }
        let wanted = match (least, most) {
            (least, most) if least == most => format!("exactly {least}"),
            (least, usize::MAX) => format!("at least {least}"),
            (least, most) => format!("{least} to {most}"),
        };
        Err(error(name, format_args!("needs {wanted} arguments, not {given}")))
    }

    /// Arguments by name; names that end in an exclamation mark must be given.
    pub(crate) fn named(
        &mut self,
        name: &str,
        operand: ValueRef<'_>,
        names: &[&str],
    ) -> Result<Vec<Option<Node>>, ExpressionError> {
        let mut arguments = Vec::with_capacity(names.len());
        for value in members(name, operand, names)? {
            arguments.push(value.map(|value| self.expression(value)).transpose()?);
        }
        Ok(arguments)
    }
}

/// The members of an operator's object by name, unread; names that end in an exclamation mark must be given.
pub(crate) fn members<'v>(
    operator: &str,
    operand: ValueRef<'v>,
    names: &[&str],
) -> Result<Vec<Option<ValueRef<'v>>>, ExpressionError> {
    let ValueRef::Object(object) = operand else {
        return Err(error(operator, format_args!("needs an object of arguments, not {}", operand.kind().name())));
    };
    let plain = |name: &&str| name.trim_end_matches('!').to_owned();
    let known: Vec<String> = names.iter().map(plain).collect();
    if let Some((unknown, _)) = object.iter().find(|(member, _)| !known.iter().any(|name| name == member)) {
        return Err(error(operator, format_args!("unknown argument {unknown}")));
    }
    if let Some(needed) = names.iter().find(|name| name.ends_with('!') && object.get(&plain(name)).is_none()) {
        return Err(error(operator, format_args!("needs the argument {}", plain(needed))));
    }
    Ok(known.iter().map(|name| object.get(name)).collect())
}

/// The operator of this name.
pub(crate) fn operator(name: &str) -> Option<&'static Operator> {
    OPERATORS.iter().flat_map(|(_, family)| family.iter()).find(|operator| operator.name == name)
}

fn folded_array(nodes: Vec<Node>) -> Node {
    if !nodes.iter().all(|node| matches!(node, Node::Constant(_))) {
        return Node::Array(nodes);
    }
    let constant = |node| if let Node::Constant(value) = node { Some(value) } else { None };
    Node::Constant(Value::Array(nodes.into_iter().filter_map(constant).collect()))
}

/// The most steps of a path.
const STEPS_MAX: usize = 200;

fn field_path(whole: &str, path: &str) -> Result<Box<[Box<str>]>, ExpressionError> {
    let steps: Box<[Box<str>]> = path.split('.').map(Box::from).collect();
    for step in &steps {
        let what = match &**step {
            "" => "has an empty name",
            step if step.starts_with('$') => "has a name that starts with $",
            step if step.contains('\0') => "has a NUL in a name",
            _ => continue,
        };
        return Err(ExpressionError(format!("the path {whole:?} {what}")));
    }
    if steps.len() > STEPS_MAX {
        return Err(ExpressionError(format!("a path has {} steps, more than {STEPS_MAX}", steps.len())));
    }
    Ok(steps)
}

/// Whether an object in an expression may have a member of this name.
fn check_field(name: &str) -> Result<(), ExpressionError> {
    let what = match name {
        "" => "has no name",
        name if name.starts_with('$') => "starts with $",
        name if name.contains('.') => "has a dot",
        name if name.contains('\0') => "has a NUL",
        _ => return Ok(()),
    };
    Err(ExpressionError(format!("the member {name:?} of an object in an expression {what}")))
}

/// Whether a variable may have this name.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let mut characters = name.chars();
    // CURRENT is the system's variable that may be given another value.
    let good_start = characters.next().is_some_and(|c| c.is_ascii_lowercase() || !c.is_ascii()) || name == "CURRENT";
    if !good_start {
        return Err("a variable's name starts with a lower-case letter");
    }
    if !characters.all(|c| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()) {
        return Err("a variable's name has letters, digits and _ only");
    }
    Ok(())
}
