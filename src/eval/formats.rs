//! `text of a data set -> records`, for the formats that are not JSON lines.
//!
//! Deliberately as narrow as the sets that are kept so: what looks otherwise is refused.

use std::collections::BTreeMap;
use std::io::BufRead;

use anyhow::{Context as _, Result, bail};

use super::data::{Class, Gold, Record};
use crate::types::Span;

/// The words with single spaces between them, and where each stands.
pub(super) fn join<'a>(words: impl Iterator<Item = &'a str>) -> (String, Vec<Span>) {
    let mut text = String::new();
    let mut places = Vec::new();
    for word in words {
        if !places.is_empty() {
            text.push(' ');
        }
        let start = text.len();
        text.push_str(word);
        places.push(Span { start, end: text.len() });
    }
    (text, places)
}

/// One word a line with its tag behind the last space (`O`, `B-Item`, `I-Item`), an empty line
/// between texts (CoNLL-2003, as MWO2KG keeps it).
pub(super) fn conll(lines: Box<dyn BufRead>) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    let mut words: Vec<(String, String)> = Vec::new();
    for (number, line) in (1..).zip(lines.lines()) {
        let line = line.with_context(|| format!("line {number}"))?;
        if line.trim().is_empty() {
            records.extend(tagged(&words)?);
            words.clear();
        } else if let Some((word, tag)) = line.rsplit_once(' ') {
            words.push((word.to_owned(), tag.to_owned()));
        } else {
            bail!("line {number}: expected a word, a space and its tag");
        }
    }
    records.extend(tagged(&words)?);
    Ok(records)
}

/// The text of one block of words; none where there are none.
fn tagged(words: &[(String, String)]) -> Result<Option<Record>> {
    if words.is_empty() {
        return Ok(None);
    }
    let (text, places) = join(words.iter().map(|(word, _)| word.as_str()));
    let mut golds: Vec<Gold> = Vec::new();
    let mut is_open = false;
    for ((_, tag), place) in words.iter().zip(&places) {
        if let Some(label) = tag.strip_prefix("B-") {
            golds.push(Gold { label: label.to_owned(), span: *place });
        } else if let Some(label) = tag.strip_prefix("I-") {
            let Some(gold) = golds.last_mut().filter(|gold| is_open && gold.label == label) else {
                bail!("tag `{tag}` stands where no `B-{label}` is open");
            };
            gold.span.end = place.end;
        } else if tag != "O" {
            bail!("tag `{tag}` is none of `O`, `B-..`, `I-..`");
        }
        is_open = tag != "O";
    }
    Ok(Some(Record { text, golds, ..Record::default() }))
}

/// Rows of a text and its class, with or without the header `text,category` (RFC 4180; BANKING77,
/// MWO2KG's failure modes).
pub(super) fn csv(lines: Box<dyn BufRead>) -> Result<Vec<Record>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(lines);
    let mut records = Vec::new();
    for (number, row) in (1..).zip(reader.records()) {
        // The reader's own words may quote the row.
        let Ok(row) = row else { bail!("row {number}: it is no CSV of two columns in UTF-8") };
        let [Some(text), Some(label), None] = [row.get(0), row.get(1), row.get(2)] else {
            bail!("row {number}: expected two columns, a text and its class");
        };
        if number == 1 && (text, label) == ("text", "category") {
            continue;
        }
        let class = Class { label: label.to_owned(), is_out_of_scope: false };
        records.push(Record { text: text.to_owned(), class: Some(class), ..Record::default() });
    }
    Ok(records)
}

/// `{"test": [[text, class], ..], "oos_test": [..], ..}`: the texts of `split`, then those of it
/// that are out of scope (CLINC150).
pub(super) fn clinc(lines: Box<dyn BufRead>, split: &str) -> Result<Vec<Record>> {
    // The parser's own words may quote the file.
    let Ok(mut parts) =
        serde_json::from_reader::<_, BTreeMap<String, Vec<(String, String)>>>(lines)
    else {
        bail!("expected a JSON object with lists of pairs, a text and its class");
    };
    let mut records = Vec::new();
    for (part, is_out_of_scope) in [(split.to_owned(), false), (format!("oos_{split}"), true)] {
        let pairs = parts.remove(&part).with_context(|| format!("it has no split `{part}`"))?;
        records.extend(pairs.into_iter().map(|(text, label)| {
            let class = Some(Class { label, is_out_of_scope });
            Record { text, class, ..Record::default() }
        }));
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, Cursor};

    use super::{clinc, conll, csv};
    use crate::eval::data::{Class, Record};

    fn lines(text: &str) -> Box<dyn BufRead> {
        Box::new(Cursor::new(text.to_owned().into_bytes()))
    }

    #[test]
    fn tags_become_spans_of_the_joined_words() {
        let text = "pump B-Item\nseal I-Item\nleak B-Observation\n\n\nüber O\noil B-Item\n";
        let records = conll(lines(text)).unwrap();
        assert_eq!(records.len(), 2);
        let golds: Vec<_> = records[0]
            .golds
            .iter()
            .map(|gold| (gold.label.as_str(), records[0].text.get(gold.span.range()).unwrap()))
            .collect();
        assert_eq!(golds, [("Item", "pump seal"), ("Observation", "leak")]);
        assert_eq!((records[1].text.as_str(), records[1].golds[0].span.start), ("über oil", 6));
    }

    #[test]
    fn broken_tags_are_refused() {
        for (text, expected) in [
            ("alone\n", "line 1"),
            ("pump I-Item\n", "no `B-Item` is open"),
            ("a B-Item\nb O\nc I-Item\n", "no `B-Item` is open"),
            ("a B-Item\nb I-Agent\n", "no `B-Agent` is open"),
            ("a E-Item\n", "none of `O`"),
        ] {
            let message = format!("{:#}", conll(lines(text)).unwrap_err());
            assert!(message.contains(expected), "{text:?}: {message}");
        }
    }

    /// Text, class and whether that is out of scope, in one line a record.
    fn classes(records: &[Record]) -> Vec<String> {
        let row = |record: &Record| {
            let Class { label, is_out_of_scope } = record.class.as_ref().unwrap();
            format!("{} | {label} | {is_out_of_scope}", record.text)
        };
        records.iter().map(row).collect()
    }

    #[test]
    fn rows_of_two_columns_are_texts_with_a_class() {
        let text = "text,category\n\"Why, oh \"\"why\"\"?\",card_arrival\nlost,Plugged / choked\n";
        assert_eq!(
            classes(&csv(lines(text)).unwrap()),
            ["Why, oh \"why\"? | card_arrival | false", "lost | Plugged / choked | false"]
        );
        for text in ["a,b,c\n", "a\n", "a,b\nc\n"] {
            assert!(csv(lines(text)).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_split_comes_with_what_is_out_of_its_scope() {
        let text = r#"{"val": [], "test": [["hi", "greeting"]], "oos_test": [["42", "oos"]]}"#;
        let found = clinc(lines(text), "test").unwrap();
        assert_eq!(classes(&found), ["hi | greeting | false", "42 | oos | true"]);
        let error = clinc(lines(text), "val").unwrap_err();
        assert!(format!("{error:#}").contains("`oos_val`"));
        assert!(clinc(lines(r#"["hi"]"#), "test").is_err());
    }
}
