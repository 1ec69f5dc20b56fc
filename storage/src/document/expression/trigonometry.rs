//! Angles, in radians. Decimals are computed as doubles, so they have a double's digits.

use super::super::value::Value;
use super::evaluate::type_name;
use super::number::{decimal, double, width};
use super::{Args, Operator, Outcome, list};

macro_rules! functions {
    // The table's entries differ in nothing but name, function and domain; a closure cannot be made from data.
    ($($name:literal, $summary:literal, $function:expr, $inside:expr;)*) => {
        &[
            $(list($name, $summary, (1, 1), |args| apply(args, $function, $inside)),)*
            list("$atan2", "The angle of the point (second, first).", (2, 2), atan2),
        ]
    };
}

pub(super) const OPERATORS: &[Operator] = functions! {
    "$acos", "The arc cosine.", f64::acos, |n| n.abs() <= 1.0;
    "$acosh", "The inverse hyperbolic cosine.", f64::acosh, |n| n >= 1.0;
    "$asin", "The arc sine.", f64::asin, |n| n.abs() <= 1.0;
    "$asinh", "The inverse hyperbolic sine.", asinh, |_| true;
    "$atan", "The arc tangent.", f64::atan, |_| true;
    "$atanh", "The inverse hyperbolic tangent.", f64::atanh, |n| n.abs() <= 1.0;
    "$cos", "The cosine.", f64::cos, f64::is_finite;
    "$cosh", "The hyperbolic cosine.", f64::cosh, |_| true;
    "$degreesToRadians", "An angle in degrees, in radians.", f64::to_radians, |_| true;
    "$radiansToDegrees", "An angle in radians, in degrees.", f64::to_degrees, |_| true;
    "$sin", "The sine.", f64::sin, f64::is_finite;
    "$sinh", "The hyperbolic sine.", f64::sinh, |_| true;
    "$tan", "The tangent.", f64::tan, f64::is_finite;
    "$tanh", "The hyperbolic tangent.", f64::tanh, |_| true;
};

fn asinh(n: f64) -> f64 {
    n.asinh()
}

fn apply(args: &Args<'_>, function: fn(f64) -> f64, inside: fn(f64) -> bool) -> Outcome {
    let value = match args.get(0) {
        None | Some(Value::Null) => return Ok(Some(Value::Null)),
        Some(value) if width(value).is_some() => value,
        other => return Err(format!("only supports numeric types, not {}", type_name(other))),
    };
    let n = double(value);
    if !n.is_nan() && !inside(n) {
        return Err("the number is outside what the function is defined for".into());
    }
    Ok(Some(shaped(value, function(n))))
}

fn shaped(like: &Value, n: f64) -> Value {
    if matches!(like, Value::Decimal(_)) { Value::Decimal(decimal(&Value::Double(n))) } else { Value::Double(n) }
}

fn atan2(args: &mut Args<'_>) -> Outcome {
    if args.is_nullish(0) || args.is_nullish(1) {
        return Ok(Some(Value::Null));
    }
    match (args.get(0), args.get(1)) {
        (Some(y), Some(x)) if width(y).is_some() && width(x).is_some() => {
            let like = if matches!(x, Value::Decimal(_)) { x } else { y };
            Ok(Some(shaped(like, double(y).atan2(double(x)))))
        }
        (y, x) => {
            let bad = if y.is_some_and(|y| width(y).is_some()) { x } else { y };
            Err(format!("only supports numeric types, not {}", type_name(bad)))
        }
    }
}
