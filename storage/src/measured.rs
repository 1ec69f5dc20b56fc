//! How often something happened, and how long it took or how large it was, counted where it happens.
//!
//! Owns the histogram that figures are read from. Does not know what is measured, nor how it is shown.

use hdrhistogram::Histogram;

/// Values of one thing since its start: their distribution to two digits, and their sum to the last.
#[derive(Debug, Clone)]
pub struct Measured {
    histogram: Histogram<u64>,
    sum: u64,
}

impl Measured {
    /// None yet. Values above `most` are not told apart from it; it is at least 2.
    pub fn up_to(most: u64) -> Measured {
        let histogram = Histogram::new_with_bounds(1, most.max(2), 2);
        Measured {
            histogram: histogram.expect("the bounds are 1 and at least twice that, and two digits are few"),
            sum: 0,
        }
    }

    /// One more.
    pub fn note(&mut self, value: u64) {
        self.histogram.saturating_record(value.max(1));
        self.sum = self.sum.saturating_add(value);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// All of them together.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// How many are no larger than this. Exact where it is one less than a power of two, since buckets end there; elsewhere those count
    /// too that differ from it in the third digit.
    pub fn at_most(&self, value: u64) -> u64 {
        if value >= self.histogram.high() { self.count() } else { self.histogram.count_between(0, value) }
    }

    /// What so many of a hundred do not exceed; 0 where there is none.
    pub fn percentile(&self, of_100: f64) -> u64 {
        self.histogram.value_at_quantile(of_100 / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_up_to_powers_of_two_are_exact() {
        let mut measured = Measured::up_to(60_000_000);
        assert_eq!((measured.count(), measured.sum(), measured.at_most(1 << 40)), (0, 0, 0));
        for value in [0, 1, 1023, 1024, 1025, 65_535, 65_536, 90_000_000] {
            measured.note(value);
        }
        assert_eq!(measured.count(), 8);
        assert_eq!(measured.sum(), 1 + 1023 + 1024 + 1025 + 65_535 + 65_536 + 90_000_000);
        let at_most = |shift: u32| measured.at_most((1 << shift) - 1);
        assert_eq!([at_most(1), at_most(10), at_most(11), at_most(16), at_most(17)], [2, 3, 5, 6, 7]);
        assert_eq!(measured.at_most(60_000_000), 8, "what is longer than can be told apart is the longest");
        assert!(measured.percentile(100.0) >= 60_000_000);
    }
}
