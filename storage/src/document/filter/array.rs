//! `$all $elemMatch $size $mod`.

use super::super::bounds::{Bounds, Interval};
use super::super::codec::{Packed, RawArray, RawObject, ValueRef};
use super::super::order::compare;
use super::super::ordered::class;
use super::super::path::{Leaf, Path};
use super::super::value::Value;
use super::compare::Equal;
use super::{FieldOperator, FilterError, Node, Operand, Parser, Test};

/// The operators on arrays, and the one on remainders.
pub(super) const OPERATORS: &[FieldOperator] = &[
    FieldOperator {
        name: "$all",
        operand: "[value, ...]",
        summary: "Has all of the values, or an element for each $elemMatch.",
        parse: all,
    },
    FieldOperator {
        name: "$elemMatch",
        operand: "{operator: .., ...}, or a filter",
        summary: "An array with an element that matches it all.",
        parse: elem_match,
    },
    FieldOperator { name: "$size", operand: "n", summary: "An array of this many elements.", parse: size },
    FieldOperator {
        name: "$mod",
        operand: "[divisor, remainder]",
        summary: "A number with this remainder: [divisor, remainder].",
        parse: modulo,
    },
];

fn all(parser: &mut Parser<'_>, operand: Operand<'_>) -> Result<Node, FilterError> {
    let ValueRef::Array(list) = operand.value else {
        return Err(operand.error("needs an array"));
    };
    if list.len() > 1 && list.iter().all(is_constant) {
        let constants = list.iter().map(Packed::from_ref).collect();
        return Ok(Node::All(Path::new(operand.path), AllOf::new(constants)));
    }
    let mut nodes = Vec::new();
    for element in list.iter() {
        parser.count()?;
        nodes.push(match element {
            ValueRef::Object(object) if first_name(object) == Some("$elemMatch") => {
                parser.operators(operand.path, object)?
            }
            ValueRef::Object(object) if first_name(object).is_some_and(|n| n.starts_with('$')) => {
                return Err(operand.error("only $elemMatch may stand in the list"));
            }
            constant => parser.condition(operand.path, constant)?,
        });
    }
    // All of nothing matches nothing, as in MongoDB.
    Ok(if nodes.is_empty() { Node::Or(nodes) } else { Node::And(nodes) })
}

fn elem_match(parser: &mut Parser<'_>, operand: Operand<'_>) -> Result<Node, FilterError> {
    let ValueRef::Object(object) = operand.value else {
        return Err(operand.error("needs an object"));
    };
    // Operators ask of the elements themselves; anything else, also $and and its like, is a filter over elements that are objects.
    let tree = |name: &str| super::TREE.iter().any(|o| o.name == name);
    let values = first_name(object).is_some_and(|n| n.starts_with('$') && !tree(n));
    let node = if values { parser.operators(operand.path, object)? } else { parser.object(object)? };
    if node.reads_documents() {
        return Err(operand.error("tests of whole documents, such as $expr, cannot stand inside"));
    }
    Ok(operand.node(ElemMatch { node, values }))
}

fn size(_: &mut Parser<'_>, operand: Operand<'_>) -> Result<Node, FilterError> {
    let size = operand.value.to_value().as_integer().and_then(|n| i32::try_from(n).ok());
    let size = size.and_then(|n| usize::try_from(n).ok());
    Ok(operand.node(Size(size.ok_or_else(|| operand.error("needs a whole number from 0 to 2^31 - 1"))?)))
}

fn modulo(_: &mut Parser<'_>, operand: Operand<'_>) -> Result<Node, FilterError> {
    let pair: Option<Vec<i64>> = match operand.value {
        ValueRef::Array(list) => list.iter().map(truncated).collect(),
        _ => None,
    };
    match pair.as_deref() {
        Some([0, _]) => Err(operand.error("the divisor cannot be 0")),
        Some([divisor, remainder]) => Ok(operand.node(Mod { divisor: *divisor, remainder: *remainder })),
        _ => Err(operand.error("needs [divisor, remainder]")),
    }
}

/// Whether `$all` asks for it as it is.
fn is_constant(element: ValueRef<'_>) -> bool {
    match element {
        ValueRef::Regex { .. } => false,
        ValueRef::Object(object) => first_name(object).is_none_or(|name| !name.starts_with('$')),
        _ => true,
    }
}

