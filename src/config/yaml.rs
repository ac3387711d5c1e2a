//! `YAML text -> JSON value + the line of each key`.
//!
//! Reads the part of YAML 1.2 that a settings file needs: mappings with plain keys, lists,
//! scalars by the core schema, one document. Anchors, aliases and tags are refused: they let a
//! few bytes stand for gigabytes, and hide from a reader what a key is set to. A key that stands
//! twice is a mistake, never the last one wins.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use serde_json::{Map, Number, Value};

use super::problem::Problem;

/// Limit: mappings and lists inside one another; `pipeline.yaml` needs four.
const DEPTH_MAX: usize = 32;

/// Largest whole number that a double holds exactly, 2^53.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// JSON pointer (RFC 6901) to line.
#[derive(Clone, Debug, Default)]
pub struct Places(BTreeMap<String, usize>);

impl Places {
    /// The line, from 1, of the key at `pointer`, or of the nearest one above it.
    pub fn line(&self, pointer: &str) -> Option<usize> {
        let mut at = pointer;
        loop {
            if let Some(line) = self.0.get(at) {
                return Some(*line);
            }
            at = at.rsplit_once('/')?.0;
        }
    }

    /// A problem of the value at `pointer` in `file`.
    pub fn problem(
        &self,
        file: &Path,
        pointer: &str,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) -> Problem {
        Problem {
            line: self.line(pointer),
            key: key(pointer),
            ..Problem::of_file(file, problem, hint)
        }
    }
}

/// `/fields/2/type` as people write it: `fields[2].type`.
fn key(pointer: &str) -> String {
    let mut key = String::new();
    for segment in pointer.split('/').skip(1) {
        if !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()) {
            key.push('[');
            key.push_str(segment);
            key.push(']');
            continue;
        }
        if !key.is_empty() {
            key.push('.');
        }
        key.push_str(&segment.replace("~1", "/").replace("~0", "~"));
    }
    key
}

/// The pointer to `name` under `pointer`.
pub(super) fn child(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// The document; `None` where it is too broken to go on with.
    pub(super) value: Option<Value>,
    /// Lines of its keys.
    pub(super) places: Places,
    /// Mistakes of the YAML itself.
    pub(super) problems: Vec<Problem>,
}

/// Reads the YAML text of `file`.
pub(super) fn read(file: &Path, text: &str) -> Read {
    let mut builder =
        Builder { file, read: Read::default(), open: Vec::new(), is_broken: false, documents: 0 };
    for event in Parser::new(StrInput::new(text)) {
        match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => {
                let line = error.marker().line();
                builder.broken(line, format!("is not YAML: {}", error.info()), "");
            }
        }
        if builder.is_broken {
            builder.read.value = None;
            return builder.read;
        }
    }
    if builder.read.value.is_none() && builder.read.problems.is_empty() {
        builder.read.problems.push(Problem::of_file(file, "is empty", ""));
    }
    builder.read
}

/// A mapping or list that is not closed yet.
struct Open {
    pointer: String,
    node: Node,
}

enum Node {
    Mapping { entries: Map<String, Value>, key: Option<Key> },
    List(Vec<Value>),
}

struct Key {
    name: String,
    is_repeated: bool,
}

