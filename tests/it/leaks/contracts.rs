//! Rules and envelope, without a model's labels: the pipeline of contracts with a section `redact`.

use base64::Engine as _;

use super::{Case, Mark, Marked, assert_clean, assert_marked, outputs, owned};
use crate::support::flow::Flow;
use crate::support::kafka::Input;

/// In the text; each is told to be one by a cue, its form, or by standing elsewhere with a cue.
const BODY: [Mark; 14] = [
    ("body", "Zebulon Quorvath"),
    ("body", "Quorvath"),
    ("body", "Ysolde Brandvik"),
    ("body", "77-4410-92"),
    ("body", "(212) 736-9914"),
    ("body", "219-09-9941"),
    ("body", "zeb.quorvath@mail.example.org"),
    ("body", "742 Larkspur Terrace"),
    ("body", "St. Orla's Hospital"),
    ("body", "HP-9918273"),
    ("body", "https://records.example.org/p/quorvath"),
    ("body", "10.77.31.9"),
    ("body", "January 17, 2019"),
    ("body", "1941-03-12"),
];
pub(super) const AROUND: [Mark; 5] = [
    ("key", "key-of-Tamsin-Oakhurst"),
    ("header", "Perpetua Lindqvist"),
    ("header name", "x-Perpetua"),
    ("baggage", "patient=Lindqvist"),
    ("file name", "quennell-vrabie.txt"),
];

/// In a FHIR resource and in an HL7 message, and in their texts without any cue.
const ENVELOPES: [Mark; 10] = [
    ("FHIR", "Wilhelmina"),
    ("FHIR", "Ashgrove"),
    ("FHIR", "FH-88123-K"),
    ("FHIR", "fh-88123k"),
    ("FHIR", "1952-11-03"),
    ("HL7", "Thornquist"),
    ("HL7", "Ingeborg"),
    ("HL7", "H7-55291"),
    ("HL7", "9 Fenwick Row"),
    ("HL7", "July 16, 1948"),
];

/// No contract, so that a person looks at it and its whole text leaves.
pub(super) const ORDINARY: &str = "The weather was mild this morning, and the waiting room was full of people. \
    Breakfast was served late, since the kitchen had to wait for the bread.";

/// A FHIR resource about somebody whom its text names.
fn fhir() -> Input {
    let text = format!(
        "{ORDINARY} The daughter of ASHGROVE says that wilhelmina is better; chart FH-88123-K, also \
         seen as fh-88123k, born 1952-11-03."
    );
    let data = base64::engine::general_purpose::STANDARD.encode(text);
    let resource = serde_json::json!({
        "resourceType": "DocumentReference",
        "id": "note-of-ashgrove",
        "status": "current",
        "contained": [{
            "resourceType": "Patient",
            "id": "p",
            "name": [{"family": "Ashgrove", "given": ["Wilhelmina"]}],
            "identifier": [{"value": "FH-88123-K"}],
            "birthDate": "1952-11-03",
        }],
        "subject": {"reference": "#p", "display": "Wilhelmina Ashgrove"},
        "content": [{"attachment": {"contentType": "text/plain", "data": data}}],
    });
    input(resource.to_string().as_bytes(), "application/fhir+json")
}

/// An HL7 message about somebody whom its text names.
fn hl7() -> Input {
    let message = format!(
        "MSH|^~\\&|EHR|ACME|X|Y|20260101||ORU^R01^ORU_R01|C7|P|2.5\r\
         PID|1||H7-55291^^^ACME^MR||Thornquist^Ingeborg||19480716|F|||9 Fenwick Row^^Albany^NY\r\
         OBR|1|P1|F1\r\
         OBX|1|TX|1^Note||{ORDINARY} ingeborg lives at 9 Fenwick Row still; THORNQUIST was born \
         July 16, 1948, file H7-55291.||||||F\r"
    );
    input(message.as_bytes(), "application/hl7-v2")
}

