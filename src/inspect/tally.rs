//! `expected parts, outcomes, audit entries -> which parts are missing, twice or contradicted`. Pure.
//!
//! Six bytes a part and 40 a message, so that a sweep over two million parts takes some 90 MB at most,
//! however many outcomes it is shown.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::types::{OutcomeKind, record_id};

/// Limit: findings that are kept and told one by one; the others are counted.
pub const FINDINGS_MAX: usize = 1_000;

/// What is wrong with a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// No outcome.
    Missing,
    /// More than one outcome.
    Doubled,
    /// An outcome of an input that is not there, or of a part that it does not have.
    Unexpected,
    /// An outcome without an entry in the audit.
    AuditMissing,
    /// More entries in the audit than outcomes.
    AuditDoubled,
    /// The audit says that it ended in another way.
    AuditContradicts,
}

impl Wrong {
    /// Name as it is printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Doubled => "doubled",
            Self::Unexpected => "unexpected",
            Self::AuditMissing => "audit_missing",
            Self::AuditDoubled => "audit_doubled",
            Self::AuditContradicts => "audit_contradicts",
        }
    }
}

/// One part that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// What is wrong.
    #[serde(rename = "finding")]
    pub wrong: Wrong,
    /// Which part.
    pub record_id: String,
    /// Its outcomes, by kind.
    pub outcomes: Vec<&'static str>,
    /// Its entries in the audit, by kind.
    pub audited: Vec<&'static str>,
}

/// Numbers of parts; a delivery of many counts as many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Messages of the input that were looked at.
    pub messages: u64,
    /// Of them, those with a null body.
    pub tombstones: u64,
    /// Parts that they must give.
    pub parts: u64,
    /// Outcomes on the record topic.
    pub records: u64,
    /// Outcomes on the review topic.
    pub reviews: u64,
    /// Outcomes on the reject topic.
    pub rejects: u64,
    /// Entries in the audit.
    pub audited: u64,
    /// Parts without outcome whose outcome may have been deleted by retention or compaction.
    pub outcome_expired: u64,
}

/// What came of each part.
#[derive(Clone, Copy, Default)]
struct Tally {
    outcomes: [u8; 3],
    audited: [u8; 3],
}

struct Slot {
    offset: i64,
    /// When it was sent, in milliseconds since 1970.
    time_ms: i64,
    /// Index of its first part.
    base: usize,
    parts: u32,
    holds: Holds,
}

/// What a message holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Parts, as many as are expected.
    Parts,
    /// A claim: its document is not fetched here, and may have more parts than one.
    Claim,
    /// A null body.
    Tombstone,
}

const KINDS: [OutcomeKind; 3] = [OutcomeKind::Record, OutcomeKind::Review, OutcomeKind::Reject];

const fn index(kind: OutcomeKind) -> usize {
    match kind {
        OutcomeKind::Record => 0,
        OutcomeKind::Review => 1,
        OutcomeKind::Reject => 2,
    }
}

/// Which part of which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartOf {
    /// Partition of the input.
    pub partition: i32,
    /// Offset in it.
    pub offset: i64,
    /// Part of the message.
    pub part: u32,
}

/// A message of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Partition of the input.
    pub partition: i32,
    /// Offset in it.
    pub offset: i64,
    /// Its timestamp, in milliseconds since 1970.
    pub time_ms: i64,
}

/// One sweep: messages that were read, and what was found of their parts.
#[derive(Default)]
pub struct Sweep {
    slots: BTreeMap<i32, Vec<Slot>>,
    tallies: Vec<Tally>,
    /// Parts of claims, but for the first of each.
    claimed: BTreeMap<PartOf, Tally>,
    /// Outcomes that belong to no part; bounded by [`FINDINGS_MAX`].
    strays: BTreeMap<PartOf, Tally>,
    strays_count: u64,
}

impl Sweep {
    /// Parts that are expected so far.
    pub fn parts_count(&self) -> usize {
        self.tallies.len()
    }

    /// Expects the `parts` of a message, which must stand above those before it in its partition.
    pub fn expect(&mut self, message: Sent, parts: u32) {
        self.add(message, parts, Holds::Parts);
    }

    /// Expects the parts of a document that is claimed: one at least, and none left out before the
    /// last one that has an outcome.
    pub fn expect_claim(&mut self, message: Sent) {
        self.add(message, 1, Holds::Claim);
    }

