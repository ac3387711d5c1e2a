//! Records and reviews through their codec: every form reads back as it was written, and a reader
//! of another version of the schema reads what it should.

use std::sync::Arc;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use jiff::civil::date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use sluice::config::pipeline::{AttributeSpec, FieldKind, FieldSpec, FlagSpec, ValueType};
use sluice::sink::codec::{Codec, Form};
use sluice::sink::schemas::Schemas;
use sluice::types::{
    Attribute, Digest, Evidence, Extraction, Field, FieldValue, Flag, Position, Provenance, Reason,
    Record, Review, ReviewCode, Sensitive, Span, Value,
};

const FLAGS: [&str; 2] = ["non_compete", "cap_on_liability"];

/// The columns of the tests, single ones and lists. Timestamps of `heard` are moments, those of
/// `seen` local times.
const COLUMNS: [(&str, FieldKind, bool); 10] = [
    ("title", FieldKind::Text, false),
    ("parties", FieldKind::Party, true),
    ("signed", FieldKind::Date, false),
    ("renewed", FieldKind::Date, true),
    ("term", FieldKind::Duration, false),
    ("heard", FieldKind::Timestamp, false),
    ("seen", FieldKind::Timestamp, true),
    ("age", FieldKind::Integer, false),
    ("amounts", FieldKind::Number, true),
    ("problems", FieldKind::Text, true),
];

/// Attributes of the column `problems`.
const ATTRIBUTES: [(&str, FieldKind); 3] =
    [("severity", FieldKind::Unit), ("result", FieldKind::Number), ("negated", FieldKind::Negated)];

/// A pipeline's `record.avsc`, with `more` columns behind the usual ones.
pub(crate) fn avsc(more: &[Json]) -> String {
    let day = json!({"type": "int", "logicalType": "date"});
    let moment = json!({"type": "long", "logicalType": "timestamp-micros"});
    let time = json!({"type": "long", "logicalType": "local-timestamp-micros"});
    let problem = json!({"type": "record", "name": "Problem", "fields": [
        {"name": "value", "type": "string"},
        {"name": "severity", "type": ["null", "string"], "default": null},
        {"name": "result", "type": ["null", "double"], "default": null},
        {"name": "negated", "type": ["null", "boolean"], "default": null},
        {"name": "evidence", "type": {"type": "array", "items": "sluice.Evidence"}},
    ]});
    let flag = |name: &&str| json!({"name": name, "type": "sluice.Flag"});
    let flags: Vec<Json> = FLAGS.iter().map(flag).collect();
    let mut columns = vec![
        json!({"name": "record_id", "type": "string"}),
        json!({"name": "document_id", "type": "string"}),
        json!({"name": "title", "type": ["null", "string"], "default": null}),
        json!({"name": "parties", "type": {"type": "array", "items": "string"}, "default": []}),
        json!({"name": "signed", "type": ["null", day], "default": null}),
        json!({"name": "renewed", "type": {"type": "array", "items": day}, "default": []}),
        json!({"name": "term", "type": ["null", "string"], "default": null}),
        json!({"name": "heard", "type": ["null", moment], "default": null}),
        json!({"name": "seen", "type": {"type": "array", "items": time}, "default": []}),
        json!({"name": "age", "type": ["null", "long"], "default": null}),
        json!({"name": "amounts", "type": {"type": "array", "items": "double"}, "default": []}),
        json!({"name": "problems", "type": {"type": "array", "items": problem}, "default": []}),
        json!({"name": "clauses", "type": {"type": "record", "name": "Clauses", "fields": flags}}),
        json!({"name": "evidence", "type": {"type": "array", "items": "sluice.Evidence"}}),
        json!({"name": "provenance", "type": "sluice.Provenance"}),
    ];
    columns.extend_from_slice(more);
    let record =
        json!({"type": "record", "name": "Contract", "namespace": "acme", "fields": columns});
    record.to_string()
}

