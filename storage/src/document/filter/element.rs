//! `$exists $type`.

use super::super::bounds::{Bounds, Interval};
use super::super::codec::ValueRef;
use super::super::ordered::class_of;
use super::super::path::Leaf;
use super::super::value::Kind;
use super::{FieldOperator, FilterError, Node, Operand, Parser, Test};

/// The operators on what kind of thing is there.
pub(super) const OPERATORS: &[FieldOperator] = &[
    FieldOperator {
        name: "$exists",
        operand: "true",
        summary: "Whether the field is there, be it null.",
        parse: exists,
    },
    FieldOperator {
        name: "$type",
        operand: "type, or [type, ...]",
        summary: "Of the type, or one of the types, by name or number.",
        parse: type_,
    },
];

fn exists(_: &mut Parser<'_>, operand: Operand<'_>) -> Result<Node, FilterError> {
    let wanted = match operand.value {
        ValueRef::Bool(wanted) => wanted,
        ValueRef::Null => false,
        ValueRef::Int32(n) => n != 0,
        ValueRef::Int64(n) => n != 0,
        ValueRef::Double(n) => n != 0.0,
        ValueRef::Decimal(n) => !n.is_zero(),
        _ => true,
    };
    let node = operand.node(Exists);
    Ok(if wanted { node } else { Node::Not(Box::new(node)) })
}

fn type_(_: &mut Parser<'_>, operand: Operand<'_>) -> Result<Node, FilterError> {
    let mut kinds = Vec::new();
    match operand.value {
        ValueRef::Array(list) if list.is_empty() => return Err(operand.error("needs at least one type")),
        ValueRef::Array(list) => {
            for name in list.iter() {
                read_type(operand, name, &mut kinds)?;
            }
        }
        one => read_type(operand, one, &mut kinds)?,
    }
    Ok(operand.node(Type(kinds)))
}

/// BSON types that exist by name and number but that no JSON text makes: they match nothing.
pub(super) const NEVER: [(&str, i64); 5] =
    [("undefined", 6), ("dbPointer", 12), ("javascript", 13), ("symbol", 14), ("javascriptWithScope", 15)];

fn read_type(operand: Operand<'_>, name: ValueRef<'_>, kinds: &mut Vec<Kind>) -> Result<(), FilterError> {
    let known = kinds.len();
    let never = match name {
        ValueRef::String("number") => {
            kinds.extend(Kind::ALL.iter().filter(|k| k.is_number()));
            false
        }
        ValueRef::String(name) => {
            kinds.extend(Kind::ALL.iter().filter(|k| k.name() == name));
            NEVER.iter().any(|(known, _)| *known == name)
        }
        other => {
            let code = other.to_value().as_integer();
            kinds.extend(Kind::ALL.iter().filter(|k| Some(k.code()) == code));
            NEVER.iter().any(|(_, known)| Some(*known) == code)
        }
    };
    if kinds.len() == known && !never {
        let mut text = Vec::new();
        super::super::json::render_value(&mut text, name);
        return Err(operand.error(format_args!("no such type: {}", String::from_utf8_lossy(&text))));
    }
    Ok(())
}

#[derive(Debug)]
struct Exists;

impl Test for Exists {
    fn passes(&self, value: Option<ValueRef<'_>>) -> bool {
        value.is_some()
    }

    fn leaf(&self) -> Leaf {
        Leaf::Whole
    }

    fn bounds(&self) -> Option<Bounds> {
        Some(Bounds::present())
    }
}

#[derive(Debug)]
struct Type(Vec<Kind>);

impl Test for Type {
    fn passes(&self, value: Option<ValueRef<'_>>) -> bool {
        value.is_some_and(|v| self.0.contains(&v.kind()))
    }

    fn bounds(&self) -> Option<Bounds> {
        // An array is in an index by its elements.
        if self.0.contains(&Kind::Array) {
            return None;
        }
        Some(Bounds::new(self.0.iter().map(|kind| Interval::class(class_of(*kind))).collect(), false))
    }
}
