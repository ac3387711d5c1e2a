//! `(flow, cost, item) -> items in fair order`: a blocking queue that shares a scarce stage
//! between flows by the cost they have been served, first in first out within a flow.
//!
//! Start-time fair queueing (Goyal, Vin, Cheng, 1996) with equal weights: each flow has a start
//! tag, the eligible flow with the lowest goes next, and being served moves its tag by the cost.
//! A flow that was idle, or that its caller held back, starts at the tag last served: it gets no
//! credit for the time in which it asked for nothing.
//! Items may be served in groups: the first is the next in fair order, and what joins it is served
//! early, is paid for as what comes in turn, and passes over the items before it in its flow no
//! more than [`PASSED_OVER_MAX`] times in a row.
//!
//! Deliberately unbounded: callers bound it by their own limits (`limits.in_flight_*_max`), so
//! that a full queue is seen where documents are admitted and not where they are half done.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A party that shares the queue: a flow, or one partition of it; numbers are the caller's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u64);

/// Limit: items of a flow that are served before its head because they join a group; the next one
/// of it must be its head. Without it, a flow whose head joins nothing could be kept busy behind it
/// for ever.
const PASSED_OVER_MAX: usize = 1_024;

/// The items of one flow and what it has been served.
struct Lane<T> {
    /// Virtual time at which the head item starts, in cost units.
    start: u64,
    items: VecDeque<(u64, T)>,
    /// Items that were served before the head since it is the head.
    passed_over_count: usize,
}

impl<T> Lane<T> {
    /// Place of the first item from `from` on that joins and may be served now.
    fn find(&self, from: usize, joins: impl Fn(&T) -> bool) -> Option<usize> {
        let until = if self.passed_over_count < PASSED_OVER_MAX { self.items.len() } else { 1 };
        let mut items = self.items.iter().enumerate().take(until).skip(from);
        items.find(|(_, (_, item))| joins(item)).map(|(place, _)| place)
    }
}

/// The policy alone: no lock, no waiting.
struct Order<T> {
    lanes: BTreeMap<FlowId, Lane<T>>,
    /// Start tag of the item served last; never moves back.
    virtual_time: u64,
    item_count: usize,
    cost: u64,
    is_closed: bool,
}

impl<T> Order<T> {
    const fn new() -> Self {
        Self { lanes: BTreeMap::new(), virtual_time: 0, item_count: 0, cost: 0, is_closed: false }
    }

    fn push(&mut self, flow: FlowId, cost: u64, item: T) {
        let now = self.virtual_time;
        let lane = self.lanes.entry(flow).or_insert_with(|| Lane {
            start: now,
            items: VecDeque::new(),
            passed_over_count: 0,
        });
        if lane.items.is_empty() {
            lane.start = lane.start.max(now);
        }
        lane.items.push_back((cost, item));
        self.item_count += 1;
        self.cost = self.cost.saturating_add(cost);
    }

    /// At the head of its flow, and paid for.
    fn put_back(&mut self, flow: FlowId, item: T) {
        self.push(flow, 0, item);
        if let Some(lane) = self.lanes.get_mut(&flow) {
            lane.items.rotate_right(1);
        }
    }

    fn pop(&mut self, eligible: impl Fn(FlowId) -> bool) -> Option<T> {
        let chosen = self
            .lanes
            .iter()
            .filter(|(flow, lane)| !lane.items.is_empty() && eligible(**flow))
            .min_by_key(|(flow, lane)| (lane.start, **flow))
            .map(|(flow, _)| *flow)?;
        let lane = self.lanes.get_mut(&chosen)?;
        let (cost, item) = lane.items.pop_front()?;
        self.virtual_time = self.virtual_time.max(lane.start);
        lane.start = lane.start.saturating_add(cost);
        lane.passed_over_count = 0;
        self.item_count -= 1;
        self.cost = self.cost.saturating_sub(cost);
        self.forfeit(eligible);
        Some(item)
    }

