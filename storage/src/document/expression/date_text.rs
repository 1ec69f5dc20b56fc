//! Dates as text: `$dateToString $dateFromString`.

use super::super::value::Value;
use super::calendar::{DAY_MS, MONTHS, Zone, civil, day_number, iso_year_start, month_days};
use super::date::{moment, zone};
use super::evaluate::{Environment, type_name};
use super::parse::{Evaluate, Evaluated, Node, error};
use super::{Args, ExpressionError, Operator, Outcome, Parser, named, special};
use crate::document::codec::ValueRef;

pub(super) const OPERATORS: &[Operator] = &[
    special(
        "$dateFromString",
        "The date that a text reads as; `onError` and `onNull` stand in for it.",
        "{dateString, format?, timezone?, onError?, onNull?}",
        from_string,
    ),
    named("$dateToString", "The date as text.", &["date!", "format", "timezone", "onNull"], to_string),
];

fn format_argument<'a>(args: &'a Args<'_>, at: usize) -> Result<Option<Option<&'a str>>, String> {
    match args.get(at) {
        None if !args.is_given(at) => Ok(Some(None)),
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(format)) => Ok(Some(Some(format))),
        other => Err(format!("format must be a string, not {}", type_name(other))),
    }
}

fn to_string(args: &mut Args<'_>) -> Outcome {
    let zone = zone(args, 2)?;
    if let Some(Some(format)) = format_argument(args, 1)? {
        check_format(format, false)?;
    }
    let moment = moment(args.get(0), "date")?;
    let (Some(format), Some(zone)) = (format_argument(args, 1)?, zone) else { return Ok(Some(Value::Null)) };
    let Some(ms) = moment else {
        return Ok(if args.is_given(3) { args.take(3) } else { Some(Value::Null) });
    };
    let utc = matches!(zone, Zone::Fixed(0));
    let default = if utc { "%Y-%m-%dT%H:%M:%S.%LZ" } else { "%Y-%m-%dT%H:%M:%S.%L" };
    let text = written(ms, &zone, format.unwrap_or(default))?;
    Ok(Some(Value::String(text)))
}

/// Refuses what is no specifier; reading knows some less.
fn check_format(format: &str, reads: bool) -> Result<(), String> {
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            continue;
        }
        match rest.next() {
            Some('d' | 'G' | 'H' | 'j' | 'L' | 'm' | 'M' | 'S' | 'u' | 'V' | 'Y' | 'z' | 'Z' | '%' | 'b' | 'B') => {}
            Some('U' | 'w') if !reads => {}
            Some(other) => return Err(format!("format: unknown specifier %{other}")),
            None => return Err("format ends in a single %".into()),
        }
    }
    Ok(())
}

fn written(ms: i64, zone: &Zone, format: &str) -> Result<String, String> {
    use std::fmt::Write;
    let at = civil(zone.local(ms));
    let minutes = zone.offset_ms(ms) / 60_000;
    let (iso_year, iso_week) = at.iso_week();
    let mut out = String::new();
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let month = usize::try_from(at.month - 1).ok().and_then(|at| MONTHS.get(at)).copied().unwrap_or_default();
        let done = match rest.next() {
            Some('d') => write!(out, "{:02}", at.day),
            Some('G') => write!(out, "{:04}", year(iso_year)?),
            Some('H') => write!(out, "{:02}", at.hour),
            Some('j') => write!(out, "{:03}", at.day_of_year()),
            Some('L') => write!(out, "{:03}", at.millisecond),
            Some('m') => write!(out, "{:02}", at.month),
            Some('M') => write!(out, "{:02}", at.minute),
            Some('S') => write!(out, "{:02}", at.second),
            Some('u') => write!(out, "{}", at.iso_weekday()),
            Some('U') => write!(out, "{:02}", at.week()),
            Some('V') => write!(out, "{iso_week:02}"),
            Some('w') => write!(out, "{}", at.iso_weekday() % 7 + 1),
            Some('Y') => write!(out, "{:04}", year(at.year)?),
            Some('z') => {
                let sign = if minutes < 0 { '-' } else { '+' };
                write!(out, "{sign}{:02}{:02}", minutes.abs() / 60, minutes.abs() % 60)
            }
            Some('Z') => write!(out, "{minutes}"),
            Some('%') => write!(out, "%"),
            Some('b') => write!(out, "{}", at.month_name()),
            Some('B') => write!(out, "{month}"),
            _ => return Err("format: unknown specifier".into()),
        };
        done.map_err(|error| error.to_string())?;
    }
    Ok(out)
}

