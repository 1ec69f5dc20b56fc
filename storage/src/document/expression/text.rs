//! Text: `$concat $split $trim $substrCP` and their like.
//!
//! Upper and lower case are ASCII's. Some operators take numbers and dates for the text that they read as.

use dec::Rounding;

use super::super::value::Value;
use super::evaluate::{TEXT_BYTES_MAX, type_name};
use super::number::{decimal_integer, width};
use super::{ANY, Args, Operator, Outcome, list, named};

pub(super) const OPERATORS: &[Operator] = &[
    list("$concat", "The texts one after the other.", ANY, concat),
    list(
        "$indexOfBytes",
        "The byte at which a text first holds another, from and before a byte; -1.",
        (2, 4),
        index_of_bytes,
    ),
    list("$indexOfCP", "The code point at which a text first holds another; -1.", (2, 4), index_of_code_points),
    named("$ltrim", "The text without white space, or `chars`, at its start.", &["input!", "chars"], ltrim),
    named("$replaceAll", "The text with each `find` replaced.", &["input!", "find!", "replacement!"], replace_all),
    named("$replaceOne", "The text with its first `find` replaced.", &["input!", "find!", "replacement!"], replace_one),
    named("$rtrim", "The text without white space, or `chars`, at its end.", &["input!", "chars"], rtrim),
    list("$split", "The pieces of the text between separators.", (2, 2), split),
    list("$strLenBytes", "The text's length in bytes of UTF-8.", (1, 1), length_bytes),
    list("$strLenCP", "The text's length in code points.", (1, 1), length_code_points),
    list("$strcasecmp", "-1, 0 or 1 by the order of two texts whatever their case.", (2, 2), compare_caseless),
    list("$substr", "The same as $substrBytes.", (3, 3), substring_bytes),
    list("$substrBytes", "So many bytes of the text from a byte on; to its end if negative.", (3, 3), substring_bytes),
    list("$substrCP", "So many code points of the text from one on.", (3, 3), substring_code_points),
    list("$toLower", "The text in lower case.", (1, 1), to_lower),
    list("$toUpper", "The text in upper case.", (1, 1), to_upper),
    named("$trim", "The text without white space, or `chars`, at both ends.", &["input!", "chars"], trim),
];

fn text(value: impl Into<String>) -> Outcome {
    let value = value.into();
    if value.len() > TEXT_BYTES_MAX {
        return Err(format!("the text would have more than {TEXT_BYTES_MAX} bytes"));
    }
    Ok(Some(Value::String(value)))
}

const NULL: Outcome = Ok(Some(Value::Null));

fn not_text(what: &str, value: Option<&Value>) -> String {
    format!("{what} must be a string, not {}", type_name(value))
}

fn concat(args: &mut Args<'_>) -> Outcome {
    let mut out = String::new();
    for value in args.iter() {
        match value {
            None | Some(Value::Null) => return NULL,
            Some(Value::String(piece)) => out.push_str(piece),
            other => return Err(not_text("each operand", other)),
        }
        if out.len() > TEXT_BYTES_MAX {
            break;
        }
    }
    text(out)
}

/// A value as the text that these operators take it for; null and missing are empty.
pub(super) fn coerced(value: Option<&Value>) -> Result<String, String> {
    Ok(match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Int32(n)) => n.to_string(),
        Some(Value::Int64(n)) => n.to_string(),
        Some(Value::Double(n)) => short_double(*n),
        Some(Value::Decimal(n)) => n.to_string(),
        Some(Value::Date(ms)) => super::calendar::iso_text(*ms).ok_or("the date is outside the years 0 to 9999")?,
        Some(Value::Timestamp { seconds, increment }) => {
            let moment = super::calendar::civil(i64::from(*seconds) * 1000);
            format!(
                "{} {:2} {:02}:{:02}:{:02}:{increment}",
                moment.month_name(),
                moment.day,
                moment.hour,
                moment.minute,
                moment.second
            )
        }
        other => return Err(format!("cannot read {} as text", type_name(other))),
    })
}

