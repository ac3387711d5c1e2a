//! `rules of pipeline.yaml -> problems`: fields exist, types fit, dates and patterns can be read.
//!
//! Deliberately judges no document; the room [`crate::validate`] does.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::check::fields_by_name;
use super::draft::Draft;
use super::pipeline::{FieldSpec, Rule, ValueType};
use super::problem::{Report, suggest};

pub(super) fn check(draft: &Draft, report: &mut Report<'_>) {
    let fields = fields_by_name(draft);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (index, rule) in draft.rules.iter().enumerate() {
        let Some(rule) = rule else { continue };
        let at = format!("/rules/{index}");
        let mut checker = Checker { fields: &fields, at, report };
        checker.rule(rule);
        let text = serde_json::to_string(rule).unwrap_or_default();
        if let Some(first) = seen.insert(text, index) {
            checker.at("", format!("says the same as rules[{first}]"), "keep one of them");
        }
    }
}

struct Checker<'a, 'r> {
    fields: &'a BTreeMap<&'a str, Option<&'a FieldSpec>>,
    at: String,
    report: &'a mut Report<'r>,
}

/// Types of field that a rule is for, and their names for the hint.
type Kinds = (&'static [ValueType], &'static str);

const DATES: Kinds =
    (&[ValueType::Date, ValueType::Timestamp], "the rule is for `date` and `timestamp`");
const NUMBERS: Kinds =
    (&[ValueType::Integer, ValueType::Number], "the rule is for `integer` and `number`");
const WORDS: Kinds =
    (&[ValueType::Words], "the rule is for types of words, such as `text` and `choice`");

impl Checker<'_, '_> {
    fn at(&mut self, key: &str, problem: impl Into<String>, hint: impl Into<String>) {
        self.report.at(&format!("{}{key}", self.at), problem, hint);
    }

    fn rule(&mut self, rule: &Rule) {
        match rule {
            Rule::Required { field, or, otherwise: _ } => {
                self.field("/field", field, None);
                for (index, other) in or.iter().enumerate() {
                    self.field(&format!("/or/{index}"), other, None);
                }
            }
            Rule::ConfidenceAtLeast { field, confidence: _ } | Rule::Readable { field } => {
                self.field("/field", field, None);
            }
            Rule::NotBefore { field, other, otherwise: _ } => {
                let one = self.single_date("/field", field);
                let two = self.single_date("/other", other);
                if field == other {
                    self.at("/other", "is the same column as `field`", "");
                } else if let Some((one, two)) =
                    one.zip(two).filter(|(one, two)| !are_alike(one, two))
                {
                    let problem = format!(
                        "a {} cannot be compared with a {}",
                        comparable(&one),
                        comparable(&two)
                    );
                    self.at("/other", problem, "compare two columns of one type");
                }
            }
            Rule::DateBetween { field, from, to, otherwise: _ } => {
                self.field("/field", field, Some(DATES));
                let from = self.date("/from", from);
                let to = self.date("/to", to);
                if from.zip(to).is_some_and(|(from, to)| from > to) {
                    self.at("/to", "is before `from`: no date lies between", "");
                }
            }
            Rule::NumberBetween { field, from, to, otherwise: _ } => {
                self.field("/field", field, Some(NUMBERS));
                if from > to {
                    self.at("/to", "is below `from`: no number lies between", "");
                }
            }
            Rule::OneOf { field, values: _, otherwise: _ }
            | Rule::NoneOf { field, values: _, otherwise: _ } => {
                self.field("/field", field, Some(WORDS));
            }
            Rule::Pattern { field, pattern, otherwise: _ } => {
                self.field("/field", field, Some(WORDS));
                self.pattern(pattern);
            }
        }
    }

    /// The field of that name, where it exists and is of one of the kinds.
    fn field(&mut self, key: &str, name: &str, kinds: Option<Kinds>) -> Option<FieldSpec> {
        let Some(found) = self.fields.get(name) else {
            let names: Vec<_> = self.fields.keys().copied().collect();
            self.at(key, format!("there is no field `{name}`"), suggest(name, &names));
            return None;
        };
        let field = (*found)?;
        if let Some((_, hint)) =
            kinds.filter(|(kinds, _)| !kinds.contains(&field.kind.value_type()))
        {
            let problem = format!("the field `{name}` is of type `{}`", field.kind.name());
            self.at(key, problem, hint);
            return None;
        }
        Some(field.clone())
    }

    fn single_date(&mut self, key: &str, name: &str) -> Option<FieldSpec> {
        let field = self.field(key, name, Some(DATES))?;
        if field.many {
            let problem = format!("the column `{name}` is a list: which date counts?");
            self.at(key, problem, "compare single dates");
            return None;
        }
        Some(field)
    }

    fn date(&mut self, key: &str, text: &str) -> Option<Date> {
        let date = text.parse::<Date>().ok().filter(|date| date.to_string() == text);
        if date.is_none() {
            self.at(key, format!("`{text}` is not a day"), "write it as 2024-12-31");
        }
        date
    }

    fn pattern(&mut self, pattern: &str) {
        if let Err(problem) = regular(pattern) {
            self.at("/pattern", problem, REGEX_HINT);
        }
    }
}

pub(super) const REGEX_HINT: &str = "look-around and back-references are not taken";

/// `pattern` as the crate `regex` takes it; else why not, on one line.
pub(super) fn regular(pattern: &str) -> Result<regex::Regex, String> {
    regex::Regex::new(pattern).map_err(|error| {
        // The message draws the pattern over several lines; its last one says what is wrong.
        let error = error.to_string();
        let last = error.lines().last().unwrap_or_default().trim();
        format!("is no regular expression: {}", last.strip_prefix("error: ").unwrap_or(last))
    })
}

/// Whether the values of two columns of dates can be put in order.
fn are_alike(one: &FieldSpec, other: &FieldSpec) -> bool {
    comparable(one) == comparable(other)
}

/// What the values of a column of dates are.
fn comparable(field: &FieldSpec) -> &'static str {
    match (field.kind.value_type(), field.zone.is_some()) {
        (ValueType::Timestamp, true) => "timestamp with `zone`",
        (ValueType::Timestamp, false) => "timestamp without `zone`",
        (
            ValueType::Words
            | ValueType::Date
            | ValueType::Duration
            | ValueType::Integer
            | ValueType::Number
            | ValueType::Boolean,
            _,
        ) => "date",
    }
}