fn year(year: i64) -> Result<i64, String> {
    if (0..=9999).contains(&year) { Ok(year) } else { Err("the year must be from 0 to 9999".into()) }
}

#[derive(Debug)]
struct FromString {
    name: &'static str,
    text: Node,
    format: Option<Node>,
    zone: Option<Node>,
    on_error: Option<Node>,
    on_null: Option<Node>,
}

fn from_string(parser: &mut Parser<'_>, name: &'static str, operand: ValueRef<'_>) -> Result<Node, ExpressionError> {
    let parts = parser.named(name, operand, &["dateString!", "format", "timezone", "onError", "onNull"])?;
    let mut parts = parts.into_iter();
    let mut next = || parts.next().flatten();
    let (Some(text), format, zone, on_error, on_null) = (next(), next(), next(), next(), next()) else {
        return Err(error(name, "needs dateString"));
    };
    Ok(Node::Special(Box::new(FromString { name, text, format, zone, on_error, on_null })))
}

impl Evaluate for FromString {
    fn evaluate<'e>(&'e self, environment: &mut Environment<'_>) -> Evaluated<'e> {
        let wrong = |what: String| error(self.name, what);
        let text = self.text.owned(environment)?;
        let optional = |node: &Option<Node>, environment: &mut Environment<'_>| match node {
            Some(node) => node.owned(environment).map(|value| Some(value.unwrap_or(Value::Null))),
            None => Ok(None),
        };
        let (format, zone) = (optional(&self.format, environment)?, optional(&self.zone, environment)?);
        let format = match &format {
            None => None,
            Some(Value::Null) => return Ok(Some(std::borrow::Cow::Owned(Value::Null))),
            Some(Value::String(format)) => {
                check_format(format, true).map_err(wrong)?;
                Some(format.as_str())
            }
            other => return Err(wrong(format!("format must be a string, not {}", type_name(other.as_ref())))),
        };
        let zone = match &zone {
            None => Some(Zone::UTC),
            Some(Value::Null) => None,
            Some(Value::String(text)) => {
                Some(Zone::parse(text).ok_or_else(|| wrong(format!("unknown time zone {text:?}")))?)
            }
            other => return Err(wrong(format!("timezone must be a string, not {}", type_name(other.as_ref())))),
        };
        let result = match &text {
            None | Some(Value::Null) => match &self.on_null {
                Some(on_null) => return on_null.evaluate(environment),
                None => Ok(Value::Null),
            },
            Some(Value::String(text)) => {
                let Some(zone) = zone else { return Ok(Some(std::borrow::Cow::Owned(Value::Null))) };
                read(text, format, &zone, self.zone.is_some()).map(Value::Date)
            }
            other => Err(format!("dateString must be a string, not {}", type_name(other.as_ref()))),
        };
        match (result, &self.on_error) {
            (Ok(value), _) => Ok(Some(std::borrow::Cow::Owned(value))),
            (Err(_), Some(on_error)) => on_error.evaluate(environment),
            (Err(what), None) => Err(wrong(what)),
        }
    }
}

/// What has been read of a date.
#[derive(Debug, Clone, Copy)]
struct Fields {
    year: i64,
    month: i64,
    day: i64,
    iso: Option<(i64, i64, i64)>,
    day_of_year: Option<i64>,
    /// Of the day, ms.
    time: i64,
    offset_ms: Option<i64>,
}

impl Fields {
    const NONE: Fields =
        Fields { year: 1970, month: 1, day: 1, iso: None, day_of_year: None, time: 0, offset_ms: None };

