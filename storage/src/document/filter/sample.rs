//! `$sampleRate`: chance.

use super::super::codec::{RawObject, ValueRef};
use super::{Asking, DocumentTest, FilterError, Node, Parser};

/// True of so much of all documents, from 0 to 1.
#[derive(Debug)]
struct SampleRate(f64);

/// Reads `$sampleRate`.
pub(super) fn parse(_: &mut Parser<'_>, operand: ValueRef<'_>) -> Result<Option<Node>, FilterError> {
    let rate = match operand {
        ValueRef::Int32(n) => f64::from(n),
        ValueRef::Int64(n) => n as f64,
        ValueRef::Double(n) => n,
        _ => f64::NAN,
    };
    if !(0.0..=1.0).contains(&rate) {
        return Err(FilterError("$sampleRate: needs a number from 0 to 1".into()));
    }
    Ok(Some(Node::Document(Box::new(SampleRate(rate)))))
}

impl DocumentTest for SampleRate {
    fn passes(&self, _: RawObject<'_>, _: &Asking<'_>) -> bool {
        rand::random::<f64>() < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Filter, FilterLimits};
    use super::*;

    #[test]
    fn shares() {
        let share = |rate: &str| {
            let filter =
                Filter::parse(format!("{{\"$sampleRate\":{rate}}}").as_bytes(), &FilterLimits::default()).unwrap();
            (0..1000).filter(|_| filter.test(RawObject::from_body(&[0; 4]), 0).unwrap()).count()
        };
        assert_eq!((share("0"), share("1.0")), (0, 1000));
        assert!((300..700).contains(&share("0.5")));
        for bad in ["2", "-1", "\"x\""] {
            let text = format!("{{\"$sampleRate\":{bad}}}");
            assert!(Filter::parse(text.as_bytes(), &FilterLimits::default()).is_err(), "{bad}");
        }
    }
}
