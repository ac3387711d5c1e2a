//! `ends of deliveries -> within the reject budget, or not`: a window over the recent ones. Pure.
//!
//! A delivery counts as one, however many parts it has: by the share of them that were refused.
//! Deliberately knows no clock: a night without documents makes no reject older.

use std::collections::{BTreeMap, VecDeque};

use crate::config::pipeline::RejectBudget;
use crate::types::{Blame, RejectCode};

/// What a whole delivery weighs: sums stay whole numbers.
const WHOLE: u64 = 1_000;

/// How one delivery ended.
struct Ended {
    /// Of [`WHOLE`], the share of its parts that were refused.
    refused: u64,
    codes: Vec<RejectCode>,
}

/// The recent deliveries of one flow.
pub(super) struct Budget {
    spec: RejectBudget,
    recent: VecDeque<Ended>,
    refused: u64,
    /// Deliveries in a row, up to the last, of which every part was refused for what may be the
    /// world's fault.
    doubtful_in_row: u64,
}

impl Budget {
    pub(super) const fn new(spec: RejectBudget) -> Self {
        Self { spec, recent: VecDeque::new(), refused: 0, doubtful_in_row: 0 }
    }

    /// Forgets all deliveries.
    pub(super) fn clear(&mut self) {
        self.recent.clear();
        self.refused = 0;
        self.doubtful_in_row = 0;
    }

    /// Takes in the end of a delivery of `parts_count` parts, of which those of `codes` were
    /// refused.
    pub(super) fn count(&mut self, parts_count: usize, codes: Vec<RejectCode>) {
        let whole = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let Some(refused) = (whole(codes.len()) * WHOLE).checked_div(whole(parts_count)) else {
            return;
        };
        let is_doubtful = |code: &RejectCode| code.blame() == Blame::Doubtful;
        let is_in_row = codes.len() == parts_count && codes.iter().all(is_doubtful);
        self.doubtful_in_row = if is_in_row { self.doubtful_in_row + 1 } else { 0 };
        self.recent.push_back(Ended { refused, codes });
        self.refused += refused;
        while self.recent.len() > self.spec.window_deliveries {
            self.refused -= self.recent.pop_front().map_or(0, |oldest| oldest.refused);
        }
    }

    /// What is over the budget now, in words; `None` while nothing is.
    pub(super) fn over(&self) -> Option<String> {
        let RejectBudget { share_max, rejects_min, .. } = self.spec;
        if share_max >= 1.0 {
            return None;
        }
        if self.doubtful_in_row >= rejects_min {
            let count = self.doubtful_in_row;
            return Some(format!(
                "{count} deliveries in a row were refused for what is more likely the worker's or \
                 the world's fault than theirs"
            ));
        }
        let (count, share) = (self.len(), self.share());
        let is_over = self.refused >= rejects_min.saturating_mul(WHOLE) && share > share_max;
        is_over.then(|| {
            format!(
                "of the last {count} deliveries {:.0} % were refused, over \
                 `delivery.reject_budget.share_max` ({share_max})",
                share * 100.0
            )
        })
    }

    /// Whether enough deliveries are known to say that the budget holds again.
    pub(super) fn is_kept(&self) -> bool {
        let known = u64::try_from(self.recent.len()).unwrap_or(u64::MAX);
        known >= self.spec.rejects_min && self.share() <= self.spec.share_max
    }

    /// Recent deliveries.
    pub(super) fn len(&self) -> usize {
        self.recent.len()
    }

