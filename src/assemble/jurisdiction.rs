//! `raw words -> state or country`: "the laws of the State of New York" -> "New York".
//!
//! Knows the names of the table in `places` and no others. Deliberately does not say to which
//! country a state belongs, and reads no city.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::places::{INITIALS, PLACES};
use super::reading::{Candidate, Reading, collapse, has_blank, only, pattern, text_value};

/// Reads the jurisdiction of a span: the first place whose law is named ("laws of ...", "...
/// law"), or else the only place named. Blank: no place and a redaction mark.
pub(super) fn read(raw: &str) -> Reading {
    let found = find(raw);
    if found.is_empty() {
        return if has_blank(raw) { Reading::Blank } else { Reading::Unread };
    }
    let lawful: Vec<_> = found.iter().filter(|place| names_law(raw, place)).collect();
    let is_state = |place: &&&Candidate<_>| !place.value.is_some_and(|name| UNIONS.contains(&name));
    let chosen = match lawful.iter().find(is_state).or(lawful.first()) {
        Some(place) => place.value,
        None => only(found.iter().map(|place| place.value)),
    };
    match chosen {
        Some(name) => text_value(name.to_owned()),
        None => Reading::Unread,
    }
}

/// Countries whose law stands beside that of a state: of "the laws of the United States and the
/// State of Florida" the state is meant.
const UNIONS: &[&str] = &["Canada", "United States"];

/// Every place in order. A name counts where it begins with a capital: "turkey" is a bird.
fn find(raw: &str) -> Vec<Candidate<&'static str>> {
    let names = NAMES.find_iter(raw).filter(|found| found.as_str().starts_with(char::is_uppercase));
    names
        .filter_map(|found| {
            let spelled = collapse(found.as_str()).to_lowercase().replace('’', "'");
            let value = BY_SPELLING.get(spelled.as_str())?;
            Some(Candidate { start: found.start(), end: found.end(), value: Some(*value) })
        })
        .collect()
}

/// Whether the words around a place make it one whose law is named.
fn names_law(raw: &str, place: &Candidate<&'static str>) -> bool {
    let from = raw.floor_char_boundary(place.start.saturating_sub(AROUND_BYTES));
    let to = raw.floor_char_boundary(place.end + AROUND_BYTES);
    let before = raw.get(from..place.start).unwrap_or_default();
    let after = raw.get(place.end..to).unwrap_or_default();
    (LAW_BEFORE.is_match(before) && !FEDERAL_BEFORE.is_match(before)) || LAW_AFTER.is_match(after)
}

/// Limit: words farther from a place than this, in bytes, say nothing of it.
const AROUND_BYTES: usize = 160;

/// "laws of the State of", with at most a short insertion.
static LAW_BEFORE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b(?:laws?|legislation|statutes)\b[^.;]{0,80}$"));

static FEDERAL_BEFORE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\bfederal\s+laws?\s+of\s+(?:the\s+)?$"));

/// "New York law", "New York State law", "English substantive law".
static LAW_AFTER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)^(?:\s+(?:state|internal|substantive|contract|commercial))?\s+laws?\b")
});

/// Spelling in lower case to the usual name.
static BY_SPELLING: LazyLock<BTreeMap<String, &'static str>> = LazyLock::new(|| {
    let mut names = BTreeMap::new();
    for (name, others) in PLACES {
        for spelling in std::iter::once(name).chain(others.iter()) {
            names.insert(spelling.to_lowercase(), *name);
        }
    }
    for (initials, name) in INITIALS {
        names.insert(initials.to_lowercase(), *name);
    }
    names
});

static NAMES: LazyLock<Regex> = LazyLock::new(|| {
    let mut spellings: Vec<_> = PLACES
        .iter()
        .flat_map(|(name, others)| std::iter::once(name).chain(others.iter()))
        .collect();
    // Order: longer names first, or "England and Wales" would be read as "England".
    spellings.sort_by_key(|spelling| usize::MAX - spelling.len());
    let spelled = |spelling: &str| {
        let words = regex::escape(spelling).replace(' ', r"\s+").replace('\'', "['’]");
        if spelling.ends_with('.') { words } else { words + r"\b" }
    };
    let spellings: Vec<_> = spellings.iter().map(|spelling| spelled(spelling)).collect();
    let initials: Vec<_> = INITIALS.iter().map(|(initials, _)| spelled(initials)).collect();
    pattern(&format!(r"\b(?:(?i:{})|{})", spellings.join("|"), initials.join("|")))
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{BY_SPELLING, find, read};
    use crate::assemble::places::PLACES;
    use crate::assemble::reading::Reading;
    use crate::types::Value;

    fn check(raw: &str, expected: &str) {
        let shown = match read(raw) {
            Reading::Value(Value::Text(name)) => name.into_inner(),
            Reading::Value(_) => "another type".to_owned(),
            Reading::Blank => "blank".to_owned(),
            Reading::Unread => "unread".to_owned(),
        };
        assert_eq!(shown, expected, "of {raw:?}");
    }

    #[test]
    fn the_law_of_a_place_names_it() {
        check("the laws of the State of New York", "New York");
        check("governed by the law of England and Wales", "England and Wales");
        check("the Commonwealth of Massachusetts", "Massachusetts");
        check("laws of the People’s Republic of China", "China");
        check("in accordance with English law", "England");
        check("THE LAWS OF THE STATE OF DELAWARE", "Delaware");
        check("laws of New\nYork State", "New York");
        check("laws of the Federal Republic of Germany", "Germany");
        check("the laws of the PRC.", "China");
        check("the laws of the U.S.A.", "United States");
        check("the laws of the Republic of Korea", "South Korea");
        check("the laws of New Mexico", "New Mexico");
        check("the laws of the Hong Kong Special Administrative Region", "Hong Kong");
    }

    #[test]
    fn the_first_place_whose_law_is_named_wins_over_places_of_courts() {
        check("laws of the State of Texas; venue lies in Delaware", "Texas");
        check("accepted in Nevada and governed by the laws of Utah", "Utah");
        check("the federal laws of Canada and the laws of the Province of Ontario", "Ontario");
        check("a court in the Netherlands or in Massachusetts", "unread");
    }

    #[test]
    fn what_names_no_place_is_unread_or_blank() {
        check("the laws of [***], without regard to conflicts", "blank");
        check("the laws of the state of the seller", "unread");
        check("we serve turkey", "unread");
        check("", "unread");
    }

    #[test]
    fn every_name_of_the_table_is_found_and_means_one_place() {
        let mut count = 0;
        for (name, others) in PLACES {
            for spelling in std::iter::once(name).chain(others.iter()) {
                let found = find(spelling);
                assert_eq!(found.len(), 1, "{spelling}");
                assert_eq!(found[0].value, Some(*name), "{spelling}");
                count += 1;
            }
        }
        let initials = crate::assemble::places::INITIALS.len();
        assert_eq!(BY_SPELLING.len(), count + initials, "a spelling stands in the table twice");
    }

    proptest! {
        #[test]
        fn any_words_are_read_without_panic(raw in "\\PC{0,80}") {
            read(&raw);
        }
    }
}
