//! Arithmetic: `$add $subtract $multiply $divide $mod` and the functions of one number.
//!
//! The widest type of the operands is the result's; ints that overflow become longs, and longs doubles. Null and missing
//! operands give null.

use dec::{Context, Decimal128, Rounding};

use super::super::value::Value;
use super::evaluate::type_name;
use super::number::{self, Width, decimal, decimal_integer, double, integer, whole, width};
use super::{ANY, Args, Operator, Outcome, list};

pub(super) const OPERATORS: &[Operator] = &[
    list("$abs", "The number without its sign.", (1, 1), abs),
    list("$add", "The sum of the numbers; with one date among them, the date so many milliseconds later.", ANY, add),
    list("$ceil", "The least whole number that is not less.", (1, 1), ceil),
    list("$divide", "The first number divided by the second.", (2, 2), divide),
    list("$exp", "e to the power of the number.", (1, 1), exp),
    list("$floor", "The greatest whole number that is not greater.", (1, 1), floor),
    list("$ln", "The natural logarithm.", (1, 1), ln),
    list("$log", "The logarithm of the first number to the base of the second.", (2, 2), log),
    list("$log10", "The logarithm to base 10.", (1, 1), log10),
    list("$mod", "What is left of the first number when it is divided by the second.", (2, 2), modulo),
    list("$multiply", "The product of the numbers.", ANY, multiply),
    list("$pow", "The first number to the power of the second.", (2, 2), pow),
    list("$round", "The number rounded, ties to even, to a place after the point (0).", (1, 2), round),
    list("$sigmoid", "1 / (1 + e to the power of minus the number).", (1, 1), sigmoid),
    list("$sqrt", "The square root.", (1, 1), sqrt),
    list("$subtract", "The first number less the second; of dates, the milliseconds between.", (2, 2), subtract),
    list("$trunc", "The number without its digits after a place after the point (0).", (1, 2), trunc),
];

fn only_numbers(value: Option<&Value>) -> String {
    format!("only supports numeric types, not {}", type_name(value))
}

/// The width of two numbers; None when one of them is null or missing.
fn pair<'a>(args: &'a Args<'_>) -> Result<Option<(Width, &'a Value, &'a Value)>, String> {
    match (args.get(0), args.get(1)) {
        (Some(a), Some(b)) if width(a).is_some() && width(b).is_some() => {
            Ok(width(a).max(width(b)).map(|width| (width, a, b)))
        }
        _ if args.is_nullish(0) || args.is_nullish(1) => Ok(None),
        (a, b) => Err(only_numbers(if a.is_some_and(|a| width(a).is_some()) { b } else { a })),
    }
}

/// The one number; None when it is null or missing.
fn single<'a>(args: &'a Args<'_>) -> Result<Option<&'a Value>, String> {
    match args.get(0) {
        Some(value) if width(value).is_some() => Ok(Some(value)),
        None | Some(Value::Null) => Ok(None),
        other => Err(only_numbers(other)),
    }
}

const NULL: Outcome = Ok(Some(Value::Null));

fn some(value: Value) -> Outcome {
    Ok(Some(value))
}

/// A sum that is widened as its operands ask for it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Total {
    Whole(i64, Width),
    Double(f64),
    Decimal(Decimal128),
}

impl Total {
    /// Nothing yet.
    pub(super) const ZERO: Total = Total::Whole(0, Width::Int);

    /// With this number added; unchanged by what is none.
    pub(super) fn plus(self, value: &Value) -> Total {
        match (self, value) {
            (Total::Whole(sum, before), value) if integer(value).is_some() => {
                let (n, wide) = (integer(value).unwrap_or_default(), width(value).map_or(before, |w| w.max(before)));
                match sum.checked_add(n) {
                    Some(sum) => Total::Whole(sum, wide),
                    None => Total::Double(sum as f64 + n as f64),
                }
            }
            (Total::Whole(sum, _), Value::Double(n)) => Total::Double(sum as f64 + n),
            (Total::Whole(sum, _), Value::Decimal(n)) => Total::Decimal(Decimal128::from(sum) + *n),
            (Total::Double(sum), Value::Decimal(n)) => Total::Decimal(decimal(&Value::Double(sum)) + *n),
            (Total::Double(sum), value) if width(value).is_some() => Total::Double(sum + double(value)),
            (Total::Decimal(sum), value) if width(value).is_some() => Total::Decimal(sum + decimal(value)),
            (same, _) => same,
        }
    }

    /// The sum.
    pub(super) fn value(self) -> Value {
        match self {
            Total::Whole(sum, width) => whole(sum, width),
            Total::Double(sum) => Value::Double(sum),
            Total::Decimal(sum) => Value::Decimal(sum),
        }
    }
}