/// The constants of one `$all`, looked for together: one by one, long lists of constants and of elements would be
/// multiplied.
#[derive(Debug)]
pub struct AllOf {
    /// As they were written.
    equals: Vec<Equal>,
    /// Sorted, distinct.
    constants: Vec<Packed>,
}

impl AllOf {
    fn new(written: Vec<Packed>) -> AllOf {
        let mut constants = written.clone();
        constants.sort_by(|a, b| compare(a.get(), b.get()));
        constants.dedup_by(|a, b| compare(a.get(), b.get()).is_eq());
        AllOf { equals: written.into_iter().map(Equal::new).collect(), constants }
    }

    /// The constants, each once.
    pub fn constants(&self) -> impl Iterator<Item = ValueRef<'_>> {
        self.constants.iter().map(Packed::get)
    }

    /// The test that each constant is by itself.
    pub fn tests(&self) -> impl DoubleEndedIterator<Item = &dyn Test> {
        self.equals.iter().map(|equal| -> &dyn Test { equal })
    }

    /// Whether all constants are among the values that `each` hands over until it is answered true.
    pub(super) fn met<'v>(&self, each: impl FnOnce(&mut dyn FnMut(Option<ValueRef<'v>>) -> bool) -> bool) -> bool {
        let mut seen = vec![false; self.constants.len()];
        let mut left = seen.len();
        each(&mut |value| {
            let value = value.unwrap_or(ValueRef::Null);
            let found = self.constants.binary_search_by(|constant| compare(constant.get(), value));
            if let Ok(at) = found
                && let Some(seen) = seen.get_mut(at)
                && !std::mem::replace(seen, true)
            {
                left -= 1;
            }
            left == 0
        })
    }
}

fn first_name<'a>(object: RawObject<'a>) -> Option<&'a str> {
    object.iter().next().map(|(name, _)| name)
}

/// A number without its fraction; none for what is no number that fits.
fn truncated(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Double(n) => Value::Double(n.trunc()).as_integer(),
        ValueRef::Decimal(n) => {
            let text = n.is_finite().then(|| n.to_standard_notation_string())?;
            text.split('.').next().and_then(|whole| whole.parse().ok())
        }
        other => other.to_value().as_integer(),
    }
}

#[derive(Debug)]
struct ElemMatch {
    node: Node,
    /// Ask the elements as values, not as objects.
    values: bool,
}

impl Test for ElemMatch {
    fn passes(&self, value: Option<ValueRef<'_>>) -> bool {
        matches!(value, Some(ValueRef::Array(array)) if self.first_element(array).is_some())
    }

    fn first_element(&self, array: RawArray<'_>) -> Option<usize> {
        array.iter().position(|element| match element {
            element if self.values => self.node.matches_value(element),
            ValueRef::Object(object) => self.node.matches(object),
            // A nested array is an object whose names are its indexes.
            ValueRef::Array(inner) => {
                let members = inner.iter().enumerate().map(|(i, v)| (i.to_string(), v.to_value())).collect();
                let body = super::super::codec::pack_object(&super::super::value::Object(members));
                self.node.matches(RawObject::from_body(&body))
            }
            _ => false,
        })
    }

    fn leaf(&self) -> Leaf {
        Leaf::Whole
    }

    fn rank(&self) -> u8 {
        0
    }

    fn bounds(&self) -> Option<Bounds> {
        if self.values { self.node.value_bounds() } else { None }
    }

    fn each_element(&self) -> Option<&Node> {
        if self.values { None } else { Some(&self.node) }
    }
}

#[derive(Debug)]
struct Size(usize);

impl Test for Size {
    fn passes(&self, value: Option<ValueRef<'_>>) -> bool {
        matches!(value, Some(ValueRef::Array(array)) if array.len() == self.0)
    }

    fn leaf(&self) -> Leaf {
        Leaf::Whole
    }
}

#[derive(Debug)]
struct Mod {
    divisor: i64,
    remainder: i64,
}

impl Test for Mod {
    fn passes(&self, value: Option<ValueRef<'_>>) -> bool {
        let number = value.filter(|v| v.kind().is_number()).and_then(truncated);
        number.is_some_and(|n| n.wrapping_rem(self.divisor) == self.remainder)
    }

    fn bounds(&self) -> Option<Bounds> {
        Some(Bounds::new(vec![Interval::class(class::NUMBER)], false))
    }
}
