//! `fields and sections of pipeline.yaml -> problems`: sources, types and what each type needs.
//!
//! Deliberately asks nothing of the model; [`super::check`] compares labels and heads.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use super::pipeline::{AttributeSpec, DateOrder, FieldKind, FieldSpec, VALUE_GROUP, VALUE_PLACE};
use super::problem::Report;
use super::rules::{REGEX_HINT, regular};

/// Columns of an attribute column's record that sluice fills itself.
const ITEM_COLUMNS: &[&str] = &["value", "evidence"];

pub(super) fn check(draft: &Draft, report: &mut Report<'_>) {
    let has_sections = draft.sections.as_ref().is_some_and(|sections| !sections.is_empty());
    for (index, field) in draft.fields.iter().enumerate() {
        let Some(field) = field else { continue };
        let mut checker = Checker { at: format!("/fields/{index}"), has_sections, report };
        checker.field(field);
    }
    sections(draft, report);
}

struct Checker<'a, 'r> {
    at: String,
    has_sections: bool,
    report: &'a mut Report<'r>,
}

impl Checker<'_, '_> {
    fn at(&mut self, key: &str, problem: impl Into<String>, hint: impl Into<String>) {
        self.report.at(&format!("{}{key}", self.at), problem, hint);
    }

    fn field(&mut self, field: &FieldSpec) {
        self.source(field);
        self.twice("/labels", field.all_labels());
        self.twice("/keys", field.keys.iter().map(String::as_str));
        if !field.zone_keys.is_empty() && field.zone.is_none() {
            let hint = "set `zone` for timestamps whose document names none";
            self.at("/zone_keys", "a timestamp without `zone` is no moment", hint);
        }
        self.near(field);
        self.kind(field.kind, field.zone.is_some(), &field.choices);
        self.date_order(field.kind, field.date_order);
        for (index, pattern) in field.patterns.iter().enumerate() {
            let key = format!("/patterns/{index}");
            match regular(pattern) {
                Err(problem) => self.at(&key, problem, REGEX_HINT),
                Ok(regex) if regex.is_match("") => {
                    self.at(&key, "matches where there is nothing", "let it ask for a character");
                }
                Ok(regex) => self.groups(&key, &regex),
            }
        }
        self.unless(field);
        if matches!(field.kind, FieldKind::Negated | FieldKind::Label) {
            let problem = format!("`{}` says something of a value, and is none", field.kind.name());
            self.at("/type", problem, "put it under `attributes` of a list");
        }
        self.attributes(field);
    }

    /// Names of groups: under a misspelt one the column would silently hold the whole match.
    fn groups(&mut self, key: &str, regex: &regex::Regex) {
        for name in regex.capture_names().flatten().filter(|name| *name != VALUE_GROUP) {
            let problem = format!("nothing reads the group `{name}`");
            let hint = "name the group of the value `value`, and let others be `(?:..)`";
            self.at(key, problem, hint);
        }
    }

    /// Expressions that leave values out: readable, and about the value where they are to be.
    fn unless(&mut self, field: &FieldSpec) {
        for (key, regex) in [("/unless", &field.unless), ("/unless_around", &field.unless_around)] {
            if let Some(Err(problem)) = regex.as_deref().map(regular) {
                self.at(key, problem, REGEX_HINT);
            }
        }
        let is_placeless = |around: &str| !around.contains(VALUE_PLACE) && regular(around).is_ok();
        if field.unless_around.as_deref().is_some_and(is_placeless) {
            let problem = format!("does not say where the value stands: it has no `{VALUE_PLACE}`");
            self.at("/unless_around", problem, r"such as `\bbrother\b[^.,]*<>`");
        }
    }

    /// Exactly one source, and the one that the type needs.
    fn source(&mut self, field: &FieldSpec) {
        let given = [
            ("label", field.label.is_some()),
            ("labels", !field.labels.is_empty()),
            ("head", field.head.is_some()),
            ("keys", !field.keys.is_empty()),
            ("patterns", !field.patterns.is_empty()),
        ];
        let given: Vec<_> = given.iter().filter(|(_, is)| *is).map(|(key, _)| *key).collect();
        if field.kind == FieldKind::Section {
            for key in given {
                let problem = format!("`{key}` has no place here: headings are the source");
                self.at(&format!("/{key}"), problem, "drop it");
            }
            return;
        }
        match given.as_slice() {
            [] => {
                let hint = "add `label`, `labels`, `head`, `keys` or `patterns`";
                self.at("", "the field has no source of values", hint);
            }
            ["head"] if field.kind != FieldKind::Class => {
                let problem =
                    format!("a head gives a class, and the type is `{}`", field.kind.name());
                self.at("/head", problem, "make the type `class`");
            }
            ["head"] if field.many => {
                self.at("/many", "a head gives one class a document", "drop the key");
            }
            [one] if field.kind == FieldKind::Class && *one != "head" => {
                self.at("/type", format!("`{one}` gives no class"), "name a `head`");
            }
            [_] | ["keys", "patterns"] => {}
            [first, others @ ..] => {
                for other in others {
                    let problem = format!("the values come from `{first}` already");
                    self.at(&format!("/{other}"), problem, "keep one source");
                }
            }
        }
    }

