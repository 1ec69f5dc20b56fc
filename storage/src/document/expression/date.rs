//! The parts of dates: `$year` and its like, `$dateToParts`, `$dateFromParts`. Timestamps and ObjectIds count as dates.

use super::super::codec::ValueRef;
use super::super::value::{Object, Value};
use super::calendar::{Civil, DAY_MS, Zone, civil, day_number, iso_year_start};
use super::evaluate::type_name;
use super::number::width;
use super::parse::{Node, error};
use super::{Args, ExpressionError, Operator, Outcome, Parser, named, special};

macro_rules! part {
    // An entry needs its function as a constant, which a closure with a captured part could not be.
    ($name:literal, $summary:literal, $part:expr) => {
        special($name, $summary, "date, or {date, timezone?}", |parser, name, operand| {
            part(parser, name, operand, |args| part_value(args, $part))
        })
    };
}

pub(super) const OPERATORS: &[Operator] = &[
    named(
        "$dateFromParts",
        "The date of these parts; those beyond their range count on.",
        &[
            "year",
            "isoWeekYear",
            "month",
            "isoWeek",
            "day",
            "isoDayOfWeek",
            "hour",
            "minute",
            "second",
            "millisecond",
            "timezone",
        ],
        from_parts,
    ),
    named("$dateToParts", "The parts of a date, as an object.", &["date!", "timezone", "iso8601"], to_parts),
    part!("$dayOfMonth", "The day of the month, 1 to 31.", |at| Value::integer(at.day)),
    part!("$dayOfWeek", "The day of the week, 1 for Sunday to 7.", |at| Value::integer(at.iso_weekday() % 7 + 1)),
    part!("$dayOfYear", "The day of the year, 1 to 366.", |at| Value::integer(at.day_of_year())),
    part!("$hour", "The hour, 0 to 23.", |at| Value::integer(at.hour)),
    part!("$isoDayOfWeek", "The day of the week, 1 for Monday to 7.", |at| Value::integer(at.iso_weekday())),
    part!("$isoWeek", "The ISO 8601 week, 1 to 53.", |at| Value::integer(at.iso_week().1)),
    part!("$isoWeekYear", "The year that the ISO 8601 week belongs to.", |at| Value::Int64(at.iso_week().0)),
    part!("$millisecond", "The millisecond, 0 to 999.", |at| Value::integer(at.millisecond)),
    part!("$minute", "The minute, 0 to 59.", |at| Value::integer(at.minute)),
    part!("$month", "The month, 1 to 12.", |at| Value::integer(at.month)),
    part!("$second", "The second, 0 to 59.", |at| Value::integer(at.second)),
    part!("$week", "The week, from Sunday on, 0 to 53.", |at| Value::integer(at.week())),
    part!("$year", "The year.", |at| Value::integer(at.year)),
];

/// A value as a date, ms; None for null and missing.
pub(super) fn moment(value: Option<&Value>, what: &str) -> Result<Option<i64>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Date(ms)) => Ok(Some(*ms)),
        Some(Value::Timestamp { seconds, .. }) => Ok(Some(i64::from(*seconds) * 1000)),
        Some(Value::ObjectId(id)) => Ok(Some(object_id_ms(id))),
        other => Err(format!("{what} must be a date, a timestamp or an ObjectId, not {}", type_name(other))),
    }
}

/// The moment that an ObjectId begins with.
pub(super) fn object_id_ms(id: &[u8; 12]) -> i64 {
    let [a, b, c, d, ..] = *id;
    i64::from(i32::from_be_bytes([a, b, c, d])) * 1000
}

/// The `timezone` argument; None for null and missing.
pub(super) fn zone(args: &Args<'_>, at: usize) -> Result<Option<Zone>, String> {
    match args.get(at) {
        None if !args.is_given(at) => Ok(Some(Zone::UTC)),
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => match Zone::parse(text) {
            Some(zone) => Ok(Some(zone)),
            None => Err(format!("unknown time zone {text:?}")),
        },
        other => Err(format!("timezone must be a string, not {}", type_name(other))),
    }
}

