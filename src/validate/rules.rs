//! `rules of pipeline.yaml -> Rules`: a closed list, each rule with its test at the foot.
//!
//! A rule about a field without value holds, except `required`.

use std::collections::BTreeSet;

use jiff::civil::Date;
use regex::{Regex, RegexBuilder};

use super::values::{numbers, times, values, words};
use crate::config::pipeline::{FieldSpec, Otherwise, Rule, ValueType};
use crate::types::{Extraction, Reason, Reject, RejectCode, ReviewCode, Room};

/// Rules that fit their fields. Built once per flow.
pub struct Rules {
    rules: Vec<Checked>,
}

/// One rule, ready to judge.
struct Checked {
    field: String,
    otherwise: Otherwise,
    test: Test,
}

/// What must hold.
enum Test {
    Required { or: Vec<String> },
    NotBefore { other: String },
    DateBetween { from: Date, to: Date },
    NumberBetween { from: f64, to: f64 },
    OneOf(BTreeSet<String>),
    NoneOf(BTreeSet<String>),
    Pattern(Regex),
    ConfidenceAtLeast(f32),
    Readable,
}

/// Limit: compiled size of one pattern, in bytes. Matching is linear in the value whatever the
/// pattern, so the size is all that could grow.
const PATTERN_SIZE_BYTES_MAX: usize = 1 << 20;

impl Rules {
    /// Fits `rules` to `fields`.
    ///
    /// # Errors
    ///
    /// Every mistake at once: its key in `pipeline.yaml`, such as `rules[1].field`, and what is
    /// wrong there.
    pub fn new(rules: &[Rule], fields: &[FieldSpec]) -> Result<Self, Vec<(String, String)>> {
        let mut problems = Vec::new();
        let mut checked = Vec::with_capacity(rules.len());
        for (index, rule) in rules.iter().enumerate() {
            match check(rule, fields) {
                Ok(rule) => checked.push(rule),
                Err(found) => problems.extend(
                    found.into_iter().map(|(key, what)| (format!("rules[{index}].{key}"), what)),
                ),
            }
        }
        if problems.is_empty() { Ok(Self { rules: checked }) } else { Err(problems) }
    }

    /// The reasons why people should look at `extraction`, sorted, each once; none where every
    /// rule holds.
    ///
    /// # Errors
    ///
    /// `RULE_BROKEN` where a rule with `otherwise: reject` does not hold, whatever the others say.
    pub fn judge(&self, extraction: &Extraction) -> Result<Vec<Reason>, Reject> {
        let mut reasons = BTreeSet::new();
        let mut refusals = BTreeSet::new();
        for rule in self.rules.iter().filter(|rule| !rule.holds(extraction)) {
            match rule.otherwise {
                Otherwise::Review => reasons.insert(rule.reason()),
                Otherwise::Reject => refusals.insert(rule.detail()),
            };
        }
        if refusals.is_empty() {
            return Ok(reasons.into_iter().collect());
        }
        let detail = refusals.into_iter().collect::<Vec<_>>().join("; ");
        Err(Reject::new(RejectCode::RuleBroken, Room::Validate, detail))
    }
}

