//! `rules of pipeline.yaml -> problems`: fields exist, types fit, dates and patterns can be read.
//!
//! Deliberately judges no document; the room [`crate::validate`] does.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::check::fields_by_name;
use super::draft::Draft;
use super::pipeline::{FieldKind, FieldSpec, Rule};
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

const DATES: &[FieldKind] = &[FieldKind::Date];
const WORDS: &[FieldKind] = &[FieldKind::Text, FieldKind::Party, FieldKind::Jurisdiction];

impl Checker<'_, '_> {
    fn at(&mut self, key: &str, problem: impl Into<String>, hint: impl Into<String>) {
        self.report.at(&format!("{}{key}", self.at), problem, hint);
    }

    fn rule(&mut self, rule: &Rule) {
        match rule {
            Rule::Required { field, otherwise: _ }
            | Rule::ConfidenceAtLeast { field, confidence: _ }
            | Rule::Readable { field } => {
                self.field("/field", field, None);
            }
            Rule::NotBefore { field, other, otherwise: _ } => {
                self.single_date("/field", field);
                self.single_date("/other", other);
                if field == other {
                    self.at("/other", "is the same column as `field`", "");
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
            Rule::OneOf { field, values: _, otherwise: _ } => {
                self.field("/field", field, Some(WORDS));
            }
            Rule::Pattern { field, pattern, otherwise: _ } => {
                self.field("/field", field, Some(WORDS));
                self.pattern(pattern);
            }
        }
    }

    /// The field of that name, where it exists and is of one of the kinds.
    fn field(&mut self, key: &str, name: &str, kinds: Option<&[FieldKind]>) -> Option<FieldSpec> {
        let Some(found) = self.fields.get(name) else {
            let names: Vec<_> = self.fields.keys().copied().collect();
            self.at(key, format!("there is no field `{name}`"), suggest(name, &names));
            return None;
        };
        let field = (*found)?;
        if let Some(kinds) = kinds.filter(|kinds| !kinds.contains(&field.kind)) {
            let kinds: Vec<_> = kinds.iter().map(|kind| kind_name(*kind)).collect();
            let problem = format!("the field `{name}` is of type {}", kind_name(field.kind));
            self.at(key, problem, format!("the rule is for {}", kinds.join(" and ")));
            return None;
        }
        Some(field.clone())
    }

    fn single_date(&mut self, key: &str, name: &str) {
        if self.field(key, name, Some(DATES)).is_some_and(|field| field.many) {
            let problem = format!("the column `{name}` is a list: which date counts?");
            self.at(key, problem, "compare single dates");
        }
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

/// Whether the crate `regex` takes `pattern`; else why not, on one line.
pub(super) fn regular(pattern: &str) -> Result<(), String> {
    regex::Regex::new(pattern).map(|_| ()).map_err(|error| {
        // The message draws the pattern over several lines; its last one says what is wrong.
        let error = error.to_string();
        let last = error.lines().last().unwrap_or_default().trim();
        format!("is no regular expression: {}", last.strip_prefix("error: ").unwrap_or(last))
    })
}

pub(super) const fn kind_name(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "`text`",
        FieldKind::Party => "`party`",
        FieldKind::Date => "`date`",
        FieldKind::Duration => "`duration`",
        FieldKind::Jurisdiction => "`jurisdiction`",
    }
}
