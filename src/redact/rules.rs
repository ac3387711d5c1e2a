//! `text -> identifiers by their form`, and by the words that lead to them.
//!
//! Each rule is a list of patterns of the crate `regex`: linear time, no look-around. Where a
//! pattern has a group `id`, that is the identifier and the rest the words that lead to it.
//! Deliberately wide: a word too much that is hidden costs a reader little, a name that is left
//! costs a patient. Dates are read by [`super::dates`].

use std::sync::LazyLock;

use regex::Regex;

use super::dates;
use crate::config::redaction::IdentifierKind as Kind;
use crate::types::Span;

/// A pattern as it is written here.
#[expect(clippy::expect_used, reason = "the patterns are constants, and a test compiles each")]
pub(super) fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant pattern")
}

/// One pattern of a rule.
struct Pattern {
    kind: Kind,
    regex: Regex,
    /// Fewest digits that the words must hold, as a number or a code does.
    digits_min: usize,
}

/// A number or code: digits, with letters and separators between.
const CODE: &str = r"#?(?P<id>(?:(?:[A-Z]{1,6}[\-/.]){0,2}[A-Z]{0,6}|(?-i:[A-Z]{1,6}) )[0-9][A-Z0-9]*(?:[\-/.][A-Z0-9]+)*)\b";
/// What may stand between a cue and its number.
const LINK: &str =
    r"(?:\s*(?:id|identifier|number|num|no|nr|code)\b)?[\s:#=.(]*(?:(?:is|was|of)\s+)?[\s:#]*";
/// One to four capitalised words or initials behind a title, if there is one.
const PERSON: &str = r"(?:(?:Dr|Mr|Mrs|Ms|Miss|Prof)\b\.?[ \t]+)?(?P<id>(?:\p{Lu}\.|\p{Lu}[\p{L}'’\-]*)(?:[ \t]+(?:(?:de|van|von|der|la|bin|al)[ \t]+)*(?:\p{Lu}\.|\p{Lu}[\p{L}'’\-]*)){0,3})";

