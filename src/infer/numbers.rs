//! The arithmetic that all heads share (`training/DECODER.md`): double precision, sums from left
//! to right, as in the reference.

/// Probabilities are kept so far from 0 and 1 before a logarithm is taken.
const CLAMP: f64 = 1e-9;

/// The logistic function, in the form that never overflows.
pub(super) fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

pub(super) fn logit(p: f64) -> f64 {
    let p = p.clamp(CLAMP, 1.0 - CLAMP);
    (p / (1.0 - p)).ln()
}

/// Logistic regression: `sigmoid(bias + w1 f1 + w2 f2 + ..)`.
pub(super) fn regression<const N: usize>(bias: f64, weights: [f64; N], features: [f64; N]) -> f64 {
    let weighted = weights.into_iter().zip(features);
    sigmoid(weighted.fold(bias, |sum, (weight, feature)| sum + weight * feature))
}

/// Turns scores into the logarithms of their softmax, in place.
pub(super) fn log_softmax(scores: &mut [f64]) {
    let largest = largest(scores.iter().copied());
    let total = scores.iter().fold(0.0, |total, score| total + (score - largest).exp());
    let total = largest + total.ln();
    for score in scores {
        *score -= total;
    }
}

pub(super) fn largest(scores: impl Iterator<Item = f64>) -> f64 {
    scores.fold(f64::NEG_INFINITY, f64::max)
}

/// The place of the largest score, the first of equal ones; 0 where there is none.
pub(super) fn argmax(scores: impl Iterator<Item = f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (index, score) in scores.enumerate() {
        if score > best.1 {
            best = (index, score);
        }
    }
    best.0
}

/// A count as a number to reckon with.
pub(super) fn count(count: usize) -> f64 {
    // Limit: a text has fewer than 2^32 tokens, since its bytes are fewer.
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::{argmax, log_softmax, logit, sigmoid};

    #[test]
    fn logit_and_sigmoid_stay_finite() {
        for x in [-1e9, -30.0, 0.0, 30.0, 1e9] {
            assert!(logit(sigmoid(x)).is_finite());
        }
        assert!((logit(sigmoid(1.25)) - 1.25).abs() < 1e-12);
    }

    #[test]
    fn a_softmax_sums_to_one_however_large_its_scores() {
        for shift in [-1e4, 0.0, 1e4] {
            let mut scores = [shift, shift + 1.0, shift + 3.0];
            log_softmax(&mut scores);
            let total: f64 = scores.iter().map(|score| score.exp()).sum();
            assert!((total - 1.0).abs() < 1e-12, "{scores:?}");
            assert!((scores[2] - scores[0] - 3.0).abs() < 1e-9, "{scores:?}");
        }
    }

    #[test]
    fn the_first_of_equal_scores_is_the_largest() {
        assert_eq!(argmax([0.5, 2.0, 2.0, 1.0].into_iter()), 1);
        assert_eq!(argmax([f64::NEG_INFINITY; 2].into_iter()), 0);
    }
}
