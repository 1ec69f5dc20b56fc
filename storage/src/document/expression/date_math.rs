//! Reckoning with dates: `$dateAdd $dateSubtract $dateDiff $dateTrunc`. Days and longer units are those of the time zone.

use super::super::value::Value;
use super::calendar::{Civil, DAY_MS, Zone, civil, day_number, month_days};
use super::date::{moment, zone};
use super::evaluate::type_name;
use super::number::width;
use super::{Args, Operator, Outcome, named};

pub(super) const OPERATORS: &[Operator] = &[
    named("$dateAdd", "The date `amount` `unit`s later.", &["startDate!", "unit!", "amount!", "timezone"], add),
    named(
        "$dateDiff",
        "How many beginnings of a `unit` lie between two dates.",
        &["startDate!", "endDate!", "unit!", "timezone", "startOfWeek"],
        diff,
    ),
    named(
        "$dateSubtract",
        "The date `amount` `unit`s earlier.",
        &["startDate!", "unit!", "amount!", "timezone"],
        subtract,
    ),
    named(
        "$dateTrunc",
        "The beginning of the `unit`, or of the `binSize` units, that the date is in.",
        &["date!", "unit!", "binSize", "timezone", "startOfWeek"],
        trunc,
    ),
];

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// So many months: months, quarters, years.
    Months(i64),
    /// So many days: days and weeks.
    Days(i64),
    /// So many milliseconds: hours and what is shorter.
    Milliseconds(i64),
}

const UNITS: &[(&str, Unit)] = &[
    ("year", Unit::Months(12)),
    ("quarter", Unit::Months(3)),
    ("month", Unit::Months(1)),
    ("week", Unit::Days(7)),
    ("day", Unit::Days(1)),
    ("hour", Unit::Milliseconds(3_600_000)),
    ("minute", Unit::Milliseconds(60_000)),
    ("second", Unit::Milliseconds(1000)),
    ("millisecond", Unit::Milliseconds(1)),
];

impl Unit {
    /// The unit of this name.
    pub fn named(name: &str) -> Option<Unit> {
        UNITS.iter().find(|(other, _)| *other == name).map(|(_, unit)| *unit)
    }

    /// The date so many of it later, UTC; none beyond the range of dates.
    pub fn after(self, ms: i64, amount: i64) -> Option<i64> {
        shift(ms, self, amount, &Zone::UTC).filter(|ms| ms.abs() < DATE_MS_MAX)
    }

    /// How long it is, ms; none where that depends on the calendar.
    pub fn length_ms(self) -> Option<i64> {
        match self {
            Unit::Months(_) => None,
            Unit::Days(days) => Some(days * DAY_MS),
            Unit::Milliseconds(ms) => Some(ms),
        }
    }
}

/// The `unit` argument; None for null and missing.
fn unit(args: &Args<'_>, at: usize) -> Result<Option<Unit>, String> {
    match args.get(at) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Unit::named(text).map(Some).ok_or_else(|| format!("unknown unit {text:?}")),
        other => Err(format!("unit must be a string, not {}", type_name(other))),
    }
}

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// The `startOfWeek` argument, 0 for Monday to 6; None for null and missing. It only counts for weeks.
fn week_start(args: &Args<'_>, at: usize) -> Result<Option<i64>, String> {
    match args.get(at) {
        None if !args.is_given(at) => Ok(Some(6)),
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => {
            let text = text.to_ascii_lowercase();
            let found = DAYS.iter().position(|day| *day == text || day.get(..3) == Some(&*text));
            found.map(|at| Some(at as i64)).ok_or_else(|| "startOfWeek must be the name of a day".into())
        }
        other => Err(format!("startOfWeek must be a string, not {}", type_name(other))),
    }
}

const NULL: Outcome = Ok(Some(Value::Null));
const RANGE: &str = "the date would be out of range";

fn add(args: &mut Args<'_>) -> Outcome {
    shifted(args, 1)
}

fn subtract(args: &mut Args<'_>) -> Outcome {
    shifted(args, -1)
}

fn shifted(args: &Args<'_>, sign: i64) -> Outcome {
    if (0..4).any(|at| args.is_given(at) && args.is_nullish(at)) {
        return NULL;
    }
    let (Some(ms), Some(unit), Some(zone)) = (moment(args.get(0), "startDate")?, unit(args, 1)?, zone(args, 3)?) else {
        return NULL;
    };
    let amount = match args.get(2) {
        Some(amount) if width(amount).is_some() => amount.as_integer().ok_or("amount must be a whole number")?,
        other => return Err(format!("amount must be a number, not {}", type_name(other))),
    };
    let amount = amount.checked_mul(sign).ok_or("amount is out of range")?;
    let result = shift(ms, unit, amount, &zone).filter(|ms| ms.abs() < DATE_MS_MAX);
    Ok(Some(Value::Date(result.ok_or(RANGE)?)))
}

/// Beyond what the calendar of either side can write.
const DATE_MS_MAX: i64 = i64::MAX / 2;

