//! `load` as a whole: folders with mistakes, and what is said of them.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::fixture::{GOOD, folder};
use super::{check_together, load};
use crate::types::Digest;

/// The problems of `pipeline`, without the folder's own path.
fn problems(pipeline: &str) -> Vec<String> {
    let root = folder(pipeline);
    let found = load(&root.path().join("leases")).err().unwrap_or_default();
    let place = format!("{}/", root.path().display());
    found.iter().map(|problem| problem.to_string().replace(&place, "")).collect()
}

/// What is said when `old` is replaced by `new` in a good pipeline.
fn check(old: &str, new: &str, expected: &[&str]) {
    assert!(GOOD.contains(old), "{old}");
    let expected: Vec<_> =
        expected.iter().map(|line| format!("leases/pipeline.yaml:{line}")).collect();
    assert_eq!(problems(&GOOD.replacen(old, new, 1)), expected, "{old} -> {new}");
}

#[test]
fn a_good_pipeline_is_taken_with_its_defaults() {
    let root = folder(GOOD);
    let flow = load(&root.path().join("leases")).unwrap();
    assert_eq!(flow.group(), "sluice.leases");
    assert_eq!(flow.languages(), ["en"]);
    assert_eq!(flow.config_digest, Digest::of(GOOD.as_bytes()));
    assert_eq!(flow.pipeline.delivery.commit_interval_ms, 500);
    let problem = flow.problem("fields[1].type", "is odd", "");
    assert!(problem.to_string().ends_with("pipeline.yaml:13: fields[1].type: is odd"), "{problem}");
}

#[test]
fn heads_and_their_classes_are_those_of_the_model() {
    const FIELD: &str = "  - name: kind\n    head: kind\n    type: class\n";
    const RULE: &str = "  - rule: none_of\n    field: kind\n    values: [sublease]\n";
    let with = |field: &str, rule: &str| {
        let text = GOOD.replacen("flags:\n", &format!("{field}flags:\n"), 1);
        problems(&text.replacen("rules:\n", &format!("rules:\n{rule}"), 1))
    };
    assert_eq!(with(FIELD, RULE), [""; 0]);
    for (field, rule, expected) in [
        (
            FIELD.replace("head: kind", "head: kinds"),
            String::new(),
            "22: fields[4].head: the model has no head `kinds`; did you mean `kind`?",
        ),
        (
            FIELD.replace("head: kind", "head: clauses"),
            String::new(),
            "22: fields[4].head: the head `clauses` gives spans, not classes; known are `kind`",
        ),
        (
            FIELD.to_owned(),
            RULE.replace("sublease", "sub-lease"),
            "29: rules[0].values[0]: the head `kind` has no class `sub-lease`; did you mean \
             `sublease`?",
        ),
    ] {
        assert_eq!(with(&field, &rule), [format!("leases/pipeline.yaml:{expected}")], "{field}");
    }
}

#[test]
fn slips_of_shape_are_told_with_a_hint() {
    check(
        "    type: date\n  - name: ends",
        "    type: dat\n  - name: ends",
        &["13: fields[1].type: unknown value `dat`; did you mean `date`?"],
    );
    check(
        "  topic:",
        "  topc:",
        &[
            "5: input.topic: is missing; Input topic: at most 249 letters, digits, dots, underscores and hyphens (Kafka's rule)",
            "6: input.topc: unknown key `topc`; did you mean `topic`?",
        ],
    );
    check(
        "rule: required",
        "rule: require",
        &["24: rules[0].rule: unknown value `require`; did you mean `required`?"],
    );
    check(
        "  - rule: required\n    field: title",
        "  - field: title",
        &[
            "24: rules[0].rule: is missing; one of `required`, `not_before`, `date_between`, `number_between`, `one_of`, `none_of`, `pattern`, `confidence_at_least`, `readable`",
        ],
    );
    check(
        "    other: starts",
        "    othr: starts",
        &[
            "26: rules[1].other: is missing; Column of the same type",
            "28: rules[1].othr: unknown key `othr`; did you mean `other`?",
        ],
    );
    check("version: 1", "version: 2", &["1: version: `2` is above 1"]);
    check(
        "revision: \"7\"",
        "revision: 7",
        &["3: revision: expected text, found `7`; put it in quotes: \"7\""],
    );
    check(
        "name: leases",
        "name: Leases",
        &[
            "2: name: `Leases` does not match `^[a-z][a-z0-9-]{0,62}$`; Name: lower-case letters, digits and hyphens",
        ],
    );
    check("confidence: 1", "confidence: 1.5", &["36: rules[3].confidence: `1.5` is above 1.0"]);
    check(
        "  column: clauses",
        "  colum: clauses",
        &[
            "21: flags.column: is missing; Name of the record column that holds them",
            "22: flags.colum: unknown key `colum`; did you mean `column`?",
        ],
    );
    check(
        "version: 1\n",
        "version: 1\nlimits:\n  in_flight_tokens_max: 5000000000000000000000\n",
        &["3: limits.in_flight_tokens_max: `5e+21` is above 9223372036854775807"],
    );
    check(
        "version: 1\n",
        "version: 1\ntext:\n  pages_max: 10_000\n",
        &["3: text.pages_max: expected a whole number, found `10_000`; write it as 10000"],
    );
    check(
        "version: 1\n",
        "version: 1\ntext:\n",
        &["2: text: expected a mapping, found nothing; drop the key to get its default"],
    );
}

