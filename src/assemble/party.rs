//! `marks -> marks of names`: which spans of a contract name its parties.
//!
//! A contract names a party once and then speaks of it by a term: `Acme Holdings, Inc.
//! ("Acme", the "Licensor")`. The list of parties holds the names. The rule, over the spans of one
//! document:
//!
//! 1. Pronouns, roles ("the Licensor", "Party A") and phrases about the parties ("each a Party")
//!    never count.
//! 2. A span without a legal form of its own ("Inc.") is a term where the contract defines it so,
//!    in quotation marks and brackets; where its words stand together in a longer name ("Acme");
//!    or where its capitals run through one ("AHI"). Terms count only where no name is left.
//!
//! Deliberately changes no span: a name is published as it stands.

use std::collections::BTreeSet;

use super::marks::Mark;
use super::reading::{collapse, key};
use crate::types::Text;

/// Limit: above so many names, short forms are not looked for: the search compares every name
/// with every other, and a list so long is no contract's.
const NAMES_MAX: usize = 256;

/// Limit: words longer than this, in bytes, are a passage and no name.
const NAME_BYTES_MAX: usize = 400;

/// One mark with its words.
struct Name {
    mark: Mark,
    words: String,
    parts: Vec<String>,
}

/// The marks to list, in text order.
pub(super) fn names(marks: &[Mark], text: &Text) -> Vec<Mark> {
    let name = |mark: &Mark| {
        let words = text.slice(mark.span).filter(|words| words.len() <= NAME_BYTES_MAX)?;
        let words = collapse(words);
        // Words in front of a quotation mark decide for the rest: `Supplier" or "Acme`.
        let words = words.split(QUOTES).next().unwrap_or_default().to_owned();
        let parts = split(&words);
        (!is_phrase(&words, &parts)).then_some(Name { mark: *mark, words, parts })
    };
    let parties: Vec<_> = marks.iter().filter_map(name).collect();
    let defined = defined_terms(text);
    let is_short = |party: &Name| {
        parties.len() <= NAMES_MAX && parties.iter().any(|other| party.is_short_for(other))
    };
    let is_term = |party: &Name| {
        !party.has_legal_form() && (defined.contains(&key(&party.words)) || is_short(party))
    };
    let names: Vec<_> =
        parties.iter().filter(|party| !is_term(party)).map(|party| party.mark).collect();
    if names.is_empty() { parties.iter().map(|party| party.mark).collect() } else { names }
}

/// Roles that contracts give to their parties, and pronouns.
const ROLES: &[&str] = &[
    "administrator",
    "advisor",
    "affiliate",
    "agency",
    "agent",
    "bank",
    "borrower",
    "buyer",
    "carrier",
    "client",
    "company",
    "consultant",
    "contractor",
    "corporation",
    "customer",
    "developer",
    "distributor",
    "employee",
    "employer",
    "executive",
    "franchisee",
    "franchisor",
    "fund",
    "guarantor",
    "he",
    "holder",
    "i",
    "investor",
    "it",
    "joint venturer",
    "lender",
    "lessee",
    "lessor",
    "licensee",
    "licensor",
    "manager",
    "manufacturer",
    "marketing affiliate",
    "me",
    "member",
    "operator",
    "our",
    "owner",
    "partner",
    "party",
    "provider",
    "publisher",
    "purchaser",
    "recipient",
    "representative",
    "reseller",
    "seller",
    "servicer",
    "service provider",
    "shareholder",
    "she",
    "shipper",
    "sponsor",
    "stockholder",
    "subscriber",
    "supplier",
    "tenant",
    "they",
    "transporter",
    "trust",
    "trustee",
    "us",
    "user",
    "vendor",
    "we",
    "you",
    "your",
];

/// Words that only phrases about the parties hold.
const PHRASES: &[&str] = &[
    "party",
    "parties",
    "collectively",
    "individually",
    "hereinafter",
    "herein",
    "hereby",
    "hereto",
    "referred",
    "together",
    "set forth",
    "undersigned",
    "listed on",
    "each of",
];

/// Words with which descriptions begin, and names do not.
const OPENINGS: &[&str] = &["a ", "an ", "its ", "this ", "also known", "formerly known"];

/// Whether the words are a role, a pronoun or a phrase instead of a name.
fn is_phrase(words: &str, parts: &[String]) -> bool {
    let is_article = |part: &&String| matches!(part.as_str(), "the" | "a" | "an" | "each" | "such");
    let bare =
        parts.iter().skip_while(is_article).map(String::as_str).collect::<Vec<_>>().join(" ");
    let singular = bare.strip_suffix('s').unwrap_or(&bare);
    let padded = format!(" {bare} ");
    bare.chars().count() < 2
        || OPENINGS.iter().any(|opening| words.starts_with(opening))
        || ROLES.contains(&bare.as_str())
        || ROLES.contains(&singular)
        || PHRASES.iter().any(|phrase| padded.contains(&format!(" {phrase} ")))
}

/// Quotation marks around defined terms; single ones are apostrophes too often.
const QUOTES: &[char] = &['"', '“', '”'];

/// Limit: quoted words longer than this, in bytes, are no term.
const TERM_BYTES_MAX: usize = 80;

/// Limit: a bracket farther in front of quoted words than this, in bytes, does not hold them.
const BRACKET_BYTES_MAX: usize = 160;