pub(crate) fn schemas(more: &[Json]) -> Arc<Schemas> {
    let attributes = ATTRIBUTES.map(|(name, kind)| AttributeSpec::new(name, kind));
    let fields = COLUMNS.map(|(name, kind, many)| FieldSpec {
        many,
        zone: (name == "heard").then(|| "Z".to_owned()),
        attributes: if name == "problems" { attributes.to_vec() } else { Vec::new() },
        ..FieldSpec::new(name, name, kind)
    });
    let flags = FlagSpec { column: "clauses".to_owned(), labels: Vec::new() };
    let names = FLAGS.map(str::to_owned);
    Arc::new(Schemas::build(&avsc(more), &fields, Some(&flags), &names).expect("the columns fit"))
}

/// A place in a text as proptest can print it: raw words, first byte, page, millionths.
type Place = (String, u32, u32, u32);

/// A value as proptest can print it.
#[derive(Clone, Debug)]
enum Plain {
    Text(String),
    Days(i64),
    Duration(String),
    Moment(i64),
    Time(i64),
    Integer(i64),
    Cents(i32),
    Answer(bool),
}

/// A value, its place, and the values and places of its attributes.
type PlainValue = (Plain, Place, Vec<Option<(Plain, Place)>>);
type PlainField = (Vec<PlainValue>, Vec<Place>);
type PlainFlag = (bool, u8, Vec<Place>);

fn place() -> impl Strategy<Value = Place> {
    ("\\PC{0,30}", any::<u32>(), 1_u32..5_000, 0_u32..=1_000_000)
}

fn plain(name: &str, kind: FieldKind) -> BoxedStrategy<Plain> {
    let micros = -2_000_000_000_000_000_i64..4_000_000_000_000_000;
    match kind.value_type() {
        ValueType::Words => "\\PC{0,30}".prop_map(Plain::Text).boxed(),
        ValueType::Date => (-200_000_i64..200_000).prop_map(Plain::Days).boxed(),
        ValueType::Duration => "P[1-9][0-9]?[YMD]".prop_map(Plain::Duration).boxed(),
        ValueType::Timestamp if name == "heard" => micros.prop_map(Plain::Moment).boxed(),
        ValueType::Timestamp => micros.prop_map(Plain::Time).boxed(),
        ValueType::Integer => any::<i64>().prop_map(Plain::Integer).boxed(),
        ValueType::Number => any::<i32>().prop_map(Plain::Cents).boxed(),
        ValueType::Boolean => any::<bool>().prop_map(Plain::Answer).boxed(),
    }
}

fn plain_fields() -> impl Strategy<Value = Vec<PlainField>> {
    let field = |(name, kind, many)| {
        let attribute = |(name, kind)| prop::option::of((plain(name, kind), place()));
        let attributes =
            if name == "problems" { Vec::from(ATTRIBUTES.map(attribute)) } else { vec![] };
        let most = if many { 4 } else { 2 };
        let values = prop::collection::vec((plain(name, kind), place(), attributes), 0..=most);
        (values, prop::collection::vec(place(), 0..2))
    };
    Vec::from(COLUMNS.map(field))
}

fn plain_flags() -> impl Strategy<Value = Vec<PlainFlag>> {
    let flag = (any::<bool>(), 0_u8..=100, prop::collection::vec(place(), 0..3));
    prop::collection::vec(flag, FLAGS.len())
}

fn evidence((raw, start, page, millionths): Place) -> Evidence {
    let start = usize::try_from(start).expect("usize has 32 bits or more");
    let span = Span { start, end: start + raw.len() };
    let scalars = Span { start, end: start + raw.chars().count() };
    let confidence = format!("{}", f64::from(millionths) / 1e6).parse().expect("a decimal");
    Evidence { raw: Sensitive::new(raw), span, scalars, page, confidence, original: None }
}

fn value(plain: Plain) -> Value {
    let moment = |micros| Timestamp::from_microsecond(micros).expect("in range");
    match plain {
        Plain::Text(text) => Value::Text(Sensitive::new(text)),
        Plain::Days(days) => Value::Date(date(1970, 1, 1) + days.days()),
        Plain::Duration(duration) => Value::Duration(duration),
        Plain::Moment(micros) => Value::Timestamp(moment(micros)),
        Plain::Time(micros) => Value::LocalTimestamp(TimeZone::UTC.to_datetime(moment(micros))),
        Plain::Integer(number) => Value::Integer(number),
        Plain::Cents(cents) => Value::Number(f64::from(cents) / 100.0),
        Plain::Answer(answer) => Value::Boolean(answer),
    }
}

