//! `window`: which rows of a partition a function looks at from one of them.
//!
//! A [`Frame`] follows the current row; both of its ends only go forward.

use veddb_storage::document::expression::DateUnit;
use veddb_storage::document::expression::reckon::{number, plus};
use veddb_storage::document::order::compare_values;
use veddb_storage::document::{Value, ValueRef};

use crate::pipeline::accumulators::size_of_value;
use crate::pipeline::parse::{members, object};

/// A parsed window.
#[derive(Debug, Clone)]
pub(super) enum Bounds {
    /// From so many rows away to so many; none is the partition's end.
    Documents(Option<i64>, Option<i64>),
    /// From so much away by the sort key to so much; with a unit the keys are dates.
    Range(Option<Value>, Option<Value>, Option<DateUnit>),
}

impl Bounds {
    /// The whole partition.
    pub(super) const WHOLE: Bounds = Bounds::Documents(None, None);

    /// Reads what stands beside a function.
    pub(super) fn parse(window: ValueRef<'_>) -> Result<Bounds, String> {
        let [documents, range, unit] = members(window, ["documents", "range", "unit"])?;
        let unit = match unit {
            None => None,
            Some(ValueRef::String(name)) => {
                Some(DateUnit::named(name).ok_or_else(|| format!("unit: unknown unit {name:?}"))?)
            }
            Some(other) => return Err(format!("unit must be a string, not {}", other.kind().name())),
        };
        let bounds = match (documents, range) {
            (Some(_), Some(_)) => return Err("has either documents or range".into()),
            (_, None) if unit.is_some() => return Err("unit needs a range".into()),
            (None, None) => Bounds::WHOLE,
            (Some(documents), None) => {
                let whole = |value: &Value| value.as_integer().ok_or("needs whole numbers");
                let [lower, upper] = ends(documents).map_err(|what| format!("documents: {what}"))?;
                let whole = |end: Option<Value>| end.as_ref().map(whole).transpose();
                let bounds = whole(lower).and_then(|lower| Ok((lower, whole(upper)?)));
                let (lower, upper) = bounds.map_err(|what| format!("documents: {what}"))?;
                Bounds::Documents(lower, upper)
            }
            (None, Some(range)) => {
                let [lower, upper] = ends(range).map_err(|what| format!("range: {what}"))?;
                let fraction = |end: &Option<Value>| end.as_ref().is_some_and(|end| end.as_integer().is_none());
                if unit.is_some() && (fraction(&lower) || fraction(&upper)) {
                    return Err("range: needs whole numbers of a unit".into());
                }
                Bounds::Range(lower, upper, unit)
            }
        };
        let backwards = match &bounds {
            Bounds::Documents(Some(lower), Some(upper)) => lower > upper,
            Bounds::Range(Some(lower), Some(upper), _) => compare_values(lower, upper).is_gt(),
            _ => false,
        };
        if backwards { Err("the lower bound is above the upper one".into()) } else { Ok(bounds) }
    }

    /// Whether it is the whole partition, seen from any row.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Bounds::Documents(None, None) | Bounds::Range(None, None, _))
    }

    /// Whether it is all rows up to the current one.
    pub(super) fn is_running(&self) -> bool {
        matches!(self, Bounds::Documents(None, Some(0)))
    }

    /// Whether rows go out of it as it moves.
    pub(super) fn slides(&self) -> bool {
        matches!(self, Bounds::Documents(Some(_), _) | Bounds::Range(Some(_), ..))
    }
}

/// `"unbounded"` is none, `"current"` zero.
fn ends(bounds: ValueRef<'_>) -> Result<[Option<Value>; 2], String> {
    let ValueRef::Array(list) = bounds else { return Err("needs an array of two bounds".into()) };
    let mut ends = Vec::new();
    for bound in list.iter() {
        ends.push(match bound {
            ValueRef::String("unbounded") => None,
            ValueRef::String("current") => Some(Value::Int32(0)),
            other if other.kind().is_number() => Some(other.to_value()),
            _ => return Err("a bound is \"unbounded\", \"current\" or a number".into()),
        });
    }
    ends.try_into().map_err(|_| "needs an array of two bounds".into())
}