/// One rule against the fields, or its mistakes with their keys.
fn check(rule: &Rule, fields: &[FieldSpec]) -> Result<Checked, Vec<(&'static str, String)>> {
    let mut problems = Vec::new();
    let review = Otherwise::Review;
    let (field, otherwise, test) = match rule {
        Rule::Required { field, or, otherwise } => {
            problems.extend(misfit("field", field, fields, None));
            problems.extend(or.iter().filter_map(|other| misfit("or", other, fields, None)));
            (field, *otherwise, Some(Test::Required { or: or.clone() }))
        }
        Rule::NotBefore { field, other, otherwise } => {
            problems.extend(misfit("field", field, fields, Some(DATES)));
            problems.extend(misfit("other", other, fields, Some(DATES)));
            if field == other {
                problems.push(("other", format!("`{other}` is compared with itself")));
            } else if clock(field, fields) != clock(other, fields) {
                problems.push(("other", format!("`{other}` is of another type than `{field}`")));
            }
            (field, *otherwise, Some(Test::NotBefore { other: other.clone() }))
        }
        Rule::DateBetween { field, from, to, otherwise } => {
            problems.extend(misfit("field", field, fields, Some(DATES)));
            (field, *otherwise, between(from, to, &mut problems))
        }
        Rule::NumberBetween { field, from, to, otherwise } => {
            problems.extend(misfit("field", field, fields, Some(NUMBERS)));
            if from > to {
                problems.push(("to", format!("`{to}` is below `{from}`")));
            }
            (field, *otherwise, Some(Test::NumberBetween { from: *from, to: *to }))
        }
        Rule::OneOf { field, values, otherwise } => {
            problems.extend(misfit("field", field, fields, Some(WORDS)));
            if values.is_empty() {
                problems.push(("values", "no value is allowed; name at least one".to_owned()));
            }
            (field, *otherwise, Some(Test::OneOf(values.iter().cloned().collect())))
        }
        Rule::NoneOf { field, values, otherwise } => {
            problems.extend(misfit("field", field, fields, Some(WORDS)));
            if values.is_empty() {
                problems.push(("values", "no value is refused; name at least one".to_owned()));
            }
            (field, *otherwise, Some(Test::NoneOf(values.iter().cloned().collect())))
        }
        Rule::Pattern { field, pattern, otherwise } => {
            problems.extend(misfit("field", field, fields, Some(WORDS)));
            (field, *otherwise, whole(pattern, &mut problems).map(Test::Pattern))
        }
        Rule::ConfidenceAtLeast { field, confidence } => {
            problems.extend(misfit("field", field, fields, None));
            if !(0.0..=1.0).contains(confidence) {
                problems.push(("confidence", format!("`{confidence}` is not in [0, 1]")));
            }
            (field, review, Some(Test::ConfidenceAtLeast(*confidence)))
        }
        Rule::Readable { field } => {
            problems.extend(misfit("field", field, fields, None));
            (field, review, Some(Test::Readable))
        }
    };
    match test {
        Some(test) if problems.is_empty() => Ok(Checked { field: field.clone(), otherwise, test }),
        Some(_) | None => Err(problems),
    }
}

/// Types of field that a rule is for, and their names for the message.
type Kinds = (&'static [ValueType], &'static str);

const DATES: Kinds = (&[ValueType::Date, ValueType::Timestamp], "`date` or `timestamp`");

const NUMBERS: Kinds = (&[ValueType::Integer, ValueType::Number], "`integer` or `number`");

const WORDS: Kinds = (&[ValueType::Words], "types of words, such as `text` or `choice`");

/// What is wrong with a rule's field, if anything.
fn misfit(
    key: &'static str,
    name: &str,
    fields: &[FieldSpec],
    kinds: Option<Kinds>,
) -> Option<(&'static str, String)> {
    let Some(field) = fields.iter().find(|field| field.name == name) else {
        return Some((key, unknown_field(name, fields)));
    };
    let (kinds, names) = kinds?;
    let problem = || (key, format!("`{name}` is of another type; the rule is for {names}"));
    (!kinds.contains(&field.kind.value_type())).then(problem)
}

/// The type of a field, and whether its timestamps are moments.
fn clock(name: &str, fields: &[FieldSpec]) -> Option<(ValueType, bool)> {
    let field = fields.iter().find(|field| field.name == name)?;
    Some((field.kind.value_type(), field.zone.is_some()))
}

fn unknown_field(name: &str, fields: &[FieldSpec]) -> String {
    let near = fields
        .iter()
        .map(|field| (strsim::jaro_winkler(name, &field.name), &field.name))
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    match near {
        Some((likeness, near)) if likeness > 0.8 => {
            format!("no field is named `{name}`; did you mean `{near}`?")
        }
        Some(_) | None => format!("no field is named `{name}`"),
    }
}

