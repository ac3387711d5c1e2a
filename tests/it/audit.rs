//! Entries of the audit: written in every form, read back the same.

use proptest::prelude::*;
use serde_json::json;
use sluice::sink::codec::Form;
use sluice::types::{Audit, Decider, Digest, OutcomeKind, Position, Redaction};

use crate::schema::{CONFLUENT, codec, provenance};

fn redaction(decider: Decider, count: u32) -> Redaction {
    Redaction { kind: "name", policy: "mask", decider, count }
}

#[test]
fn an_entry_names_outcome_codes_deciders_and_counts() {
    let base = provenance(9, false);
    let entry = Audit {
        base: &base,
        record_id: "contracts/in/3/9/0".to_owned(),
        outcome: OutcomeKind::Review,
        codes: vec!["CONFIDENCE_LOW", "RULE_BROKEN"],
        deciders: vec!["rule:title".to_owned()],
        redactions: vec![
            redaction(Decider::Rule, 3),
            redaction(Decider::Model("phi_NAME".to_owned()), 1),
        ],
        document_digest: Some(Digest::of(b"words")),
        position: Position { topic: "in".into(), partition: 3, offset: 9 },
        part: 0,
    };
    let codec = codec(CONFLUENT);
    let body = codec.audit(&entry).expect("the entry fits");
    assert_eq!(body[..5], [0, 0, 0, 0, 9]);
    let json = codec.read(&body, &|_| None).expect("it reads back");
    assert_eq!(json["outcome"], "review");
    assert_eq!(json["codes"], json!(["CONFIDENCE_LOW", "RULE_BROKEN"]));
    assert_eq!(json["redactions"][1]["decided_by"], "model:phi_NAME");
    assert_eq!(json["redactions"][0]["count"], 3);
    assert_eq!(json["document_digest"], Digest::of(b"words").to_string());
    assert_eq!(json["model_digest"], base.model_digest.to_string());
}

proptest! {
    #[test]
    fn every_entry_reads_back_the_same_in_every_form(
        partition in any::<i32>(), offset in any::<i64>(), part in any::<u32>(),
        count in any::<u32>(), label in "\\PC{0,12}", codes in 0_usize..3, has_digest in any::<bool>(),
    ) {
        let mut base = provenance(offset, false);
        base.redaction_key = has_digest.then(|| "0123456789abcdef".to_owned());
        let entry = Audit {
            base: &base,
            record_id: format!("contracts/in/{partition}/{offset}/{part}"),
            outcome: OutcomeKind::Record,
            codes: ["A", "B"].into_iter().take(codes).collect(),
            deciders: vec![label.clone(); codes],
            redactions: vec![redaction(Decider::Model(label), count); codes],
            document_digest: has_digest.then(|| Digest::of(b"x")),
            position: Position { topic: "in".into(), partition, offset },
            part,
        };
        let plain = codec(Form::Json);
        let expected = plain.audit(&entry).unwrap();
        let expected: serde_json::Value = serde_json::from_slice(&expected).unwrap();
        for form in [CONFLUENT, Form::SingleObject] {
            let codec = codec(form);
            let body = codec.audit(&entry).unwrap();
            prop_assert_eq!(&codec.read(&body, &|_| None).unwrap(), &expected);
        }
    }
}