/// As C's `%g` writes it: six digits, without trailing zeros.
fn short_double(n: f64) -> String {
    if n.is_nan() {
        return "nan".into();
    }
    if n.is_infinite() {
        return if n > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{n:.5e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let bare = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..6).contains(&exponent) {
        return bare(&format!("{n:.*}", usize::try_from(5 - exponent).unwrap_or(0)));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", bare(digits), exponent.abs())
}

fn to_lower(args: &mut Args<'_>) -> Outcome {
    text(coerced(args.get(0))?.to_ascii_lowercase())
}

fn to_upper(args: &mut Args<'_>) -> Outcome {
    text(coerced(args.get(0))?.to_ascii_uppercase())
}

fn compare_caseless(args: &mut Args<'_>) -> Outcome {
    let (a, b) = (coerced(args.get(0))?.to_ascii_uppercase(), coerced(args.get(1))?.to_ascii_uppercase());
    Ok(Some(Value::Int32(a.cmp(&b) as i32)))
}

/// A number as a long: doubles without their fraction, decimals rounded. Decimals beyond a long are its least, as in MongoDB.
fn truncated(value: Option<&Value>, what: &str) -> Result<i64, String> {
    match value {
        Some(Value::Decimal(n)) => Ok(decimal_integer(*n, Rounding::HalfEven).unwrap_or(i64::MIN)),
        Some(Value::Double(n)) => {
            let whole = Value::Double(n.trunc()).as_integer();
            whole.ok_or_else(|| format!("{what} is beyond 64 bits"))
        }
        Some(value) if width(value).is_some() => Ok(super::number::integer(value).unwrap_or_default()),
        other => Err(format!("{what} must be a number, not {}", type_name(other))),
    }
}

fn substring_bytes(args: &mut Args<'_>) -> Outcome {
    let start = truncated(args.get(1), "the start")?;
    let length = truncated(args.get(2), "the length")?;
    let input = coerced(args.get(0))?;
    if start < 0 {
        return Err("the start must not be negative".into());
    }
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    if start >= input.len() {
        return text("");
    }
    let end = usize::try_from(length).map_or(input.len(), |length| start.saturating_add(length).min(input.len()));
    match input.get(start..end) {
        Some(piece) => text(piece),
        None => Err("a bound is in the middle of a character".into()),
    }
}

/// A whole number of 32 bits.
pub(super) fn int32(value: Option<&Value>, what: &str) -> Result<i32, String> {
    match value {
        Some(value) if width(value).is_some() => {
            let n = value.as_integer().and_then(|n| i32::try_from(n).ok());
            n.ok_or_else(|| format!("{what} must be a whole number of 32 bits"))
        }
        other => Err(format!("{what} must be a number, not {}", type_name(other))),
    }
}

fn substring_code_points(args: &mut Args<'_>) -> Outcome {
    let input = coerced(args.get(0))?;
    let start = int32(args.get(1), "the start")?;
    let length = int32(args.get(2), "the length")?;
    let (Ok(start), Ok(length)) = (usize::try_from(start), usize::try_from(length)) else {
        return Err("neither start nor length may be negative".into());
    };
    text(input.chars().skip(start).take(length).collect::<String>())
}

fn measured(args: &Args<'_>, measure: fn(&str) -> usize) -> Outcome {
    match args.get(0) {
        Some(Value::String(text)) => Ok(Some(Value::integer(measure(text) as i64))),
        other => Err(not_text("the operand", other)),
    }
}

fn length_bytes(args: &mut Args<'_>) -> Outcome {
    measured(args, str::len)
}

fn length_code_points(args: &mut Args<'_>) -> Outcome {
    measured(args, |text| text.chars().count())
}

/// The bounds of a search; none where there is nothing to search.
pub(super) fn bounds(args: &Args<'_>, length: usize) -> Result<Option<(usize, usize)>, String> {
    let bound = |at: usize, what: &str| -> Result<Option<usize>, String> {
        if !args.is_given(at) {
            return Ok(None);
        }
        let n = int32(args.get(at), what)?;
        usize::try_from(n).map(Some).map_err(|_| format!("{what} must not be negative"))
    };
    let start = bound(2, "the start")?.unwrap_or(0);
    let end = bound(3, "the end")?.unwrap_or(length).min(length);
    Ok((start <= end && start <= length).then_some((start, end)))
}

fn index_of_bytes(args: &mut Args<'_>) -> Outcome {
    let (input, token) = match (args.get(0), args.get(1)) {
        (None | Some(Value::Null), _) => return NULL,
        (Some(Value::String(input)), Some(Value::String(token))) => (input, token),
        (Some(Value::String(_)), other) => return Err(not_text("what is looked for", other)),
        (other, _) => return Err(not_text("the text", other)),
    };
    let found = bounds(args, input.len())?.and_then(|(start, end)| {
        let inside = input.as_bytes().get(start..end)?;
        memchr::memmem::find(inside, token.as_bytes()).map(|at| start + at)
    });
    Ok(Some(Value::integer(found.map_or(-1, |at| at as i64))))
}

fn index_of_code_points(args: &mut Args<'_>) -> Outcome {
    let (input, token) = match (args.get(0), args.get(1)) {
        (None | Some(Value::Null), _) => return NULL,
        (Some(Value::String(input)), Some(Value::String(token))) => (input, token),
        (Some(Value::String(_)), other) => return Err(not_text("what is looked for", other)),
        (other, _) => return Err(not_text("the text", other)),
    };
    let length = input.chars().count();
    let found = bounds(args, length)?.and_then(|(start, end)| {
        let byte = |point: usize| input.char_indices().nth(point).map_or(input.len(), |(at, _)| at);
        // Between two equal bounds there is nothing to find, not even nothing; but nothing is at the start of nothing.
        let inside = input.get(byte(start)..byte(end)).filter(|_| start < end || length == 0)?;
        inside.find(token.as_str()).and_then(|at| inside.get(..at)).map(|before| start + before.chars().count())
    });
    Ok(Some(Value::integer(found.map_or(-1, |at| at as i64))))
}

fn split(args: &mut Args<'_>) -> Outcome {
    match (args.get(0), args.get(1)) {
        _ if args.is_nullish(0) || args.is_nullish(1) => NULL,
        (Some(Value::String(input)), Some(Value::String(separator))) => {
            if separator.is_empty() {
                return Err("the separator is empty".into());
            }
            Ok(Some(Value::Array(
                input.split(separator.as_str()).map(|piece| Value::String(piece.to_owned())).collect(),
            )))
        }
        (Some(Value::String(_)), other) => Err(not_text("the separator", other)),
        (other, _) => Err(not_text("the text", other)),
    }
}

fn is_space(c: char) -> bool {
    matches!(c, '\0' | '\t'..='\r' | ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}')
}

fn trimmed(args: &Args<'_>, start: bool, end: bool) -> Outcome {
    let input = match args.get(0) {
        None | Some(Value::Null) => return NULL,
        Some(Value::String(input)) => input.as_str(),
        other => return Err(not_text("input", other)),
    };
    let chars: Option<Vec<char>> = match args.get(1) {
        None if !args.is_given(1) => None,
        None | Some(Value::Null) => return NULL,
        Some(Value::String(chars)) => Some(chars.chars().collect()),
        other => return Err(not_text("chars", other)),
    };
    let goes = |c: char| chars.as_ref().map_or_else(|| is_space(c), |chars| chars.contains(&c));
    let input = if start { input.trim_start_matches(goes) } else { input };
    text(if end { input.trim_end_matches(goes) } else { input })
}

fn trim(args: &mut Args<'_>) -> Outcome {
    trimmed(args, true, true)
}

fn ltrim(args: &mut Args<'_>) -> Outcome {
    trimmed(args, true, false)
}

fn rtrim(args: &mut Args<'_>) -> Outcome {
    trimmed(args, false, true)
}

fn replace(args: &Args<'_>, times: usize) -> Outcome {
    let names = ["input", "find", "replacement"];
    for (at, name) in names.iter().enumerate() {
        if !matches!(args.get(at), None | Some(Value::Null | Value::String(_))) {
            return Err(not_text(name, args.get(at)));
        }
    }
    let (Some(Value::String(input)), Some(Value::String(find)), Some(Value::String(replacement))) =
        (args.get(0), args.get(1), args.get(2))
    else {
        return NULL;
    };
    let count = input.matches(find.as_str()).take(times).count();
    if input.len().saturating_add(count.saturating_mul(replacement.len())) > 2 * TEXT_BYTES_MAX {
        return Err(format!("the text would have more than {TEXT_BYTES_MAX} bytes"));
    }
    text(input.replacen(find.as_str(), replacement, times))
}

fn replace_one(args: &mut Args<'_>) -> Outcome {
    replace(args, 1)
}

fn replace_all(args: &mut Args<'_>) -> Outcome {
    replace(args, usize::MAX)
}