/// Keys of the terms that the text defines: words in quotation marks inside round brackets, as in
/// `(the "Agent")`. What stands between two quotations instead of in one begins with a gap or a
/// bracket.
fn defined_terms(text: &Text) -> BTreeSet<String> {
    let body = text.as_str();
    let mut terms = BTreeSet::new();
    let mut start = 0;
    for piece in body.split(QUOTES) {
        let is_term = piece.len() <= TERM_BYTES_MAX && piece.starts_with(char::is_alphanumeric);
        if is_term && is_in_brackets(body, start) {
            terms.insert(key(piece.strip_prefix("the ").unwrap_or(piece)));
        }
        let end = start + piece.len();
        let quote = body.get(end..).and_then(|rest| rest.chars().next());
        start = end + quote.map_or(0, char::len_utf8);
    }
    terms
}

/// Whether a round bracket is open at byte `at`.
fn is_in_brackets(body: &str, at: usize) -> bool {
    let from = body.floor_char_boundary(at.saturating_sub(BRACKET_BYTES_MAX));
    let before = body.get(from..at).unwrap_or_default();
    match (before.rfind('('), before.rfind(')')) {
        (Some(open), Some(closed)) => closed < open,
        (open, _) => open.is_some(),
    }
}

impl Name {
    fn has_legal_form(&self) -> bool {
        let last = self.parts.last().map(String::as_str).unwrap_or_default();
        self.parts.len() > 1 && LEGAL_FORMS.contains(&last)
    }

    /// Whether this is a shorter way to say `other`.
    fn is_short_for(&self, other: &Self) -> bool {
        let count = self.parts.len();
        if count == 0 || key(&self.words).len() >= key(&other.words).len() {
            return false;
        }
        let is_part = other.parts.windows(count).any(|window| window == self.parts.as_slice());
        is_part || is_acronym(&self.words, &other.words)
    }
}

/// Whether `name` is in capitals and its letters run through `other`, from its first.
fn is_acronym(name: &str, other: &str) -> bool {
    let plain = |words: &str| -> Vec<char> {
        words
            .chars()
            .filter(|letter| letter.is_alphanumeric())
            .flat_map(char::to_lowercase)
            .collect()
    };
    let (letters, others) = (plain(name), plain(other));
    if name.chars().any(char::is_lowercase) || letters.first() != others.first() {
        return false;
    }
    let mut letters = letters.into_iter().peekable();
    for other in others {
        letters.next_if_eq(&other);
    }
    letters.peek().is_none()
}

/// Words that end the registered name of a company, in lower case without full stops.
const LEGAL_FORMS: &[&str] = &[
    "inc",
    "incorporated",
    "llc",
    "lc",
    "ltd",
    "limited",
    "llp",
    "lp",
    "corp",
    "corporation",
    "co",
    "company",
    "plc",
    "gmbh",
    "ag",
    "sa",
    "sarl",
    "sas",
    "srl",
    "spa",
    "bv",
    "nv",
    "ab",
    "as",
    "oy",
    "kk",
    "pty",
    "pte",
    "bhd",
    "na",
    "fsb",
    "trust",
    "fund",
    "bank",
];

/// Words of letters and digits in lower case; full stops fall out, so that "L.P." is "lp".
fn split(words: &str) -> Vec<String> {
    let joined: String = words
        .chars()
        .filter(|letter| !".'’".contains(*letter))
        .flat_map(char::to_lowercase)
        .collect();
    let split = joined.split(|letter: char| !letter.is_alphanumeric());
    split.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{Mark, names};
    use crate::types::{Span, Text};

    /// Marks each of `spans`, in their order, in `body`.
    fn check(body: &str, spans: &[&str], expected: &[&str]) {
        let text = Text::from_pages([body.to_owned()]);
        let mut from = 0;
        let mut marks = Vec::new();
        for span in spans {
            let rest = body.get(from..).expect("spans end between characters");
            let start = from + rest.find(span).expect("the span stands in the body");
            from = start + span.len();
            marks.push(Mark { span: Span { start, end: from }, confidence: 0.5, label: None });
        }
        let names: Vec<_> =
            names(&marks, &text).iter().filter_map(|mark| text.slice(mark.span)).collect();
        assert_eq!(names, expected, "of {body:?}");
    }

    #[test]
    fn names_are_listed_and_terms_are_not() {
        check(
            "Collectible Concepts Group, Inc. (\"CCGI\") and Pivotal Self Service Tech, Inc. (\"PVSS\")",
            &[
                "Collectible Concepts Group, Inc.",
                "CCGI",
                "Pivotal Self Service Tech, Inc.",
                "PVSS",
            ],
            &["Collectible Concepts Group, Inc.", "Pivotal Self Service Tech, Inc."],
        );
        check(
            "Redwater LLC (the \"Contractor\"), each a “Party”, and Galaxy Telnet SRL. Telnet is",
            &["Redwater LLC", "Contractor", "Party", "Galaxy Telnet SRL", "Telnet"],
            &["Redwater LLC", "Galaxy Telnet SRL"],
        );
        check(
            "International Business Machines Corporation, IBM and the Customer, we or us",
            &["International Business Machines Corporation", "IBM", "the Customer", "we", "us"],
            &["International Business Machines Corporation"],
        );
    }

    #[test]
    fn a_name_inside_another_stays_where_it_has_a_legal_form() {
        check(
            "HPS Partners, L.P. and HPS Partners, L.P. II",
            &["HPS Partners, L.P.", "HPS Partners, L.P. II"],
            &["HPS Partners, L.P.", "HPS Partners, L.P. II"],
        );
    }

    #[test]
    fn a_passage_is_no_name() {
        let passage = "Acme and Beta ".repeat(40);
        check(&format!("{passage}; Redwater LLC"), &[&passage, "Redwater LLC"], &["Redwater LLC"]);
    }

    #[test]
    fn terms_are_listed_where_no_name_is_left_and_roles_never() {
        check("\"Nationwide\" and the \"Company\"", &["Nationwide", "Company"], &["Nationwide"]);
        check("the Licensor and the Licensee", &["Licensor", "Licensee"], &[]);
    }
}