/// The text that carries [`BODY`], with dates as the model reads them.
fn note(number: usize) -> String {
    format!(
        "SUPPLY AGREEMENT No. {number}. This Supply Agreement is entered into as of \
         January 17, 2019 by and between Alpha Holdings, Inc., a Delaware corporation, and Beta \
         Trading LLC. Neither party may assign this Agreement without the prior written consent of \
         the other party. This Agreement shall be governed by the laws of the State of New York.\n\
         Patient: Zebulon Quorvath\nMRN: 77-4410-92\nDOB: 1941-03-12\n\
         Seen by Dr. Ysolde Brandvik at St. Orla's Hospital. Quorvath can be called at \
         (212) 736-9914 or zeb.quorvath@mail.example.org; he lives at 742 Larkspur Terrace. \
         SSN 219-09-9941, member ID HP-9918273. See https://records.example.org/p/quorvath from \
         10.77.31.9.\n"
    )
}

pub(super) fn input(payload: &[u8], content_type: &str) -> Input {
    Input::new("key-of-Tamsin-Oakhurst", payload)
        .header("content-type", content_type.as_bytes())
        .header("document-id", b"quennell-vrabie.txt")
        .header("x-Perpetua", b"Perpetua Lindqvist")
        .header("baggage", b"patient=Lindqvist")
}

/// One message for each way: a record, a review, rejects of several rooms, a tombstone, a text in
/// another language, text in an envelope.
fn inputs() -> Vec<Input> {
    let whole = note(1);
    let untitled = whole.replace("SUPPLY AGREEMENT No. 1. This Supply Agreement", "This");
    let base64 = base64::engine::general_purpose::STANDARD.encode(whole.as_bytes());
    let envelope = serde_json::json!({"content": base64, "content_type": "text/plain"});
    let german = "Der Patient Zebulon Quorvath wurde am 17. Januar 2019 in das Krankenhaus \
                  aufgenommen und von der behandelnden Ärztin untersucht. Er klagte über Schmerzen \
                  in der Brust und wurde noch am selben Tag nach Hause entlassen. ";
    let json = "application/vnd.sluice.document+json";
    let mut broken = whole.clone().into_bytes();
    broken.push(0xFF);
    vec![
        input(whole.as_bytes(), "text/plain"),
        input(untitled.as_bytes(), "text/plain"),
        input(envelope.to_string().as_bytes(), json),
        input(whole.as_bytes(), json),
        input(&broken, "text/plain"),
        input(whole.as_bytes(), "application/pdf"),
        input(german.repeat(4).as_bytes(), "text/plain"),
        Input { payload: None, ..input(b"", "text/plain") },
        Input { key: None, ..input(whole.as_bytes(), "text/plain") },
        fhir(),
        hl7(),
    ]
}

fn case() -> Case {
    Case {
        inputs: inputs(),
        codes: vec!["ENCODING_INVALID", "ENVELOPE_INVALID", "TYPE_MISMATCH"],
        files: vec![
            ("quennell-vrabie.txt", note(1).into_bytes()),
            ("perpetua lindqvist.pdf", note(1).into_bytes()),
        ],
    }
}

fn all_marked() -> Vec<Marked> {
    [owned(&BODY), owned(&ENVELOPES), owned(&AROUND)].concat()
}

#[test]
fn a_flow_that_redacts_lets_no_identifier_out_by_any_way() {
    for (policy, dates) in [("mask", "year"), ("hash", "shift"), ("surrogate", "mask")] {
        let redact = format!("redact:\n  policy:\n    default: {policy}\n    date: {dates}\n");
        let ways = outputs(&Flow::with(1, "avro", &redact), &case());
        assert_clean(&format!("{policy}, {dates}"), &ways, &all_marked());
    }
}

#[test]
fn without_redaction_the_same_search_finds_every_identifier() {
    let ways = outputs(&Flow::with(1, "avro", ""), &case());
    assert_marked(&ways, &all_marked(), &owned(&BODY));
}