fn add(args: &mut Args<'_>) -> Outcome {
    let (mut total, mut date) = (Total::ZERO, false);
    for value in args.iter() {
        match value {
            None | Some(Value::Null) => return NULL,
            Some(Value::Date(_)) if date => return Err("only one of the operands may be a date".into()),
            Some(Value::Date(ms)) => {
                date = true;
                total = match total.plus(&Value::Int64(*ms)) {
                    // Sums of whole numbers that overflow are no dates.
                    Total::Double(_) if matches!(total, Total::Whole(..)) => return Err(DATE_RANGE.into()),
                    total => total,
                };
            }
            Some(value) if width(value).is_some() => total = total.plus(value),
            other => return Err(format!("only supports numeric or date types, not {}", type_name(other))),
        }
    }
    if date { to_date(&total.value()) } else { some(total.value()) }
}

const DATE_RANGE: &str = "the date would be out of range";

/// The date of so many milliseconds, rounded.
fn to_date(ms: &Value) -> Outcome {
    let ms = match ms {
        Value::Double(n) => Value::Double(n.round()).as_integer(),
        Value::Decimal(n) => decimal_integer(*n, Rounding::HalfEven),
        other => integer(other),
    };
    some(Value::Date(ms.ok_or(DATE_RANGE)?))
}

fn subtract(args: &mut Args<'_>) -> Outcome {
    match (args.get(0), args.get(1)) {
        (Some(Value::Date(a)), Some(Value::Date(b))) => {
            return some(Value::Int64(a.checked_sub(*b).ok_or("the difference is beyond 64 bits")?));
        }
        (Some(Value::Date(a)), Some(b)) if width(b).is_some() => {
            let ms = match b {
                Value::Double(n) => Value::Double(n.round()).as_integer(),
                Value::Decimal(n) => decimal_integer(*n, Rounding::HalfEven),
                other => integer(other),
            };
            return some(Value::Date(ms.and_then(|ms| a.checked_sub(ms)).ok_or(DATE_RANGE)?));
        }
        (a, b) if matches!(a, Some(Value::Date(_))) && !args.is_nullish(1) => {
            return Err(format!("cannot subtract {} from a date", type_name(b)));
        }
        _ => {}
    }
    let Some((width, a, b)) = pair(args)? else { return NULL };
    some(match (width, integer(a), integer(b)) {
        (Width::Decimal, ..) => Value::Decimal(decimal(a) - decimal(b)),
        (_, Some(a), Some(b)) => a.checked_sub(b).map_or(Value::Double(a as f64 - b as f64), |n| whole(n, width)),
        _ => Value::Double(double(a) - double(b)),
    })
}

fn multiply(args: &mut Args<'_>) -> Outcome {
    let mut product = Value::Int32(1);
    for value in args.iter() {
        let value = match value {
            None | Some(Value::Null) => return NULL,
            Some(value) => value,
        };
        let Some(wide) = width(value).max(width(&product)).filter(|_| width(value).is_some()) else {
            return Err(only_numbers(Some(value)));
        };
        product = match (wide, integer(&product), integer(value)) {
            (Width::Decimal, ..) => Value::Decimal(decimal(&product) * decimal(value)),
            (_, Some(a), Some(b)) => a.checked_mul(b).map_or(Value::Double(a as f64 * b as f64), |n| whole(n, wide)),
            _ => Value::Double(double(&product) * double(value)),
        };
    }
    some(product)
}

fn divide(args: &mut Args<'_>) -> Outcome {
    let Some((width, a, b)) = pair(args)? else { return NULL };
    let zero = "cannot divide by zero";
    if width == Width::Decimal {
        let divisor = decimal(b);
        return if divisor.is_zero() { Err(zero.into()) } else { some(Value::Decimal(decimal(a) / divisor)) };
    }
    let divisor = double(b);
    if divisor == 0.0 { Err(zero.into()) } else { some(Value::Double(double(a) / divisor)) }
}

