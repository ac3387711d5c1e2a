//! `Extraction -> Extraction` with values and places as they are published.
//!
//! Deliberately decides by the kind of a column how much of a document its values can hold: words
//! of the text do, words of `pipeline.yaml` (classes, choices, sections) do not.

use super::published::Published;
use super::replace::{AGE_MAX, Replacer};
use super::{Redactor, dates, is_dated};
use crate::config::pipeline::FieldKind;
use crate::config::redaction::{DatePolicy, IdentifierKind as Kind};
use crate::types::{
    Attribute, Evidence, Extraction, Field, FieldValue, Flag, Identifier, Sensitive, Span, Value,
};

/// What of a document a value of words can hold.
enum Holds {
    /// Its words.
    Words,
    /// Its words but for what was lifted out.
    Template,
    /// A digest of its words.
    Digest,
    /// A word of `pipeline.yaml`, of the model bundle or of a fixed list.
    Nothing,
}

const fn holds(kind: FieldKind) -> Holds {
    match kind {
        FieldKind::Text | FieldKind::Party | FieldKind::Unit => Holds::Words,
        FieldKind::Template => Holds::Template,
        FieldKind::TemplateHash => Holds::Digest,
        FieldKind::Date
        | FieldKind::Duration
        | FieldKind::Jurisdiction
        | FieldKind::Class
        | FieldKind::Timestamp
        | FieldKind::Integer
        | FieldKind::Number
        | FieldKind::Comparator
        | FieldKind::Choice
        | FieldKind::Severity
        | FieldKind::Negated
        | FieldKind::Section
        | FieldKind::Label => Holds::Nothing,
    }
}

/// What values of one document are made from.
struct Making<'a> {
    redactor: &'a Redactor,
    published: &'a Published,
    replacer: &'a Replacer<'a>,
    identifiers: &'a [Identifier],
}

impl Redactor {
    /// The extraction as it may leave.
    pub(super) fn extraction(
        &self,
        extraction: &Extraction,
        published: &Published,
        replacer: &Replacer<'_>,
        identifiers: &[Identifier],
    ) -> Extraction {
        let making = Making { redactor: self, published, replacer, identifiers };
        let flags = extraction.flags.iter().map(|flag| Flag {
            evidence: flag.evidence.iter().map(|one| published.evidence(one)).collect(),
            ..flag.clone()
        });
        Extraction {
            fields: extraction.fields.iter().map(|field| making.field(field)).collect(),
            flags: flags.collect(),
        }
    }
}

