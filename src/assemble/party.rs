//! `marks -> marks of names`: which spans of a contract name its parties.
//!
//! A contract names a party once and then speaks of it by a term: `Acme Holdings, Inc.
//! ("Acme", the "Licensor")`. The list of parties holds the names. The rule, over the spans of one
//! document:
//!
//! 1. Pronouns, roles ("the Licensor", "Party A") and phrases about the parties ("each a Party")
//!    never count.
//! 2. A span in quotation marks is a term. So is a span whose words stand together in a longer
//!    name ("Acme"), or whose letters run through one in capitals ("AHI"), unless it carries a
//!    legal form of its own ("Inc."). Terms count only where no name is left.
//!
//! Deliberately changes no span: a name is published as it stands.

use super::marks::{Mark, QUOTES};
use super::reading::{collapse, key};
use crate::types::Text;

/// The marks to list, in text order.
pub(super) fn names(marks: &[Mark], text: &Text) -> Vec<Mark> {
    let words = |mark: &Mark| text.slice(mark.span).map(collapse).unwrap_or_default();
    let parties: Vec<_> = marks.iter().filter(|mark| !is_phrase(&words(mark))).copied().collect();
    let unquoted: Vec<_> = parties.iter().filter(|mark| !is_quoted(mark, text)).copied().collect();
    let all: Vec<_> = unquoted.iter().map(words).collect();
    let names: Vec<_> = unquoted
        .iter()
        .filter(|mark| {
            let name = words(mark);
            !all.iter().any(|other| is_short_for(&name, other))
        })
        .copied()
        .collect();
    if names.is_empty() { parties } else { names }
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
    "each of",
];

/// Whether the words are a role, a pronoun or a phrase instead of a name.
fn is_phrase(words: &str) -> bool {
    let lower = words.to_lowercase();
    let plain = split(&lower).join(" ");
    let bare = ["the ", "a ", "an ", "each ", "such "]
        .iter()
        .find_map(|article| plain.strip_prefix(article))
        .unwrap_or(&plain);
    let singular = bare.strip_suffix('s').unwrap_or(bare);
    let padded = format!(" {plain} ");
    bare.chars().count() < 2
        || ROLES.contains(&bare)
        || ROLES.contains(&singular)
        || PHRASES.iter().any(|phrase| padded.contains(&format!(" {phrase} ")))
}

/// Whether the span stands between quotation marks, or begins or ends with a quoted term.
fn is_quoted(mark: &Mark, text: &Text) -> bool {
    let words = text.slice(mark.span).unwrap_or_default();
    let before = text.as_str().get(..mark.span.start).unwrap_or_default();
    let after = text.as_str().get(mark.span.end..).unwrap_or_default();
    let quote_before = before.trim_end().ends_with(QUOTES);
    let quote_after = after.trim_start_matches(['.', ',', ' ']).starts_with(QUOTES);
    let has_article = words.starts_with("the ") || words.starts_with("The ");
    (quote_before && quote_after) || (quote_after && has_article && words.contains(QUOTES))
}

/// Whether `name` is a shorter way to say `other`.
fn is_short_for(name: &str, other: &str) -> bool {
    let (name_lower, other_lower) = (name.to_lowercase(), other.to_lowercase());
    let (name_words, other_words) = (split(&name_lower), split(&other_lower));
    if name_words.is_empty() || has_legal_form(&name_words) || key(name).len() >= key(other).len() {
        return false;
    }
    let is_part = other_words.windows(name_words.len()).any(|window| window == name_words);
    is_part || is_acronym(name, other)
}

/// Whether `name` is one word of capitals whose letters run through `other`, from its first.
fn is_acronym(name: &str, other: &str) -> bool {
    let is_capitals = name.chars().all(|letter| letter.is_uppercase() || letter.is_numeric());
    let mut letters = name.chars().flat_map(char::to_lowercase).peekable();
    let mut others =
        other.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase);
    if !is_capitals || letters.next() != others.next() {
        return false;
    }
    for other in others {
        letters.next_if_eq(&other);
    }
    letters.next().is_none()
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

fn has_legal_form(words: &[String]) -> bool {
    words.len() > 1 && words.last().is_some_and(|last| LEGAL_FORMS.contains(&last.as_str()))
}

/// Words of letters and digits; full stops fall out, so that "L.P." is "lp".
fn split(words: &str) -> Vec<String> {
    let joined: String = words.chars().filter(|letter| !".'’".contains(*letter)).collect();
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
            marks.push(Mark { span: Span { start, end: from }, confidence: 0.5 });
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
    fn terms_are_listed_where_no_name_is_left_and_roles_never() {
        check("\"Nationwide\" and the \"Company\"", &["Nationwide", "Company"], &["Nationwide"]);
        check("the Licensor and the Licensee", &["Licensor", "Licensee"], &[]);
    }
}