/// A date, or `{date, timezone}`.
fn part(
    parser: &mut Parser<'_>,
    name: &'static str,
    operand: ValueRef<'_>,
    run: fn(&mut Args<'_>) -> Outcome,
) -> Result<Node, ExpressionError> {
    let long =
        matches!(operand, ValueRef::Object(object) if object.iter().next().is_none_or(|(n, _)| !n.starts_with('$')));
    let arguments = if long {
        parser.named(name, operand, &["date!", "timezone"])?
    } else {
        let mut arguments: Vec<Option<Node>> = parser.list(name, operand, 1, 1)?.into_iter().map(Some).collect();
        arguments.push(None);
        arguments
    };
    if arguments.len() != 2 {
        return Err(error(name, "needs a date"));
    }
    parser.call(name, run, arguments)
}

fn part_value(args: &Args<'_>, part: fn(&Civil) -> Value) -> Outcome {
    let (moment, zone) = (moment(args.get(0), "the operand")?, zone(args, 1)?);
    let value = moment.zip(zone).map(|(ms, zone)| part(&civil(zone.local(ms))));
    Ok(Some(value.unwrap_or(Value::Null)))
}

fn to_parts(args: &mut Args<'_>) -> Outcome {
    let zone = zone(args, 1)?;
    let iso = match args.get(2) {
        None if !args.is_given(2) => Some(false),
        None | Some(Value::Null) => None,
        Some(Value::Bool(flag)) => Some(*flag),
        other => return Err(format!("iso8601 must be a bool, not {}", type_name(other))),
    };
    let (Some(ms), Some(zone), Some(iso)) = (moment(args.get(0), "date")?, zone, iso) else {
        return Ok(Some(Value::Null));
    };
    let at = civil(zone.local(ms));
    let day = if iso {
        let (year, week) = at.iso_week();
        [("isoWeekYear", year), ("isoWeek", week), ("isoDayOfWeek", at.iso_weekday())]
    } else {
        [("year", at.year), ("month", at.month), ("day", at.day)]
    };
    let time = [("hour", at.hour), ("minute", at.minute), ("second", at.second), ("millisecond", at.millisecond)];
    let members = day.into_iter().chain(time).map(|(name, n)| (name.to_owned(), Value::integer(n)));
    Ok(Some(Value::Object(Object(members.collect()))))
}

/// The most that a part may be; all but the year count on beyond their range.
const PART_MAX: i64 = i16::MAX as i64;

fn from_parts(args: &mut Args<'_>) -> Outcome {
    let zone = zone(args, 10)?;
    let names =
        ["year", "isoWeekYear", "month", "isoWeek", "day", "isoDayOfWeek", "hour", "minute", "second", "millisecond"];
    let iso = args.is_given(1);
    if iso == args.is_given(0) {
        return Err("needs either year or isoWeekYear".into());
    }
    let strays: &[usize] = if iso { &[2, 4] } else { &[3, 5] };
    if strays.iter().any(|at| args.is_given(*at)) {
        return Err("the parts of a calendar date and of an ISO week date cannot be mixed".into());
    }
    let mut parts = [0i64; 10];
    let mut null = zone.is_none();
    for ((at, place), name) in parts.iter_mut().enumerate().zip(names) {
        *place = match args.get(at) {
            None if !args.is_given(at) => i64::from(at < 6),
            None | Some(Value::Null) => {
                null = true;
                continue;
            }
            Some(value) if width(value).is_some() => {
                value.as_integer().ok_or_else(|| format!("{name} must be a whole number"))?
            }
            other => return Err(format!("{name} must be a number, not {}", type_name(other))),
        };
    }
    let (false, Some(zone)) = (null, zone) else { return Ok(Some(Value::Null)) };
    let [year, iso_year, month, week, day, weekday, hour, minute, second, millisecond] = parts;
    if !(1..=9999).contains(if iso { &iso_year } else { &year }) {
        return Err("the year must be from 1 to 9999".into());
    }
    let small = [month, week, day, weekday, hour, minute];
    if small.iter().any(|part| part.abs() > PART_MAX + 1 || *part > PART_MAX) {
        return Err(format!("a part is beyond {PART_MAX}"));
    }
    let days = if iso { iso_year_start(iso_year) + (week - 1) * 7 + weekday - 1 } else { day_number(year, month, day) };
    let local = (days * DAY_MS)
        .checked_add((hour * 60 + minute) * 60_000)
        .and_then(|ms| ms.checked_add(second.checked_mul(1000)?))
        .and_then(|ms| ms.checked_add(millisecond));
    let ms = local.and_then(|local| zone.moment(local)).ok_or("the date would be out of range")?;
    Ok(Some(Value::Date(ms)))
}
