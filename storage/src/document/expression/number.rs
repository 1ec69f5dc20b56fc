//! Numbers as MongoDB's arithmetic sees them: the widest type of the operands decides (int, long, double, decimal).

use dec::{Context, Decimal, Decimal128, Rounding};

use super::super::codec::ValueRef;
use super::super::order;
use super::super::value::Value;

/// The value of an int or a long.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int32(n) => Some(i64::from(*n)),
        Value::Int64(n) => Some(*n),
        _ => None,
    }
}

/// A number as a double; NaN for what is none.
pub(crate) fn double(value: &Value) -> f64 {
    match value {
        Value::Int32(n) => f64::from(*n),
        Value::Int64(n) => *n as f64,
        Value::Double(n) => *n,
        Value::Decimal(n) => decimal_double(*n),
        _ => f64::NAN,
    }
}

/// The double nearest to a decimal.
pub(crate) fn decimal_double(n: Decimal128) -> f64 {
    if n.is_nan() {
        return f64::NAN;
    }
    if n.is_infinite() {
        return if n.is_negative() { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    n.to_string().parse().unwrap_or(f64::NAN)
}

/// A number as a decimal, doubles to the 15 digits that they are sure of; NaN for what is none.
pub(crate) fn decimal(value: &Value) -> Decimal128 {
    match value {
        Value::Int32(n) => Decimal128::from(*n),
        Value::Int64(n) => Decimal128::from(*n),
        Value::Decimal(n) => *n,
        Value::Double(n) if n.is_infinite() => {
            let infinity = Decimal::<12>::infinity().to_decimal128();
            if *n < 0.0 { -infinity } else { infinity }
        }
        Value::Double(n) if *n == 0.0 => {
            // To negate a decimal zero gives zero again.
            if n.is_sign_negative() { "-0".parse().unwrap_or(Decimal128::NAN) } else { Decimal128::from(0) }
        }
        Value::Double(n) if n.is_finite() => format!("{n:.14e}").parse().unwrap_or(Decimal128::NAN),
        _ => Decimal128::NAN,
    }
}

/// A double as a decimal with all of its digits, up to 34.
pub(crate) fn exact_decimal(n: f64) -> Decimal128 {
    order::to_decimal(ValueRef::Double(n)).unwrap_or(Decimal128::NAN)
}

/// The widest of the types of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Width {
    Int,
    Long,
    Double,
    Decimal,
}

/// The width of a number; None for what is none.
pub(crate) fn width(value: &Value) -> Option<Width> {
    match value {
        Value::Int32(_) => Some(Width::Int),
        Value::Int64(_) => Some(Width::Long),
        Value::Double(_) => Some(Width::Double),
        Value::Decimal(_) => Some(Width::Decimal),
        _ => None,
    }
}

/// A result of integer arithmetic: an int where only ints went in and it fits, else a long.
pub(crate) fn whole(n: i64, width: Width) -> Value {
    if width == Width::Int { Value::integer(n) } else { Value::Int64(n) }
}

/// Rounds a decimal to so many places; itself where it has no digits there.
pub(crate) fn round_decimal(n: Decimal128, places: i32, rounding: Rounding) -> Decimal128 {
    if !n.is_finite() {
        return n;
    }
    let mut context = Context::<Decimal128>::default();
    context.set_rounding(rounding);
    let quantum: Decimal128 = match format!("1E{}", -places).parse() {
        Ok(quantum) => quantum,
        Err(_) => return n,
    };
    let rounded = context.quantize(n, quantum);
    // More than 34 digits would be needed: then there is nothing to round.
    if rounded.is_nan() { n } else { rounded }
}

/// Rounds a decimal to a whole number; NaN where it has more than 34 digits, or none, as in MongoDB.
pub(crate) fn whole_decimal(n: Decimal128, rounding: Rounding) -> Decimal128 {
    let mut context = Context::<Decimal128>::default();
    context.set_rounding(rounding);
    if n.is_finite() { context.quantize(n, Decimal128::from(1)) } else { Decimal128::NAN }
}

/// The whole number that a decimal rounds to, if it is one of 64 bits.
pub(crate) fn decimal_integer(n: Decimal128, rounding: Rounding) -> Option<i64> {
    let rounded = round_decimal(n, 0, rounding);
    Value::Decimal(rounded).as_integer()
}

/// A decimal wide enough for functions that need more than add and multiply.
pub(crate) type Wide = Decimal<14>;

/// Applies a function of decimal numbers, at decimal128's precision.
pub(crate) fn wide(n: Decimal128, function: impl FnOnce(&mut Context<Wide>, &mut Wide)) -> Decimal128 {
    let mut context = wide_context();
    let mut value = widened(&mut context, n);
    function(&mut context, &mut value);
    value.to_decimal128()
}

/// A decimal128 as a wide one.
pub(crate) fn widened(context: &mut Context<Wide>, n: Decimal128) -> Wide {
    context.to_width(Decimal::<12>::from(n))
}

fn wide_context() -> Context<Wide> {
    let mut context = Context::<Wide>::default();
    // The functions refuse wider bounds than a million; these are decimal128's own.
    let bounds = context.set_precision(34).is_ok()
        && context.set_max_exponent(6144).is_ok()
        && context.set_min_exponent(-6143).is_ok();
    debug_assert!(bounds, "decimal128's bounds fit");
    context
}