fn modulo(args: &mut Args<'_>) -> Outcome {
    let Some((width, a, b)) = pair(args)? else { return NULL };
    if width == Width::Decimal {
        let divisor = decimal(b);
        if divisor.is_zero() {
            return Err("cannot divide by zero".into());
        }
        let dividend = decimal(a);
        // What is left of a finite number by an infinite one is the number, as it stands.
        let finite = dividend.is_finite() && divisor.is_infinite();
        return some(Value::Decimal(if finite { dividend } else { remainder(dividend, divisor) }));
    }
    let divisor = double(b);
    if divisor == 0.0 {
        return Err("cannot divide by zero".into());
    }
    // A double that is a whole number of 32 bits does not make the result a double when it divides.
    let small = matches!(b, Value::Double(n) if n.fract() == 0.0 && n.abs() <= f64::from(i32::MAX));
    match (integer(a), b.as_integer()) {
        (Some(n), Some(by)) if small || integer(b).is_some() => {
            let long = matches!(a, Value::Int64(_)) || matches!(b, Value::Int64(_));
            some(whole(n.checked_rem(by).unwrap_or(0), if long { Width::Long } else { Width::Int }))
        }
        _ => some(Value::Double(double(a) % divisor)),
    }
}

/// What is left of a division of any size: decimals alone refuse a quotient of more than 34 digits.
fn remainder(a: Decimal128, b: Decimal128) -> Decimal128 {
    let mut context = Context::<Decimal128>::default();
    let left = context.rem(a, b);
    if !left.is_nan() || !a.is_finite() || !b.is_finite() {
        return left;
    }
    // The quotient's digits come off 30 at a time.
    let mut rest = context.abs(a);
    let divisor = context.abs(b);
    while context.partial_cmp(rest, divisor).is_some_and(std::cmp::Ordering::is_ge) {
        let mut step = divisor;
        let places = (rest.exponent() + rest.digits() as i32) - (divisor.exponent() + divisor.digits() as i32) - 30;
        if places > 0 {
            step = context.scaleb(divisor, Decimal128::from(places));
        }
        let next = context.rem(rest, step);
        if next.is_nan() || context.partial_cmp(next, rest).is_none_or(std::cmp::Ordering::is_ge) {
            return Decimal128::NAN;
        }
        rest = next;
    }
    if a.is_negative() { -rest } else { rest }
}

fn abs(args: &mut Args<'_>) -> Outcome {
    let Some(value) = single(args)? else { return NULL };
    some(match value {
        Value::Int32(n) => Value::integer(i64::from(*n).abs()),
        Value::Int64(n) => Value::Int64(n.checked_abs().ok_or("the least long has no positive counterpart")?),
        Value::Decimal(n) => Value::Decimal(Context::<Decimal128>::default().abs(*n)),
        other => Value::Double(double(other).abs()),
    })
}

/// Functions of a number that leave ints and longs alone.
fn to_whole(args: &Args<'_>, doubles: fn(f64) -> f64, rounding: Rounding) -> Outcome {
    let Some(value) = single(args)? else { return NULL };
    some(match value {
        Value::Double(n) => Value::Double(doubles(*n)),
        Value::Decimal(n) => Value::Decimal(number::whole_decimal(*n, rounding)),
        other => other.clone(),
    })
}

fn ceil(args: &mut Args<'_>) -> Outcome {
    to_whole(args, f64::ceil, Rounding::Ceiling)
}

fn floor(args: &mut Args<'_>) -> Outcome {
    to_whole(args, f64::floor, Rounding::Floor)
}

fn round(args: &mut Args<'_>) -> Outcome {
    to_place(args, f64::round_ties_even, Rounding::HalfEven)
}

fn trunc(args: &mut Args<'_>) -> Outcome {
    to_place(args, f64::trunc, Rounding::Down)
}

fn to_place(args: &Args<'_>, doubles: fn(f64) -> f64, rounding: Rounding) -> Outcome {
    let Some(value) = single(args)? else { return NULL };
    let place = match args.get(1) {
        None if !args.is_given(1) => 0,
        None | Some(Value::Null) => return NULL,
        Some(place) if width(place).is_some() => {
            let place = place.as_integer().ok_or("the place must be a whole number")?;
            i32::try_from(place).ok().filter(|n| (-20..=100).contains(n)).ok_or("the place must be from -20 to 100")?
        }
        other => return Err(format!("the place must be a number, not {}", type_name(other))),
    };
    some(match value {
        Value::Double(n) if place == 0 || !n.is_finite() => Value::Double(doubles(*n)),
        Value::Double(n) => {
            let rounded = number::round_decimal(number::exact_decimal(*n), place, rounding);
            Value::Double(number::decimal_double(rounded))
        }
        Value::Decimal(n) => Value::Decimal(number::round_decimal(*n, place, rounding)),
        n if place >= 0 => n.clone(),
        n => {
            let rounded = number::round_decimal(decimal(n), place, rounding);
            let result = decimal_integer(rounded, Rounding::Down).ok_or("the result is beyond 64 bits")?;
            whole(result, width(n).unwrap_or(Width::Long))
        }
    })
}

