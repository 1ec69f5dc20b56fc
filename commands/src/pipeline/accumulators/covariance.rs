//! `$covariancePop` and `$covarianceSamp`: how two numbers of each row vary together. They are functions of windows only.

use veddb_storage::document::Value;
use veddb_storage::document::expression::Sum;
use veddb_storage::document::expression::reckon::{minus, number, over, times};

use super::{AccumulatorOperator, Plain, State};

pub(in crate::pipeline) const OPERATORS: &[AccumulatorOperator] = &[
    AccumulatorOperator {
        name: "$covariancePop",
        summary: "The covariance of two numbers of each row, given as an array; null if no row has them.",
        parse: |reader, operand| Plain::parse(reader, operand, || Covariance::boxed(0)),
    },
    AccumulatorOperator {
        name: "$covarianceSamp",
        summary: "The covariance of two numbers of each row, estimated from the rows as a sample.",
        parse: |reader, operand| Plain::parse(reader, operand, || Covariance::boxed(1)),
    },
];

/// Rows with an infinity or NaN only have their say in the result; the means are those of the others.
#[derive(Debug, Default)]
struct Covariance {
    /// How many rows less divide the products: 1 for a sample.
    less: u64,
    count: u64,
    x: Sum,
    y: Sum,
    /// The products of what the numbers differ by from their means.
    products: Sum,
    /// Rows that NaN, infinity and minus infinity are the product of.
    beyond: Sum,
}

fn pair(value: &Option<Value>) -> Option<(&Value, &Value)> {
    match value.as_ref()?.as_array()? {
        [x, y] if number(x).is_some() && number(y).is_some() => Some((x, y)),
        _ => None,
    }
}

/// The infinity or NaN that one of the two is, or that both come to.
fn beyond(x: &Value, y: &Value) -> Option<Value> {
    let far =
        |n: &Value| number(n).filter(|_| !matches!(n, Value::Decimal(n) if n.is_finite())).filter(|n| !n.is_finite());
    match (far(x), far(y)) {
        (None, None) => None,
        (Some(n), None) | (None, Some(n)) => Some(Value::Double(n)),
        (Some(a), Some(b)) => Some(Value::Double(if a == b { a } else { f64::NAN })),
    }
}

impl Covariance {
    fn boxed(less: u64) -> Box<dyn State> {
        Box::new(Covariance { less, ..Covariance::default() })
    }

    fn mean(&self, sum: &Sum) -> Value {
        match i64::try_from(self.count) {
            Ok(count) if count > 0 => over(&sum.value(), &Value::Int64(count)),
            _ => Value::Int32(0),
        }
    }
}

impl State for Covariance {
    fn add(&mut self, value: Option<Value>) -> Result<usize, String> {
        let Some((x, y)) = pair(&value) else { return Ok(0) };
        if let Some(n) = beyond(x, y) {
            self.beyond.add(&n);
            return Ok(0);
        }
        let mean_x = self.mean(&self.x);
        self.count += 1;
        self.x.add(x);
        self.y.add(y);
        self.products.add(&times(&minus(x, &mean_x), &minus(y, &self.mean(&self.y))));
        Ok(0)
    }

    fn save(&self) -> Value {
        // No group has such a state, so that none is ever written to a file.
        Value::Null
    }

    fn absorb(&mut self, _: Value) -> Result<usize, String> {
        Ok(0)
    }

    fn value(&self) -> Result<Option<Value>, String> {
        let value = match self.count.checked_sub(self.less) {
            None | Some(0) => Value::Null,
            Some(1) if self.less == 0 => Value::Double(0.0),
            Some(_) if self.beyond.count() > 0 => self.beyond.value(),
            Some(count) => over(&self.products.value(), &Value::Int64(i64::try_from(count).unwrap_or(i64::MAX))),
        };
        Ok(Some(value))
    }

    fn remove(&mut self, value: &Option<Value>) -> bool {
        let Some((x, y)) = pair(value) else { return true };
        if let Some(n) = beyond(x, y) {
            return self.beyond.remove(&n);
        }
        let mean_y = self.mean(&self.y);
        self.count = self.count.saturating_sub(1);
        if self.count == 0 {
            *self = Covariance { less: self.less, beyond: self.beyond, ..Covariance::default() };
            return true;
        }
        let fine = self.x.remove(x) && self.y.remove(y);
        let product = times(&minus(x, &self.mean(&self.x)), &minus(y, &mean_y));
        // Its type stays, so that the result's does not depend on what was in the window before.
        self.products.add(&minus(&Value::Int32(0), &product));
        fine
    }
}