static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let pattern = |kind, text: &str| Pattern { kind, regex: compiled(text), digits_min: 0 };
    let code = |kind, cue: &str| Pattern {
        kind,
        regex: compiled(&format!(r"(?i)\b(?:{cue})\b{LINK}{CODE}")),
        digits_min: 3,
    };
    vec![
        code(
            Kind::RecordNumber,
            r"mrn|m\.r\.n|mr|(?:med(?:ical)?\.?\s+)?rec(?:ord)?|chart|hospital|patient(?:['’]s)?",
        ),
        pattern(Kind::RecordNumber, r"(?i)\bmrn(?P<id>[0-9]{4,})\b"),
        code(
            Kind::PlanNumber,
            r"(?:health\s+)?(?:plan|insurance|ins|insur|member(?:ship)?|beneficiary|policy|subscriber|group|medicare|medicaid|payer|hicn|hpbn)(?:\s+(?:plan|insurance|beneficiary|policy|member))?",
        ),
        code(Kind::AccountNumber, r"account|acct|billing|invoice|(?:credit\s+|debit\s+)?card|iban"),
        pattern(
            Kind::Ssn,
            r"(?i)\b(?:ssn|social\s+security)(?:\s+(?:number|num|no))?[\s:#.=]*(?:is\s+)?(?P<id>[0-9x*]{3}[\s\-]?[0-9x*]{2}[\s\-]?[0-9]{4})\b",
        ),
        pattern(Kind::Ssn, r"\b[0-9]{3}[\- ][0-9]{2}[\- ][0-9]{4}\b"),
        pattern(Kind::Email, r"(?i)\b[a-z0-9._%+\-]+@[a-z0-9\-]+(?:\.[a-z0-9\-]+)*\.[a-z]{2,}\b"),
        pattern(Kind::Url, r#"(?i)\b(?:(?:https?|ftp)://|www\.)[^\s<>"']*[^\s<>"'.,;:!?)\]]"#),
        pattern(
            Kind::IpAddress,
            r"\b(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})\b",
        ),
        pattern(
            Kind::IpAddress,
            r"(?i)\b(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}\b|\b(?:[0-9a-f]{1,4}:){1,6}(?::[0-9a-f]{1,4}){1,6}\b|\b(?:[0-9a-f]{2}[:\-]){5}[0-9a-f]{2}\b",
        ),
        pattern(
            Kind::Phone,
            r"(?i)\b(?:phone|tel(?:ephone)?|fax|cell|mobile|pager|call)\b(?:\s*(?:number|no|at|on|is))*[\s:#.]*(?P<id>[+(]?[0-9][0-9 ().\-]{5,18}[0-9])\b",
        ),
        pattern(
            Kind::Phone,
            r"(?:\+[0-9]{1,3}[ .\-]?|\b1[ .\-])?(?:\([0-9]{3}\) ?|\b[0-9]{3}[ .\-])[0-9]{3}[ .\-][0-9]{4}\b(?i: *(?:x|ext\.?) *[0-9]{1,6}\b)?",
        ),
        Pattern {
            kind: Kind::Phone,
            regex: compiled(r"\+[0-9]{1,3}(?:[ .\-]?\(?[0-9]{1,4}\)?){2,5}\b"),
            digits_min: 8,
        },
        pattern(Kind::Phone, r"\b[0-9]{3}-[0-9]{4}\b"),
        pattern(
            Kind::Age,
            r"(?i)\b(?P<id>9[0-9]|1[0-4][0-9])[\s\-]*(?:years?|yrs?|yo|y/o|y\.o\.|y)\b",
        ),
        pattern(Kind::Age, r"(?i)\b(?:age|aged)\b\W{0,3}(?:is\s+)?(?P<id>9[0-9]|1[0-4][0-9])\b"),
        pattern(
            Kind::Age,
            r"(?i)\b(?P<id>ninety(?:[\s\-](?:one|two|three|four|five|six|seven|eight|nine))?|(?:a|one)\s+hundred(?:\s+(?:and\s+)?[a-z]+)?)[\s\-]years?[\s\-]old\b",
        ),
        // "92F with chest pain", and no temperature.
        pattern(
            Kind::Age,
            r"\b(?P<id>9[0-9]|1[0-4][0-9])[ \-]?[MF]\b(?i:,|\s+(?:(?:with|who|here|pt|patient|admitted|seen|found|brought|complain\w*|present\w*|in|from)\b|w/|c/o|s/p|h/o))",
        ),
        pattern(
            Kind::Age,
            r"(?i)\b(?P<id>9[0-9]|1[0-4][0-9])[\s\-]*(?:male|female|man|woman|gentleman|lady)\b",
        ),
        pattern(
            Kind::Age,
            r"(?i)\b(?:died|passed(?:\s+away)?|deceased|turned|turning|lived)\s+(?:at\s+|to\s+)?(?:the\s+age\s+of\s+|age\s+)?(?P<id>9[0-9]|1[0-4][0-9])\b",
        ),
        pattern(Kind::Age, r"(?i)\b(?P<id>(?:9[0-9]|1[0-4][0-9])(?:st|nd|rd|th))\s+birthday\b"),
        pattern(
            Kind::Age,
            r"(?i)\b(?:is|was|turned|turning|at|aged?)\s+(?P<id>ninety(?:[\s\-](?:one|two|three|four|five|six|seven|eight|nine))?)\b",
        ),
        pattern(
            Kind::Age,
            r"(?i)\b(?P<id>ninety(?:[\s\-](?:one|two|three|four|five|six|seven|eight|nine))?)\s+years\s+of\s+age\b",
        ),
        pattern(
            Kind::Age,
            r"(?i)\bin\s+(?:his|her|their)\s+(?:early\s+|mid[\s\-]?|late\s+)?(?P<id>90s|nineties)\b",
        ),
        pattern(
            Kind::Name,
            &format!(
                r"\b(?:Dr|DR|Mr|MR|Mrs|MRS|Ms|MS|Miss|Prof|Rev|Sr|Nurse|Doctor)\b\.?[ \t]+{PERSON}"
            ),
        ),
        pattern(
            Kind::Name,
            &format!(
                r"(?i:\b(?:patient(?:['’]s)?(?:\s+name)?|pt(?:\s+name)?|(?:full\s+|last\s+|first\s+)?name|attending|physician|surgeon|provider|pcp|author|signed|signed\s+by|dictated\s+by|seen\s+by|referred\s+by|requested\s+by|transcribed\s+by|contact|next\s+of\s+kin|guardian|spouse|mother|father|daughter|son|wife|husband)\s*[:=]\s*){PERSON}"
            ),
        ),
        pattern(
            Kind::Name,
            &format!(
                r"(?i:\b(?:named|signed\s+by|dictated\s+by|seen\s+by|referred\s+by|(?:patient|pt)(?:,|\s+is)?)\s+){PERSON}"
            ),
        ),
        pattern(
            Kind::Name,
            &format!(
                r"{PERSON},?[ \t]+(?:M\.?D|D\.?O|R\.?N|N\.?P|P\.?A(?:-C)?|Ph\.?D|DDS|DPM|LCSW|MBBS)\b"
            ),
        ),
        pattern(
            Kind::Place,
            r"\b[0-9]{1,5}[ \t]+(?:[NSEW]\.?[ \t]+)?(?:\p{Lu}[\p{L}'.]*[ \t]+|[0-9]+(?:st|nd|rd|th)[ \t]+){1,4}(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Way|Terrace|Parkway|Pkwy|Highway|Hwy|Circle|Square)\b\.?(?:,?[ \t]*(?:Apt|Apartment|Suite|Unit|#)\.?[ \t]*#?\w+)?",
        ),
        pattern(
            Kind::Place,
            r"\b(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY])[ \t,]+(?P<id>[0-9]{5}(?:-[0-9]{4})?)\b",
        ),
        pattern(
            Kind::Place,
            r"(?i)\b(?:zip|postal)(?:\s+code)?\b[\s:#.]*(?P<id>[0-9]{5}(?:-[0-9]{4})?)\b",
        ),
        pattern(
            Kind::Place,
            r"\b(?:\p{Lu}[\p{L}'’.&\-]*[ \t]+(?:(?:of|and|the|for|de)[ \t]+)*){1,5}(?:Hospital|Hosp|Medical[ \t]+Cent(?:er|re)|Cancer[ \t]+Cent(?:er|re)|Health[ \t]+Cent(?:er|re)|Clinic|Infirmary|Hospice|Nursing[ \t]+Home|Sanatorium)\b",
        ),
        code(
            Kind::Other,
            r"id|identifier|case|claim|licen[cs]e|lic|dea|npi|serial|device|vin|plate|certificate|passport|specimen|accession|encounter|visit|study|order|rx|ref(?:erence)?|badge|employee|student|ticket",
        ),
        // With its cue, which people take for a part of the number.
        Pattern {
            kind: Kind::Other,
            regex: compiled(&format!(
                r"(?i)\b(?:patient|pt|case|study|visit|encounter)\s?(?:id\b|#)[\s:#]*{}",
                CODE.replace("?P<id>", "?:")
            )),
            digits_min: 3,
        },
        pattern(Kind::Other, r"\b[A-Z]{2,5}-[0-9]{4,}\b|\b[0-9]{8,}\b"),
    ]
});

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
        for captures in pattern.regex.captures_iter(text) {
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

    #[test]
    fn each_rule_finds_its_forms() {
        for (kind, text, expected) in [
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
        ] {
            let found = find(text, &[kind]);
            assert!(
                found.iter().any(|hit| &text[hit.span.range()] == expected),
                "{kind:?}: {text}: {:?}",
                found.iter().map(|hit| &text[hit.span.range()]).collect::<Vec<_>>()
            );
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
        ] {
            check(kind, text, &[]);
        }
    }

    #[test]
    fn a_rule_that_is_off_finds_nothing() {
        assert!(find("call (212) 555-1234 at a@example.com", &[Kind::Date]).is_empty());
    }
}
