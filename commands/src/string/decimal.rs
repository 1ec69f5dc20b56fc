//! Numbers as INCRBYFLOAT adds them: as decimals of 34 digits, of which 17 after the point are kept.
//!
//! Redis adds long doubles and prints 17 digits after the point. A decimal has more digits than those, and no error in what people
//! write down.

use dec::{Context, Decimal128, Rounding};

use crate::error::CommandError;

/// Digits after the point.
const SCALE: i32 = 17;
/// Digits that are written out before the point.
const INTEGER_DIGITS_MAX: i32 = 4000;

/// The sum of two numbers as text.
pub(super) fn sum(a: &[u8], b: &[u8]) -> Result<String, CommandError> {
    let (a, b) = (parse(a)?, parse(b)?);
    let mut context = Context::<Decimal128>::default();
    let sum = context.add(a, b);
    if !sum.is_finite() || sum.exponent() + i32::try_from(sum.digits()).unwrap_or(i32::MAX) > INTEGER_DIGITS_MAX {
        return Err(CommandError::err("increment would produce NaN or Infinity"));
    }
    Ok(text(sum))
}

/// A number as C reads it, but for hexadecimal ones.
fn parse(text: &[u8]) -> Result<Decimal128, CommandError> {
    let invalid = || CommandError::err("value is not a valid float");
    let text = std::str::from_utf8(text).map_err(|_| invalid())?;
    let mut context = Context::<Decimal128>::default();
    let number = context.parse(text).map_err(|_| invalid())?;
    if context.status().invalid_operation() || number.is_nan() { Err(invalid()) } else { Ok(number) }
}

fn text(sum: Decimal128) -> String {
    let mut context = Context::<Decimal128>::default();
    context.set_rounding(Rounding::HalfEven);
    let mut rounded = sum;
    if sum.exponent() < -SCALE
        && let Ok(unit) = context.parse("1E-17")
    {
        rounded = context.quantize(sum, unit);
    }
    let reduced = context.reduce(rounded);
    if reduced.is_zero() { "0".to_owned() } else { reduced.to_standard_notation_string() }
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[track_caller]
    fn check(a: &str, b: &str, expected: &str) {
        let found = sum(a.as_bytes(), b.as_bytes());
        assert_eq!(found.unwrap_or_else(|error| error.to_string()), expected, "{a} + {b}");
    }

    #[test]
    fn sums_are_decimal() {
        check("1", "0.25", "1.25");
        check("1", "-1.1", "-0.1");
        check("0.1", "0.2", "0.3");
        check("3.0e3", "200", "3200");
        check("17179869184", "1.5", "17179869185.5");
        check("-0.0", "0", "0");
        check("1e-20", "0", "0");
        check("0.123456789012345678", "0", "0.12345678901234568");
        check("1e30", "0.5", "1000000000000000000000000000000.5");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", " 1", "1 ", "1a", "abc", "nan", "0x10"] {
            check(text, "1", "ERR value is not a valid float");
        }
        check("1e6000", "1", "ERR increment would produce NaN or Infinity");
        check("inf", "1", "ERR increment would produce NaN or Infinity");
    }
}