    fn moment(self, zone: &Zone) -> Option<i64> {
        let days = match (self.iso, self.day_of_year) {
            (Some((year, week, weekday)), _) => iso_year_start(year) + (week - 1) * 7 + weekday - 1,
            (None, Some(day)) => day_number(self.year, 1, 1) + day - 1,
            (None, None) => {
                let good =
                    (1..=12).contains(&self.month) && (1..=month_days(self.year, self.month)).contains(&self.day);
                if !good {
                    return None;
                }
                day_number(self.year, self.month, self.day)
            }
        };
        let local = days.checked_mul(DAY_MS)?.checked_add(self.time)?;
        match self.offset_ms {
            Some(offset) => Some(local - offset),
            None => zone.moment(local),
        }
    }
}

/// The date that a text reads as. A text with an offset of its own may not be given a zone that is not UTC beside it.
pub(super) fn read(text: &str, format: Option<&str>, zone: &Zone, zone_given: bool) -> Result<i64, String> {
    let cannot = || "the text does not read as a date".to_owned();
    let fields = match format {
        Some(format) => read_format(text, format).ok_or_else(cannot)?,
        None => read_free(text).ok_or_else(cannot)?,
    };
    if fields.offset_ms.is_some() && zone_given && !matches!(zone, Zone::Fixed(0)) {
        return Err("the text has an offset of its own, and a timezone is given".into());
    }
    fields.moment(zone).ok_or_else(cannot)
}

/// A text that is read from its start.
struct Reader<'t>(&'t str);

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<char> {
        self.0.chars().next()
    }

    fn literal(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    fn spaces(&mut self) {
        self.0 = self.0.trim_start_matches(is_blank);
    }

    /// A number of so many digits.
    fn digits(&mut self, least: usize, most: usize) -> Option<i64> {
        let count = self.0.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if count < least {
            return None;
        }
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.parse().ok()
    }

    fn letters(&mut self) -> &'t str {
        let count = self.0.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (letters, rest) = self.0.split_at_checked(count).unwrap_or(("", self.0));
        self.0 = rest;
        letters
    }

    fn month(&mut self) -> Option<i64> {
        let name = self.letters().to_ascii_lowercase();
        let full = MONTHS.iter().position(|month| month.to_ascii_lowercase() == name);
        let short = || MONTHS.iter().position(|month| name.len() == 3 && month.to_ascii_lowercase().starts_with(&name));
        full.or_else(short).map(|at| at as i64 + 1)
    }

    /// `+hh:mm` and its like, `Z`, `UTC`, ms.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.peek()? {
            '+' => 1,
            '-' => -1,
            _ => {
                let name = self.letters().to_ascii_uppercase();
                return matches!(&*name, "Z" | "UTC" | "GMT").then_some(0);
            }
        };
        self.literal(if sign > 0 { "+" } else { "-" })?;
        let hours = self.digits(1, 2)?;
        let colon = self.literal(":").is_some();
        let minutes = match self.peek() {
            Some(c) if c.is_ascii_digit() => self.digits(2, 2)?,
            _ if colon => return None,
            _ => 0,
        };
        Some(sign * (hours * 60 + minutes) * 60_000)
    }

    /// Milliseconds after the point.
    fn fraction(&mut self) -> Option<i64> {
        let count = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.0.split_at_checked(count).filter(|(digits, _)| !digits.is_empty())?;
        self.0 = rest;
        let padded = format!("{digits:0<3}");
        padded.get(..3)?.parse().ok()
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, '\0' | ' ' | '\t' | '\n' | '\u{a0}')
}

