//! `text -> places of the members of a JSON object`: what stands under which key of a log's line.
//!
//! Strings, numbers and what is passed over are read by `serde_json`; of a key that stands twice the
//! last counts, as there. Deliberately decodes no value: it is the words of its place.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde_json::Deserializer;

use crate::types::Span;

/// Limit: objects in objects that are looked into; logs nest two or three deep.
const DEPTH_MAX: usize = 8;

/// Values by the keys that lead to them; none where the text is no JSON object.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// Strings, numbers and booleans.
    values: BTreeMap<Vec<String>, Span>,
}

impl Members {
    /// The members of `text`, if it is one JSON object and nothing else.
    pub(super) fn of(text: &str) -> Self {
        let start = text.len() - text.trim_start().len();
        let mut reader = Reader { text, at: start, path: Vec::new(), found: BTreeMap::new() };
        let is_object = text.trim_start().starts_with('{') && reader.object().is_some();
        let is_all = text.get(reader.at..).is_some_and(|rest| rest.trim().is_empty());
        if is_object && is_all { Self { values: reader.found } } else { Self::default() }
    }

    /// The value of the key `key`, or else of the path that its full stops make.
    pub(super) fn value(&self, key: &str) -> Option<Span> {
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        let found = self.values.get([key.to_owned()].as_slice());
        found.or_else(|| self.values.get(&path)).copied()
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    path: Vec<String>,
    found: BTreeMap<Vec<String>, Span>,
}

impl Reader<'_> {
    /// Reads an object to its end; `None` where it is none.
    fn object(&mut self) -> Option<()> {
        self.sign('{')?;
        if self.sign('}').is_some() {
            return Some(());
        }
        loop {
            let key: String = self.next()?;
            self.sign(':')?;
            self.path.push(key);
            self.value()?;
            self.path.pop();
            if self.sign(',').is_none() {
                return self.sign('}');
            }
        }
    }

    fn value(&mut self) -> Option<()> {
        let start = self.text.len() - self.rest()?.len();
        let first = self.rest()?.chars().next()?;
        if first == '{' && self.path.len() < DEPTH_MAX {
            return self.object();
        }
        let _: IgnoredAny = self.next()?;
        let span = match first {
            '{' | '[' | 'n' => return Some(()),
            '"' => Span { start: start + 1, end: self.at - 1 },
            _ => Span { start, end: self.at },
        };
        if !span.is_empty() {
            self.found.insert(self.path.clone(), span);
        }
        Some(())
    }

    /// What is still to be read, white space in front passed over.
    fn rest(&self) -> Option<&str> {
        self.text.get(self.at..).map(str::trim_start)
    }

    fn sign(&mut self, sign: char) -> Option<()> {
        let rest = self.rest()?.strip_prefix(sign)?.len();
        self.at = self.text.len() - rest;
        Some(())
    }

    /// Reads one value of JSON.
    fn next<T: serde::de::DeserializeOwned>(&mut self) -> Option<T> {
        let mut values = Deserializer::from_str(self.text.get(self.at..)?).into_iter::<T>();
        let value = values.next()?.ok()?;
        let read = values.byte_offset();
        self.at += read;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Members;

    fn check(text: &str, key: &str, expected: Option<&str>) {
        let found = Members::of(text).value(key).and_then(|span| text.get(span.range()));
        assert_eq!(found, expected, "{key} of {text}");
    }

    #[test]
    fn a_key_gives_its_own_value_and_not_that_of_a_deeper_one() {
        let line = r#"{"data": {"level": "debug", "list": [{"level": 1}]}, "level":"error", "n": -1.5e3, "ok":true}"#;
        check(line, "level", Some("error"));
        check(line, "data.level", Some("debug"));
        check(line, "n", Some("-1.5e3"));
        check(line, "ok", Some("true"));
        check(line, "data", None);
        check(line, "list", None);
        check(r#"{"data": {"level": "debug"}}"#, "level", None);
    }

    #[test]
    fn a_full_stop_is_part_of_a_key_or_leads_into_an_object() {
        check(r#"{"log.level":"warn","log":{"level":"info"}}"#, "log.level", Some("warn"));
        check(r#"{"log":{"level":"info"}}"#, "log.level", Some("info"));
    }

    #[test]
    fn strings_are_as_they_are_written_and_nothing_is_no_value() {
        check(r#" {"msg" : "a \"b\" {\u00e9" } "#, "msg", Some(r#"a \"b\" {\u00e9"#));
        check(r#"{"msg":"","x":null}"#, "msg", None);
        check(r#"{"msg":"","x":null}"#, "x", None);
        check(r#"{"a":1,"a":2}"#, "a", Some("2"));
        check(r#"{"\u0061":1}"#, "a", Some("1"));
    }

    #[test]
    fn what_is_no_object_has_no_members() {
        for text in ["", "{}", "{\"a\":1", "{\"a\":1} x", "[1]", "a: 1", "{a:1}", "{\"a\":01}"] {
            check(text, "a", None);
        }
    }

    proptest! {
        #[test]
        fn every_member_of_an_object_is_found(
            object in prop::collection::btree_map("[a-z]{1,6}", "\\PC{1,12}", 0..6),
        ) {
            let text = serde_json::to_string_pretty(&object).unwrap();
            let members = Members::of(&text);
            for (key, value) in &object {
                let span = members.value(key).expect("the key is there");
                let quoted = format!("\"{}\"", text.get(span.range()).unwrap());
                prop_assert_eq!(&serde_json::from_str::<String>(&quoted).unwrap(), value);
            }
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,60}", tail in "[{}\\[\\]\",:a1 ]{0,40}") {
            Members::of(&text);
            Members::of(&format!("{{{tail}"));
        }
    }
}
