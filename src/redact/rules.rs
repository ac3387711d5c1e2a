//! `text -> identifiers by their form`, and by the words that lead to them.
//!
//! Each rule is a list of [`super::patterns`]; dates are read by [`super::dates`]. Deliberately
//! resolves no overlap: whoever unites the hits does.

use std::sync::LazyLock;

use regex::Regex;

use super::dates;
use super::patterns::PATTERNS;
use super::search::compiled;
use crate::config::redaction::IdentifierKind as Kind;
use crate::types::Span;

/// One hit of a rule.
pub(super) struct Hit {
    pub(super) kind: Kind,
    pub(super) span: Span,
}

/// Every hit of the rules `kinds` in `text`. Hits of several rules may overlap; of two at one
/// place the surer one comes first.
pub(super) fn find(text: &str, kinds: &[Kind]) -> Vec<Hit> {
    let mut hits = Vec::new();
    for pattern in PATTERNS.iter().filter(|pattern| kinds.contains(&pattern.kind)) {
        for captures in pattern.search.captures_iter(text) {
            let Some(place) = captures.name("id").or_else(|| captures.get(0)) else { continue };
            if digits(place.as_str()) < pattern.digits_min {
                continue;
            }
            let words = place.as_str();
            let start = place.start() + (words.len() - words.trim_start().len());
            let span = Span { start, end: start + words.trim().len() };
            hits.push(Hit { kind: pattern.kind, span });
        }
    }
    let wants = |kind| kinds.contains(&kind);
    if wants(Kind::Date) || wants(Kind::BirthDate) {
        for span in dates::find(text).into_iter().map(|one| one.span) {
            let before = text.get(..span.start).unwrap_or_default();
            if wants(Kind::BirthDate) && BIRTH.is_match(last(before)) {
                hits.push(Hit { kind: Kind::BirthDate, span });
            } else if wants(Kind::Date) {
                hits.push(Hit { kind: Kind::Date, span });
            }
        }
    }
    hits
}

/// Words that lead to a date of birth, at the end of what stands before it.
static BIRTH: LazyLock<Regex> = LazyLock::new(|| {
    compiled(
        r"(?i)\b(?:d\.?o\.?b\.?|date\s+of\s+birth|birth\s?da(?:te|y)|born)\s*[:=(\-]?\s*(?:is\s+|was\s+|on\s+|in\s+)?$",
    )
});

/// Bytes before a date in which such words are looked for.
const CUE_BYTES_MAX: usize = 40;

/// The end of `words`, so long as a cue may be.
fn last(words: &str) -> &str {
    let mut start = words.len().saturating_sub(CUE_BYTES_MAX);
    while !words.is_char_boundary(start) {
        start -= 1;
    }
    words.get(start..).unwrap_or_default()
}

fn digits(words: &str) -> usize {
    words.bytes().filter(u8::is_ascii_digit).count()
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "places come from the same text")]
mod tests {
    use super::{Kind, find};

    fn check(kind: Kind, text: &str, expected: &[&str]) {
        let found: Vec<_> = find(text, &[kind]).iter().map(|hit| &text[hit.span.range()]).collect();
        assert_eq!(found, expected, "{kind:?}: {text}");
    }

    /// Each text holds the words, by the rule of that kind.
    fn check_found(cases: &[(Kind, &str, &str)]) {
        for (kind, text, expected) in cases {
            let found = find(text, &[*kind]);
            let words: Vec<_> = found.iter().map(|hit| &text[hit.span.range()]).collect();
            assert!(words.contains(expected), "{kind:?}: {text}: {words:?}");
        }
    }