struct Builder<'a> {
    file: &'a Path,
    read: Read,
    open: Vec<Open>,
    is_broken: bool,
    documents: usize,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) {
        let line = span.start.line();
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.broken(line, "holds a second document", "keep one and drop the `---`");
                }
            }
            Event::Alias(_) => {
                self.broken(line, "aliases (`*name`) are not taken", "write the value out");
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.plain_only(line, anchor, tag.is_some());
                self.scalar(line, text, style);
            }
            Event::SequenceStart(anchor, tag) => {
                self.plain_only(line, anchor, tag.is_some());
                self.start(line, Node::List(Vec::new()));
            }
            Event::MappingStart(anchor, tag) => {
                self.plain_only(line, anchor, tag.is_some());
                self.start(line, Node::Mapping { entries: Map::new(), key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
        }
    }

    fn plain_only(&mut self, line: usize, anchor: usize, is_tagged: bool) {
        if anchor != 0 {
            self.broken(line, "anchors (`&name`) are not taken", "write the value out each time");
        }
        if is_tagged {
            self.broken(line, "tags (`!name`) are not taken", "put text in quotes instead");
        }
    }

    fn scalar(&mut self, line: usize, text: Cow<'_, str>, style: ScalarStyle) {
        if let Some(Open { pointer, node: Node::Mapping { entries, key: key @ None } }) =
            self.open.last_mut()
        {
            let is_repeated = entries.contains_key(text.as_ref());
            let pointer = child(pointer, &text);
            *key = Some(Key { name: text.into_owned(), is_repeated });
            if is_repeated {
                let first = self.read.places.line(&pointer).unwrap_or_default();
                let mut problem = self.read.places.problem(
                    self.file,
                    &pointer,
                    format!("the key stands here again; the first is in line {first}"),
                    "keep one of them",
                );
                problem.line = Some(line);
                self.read.problems.push(problem);
            } else {
                self.read.places.0.insert(pointer, line);
            }
            return;
        }
        self.mark_item(line);
        match value_of(&text, style) {
            Some(value) => self.put(value),
            None => self.broken(line, format!("`{text}` is not a finite number"), ""),
        }
    }

    fn start(&mut self, line: usize, node: Node) {
        self.mark_item(line);
        let pointer = match self.open.last() {
            None => String::new(),
            Some(Open { pointer, node: Node::List(items) }) => {
                child(pointer, &items.len().to_string())
            }
            Some(Open { pointer, node: Node::Mapping { key: Some(key), .. } }) => {
                child(pointer, &key.name)
            }
            Some(Open { node: Node::Mapping { key: None, .. }, .. }) => {
                self.broken(line, "a key must be plain text", "");
                return;
            }
        };
        if self.open.len() >= DEPTH_MAX {
            self.broken(line, format!("nests deeper than {DEPTH_MAX} levels"), "");
            return;
        }
        self.open.push(Open { pointer, node });
    }

    fn end(&mut self) {
        let value = match self.open.pop() {
            Some(Open { node: Node::Mapping { entries, .. }, .. }) => Value::Object(entries),
            Some(Open { node: Node::List(items), .. }) => Value::Array(items),
            None => return,
        };
        self.put(value);
    }

    /// Remembers the line of a list's next item, or of the whole document.
    fn mark_item(&mut self, line: usize) {
        let pointer = match self.open.last() {
            None => String::new(),
            Some(Open { pointer, node: Node::List(items) }) => {
                child(pointer, &items.len().to_string())
            }
            Some(Open { node: Node::Mapping { .. }, .. }) => return,
        };
        self.read.places.0.entry(pointer).or_insert(line);
    }

    fn put(&mut self, value: Value) {
        match self.open.last_mut() {
            None => self.read.value = Some(value),
            Some(Open { node: Node::List(items), .. }) => items.push(value),
            Some(Open { node: Node::Mapping { entries, key }, .. }) => {
                if let Some(Key { name, is_repeated: false }) = key.take() {
                    entries.insert(name, value);
                }
            }
        }
    }

    fn broken(&mut self, line: usize, problem: impl Into<String>, hint: &str) {
        self.is_broken = true;
        self.read.problems.push(Problem::of_line(self.file, line, problem, hint));
    }
}

/// A scalar by the core schema of YAML 1.2 (section 10.3.2), less its octal and hexadecimal
/// numbers: `yes`, `no` and dates are text.
/// `None` for the numbers that JSON lacks.
fn value_of(text: &str, style: ScalarStyle) -> Option<Value> {
    match style {
        ScalarStyle::Plain => {}
        ScalarStyle::SingleQuoted
        | ScalarStyle::DoubleQuoted
        | ScalarStyle::Literal
        | ScalarStyle::Folded => return Some(Value::String(text.to_owned())),
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "-.inf" | "-.Inf" | "-.INF" => {
            return None;
        }
        _ => {}
    }
    if is_number(text) { number_of(text) } else { Some(Value::String(text.to_owned())) }
}

