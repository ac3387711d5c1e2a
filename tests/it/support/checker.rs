//! What went in, what came out -> what was lost, doubled, or put out of order. Pure.
//!
//! It does not look at the content of an outcome: any record, review or reject settles a part.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One delivery that was produced, and how many parts it must give.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// Its topic.
    pub(crate) topic: String,
    /// Its partition.
    pub(crate) partition: i32,
    /// Its offset.
    pub(crate) offset: i64,
    /// Its key; order is promised within a key only.
    pub(crate) key: Option<Vec<u8>>,
    /// How many outcomes it must have.
    pub(crate) parts: u32,
}

/// How a part ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Valid output.
    Record,
    /// Fine but unsure.
    Review,
    /// A typed refusal.
    Reject,
}

/// One outcome as it was read under `read_committed`. The source is what its body or headers say.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// `PIPELINE/TOPIC/PARTITION/OFFSET/PART`.
    pub(crate) record_id: String,
    /// How the part ended; each kind has a topic of its own.
    pub(crate) kind: Kind,
    /// Partition of the delivery.
    pub(crate) source_partition: i32,
    /// Offset of the delivery.
    pub(crate) source_offset: i64,
    /// Number of the part in the delivery, from 0.
    pub(crate) part: u32,
    /// The key of the outcome.
    pub(crate) key: Option<Vec<u8>>,
    /// The partition it was read from.
    pub(crate) output_partition: i32,
    /// The offset it was read from.
    pub(crate) output_offset: i64,
}

/// Everything that is wrong. Empty when each part has exactly one outcome, and those of one key are in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Parts without an outcome, by record id.
    pub(crate) lost: Vec<String>,
    /// Parts with several outcomes: record id and their kinds.
    pub(crate) duplicated: Vec<(String, Vec<Kind>)>,
    /// Pairs of record ids of one key that stand in the output the wrong way round, the earlier delivery first.
    pub(crate) swapped: Vec<(String, String)>,
    /// Outcomes that belong to no input, by record id.
    pub(crate) unexpected: Vec<String>,
    /// Outcomes whose source or key contradicts their record id or its input, by record id.
    pub(crate) contradictory: Vec<String>,
    /// Record ids whose entries in the audit are not those of their outcomes, one each.
    pub(crate) unaudited: Vec<String>,
}

impl Report {
    /// Nothing is wrong.
    pub(crate) fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, duplicated, swapped, unexpected, contradictory, unaudited } = self;
        writeln!(
            out,
            "{} lost, {} duplicated, {} swapped, {} unexpected, {} contradictory, {} unaudited",
            lost.len(),
            duplicated.len(),
            swapped.len(),
            unexpected.len(),
            contradictory.len(),
            unaudited.len()
        )?;
        // The first few of each name the fault; thousands bury it.
        lost.iter().take(10).try_for_each(|id| writeln!(out, "lost {id}"))?;
        duplicated
            .iter()
            .take(10)
            .try_for_each(|(id, k)| writeln!(out, "duplicated {id} {k:?}"))?;
        swapped.iter().take(10).try_for_each(|(a, b)| writeln!(out, "swapped {a} and {b}"))?;
        unexpected.iter().take(10).try_for_each(|id| writeln!(out, "unexpected {id}"))?;
        contradictory.iter().take(10).try_for_each(|id| writeln!(out, "contradictory {id}"))?;
        unaudited.iter().take(10).try_for_each(|id| writeln!(out, "unaudited {id}"))
    }
}

/// Compares all inputs of `pipeline` with all its outcomes, from all its output topics.
pub(crate) fn check(pipeline: &str, inputs: &[Input], outcomes: &[Outcome]) -> Report {
    let mut expected = BTreeMap::new();
    for input in inputs {
        for part in 0..input.parts {
            let Input { topic, partition, offset, .. } = input;
            let id = format!("{pipeline}/{topic}/{partition}/{offset}/{part}");
            expected.insert(id, (input, part));
        }
    }

    let mut report = Report::default();
    let mut kinds: BTreeMap<&str, Vec<Kind>> = BTreeMap::new();
    for outcome in outcomes {
        let id = outcome.record_id.as_str();
        kinds.entry(id).or_default().push(outcome.kind);
        match expected.get(id) {
            None => report.unexpected.push(id.to_owned()),
            Some((input, part)) => {
                let source = (outcome.source_partition, outcome.source_offset, outcome.part);
                if source != (input.partition, input.offset, *part) || outcome.key != input.key {
                    report.contradictory.push(id.to_owned());
                }
            }
        }
    }
    report.lost = expected.keys().filter(|id| !kinds.contains_key(id.as_str())).cloned().collect();
    let several = kinds.iter().filter(|(_, kinds)| kinds.len() > 1);
    report.duplicated = several.map(|(id, kinds)| ((*id).to_owned(), kinds.clone())).collect();
    report.swapped = swaps(outcomes);
    report
}