fn shift(ms: i64, unit: Unit, amount: i64, zone: &Zone) -> Option<i64> {
    match unit {
        Unit::Milliseconds(unit) => ms.checked_add(amount.checked_mul(unit)?),
        Unit::Days(unit) => {
            let local = zone.local(ms).checked_add(amount.checked_mul(unit)?.checked_mul(DAY_MS)?)?;
            zone.moment(local)
        }
        Unit::Months(unit) => {
            let local = zone.local(ms);
            let at = civil(local);
            // Years beyond this are out of any date's range.
            let months = amount.checked_mul(unit).filter(|months| months.abs() < 12 * 300_000_000)?;
            let target = at.year * 12 + at.month - 1 + months;
            let (year, month) = (target.div_euclid(12), target.rem_euclid(12) + 1);
            let day = at.day.min(month_days(year, month));
            let days = day_number(year, month, day);
            zone.moment(days.checked_mul(DAY_MS)?.checked_add(local.rem_euclid(DAY_MS))?)
        }
    }
}

fn diff(args: &mut Args<'_>) -> Outcome {
    if (0..5).any(|at| args.is_given(at) && args.is_nullish(at)) {
        return NULL;
    }
    let unit_name = args.get(2).and_then(Value::as_str) == Some("week");
    let start_of_week = if unit_name { week_start(args, 4)? } else { Some(6) };
    let (Some(start), Some(end)) = (moment(args.get(0), "startDate")?, moment(args.get(1), "endDate")?) else {
        return NULL;
    };
    let (Some(unit), Some(zone), Some(start_of_week)) = (unit(args, 2)?, zone(args, 3)?, start_of_week) else {
        return NULL;
    };
    let (from, to) = (zone.local(start), zone.local(end));
    let (a, b) = (civil(from), civil(to));
    let months = |at: &Civil, of: i64| (at.year * 12 + at.month - 1).div_euclid(of);
    // Counted from a week's first day: 1970-01-01 was a Thursday, Monday being 0.
    let weeks = |at: &Civil| (at.days + 3 - start_of_week).div_euclid(7);
    let number = match unit {
        Unit::Months(of) => months(&b, of) - months(&a, of),
        Unit::Days(7) => weeks(&b) - weeks(&a),
        Unit::Days(_) => b.days - a.days,
        Unit::Milliseconds(1) => end.checked_sub(start).ok_or("the difference is beyond 64 bits")?,
        // Boundaries are those that the clocks show, but what they were put forward or back is no time.
        Unit::Milliseconds(of) => {
            to.div_euclid(of) - from.div_euclid(of) + (zone.offset_ms(start) - zone.offset_ms(end)) / of
        }
    };
    Ok(Some(Value::Int64(number)))
}

fn trunc(args: &mut Args<'_>) -> Outcome {
    let is_week = args.get(1).and_then(Value::as_str) == Some("week");
    if (0..4).any(|at| args.is_given(at) && args.is_nullish(at)) {
        return NULL;
    }
    let start_of_week = if is_week { week_start(args, 4)? } else { Some(6) };
    let bin = match args.get(2) {
        None => 1,
        Some(bin) if width(bin).is_some() => {
            bin.as_integer().filter(|bin| *bin > 0).ok_or("binSize must be a whole number greater than zero")?
        }
        other => return Err(format!("binSize must be a number, not {}", type_name(other))),
    };
    let (Some(ms), Some(unit), Some(zone), Some(start_of_week)) =
        (moment(args.get(0), "date")?, unit(args, 1)?, zone(args, 3)?, start_of_week)
    else {
        return NULL;
    };
    let result = truncated(ms, unit, bin, &zone, start_of_week);
    Ok(Some(Value::Date(result.ok_or("the date or binSize is out of range")?)))
}

/// Bins are counted from the beginning of the year 2000 in the time zone; those of weeks from its first week.
fn truncated(ms: i64, unit: Unit, bin: i64, zone: &Zone, start_of_week: i64) -> Option<i64> {
    let origin = day_number(2000, 1, 1);
    let local = zone.local(ms);
    let at = civil(local);
    match unit {
        Unit::Milliseconds(of) => {
            let size = bin.checked_mul(of)?;
            let origin = zone.moment(origin * DAY_MS)?;
            let past = ms.checked_sub(origin)?;
            ms.checked_sub(past.rem_euclid(size))
        }
        Unit::Days(of) => {
            let size = bin.checked_mul(of)?;
            let origin = if of == 7 {
                // The first such day of the year 2000.
                origin + (start_of_week - (origin + 3)).rem_euclid(7)
            } else {
                origin
            };
            let days = at.days.checked_sub((at.days - origin).rem_euclid(size))?;
            zone.moment(days.checked_mul(DAY_MS)?)
        }
        Unit::Months(of) => {
            let size = bin.checked_mul(of)?;
            let months = (at.year - 2000) * 12 + at.month - 1;
            let start = months.checked_sub(months.rem_euclid(size))?;
            // Years beyond this are out of any date's range.
            if start.abs() > 12 * 300_000_000 {
                return None;
            }
            zone.moment(day_number(2000, 1 + start, 1).checked_mul(DAY_MS)?)
        }
    }
}
