//! `samples over time -> slope and how sure it is`, by least squares over means of blocks.
//!
//! Samples of memory that follow each other are alike, so that a fit over them all would be too sure of itself. The means of
//! blocks that are long against that likeness are nearly independent.

/// Blocks into which the samples are cut.
const BLOCKS: usize = 12;

/// The 97.5 % point of Student's t with `BLOCKS - 2` degrees of freedom.
const STUDENT: f64 = 2.228;

/// A slope with its 95 % interval, in units of the values a unit of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slope {
    /// The best guess.
    pub(crate) mean: f64,
    /// Distance from it to either end of the interval.
    pub(crate) margin: f64,
}

impl Slope {
    /// The slope of `(time, value)` in the order of time; `None` of fewer than three samples a block.
    pub(crate) fn of(samples: &[(f64, f64)]) -> Option<Self> {
        let length = samples.len() / BLOCKS;
        if length < 3 {
            return None;
        }
        // What does not fill a block is left out at the start, where a process warms up.
        let rest = samples.len() - length * BLOCKS;
        let means: Vec<_> = samples[rest..].chunks(length).map(mean).collect();
        let (time, value) = mean(&means);
        let of = |part: fn(f64, f64) -> f64| {
            means.iter().map(|(t, v)| part(t - time, v - value)).sum::<f64>()
        };
        let (spread, shared) = (of(|t, _| t * t), of(|t, v| t * v));
        let slope = shared / spread;
        let left: f64 = means.iter().map(|(t, v)| (v - value - slope * (t - time)).powi(2)).sum();
        let freedom = count(BLOCKS - 2);
        Some(Self { mean: slope, margin: STUDENT * (left / freedom / spread).sqrt() })
    }

    /// The upper end of the interval.
    pub(crate) fn upper(self) -> f64 {
        self.mean + self.margin
    }
}

fn mean(samples: &[(f64, f64)]) -> (f64, f64) {
    let sum = samples.iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    (sum.0 / count(samples.len()), sum.1 / count(samples.len()))
}

fn count(items: usize) -> f64 {
    f64::from(u32::try_from(items).expect("fewer than 2^32 samples"))
}

#[cfg(test)]
mod tests {
    use super::Slope;

    /// Samples of `value` at each of 240 times.
    fn samples(value: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..240_u32).map(f64::from).map(|time| (time, value(time))).collect()
    }

    #[test]
    fn a_straight_line_is_known_without_doubt() {
        let slope = Slope::of(&samples(|time| 7.0 + 0.25 * time)).unwrap();
        assert!((slope.mean - 0.25).abs() < 1e-9 && slope.margin < 1e-6, "{slope:?}");
    }

    #[test]
    fn noise_around_a_level_is_no_growth_and_growth_under_noise_is_seen() {
        // Each of five values in turn, so that the blocks' means do not move.
        let noise = |time: f64| {
            [0.0, 9.0, -5.0, 3.0, -7.0][(time % 5.0).trunc().to_string().parse::<usize>().unwrap()]
        };
        let level = Slope::of(&samples(noise)).unwrap();
        assert!(level.mean.abs() <= level.margin + 1e-9 && level.upper() < 0.01, "{level:?}");
        let grows = Slope::of(&samples(|time| noise(time) + 0.02 * time)).unwrap();
        assert!(grows.mean - grows.margin > 0.015 && grows.upper() < 0.025, "{grows:?}");
    }

    #[test]
    fn the_margin_is_that_of_a_table() {
        // Blocks of 20 samples whose means are 0, 1, 0, 1 and so on.
        let steps = samples(|time| if (time / 20.0).trunc() % 2.0 == 0.0 { 0.0 } else { 1.0 });
        let slope = Slope::of(&steps).unwrap();
        // Sum of squares of block numbers around 5.5 is 143; of products 3; of values 3.
        let (per_block, left): (f64, f64) = (3.0 / 143.0, 3.0 - 9.0 / 143.0);
        assert!((slope.mean * 20.0 - per_block).abs() < 1e-9, "{slope:?}");
        let margin = 2.228 * (left / 10.0 / 143.0).sqrt();
        assert!((slope.margin * 20.0 - margin).abs() < 1e-9, "{slope:?}");
    }

    #[test]
    fn too_few_samples_have_no_slope() {
        assert_eq!(Slope::of(&samples(|time| time)[..35]), None);
        assert!(Slope::of(&samples(|time| time)[..36]).is_some());
    }
}