/// Compares outcomes with the entries of the audit (record id and kind): as many of each as there
/// are outcomes, and none besides.
pub(crate) fn check_audit(outcomes: &[Outcome], entries: &[(String, Kind)], report: &mut Report) {
    let mut open: BTreeMap<(&str, Kind), i64> = BTreeMap::new();
    for outcome in outcomes {
        *open.entry((&outcome.record_id, outcome.kind)).or_default() += 1;
    }
    for (record_id, kind) in entries {
        *open.entry((record_id, *kind)).or_default() -= 1;
    }
    let unequal = open.into_iter().filter(|(_, count)| *count != 0);
    report.unaudited = unequal.map(|((record_id, _), _)| record_id.to_owned()).collect();
}

/// Order is promised, and can be seen, within one key of one source partition in one output partition.
fn swaps(outcomes: &[Outcome]) -> Vec<(String, String)> {
    let mut sorted: Vec<_> = outcomes.iter().filter(|it| it.key.is_some()).collect();
    sorted.sort_by_key(|it| (it.kind, it.output_partition, it.output_offset));
    let mut latest: BTreeMap<_, &Outcome> = BTreeMap::new();
    let mut known = BTreeSet::new();
    let mut swapped = Vec::new();
    for outcome in sorted {
        // The second of two is reported as doubled already.
        if !known.insert(&outcome.record_id) {
            continue;
        }
        let place = |it: &Outcome| (it.source_offset, it.part);
        let lane = (outcome.kind, outcome.output_partition, outcome.source_partition, &outcome.key);
        let before = latest.entry(lane).or_insert(outcome);
        if place(outcome) < place(before) {
            swapped.push((outcome.record_id.clone(), before.record_id.clone()));
        } else {
            *before = outcome;
        }
    }
    swapped
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 3] = ["red", "green", "blue"];

    /// 24 deliveries over two partitions, every fourth of two parts; a lane for each kind.
    fn clean() -> (Vec<Input>, Vec<Outcome>) {
        let mut inputs = Vec::new();
        let mut outcomes = Vec::new();
        for count in 0..24_i32 {
            let (partition, offset) = (count % 2, i64::from(count / 2) * 3);
            let key = KEYS.get(usize::try_from(count / 2 % 3).unwrap()).unwrap();
            let key = Some(key.as_bytes().to_vec());
            let parts = if count % 4 == 0 { 2 } else { 1 };
            let topic = "in".to_owned();
            inputs.push(Input { topic, partition, offset, key: key.clone(), parts });
            for part in 0..parts {
                outcomes.push(Outcome {
                    record_id: format!("contracts/in/{partition}/{offset}/{part}"),
                    kind: if count % 6 == 5 { Kind::Reject } else { Kind::Record },
                    source_partition: partition,
                    source_offset: offset,
                    part,
                    key: key.clone(),
                    output_partition: 0,
                    output_offset: i64::from(count) * 2 + i64::from(part),
                });
            }
        }
        (inputs, outcomes)
    }

    fn broken(harm: impl FnOnce(&mut Vec<Outcome>)) -> Report {
        let (inputs, mut outcomes) = clean();
        harm(&mut outcomes);
        let report = check("contracts", &inputs, &outcomes);
        assert!(!report.is_clean());
        report
    }

    #[test]
    fn a_clean_run_reports_nothing() {
        let (inputs, outcomes) = clean();
        let report = check("contracts", &inputs, &outcomes);
        assert!(report.is_clean(), "{report}");
    }

    #[test]
    fn the_order_in_which_outcomes_are_handed_over_does_not_matter() {
        let (inputs, mut outcomes) = clean();
        outcomes.reverse();
        assert!(check("contracts", &inputs, &outcomes).is_clean());
    }

    #[test]
    fn one_record_removed_is_lost_and_nothing_else() {
        let (_, outcomes) = clean();
        for (place, outcome) in outcomes.iter().enumerate() {
            let report = broken(|outcomes| drop(outcomes.remove(place)));
            let lost = vec![outcome.record_id.clone()];
            assert_eq!(report, Report { lost, ..Report::default() });
        }
    }

    #[test]
    fn one_record_doubled_is_duplicated_and_nothing_else() {
        let report = broken(|outcomes| {
            let mut twin = outcomes[3].clone();
            twin.kind = Kind::Review;
            twin.output_offset = 1000;
            outcomes.push(twin);
        });
        let duplicated = vec![("contracts/in/0/3/0".to_owned(), vec![Kind::Record, Kind::Review])];
        assert_eq!(report, Report { duplicated, ..Report::default() });
    }

    #[test]
    fn two_records_of_a_key_swapped_are_reported_and_nothing_else() {
        // Deliveries 0 and 6 of partition 0 are both `red`.
        let report = broken(|outcomes| {
            let first =
                outcomes.iter().position(|it| it.record_id == "contracts/in/0/0/1").unwrap();
            let second =
                outcomes.iter().position(|it| it.record_id == "contracts/in/0/9/0").unwrap();
            let offset = outcomes[first].output_offset;
            outcomes[first].output_offset = outcomes[second].output_offset;
            outcomes[second].output_offset = offset;
        });
        let pair = ("contracts/in/0/0/1".to_owned(), "contracts/in/0/9/0".to_owned());
        assert_eq!(report, Report { swapped: vec![pair], ..Report::default() });
    }

    #[test]
    fn two_records_of_different_keys_may_change_places() {
        let (inputs, mut outcomes) = clean();
        let green = outcomes.iter().position(|it| it.record_id == "contracts/in/0/3/0").unwrap();
        outcomes[green].output_offset = -1;
        assert!(check("contracts", &inputs, &outcomes).is_clean());
    }

    #[test]
    fn an_outcome_of_no_input_is_unexpected() {
        let report = broken(|outcomes| {
            let mut stranger = outcomes[0].clone();
            stranger.record_id = "contracts/in/0/1/0".to_owned();
            stranger.source_offset = 1;
            stranger.output_offset = 1000;
            stranger.key = None;
            outcomes.push(stranger);
        });
        let unexpected = vec!["contracts/in/0/1/0".to_owned()];
        assert_eq!(report, Report { unexpected, ..Report::default() });
    }

    #[test]
    fn a_source_or_a_key_that_contradicts_the_record_id_is_reported() {
        let contradictory = vec!["contracts/in/0/0/0".to_owned()];
        let report = broken(|outcomes| outcomes[0].key = Some(b"grey".to_vec()));
        assert_eq!(report, Report { contradictory: contradictory.clone(), ..Report::default() });
        let report = broken(|outcomes| outcomes[0].source_partition = 1);
        assert_eq!(report, Report { contradictory, ..Report::default() });
    }

    #[test]
    fn an_audit_that_lacks_doubles_or_invents_an_entry_is_reported() {
        let (inputs, outcomes) = clean();
        let entries: Vec<_> = outcomes.iter().map(|it| (it.record_id.clone(), it.kind)).collect();
        let unaudited = |entries: &[(String, Kind)]| {
            let mut report = check("contracts", &inputs, &outcomes);
            check_audit(&outcomes, entries, &mut report);
            report.unaudited
        };
        let first = entries[0].0.as_str();
        assert!(unaudited(&entries).is_empty());
        assert_eq!(unaudited(&entries[1..]), [first]);
        let with = |entry: (String, Kind)| [entries.clone(), vec![entry]].concat();
        assert_eq!(unaudited(&with(entries[0].clone())), [first]);
        assert_eq!(unaudited(&with(("x".to_owned(), Kind::Record))), ["x"]);
        let mut other = entries.clone();
        other[0].1 = Kind::Reject;
        assert_eq!(unaudited(&other), [first, first]);
    }

    #[test]
    fn the_report_names_what_is_wrong() {
        let report = broken(|outcomes| drop(outcomes.remove(0)));
        let text = report.to_string();
        assert!(text.starts_with("1 lost, 0 duplicated"), "{text}");
        assert!(text.contains("lost contracts/in/0/0/0"), "{text}");
    }
}
