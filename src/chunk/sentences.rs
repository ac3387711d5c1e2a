//! `text, tokens -> sentences`, by plain character rules (`training/DECODER.md`, section 2).
//!
//! Deliberately knows no language: the model was trained with exactly these boundaries, and a
//! better rule would be another decoder version.

use std::ops::Range;

use crate::types::TokenSpan;

/// Words after which a full stop does not end a sentence, in lower case.
const ABBREVIATIONS: [&str; 54] = [
    "inc", "ltd", "co", "corp", "llc", "lp", "no", "nos", "mr", "mrs", "ms", "dr", "st", "sec",
    "art", "ex", "vs", "v", "al", "etc", "cf", "approx", "dept", "est", "fig", "jr", "sr", "para",
    "par", "pp", "pty", "gmbh", "bros", "ave", "blvd", "jan", "feb", "mar", "apr", "jun", "jul",
    "aug", "sep", "sept", "oct", "nov", "dec", "attn", "tel", "fax", "ref", "vol", "rev", "ed",
];

/// Token ranges of the sentences that hold a token; they touch and cover `tokens`.
pub(super) fn sentences(text: &str, tokens: &[TokenSpan]) -> Vec<Range<usize>> {
    let mut sentences = Vec::new();
    let mut starts = starts(text).into_iter().peekable();
    let mut first = 0;
    for (index, token) in tokens.iter().enumerate() {
        let mut is_new = false;
        while starts.next_if(|start| *start <= token.start).is_some() {
            is_new = true;
        }
        if is_new && index > first {
            sentences.push(first..index);
            first = index;
        }
    }
    if tokens.len() > first {
        sentences.push(first..tokens.len());
    }
    sentences
}

/// Byte offsets at which a sentence starts, ascending; the start of the text is not among them.
fn starts(text: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut run: Option<Run> = None;
    for (at, c) in text.char_indices() {
        if c.is_whitespace() {
            let run = run.get_or_insert(Run { start: at, line_feeds: 0, has_form_feed: false });
            run.line_feeds += usize::from(c == '\n');
            run.has_form_feed |= c == '\u{c}';
        } else if let Some(run) = run.take() {
            let before = text.get(..run.start).unwrap_or_default();
            if !before.is_empty() && run.ends_sentence(before, c) {
                starts.push(at);
            }
        }
    }
    starts
}

/// A maximal run of white space.
struct Run {
    start: usize,
    line_feeds: usize,
    has_form_feed: bool,
}

impl Run {
    /// Whether a sentence ends between `before` and the character `next`.
    fn ends_sentence(&self, before: &str, next: char) -> bool {
        let mut rest = before.char_indices().rev();
        // The first character of the text is looked at even where it is a closer.
        let Some((at, last)) = rest.find(|(at, c)| *at == 0 || !is_closer(*c)) else {
            return false;
        };
        if self.line_feeds >= 2 || self.has_form_feed {
            return !announces(before.get(..at + last.len_utf8()).unwrap_or_default());
        }
        match last {
            '?' | '!' => !next.is_ascii_lowercase(),
            '.' => !next.is_ascii_lowercase() && is_full_stop(before.get(..at).unwrap_or_default()),
            _ => false,
        }
    }
}

/// Whether words plainly go on: the lead-in of a list, or an item of it that names the next.
fn announces(words: &str) -> bool {
    let last = words.rsplit(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    let is_junction = ["and", "or"].iter().any(|known| known.eq_ignore_ascii_case(last));
    words.ends_with([':', ',']) || is_junction
}

/// Whether the dot behind `before` ends a sentence.
fn is_full_stop(before: &str) -> bool {
    let word = before.rsplit(char::is_whitespace).next().unwrap_or_default();
    // "3.2." numbers what follows it.
    if word.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '(' | ')')) {
        return false;
    }
    let tail = word.rsplit(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    // "U.S." and the "J." of a name.
    if tail.len() == 1 {
        return false;
    }
    !ABBREVIATIONS.iter().any(|known| known.eq_ignore_ascii_case(tail))
}

const fn is_closer(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | ']' | '}' | '\u{201d}' | '\u{2019}' | '\u{bb}')
}

#[cfg(test)]
mod tests {
    use super::starts;

    /// `marked` shows a sentence start by `|`.
    fn check(marked: &str) {
        let mut expected = Vec::new();
        let mut text = String::new();
        for (index, part) in marked.split('|').enumerate() {
            if index > 0 {
                expected.push(text.len());
            }
            text.push_str(part);
        }
        assert_eq!(starts(&text), expected, "{marked:?}");
    }

    #[test]
    fn sentences_end_where_the_rules_say() {
        for marked in [
            "One two. |Three.",
            "Is it? |Yes! |No.",
            "is it? yes! no.",
            "e.g. this, i.e. that.",
            "Acme Inc. and Beta Ltd. But Gamma. |Next",
            "the U.S. Government",
            "J. Doe signs. |End",
            "3.2. Term. |(1). Scope",
            "He said \"stop.\" |Then (it ended.) |Now",
            "Stop.\u{201d} |\u{c9}t\u{e9}. |\u{e9}t\u{e9}",
            "heading\n\n|body",
            "heading\r\n \r\n|body",
            "one\nline break",
            "page\u{c}|next page",
            "as follows:\n\n(a) one;\n\n|(b) two",
            "the \"Seller,\"\n\nand",
            "one; AND\n\ntwo; or\u{c}three",
            "the brand\n\n|the vendor\n\n|so",
            " \n\nleading white space",
            "trailing. ",
            ". A lone dot",
            "Way . Spaced",
            "\") Closers only",
            "\u{3000}Far.\u{3000}|Wide",
            "",
        ] {
            check(marked);
        }
    }

    #[test]
    fn white_space_is_what_the_rules_list() {
        let listed: Vec<u32> = (0x09..=0x0d)
            .chain([0x20, 0x85, 0xa0, 0x1680])
            .chain(0x2000..=0x200a)
            .chain([0x2028, 0x2029, 0x202f, 0x205f, 0x3000])
            .collect();
        let found: Vec<u32> =
            ('\0'..=char::MAX).filter(|c| c.is_whitespace()).map(u32::from).collect();
        assert_eq!(found, listed);
    }
}
