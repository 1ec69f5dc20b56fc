//! Filter text to tree, within limits.

use super::super::codec::{Packed, RawObject, ValueRef};
use super::super::json::{ParseLimits, parse_value};
use super::super::path::{INDEXES_MAX, Path};
use super::{FIELD, FieldOperator, Filter, FilterError, Node, Operand, TREE, compare, pattern};

/// Bounds of one filter.
#[derive(Debug, Clone, Copy)]
pub struct FilterLimits {
    /// Bytes and nesting of its text.
    pub text: ParseLimits,
    /// Operators and fields; the values of one `$in` count once.
    pub nodes: usize,
    /// Bytes of one compiled regular expression.
    pub regex_size: usize,
}

impl Default for FilterLimits {
    fn default() -> FilterLimits {
        FilterLimits { text: ParseLimits::default(), nodes: 10_000, regex_size: 1 << 20 }
    }
}

pub(super) fn filter_text(text: &[u8], limits: &FilterLimits) -> Result<Filter, FilterError> {
    let packed = parse_value(text, limits.text).map_err(|e| FilterError(e.to_string()))?;
    match packed.get() {
        ValueRef::Object(object) => Filter::from_object(object, limits),
        other => Err(FilterError(format!("a filter is a JSON object, not {}", other.kind().name()))),
    }
}

/// Reads one filter and counts its nodes. The text's depth limit bounds the recursion.
pub struct Parser<'l> {
    limits: &'l FilterLimits,
    nodes: usize,
    /// Those that `$expr` may use beside the system's.
    variables: &'l [&'l str],
}

impl<'l> Parser<'l> {
    /// A parser that has read nothing.
    pub fn new(limits: &'l FilterLimits) -> Parser<'l> {
        Parser::with_variables(limits, &[])
    }

    /// A parser of filters whose `$expr` may use these variables.
    pub fn with_variables(limits: &'l FilterLimits, variables: &'l [&'l str]) -> Parser<'l> {
        Parser { limits, nodes: 0, variables }
    }

    /// The variables that `$expr` may use beside the system's.
    pub fn variables(&self) -> &'l [&'l str] {
        self.variables
    }

    /// The limits.
    pub fn limits(&self) -> &FilterLimits {
        self.limits
    }

    pub(super) fn count(&mut self) -> Result<(), FilterError> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            return Err(FilterError(format!("more than {} operators and fields", self.limits.nodes)));
        }
        Ok(())
    }

    /// A whole filter: paths with their conditions, and tree operators; all must hold.
    pub fn object(&mut self, object: RawObject<'_>) -> Result<Node, FilterError> {
        let mut all = Vec::new();
        for (name, value) in object.iter() {
            self.count()?;
            if !name.starts_with('$') {
                if Path::new(name).is_ambiguous() {
                    return Err(FilterError(format!("{name} has more than {INDEXES_MAX} array indexes")));
                }
                all.push(self.condition(name, value)?);
                continue;
            }
            let Some(operator) = TREE.iter().find(|o| o.name == name) else {
                let hint = if field_operator(name).is_some() { ": it stands under a path" } else { "" };
                return Err(FilterError(format!("unknown top level operator {name}{hint}")));
            };
            all.extend((operator.parse)(self, value)?);
        }
        Ok(simplify(all))
    }

    /// What stands under a path: a constant, a regular expression, or an object of operators.
    pub fn condition(&mut self, path: &str, value: ValueRef<'_>) -> Result<Node, FilterError> {
        match value {
            ValueRef::Object(object) if object.iter().next().is_some_and(|(name, _)| name.starts_with('$')) => {
                self.operators(path, object)
            }
            ValueRef::Regex { .. } => {
                pattern::literal(self, Operand { name: "$regex", path, value, siblings: RawObject(&[]) })
            }
            constant => {
                let operand = Operand { name: "$eq", path, value, siblings: RawObject(&[]) };
                Ok(operand.node(compare::Equal::new(Packed::from_ref(constant))))
            }
        }
    }

    /// An object of operators under a path; all must hold.
    pub fn operators(&mut self, path: &str, object: RawObject<'_>) -> Result<Node, FilterError> {
        let mut all = Vec::new();
        for (name, value) in object.iter() {
            self.count()?;
            if name == pattern::OPTIONS {
                if object.get("$regex").is_none() {
                    return Err(FilterError(format!("$options at {path}: needs a $regex beside it")));
                }
                continue;
            }
            let Some(operator) = field_operator(name) else {
                return Err(FilterError(format!("unknown operator {name} at {path}")));
            };
            all.push((operator.parse)(self, Operand { name: operator.name, path, value, siblings: object })?);
        }
        Ok(simplify(all))
    }
}

fn field_operator(name: &str) -> Option<&'static FieldOperator> {
    FIELD.iter().flat_map(|(_, family)| family.iter()).find(|o| o.name == name)
}

/// One node needs no `And` around it.
fn simplify(mut nodes: Vec<Node>) -> Node {
    match nodes.pop() {
        Some(only) if nodes.is_empty() => only,
        Some(last) => {
            nodes.push(last);
            Node::And(nodes)
        }
        None => Node::And(nodes),
    }
}