#[test]
fn slips_of_meaning_are_told_with_a_hint() {
    check(
        "leases.records",
        "leases.in",
        &["38: output.record_topic: is the same topic as `input.topic`; give each its own"],
    );
    check(
        "label: Parties",
        "label: Partys",
        &["18: fields[3].label: the model has no label `Partys`; did you mean `Parties`?"],
    );
    check(
        "name: ends",
        "name: starts",
        &[
            "14: fields[2].name: the column `starts` is already taken in line 11; take another name",
            "27: rules[1].field: there is no field `ends`; known are `parties`, `starts`, `title`",
        ],
    );
    check(
        "name: ends",
        "name: record_id",
        &[
            "14: fields[2].name: the column `record_id` is in every record already; take another name",
            "27: rules[1].field: there is no field `ends`; known are `parties`, `record_id`, `starts`, `title`",
        ],
    );
    check(
        "other: starts",
        "other: title",
        &[
            "28: rules[1].other: the field `title` is of type `text`; the rule is for `date` and `timestamp`",
        ],
    );
    check(
        "to: 2100-12-31",
        "to: 1850-1-1",
        &["32: rules[2].to: `1850-1-1` is not a day; write it as 2024-12-31"],
    );
    check(
        "to: 2100-12-31",
        "to: 1850-01-01",
        &["32: rules[2].to: is before `from`: no date lies between"],
    );
    check(
        "column: clauses",
        "column: title",
        &["22: flags.column: the column `title` is already taken in line 8; take another name"],
    );
    check(
        "  - rule: not_before",
        "  - rule: pattern\n    field: title\n    pattern: \"(a\"\n  - rule: not_before",
        &[
            "28: rules[1].pattern: is no regular expression: unclosed group; look-around and back-references are not taken",
        ],
    );
    check(
        "  - rule: not_before",
        "  - rule: required\n    field: title\n  - rule: not_before",
        &["26: rules[1]: says the same as rules[0]; keep one of them"],
    );
}

#[test]
fn leading_words_are_for_dates_and_durations() {
    check(
        "    type: date\n  - name: ends",
        "    type: date\n    near: \"(from\"\n  - name: ends",
        &[
            "14: fields[1].near: is no regular expression: unclosed group; look-around and back-references are not taken",
        ],
    );
    check(
        "    type: text\n  - name: starts",
        "    type: text\n    near: from\n  - name: starts",
        &["11: fields[0].near: the field is of type `text`; `near` is for `date` and `duration`"],
    );
}

/// What is said of a good pipeline whose column `title` is written so.
fn check_title(column: &str, expected: &[&str]) {
    check("    label: Document Name\n    type: text\n", column, expected);
}

#[test]
fn a_column_has_one_source_that_fits_its_type() {
    check_title(
        "    type: text\n",
        &[
            "8: fields[0]: the field has no source of values; add `label`, `labels`, `head`, `keys` or `patterns`",
        ],
    );
    check_title(
        "    label: Parties\n    patterns: [a]\n    type: text\n",
        &["10: fields[0].patterns: the values come from `label` already; keep one source"],
    );
    check_title(
        "    head: clauses\n    type: class\n",
        &["9: fields[0].head: the head `clauses` gives spans, not classes; known are `kind`"],
    );
    check_title(
        "    head: clause\n    type: class\n",
        &["9: fields[0].head: the model has no head `clause`; known are `kind`"],
    );
    check_title(
        "    head: clauses\n    type: text\n",
        &[
            "9: fields[0].head: a head gives a class, and the type is `text`; make the type `class`",
            "9: fields[0].head: the head `clauses` gives spans, not classes; known are `kind`",
        ],
    );
    check_title(
        "    label: Parties\n    type: class\n",
        &["10: fields[0].type: `label` gives no class; name a `head`"],
    );
    check_title(
        "    labels: [Parties, Partys, Parties]\n    type: text\n",
        &[
            "9: fields[0].labels: `Parties` stands here twice; keep one of them",
            "9: fields[0].labels[1]: the model has no label `Partys`; did you mean `Parties`?",
        ],
    );
    check_title(
        "    patterns: [\"(\", \"a*\"]\n    type: text\n",
        &[
            "9: fields[0].patterns[0]: is no regular expression: unclosed group; look-around and back-references are not taken",
            "9: fields[0].patterns[1]: matches where there is nothing; let it ask for a character",
        ],
    );
    check_title(
        "    type: section\n    label: Parties\n",
        &[
            "9: fields[0].type: the file has no `sections`; list them with their headings",
            "10: fields[0].label: `label` has no place here: headings are the source; drop it",
        ],
    );
    check_title(
        "    label: Parties\n    type: negated\n",
        &[
            "10: fields[0].type: `negated` says something of a value, and is none; put it under `attributes` of a list",
        ],
    );
}

