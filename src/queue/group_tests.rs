//! Groups of the fair queue: what joins is served early, and nobody waits for ever for it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{FlowId, Order, PASSED_OVER_MAX};

/// An item: its flow, its kind, and its number.
type Item = (u64, u8, usize);

fn group(order: &mut Order<Item>, most: usize) -> Vec<Item> {
    order.pop_group(|_| true, |_| most, |first, other| first.1 == other.1).unwrap_or_default()
}

#[test]
fn a_group_is_of_one_kind_and_takes_from_the_flow_that_was_served_least() {
    let mut order = Order::new();
    for (number, kind) in [(0, 7), (1, 8), (2, 7), (3, 7)] {
        order.push(FlowId(0), 100, (0, kind, number));
        order.push(FlowId(1), 100, (1, kind, number));
    }
    assert_eq!(group(&mut order, 3), [(0, 7, 0), (1, 7, 0), (0, 7, 2)]);
    // The other flow has had less, and its head is of the other kind.
    assert_eq!(group(&mut order, 9), [(1, 8, 1), (0, 8, 1)]);
    assert_eq!(group(&mut order, 1), [(1, 7, 2)]);
    assert_eq!(group(&mut order, 9), [(0, 7, 3), (1, 7, 3)]);
    assert_eq!((order.item_count, order.cost), (0, 0));
}

#[test]
fn a_group_takes_of_eligible_flows_only() {
    let mut order = Order::new();
    for flow in 0..2 {
        order.push(FlowId(flow), 10, (flow, 0, 0));
    }
    let taken = order.pop_group(|flow| flow == FlowId(1), |_| 9, |_, _| true);
    assert_eq!(taken, Some(vec![(1, 0, 0)]));
}

/// Each group is led by flow 0, which has the lower number, and filled up by flow 1, whose head is
/// of another kind: as both have been served the same after each group, its head would never lead.
#[test]
fn a_head_that_joins_nothing_is_passed_over_so_many_times_and_no_more() {
    let mut order = Order::new();
    order.push(FlowId(1), 10, (1, 9, 0));
    for number in 1..=2 * PASSED_OVER_MAX {
        order.push(FlowId(0), 10, (0, 7, number));
        order.push(FlowId(1), 10, (1, 7, number));
    }
    let groups = std::iter::from_fn(|| Some(group(&mut order, 2)));
    let before = groups.take_while(|group| !group.contains(&(1, 9, 0))).count();
    assert!((PASSED_OVER_MAX..PASSED_OVER_MAX + 3).contains(&before), "{before} groups");
}

proptest! {
    #[test]
    fn groups_conserve_items_and_the_order_of_each_kind(
        kinds in prop::collection::vec((0_u64..3, 0_u8..3), 0..200), most in 1_usize..9,
    ) {
        let mut order = Order::new();
        for (number, (flow, kind)) in kinds.iter().enumerate() {
            order.push(FlowId(*flow), 10, (*flow, *kind, number));
        }
        let mut last: BTreeMap<(u64, u8), usize> = BTreeMap::new();
        let mut served = 0;
        while order.item_count > 0 {
            let group = group(&mut order, most);
            prop_assert!(!group.is_empty() && group.len() <= most);
            prop_assert!(group.iter().all(|item| item.1 == group[0].1));
            for (flow, kind, number) in group {
                let before = last.insert((flow, kind), number);
                prop_assert!(before.is_none_or(|before| before < number), "out of order");
                served += 1;
            }
        }
        prop_assert_eq!((served, order.cost), (kinds.len(), 0));
    }

    /// What joins is paid for: flows of one kind are served alike, however large the groups.
    #[test]
    fn groups_of_one_kind_share_as_single_items_do(
        costs in prop::collection::vec(prop::collection::vec(1_u64..300, 60), 2..5),
        most in 1_usize..9,
    ) {
        let mut order = Order::new();
        for (flow, costs) in (0_u64..).zip(&costs) {
            for (number, cost) in costs.iter().enumerate() {
                order.push(FlowId(flow), *cost, (flow, 0, number));
            }
        }
        let largest: Vec<u64> = costs.iter().map(|costs| *costs.iter().max().unwrap()).collect();
        let mut served = vec![0_u64; costs.len()];
        loop {
            for (flow, _, number) in group(&mut order, most) {
                let flow = usize::try_from(flow).unwrap();
                served[flow] += costs[flow][number];
            }
            if order.lanes.values().filter(|lane| !lane.items.is_empty()).count() < costs.len() {
                break;
            }
            for one in 0..costs.len() {
                for other in 0..costs.len() {
                    let bound = largest[one] + largest[other];
                    prop_assert!(served[one].abs_diff(served[other]) <= bound);
                }
            }
        }
    }
}