/// ISO 8601 with some freedom (a space for the `T`, offsets without a colon), or a month's name with day and year.
fn read_free(text: &str) -> Option<Fields> {
    let mut reader = Reader(text.trim_matches(is_blank));
    let mut fields = Fields::NONE;
    if reader.peek()?.is_ascii_alphabetic() {
        fields.month = reader.month()?;
        reader.spaces();
        fields.day = reader.digits(1, 2)?;
        let _ = reader.literal(",");
        reader.spaces();
        fields.year = reader.digits(4, 4)?;
    } else {
        let before = if reader.literal("-").is_some() { -1 } else { 1 };
        fields.year = before * reader.digits(4, 4)?;
        let (dashes, slashes) = (reader.literal("-").is_some(), reader.literal("/").is_some());
        let between = if dashes { "-" } else { "/" };
        if dashes || slashes {
            fields.month = reader.digits(1, 2)?;
            reader.literal(between)?;
            fields.day = reader.digits(1, 2)?;
        } else {
            fields.month = reader.digits(2, 2)?;
            fields.day = reader.digits(2, 2)?;
        }
    }
    let spaced = reader.0.starts_with(is_blank);
    reader.spaces();
    if reader.0.is_empty() {
        return Some(fields);
    }
    let separated = reader.literal("T").is_some() || reader.literal("t").is_some() || spaced;
    if !separated && !reader.0.starts_with(['Z', '+']) {
        return None;
    }
    if reader.peek()?.is_ascii_digit() {
        fields.time = read_time(&mut reader)?;
    }
    reader.spaces();
    if !reader.0.is_empty() {
        fields.offset_ms = Some(reader.offset()?);
    }
    reader.spaces();
    reader.0.is_empty().then_some(fields)
}

fn read_time(reader: &mut Reader<'_>) -> Option<i64> {
    let hour = reader.digits(1, 2)?;
    let (mut minute, mut second, mut fraction) = (0, 0, 0);
    if reader.literal(":").is_some() {
        minute = reader.digits(1, 2)?;
        if reader.literal(":").is_some() {
            second = reader.digits(1, 2)?;
            if reader.literal(".").is_some() || reader.literal(",").is_some() {
                fraction = reader.fraction()?;
            }
        }
    }
    if hour > 24 || minute > 59 || second > 60 {
        return None;
    }
    Some(((hour * 60 + minute) * 60 + second) * 1000 + fraction)
}

fn read_format(text: &str, format: &str) -> Option<Fields> {
    let mut reader = Reader(text);
    let mut fields = Fields::NONE;
    let (mut calendar, mut iso) = (false, None::<(i64, i64, i64)>);
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            reader.literal(c.encode_utf8(&mut [0; 4]))?;
            continue;
        }
        let specifier = rest.next()?;
        calendar |= matches!(specifier, 'Y' | 'm' | 'd' | 'b' | 'B' | 'j');
        match specifier {
            'Y' => fields.year = reader.digits(4, 4)?,
            'm' => fields.month = reader.digits(1, 2)?,
            'd' => fields.day = reader.digits(1, 2)?,
            'b' | 'B' => fields.month = reader.month()?,
            'j' => fields.day_of_year = Some(reader.digits(1, 3).filter(|day| (1..=366).contains(day))?),
            'H' => fields.time += reader.digits(1, 2).filter(|hour| *hour < 24)? * 3_600_000,
            'M' => fields.time += reader.digits(1, 2).filter(|minute| *minute < 60)? * 60_000,
            'S' => fields.time += reader.digits(1, 2).filter(|second| *second < 60)? * 1000,
            'L' => fields.time += reader.digits(1, 3)?,
            'G' => iso.get_or_insert((1970, 1, 1)).0 = reader.digits(4, 4)?,
            'V' => iso.get_or_insert((1970, 1, 1)).1 = reader.digits(1, 2).filter(|week| (1..=53).contains(week))?,
            'u' => iso.get_or_insert((1970, 1, 1)).2 = reader.digits(1, 1).filter(|day| (1..=7).contains(day))?,
            'z' => fields.offset_ms = Some(reader.offset()?),
            'Z' => {
                let sign = if reader.literal("-").is_some() { -1 } else { 1 };
                let _ = reader.literal("+");
                fields.offset_ms = Some(sign * reader.digits(1, 4)? * 60_000);
            }
            '%' => reader.literal("%")?,
            _ => return None,
        }
    }
    // A date is of the calendar or of ISO weeks.
    if calendar && iso.is_some() {
        return None;
    }
    fields.iso = iso;
    reader.0.is_empty().then_some(fields)
}