    #[test]
    fn each_rule_finds_its_forms() {
        check_found(&[
            (Kind::RecordNumber, "MRN: 982-12-34.", "982-12-34"),
            (Kind::RecordNumber, "medical record number is RH-654321,", "RH-654321"),
            (Kind::RecordNumber, "(MRN #BT-543210)", "BT-543210"),
            (Kind::RecordNumber, "patient ID 987654 today", "987654"),
            (Kind::PlanNumber, "health plan beneficiary number HP-987654", "HP-987654"),
            (Kind::PlanNumber, "Member ID: 54321-7890", "54321-7890"),
            (Kind::AccountNumber, "account no. 9876543210", "9876543210"),
            (Kind::Ssn, "SSN 123456789", "123456789"),
            (Kind::Ssn, "number 123-45-6789 on", "123-45-6789"),
            (Kind::Email, "to john.b@example.com.", "john.b@example.com"),
            (Kind::Url, "see https://example.com/a?b=1.", "https://example.com/a?b=1"),
            (Kind::IpAddress, "from 192.168.1.1,", "192.168.1.1"),
            (Kind::IpAddress, "at fe80::1ff:fe23:4567:890a ok", "fe80::1ff:fe23:4567:890a"),
            (Kind::Phone, "call (212) 555-1234 now", "(212) 555-1234"),
            (Kind::Phone, "fax: 987.654.3210", "987.654.3210"),
            (Kind::Age, "a 93-year-old man", "93"),
            (Kind::Age, "Age: 101", "101"),
            (Kind::Age, "a ninety-one year old man", "ninety-one"),
            (Kind::Name, "by Dr. Emily Clark at", "Emily Clark"),
            (Kind::Name, "Patient: Ann B. Lee\nDOB", "Ann B. Lee"),
            (Kind::Name, "seen by Jürgen Groß, MD", "Jürgen Groß"),
            (Kind::Place, "at 12 Old Mill Road, Apt 4", "12 Old Mill Road, Apt 4"),
            (Kind::Place, "Springfield, IL 62704.", "62704"),
            (Kind::Place, "to St. Mary's Hospital on", "St. Mary's Hospital"),
            (Kind::Date, "on Feb 10th, 2023, she", "Feb 10th, 2023"),
            (Kind::Date, "the third of March 2024", "third of March 2024"),
            (Kind::Date, "seen Monday, March 4, 2024", "Monday, March 4, 2024"),
            (Kind::Date, "Labs 3/1: Na 135", "3/1"),
            (Kind::BirthDate, "DOB: 03/14/1930, seen on 2024-03-20", "03/14/1930"),
            (Kind::BirthDate, "was born on March 14, 1930", "March 14, 1930"),
            (Kind::RecordNumber, "MRN00123456 cough", "00123456"),
            (Kind::Age, "92F with chest pain, T 98F", "92"),
            (Kind::Age, "91M c/o dyspnea", "91"),
            (Kind::Age, "a 95-year-old", "95"),
            (Kind::Age, "94 male", "94"),
            (Kind::Age, "she is ninety two", "ninety two"),
            (Kind::Age, "ninety-three years of age", "ninety-three"),
            (Kind::Age, "Her father died at 95 of it", "95"),
            (Kind::Age, "her 97th birthday", "97th"),
            (Kind::Other, "case #JH-998877", "JH-998877"),
        ]);
    }

    #[test]
    fn the_safe_harbor_list_is_found_in_its_rarer_forms() {
        check_found(&[
            (Kind::Email, "jane dot doe at example dot org", "jane dot doe at example dot org"),
            (
                Kind::Email,
                "to jane.doe [at] mail [dot] example [dot] org",
                "jane.doe [at] mail [dot] example [dot] org",
            ),
            (Kind::Email, "write to jane.doe at example.org", "jane.doe at example.org"),
            (Kind::Url, "see portal.example.org/jane.", "portal.example.org/jane"),
            (Kind::Phone, "fax 2125551234", "2125551234"),
            (Kind::Phone, "reach her at 555 0143.", "555 0143"),
            (Kind::Phone, "+44 20 7946 0958", "+44 20 7946 0958"),
            (Kind::Ssn, "SSN ending in 6789", "6789"),
            (Kind::Ssn, "last four of her SSN: 6789", "6789"),
            (Kind::PlanNumber, "1EG4-TE5-MK73 on file", "1EG4-TE5-MK73"),
            (Kind::AccountNumber, "paid by 4111 1111 1111 1111.", "4111 1111 1111 1111"),
            (Kind::AccountNumber, "acct 44-1029", "44-1029"),
            (Kind::Other, "license plate 7ABC123", "7ABC123"),
            (Kind::Other, "driver's license no. D123-4567-8901", "D123-4567-8901"),
            (Kind::Other, "his car, 1HGCM82633A004352, was", "1HGCM82633A004352"),
            (Kind::Other, "pacemaker serial number PJN481516", "PJN481516"),
            (Kind::Other, "s/n SN-44821-X", "SN-44821-X"),
            (Kind::Other, "certificate no. 88213", "88213"),
            (Kind::Other, "posts as @jane_doe7 often", "@jane_doe7"),
            (
                Kind::Other,
                "3fa85f64-5717-4562-b3fc-2c963f66afa6",
                "3fa85f64-5717-4562-b3fc-2c963f66afa6",
            ),
            (Kind::IpAddress, "mac 00:1A:2b:3c:4d:5e", "00:1A:2b:3c:4d:5e"),
            (Kind::Place, "zip code 62704", "62704"),
            (Kind::Place, "at 62704-1234,", "62704-1234"),
            (Kind::Place, "from Glen Falls, NY", "Glen Falls"),
            (Kind::Place, "of Springfield, Illinois,", "Springfield"),
            (Kind::Place, "P.O. Box 4471", "P.O. Box 4471"),
            (Kind::Place, "in Cook County", "Cook County"),
            (Kind::Name, "Name: DOE, JANE Q.", "DOE, JANE Q."),
            (Kind::Name, "Electronically signed by: Ann Lee", "Ann Lee"),
            (Kind::Name, "Emergency contact: John Roe", "John Roe"),
            // As lines of a page are cut.
            (Kind::Name, "was seen by Dr.\nAnn Lee", "Ann Lee"),
            (Kind::Place, "lives at 12 Old\nMill Road now", "12 Old\nMill Road"),
        ]);
    }