impl Making<'_> {
    fn field(&self, field: &Field) -> Field {
        let mut unread: Vec<Evidence> = Vec::new();
        let mut values = Vec::new();
        for one in &field.values {
            let evidence = self.published.evidence(&one.evidence);
            match self.value(&field.name, &one.value, Some(one.evidence.span)) {
                Some(value) => {
                    let attributes = one.attributes.iter();
                    let attributes =
                        attributes.map(|it| self.attribute(&field.name, one.evidence.span, it));
                    let attributes = attributes.collect();
                    values.push(FieldValue { value, evidence, attributes });
                }
                None => unread.push(evidence),
            }
        }
        unread.extend(field.unread.iter().map(|one| self.published.evidence(one)));
        Field { name: field.name.clone(), values, unread }
    }

    /// An attribute of the value that was read from `whole`.
    fn attribute(&self, column: &str, whole: Span, attribute: &Attribute) -> Attribute {
        let name = format!("{column}.{}", attribute.name);
        let own = attribute.evidence.as_ref().map(|evidence| evidence.span);
        let value = attribute.value.as_ref().and_then(|value| {
            // A day or a number without a place of its own was read from the words of the whole.
            // Words without one are of `pipeline.yaml` or the model.
            let span = if matches!(value, Value::Text(_)) { own } else { own.or(Some(whole)) };
            self.value(&name, value, span)
        });
        let evidence = attribute.evidence.as_ref().map(|one| self.published.evidence(one));
        Attribute { name: attribute.name.clone(), value, evidence }
    }

    /// The value of `column` that was read from `span`; `None` where nothing of it may leave.
    fn value(&self, column: &str, value: &Value, span: Option<Span>) -> Option<Value> {
        match value {
            Value::Text(words) => Some(self.words(column, words, span)),
            Value::Boolean(_) => Some(value.clone()),
            Value::Date(_) | Value::Timestamp(_) | Value::LocalTimestamp(_) => {
                self.dated(value, span)
            }
            Value::Duration(_) | Value::Integer(_) | Value::Number(_) => self.counted(value, span),
        }
    }

    fn words(&self, column: &str, words: &Sensitive<String>, span: Option<Span>) -> Value {
        let is_touched = span.is_some_and(|span| !self.published.touching(span).is_empty());
        let kind = self.redactor.columns.get(column);
        let text = match (kind.map_or(Holds::Words, |kind| holds(*kind)), span) {
            // A template with an identifier in it gives way to the published words: the model
            // and the envelope mark places of the text, and a template has none.
            (Holds::Words | Holds::Template, Some(span)) if is_touched => {
                collapsed(self.published.words(span))
            }
            (Holds::Words, Some(_)) | (Holds::Nothing, _) => words.to_string(),
            // Words without a place are searched by themselves.
            (Holds::Words | Holds::Template, _) => {
                self.redactor.words(words, self.replacer, self.identifiers)
            }
            (Holds::Digest, _) => {
                self.redactor.key.digest("template", words.as_bytes()).to_string()
            }
        };
        Value::Text(Sensitive::new(text))
    }

    /// A day as the policy for dates has it; no day of birth. Times of day identify nobody.
    fn dated(&self, value: &Value, span: Option<Span>) -> Option<Value> {
        let touching = span.map(|span| self.published.touching(span)).unwrap_or_default();
        if touching.iter().any(|edit| edit.kind == Kind::BirthDate) {
            return None;
        }
        let days = self.replacer.shift_days;
        match (self.replacer.policies.date, value) {
            (DatePolicy::Keep, _) => Some(value.clone()),
            (DatePolicy::Mask, _) => None,
            (DatePolicy::Shift, Value::Date(date)) => dates::shift(*date, days).map(Value::Date),
            (DatePolicy::Shift, Value::LocalTimestamp(time)) => Some(Value::LocalTimestamp(
                dates::shift(time.date(), days)?.to_datetime(time.time()),
            )),
            (DatePolicy::Shift, Value::Timestamp(moment)) => {
                dates::shift_moment(*moment, days).map(Value::Timestamp)
            }
            (DatePolicy::Year, Value::Date(date)) => Some(Value::Date(date.first_of_year())),
            (DatePolicy::Year, Value::LocalTimestamp(time)) => {
                Some(Value::LocalTimestamp(time.date().first_of_year().at(0, 0, 0, 0)))
            }
            (DatePolicy::Year, Value::Timestamp(moment)) => {
                dates::first_of_year(*moment).map(Value::Timestamp)
            }
            (DatePolicy::Year | DatePolicy::Shift, other) => {
                debug_assert!(!is_dated(other), "only days come here");
                None
            }
        }
    }

    /// A count: an age above the limit is the lowest of them, and any other that was read from an
    /// identifier does not leave. A duration beside a date stays.
    fn counted(&self, value: &Value, span: Option<Span>) -> Option<Value> {
        let touching = span.map(|span| self.published.touching(span)).unwrap_or_default();
        let all = |kind: Kind| touching.iter().all(|edit| edit.kind == kind);
        match value {
            _ if touching.is_empty() => Some(value.clone()),
            Value::Integer(years) if all(Kind::Age) => {
                Some(Value::Integer((*years).min(AGE_MAX + 1)))
            }
            Value::Duration(_) if all(Kind::Date) => Some(value.clone()),
            Value::Duration(_)
            | Value::Integer(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::Date(_)
            | Value::Timestamp(_)
            | Value::LocalTimestamp(_)
            | Value::Boolean(_) => None,
        }
    }
}

/// `words` with each run of white space as one space, as values of type `text` have them.
fn collapsed(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}