    /// Labels that stand twice.
    fn twice<'l>(&mut self, key: &str, labels: impl Iterator<Item = &'l str>) {
        let mut seen = BTreeSet::new();
        for label in labels {
            if !seen.insert(label) {
                self.at(key, format!("`{label}` stands here twice"), "keep one of them");
            }
        }
    }

    /// Words that lead to a value: for dates and durations, and readable.
    fn near(&mut self, field: &FieldSpec) {
        let Some(words) = &field.near else { return };
        if !matches!(field.kind, FieldKind::Date | FieldKind::Duration) {
            let problem = format!("the field is of type `{}`", field.kind.name());
            self.at("/near", problem, "`near` is for `date` and `duration`");
        } else if let Err(problem) = regular(words) {
            self.at("/near", problem, REGEX_HINT);
        }
    }

    /// What a type needs, and what no other takes.
    fn kind(&mut self, kind: FieldKind, has_zone: bool, choices: &BTreeMap<String, Vec<String>>) {
        if has_zone && kind != FieldKind::Timestamp {
            self.at("/zone", format!("the type is `{}`", kind.name()), "`zone` is for `timestamp`");
        }
        if kind == FieldKind::Section && !self.has_sections {
            self.at("/type", "the file has no `sections`", "list them with their headings");
        }
        match (kind == FieldKind::Choice, choices.is_empty()) {
            (true, true) => {
                let hint = "such as `choices: {female: [female, woman], male: [male, man]}`";
                self.at("/choices", "is missing", hint);
            }
            (false, false) => {
                let problem = format!("the type is `{}`", kind.name());
                self.at("/choices", problem, "`choices` are for `choice`");
            }
            (true, false) => self.choices(choices),
            (false, true) => {}
        }
    }

    fn date_order(&mut self, kind: FieldKind, order: Option<DateOrder>) {
        if order.is_some() && !matches!(kind, FieldKind::Date | FieldKind::Timestamp) {
            let problem = format!("the type is `{}`", kind.name());
            self.at("/date_order", problem, "`date_order` is for `date` and `timestamp`");
        }
    }

    fn choices(&mut self, choices: &BTreeMap<String, Vec<String>>) {
        let mut taken: BTreeMap<String, &str> = BTreeMap::new();
        for (choice, words) in choices {
            let key = super::yaml::child("/choices", choice);
            if words.is_empty() {
                self.at(&key, "has no words", "name at least one that stands for it");
            }
            for word in words {
                if !word.contains(char::is_alphanumeric) {
                    self.at(&key, format!("`{word}` is no word"), "");
                } else if let Some(first) = taken.insert(word.to_lowercase(), choice) {
                    let problem = format!("`{word}` stands for `{first}` already");
                    self.at(&key, problem, "let each word stand for one choice");
                }
            }
        }
    }

    fn attributes(&mut self, field: &FieldSpec) {
        if field.attributes.is_empty() {
            return;
        }
        if !field.many {
            self.at("/attributes", "the column holds one value", "attributes need `many: true`");
        }
        let outer = self.at.clone();
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, attribute) in field.attributes.iter().enumerate() {
            self.at = format!("{outer}/attributes/{index}");
            let name = attribute.name.as_str();
            if ITEM_COLUMNS.contains(&name) {
                let problem = format!("the column `{name}` is in every record of a list already");
                self.at("/name", problem, "take another name");
            } else if let Some(first) = names.insert(name, index) {
                let problem = format!("attributes[{first}] has the name `{name}` already");
                self.at("/name", problem, "take another name");
            }
            self.attribute(attribute, field);
        }
        self.at = outer;
    }

    fn attribute(&mut self, attribute: &AttributeSpec, field: &FieldSpec) {
        self.kind(attribute.kind, attribute.zone.is_some(), &attribute.choices);
        self.date_order(attribute.kind, attribute.date_order);
        self.twice("/labels", attribute.all_labels());
        if attribute.label.is_some() && !attribute.labels.is_empty() {
            self.at("/labels", "the values come from `label` already", "keep one source");
        }
        let mut labels = attribute.all_labels();
        if attribute.many && attribute.all_labels().next().is_none() {
            self.at(
                "/many",
                "one value has these words once",
                "`many` is for `label` and `labels`",
            );
        }
        match attribute.kind {
            FieldKind::Class | FieldKind::Party => {
                let problem = format!("`{}` is no type of an attribute", attribute.kind.name());
                self.at("/type", problem, "it is for fields");
            }
            FieldKind::Negated | FieldKind::Section | FieldKind::Label
                if labels.next().is_some() =>
            {
                let key = if attribute.label.is_some() { "/label" } else { "/labels" };
                let problem = format!("`{}` follows from the value itself", attribute.kind.name());
                self.at(key, problem, "drop it");
            }
            FieldKind::Label if field.labels.is_empty() => {
                let problem = "the field has no `labels` to tell apart";
                self.at("/type", problem, "list them in the field, or drop the attribute");
            }
            FieldKind::Text if labels.next().is_none() => {
                let problem = "the attribute repeats the words of the value";
                self.at("/type", problem, "name the `label` that it takes, or another type");
            }
            FieldKind::Text
            | FieldKind::Date
            | FieldKind::Duration
            | FieldKind::Jurisdiction
            | FieldKind::Timestamp
            | FieldKind::Integer
            | FieldKind::Number
            | FieldKind::Comparator
            | FieldKind::Unit
            | FieldKind::Choice
            | FieldKind::Severity
            | FieldKind::Template
            | FieldKind::TemplateHash
            | FieldKind::Negated
            | FieldKind::Section
            | FieldKind::Label => {}
        }
    }
}