    /// The next item, and with it others up to `most` that join it, of the flow that was served
    /// least first. Virtual time goes by the first alone: a flow that fills up the groups of
    /// others runs ahead of it, and waits until it has caught up.
    fn pop_group(
        &mut self,
        eligible: impl Fn(FlowId) -> bool,
        most: impl Fn(&T) -> usize,
        joins: impl Fn(&T, &T) -> bool,
    ) -> Option<Vec<T>> {
        let first = self.pop(&eligible)?;
        let most = most(&first);
        let mut group = vec![first];
        // How far each flow was looked through; what was passed over joins no more.
        let mut looked: BTreeMap<FlowId, usize> = BTreeMap::new();
        while group.len() < most {
            let is_left = |flow: FlowId, lane: &Lane<T>| {
                looked.get(&flow).copied().unwrap_or_default() < lane.items.len()
            };
            let chosen = self
                .lanes
                .iter_mut()
                .filter(|(flow, lane)| eligible(**flow) && is_left(**flow, lane))
                .min_by_key(|(flow, lane)| (lane.start, **flow));
            let Some((flow, lane)) = chosen else { break };
            let from = looked.get(flow).copied().unwrap_or_default();
            let place = group.first().and_then(|first| lane.find(from, |item| joins(first, item)));
            let taken = place.and_then(|place| Some((place, lane.items.remove(place)?)));
            let Some((place, (cost, item))) = taken else {
                looked.insert(*flow, usize::MAX);
                continue;
            };
            looked.insert(*flow, place);
            lane.passed_over_count = if place == 0 { 0 } else { lane.passed_over_count + 1 };
            lane.start = lane.start.saturating_add(cost);
            self.item_count -= 1;
            self.cost = self.cost.saturating_sub(cost);
            group.push(item);
        }
        self.forfeit(eligible);
        Some(group)
    }

    /// Moves held-back flows up to the present and forgets idle ones that it has caught up with:
    /// for those, starting anew gives the same tag.
    fn forfeit(&mut self, eligible: impl Fn(FlowId) -> bool) {
        let now = self.virtual_time;
        self.lanes.retain(|flow, lane| {
            if lane.items.is_empty() {
                return lane.start > now;
            }
            if !eligible(*flow) {
                lane.start = lane.start.max(now);
            }
            true
        });
    }
}

/// A fair queue between threads. See the head of this file for the order.
pub struct FairQueue<T> {
    order: Mutex<Order<T>>,
    changed: Condvar,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { order: Mutex::new(Order::new()), changed: Condvar::new() }
    }
}

impl<T> FairQueue<T> {
    /// Appends `item` to `flow`. `cost` is what serving it takes of the shared stage, in any one
    /// unit (tokens, bytes). A closed queue gives the item back.
    pub fn push(&self, flow: FlowId, cost: u64, item: T) -> Result<(), T> {
        let mut order = self.lock();
        if order.is_closed {
            return Err(item);
        }
        order.push(flow, cost, item);
        drop(order);
        // All, not one: the thread that would be woken may not find this flow eligible.
        self.changed.notify_all();
        Ok(())
    }

    /// Puts the rest of an item that was served back to the head of its flow; what it costs was
    /// counted when it was served first. A closed queue gives the item back.
    pub fn put_back(&self, flow: FlowId, item: T) -> Result<(), T> {
        let mut order = self.lock();
        if order.is_closed {
            return Err(item);
        }
        order.put_back(flow, item);
        drop(order);
        self.changed.notify_all();
        Ok(())
    }

    /// Waits for an item of an eligible flow; `None` once the queue is closed. `eligible` runs
    /// under the queue's lock: it must be quick and must not touch the queue. Call
    /// [`FairQueue::wake`] when its answer changes.
    pub fn pop(&self, eligible: impl Fn(FlowId) -> bool) -> Option<T> {
        self.wait_for(|order| order.pop(&eligible))
    }

    /// Waits for an item as [`FairQueue::pop`] does, and takes with it what waits already and
    /// joins it, up to `most` items in all; it does not wait for more. `joins` gets the first item
    /// and another one. Both run under the queue's lock, too.
    pub fn pop_group(
        &self,
        eligible: impl Fn(FlowId) -> bool,
        most: impl Fn(&T) -> usize,
        joins: impl Fn(&T, &T) -> bool,
    ) -> Option<Vec<T>> {
        self.wait_for(|order| order.pop_group(&eligible, &most, &joins))
    }

