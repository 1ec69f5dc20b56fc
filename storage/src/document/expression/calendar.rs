//! Moments and the calendar: UTC milliseconds to years and days and back, weeks, and time zones.
//!
//! The calendar is the proleptic Gregorian one and covers every 64-bit millisecond; zones come from a database inside the
//! binary, whose rules apply to the years -9999 to 9999.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

pub(super) const DAY_MS: i64 = 86_400_000;

/// A moment in the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    pub(super) millisecond: i64,
    /// Days since 1970-01-01.
    pub(super) days: i64,
}

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A moment's place in the calendar, UTC.
pub(super) fn civil(ms: i64) -> Civil {
    let (days, of_day) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
    let (year, month, day) = civil_day(days);
    Civil {
        year,
        month,
        day,
        hour: of_day / 3_600_000,
        minute: of_day / 60_000 % 60,
        second: of_day / 1000 % 60,
        millisecond: of_day % 1000,
        days,
    }
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant's `civil_from_days`).
pub(super) fn civil_day(days: i64) -> (i64, i64, i64) {
    // Counted from 0000-03-01, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The day, counted from 1970-01-01. Months beyond 1 to 12 and days beyond the month's count on.
pub(super) fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let months = year * 12 + month - 1;
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468 + day - 1
}

/// How many days a month has.
pub(super) fn month_days(year: i64, month: i64) -> i64 {
    day_number(year, month + 1, 1) - day_number(year, month, 1)
}

impl Civil {
    /// 1 for Monday to 7 for Sunday.
    pub(super) fn iso_weekday(&self) -> i64 {
        (self.days + 3).rem_euclid(7) + 1
    }

    /// 1 for January 1st.
    pub(super) fn day_of_year(&self) -> i64 {
        self.days - day_number(self.year, 1, 1) + 1
    }

    /// Weeks that begin on Sunday; what is before the year's first is week 0.
    pub(super) fn week(&self) -> i64 {
        (self.day_of_year() - 1 + 7 - self.iso_weekday() % 7) / 7
    }

    /// The ISO 8601 week and the year that it belongs to.
    pub(super) fn iso_week(&self) -> (i64, i64) {
        // A week belongs to the year of its Thursday.
        let thursday = self.days - self.iso_weekday() + 4;
        let (year, ..) = civil_day(thursday);
        (year, (thursday - day_number(year, 1, 1)) / 7 + 1)
    }

    /// The first three letters of the month.
    pub(super) fn month_name(&self) -> &'static str {
        let name = usize::try_from(self.month - 1).ok().and_then(|at| MONTHS.get(at)).copied().unwrap_or_default();
        name.get(..3).unwrap_or_default()
    }
}

/// The Monday of the first week of an ISO 8601 year, as a day.
pub(super) fn iso_year_start(year: i64) -> i64 {
    // January 4th is always in it.
    let fourth = day_number(year, 1, 4);
    fourth - (fourth + 3).rem_euclid(7)
}

/// `2024-06-15T12:30:45.123Z`; none beyond the years 0 to 9999.
pub(super) fn iso_text(ms: i64) -> Option<String> {
    let at = civil(ms);
    let Civil { year, month, day, hour, minute, second, millisecond, .. } = at;
    let inside = (0..=9999).contains(&year);
    inside.then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z"))
}

/// A time zone.
#[derive(Debug, Clone)]
pub(super) enum Zone {
    /// So many milliseconds ahead of UTC.
    Fixed(i64),
    /// One of the database.
    Named(TimeZone),
}

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The least and the greatest moment to which a zone's rules apply, ms.
const RULES_MS: (i64, i64) = (-377_705_000_000_000, 253_402_200_000_000);

impl Zone {
    pub(super) const UTC: Zone = Zone::Fixed(0);

    /// `Europe/Paris`, `+05:30`, `-0500`, `+03`.
    pub(super) fn parse(text: &str) -> Option<Zone> {
        if text.starts_with(['+', '-']) {
            return offset(text).map(Zone::Fixed);
        }
        if matches!(text, "UTC" | "GMT" | "Z") {
            return Some(Zone::UTC);
        }
        let zone = DATABASE.get(text).ok()?;
        // The database is not particular about case, but names are.
        (zone.iana_name() == Some(text)).then_some(Zone::Named(zone))
    }