type Wides = fn(&mut Context<number::Wide>, &mut number::Wide);

/// Functions of a number that give a double, or a decimal of a decimal.
fn function(args: &Args<'_>, doubles: fn(f64) -> f64, decimals: Wides) -> Outcome {
    let Some(value) = single(args)? else { return NULL };
    some(match value {
        Value::Decimal(n) => Value::Decimal(number::wide(*n, decimals)),
        other => Value::Double(doubles(double(other))),
    })
}

fn exp(args: &mut Args<'_>) -> Outcome {
    function(args, f64::exp, |context, n| context.exp(n))
}

/// Whether a number is below zero, or zero where that counts as well.
fn is_below(value: &Value, zero_too: bool) -> bool {
    match value {
        Value::Decimal(n) => !n.is_nan() && ((n.is_negative() && !n.is_zero()) || (zero_too && n.is_zero())),
        other => double(other) < 0.0 || (zero_too && double(other) == 0.0),
    }
}

fn ln(args: &mut Args<'_>) -> Outcome {
    check_positive(args, 0, "the number")?;
    function(args, f64::ln, |context, n| context.ln(n))
}

fn check_positive(args: &Args<'_>, at: usize, what: &str) -> Result<(), String> {
    match args.get(at).filter(|value| width(value).is_some()) {
        Some(value) if is_below(value, true) => Err(format!("{what} must be greater than zero")),
        _ => Ok(()),
    }
}

fn log10(args: &mut Args<'_>) -> Outcome {
    check_positive(args, 0, "the number")?;
    function(args, f64::log10, |context, n| context.log10(n))
}

fn log(args: &mut Args<'_>) -> Outcome {
    let Some((width, value, base)) = pair(args)? else { return NULL };
    check_positive(args, 0, "the number")?;
    check_positive(args, 1, "the base")?;
    if double(base) == 1.0 && decimal(base) == Decimal128::from(1) {
        return Err("the base must not be 1".into());
    }
    if double(value).is_nan() || double(base).is_nan() {
        return some(Value::Double(f64::NAN));
    }
    if width == Width::Decimal {
        let ln = |n| number::wide(n, |context, n| context.ln(n));
        return some(Value::Decimal(ln(decimal(value)) / ln(decimal(base))));
    }
    some(Value::Double(double(value).ln() / double(base).ln()))
}

fn sqrt(args: &mut Args<'_>) -> Outcome {
    if single(args)?.is_some_and(|value| is_below(value, false)) {
        return Err("the number must not be negative".into());
    }
    if let Some(Value::Decimal(n)) = args.get(0).filter(|n| matches!(n, Value::Decimal(n) if n.is_zero())) {
        return some(Value::Decimal(*n));
    }
    function(args, f64::sqrt, |context, n| context.sqrt(n))
}

fn sigmoid(args: &mut Args<'_>) -> Outcome {
    let Some(value) = single(args)? else { return NULL };
    some(match value {
        Value::Decimal(n) => {
            let one = Decimal128::from(1);
            Value::Decimal(one / (one + number::wide(-*n, |context, n| context.exp(n))))
        }
        other => Value::Double(1.0 / (1.0 + (-double(other)).exp())),
    })
}

fn pow(args: &mut Args<'_>) -> Outcome {
    let Some((width, base, exponent)) = pair(args)? else { return NULL };
    if double(base) == 0.0 && (!matches!(base, Value::Decimal(n) if !n.is_zero())) && is_below(exponent, false) {
        return Err("zero has no negative power".into());
    }
    if width == Width::Decimal {
        let exponent = decimal(exponent);
        let one = Decimal128::from(1);
        // What the decimal library calls undefined is 1, as for doubles.
        let undefined = exponent.is_zero() || (decimal(base) == one && !exponent.is_nan());
        let power = |context: &mut Context<number::Wide>, n: &mut number::Wide| {
            let exponent = number::widened(context, exponent);
            context.pow(n, &exponent);
        };
        return some(Value::Decimal(if undefined { one } else { number::wide(decimal(base), power) }));
    }
    let doubles = double(base).powf(double(exponent));
    let (Some(n), Some(times)) = (integer(base), integer(exponent)) else { return some(Value::Double(doubles)) };
    let exact = match (n, times) {
        (1, _) => Some(1),
        (-1, _) => Some(if times % 2 == 0 { 1 } else { -1 }),
        (0, 0) => Some(1),
        (0, _) => Some(0),
        _ => u32::try_from(times).ok().and_then(|times| n.checked_pow(times)),
    };
    some(exact.map_or(Value::Double(doubles), |n| whole(n, width)))
}
