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

/// The members of an object; none where the text is no JSON object.
#[derive(Debug, Default)]
pub(super) struct Members {
    of: BTreeMap<String, Member>,
}

/// What stands under one key.
#[derive(Debug, Default)]
struct Member {
    /// A string, number or boolean.
    value: Option<Span>,
    /// What an object holds. Invariant: each key stands here once, however many members it leads
    /// to, so that all of it takes no more than a few times the text.
    members: Members,
}

impl Members {
    /// The members of `text`, if it is one JSON object and nothing else.
    pub(super) fn of(text: &str) -> Self {
        let start = text.len() - text.trim_start().len();
        let mut reader = Reader { text, at: start };
        let mut members = Self::default();
        let is_object =
            text.trim_start().starts_with('{') && reader.object(0, &mut members).is_some();
        let is_all = text.get(reader.at..).is_some_and(|rest| rest.trim().is_empty());
        if is_object && is_all { members } else { Self::default() }
    }

    /// The value of the key `key`, or else of the path that its full stops make.
    pub(super) fn value(&self, key: &str) -> Option<Span> {
        let found = self.of.get(key).and_then(|member| member.value);
        found.or_else(|| {
            let mut keys = key.split('.');
            let first = self.of.get(keys.next()?)?;
            keys.try_fold(first, |member, key| member.members.of.get(key))?.value
        })
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    /// Reads an object in `depth` others to its end; `None` where it is none.
    fn object(&mut self, depth: usize, members: &mut Members) -> Option<()> {
        self.sign('{')?;
        if self.sign('}').is_some() {
            return Some(());
        }
        loop {
            let key: String = self.next()?;
            self.sign(':')?;
            self.value(depth + 1, members.of.entry(key).or_default())?;
            if self.sign(',').is_none() {
                return self.sign('}');
            }
        }
    }

    fn value(&mut self, depth: usize, member: &mut Member) -> Option<()> {
        let start = self.text.len() - self.rest()?.len();
        let first = self.rest()?.chars().next()?;
        if first == '{' && depth < DEPTH_MAX {
            return self.object(depth, &mut member.members);
        }
        let _: IgnoredAny = self.next()?;
        let span = match first {
            '{' | '[' | 'n' => return Some(()),
            '"' => Span { start: start + 1, end: self.at - 1 },
            _ => Span { start, end: self.at },
        };
        if !span.is_empty() {
            member.value = Some(span);
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
    fn a_long_key_is_kept_once_for_all_that_it_leads_to() {
        let members: Vec<_> = (0..50_000).map(|number| format!("\"a{number}\":1")).collect();
        let key = "k".repeat(500_000);
        let text = format!("{{\"{key}\":{{{}}}}}", members.join(","));
        // Kept with each of its members the key would take 25 GB.
        check(&text, &format!("{key}.a49999"), Some("1"));
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
