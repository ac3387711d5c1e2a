//! `fields, flags, labels -> Plan`: the columns of `pipeline.yaml` against the labels of a bundle.
//!
//! Deliberately reads no file; it gets what `config` has read, and gives back every mistake.

use std::collections::BTreeSet;

use regex::{Regex, RegexBuilder};

use super::reading::Reader;
use crate::config::pipeline::{FieldKind, FieldSpec, FlagSpec};

/// What to make of which label. Built once per flow.
pub struct Plan {
    fields: Vec<PlannedField>,
    flags: Vec<PlannedFlag>,
    label_count: usize,
}

/// One typed column.
pub(super) struct PlannedField {
    pub(super) name: String,
    pub(super) label: usize,
    pub(super) reader: Reader,
    pub(super) many: bool,
}

/// One yes-or-no column.
pub(super) struct PlannedFlag {
    pub(super) name: String,
    pub(super) label_name: String,
    pub(super) label: usize,
}

/// A mistake: the key in `pipeline.yaml`, such as `fields[2].label`, and what is wrong there.
type Problem = (String, String);

/// Limit: compiled size of one `near`, in bytes; a list of a hundred words takes a tenth of it.
const NEAR_SIZE_BYTES_MAX: usize = 1 << 20;

impl Plan {
    /// Fits columns to `labels`, the labels of the bundle in its order.
    ///
    /// # Errors
    ///
    /// Every mistake at once, each with its key.
    pub fn new(
        fields: &[FieldSpec],
        flags: Option<&FlagSpec>,
        labels: &[String],
    ) -> Result<Self, Vec<(String, String)>> {
        let mut problems = Vec::new();
        let planned_fields = plan_fields(fields, labels, &mut problems);
        let planned_flags = flags.map_or_else(Vec::new, |spec| {
            if fields.iter().any(|field| field.name == spec.column) {
                let problem = format!("`{}` is the name of a field already", spec.column);
                problems.push(("flags.column".to_owned(), problem));
            }
            plan_flags(spec, labels, &mut problems)
        });
        if problems.is_empty() {
            let label_count = labels.len();
            return Ok(Self { fields: planned_fields, flags: planned_flags, label_count });
        }
        Err(problems)
    }

    /// Names of the flags, in the order in which they are published.
    pub fn flag_names(&self) -> impl Iterator<Item = &str> {
        self.flags.iter().map(|flag| flag.name.as_str())
    }

    pub(super) fn fields(&self) -> &[PlannedField] {
        &self.fields
    }

    pub(super) fn flags(&self) -> &[PlannedFlag] {
        &self.flags
    }

    pub(super) const fn label_count(&self) -> usize {
        self.label_count
    }
}

/// The columns that could be planned; the others as problems.
fn plan_fields(
    fields: &[FieldSpec],
    labels: &[String],
    problems: &mut Vec<Problem>,
) -> Vec<PlannedField> {
    let mut names = BTreeSet::new();
    let mut planned = Vec::with_capacity(fields.len());
    for (index, field) in fields.iter().enumerate() {
        if !names.insert(field.name.as_str()) {
            let problem = format!("`{}` is the name of a field already", field.name);
            problems.push((format!("fields[{index}].name"), problem));
        }
        let label = labels.iter().position(|label| *label == field.label);
        if label.is_none() {
            problems.push((format!("fields[{index}].label"), unknown_label(&field.label, labels)));
        }
        let reader = reader(field)
            .map_err(|problem| problems.push((format!("fields[{index}].near"), problem)));
        if let (Some(label), Ok(reader)) = (label, reader) {
            planned.push(PlannedField {
                name: field.name.clone(),
                label,
                reader,
                many: field.many,
            });
        }
    }
    planned
}

fn reader(field: &FieldSpec) -> Result<Reader, String> {
    let near = field.near.as_deref().map(near).transpose()?;
    let reader = match (field.kind, near) {
        (FieldKind::Date, near) => Reader::Date(near),
        (FieldKind::Duration, near) => Reader::Duration(near),
        (FieldKind::Text, None) => Reader::Text,
        (FieldKind::Party, None) => Reader::Party,
        (FieldKind::Jurisdiction, None) => Reader::Jurisdiction,
        (FieldKind::Text | FieldKind::Party | FieldKind::Jurisdiction, Some(_)) => {
            return Err("`near` is for fields of type `date` or `duration`".to_owned());
        }
    };
    Ok(reader)
}

/// Leading words as a pattern that matches them whole.
fn near(words: &str) -> Result<Regex, String> {
    let build = |text: &str| {
        let mut builder = RegexBuilder::new(text);
        builder.case_insensitive(true).size_limit(NEAR_SIZE_BYTES_MAX).build()
    };
    // Order: alone first. Wrapped at once, a stray `)` would close the wrap and compile.
    let alone =
        build(words).map_err(|error| format!("`{words}` is no regular expression: {error}"))?;
    if alone.is_match("") {
        return Err(format!("`{words}` matches everywhere; name the words that lead to the value"));
    }
    build(&format!(r"\b(?:{words})\b"))
        .map_err(|error| format!("`{words}` is no regular expression: {error}"))
}