fn attribute(name: &str, plain: Option<(Plain, Place)>) -> Attribute {
    let (value_, evidence_) = plain.unzip();
    Attribute { name: name.to_owned(), value: value_.map(value), evidence: evidence_.map(evidence) }
}

fn field_value(value: Value, evidence: Evidence) -> FieldValue {
    FieldValue { value, evidence, attributes: Vec::new() }
}

fn extraction(fields: Vec<PlainField>, flags: Vec<PlainFlag>) -> Extraction {
    let field = |((name, _, _), (values, unread)): ((&str, _, _), PlainField)| Field {
        name: name.to_owned(),
        values: values
            .into_iter()
            .map(|(plain, place, attributes)| {
                let attributes = ATTRIBUTES.into_iter().zip(attributes);
                let attributes = attributes.map(|((name, _), plain)| attribute(name, plain));
                FieldValue {
                    value: value(plain),
                    evidence: evidence(place),
                    attributes: attributes.collect(),
                }
            })
            .collect(),
        unread: unread.into_iter().map(evidence).collect(),
    };
    let flag = |(name, (is_present, percent, places)): (&str, PlainFlag)| Flag {
        name: name.to_owned(),
        label: name.to_uppercase(),
        is_present,
        confidence: f32::from(percent) / 100.0,
        evidence: places.into_iter().map(evidence).collect(),
    };
    Extraction {
        fields: COLUMNS.into_iter().zip(fields).map(field).collect(),
        flags: FLAGS.into_iter().zip(flags).map(flag).collect(),
    }
}

pub(crate) fn provenance(offset: i64, has_text: bool) -> Provenance {
    let name = || "name".to_owned();
    let digest = Digest::of(&offset.to_be_bytes());
    Provenance {
        pipeline: "contracts".to_owned(),
        pipeline_revision: name(),
        config_digest: digest,
        schema_digest: digest,
        model: name(),
        model_revision: name(),
        model_digest: digest,
        tokenizer_digest: digest,
        thresholds_digest: digest,
        gate_digest: has_text.then_some(digest),
        sluice_version: name(),
        text_engine: name(),
        onnxruntime_version: name(),
        provider: name(),
        cpu_class: name(),
        redaction_key: None,
        document_digest: digest,
        document_uri: None,
        text_digest: has_text.then_some(digest),
        position: Position { topic: "in".into(), partition: 3, offset },
        part: 7,
    }
}

fn review_of(record: Record) -> Review {
    let code = ReviewCode::ConfidenceLow;
    let reason = |field: Option<&str>| Reason {
        code,
        field: field.map(str::to_owned),
        detail: "below its floor".to_owned(),
    };
    let text = Sensitive::new("the whole text, é and all".to_owned());
    Review { record, reasons: vec![reason(Some("title")), reason(None)], text }
}

/// One record with known values.
pub(crate) fn sample() -> Record {
    let evidence = |raw: &str, start: usize| Evidence {
        raw: Sensitive::new(raw.to_owned()),
        span: Span { start, end: start + raw.len() },
        scalars: Span { start, end: start + raw.chars().count() },
        page: 2,
        confidence: 0.9,
        original: None,
    };
    let words = |text: &str| Value::Text(Sensitive::new(text.to_owned()));
    let field = |name: &str, values, unread| Field { name: name.to_owned(), values, unread };
    let fields = vec![
        field("title", vec![field_value(words("Lease"), evidence("LEASE", 0))], vec![]),
        field("parties", vec![field_value(words("Café"), evidence("Café", 7))], vec![]),
        field(
            "signed",
            vec![field_value(Value::Date(date(2015, 5, 1)), evidence("May 1, 2015", 20))],
            vec![],
        ),
        field("renewed", vec![], vec![evidence("soon", 40)]),
        field("term", vec![], vec![]),
    ];
    let flags = FLAGS.map(|name| Flag {
        name: name.to_owned(),
        label: name.to_owned(),
        is_present: name == "non_compete",
        confidence: 0.1,
        evidence: Vec::new(),
    });
    let extraction = Extraction { fields, flags: flags.to_vec() };
    let id = "contracts/in/3/9/7".to_owned();
    let (document_id, provenance) = ("lease-7".to_owned(), provenance(9, true));
    Record { id, document_id, extraction, redactions: Vec::new(), provenance }
}

