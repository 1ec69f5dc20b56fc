//! Arithmetic on values for those who are no expressions: what accumulators and window functions reckon with.
//!
//! Operands are numbers; anything else counts as NaN.

use dec::Rounding;

use super::super::value::Value;
use super::number::{Width, decimal, decimal_double, double, integer, round_decimal, whole, width};

/// A number as a double; none for anything else.
pub fn number(value: &Value) -> Option<f64> {
    width(value).map(|_| double(value))
}

/// A number without its fraction, as MongoDB reads counts: a decimal is rounded, ties to even, a double cut off. None for
/// NaN and what is no number; what is beyond 64 bits becomes the last one of them.
pub fn whole_number(value: &Value) -> Option<i64> {
    match value {
        Value::Decimal(n) => {
            let n = decimal_double(round_decimal(*n, 0, Rounding::HalfEven));
            (!n.is_nan()).then_some(n as i64)
        }
        Value::Double(n) => (!n.is_nan()).then_some(*n as i64),
        other => integer(other),
    }
}

/// Applies the operation that the wider of the two types asks for.
fn wider(
    a: &Value,
    b: &Value,
    whole_numbers: fn(i64, i64) -> Option<i64>,
    doubles: fn(f64, f64) -> f64,
    decimals: fn(dec::Decimal128, dec::Decimal128) -> dec::Decimal128,
) -> Value {
    let wide = width(a).max(width(b)).unwrap_or(Width::Double);
    if wide == Width::Decimal {
        return Value::Decimal(decimals(decimal(a), decimal(b)));
    }
    match integer(a).zip(integer(b)).and_then(|(a, b)| whole_numbers(a, b)) {
        Some(n) => whole(n, wide),
        None => Value::Double(doubles(double(a), double(b))),
    }
}

/// The sum of two numbers.
pub fn plus(a: &Value, b: &Value) -> Value {
    wider(a, b, i64::checked_add, |a, b| a + b, |a, b| a + b)
}

/// The first number less the second.
pub fn minus(a: &Value, b: &Value) -> Value {
    wider(a, b, i64::checked_sub, |a, b| a - b, |a, b| a - b)
}

/// The product of two numbers.
pub fn times(a: &Value, b: &Value) -> Value {
    wider(a, b, i64::checked_mul, |a, b| a * b, |a, b| a * b)
}

/// The first number divided by the second: a double, or a decimal.
pub fn over(a: &Value, b: &Value) -> Value {
    wider(a, b, |_, _| None, |a, b| a / b, |a, b| a / b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wider_type_counts() {
        let (two, half) = (Value::Int32(2), Value::Double(0.5));
        assert!(matches!(plus(&two, &two), Value::Int32(4)));
        assert!(matches!(minus(&two, &Value::Int64(3)), Value::Int64(-1)));
        assert!(matches!(times(&two, &half), Value::Double(n) if n == 1.0));
        assert!(matches!(over(&two, &two), Value::Double(n) if n == 1.0));
        assert!(matches!(plus(&Value::Int64(i64::MAX), &two), Value::Double(_)));
        assert!(matches!(over(&two, &Value::Decimal(4.into())), Value::Decimal(n) if n.to_string() == "0.5"));
        assert!(number(&Value::Null).is_none());
        let count = |text: &str| whole_number(&Value::Decimal(text.parse().unwrap()));
        assert_eq!(
            (count("1.5"), count("2.5"), count("0.5"), count("9E+6000")),
            (Some(2), Some(2), Some(0), Some(i64::MAX))
        );
        assert_eq!((whole_number(&Value::Double(1.9)), whole_number(&Value::Double(f64::NAN))), (Some(1), None));
    }
}