/// Whether `text` has the form of a number, whatever its size.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    digits(exponent)
        && (whole.is_empty() || digits(whole))
        && (fraction.is_empty() || digits(fraction))
        && mantissa.bytes().any(|byte| byte.is_ascii_digit())
}

/// The number that `text` is; `None` where a double cannot hold it. A whole number counts as one
/// however it is written, so that `1.0` fits where `1` does.
fn number_of(text: &str) -> Option<Value> {
    if let Ok(number) = text.parse::<i64>() {
        return Some(number.into());
    }
    if let Ok(number) = text.parse::<u64>() {
        return Some(number.into());
    }
    let number: f64 = text.parse().ok()?;
    if number.fract() == 0.0 && number.abs() < EXACT_MAX {
        return format!("{number:.0}").parse::<i64>().ok().map(Value::from);
    }
    Number::from_f64(number).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use serde_json::json;

    use super::read;

    fn problems(text: &str) -> Vec<String> {
        read(Path::new("p"), text).problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn scalars_follow_the_core_schema() {
        let text = "a: 1\nb: '1'\nc: no\nd: true\ne:\nf: 0.5\ng: 1.0\nh: 2015-05-01\ni: 0x10\n\
                    j: -3\nk: 1.2.3\nl: 18446744073709551615\nm: 1e400x\nn: .5\no: .\n";
        let expected = json!({
            "a": 1, "b": "1", "c": "no", "d": true, "e": null, "f": 0.5, "g": 1,
            "h": "2015-05-01", "i": "0x10", "j": -3, "k": "1.2.3", "l": u64::MAX, "m": "1e400x", "n": 0.5, "o": ".",
        });
        assert_eq!(read(Path::new("p"), text).value, Some(expected));
    }

    #[test]
    fn every_key_and_item_has_its_line() {
        let text = "# a comment\na:\n  b: 1\n  c:\n    - x\n    - y: 2\n      z/w: 3\n";
        let places = read(Path::new("p"), text).places;
        let check = |pointer: &str, line: usize| {
            assert_eq!(places.line(pointer), Some(line), "{pointer}");
        };
        check("", 2);
        check("/a", 2);
        check("/a/b", 3);
        check("/a/c", 4);
        check("/a/c/0", 5);
        check("/a/c/1", 6);
        check("/a/c/1/z~1w", 7);
        check("/a/c/1/missing/deeper", 6);
    }

    #[test]
    fn what_is_not_plain_yaml_is_refused_with_its_line() {
        let check = |text: &str, expected: &[&str]| assert_eq!(problems(text), expected, "{text}");
        check("", &["p: is empty"]);
        check(
            "a: 1\na: 2\n",
            &["p:2: a: the key stands here again; the first is in line 1; keep one of them"],
        );
        check(
            "a: &x 1\n",
            &["p:1: anchors (`&name`) are not taken; write the value out each time"],
        );
        check("a: !!str 1\n", &["p:1: tags (`!name`) are not taken; put text in quotes instead"]);
        check("a: 1\n---\nb: 2\n", &["p:2: holds a second document; keep one and drop the `---`"]);
        check("a: .nan\n", &["p:1: `.nan` is not a finite number"]);
        check("a: 1e999\n", &["p:1: `1e999` is not a finite number"]);
        check("{a: 1}: 2\n", &["p:1: a key must be plain text"]);
    }

    #[test]
    fn a_repeated_mapping_does_not_leak_into_the_first() {
        let found = read(Path::new("p"), "a:\n  b: 1\na:\n  c: 2\nd: 3\n");
        assert_eq!(found.value, Some(json!({"a": {"b": 1}, "d": 3})));
        assert_eq!(found.problems.len(), 1);
    }

    #[test]
    fn nesting_has_a_limit() {
        assert_eq!(problems(&"[".repeat(33)), ["p:1: nests deeper than 32 levels"]);
        assert_eq!(problems(&"[".repeat(100_000)).len(), 1);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[-a-c:,\\[\\]{}&*!|>'\"# \\n0-9.~%@]{0,60}") {
            let found = read(Path::new("p"), &text);
            prop_assert!(found.value.is_some() || !found.problems.is_empty());
        }
    }
}