pub(crate) fn codec(form: Form) -> Codec {
    Codec::new(schemas(&[]), form).expect("the schemas were checked")
}

fn read(codec: &Codec, body: &[u8]) -> Json {
    codec.read(body, &|_| None).expect("what was written reads back")
}

pub(crate) const CONFLUENT: Form = Form::Confluent { record: 258, review: 7, audit: 9 };

#[test]
fn a_record_is_typed_columns_with_evidence_and_provenance() {
    let json = read(&codec(Form::Json), &codec(Form::Json).record(&sample()).unwrap());
    assert_eq!(json["title"], "Lease");
    assert_eq!(json["parties"], json!(["Café"]));
    assert_eq!(json["signed"], "2015-05-01");
    assert_eq!((&json["renewed"], &json["term"]), (&json!([]), &Json::Null));
    assert_eq!(json["clauses"]["non_compete"], json!({"present": true, "confidence": 0.1}));
    let places: Vec<_> = json["evidence"].as_array().unwrap().iter().collect();
    assert_eq!(places.len(), 4);
    assert_eq!(
        *places[2],
        json!({"field": "signed", "value": "2015-05-01", "raw": "May 1, 2015", "start_byte": 20,
            "end_byte": 31, "start_char": 20, "end_char": 31, "page": 2, "confidence": 0.9,
            "original_start_byte": null, "original_end_byte": null,
            "original_start_char": null, "original_end_char": null})
    );
    assert_eq!((&places[3]["field"], &places[3]["value"]), (&json!("renewed"), &Json::Null));
    assert_eq!(json["provenance"]["source_topic"], "in");
    assert_eq!(json["provenance"]["part"], 7);
}

#[test]
fn both_avro_framings_are_as_published() {
    let confluent = codec(CONFLUENT);
    assert_eq!(confluent.record(&sample()).unwrap()[..5], [0, 0, 0, 1, 2]);
    let review = review_of(sample());
    assert_eq!(confluent.review(&review).unwrap()[..5], [0, 0, 0, 0, 7]);
    let single = codec(Form::SingleObject);
    let body = single.record(&sample()).unwrap();
    assert_eq!(body[..2], [0xC3, 0x01]);
    let schema = &single.schemas().record.schema;
    let print = schema.fingerprint::<apache_avro::rabin::Rabin>().bytes;
    assert_eq!(body[2..10], print);
    assert_eq!(body[10..], confluent.record(&sample()).unwrap()[5..]);
}

#[test]
fn another_id_is_looked_up_and_garbage_is_unreadable() {
    let old = codec(Form::Confluent { record: 1, review: 2, audit: 3 });
    let new = codec(CONFLUENT);
    let body = old.record(&sample()).unwrap();
    assert!(new.read(&body, &|_| None).is_err());
    let schema = Arc::clone(&old.schemas().record.schema);
    assert!(new.read(&body, &|id| (id == 1).then(|| Arc::clone(&schema))).is_ok());
    for garbage in [b"".as_slice(), b"\0\0\0\x01\x02", b"\xC3\x01abcdefgh", b"nonsense"] {
        assert!(new.read(garbage, &|_| None).is_err());
    }
}

#[test]
fn a_review_without_extraction_has_no_record_but_its_ids_and_text() {
    let mut record = sample();
    record.extraction = Extraction::default();
    for form in [CONFLUENT, Form::SingleObject, Form::Json] {
        let codec = codec(form);
        let json = read(&codec, &codec.review(&review_of(record.clone())).unwrap());
        assert_eq!(json["record"], Json::Null);
        assert_eq!(json["document_id"], "lease-7");
        assert_eq!(json["reasons"][0]["code"], "CONFIDENCE_LOW");
        assert_eq!(json["text"], "the whole text, é and all");
        assert_eq!(json["provenance"]["source_offset"], 9);
    }
}

/// Reads `body`, single-object encoded by `writer`, under the schema of `reader`.
fn evolved(writer: &Codec, reader: &Schemas, body: &[u8]) -> Avro {
    let schema = GenericDatumReader::builder(&writer.schemas().record.schema)
        .reader_schema(&reader.record.schema)
        .build()
        .expect("the schemas resolve");
    schema.read_value(&mut &body[10..]).expect("the record reads")
}