/// The window of the current row. Rows are counted from 0.
#[derive(Debug)]
pub(super) struct Frame {
    bounds: Bounds,
    /// The sort keys of a range.
    keys: Vec<Value>,
    count: usize,
    at: usize,
    /// The first row in it, and the first one after it.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) bytes: usize,
}

impl Frame {
    /// That of the first row of a partition, once it is asked for.
    pub(super) fn new(bounds: &Bounds) -> Frame {
        Frame { bounds: bounds.clone(), keys: Vec::new(), count: 0, at: 0, start: 0, end: 0, bytes: 0 }
    }

    /// One more row of the partition.
    pub(super) fn take(&mut self, key: Option<&Value>) -> Result<(), String> {
        self.count += 1;
        let Bounds::Range(_, _, unit) = &self.bounds else { return Ok(()) };
        match (key, unit) {
            (Some(key @ Value::Date(_)), Some(_)) => self.push(key),
            (Some(key), None) if number(key).is_some() => self.push(key),
            (key, unit) => {
                let wanted = if unit.is_some() { "a date" } else { "a number" };
                let found = key.map_or("missing", |key| key.kind().name());
                return Err(format!("range: sortBy must be {wanted}, not {found}"));
            }
        }
        Ok(())
    }

    fn push(&mut self, key: &Value) {
        self.bytes += size_of_value(key);
        self.keys.push(key.clone());
    }

    /// Goes to the next row, the first time to the first.
    pub(super) fn step(&mut self) {
        let at = self.at;
        self.at += 1;
        let away = |end: Option<i64>, beyond: usize, more: i64| match end {
            None => beyond,
            Some(end) => {
                let at = i64::try_from(at).unwrap_or(i64::MAX).saturating_add(end).saturating_add(more).max(0);
                usize::try_from(at).unwrap_or(usize::MAX)
            }
        };
        match &self.bounds {
            Bounds::Documents(lower, upper) => {
                self.start = away(*lower, 0, 0).min(self.count);
                self.end = away(*upper, self.count, 1).min(self.count);
            }
            Bounds::Range(lower, upper, unit) => {
                let Some(key) = self.keys.get(at) else { return };
                let (lower, upper) =
                    (lower.as_ref().map(|n| far(key, n, *unit)), upper.as_ref().map(|n| far(key, n, *unit)));
                let rest = self.keys.get(self.start..).unwrap_or_default();
                self.start +=
                    lower.map_or(0, |lower| rest.iter().take_while(|k| compare_values(k, &lower).is_lt()).count());
                let rest = self.keys.get(self.end..).unwrap_or_default();
                self.end += match upper {
                    None => rest.len(),
                    Some(upper) => rest.iter().take_while(|k| compare_values(k, &upper).is_le()).count(),
                };
            }
        }
        self.end = self.end.max(self.start);
    }
}

/// The key so much away; beyond the range of dates their last one.
fn far(key: &Value, by: &Value, unit: Option<DateUnit>) -> Value {
    match (key, unit) {
        (Value::Date(ms), Some(unit)) => {
            let by = by.as_integer().unwrap_or(0);
            Value::Date(unit.after(*ms, by).unwrap_or(if by < 0 { i64::MIN } else { i64::MAX }))
        }
        _ => plus(key, by),
    }
}

/// The `window` member of an output field, and the function beside it.
pub(super) type Field<'v> = (&'v str, ValueRef<'v>, Option<ValueRef<'v>>);

/// Takes an output field apart.
pub(super) fn field(value: ValueRef<'_>) -> Result<Field<'_>, String> {
    let (mut function, mut window) = (None, None);
    for (name, value) in object(value)?.iter() {
        match name {
            "window" => window = Some(value),
            name if !name.starts_with('$') => return Err(format!("unknown member {name}")),
            name if function.is_some() => return Err(format!("{name}: there is a function already")),
            name => function = Some((name, value)),
        }
    }
    let (name, operand) = function.ok_or("needs a function")?;
    Ok((name, operand, window))
}
