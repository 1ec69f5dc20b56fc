//! The series of preferred numbers that `$bucketAuto` rounds to: Renard's (ISO 3), 1-2-5, E (IEC 60063) and powers of two.

const R5: &[u16] = &[10, 16, 25, 40, 63];
const R10: &[u16] = &[100, 125, 160, 200, 250, 315, 400, 500, 630, 800];
const R20: &[u16] =
    &[100, 112, 125, 140, 160, 180, 200, 224, 250, 280, 315, 355, 400, 450, 500, 560, 630, 710, 800, 900];
const R40: &[u16] = &[
    100, 106, 112, 118, 125, 132, 140, 150, 160, 170, 180, 190, 200, 212, 224, 236, 250, 265, 280, 300, 315, 335, 355,
    375, 400, 425, 450, 475, 500, 530, 560, 600, 630, 670, 710, 750, 800, 850, 900, 950,
];
const R80: &[u16] = &[
    103, 109, 115, 122, 128, 136, 145, 155, 165, 175, 185, 195, 206, 218, 230, 243, 258, 272, 290, 307, 325, 345, 365,
    387, 412, 437, 462, 487, 515, 545, 575, 615, 650, 690, 730, 775, 825, 875, 925, 975,
];
const ONE_TWO_FIVE: &[u16] = &[10, 20, 50];
const E6: &[u16] = &[10, 15, 22, 33, 47, 68];
const E12: &[u16] = &[10, 12, 15, 18, 22, 27, 33, 39, 47, 56, 68, 82];
const E24: &[u16] = &[10, 11, 12, 13, 15, 16, 18, 20, 22, 24, 27, 30, 33, 36, 39, 43, 47, 51, 56, 62, 68, 75, 82, 91];

/// A series of numbers to round to.
#[derive(Debug)]
pub(super) enum Granularity {
    /// These, and all tenfolds of them; ascending, the last less than ten times the first.
    Series(Vec<f64>),
    PowersOfTwo,
}

impl Granularity {
    /// The series of this name.
    pub(super) fn named(name: &str) -> Option<Granularity> {
        let listed = |numbers: &[u16]| numbers.iter().map(|n| f64::from(*n)).collect();
        // The finer E series are the powers themselves, rounded to three digits.
        let powers = |count: u16| (0..count).map(|at| power(at, count)).collect();
        Some(Granularity::Series(match name {
            "R5" => listed(R5),
            "R10" => listed(R10),
            "R20" => listed(R20),
            "R40" => listed(R40),
            "R80" => {
                let mut numbers: Vec<f64> = listed(R40);
                numbers.extend(R80.iter().map(|n| f64::from(*n)));
                numbers.sort_by(f64::total_cmp);
                numbers
            }
            "1-2-5" => listed(ONE_TWO_FIVE),
            "E6" => listed(E6),
            "E12" => listed(E12),
            "E24" => listed(E24),
            "E48" => powers(48),
            "E96" => powers(96),
            "E192" => powers(192),
            "POWERSOF2" => return Some(Granularity::PowersOfTwo),
            _ => return None,
        }))
    }

    /// The next greater number of the series; zero stays.
    pub(super) fn up(&self, n: f64) -> f64 {
        if n == 0.0 || !n.is_finite() {
            return n;
        }
        match self {
            Granularity::PowersOfTwo => {
                let floor = n.log2().floor();
                let candidates = [floor - 1.0, floor, floor + 1.0, floor + 2.0].map(f64::exp2);
                candidates.into_iter().find(|candidate| *candidate > n).unwrap_or(f64::INFINITY)
            }
            Granularity::Series(series) => {
                let mut candidates = around(series, n);
                candidates.find(|candidate| *candidate > n).unwrap_or(f64::INFINITY)
            }
        }
    }

    /// The next less number of the series; zero stays.
    pub(super) fn down(&self, n: f64) -> f64 {
        if n == 0.0 || !n.is_finite() {
            return n;
        }
        match self {
            Granularity::PowersOfTwo => {
                let ceiling = n.log2().ceil();
                let candidates = [ceiling + 1.0, ceiling, ceiling - 1.0, ceiling - 2.0].map(f64::exp2);
                candidates.into_iter().find(|candidate| *candidate < n).unwrap_or(0.0)
            }
            Granularity::Series(series) => around(series, n).filter(|candidate| *candidate < n).last().unwrap_or(0.0),
        }
    }
}

/// The numbers of a series in the decades around a number, ascending.
fn around(series: &[f64], n: f64) -> impl Iterator<Item = f64> {
    let first = series.first().copied().unwrap_or(1.0);
    let decade = (n.log10() - first.log10()).floor() as i32;
    (decade - 1..=decade + 1).flat_map(move |decade| series.iter().map(move |number| scaled(*number, decade)))
}

/// The number with its point moved. It is divided by whole numbers, since tenths are none.
fn scaled(number: f64, places: i32) -> f64 {
    // A double's own powers of ten end before the least doubles do.
    const MOST: i32 = 300;
    match places {
        0.. => number * 10f64.powi(places),
        _ if places < -MOST => number / 10f64.powi(MOST) / 10f64.powi(-places - MOST),
        _ => number / 10f64.powi(-places),
    }
}

/// The number of this place among so many in a decade.
fn power(at: u16, count: u16) -> f64 {
    match (at, count) {
        // 919 by its power; the standard has kept what was once misprinted.
        (185, 192) => 920.0,
        _ => (100.0 * 10f64.powf(f64::from(at) / f64::from(count))).round(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_neighbours_in_a_series() {
        for (name, n, down, up) in [
            ("R5", 1.0, 0.63, 1.6),
            ("R5", 100.0, 63.0, 160.0),
            ("R20", 1.3, 1.25, 1.4),
            ("R80", 1.04, 1.03, 1.06),
            ("1-2-5", 1.0, 0.5, 2.0),
            ("1-2-5", 7e9, 5e9, 1e10),
            ("E6", 0.0047, 0.0033, 0.0068),
            ("E24", 1.0, 0.91, 1.1),
            ("E48", 1.06, 1.05, 1.1),
            ("E96", 9.8, 9.76, 10.0),
            ("E192", 9.15, 9.09, 9.2),
            ("POWERSOF2", 1.0, 0.5, 2.0),
            ("POWERSOF2", 1000.0, 512.0, 1024.0),
            ("POWERSOF2", 0.0, 0.0, 0.0),
        ] {
            let granularity = Granularity::named(name).unwrap();
            assert_eq!((granularity.down(n), granularity.up(n)), (down, up), "{name} of {n}");
        }
        assert!(Granularity::named("r5").is_none());
        for n in [f64::MIN_POSITIVE, 5e-324, f64::MAX] {
            let granularity = Granularity::named("E6").unwrap();
            assert!(granularity.down(n) < n && granularity.up(n) > n, "{n}");
        }
    }
}