    #[test]
    fn an_age_above_the_limit_is_found_whose_ever_it_is() {
        for (text, expected) in [
            ("Mother: 94, diabetes", "94"),
            ("Her father, 95, has dementia", "95"),
            ("His grandmother (97) lives alone", "97"),
            ("her sister is 91.", "91"),
            ("brother died at the age of 96", "96"),
            ("father died at 93 of a stroke", "93"),
            ("Her mother lived to be 101", "101"),
            ("parents both alive at 92 and", "92"),
            ("mother-in-law is 98 and", "98"),
            ("passed away, aged 90", "90"),
            ("cared for by his 93-year-old wife", "93"),
            ("her aunt is ninety-four and well", "ninety-four"),
            ("mother died at ninety-nine", "ninety-nine"),
            ("grandfather in his 90s", "90s"),
            ("He will be 90, and", "90"),
            ("a centenarian from the coast", "centenarian"),
            ("lived to the age of one hundred", "one hundred"),
            ("ninetieth birthday", "ninetieth"),
        ] {
            let found = find(text, &[Kind::Age]);
            let words: Vec<_> = found.iter().map(|hit| &text[hit.span.range()]).collect();
            assert!(words.contains(&expected), "{text}: {words:?}");
        }
    }

    #[test]
    fn ordinary_words_and_numbers_are_left() {
        for (kind, text) in [
            (Kind::RecordNumber, "records show 2 falls"),
            (Kind::RecordNumber, "patient is 67 years old"),
            (Kind::PlanNumber, "plan: follow up in 12 weeks"),
            (Kind::Age, "a 67-year-old man of 90 kg"),
            (Kind::Phone, "BP 120/80, HR 72, glucose 5.4"),
            (Kind::Place, "the hospital and the clinic"),
            (Kind::Other, "case of 12 patients"),
            (Kind::Ssn, "dose 100 mg 20 times"),
            (Kind::Age, "SpO2 was 98% on room air, heart rate 92"),
            (Kind::Age, "mother of two, weight 95 kg"),
            (Kind::Age, "his father has a pressure of 130/90"),
            (Kind::Email, "seen at home and at work"),
            (Kind::Url, "no edema.Normal gait. approx. 3 cm"),
            (Kind::Place, "Chest pain, CT of the head"),
            (Kind::Name, "CC:\n\nRight knee pain"),
            (Kind::Name, "severe MR.\nValvular disease"),
            (Kind::Email, "on its site at example.org"),
            (Kind::Other, "take 2 tablets @ bedtime"),
            (Kind::Phone, "text of the report, 12 pages"),
        ] {
            check(kind, text, &[]);
        }
    }

    #[test]
    fn a_rule_that_is_off_finds_nothing() {
        assert!(find("call (212) 555-1234 at a@example.com", &[Kind::Date]).is_empty());
    }
}
