//! `$stdDevPop` and `$stdDevSamp`: how far the numbers lie from their mean.

use veddb_storage::document::Value;
use veddb_storage::document::expression::reckon::number;

use super::{AccumulatorOperator, Plain, State};

pub(super) const ACCUMULATORS: &[AccumulatorOperator] = &[
    AccumulatorOperator {
        name: "$stdDevPop",
        summary: "The standard deviation of the numbers; null if there is none.",
        parse: |reader, operand| Plain::parse(reader, operand, || Deviation::boxed(0)),
    },
    AccumulatorOperator {
        name: "$stdDevSamp",
        summary: "The standard deviation estimated from the numbers as a sample; null if there are less than two.",
        parse: |reader, operand| Plain::parse(reader, operand, || Deviation::boxed(1)),
    },
];

/// With more of the squares lost than this part of them, what is left is mostly rounding.
const LOST_MAX: f64 = 1e-4;

/// Each number taken out leaves a little rounding. No more are taken out than this part of those that stay, so that a small
/// window is always added up anew and a large one now and then.
const REMOVED_PART: u64 = 64;

/// Welford's sums, which do not lose small deviations from a large mean.
#[derive(Debug)]
struct Deviation {
    /// How many numbers less divide the squares: 1 for a sample.
    less: u64,
    count: u64,
    mean: f64,
    squares: f64,
    /// Infinities and NaN among them.
    beyond: u64,
    slides: bool,
    removed: u64,
}

impl Deviation {
    fn boxed(less: u64) -> Box<dyn State> {
        Box::new(Deviation { less, count: 0, mean: 0.0, squares: 0.0, beyond: 0, slides: false, removed: 0 })
    }

    fn finite(&self) -> f64 {
        (self.count - self.beyond) as f64
    }
}

impl State for Deviation {
    fn add(&mut self, value: Option<Value>) -> Result<usize, String> {
        let Some(n) = value.as_ref().and_then(number) else { return Ok(0) };
        self.count += 1;
        if !n.is_finite() {
            self.beyond += 1;
            return Ok(0);
        }
        let delta = n - self.mean;
        self.mean += delta / self.finite();
        self.squares += delta * (n - self.mean);
        Ok(0)
    }

    fn save(&self) -> Value {
        let count = |n: u64| Value::Int64(i64::try_from(n).unwrap_or(i64::MAX));
        let (mean, squares) = (Value::Double(self.mean), Value::Double(self.squares));
        Value::Array(vec![count(self.count), mean, squares, count(self.beyond)])
    }

    fn absorb(&mut self, saved: Value) -> Result<usize, String> {
        let Some([count, Value::Double(mean), Value::Double(squares), beyond]) = saved.as_array() else {
            return Ok(0);
        };
        let whole = |value: &Value| value.as_integer().and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        let (own, other) = (self.finite(), (whole(count) - whole(beyond)) as f64);
        self.count += whole(count);
        self.beyond += whole(beyond);
        if other > 0.0 {
            let delta = mean - self.mean;
            self.mean += delta * other / (own + other);
            self.squares += squares + delta * delta * own * other / (own + other);
        }
        Ok(0)
    }

    fn value(&self) -> Result<Option<Value>, String> {
        let value = match self.count.checked_sub(self.less) {
            None | Some(0) => Value::Null,
            Some(_) if self.beyond > 0 && self.slides => Value::Null,
            Some(_) if self.beyond > 0 => Value::Double(f64::NAN),
            Some(count) => Value::Double((self.squares.max(0.0) / count as f64).sqrt()),
        };
        Ok(Some(value))
    }

    fn slide(&mut self) {
        self.slides = true;
    }

    fn remove(&mut self, value: &Option<Value>) -> bool {
        let Some(n) = value.as_ref().and_then(number) else { return true };
        self.count = self.count.saturating_sub(1);
        if !n.is_finite() {
            self.beyond = self.beyond.saturating_sub(1);
            return true;
        }
        let left = self.finite();
        if left == 0.0 {
            (self.mean, self.squares) = (0.0, 0.0);
            return true;
        }
        let (delta, before) = (n - self.mean, self.squares);
        self.mean -= delta / left;
        self.squares -= delta * (n - self.mean);
        self.removed += 1;
        self.removed * REMOVED_PART < self.count && self.squares > before * LOST_MAX
    }
}