    /// How far its clocks are ahead of UTC at a moment, ms.
    pub(super) fn offset_ms(&self, ms: i64) -> i64 {
        match self {
            Zone::Fixed(offset) => *offset,
            Zone::Named(zone) => {
                let (least, greatest) = RULES_MS;
                let moment = Timestamp::from_millisecond(ms.clamp(least, greatest));
                moment.map_or(0, |moment| i64::from(zone.to_offset(moment).seconds()) * 1000)
            }
        }
    }

    /// What its clocks show at a moment.
    pub(super) fn local(&self, ms: i64) -> i64 {
        ms.saturating_add(self.offset_ms(ms))
    }

    /// The moment at which its clocks show this. Where they show it twice, the first; where never, as if they had not been
    /// put forward yet.
    pub(super) fn moment(&self, local: i64) -> Option<i64> {
        let Zone::Named(_) = self else { return local.checked_sub(self.offset_ms(0)) };
        // No clock changes twice within a day and a half.
        let before = self.offset_ms(local.checked_sub(DAY_MS)?);
        let after = self.offset_ms(local.checked_add(DAY_MS)?);
        let candidate = local.checked_sub(before)?;
        if self.offset_ms(candidate) == before {
            return Some(candidate);
        }
        let later = local.checked_sub(after)?;
        Some(if self.offset_ms(later) == after { later } else { candidate })
    }
}

/// `+hh`, `+hhmm` or `+hh:mm` as milliseconds.
fn offset(text: &str) -> Option<i64> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.len() {
        2 => (digits, "0"),
        4 => digits.split_at_checked(2)?,
        5 => digits.split_once(':').filter(|(hours, _)| hours.len() == 2)?,
        _ => return None,
    };
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i64>().ok()).flatten();
    Some(sign * (number(hours)? * 60 + number(minutes)?) * 60_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_there_and_back() {
        for (year, month, day, days) in
            [(1970, 1, 1, 0), (2000, 2, 29, 11_016), (1969, 12, 31, -1), (1, 1, 1, -719_162), (-1, 3, 1, -719_834)]
        {
            assert_eq!(day_number(year, month, day), days, "{year}-{month}-{day}");
            assert_eq!(civil_day(days), (year, month, day));
        }
        for days in (-3_000_000..3_000_000).step_by(997) {
            let (year, month, day) = civil_day(days);
            assert_eq!(day_number(year, month, day), days);
        }
        assert_eq!(month_days(2024, 2), 29);
        assert_eq!(month_days(2023, 12), 31);
    }

    #[test]
    fn zones() {
        for (name, ms, offset) in [
            ("+05:30", 0, 19_800_000),
            ("-0500", 0, -18_000_000),
            ("+03", 0, 10_800_000),
            ("Europe/Paris", 1_718_452_800_000, 7_200_000),
            ("Europe/Paris", 1_704_067_200_000, 3_600_000),
            ("UTC", 5, 0),
        ] {
            assert_eq!(Zone::parse(name).unwrap().offset_ms(ms), offset, "{name}");
        }
        for bad in ["", "Nowhere", "europe/paris", "+5", "+100:00", "25:00", "+1a"] {
            assert!(Zone::parse(bad).is_none(), "{bad}");
        }
        let paris = Zone::parse("Europe/Paris").unwrap();
        let local = |y, mo, d, h: i64, mi| day_number(y, mo, d) * DAY_MS + (h * 60 + mi) * 60_000;
        // 02:30 does not exist on the day that clocks go forward, and exists twice when they go back.
        assert_eq!(paris.moment(local(2024, 3, 31, 2, 30)), Some(local(2024, 3, 31, 1, 30)));
        assert_eq!(paris.moment(local(2024, 10, 27, 2, 30)), Some(local(2024, 10, 27, 0, 30)));
        assert_eq!(paris.moment(local(2024, 6, 1, 12, 0)), Some(local(2024, 6, 1, 10, 0)));
    }
}
