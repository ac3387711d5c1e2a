//! `items, modifiers -> modifiers by item`: which dosage belongs to which medication.
//!
//! A modifier belongs to the cheapest item of its sentence, where the cost is the bytes between
//! the two and [`MARK_COST_BYTES`] for each comma or semicolon there; of two at one cost the
//! earlier. Each modifier belongs to one item at most; an item may have several. Measured on the
//! relations of MACCROBAT (`tests/it/data/notes.rs`), where pairing one to one, by side or
//! without the marks was worse. Deliberately reads no word but those marks.

use super::frame::Frame;
use super::marks::Mark;
use crate::types::Span;

/// What a comma or semicolon between two spans costs; 10 to 80 measured alike.
const MARK_COST_BYTES: usize = 20;

/// Limit: what is farther apart than this, in bytes, does not belong together; 80 measured alike.
const GAP_BYTES_MAX: usize = 200;

/// The modifiers of each item, cheapest first. `items` stand in text order.
pub(super) fn attach(items: &[Span], modifiers: &[Mark], frame: &Frame<'_>) -> Vec<Vec<Mark>> {
    let reach = reach(items);
    let mut attached: Vec<Vec<(usize, Mark)>> = vec![Vec::new(); items.len()];
    for modifier in modifiers {
        let cheapest = neighbours(items, &reach, modifier.span)
            .into_iter()
            .flatten()
            .filter_map(|item| Some((cost(*items.get(item)?, modifier.span, frame)?, item)))
            .min();
        if let Some((cost, item)) = cheapest
            && let Some(slot) = attached.get_mut(item)
        {
            slot.push((cost, *modifier));
        }
    }
    let in_order = |mut of_item: Vec<(usize, Mark)>| {
        of_item.sort_by_key(|(cost, mark)| (*cost, mark.span));
        of_item.into_iter().map(|(_, mark)| mark).collect()
    };
    attached.into_iter().map(in_order).collect()
}

/// For each item, which of it and those before reaches farthest.
fn reach(items: &[Span]) -> Vec<usize> {
    let mut farthest = 0;
    let mut end = 0;
    let mut reach = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        if item.end > end {
            (farthest, end) = (index, item.end);
        }
        reach.push(farthest);
    }
    reach
}

/// The nearest item that starts before the end of `span`, and the nearest behind it: the cost
/// grows with the distance on either side, so no other can be cheaper.
fn neighbours(items: &[Span], reach: &[usize], span: Span) -> [Option<usize>; 2] {
    let behind = items.partition_point(|item| item.start < span.end);
    let before = behind.checked_sub(1).and_then(|last| reach.get(last).copied());
    [before, (behind < items.len()).then_some(behind)]
}

/// The cost of a pair; `None` where it is none.
fn cost(item: Span, modifier: Span, frame: &Frame<'_>) -> Option<usize> {
    let (from, to) = if item.start < modifier.start {
        (item.end, modifier.start)
    } else {
        (modifier.end, item.start)
    };
    if frame.sentence_of(item.start) != frame.sentence_of(modifier.start) {
        return None;
    }
    let gap = to.saturating_sub(from);
    if gap > GAP_BYTES_MAX {
        return None;
    }
    let between = frame.text.slice(Span { start: from, end: from + gap })?;
    let marks = between.bytes().filter(|byte| matches!(byte, b',' | b';')).count();
    Some(gap + marks * MARK_COST_BYTES)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::attach;
    use crate::assemble::frame::Frame;
    use crate::assemble::marks::Mark;
    use crate::assemble::sections::Headings;
    use crate::types::{Span, Text};

    /// Items in square brackets, modifiers in round ones; told as `item: modifiers`.
    fn check(marked: &str, expected: &[(&str, &[&str])]) {
        let mut body = String::new();
        let (mut items, mut modifiers) = (Vec::new(), Vec::new());
        let mut start = 0;
        for letter in marked.chars() {
            match letter {
                '[' | '(' => start = body.len(),
                ']' => items.push(Span { start, end: body.len() }),
                ')' => modifiers.push(Mark::by_rule(Span { start, end: body.len() })),
                _ => body.push(letter),
            }
        }
        let text = Text::from_pages([body.clone()]);
        let headings = Headings::new(&BTreeMap::new());
        let attached = attach(&items, &modifiers, &Frame::new(&text, None, &headings));
        let words = |span: Span| body.get(span.range()).unwrap_or_default();
        let told: Vec<(&str, Vec<&str>)> = items
            .iter()
            .zip(&attached)
            .map(|(item, of)| (words(*item), of.iter().map(|mark| words(mark.span)).collect()))
            .collect();
        let expected: Vec<(&str, Vec<&str>)> =
            expected.iter().map(|(item, of)| (*item, of.to_vec())).collect();
        assert_eq!(told, expected, "{marked}");
    }

    #[test]
    fn a_modifier_goes_to_its_cheapest_item() {
        check(
            "[aspirin] (81 mg), [metoprolol] (25 mg)",
            &[("aspirin", &["81 mg"]), ("metoprolol", &["25 mg"])],
        );
        check(
            "(60 mg) [prednisolone] and [insulin]",
            &[("prednisolone", &["60 mg"]), ("insulin", &[])],
        );
        check(
            "[aspirin], (25 mg) of [metoprolol]",
            &[("aspirin", &[]), ("metoprolol", &["25 mg"])],
        );
    }

    #[test]
    fn an_item_has_all_its_modifiers_nearest_first() {
        check("(mild) [pain], then (severe)", &[("pain", &["mild", "severe"])]);
    }

    #[test]
    fn sentences_and_distance_part_what_does_not_belong_together() {
        check("[aspirin] stopped. Then (25 mg) was given.", &[("aspirin", &[])]);
        check("[Aspirin] stopped.\n\n(25 mg)", &[("Aspirin", &[])]);
        let far = format!("[aspirin] {}(25 mg)", "x ".repeat(120));
        check(&far, &[("aspirin", &[])]);
    }
}