    /// Expects a null body, passed on to record and review topic where `is_forwarded`.
    pub fn expect_tombstone(&mut self, message: Sent, is_forwarded: bool) {
        self.add(message, u32::from(is_forwarded), Holds::Tombstone);
    }

    fn add(&mut self, message: Sent, parts: u32, holds: Holds) {
        let Sent { partition, offset, time_ms } = message;
        let base = self.tallies.len();
        let slots = self.slots.entry(partition).or_default();
        debug_assert!(slots.last().is_none_or(|last| last.offset < offset), "offsets rise");
        slots.push(Slot { offset, time_ms, base, parts, holds });
        let parts = usize::try_from(parts).unwrap_or_default();
        self.tallies.resize(base + parts, Tally::default());
    }

    fn tally(&mut self, of: PartOf) -> Option<&mut Tally> {
        let known = self.slots.get(&of.partition).and_then(|slots| {
            let at = slots.binary_search_by_key(&of.offset, |slot| slot.offset).ok()?;
            slots.get(at).filter(|slot| of.part < slot.parts || slot.holds == Holds::Claim)
        });
        let Some(slot) = known else {
            self.strays_count += u64::from(!self.strays.contains_key(&of));
            let has_room = self.strays.len() < FINDINGS_MAX || self.strays.contains_key(&of);
            return if has_room { Some(self.strays.entry(of).or_default()) } else { None };
        };
        if of.part >= slot.parts {
            return Some(self.claimed.entry(of).or_default());
        }
        let part = usize::try_from(of.part).unwrap_or_default();
        self.tallies.get_mut(slot.base + part)
    }

    /// An outcome was read.
    pub fn ended(&mut self, of: PartOf, kind: OutcomeKind) {
        let Some(tally) = self.tally(of) else { return };
        count(&mut tally.outcomes, kind);
    }

    /// An entry of the audit was read.
    pub fn audited(&mut self, of: PartOf, kind: OutcomeKind) {
        let Some(tally) = self.tally(of) else { return };
        count(&mut tally.audited, kind);
    }

    /// How many parts a message has, as far as is known.
    fn parts_of(&self, partition: i32, slot: &Slot) -> u32 {
        let of = |part| PartOf { partition, offset: slot.offset, part };
        let last = self.claimed.range(of(slot.parts)..=of(u32::MAX)).next_back();
        last.map_or(slot.parts, |(last, _)| last.part.saturating_add(1))
    }

    /// What came of one part of a message.
    fn of(&self, slot: &Slot, of: PartOf) -> Tally {
        if of.part >= slot.parts {
            return self.claimed.get(&of).copied().unwrap_or_default();
        }
        let at = slot.base + usize::try_from(of.part).unwrap_or_default();
        self.tallies.get(at).copied().unwrap_or_default()
    }

    /// Judges every part. `may_be_gone` tells of a message whether retention or compaction may have
    /// deleted outcomes of it; `has_audit`, whether the flow writes one.
    pub fn judge(
        &self,
        flow: (&str, &str),
        has_audit: bool,
        may_be_gone: impl Fn(Sent) -> bool,
        verdict: &mut Verdict,
    ) {
        for (partition, slots) in &self.slots {
            for slot in slots {
                verdict.sums.messages += 1;
                let is_tombstone = slot.holds == Holds::Tombstone;
                verdict.sums.tombstones += u64::from(is_tombstone);
                let (offset, time_ms) = (slot.offset, slot.time_ms);
                let is_gone = may_be_gone(Sent { partition: *partition, offset, time_ms });
                for part in 0..self.parts_of(*partition, slot) {
                    let of = PartOf { partition: *partition, offset: slot.offset, part };
                    let tally = self.of(slot, of);
                    if is_tombstone {
                        verdict.tombstone(flow, of, tally, is_gone);
                    } else {
                        verdict.part(flow, of, tally, (has_audit, is_gone));
                    }
                }
            }
        }
        for (of, tally) in &self.strays {
            verdict.found(Wrong::Unexpected, flow, *of, *tally);
        }
        let told = u64::try_from(self.strays.len()).unwrap_or(u64::MAX);
        if self.strays_count > told {
            *verdict.counts.entry(Wrong::Unexpected).or_default() += self.strays_count - told;
        }
    }
}