#[test]
fn a_type_has_what_it_needs_and_no_more() {
    check_title(
        "    label: Parties\n    type: text\n    zone: Z\n",
        &["11: fields[0].zone: the type is `text`; `zone` is for `timestamp`"],
    );
    check_title(
        "    label: Parties\n    type: timestamp\n    zone: CET\n",
        &[
            "11: fields[0].zone: `CET` does not match `^(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])$`; For timestamps: the offset from UTC of those that name none, such as `Z` or `+02:00`",
        ],
    );
    check_title(
        "    label: Parties\n    type: choice\n",
        &[
            "8: fields[0].choices: is missing; such as `choices: {female: [female, woman], male: [male, man]}`",
        ],
    );
    check_title(
        "    label: Parties\n    type: text\n    choices: {a: [b]}\n",
        &["11: fields[0].choices: the type is `text`; `choices` are for `choice`"],
    );
    check_title(
        "    label: Parties\n    type: choice\n    choices: {a: [b], c: [B, '-'], d: []}\n",
        &[
            "11: fields[0].choices.c: `-` is no word",
            "11: fields[0].choices.c: `B` stands for `a` already; let each word stand for one choice",
            "11: fields[0].choices.d: has no words; name at least one that stands for it",
        ],
    );
}

/// What is said of a good pipeline whose column `parties` has such attributes.
fn check_attributes(attributes: &str, expected: &[&str]) {
    check("    many: true\n", &format!("    many: true\n    attributes:\n{attributes}"), expected);
}

#[test]
fn attributes_are_told_by_their_own_keys() {
    check(
        "    many: true\n",
        "    attributes: [{name: on, type: date}]\n",
        &["20: fields[3].attributes: the column holds one value; attributes need `many: true`"],
    );
    check_attributes(
        "      - {name: value, type: date}\n",
        &[
            "22: fields[3].attributes[0].name: the column `value` is in every record of a list already; take another name",
        ],
    );
    check_attributes(
        "      - {name: on, type: date}\n      - {name: on, type: date}\n",
        &[
            "23: fields[3].attributes[1].name: attributes[0] has the name `on` already; take another name",
        ],
    );
    check_attributes(
        "      - {name: on, type: text}\n",
        &[
            "22: fields[3].attributes[0].type: the attribute repeats the words of the value; name the `label` that it takes, or another type",
        ],
    );
    check_attributes(
        "      - {name: on, type: party, label: Partys}\n",
        &[
            "22: fields[3].attributes[0].label: the model has no label `Partys`; did you mean `Parties`?",
            "22: fields[3].attributes[0].type: `party` is no type of an attribute; it is for fields",
        ],
    );
    check_attributes(
        "      - {name: on, type: label}\n",
        &[
            "22: fields[3].attributes[0].type: the field has no `labels` to tell apart; list them in the field, or drop the attribute",
        ],
    );
    check_attributes(
        "      - {name: on, type: section}\n",
        &[
            "22: fields[3].attributes[0].type: the file has no `sections`; list them with their headings",
        ],
    );
    check_attributes(
        "      - {name: on, type: negated, label: Parties}\n",
        &["22: fields[3].attributes[0].label: `negated` follows from the value itself; drop it"],
    );
    check_attributes(
        "      - {name: on, type: date, many: true}\n",
        &[
            "22: fields[3].attributes[0].many: one value has these words once; `many` is for `label` and `labels`",
        ],
    );
    check_attributes(
        "      - {name: on, type: dat}\n",
        &["22: fields[3].attributes[0].type: unknown value `dat`; did you mean `date`?"],
    );
}