/// Headings: some for each section, and none for two.
fn sections(draft: &Draft, report: &mut Report<'_>) {
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    for (code, headings) in draft.sections.iter().flatten() {
        let at = super::yaml::child("/sections", code);
        if headings.is_empty() {
            report.at(&at, "has no headings", "name at least one that opens it");
        }
        for heading in headings {
            if !heading.contains(char::is_alphanumeric) {
                report.at(&at, format!("`{heading}` is no heading"), "");
            } else if let Some(first) = taken.insert(heading.to_lowercase(), code) {
                let problem = format!("`{heading}` opens `{first}` already");
                report.at(&at, problem, "let each heading open one section");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::fixture::{GOOD, folder};
    use crate::config::load;

    /// Asserts what is said of a good pipeline whose column `title` is written so.
    fn check(column: &str, expected: &[&str]) {
        let text = GOOD.replacen("    label: Document Name\n    type: text\n", column, 1);
        let root = folder(&text);
        let found = load(&root.path().join("leases")).err().unwrap_or_default();
        let told: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), expected.len(), "{told:?}");
        for (line, expected) in told.iter().zip(expected) {
            assert!(line.ends_with(expected), "{line}\n{expected}");
        }
    }

    #[test]
    fn keys_are_a_source_beside_patterns_only() {
        check("    keys: [level]\n    patterns: [a]\n    type: text\n", &[]);
        check("    keys: [level]\n    type: text\n", &[]);
        check(
            "    label: Parties\n    keys: [level]\n    type: text\n",
            &["10: fields[0].keys: the values come from `label` already; keep one source"],
        );
        check(
            "    keys: [level, level]\n    type: text\n",
            &["9: fields[0].keys: `level` stands here twice; keep one of them"],
        );
    }

    #[test]
    fn a_pattern_names_no_group_but_the_value() {
        check("    patterns: ['n (?P<value>\\d+)', 'm (\\d+)']\n    type: text\n", &[]);
        check(
            "    patterns: ['n (?P<val>\\d+)', '(?<value>a)(?<b>b)']\n    type: text\n",
            &[
                "9: fields[0].patterns[0]: nothing reads the group `val`; name the group of the value `value`, and let others be `(?:..)`",
                "9: fields[0].patterns[1]: nothing reads the group `b`; name the group of the value `value`, and let others be `(?:..)`",
            ],
        );
    }

    #[test]
    fn words_around_a_value_say_where_it_stands() {
        let label = "    label: Parties\n    type: text\n";
        check(&format!("{label}    unless_around: 'brother[^.]*<>'\n"), &[]);
        check(
            &format!("{label}    unless_around: brother\n"),
            &[
                r"11: fields[0].unless_around: does not say where the value stands: it has no `<>`; such as `\bbrother\b[^.,]*<>`",
            ],
        );
    }

    #[test]
    fn the_order_of_dates_and_keys_of_zones_are_for_what_has_them() {
        check("    label: Parties\n    type: date\n    date_order: day_first\n", &[]);
        check(
            "    label: Parties\n    type: text\n    date_order: day_first\n",
            &[
                "11: fields[0].date_order: the type is `text`; `date_order` is for `date` and `timestamp`",
            ],
        );
        check(
            "    keys: [t]\n    type: timestamp\n    zone_keys: [tz]\n",
            &[
                "11: fields[0].zone_keys: a timestamp without `zone` is no moment; set `zone` for timestamps whose document names none",
            ],
        );
    }

    #[test]
    fn expressions_that_cannot_be_read_are_told_with_their_key() {
        for key in ["unless", "unless_around"] {
            let field =
                format!("  - name: mode\n    label: Parties\n    type: text\n    {key}: '['\n");
            let yaml = GOOD.replace("fields:\n", &format!("fields:\n{field}"));
            let root = folder(&yaml);
            let problems = load(&root.path().join("leases")).err().unwrap_or_default();
            let keys: Vec<_> = problems.iter().map(|one| one.key.as_str()).collect();
            assert!(keys.contains(&format!("fields[0].{key}").as_str()), "{keys:?}");
        }
    }
}
