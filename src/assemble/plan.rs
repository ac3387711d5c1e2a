//! `fields, flags, labels -> Plan`: the columns of `pipeline.yaml` against the labels of a bundle.
//!
//! Deliberately reads no file; it gets what `config` has read, and gives back every mistake.

use std::collections::{BTreeMap, BTreeSet};

use super::columns::{PlannedField, plan_fields};
use super::sections::Headings;
use crate::config::Labels;
use crate::config::pipeline::{FieldSpec, FlagSpec};
use crate::types::Text;

/// What to make of which label. Built once per flow.
pub struct Plan {
    fields: Vec<PlannedField>,
    flags: Vec<PlannedFlag>,
    headings: Headings,
    label_count: usize,
}

/// One yes-or-no column.
pub(super) struct PlannedFlag {
    pub(super) name: String,
    pub(super) label_name: String,
    pub(super) label: usize,
}

/// A mistake: the key in `pipeline.yaml`, such as `fields[2].label`, and what is wrong there.
pub(super) type Problem = (String, String);

impl Plan {
    /// Fits columns to `labels`, the labels of the bundle in its order.
    ///
    /// # Errors
    ///
    /// Every mistake at once, each with its key.
    pub fn new(
        fields: &[FieldSpec],
        sections: &BTreeMap<String, Vec<String>>,
        flags: Option<&FlagSpec>,
        labels: &Labels,
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
            return Ok(Self {
                fields: planned_fields,
                flags: planned_flags,
                headings: Headings::new(sections),
                label_count: labels.names().len(),
            });
        }
        Err(problems)
    }

    /// Names of the flags, in the order in which they are published.
    pub fn flag_names(&self) -> impl Iterator<Item = &str> {
        self.flags.iter().map(|flag| flag.name.as_str())
    }

    /// Whether a column of `text` can come from the model: there are flags, or columns that read a
    /// label and whose `unless` does not match.
    pub fn reads_model(&self, text: &Text) -> bool {
        !self.flags.is_empty()
            || self.fields.iter().any(|field| field.reads_model() && field.is_asked(text.as_str()))
    }

    pub(super) fn fields(&self) -> &[PlannedField] {
        &self.fields
    }

    pub(super) fn flags(&self) -> &[PlannedFlag] {
        &self.flags
    }

    pub(super) const fn headings(&self) -> &Headings {
        &self.headings
    }

    pub(super) const fn label_count(&self) -> usize {
        self.label_count
    }
}

/// The flags that could be planned, in the order of the bundle; the others as problems.
fn plan_flags(spec: &FlagSpec, known: &Labels, problems: &mut Vec<Problem>) -> Vec<PlannedFlag> {
    let labels = known.names();
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
        let is_wanted = spec.labels.is_empty() || wanted.contains(&label);
        if !is_wanted || !known.has_flag(label) {
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

pub(super) fn unknown_label(name: &str, labels: &[String]) -> String {
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
    use std::collections::BTreeMap;

    use super::{Plan, flag_name};
    use crate::assemble::fixture::clauses;
    use crate::config::pipeline::{FieldKind, FieldSpec, FlagSpec};
    use crate::types::Text;

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
        let problems =
            Plan::new(fields, &BTreeMap::new(), flags, &clauses(labels)).err().unwrap_or_default();
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
    fn a_text_none_of_whose_columns_is_a_label_s_needs_no_model() {
        let parties = FieldSpec {
            unless: Some(r"\A\d{4}-".to_owned()),
            ..field("parties", "Parties", FieldKind::Text, None)
        };
        let pattern = FieldSpec {
            label: None,
            patterns: vec!["[0-9]+".to_owned()],
            ..field("code", "", FieldKind::Text, None)
        };
        let reads = |fields: &[FieldSpec], flags: Option<&FlagSpec>, text: &str| {
            let plan = Plan::new(fields, &BTreeMap::new(), flags, &clauses(&["Parties"])).unwrap();
            plan.reads_model(&Text::from_pages([text.to_owned()]))
        };
        let both = [parties.clone(), pattern.clone()];
        assert!(reads(&both, None, "replaced pump 7"));
        assert!(!reads(&both, None, "2026-01-01 pump 7"));
        assert!(!reads(&[pattern], None, "replaced pump 7"));
        let flags = flags("clauses", &[]);
        assert!(reads(&both, Some(&flags), "2026-01-01 pump 7"), "flags are of every text");
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
        let labels = clauses(&["B", "A", "C"]);
        let plan = Plan::new(&[], &BTreeMap::new(), Some(&flags("clauses", &["C", "B"])), &labels);
        let Ok(plan) = plan else { panic!("the labels are there") };
        assert_eq!(plan.flag_names().collect::<Vec<_>>(), ["b", "c"]);
    }
}