fn count(counts: &mut [u8; 3], kind: OutcomeKind) {
    if let Some(count) = counts.get_mut(index(kind)) {
        *count = count.saturating_add(1);
    }
}

fn names(counts: [u8; 3]) -> Vec<&'static str> {
    let named = KINDS.into_iter().zip(counts);
    named.flat_map(|(kind, count)| std::iter::repeat_n(kind.name(), usize::from(count))).collect()
}

/// What the sweeps gave.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Numbers.
    pub sums: Sums,
    /// How many of each, all of them.
    pub counts: BTreeMap<Wrong, u64>,
    /// The first [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.counts.is_empty()
    }

    fn found(&mut self, wrong: Wrong, (pipeline, topic): (&str, &str), of: PartOf, tally: Tally) {
        *self.counts.entry(wrong).or_default() += 1;
        if self.findings.len() >= FINDINGS_MAX {
            return;
        }
        let position = crate::types::Position {
            topic: std::sync::Arc::from(topic),
            partition: of.partition,
            offset: of.offset,
        };
        let record_id = record_id(pipeline, &position, of.part);
        let (outcomes, audited) = (names(tally.outcomes), names(tally.audited));
        self.findings.push(Finding { wrong, record_id, outcomes, audited });
    }

    fn part(
        &mut self,
        flow: (&str, &str),
        of: PartOf,
        tally: Tally,
        (has_audit, may_be_gone): (bool, bool),
    ) {
        let [records, reviews, rejects] = tally.outcomes.map(u64::from);
        let outcomes = records + reviews + rejects;
        let audited: u64 = tally.audited.into_iter().map(u64::from).sum();
        self.sums.parts += 1;
        self.sums.records += records;
        self.sums.reviews += reviews;
        self.sums.rejects += rejects;
        self.sums.audited += audited;
        if outcomes == 0 && may_be_gone {
            self.sums.outcome_expired += 1;
            return;
        }
        match outcomes {
            0 => self.found(Wrong::Missing, flow, of, tally),
            1 => {}
            _ => self.found(Wrong::Doubled, flow, of, tally),
        }
        if !has_audit || tally.outcomes == tally.audited {
            return;
        }
        if audited > outcomes.max(1) {
            self.found(Wrong::AuditDoubled, flow, of, tally);
        } else if audited < outcomes && !may_be_gone {
            self.found(Wrong::AuditMissing, flow, of, tally);
        } else if audited == outcomes {
            self.found(Wrong::AuditContradicts, flow, of, tally);
        }
    }

    /// A null body stands once on the record and once on the review topic.
    fn tombstone(&mut self, flow: (&str, &str), of: PartOf, tally: Tally, may_be_gone: bool) {
        let [records, reviews, rejects] = tally.outcomes;
        if records > 1 || reviews > 1 || rejects > 0 {
            self.found(Wrong::Doubled, flow, of, tally);
        } else if records + reviews < 2 && may_be_gone {
            self.sums.outcome_expired += 1;
        } else if records + reviews < 2 {
            self.found(Wrong::Missing, flow, of, tally);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PartOf, Sent, Sweep, Verdict, Wrong};
    use crate::types::OutcomeKind::{self, Record, Reject, Review};

    const FLOW: (&str, &str) = ("p", "in");

    fn part(offset: i64, part: u32) -> PartOf {
        PartOf { partition: 0, offset, part }
    }

    fn sent(offset: i64) -> Sent {
        Sent { partition: 0, offset, time_ms: 0 }
    }

    /// Offsets 3, 5 (three parts) and 9 (a null body), all as they should be.
    fn clean() -> Sweep {
        let mut sweep = Sweep::default();
        sweep.expect(sent(3), 1);
        sweep.expect(sent(5), 3);
        sweep.expect_tombstone(sent(9), true);
        for (of, kind) in
            [(part(3, 0), Review), (part(5, 0), Record), (part(5, 1), Reject), (part(5, 2), Record)]
        {
            sweep.ended(of, kind);
            sweep.audited(of, kind);
        }
        sweep.ended(part(9, 0), Record);
        sweep.ended(part(9, 0), Review);
        sweep
    }

    fn judged(sweep: &Sweep) -> Verdict {
        let mut verdict = Verdict::default();
        sweep.judge(FLOW, true, |message| message.offset < 0, &mut verdict);
        verdict
    }

    fn check(harm: impl FnOnce(&mut Sweep), expected: &[(Wrong, &str)]) {
        let mut sweep = clean();
        harm(&mut sweep);
        let verdict = judged(&sweep);
        let found = verdict.findings.iter().map(|one| (one.wrong, one.record_id.as_str()));
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn parts_with_one_outcome_and_one_entry_each_are_clean_and_summed() {
        let verdict = judged(&clean());
        assert!(verdict.is_clean(), "{:?}", verdict.findings);
        let sums = verdict.sums;
        assert_eq!((sums.messages, sums.tombstones, sums.parts), (3, 1, 4));
        assert_eq!((sums.records, sums.reviews, sums.rejects, sums.audited), (2, 1, 1, 4));
    }

    #[test]
    fn what_is_wrong_is_told_of_the_part_that_it_is_wrong_with() {
        let twice = |of: PartOf, kind: OutcomeKind| move |sweep: &mut Sweep| sweep.ended(of, kind);
        check(
            twice(part(5, 1), Record),
            &[(Wrong::Doubled, "p/in/0/5/1"), (Wrong::AuditMissing, "p/in/0/5/1")],
        );
        check(twice(part(9, 0), Record), &[(Wrong::Doubled, "p/in/0/9/0")]);
        check(twice(part(5, 3), Record), &[(Wrong::Unexpected, "p/in/0/5/3")]);
        check(twice(part(4, 0), Record), &[(Wrong::Unexpected, "p/in/0/4/0")]);
        check(|sweep| sweep.audited(part(3, 0), Review), &[(Wrong::AuditDoubled, "p/in/0/3/0")]);
        check(|sweep| sweep.expect(sent(10), 1), &[(Wrong::Missing, "p/in/0/10/0")]);
        check(|sweep| sweep.expect_tombstone(sent(10), true), &[(Wrong::Missing, "p/in/0/10/0")]);
        check(|sweep| sweep.expect_tombstone(sent(10), false), &[]);
        check(
            |sweep| {
                sweep.expect(sent(10), 1);
                sweep.ended(part(10, 0), Record);
                sweep.audited(part(10, 0), Reject);
            },
            &[(Wrong::AuditContradicts, "p/in/0/10/0")],
        );
    }

    #[test]
    fn a_claim_has_one_part_at_least_and_none_is_left_out() {
        let claimed = |parts: &'static [u32]| {
            move |sweep: &mut Sweep| {
                sweep.expect_claim(sent(10));
                for number in parts {
                    sweep.ended(part(10, *number), Record);
                    sweep.audited(part(10, *number), Record);
                }
            }
        };
        check(claimed(&[0]), &[]);
        check(claimed(&[2, 0, 1]), &[]);
        check(claimed(&[]), &[(Wrong::Missing, "p/in/0/10/0")]);
        check(claimed(&[0, 2]), &[(Wrong::Missing, "p/in/0/10/1")]);
        check(claimed(&[0, 1, 1]), &[(Wrong::Doubled, "p/in/0/10/1")]);
    }

    #[test]
    fn an_entry_without_an_outcome_is_no_outcome() {
        check(
            |sweep| {
                sweep.expect(sent(10), 1);
                sweep.audited(part(10, 0), Record);
            },
            &[(Wrong::Missing, "p/in/0/10/0")],
        );
    }

    #[test]
    fn an_outcome_that_retention_may_have_deleted_is_not_called_missing() {
        let mut sweep = clean();
        sweep.expect(sent(10), 1);
        let mut verdict = Verdict::default();
        sweep.judge(FLOW, true, |message| message.offset == 10, &mut verdict);
        assert!(verdict.is_clean());
        assert_eq!(verdict.sums.outcome_expired, 1);
    }

    #[test]
    fn strays_beyond_the_limit_are_counted() {
        let mut sweep = clean();
        for offset in 0..1_500 {
            sweep.ended(PartOf { partition: 7, offset, part: 0 }, Record);
        }
        let verdict = judged(&sweep);
        assert_eq!(verdict.findings.len(), super::FINDINGS_MAX);
        assert_eq!(verdict.counts.get(&Wrong::Unexpected), Some(&1_500));
    }
}