    /// Waits until `take` gives something; `None` once the queue is closed.
    fn wait_for<R>(&self, take: impl Fn(&mut Order<T>) -> Option<R>) -> Option<R> {
        let mut order = self.lock();
        loop {
            if order.is_closed {
                return None;
            }
            if let Some(taken) = take(&mut order) {
                return Some(taken);
            }
            order = self.changed.wait(order).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Makes waiting threads ask `eligible` again.
    pub fn wake(&self) {
        // Taking the lock orders this after a `pop` that has asked but does not yet wait.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Ends every present and future `pop` with `None`, and gives back what was still queued, in
    /// order of flow, then of arrival.
    pub fn close(&self) -> Vec<T> {
        let mut order = self.lock();
        order.is_closed = true;
        order.item_count = 0;
        order.cost = 0;
        let lanes = std::mem::take(&mut order.lanes);
        drop(order);
        self.changed.notify_all();
        lanes.into_values().flat_map(|lane| lane.items).map(|(_, item)| item).collect()
    }

    /// Items that wait.
    pub fn len(&self) -> usize {
        self.lock().item_count
    }

    /// Whether no item waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sum of the costs of the items that wait.
    pub fn cost(&self) -> u64 {
        self.lock().cost
    }

    fn lock(&self) -> MutexGuard<'_, Order<T>> {
        // Poison means that `eligible` panicked; the order itself is whole between its statements.
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod group_tests;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use proptest::prelude::*;

    use super::{FairQueue, FlowId, Order};

    fn all(_: FlowId) -> bool {
        true
    }

    #[test]
    fn flows_with_long_items_wait_for_flows_with_short_ones() {
        let mut order = Order::new();
        for index in 0..2 {
            order.push(FlowId(0), 300, (0, index));
        }
        for index in 0..6 {
            order.push(FlowId(1), 100, (1, index));
        }
        let served: Vec<u64> =
            std::iter::from_fn(|| order.pop(all)).map(|(flow, _)| flow).collect();
        assert_eq!(served, [0, 1, 1, 1, 0, 1, 1, 1]);
    }

    #[test]
    fn what_is_put_back_comes_next_of_its_flow_and_costs_nothing_more() {
        let mut order = Order::new();
        order.push(FlowId(0), 100, 'a');
        order.push(FlowId(0), 100, 'b');
        order.push(FlowId(1), 150, 'x');
        assert_eq!(order.pop(all), Some('a'));
        order.put_back(FlowId(0), 'a');
        let served: Vec<_> = std::iter::from_fn(|| order.pop(all)).collect();
        assert_eq!((served, order.item_count, order.cost), (vec!['x', 'a', 'b'], 0, 0));
    }

    #[test]
    fn an_idle_flow_gets_no_credit() {
        let mut order = Order::new();
        for index in 0..100 {
            order.push(FlowId(0), 10, (0, index));
        }
        for _ in 0..50 {
            assert!(order.pop(all).is_some());
        }
        for index in 0..100 {
            order.push(FlowId(1), 10, (1, index));
        }
        let late = (0..20).filter_map(|_| order.pop(all)).filter(|(flow, _)| *flow == 1).count();
        assert_eq!(late, 10);
    }

    #[test]
    fn a_flow_that_was_held_back_gets_no_credit() {
        let mut order = Order::new();
        for index in 0..100 {
            order.push(FlowId(0), 10, (0, index));
            order.push(FlowId(1), 10, (1, index));
        }
        for _ in 0..50 {
            assert_eq!(order.pop(|flow| flow == FlowId(0)).map(|(flow, _)| flow), Some(0));
        }
        let late = (0..20).filter_map(|_| order.pop(all)).filter(|(flow, _)| *flow == 1).count();
        assert_eq!(late, 10);
    }

    #[test]
    fn a_waiting_thread_sees_a_flow_become_eligible() {
        let queue = Arc::new(FairQueue::default());
        let is_open = Arc::new(AtomicBool::new(false));
        assert!(queue.push(FlowId(7), 1, "item").is_ok());
        let waiting = thread::spawn({
            let (queue, is_open) = (Arc::clone(&queue), Arc::clone(&is_open));
            move || queue.pop(|_| is_open.load(Ordering::SeqCst))
        });
        is_open.store(true, Ordering::SeqCst);
        queue.wake();
        assert_eq!(waiting.join().unwrap(), Some("item"));
    }

    #[test]
    fn closing_ends_waiting_threads_and_gives_back_the_rest() {
        let queue = Arc::new(FairQueue::default());
        assert!(queue.push(FlowId(1), 5, 'a').is_ok());
        let waiting = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.pop(|_| false)
        });
        assert_eq!((queue.len(), queue.cost()), (1, 5));
        assert_eq!(queue.close(), ['a']);
        assert_eq!(waiting.join().unwrap(), None);
        assert_eq!(queue.push(FlowId(1), 1, 'b'), Err('b'));
        assert!(queue.is_empty());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(u64, u64),
        /// Pop while only flows whose bit is set are eligible.
        Pop(u8),
        /// Pop of any flow, and put it back.
        PutBack,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0_u64..4, 1_u64..300).prop_map(|(flow, cost)| Step::Push(flow, cost)),
            any::<u8>().prop_map(Step::Pop),
            Just(Step::Pop(u8::MAX)),
            Just(Step::PutBack),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn conserves_items_and_their_order_within_a_flow(steps in steps()) {
            let mut order = Order::new();
            let mut expected: BTreeMap<u64, std::collections::VecDeque<usize>> = BTreeMap::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Push(flow, cost) => {
                        order.push(FlowId(flow), cost, (flow, number));
                        expected.entry(flow).or_default().push_back(number);
                    }
                    Step::PutBack => {
                        if let Some((flow, number)) = order.pop(all) {
                            order.put_back(FlowId(flow), (flow, number));
                            prop_assert_eq!(expected.get(&flow).unwrap().front(), Some(&number));
                        }
                    }
                    Step::Pop(mask) => {
                        let eligible = |flow: FlowId| mask >> flow.0 & 1 == 1;
                        match order.pop(eligible) {
                            Some((flow, number)) => {
                                prop_assert!(eligible(FlowId(flow)));
                                prop_assert_eq!(expected.get_mut(&flow).unwrap().pop_front(), Some(number));
                            }
                            None => prop_assert!(expected
                                .iter()
                                .all(|(flow, items)| items.is_empty() || !eligible(FlowId(*flow)))),
                        }
                    }
                }
                prop_assert_eq!(order.item_count, expected.values().map(std::collections::VecDeque::len).sum::<usize>());
            }
        }

        /// The bound of start-time fair queueing: over any time in which two flows both wait,
        /// the costs they are served differ by less than the sum of their largest items.
        #[test]
        fn unfairness_is_bounded_and_nobody_starves(
            costs in prop::collection::vec(prop::collection::vec(1_u64..300, 1..60), 2..5),
        ) {
            let mut order = Order::new();
            for (flow, costs) in (0_u64..).zip(&costs) {
                for cost in costs {
                    order.push(FlowId(flow), *cost, (flow, *cost));
                }
            }
            let mut served = vec![0_u64; costs.len()];
            let mut left: Vec<usize> = costs.iter().map(Vec::len).collect();
            let largest: Vec<u64> = costs.iter().map(|costs| *costs.iter().max().unwrap()).collect();
            while let Some((flow, cost)) = order.pop(all) {
                let flow = usize::try_from(flow).unwrap();
                served[flow] += cost;
                left[flow] -= 1;
                for one in 0..costs.len() {
                    for other in 0..costs.len() {
                        if left[one] > 0 && left[other] > 0 {
                            let bound = largest[one] + largest[other];
                            prop_assert!(served[one].abs_diff(served[other]) <= bound);
                        }
                    }
                }
            }
            prop_assert!(left.iter().all(|left| *left == 0));
        }
    }
}
