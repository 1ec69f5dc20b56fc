//! How values of settings are read, with Redis's wording for those that cannot be.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::{OutputLimit, OutputLimits, Primary};

/// Why a value cannot be.
pub type Refusal = String;

/// An integer within bounds.
pub fn integer<T: TryFrom<i64>>(text: &str, bounds: RangeInclusive<i64>) -> Result<T, Refusal> {
    let value: i64 = text.parse().map_err(|_| "argument couldn't be parsed into an integer".to_owned())?;
    within(value, &bounds)
}

/// Bytes, with a unit as in redis.conf: `1k` is 1000, `1kb` is 1024, in any case.
pub fn memory(text: &str, bounds: RangeInclusive<i64>) -> Result<usize, Refusal> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: i64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return Err("argument must be a memory value".to_owned()),
    };
    let value = number.parse::<i64>().ok().and_then(|number| number.checked_mul(factor));
    within(value.ok_or_else(|| "argument must be a memory value".to_owned())?, &bounds)
}

fn within<T: TryFrom<i64>>(value: i64, bounds: &RangeInclusive<i64>) -> Result<T, Refusal> {
    let (low, high) = bounds.clone().into_inner();
    let refusal = || format!("argument must be between {low} and {high} inclusive");
    if !bounds.contains(&value) {
        return Err(refusal());
    }
    T::try_from(value).map_err(|_| refusal())
}

/// `yes` or `no`.
pub fn boolean(text: &str) -> Result<bool, Refusal> {
    choice(text, &[("yes", true), ("no", false)]).map_err(|_| "argument must be 'yes' or 'no'".to_owned())
}

/// One of a few words, in any case.
pub fn choice<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, Refusal> {
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let all: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        format!("argument(s) must be one of the following: {}", all.join(", "))
    })
}

/// The word of a value that [`choice`] reads.
pub fn word<T: PartialEq>(value: T, words: &[(&'static str, T)]) -> String {
    words.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| word).to_owned()
}

/// A setting that has one value here; it exists because tools ask for it.
pub fn only(text: &str, value: &str, why: &str) -> Result<(), Refusal> {
    if text == value { Ok(()) } else { Err(format!("argument must be '{value}': {why}")) }
}

/// Addresses to listen on; `*` and `::*` are every one. A leading `-` (skip if there is none) is not supported.
pub fn addresses(text: &str) -> Result<Vec<IpAddr>, Refusal> {
    let address = |word: &str| match word {
        "*" => Ok(IpAddr::from([0, 0, 0, 0])),
        "::*" => Ok(IpAddr::from([0u16; 8])),
        "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
        _ => word.parse().map_err(|_| format!("'{word}' is not an IP address")),
    };
    let all: Vec<IpAddr> = text.split_whitespace().map(address).collect::<Result<_, _>>()?;
    if all.is_empty() { Err("at least one address is needed".to_owned()) } else { Ok(all) }
}

/// `<host> <port>` of a primary; nothing, or `no one`, is none.
pub fn primary(text: &str) -> Result<Option<Primary>, Refusal> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        [] => Ok(None),
        [no, one] if no.eq_ignore_ascii_case("no") && one.eq_ignore_ascii_case("one") => Ok(None),
        [host, port] => match port.parse() {
            Ok(port) if port > 0 => Ok(Some(Primary { host: (*host).to_owned(), port })),
            _ => Err("Invalid master port".to_owned()),
        },
        _ => Err("wrong number of arguments".to_owned()),
    }
}

/// A number from 0 to 1.
pub fn ratio(text: &str) -> Result<f64, Refusal> {
    let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "argument must be between 0 and 1 inclusive".to_owned())
}

/// Numbers from 0 to 100.
pub fn percentiles(text: &str) -> Result<Vec<f64>, Refusal> {
    let one = |word: &str| {
        let number = word.parse().map_err(|_| "Invalid latency-tracking-info-percentiles parameters".to_owned())?;
        if (0.0..=100.0).contains(&number) { Ok(number) } else { Err("percentiles are from 0.0 to 100.0".to_owned()) }
    };
    text.split_whitespace().map(one).collect()
}

/// `<class> <hard> <soft> <seconds>`, once or several times. Classes that are not named stay as they are.
pub fn output_limits(text: &str, before: OutputLimits) -> Result<OutputLimits, Refusal> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut limits = before;
    let bad = |_| "Error in hard, soft or soft_seconds setting in buffer limit configuration.".to_owned();
    let (parts, rest) = words.as_chunks::<4>();
    if parts.is_empty() || !rest.is_empty() {
        return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
    }
    for [class, hard, soft, seconds] in parts {
        let limit = match class.to_ascii_lowercase().as_str() {
            "normal" => &mut limits.normal,
            "pubsub" => &mut limits.pubsub,
            _ => return Err("Invalid client class specified in buffer limit configuration.".to_owned()),
        };
        *limit = OutputLimit {
            hard_bytes: memory(hard, 0..=i64::MAX).map_err(bad)?,
            soft_bytes: memory(soft, 0..=i64::MAX).map_err(bad)?,
            soft_s: integer(seconds, 0..=i64::from(i32::MAX)).map_err(bad)?,
        };
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_the_units_of_redis() {
        for (text, value) in [("0", 0), ("1k", 1000), ("1Kb", 1024), ("2mb", 2 << 20), ("1G", 1_000_000_000)] {
            assert_eq!(memory(text, 0..=i64::MAX), Ok(value), "{text}");
        }
        for text in ["", "mb", "1.5mb", "-1", "1tb", "99999999999gb"] {
            assert!(memory(text, 0..=i64::MAX).is_err(), "{text}");
        }
        assert_eq!(memory("5", 10..=20), Err("argument must be between 10 and 20 inclusive".into()));
    }
}
