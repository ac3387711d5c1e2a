//! `text -> headings of known sections`: a heading stands at the start of a line, with a colon
//! behind it or alone on its line; list marks, numbers and Markdown around it do not count.
//!
//! Deliberately knows no heading that `pipeline.yaml` does not name: a sub-heading ("Lungs:") ends
//! no section.

use std::collections::BTreeMap;

use super::reading::collapse;
use crate::types::Span;

/// Limit: a line start longer than this, in bytes, is no heading.
const HEADING_BYTES_MAX: usize = 80;

/// The headings of a pipeline.
pub(super) struct Headings {
    /// Codes by heading, in lower case.
    codes: BTreeMap<String, String>,
}

/// A heading in a text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heading {
    /// Its words.
    pub(super) span: Span,
    /// Code of the section that it opens.
    pub(super) code: String,
}

impl Headings {
    pub(super) fn new(sections: &BTreeMap<String, Vec<String>>) -> Self {
        let pairs = sections.iter().flat_map(|(code, headings)| {
            headings.iter().map(|heading| (collapse(heading).to_lowercase(), code.clone()))
        });
        Self { codes: pairs.collect() }
    }

    /// Every heading of `text`, in its order.
    pub(super) fn find(&self, text: &str) -> Vec<Heading> {
        if self.codes.is_empty() {
            return Vec::new();
        }
        let mut found = Vec::new();
        let mut start = 0;
        for line in text.split_inclusive(['\n', '\u{c}']) {
            found.extend(self.of_line(line, start));
            start += line.len();
        }
        found
    }

    /// The heading with which the line at byte `start` begins.
    fn of_line(&self, line: &str, start: usize) -> Option<Heading> {
        let rest = line.trim_start_matches(is_mark);
        let body = rest.split(':').next().unwrap_or_default().trim_end_matches(is_mark);
        if body.is_empty() || body.len() > HEADING_BYTES_MAX {
            return None;
        }
        // "2. PLAN": a number in front of a heading, unless the heading has it.
        let numbered = body.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let numbered = numbered.trim_start_matches(['.', ')']).trim_start();
        [body, numbered].into_iter().find_map(|words| {
            let code = self.codes.get(&collapse(words).to_lowercase())?;
            let from = start + (line.len() - rest.len()) + (body.len() - words.len());
            let span = Span { start: from, end: from + words.len() };
            Some(Heading { span, code: code.clone() })
        })
    }
}

/// White space, list marks and the marks of Markdown.
fn is_mark(letter: char) -> bool {
    letter.is_whitespace() || "#*-_•=>".contains(letter)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Headings;

    fn found(text: &str) -> Vec<(String, String)> {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let headings = Headings::new(&BTreeMap::from([
            ("PLAN".to_owned(), owned(&["Plan", "plan of care"])),
            ("GENHX".to_owned(), owned(&["History of Present Illness", "HPI"])),
        ]));
        let found = headings.find(text);
        let words =
            |one: &super::Heading| text.get(one.span.range()).unwrap_or_default().to_owned();
        found.iter().map(|one| (words(one), one.code.clone())).collect()
    }

    fn check(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(words, code)| ((*words).to_owned(), (*code).to_owned()))
            .collect();
        assert_eq!(found(text), expected, "{text:?}");
    }

    #[test]
    fn headings_stand_at_the_start_of_a_line() {
        check("HPI: cough\nPLAN\nrest", &[("HPI", "GENHX"), ("PLAN", "PLAN")]);
        check("## History of  present illness\n", &[("History of  present illness", "GENHX")]);
        check("**Plan:** rest", &[("Plan", "PLAN")]);
        check("2) Plan of care: rest", &[("Plan of care", "PLAN")]);
        check("  - plan : rest", &[("plan", "PLAN")]);
    }

    #[test]
    fn words_in_a_sentence_are_no_heading() {
        check("The plan: rest", &[]);
        check("Plan to rest", &[]);
        check("Lungs: clear", &[]);
        check("", &[]);
    }
}
