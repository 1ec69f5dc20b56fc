//! Sums of numbers of all types, out of which numbers can be taken again.
//!
//! Whole numbers are summed exactly, doubles with what rounding loses, decimals as decimals. Infinities and NaN are only
//! counted, so that they can be taken out as well. The widest type that went in is the result's.

use dec::{Context, Decimal128};

use super::super::value::Value;
use super::number::{Width, decimal, double, exact_decimal, integer, whole, width};

/// A sum that keeps what doubles round away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    whole: i128,
    double: Exact,
    decimal: Option<Decimal128>,
    /// How many ints, longs, doubles and decimals there are.
    counts: [u64; 4],
    nans: u64,
    /// Infinities: above zero and below.
    above: u64,
    below: u64,
}

/// A double and what its rounding lost.
#[derive(Debug, Clone, Copy, Default)]
struct Exact {
    sum: f64,
    rest: f64,
}

impl Exact {
    fn add(&mut self, n: f64) {
        // Knuth's two-sum: what the rounded sum lacks.
        let sum = self.sum + n;
        let shadow = sum - n;
        let lost = (self.sum - shadow) + (n - (sum - shadow));
        self.sum = sum;
        if lost.is_finite() {
            self.rest += lost;
        }
    }

    fn value(&self) -> f64 {
        if self.sum.is_finite() { self.sum + self.rest } else { self.sum }
    }
}

impl Sum {
    /// Adds a number; anything else does not count.
    pub fn add(&mut self, value: &Value) {
        if let Some(wide) = width(value) {
            self.change(value, 1);
            if let Some(count) = self.counts.get_mut(wide as usize) {
                *count += 1;
            }
        }
    }

    /// Takes a number out that was added. False where that cannot be: then the sum is of no use any more.
    #[must_use]
    pub fn remove(&mut self, value: &Value) -> bool {
        if let Some(wide) = width(value) {
            self.change(value, -1);
            if let Some(count) = self.counts.get_mut(wide as usize) {
                *count = count.saturating_sub(1);
            }
        }
        self.double.sum.is_finite() && self.decimal.is_none_or(|sum| sum.is_finite())
    }

    fn change(&mut self, value: &Value, sign: i8) {
        let count = |count: &mut u64| *count = count.saturating_add_signed(i64::from(sign));
        let wide = double(value);
        match value {
            Value::Decimal(n) if n.is_finite() => {
                let n = if sign < 0 { -*n } else { *n };
                self.decimal = Some(self.decimal.map_or(n, |sum| sum + n));
            }
            Value::Double(n) if n.is_finite() => self.double.add(f64::from(sign) * n),
            _ if wide.is_nan() => count(&mut self.nans),
            _ if wide.is_infinite() && wide > 0.0 => count(&mut self.above),
            _ if wide.is_infinite() => count(&mut self.below),
            other => self.whole += i128::from(sign) * i128::from(integer(other).unwrap_or(0)),
        }
    }

    /// The whole state, for [`Sum::absorb`].
    pub fn save(&self) -> Value {
        let count = |n: u64| Value::Int64(i64::try_from(n).unwrap_or(i64::MAX));
        let mut saved = vec![
            Value::String(self.whole.to_string()),
            Value::Double(self.double.sum),
            Value::Double(self.double.rest),
            self.decimal.map_or(Value::Null, Value::Decimal),
        ];
        saved.extend(self.counts.into_iter().chain([self.nans, self.above, self.below]).map(count));
        Value::Array(saved)
    }

    /// Adds what another one had summed when it was saved.
    pub fn absorb(&mut self, saved: &Value) {
        let Some([whole, sum, rest, decimal, counts @ ..]) = saved.as_array() else { return };
        self.whole += whole.as_str().and_then(|text| text.parse::<i128>().ok()).unwrap_or(0);
        for part in [sum, rest] {
            if let Value::Double(n) = part {
                self.double.add(*n);
            }
        }
        if let Value::Decimal(n) = decimal {
            self.decimal = Some(self.decimal.map_or(*n, |sum| sum + *n));
        }
        let own = self.counts.iter_mut().chain([&mut self.nans, &mut self.above, &mut self.below]);
        for (own, other) in own.zip(counts) {
            *own += other.as_integer().and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        }
    }

    /// What infinities and NaN make of it, if there are any.
    fn beyond(&self) -> Option<f64> {
        match (self.nans, self.above, self.below) {
            (0, 0, 0) => None,
            (0, _, 0) => Some(f64::INFINITY),
            (0, 0, _) => Some(f64::NEG_INFINITY),
            _ => Some(f64::NAN),
        }
    }