/// The flags that could be planned, in the order of the bundle; the others as problems.
fn plan_flags(spec: &FlagSpec, labels: &[String], problems: &mut Vec<Problem>) -> Vec<PlannedFlag> {
    let mut wanted = BTreeSet::new();
    for (index, name) in spec.labels.iter().enumerate() {
        let key = format!("flags.labels[{index}]");
        match labels.iter().position(|label| label == name) {
            Some(label) if wanted.insert(label) => {}
            Some(_) => problems.push((key, format!("`{name}` stands here twice"))),
            None => problems.push((key, unknown_label(name, labels))),
        }
    }
    let mut names = BTreeSet::new();
    let mut planned = Vec::new();
    for (label, label_name) in labels.iter().enumerate() {
        if !spec.labels.is_empty() && !wanted.contains(&label) {
            continue;
        }
        let name = flag_name(label_name);
        if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
            let problem = format!("label `{label_name}` gives no name: it begins with no letter");
            problems.push(("flags.labels".to_owned(), problem));
        } else if !names.insert(name.clone()) {
            let problem = format!("two labels give the name `{name}`");
            problems.push(("flags.labels".to_owned(), problem));
        } else {
            planned.push(PlannedFlag { name, label_name: label_name.clone(), label });
        }
    }
    planned
}

/// A label in lower case, runs of anything but ASCII letters and digits turned into one
/// underscore.
fn flag_name(label: &str) -> String {
    let mut name = String::with_capacity(label.len());
    for letter in label.chars() {
        if letter.is_ascii_alphanumeric() {
            name.push(letter.to_ascii_lowercase());
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    name
}

fn unknown_label(name: &str, labels: &[String]) -> String {
    let near = labels
        .iter()
        .map(|label| (strsim::jaro_winkler(name, label), label))
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    let hint = match near {
        Some((likeness, label)) if likeness > 0.8 => format!("; did you mean `{label}`?"),
        Some(_) | None => String::new(),
    };
    format!("the model bundle has no label `{name}`{hint}")
}

#[cfg(test)]
mod tests {
    use super::{Plan, flag_name};
    use crate::config::pipeline::{FieldKind, FieldSpec, FlagSpec};

    fn field(name: &str, label: &str, kind: FieldKind, near: Option<&str>) -> FieldSpec {
        FieldSpec { near: near.map(str::to_owned), ..FieldSpec::new(name, label, kind) }
    }

    fn flags(column: &str, labels: &[&str]) -> FlagSpec {
        FlagSpec {
            column: column.to_owned(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        }
    }

    fn problems(fields: &[FieldSpec], flags: Option<&FlagSpec>, labels: &[&str]) -> Vec<String> {
        let labels: Vec<_> = labels.iter().map(|label| (*label).to_owned()).collect();
        let problems = Plan::new(fields, flags, &labels).err().unwrap_or_default();
        problems.into_iter().map(|(key, problem)| format!("{key}: {problem}")).collect()
    }

    #[test]
    fn flag_names_follow_the_rule() {
        assert_eq!(flag_name("Governing Law"), "governing_law");
        assert_eq!(flag_name("Rofr/Rofo/Rofn"), "rofr_rofo_rofn");
        assert_eq!(
            flag_name("Unlimited/All-You-Can-Eat-License"),
            "unlimited_all_you_can_eat_license"
        );
    }

    #[test]
    fn every_mistake_is_told_at_once_with_its_key() {
        let fields = [
            field("day", "Agreement Dat", FieldKind::Date, None),
            field("day", "Parties", FieldKind::Text, Some("x")),
            field("end", "Parties", FieldKind::Date, Some("(")),
            field("start", "Parties", FieldKind::Date, Some("a*")),
        ];
        let flags = flags("end", &["Parties", "Parties", "zzz"]);
        let told = problems(&fields, Some(&flags), &["Agreement Date", "Parties"]);
        let keys: Vec<_> = told.iter().filter_map(|line| line.split(": ").next()).collect();
        let expected = [
            "fields[0].label",
            "fields[1].name",
            "fields[1].near",
            "fields[2].near",
            "fields[3].near",
            "flags.column",
            "flags.labels[1]",
            "flags.labels[2]",
        ];
        assert_eq!(keys, expected);
        assert!(told[0].ends_with("did you mean `Agreement Date`?"), "{}", told[0]);
    }

    #[test]
    fn labels_that_give_one_flag_name_are_refused() {
        let told = problems(&[], Some(&flags("clauses", &[])), &["A b", "a-B", "1st"]);
        assert_eq!(told.len(), 2, "{told:?}");
    }

    #[test]
    fn flags_stand_in_the_order_of_the_bundle() {
        let labels = ["B".to_owned(), "A".to_owned(), "C".to_owned()];
        let plan = Plan::new(&[], Some(&flags("clauses", &["C", "B"])), &labels);
        let Ok(plan) = plan else { panic!("the labels are there") };
        assert_eq!(plan.flag_names().collect::<Vec<_>>(), ["b", "c"]);
    }
}
