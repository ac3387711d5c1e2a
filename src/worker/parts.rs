//! `parts that end in any order -> the messages of a delivery, in order`. Pure.

/// The messages of a delivery's parts: they leave together and in the order of the parts, in
/// whatever order the parts end.
pub(super) struct Parts<T> {
    open_count: usize,
    ended: Vec<Option<T>>,
}

impl<T> Parts<T> {
    /// The parts of a delivery that has so many.
    pub(super) fn of(count: usize) -> Self {
        Self { open_count: count, ended: std::iter::repeat_with(|| None).take(count).collect() }
    }

    /// One part has ended; all of them, once it was the last.
    ///
    /// # Panics
    /// Where there is no such part or it has ended before: two outcomes for one part must never
    /// be, nor an outcome be lost.
    pub(super) fn end(&mut self, part: u32, message: T) -> Option<Vec<T>> {
        let slot = usize::try_from(part).ok().and_then(|part| self.ended.get_mut(part));
        let is_open = slot.as_ref().is_some_and(|slot| slot.is_none());
        assert!(is_open, "part {part} ended twice or was never opened");
        if let Some(slot) = slot {
            *slot = Some(message);
        }
        self.open_count -= 1;
        (self.open_count == 0)
            .then(|| std::mem::take(&mut self.ended).into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Parts;

    #[test]
    #[should_panic(expected = "ended twice")]
    fn a_part_that_ends_twice_stops_the_worker() {
        let mut parts = Parts::of(2);
        assert!(parts.end(1, ()).is_none());
        parts.end(1, ());
    }

    proptest! {
        #[test]
        fn parts_leave_together_and_in_order_in_whatever_order_they_end(
            order in (1..40_u32).prop_flat_map(|count| {
                Just((0..count).collect::<Vec<_>>()).prop_shuffle()
            }),
        ) {
            let mut parts = Parts::of(order.len());
            let (last, others) = order.split_last().unwrap();
            for part in others {
                prop_assert!(parts.end(*part, *part).is_none());
            }
            let all = parts.end(*last, *last).unwrap();
            prop_assert!(all.is_sorted() && all.len() == order.len());
        }
    }
}