    fn total(&self) -> f64 {
        let mut total = self.double;
        // A long has more digits than a double: its last 32 bits go in by themselves.
        let low = self.whole & 0xffff_ffff;
        total.add((self.whole - low) as f64);
        total.add(low as f64);
        self.beyond().unwrap_or_else(|| total.value())
    }

    fn decimal_total(&self) -> Decimal128 {
        if let Some(beyond) = self.beyond() {
            return decimal(&Value::Double(beyond));
        }
        // Nothing and minus zero are zero.
        let mut total = self.decimal.unwrap_or_default() + Decimal128::from(0);
        if self.whole != 0 {
            total += self.whole.to_string().parse().unwrap_or(Decimal128::NAN);
        }
        for part in [self.double.sum, self.double.rest] {
            if part != 0.0 {
                // Without the zeros that the conversion fills it up with.
                let part = if part.is_finite() { exact_decimal(part) } else { decimal(&Value::Double(part)) };
                total += Context::<Decimal128>::default().reduce(part);
            }
        }
        total
    }

    fn has(&self, width: Width) -> bool {
        self.counts.get(width as usize).is_some_and(|count| *count > 0)
    }

    /// How many numbers it is of.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum.
    pub fn value(&self) -> Value {
        if self.has(Width::Decimal) {
            return Value::Decimal(self.decimal_total());
        }
        let width = if self.has(Width::Long) { Width::Long } else { Width::Int };
        match i64::try_from(self.whole) {
            Ok(n) if !self.has(Width::Double) => whole(n, width),
            _ => Value::Double(self.total()),
        }
    }

    /// The mean; null of nothing.
    pub fn mean(&self) -> Value {
        match self.count() {
            0 => Value::Null,
            count if self.has(Width::Decimal) => Value::Decimal(self.decimal_total() / Decimal128::from(count)),
            count => Value::Double(self.total() / count as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::json::{ParseLimits, parse_value, render_value};
    use super::super::super::{ValueRef, codec};
    use super::*;

    fn values(text: &str) -> Vec<Value> {
        let packed = parse_value(text.as_bytes(), ParseLimits { depth: 10, size: 1 << 20 }).unwrap();
        let ValueRef::Array(values) = packed.get() else { panic!("an array") };
        values.iter().map(ValueRef::to_value).collect()
    }

    fn text(value: &Value) -> String {
        let mut out = Vec::new();
        render_value(&mut out, codec::pack_value(value).get());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_widest_type_counts_and_nothing_is_lost() {
        for (input, sum, mean) in [
            ("[]", "0", "null"),
            (r#"[1,"x",null,2]"#, "3", "1.5"),
            ("[9223372036854775807,100,-100]", "9223372036854775807", "3.0744573456182584e18"),
            ("[9223372036854775807,1]", "9.223372036854776e18", "4.611686018427388e18"),
            ("[1e308,1e308]", "Infinity", "Infinity"),
            ("[0.1,0.2,0.3]", "0.6", "0.19999999999999998"),
            (r#"[2.5,{"$numberDecimal":"3.5"}]"#, "6.0", "3.0"),
            (r#"[9223372036854775807,1,0.0,{"$numberDecimal":"0"}]"#, "9223372036854775808", "2305843009213693952"),
        ] {
            let mut whole = Sum::default();
            let mut saved = Sum::default();
            let values = values(input);
            values.iter().for_each(|value| whole.add(value));
            let (first, second) = values.split_at(values.len() / 2);
            for half in [first, second] {
                let mut part = Sum::default();
                half.iter().for_each(|value| part.add(value));
                saved.absorb(&part.save());
            }
            let plain = |value: &Value| match value {
                Value::Decimal(n) => n.to_string(),
                Value::Double(n) if !n.is_finite() => "Infinity".to_owned(),
                other => text(other),
            };
            assert_eq!((plain(&whole.value()), plain(&whole.mean())), (sum.to_owned(), mean.to_owned()), "{input}");
            assert_eq!(plain(&saved.value()), sum, "in two parts: {input}");
        }
    }

    #[test]
    fn what_is_taken_out_is_gone() {
        let mut sum = Sum::default();
        let all = [Value::Double(f64::INFINITY), Value::Double(0.1), Value::Int64(1 << 40), Value::Double(f64::NAN)];
        sum.add(&Value::Int32(7));
        all.iter().for_each(|value| sum.add(value));
        assert!(matches!(sum.value(), Value::Double(n) if n.is_nan()));
        assert!(all.iter().all(|value| sum.remove(value)));
        assert!(matches!(sum.value(), Value::Int32(7)), "{:?}", sum.value());
    }
}