fn between(from: &str, to: &str, problems: &mut Vec<(&'static str, String)>) -> Option<Test> {
    let mut day = |key, text: &str| {
        let parsed = text.parse::<Date>();
        if parsed.is_err() {
            problems.push((key, format!("`{text}` is no day; write it as `2015-05-31`")));
        }
        parsed.ok()
    };
    let ends = (day("from", from), day("to", to));
    let (first, last) = (ends.0?, ends.1?);
    if first > last {
        problems.push(("to", format!("`{to}` is before `{from}`")));
        return None;
    }
    Some(Test::DateBetween { from: first, to: last })
}

/// The pattern as one that must match the value from end to end.
fn whole(pattern: &str, problems: &mut Vec<(&'static str, String)>) -> Option<Regex> {
    let compile = |text: &str| RegexBuilder::new(text).size_limit(PATTERN_SIZE_BYTES_MAX).build();
    // Order: alone first. Wrapped at once, a stray `)` would close the wrap and compile.
    match compile(pattern).and_then(|_| compile(&format!(r"\A(?:{pattern})\z"))) {
        Ok(regex) => Some(regex),
        Err(error) => {
            problems.push(("pattern", format!("`{pattern}` is no regular expression: {error}")));
            None
        }
    }
}

impl Checked {
    fn holds(&self, extraction: &Extraction) -> bool {
        let values = values(extraction, &self.field);
        match &self.test {
            Test::Required { or } => {
                let has_value = |name: &String| !self::values(extraction, name).is_empty();
                !values.is_empty() || or.iter().any(has_value)
            }
            Test::NotBefore { other } => {
                let earliest = times(values).min();
                let latest = times(self::values(extraction, other)).max();
                !matches!((earliest, latest), (Some(time), Some(other)) if time < other)
            }
            Test::DateBetween { from, to } => {
                times(values).all(|time| (*from..=*to).contains(&time.date()))
            }
            Test::NumberBetween { from, to } => {
                numbers(values).all(|number| (*from..=*to).contains(&number))
            }
            Test::OneOf(allowed) => words(values).all(|words| allowed.contains(words)),
            Test::NoneOf(refused) => words(values).all(|words| !refused.contains(words)),
            Test::Pattern(pattern) => words(values).all(|words| pattern.is_match(words)),
            Test::ConfidenceAtLeast(floor) => {
                values.iter().all(|one| one.evidence.confidence >= *floor)
            }
            Test::Readable => {
                let mut named = extraction.fields.iter().filter(|field| field.name == self.field);
                named.all(|field| field.unread.is_empty())
            }
        }
    }

    fn reason(&self) -> Reason {
        Reason { code: self.code(), field: Some(self.field.clone()), detail: self.detail() }
    }

    const fn code(&self) -> ReviewCode {
        match self.test {
            Test::Required { .. } => ReviewCode::RequiredMissing,
            Test::ConfidenceAtLeast(_) => ReviewCode::ConfidenceLow,
            Test::Readable => ReviewCode::ValueUnreadable,
            Test::NotBefore { .. }
            | Test::DateBetween { .. }
            | Test::NumberBetween { .. }
            | Test::OneOf(_)
            | Test::NoneOf(_)
            | Test::Pattern(_) => ReviewCode::RuleBroken,
        }
    }

    /// What does not hold: rule and field, in the words of `pipeline.yaml`.
    fn detail(&self) -> String {
        let field = &self.field;
        match &self.test {
            Test::Required { .. } => format!("`{field}` has no value"),
            Test::NotBefore { other } => format!("`{field}` is before `{other}`"),
            Test::DateBetween { from, to } => format!("`{field}` is not from {from} to {to}"),
            Test::NumberBetween { from, to } => format!("`{field}` is not from {from} to {to}"),
            Test::OneOf(_) => format!("`{field}` is none of the allowed values"),
            Test::NoneOf(_) => format!("`{field}` is one of the values that are not allowed"),
            Test::Pattern(_) => format!("`{field}` does not match its pattern"),
            Test::ConfidenceAtLeast(floor) => format!("`{field}` is less sure than {floor}"),
            Test::Readable => format!("`{field}` has words that could not be read as its type"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rules;
    use crate::config::pipeline::{FieldKind, FieldSpec, Otherwise, Rule};
    use crate::types::{
        Evidence, Extraction, Field, FieldValue, Reason, RejectCode, ReviewCode, Sensitive, Span,
        Value,
    };

    const REVIEW: Otherwise = Otherwise::Review;

    fn fields() -> Vec<FieldSpec> {
        let kinds = [
            ("signed", FieldKind::Date),
            ("ends", FieldKind::Date),
            ("law", FieldKind::Jurisdiction),
            ("term", FieldKind::Duration),
        ];
        let field = |(name, kind): (&str, FieldKind)| FieldSpec::new(name, name, kind);
        kinds.map(field).to_vec()
    }

    fn required(field: &str, or: &[&str], otherwise: Otherwise) -> Rule {
        let or = or.iter().map(|name| (*name).to_owned()).collect();
        Rule::Required { field: field.to_owned(), or, otherwise }
    }

    fn evidence(confidence: f32) -> Evidence {
        let span = Span { start: 0, end: 1 };
        let raw = Sensitive::new("x".to_owned());
        Evidence { raw, span, scalars: span, page: 1, confidence, original: None }
    }

    fn day(text: &str) -> Value {
        Value::Date(text.parse().expect("a day"))
    }

    fn law(name: &str) -> Value {
        Value::Text(Sensitive::new(name.to_owned()))
    }

    fn extraction(values: Vec<(&str, Value)>) -> Extraction {
        let field = |(name, value): (&str, Value)| Field {
            name: name.to_owned(),
            values: vec![FieldValue { value, evidence: evidence(0.5), attributes: Vec::new() }],
            unread: Vec::new(),
        };
        Extraction { fields: values.into_iter().map(field).collect(), flags: Vec::new() }
    }

    fn rules(rules: &[Rule]) -> Rules {
        Rules::new(rules, &fields()).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    fn reasons(rule: Rule, extraction: &Extraction) -> Vec<Reason> {
        rules(&[rule]).judge(extraction).expect("no rule rejects")
    }

    fn check(rule: &Rule, values: Vec<(&str, Value)>, expected: Option<ReviewCode>) {
        let reasons = reasons(rule.clone(), &extraction(values));
        assert_eq!(reasons.first().map(|reason| reason.code), expected, "of {rule:?}");
    }

    fn problems(rules: &[Rule]) -> Vec<String> {
        let problems = Rules::new(rules, &fields()).err().unwrap_or_default();
        problems.into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn required_asks_for_a_value() {
        let rule = required("law", &["ends"], REVIEW);
        check(&rule, vec![("law", law("Ohio"))], None);
        check(&rule, vec![("ends", day("2015-05-01"))], None);
        check(&rule, vec![("signed", day("2015-05-01"))], Some(ReviewCode::RequiredMissing));
    }

    #[test]
    fn not_before_orders_two_dates() {
        let (field, other) = ("ends".to_owned(), "signed".to_owned());
        let rule = Rule::NotBefore { field, other, otherwise: REVIEW };
        let dates = |ends, signed| vec![("ends", day(ends)), ("signed", day(signed))];
        check(&rule, dates("2015-05-01", "2015-05-01"), None);
        check(&rule, dates("2015-04-30", "2015-05-01"), Some(ReviewCode::RuleBroken));
        check(&rule, vec![("ends", day("2015-04-30"))], None);
    }

    #[test]
    fn date_between_includes_both_ends() {
        let (from, to) = ("2000-01-01".to_owned(), "2000-12-31".to_owned());
        let rule = Rule::DateBetween { field: "ends".to_owned(), from, to, otherwise: REVIEW };
        check(&rule, vec![("ends", day("2000-01-01"))], None);
        check(&rule, vec![("ends", day("2000-12-31"))], None);
        check(&rule, vec![("ends", day("2001-01-01"))], Some(ReviewCode::RuleBroken));
        check(&rule, vec![], None);
    }

    #[test]
    fn one_of_allows_its_values_only_and_none_of_all_others() {
        let values = vec!["Ohio".to_owned(), "Utah".to_owned()];
        let rule = Rule::OneOf { field: "law".to_owned(), values, otherwise: REVIEW };
        check(&rule, vec![("law", law("Utah"))], None);
        check(&rule, vec![("law", law("Iowa"))], Some(ReviewCode::RuleBroken));
        let values = vec!["Ohio".to_owned(), "Utah".to_owned()];
        let rule = Rule::NoneOf { field: "law".to_owned(), values, otherwise: REVIEW };
        check(&rule, vec![("law", law("Utah"))], Some(ReviewCode::RuleBroken));
        check(&rule, vec![("law", law("Iowa"))], None);
        check(&rule, vec![], None);
    }

    #[test]
    fn pattern_matches_the_value_as_a_whole() {
        let pattern = "Ohio|New .*".to_owned();
        let rule = Rule::Pattern { field: "law".to_owned(), pattern, otherwise: REVIEW };
        check(&rule, vec![("law", law("New York"))], None);
        check(&rule, vec![("law", law("Ohioan"))], Some(ReviewCode::RuleBroken));
        check(&rule, vec![("law", law("in Ohio"))], Some(ReviewCode::RuleBroken));
    }

    #[test]
    fn confidence_has_a_floor() {
        let rule = |confidence| Rule::ConfidenceAtLeast { field: "law".to_owned(), confidence };
        check(&rule(0.5), vec![("law", law("Ohio"))], None);
        check(&rule(0.51), vec![("law", law("Ohio"))], Some(ReviewCode::ConfidenceLow));
        check(&rule(0.51), vec![], None);
    }

    #[test]
    fn readable_asks_that_nothing_was_left_unread() {
        let rule = Rule::Readable { field: "signed".to_owned() };
        let mut extraction = extraction(vec![("signed", day("2015-05-01"))]);
        assert_eq!(reasons(rule.clone(), &extraction), []);
        extraction.fields[0].unread.push(evidence(0.5));
        assert_eq!(reasons(rule, &extraction)[0].code, ReviewCode::ValueUnreadable);
    }

    #[test]
    fn every_broken_rule_is_told_in_order_and_a_reject_wins() {
        let required = |field: &str, otherwise| required(field, &[], otherwise);
        let reviews =
            [required("signed", REVIEW), required("law", REVIEW), required("law", REVIEW)];
        let reasons = rules(&reviews).judge(&Extraction::default()).expect("no rule rejects");
        let told: Vec<_> = reasons.iter().filter_map(|reason| reason.field.as_deref()).collect();
        assert_eq!(told, ["law", "signed"]);

        let both = [required("signed", REVIEW), required("law", Otherwise::Reject)];
        let reject = rules(&both).judge(&Extraction::default()).expect_err("a rule rejects");
        assert_eq!(reject.code, RejectCode::RuleBroken);
        assert_eq!(reject.detail, "`law` has no value");
    }

    #[test]
    fn details_hold_no_word_of_the_document() {
        let values = vec!["Utah".to_owned()];
        let rule = Rule::OneOf { field: "law".to_owned(), values, otherwise: REVIEW };
        let reasons = reasons(rule, &extraction(vec![("law", law("Atlantis"))]));
        assert!(!reasons[0].detail.contains("Atlantis"));
    }

    #[test]
    fn every_mistake_is_told_at_once_with_its_key() {
        let date = |field: &str, from: &str, to: &str| Rule::DateBetween {
            field: field.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            otherwise: REVIEW,
        };
        let pattern = |pattern: &str| Rule::Pattern {
            field: "law".to_owned(),
            pattern: pattern.to_owned(),
            otherwise: REVIEW,
        };
        let rules = [
            required("laws", &[], REVIEW),
            date("law", "yesterday", "2000-02-30"),
            date("ends", "2001-01-01", "2000-01-01"),
            pattern("("),
            pattern("a)(b"),
            pattern(r"\w{1000}{1000}"),
            Rule::ConfidenceAtLeast { field: "law".to_owned(), confidence: 1.5 },
            Rule::OneOf { field: "term".to_owned(), values: Vec::new(), otherwise: REVIEW },
            Rule::NotBefore {
                field: "ends".to_owned(),
                other: "ends".to_owned(),
                otherwise: REVIEW,
            },
        ];
        let expected = [
            "rules[0].field",
            "rules[1].field",
            "rules[1].from",
            "rules[1].to",
            "rules[2].to",
            "rules[3].pattern",
            "rules[4].pattern",
            "rules[5].pattern",
            "rules[6].confidence",
            "rules[7].field",
            "rules[7].values",
            "rules[8].other",
        ];
        assert_eq!(problems(&rules), expected);
    }
}