#[test]
fn a_heading_opens_one_section() {
    check(
        "flags:\n",
        "sections:\n  A: [plan, '--']\n  B: [PLAN]\n  C: []\nflags:\n",
        &[
            "22: sections.A: `--` is no heading",
            "23: sections.B: `PLAN` opens `A` already; let each heading open one section",
            "24: sections.C: has no headings; name at least one that opens it",
        ],
    );
}

#[test]
fn rules_compare_what_can_be_compared() {
    check(
        "    label: Effective Date\n    type: date\n",
        "    label: Effective Date\n    type: timestamp\n",
        &[
            "28: rules[1].other: a date cannot be compared with a timestamp without `zone`; compare two columns of one type",
        ],
    );
    check(
        "  - rule: not_before",
        "  - {rule: number_between, field: title, from: 2, to: 1}\n  - rule: not_before",
        &[
            "26: rules[1].field: the field `title` is of type `text`; the rule is for `integer` and `number`",
            "26: rules[1].to: is below `from`: no number lies between",
        ],
    );
}

#[test]
fn limits_that_contradict_each_other_are_told() {
    check(
        "version: 1\n",
        "version: 1\ntext:\n  languages: [en, de]\n",
        &["3: text.languages[1]: the model was not trained on `de`; known are `en`"],
    );
    check(
        "version: 1\n",
        "version: 1\ntext:\n  progress_timeout_ms: 90000\n",
        &[
            "3: text.progress_timeout_ms: 90000 ms can never pass; at most text.total_timeout_ms (60000)",
        ],
    );
    check(
        "version: 1\n",
        "version: 1\nlimits:\n  in_flight_bytes_max: 1000\ndelivery:\n  transaction_timeout_ms: 1000\n  \
         commit_interval_ms: 1000\n  reject_budget:\n    rejects_min: 201\n",
        &[
            "3: limits.in_flight_bytes_max: 1000 bytes hold no largest document; at least input.document_bytes_max (33554432)",
            "5: delivery.transaction_timeout_ms: 1000 ms end before the next commit is due; above delivery.commit_interval_ms (1000)",
            "8: delivery.reject_budget.rejects_min: no window of 200 deliveries has 201 rejects; at most delivery.reject_budget.window_deliveries (200)",
        ],
    );
}

#[test]
fn a_slip_in_one_section_hides_none_in_another() {
    let text = GOOD
        .replace("type: text\n  - name: starts", "type: txt\n  - name: starts")
        .replace("field: parties", "field: partys")
        .replace("leases.rejects", "leases.in")
        .replace("version: 1\n", "version: 1\nversion: 1\n")
        .replace("label: Expiration Date", "label: Expiry");
    let keys: Vec<_> = problems(&text)
        .iter()
        .map(|line| line.split(": ").nth(1).unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        keys,
        ["version", "fields[0].type", "fields[2].label", "rules[3].field", "output.reject_topic"]
    );
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let message = |path: &Path| load(path).unwrap_err()[0].to_string();
    let root = folder(GOOD);
    let dir = root.path().join("leases");
    assert!(message(&root.path().join("gone")).ends_with("gone: there is no such folder"));
    assert!(message(&dir.join("pipeline.yaml")).contains("is a file; name the folder"));
    fs::write(dir.join("record.avsc"), "{\n  \"type\": }").unwrap();
    assert!(
        message(&dir).contains("record.avsc:2: is not JSON: expected value"),
        "{}",
        message(&dir)
    );
    fs::write(dir.join("record.avsc"), "[]").unwrap();
    assert!(message(&dir).contains("record.avsc:1: is no Avro record schema"));
    fs::write(root.path().join("bundle/model.onnx"), "other").unwrap();
    assert!(message(&dir).contains("pipeline.yaml:4: model: "), "{}", message(&dir));
    fs::write(dir.join("pipeline.yaml"), [0xff]).unwrap();
    assert!(message(&dir).contains("pipeline.yaml: is not UTF-8"));
    fs::write(dir.join("pipeline.yaml"), vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(message(&dir).contains("pipeline.yaml: is larger than 1048576 bytes"));
}

#[test]
fn flows_of_one_process_share_neither_name_nor_group() {
    let one = folder(GOOD);
    let other =
        folder(&GOOD.replace("topic: leases.in", "topic: leases.in\n  group: sluice.leases"));
    let load = |root: &TempDir| load(&root.path().join("leases")).unwrap();
    assert!(check_together(&[load(&one)]).is_empty());
    let found = check_together(&[load(&one), load(&other)]);
    let keys: Vec<_> = found.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["name", "input.group"]);
}