    /// The share of the recent deliveries that was refused.
    #[expect(
        clippy::cast_precision_loss,
        clippy::as_conversions,
        reason = "a window of deliveries is far below 2^52"
    )]
    pub(super) fn share(&self) -> f64 {
        if self.recent.is_empty() {
            return 0.0;
        }
        self.refused as f64 / (self.recent.len() as f64 * WHOLE as f64)
    }

    /// Refused parts of the recent deliveries, by code.
    pub(super) fn codes(&self) -> BTreeMap<RejectCode, usize> {
        let mut counts = BTreeMap::new();
        for code in self.recent.iter().flat_map(|ended| &ended.codes) {
            *counts.entry(*code).or_insert(0) += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Budget;
    use crate::config::pipeline::RejectBudget;
    use crate::types::RejectCode;

    fn budget(share_max: f64, window_deliveries: usize, rejects_min: u64) -> Budget {
        Budget::new(RejectBudget { share_max, window_deliveries, rejects_min })
    }

    fn refuse(budget: &mut Budget, count: usize, code: RejectCode) {
        (0..count).for_each(|_| budget.count(1, vec![code]));
    }

    fn pass(budget: &mut Budget, count: usize) {
        (0..count).for_each(|_| budget.count(1, Vec::new()));
    }

    #[test]
    fn a_share_is_over_only_with_so_many_rejects() {
        let mut budget = budget(0.5, 100, 10);
        refuse(&mut budget, 9, RejectCode::PdfNoText);
        assert_eq!(budget.over(), None, "nine of nine, and ten is the least");
        refuse(&mut budget, 1, RejectCode::PdfNoText);
        let over = budget.over().unwrap();
        assert!(over.contains("100 %") && over.contains("share_max"), "{over}");
        pass(&mut budget, 10);
        assert_eq!(budget.over(), None, "half is not above half");
    }

    #[test]
    fn what_leaves_the_window_counts_no_more() {
        let mut budget = budget(0.5, 20, 10);
        refuse(&mut budget, 10, RejectCode::PdfNoText);
        pass(&mut budget, 20);
        assert_eq!((budget.share(), budget.codes().len()), (0.0, 0));
        refuse(&mut budget, 10, RejectCode::PdfNoText);
        assert_eq!(budget.over(), None);
        refuse(&mut budget, 1, RejectCode::TypeMismatch);
        assert!(budget.over().is_some());
        assert_eq!(budget.codes()[&RejectCode::PdfNoText], 10);
    }

    #[test]
    fn doubtful_rejects_in_a_row_are_over_whatever_the_share() {
        let mut budget = budget(0.5, 1_000, 10);
        pass(&mut budget, 900);
        refuse(&mut budget, 9, RejectCode::InferFailed);
        pass(&mut budget, 1);
        refuse(&mut budget, 9, RejectCode::InferFailed);
        assert_eq!(budget.over(), None, "a document between them went through");
        refuse(&mut budget, 1, RejectCode::TextCrashed);
        assert!(budget.over().unwrap().contains("10 deliveries in a row"));
        budget.clear();
        pass(&mut budget, 900);
        refuse(&mut budget, 50, RejectCode::PdfNoText);
        assert_eq!(budget.over(), None, "these are the documents' own fault");
    }

    #[test]
    fn a_delivery_of_many_parts_is_one_by_the_share_of_those_refused() {
        let mut budget = budget(0.5, 100, 10);
        for _ in 0..30 {
            budget.count(1_000, vec![RejectCode::EntryTooLarge; 100]);
        }
        assert!((budget.share() - 0.1).abs() < 1e-9, "{}", budget.share());
        assert_eq!(budget.over(), None, "thousands of parts, three deliveries' worth");
        budget.count(0, Vec::new());
        assert_eq!(budget.len(), 30, "a tombstone is no document");
    }

    #[test]
    fn a_share_of_one_switches_it_off() {
        let mut budget = budget(1.0, 100, 10);
        refuse(&mut budget, 100, RejectCode::InferFailed);
        assert_eq!(budget.over(), None);
    }

    #[test]
    fn it_is_kept_again_once_enough_deliveries_say_so() {
        let mut budget = budget(0.5, 100, 10);
        pass(&mut budget, 9);
        assert!(!budget.is_kept());
        refuse(&mut budget, 9, RejectCode::PdfNoText);
        assert!(budget.is_kept());
        refuse(&mut budget, 1, RejectCode::PdfNoText);
        assert!(!budget.is_kept());
    }

    proptest! {
        #[test]
        fn the_sum_is_that_of_the_window(
            ends in prop::collection::vec((1_usize..9, 0_usize..9), 0..300),
        ) {
            let mut budget = budget(0.5, 40, 10);
            for (parts, refused) in ends {
                let refused = refused.min(parts);
                budget.count(parts, vec![RejectCode::PdfNoText; refused]);
                prop_assert!(budget.len() <= 40);
                let sum: u64 = budget.recent.iter().map(|ended| ended.refused).sum();
                prop_assert_eq!(budget.refused, sum);
                prop_assert!((0.0..=1.0).contains(&budget.share()));
            }
        }
    }
}