fn column<'a>(record: &'a Avro, name: &str) -> Option<&'a Avro> {
    let Avro::Record(fields) = record else { panic!("a record") };
    fields.iter().find(|(column, _)| column == name).map(|(_, value)| value)
}

#[test]
fn a_column_with_a_default_is_read_across_versions_both_ways() {
    let (old, new) =
        (schemas(&[]), schemas(&[json!({"name": "tenant", "type": "string", "default": "none"})]));
    let writer =
        |schemas: &Arc<Schemas>| Codec::new(Arc::clone(schemas), Form::SingleObject).unwrap();
    let by_old = evolved(&writer(&old), &new, &writer(&old).record(&sample()).unwrap());
    assert_eq!(column(&by_old, "tenant"), Some(&Avro::String("none".to_owned())));
    let by_new = evolved(&writer(&new), &old, &writer(&new).record(&sample()).unwrap());
    assert_eq!(column(&by_new, "tenant"), None);
    for read in [by_old, by_new] {
        assert_eq!(column(&read, "document_id"), Some(&Avro::String("lease-7".to_owned())));
        assert_eq!(column(&read, "signed"), Some(&Avro::Union(1, Box::new(Avro::Date(16_556)))));
    }
}

#[test]
fn columns_that_sluice_does_not_fill_carry_their_default() {
    let more = [
        json!({"name": "tenant", "type": "string", "default": "none"}),
        json!({"name": "note", "type": ["null", "string"], "default": null}),
        json!({"name": "spare", "type": ["null", "sluice.Evidence"], "default": null}),
        json!({"name": "rank", "type": "long", "default": 7}),
        json!({"name": "tier", "type": {"type": "enum", "name": "Tier", "symbols": ["A", "B"]}, "default": "B"}),
        json!({"name": "tags", "type": {"type": "array", "items": "string"}, "default": ["x"]}),
    ];
    let codec = Codec::new(schemas(&more), Form::SingleObject).unwrap();
    let json = read(&codec, &codec.record(&sample()).unwrap());
    assert_eq!(
        (&json["tenant"], &json["note"], &json["rank"]),
        (&json!("none"), &Json::Null, &json!(7))
    );
    assert_eq!(json.get("spare"), Some(&Json::Null));
    assert_eq!((&json["tier"], &json["tags"]), (&json!("B"), &json!(["x"])));
    let review = read(&codec, &codec.review(&review_of(sample())).unwrap());
    assert_eq!(review["record"]["rank"], 7);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn every_record_and_review_reads_back_the_same_in_every_form(
        fields in plain_fields(), flags in plain_flags(), offset in 0..i64::MAX,
        has_text in any::<bool>(), document_id in "\\PC{0,20}",
    ) {
        let record = Record {
            id: format!("contracts/in/3/{offset}/7"),
            document_id,
            extraction: extraction(fields, flags),
            redactions: Vec::new(),
            provenance: provenance(offset, has_text),
        };
        let json = codec(Form::Json);
        let expected = read(&json, &json.record(&record).unwrap());
        let review = review_of(record.clone());
        let expected_review = read(&json, &json.review(&review).unwrap());
        let rows = &json.schemas().columns;
        prop_assert_eq!(&serde_json::to_value(rows.record(&record)).unwrap(), &expected);
        prop_assert_eq!(&expected_review["record"], &expected);
        for form in [CONFLUENT, Form::SingleObject] {
            let codec = codec(form);
            let body = codec.record(&record).unwrap();
            prop_assert_eq!(&read(&codec, &body), &expected);
            prop_assert_eq!(&body, &codec.record(&record).unwrap());
            prop_assert_eq!(&read(&codec, &codec.review(&review).unwrap()), &expected_review);
        }
    }
}

#[test]
fn a_number_out_of_its_columns_range_is_told_by_its_column_and_spoils_no_other_record() {
    let mut large = sample();
    for field in &mut large.extraction.fields {
        for value in &mut field.values {
            value.evidence.page = u32::MAX;
        }
    }
    let codec = codec(Form::SingleObject);
    let told = codec.record(&large).unwrap_err().to_string();
    assert_eq!(told, "the value of `evidence.page` does not fit its Avro type int");
    assert!(codec.record(&sample()).is_ok());
}
