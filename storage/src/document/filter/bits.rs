//! `$bitsAllSet $bitsAllClear $bitsAnySet $bitsAnyClear`.
//!
//! Bit 0 is the lowest of a number, and the lowest of a binary's first byte. Numbers are asked as 64-bit integers in two's
//! complement, so that every bit from 63 on is the sign; past the end of a binary all bits are clear.

use super::super::bounds::{Bounds, Interval};
use super::super::codec::ValueRef;
use super::super::ordered::class;
use super::{FieldOperator, FilterError, Node, Operand, Parser, Test};

/// The operators on bits.
pub(super) const OPERATORS: &[FieldOperator] = &[
    FieldOperator {
        name: "$bitsAllSet",
        operand: "mask, or [position, ...]",
        summary: "All of these bits are 1, of a number or a binary.",
        parse: all_set,
    },
    FieldOperator {
        name: "$bitsAllClear",
        operand: "mask, or [position, ...]",
        summary: "All of these bits are 0.",
        parse: all_clear,
    },
    FieldOperator {
        name: "$bitsAnySet",
        operand: "mask, or [position, ...]",
        summary: "At least one of these bits is 1.",
        parse: any_set,
    },
    FieldOperator {
        name: "$bitsAnyClear",
        operand: "mask, or [position, ...]",
        summary: "At least one of these bits is 0.",
        parse: any_clear,
    },
];

fn all_set(_: &mut Parser<'_>, operand: Operand<'_>) -> Result<Node, FilterError> {
    bits(operand, Quantity::All, true)
}

fn all_clear(_: &mut Parser<'_>, operand: Operand<'_>) -> Result<Node, FilterError> {
    bits(operand, Quantity::All, false)
}

fn any_set(_: &mut Parser<'_>, operand: Operand<'_>) -> Result<Node, FilterError> {
    bits(operand, Quantity::Any, true)
}

fn any_clear(_: &mut Parser<'_>, operand: Operand<'_>) -> Result<Node, FilterError> {
    bits(operand, Quantity::Any, false)
}

fn bits(operand: Operand<'_>, quantity: Quantity, wanted: bool) -> Result<Node, FilterError> {
    let mut positions: Vec<u32> = match operand.value {
        ValueRef::Array(list) => {
            list.iter().map(|position| read_position(operand, position)).collect::<Result<_, _>>()?
        }
        ValueRef::Binary { bytes, .. } => ones(bytes),
        mask if mask.kind().is_number() => {
            let mask = mask.to_value().as_integer().and_then(|n| u64::try_from(n).ok());
            let mask = mask.ok_or_else(|| operand.error("the mask is no whole number from 0 to 2^63 - 1"))?;
            ones(&mask.to_le_bytes())
        }
        _ => return Err(operand.error("needs an array of bit positions, a mask or a binary")),
    };
    positions.sort_unstable();
    positions.dedup();
    Ok(operand.node(Bits { positions, quantity, wanted }))
}

fn read_position(operand: Operand<'_>, position: ValueRef<'_>) -> Result<u32, FilterError> {
    let number = position.to_value().as_integer().and_then(|n| i32::try_from(n).ok());
    let position = number.and_then(|n| u32::try_from(n).ok());
    position.ok_or_else(|| operand.error("a bit position is no whole number from 0 to 2^31 - 1"))
}

/// The positions of the bits that are 1.
fn ones(bytes: &[u8]) -> Vec<u32> {
    let bits = bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1));
    (0u32..).zip(bits).filter(|(_, one)| *one).map(|(position, _)| position).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantity {
    All,
    Any,
}

#[derive(Debug)]
struct Bits {
    /// Sorted, distinct.
    positions: Vec<u32>,
    quantity: Quantity,
    /// What a bit has to be.
    wanted: bool,
}

impl Bits {
    fn ask(&self, bit: impl Fn(u32) -> bool) -> bool {
        let mut each = self.positions.iter().map(|position| bit(*position) == self.wanted);
        match self.quantity {
            Quantity::All => each.all(|is| is),
            Quantity::Any => each.any(|is| is),
        }
    }
}

impl Test for Bits {
    fn passes(&self, value: Option<ValueRef<'_>>) -> bool {
        match value {
            Some(ValueRef::Binary { subtype, bytes }) => self.ask(|position| {
                let at = usize::try_from(position / 8).ok();
                // BSON's subtype 2 begins with its length once more, which MongoDB takes for its first bytes.
                let length = if subtype == 2 { bytes.len().to_le_bytes() } else { [0; 8] };
                let before = if subtype == 2 { 4 } else { 0 };
                let byte = at.and_then(|at| at.checked_sub(before).map_or_else(|| length.get(at), |at| bytes.get(at)));
                byte.is_some_and(|byte| byte >> (position % 8) & 1 == 1)
            }),
            // A number with a fraction, or one that no 64-bit integer holds, has no bits.
            Some(value) if value.kind().is_number() => {
                let number = value.to_value().as_integer();
                number.is_some_and(|n| self.ask(|position| n >> position.min(63) & 1 == 1))
            }
            _ => false,
        }
    }

    fn bounds(&self) -> Option<Bounds> {
        Some(Bounds::new(vec![Interval::class(class::NUMBER), Interval::class(class::BINARY)], false))
    }
}
