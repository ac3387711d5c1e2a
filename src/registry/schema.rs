//! `schema JSON -> Schema`: the one guarded way to parse an Avro schema, and the shipped schemas.
//!
//! Tests apart, this file and [`crate::sink::avro`] are the only ones that name the crate
//! `apache-avro`; other rooms take its schema types from here. Deliberately resolves nothing across
//! files and judges no schema's fitness for a use.

use std::panic::catch_unwind;

pub use apache_avro::Schema;
use apache_avro::rabin::Rabin;
pub use apache_avro::schema::{
    InnerDecimalSchema, NamesRef, RecordField, RecordSchema, ResolvedSchema, SchemaKind,
    UnionSchema, UuidSchema,
};

/// Longest schema that is parsed, in bytes. A record of 200 documented columns takes about 40 kB.
pub const SCHEMA_BYTES_MAX: usize = 1 << 20;

/// `sluice.Audit`, what became of a part.
pub const AUDIT: &str = include_str!("../../schemas/audit.avsc");
/// `sluice.Document`, the Avro envelope of an input document.
pub const DOCUMENT: &str = include_str!("../../schemas/document.avsc");
/// Its first version, which single objects may still name.
pub const DOCUMENT_1: &str = include_str!("../../schemas/document-1.avsc");
/// `sluice.Evidence`, a place in the text.
pub const EVIDENCE: &str = include_str!("../../schemas/evidence.avsc");
/// `sluice.Flag`, a yes-or-no answer.
pub const FLAG: &str = include_str!("../../schemas/flag.avsc");
/// `sluice.Provenance`, what made a record.
pub const PROVENANCE: &str = include_str!("../../schemas/provenance.avsc");
/// `sluice.Reason`, why a person should look.
pub const REASON: &str = include_str!("../../schemas/reason.avsc");

/// The shipped schema of a full name such as `sluice.Flag`.
pub fn shipped(name: &str) -> Option<&'static str> {
    match name {
        "sluice.Audit" => Some(AUDIT),
        "sluice.Document" => Some(DOCUMENT),
        "sluice.Evidence" => Some(EVIDENCE),
        "sluice.Flag" => Some(FLAG),
        "sluice.Provenance" => Some(PROVENANCE),
        "sluice.Reason" => Some(REASON),
        _ => None,
    }
}

/// Why a schema could not be parsed. Messages may quote the schema, which holds no document text.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Over [`SCHEMA_BYTES_MAX`].
    #[error("a schema of {0} bytes is over the limit of {SCHEMA_BYTES_MAX}")]
    TooLarge(usize),
    /// No JSON at all.
    #[error("no JSON at line {line}, column {column}")]
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// JSON, but no Avro schema.
    #[error("no Avro schema: {0}")]
    Refused(String),
    /// The parser of the crate `apache-avro` panicked, as some bad schemas make it.
    #[error("no Avro schema that the parser survives")]
    Panicked,
}

/// Parses one self-contained schema.
///
/// A panic inside the parser is caught here and nowhere else: what is parsed once needs no guard
/// at each use.
pub fn parse(json: &str) -> Result<Schema, SchemaError> {
    if json.len() > SCHEMA_BYTES_MAX {
        return Err(SchemaError::TooLarge(json.len()));
    }
    let value: serde_json::Value = serde_json::from_str(json)
        .map_err(|error| SchemaError::NotJson { line: error.line(), column: error.column() })?;
    match catch_unwind(|| Schema::parse(&value)) {
        Ok(Ok(schema)) => Ok(schema),
        Ok(Err(error)) => Err(SchemaError::Refused(error.to_string())),
        Err(_panic) => Err(SchemaError::Panicked),
    }
}

/// CRC-64-AVRO of the parsing canonical form, little-endian as it stands in single-object encoding
/// (Apache Avro 1.12 specification, "Schema Fingerprints").
pub fn fingerprint(schema: &Schema) -> [u8; 8] {
    let print = schema.fingerprint::<Rabin>().bytes;
    print.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{SchemaError, fingerprint, parse, shipped};

    /// Published with the Avro project, `share/test/data/schema-tests.txt`.
    #[test]
    fn fingerprints_are_the_published_ones_little_endian() {
        for (schema, print) in [
            (r#""null""#, 7_195_948_357_588_979_594_i64),
            (r#""boolean""#, -6_970_731_678_124_411_036),
            (r#""int""#, 8_247_732_601_305_521_295),
            (r#"{"type":"string"}"#, -8_142_146_995_180_207_161),
        ] {
            assert_eq!(fingerprint(&parse(schema).unwrap()), print.to_le_bytes(), "{schema}");
        }
    }

    const NAMES: [&str; 6] = [
        "sluice.Audit",
        "sluice.Document",
        "sluice.Evidence",
        "sluice.Flag",
        "sluice.Provenance",
        "sluice.Reason",
    ];

    #[test]
    fn every_shipped_schema_parses_under_its_name_and_documents_each_field() {
        for name in NAMES {
            let json = shipped(name).unwrap();
            let schema = parse(json).unwrap();
            assert_eq!(schema.name().unwrap().to_string(), name);
            let json: serde_json::Value = serde_json::from_str(json).unwrap();
            for field in json["fields"].as_array().unwrap() {
                assert!(field["doc"].as_str().is_some_and(|doc| doc.ends_with('.')), "{field}");
            }
        }
    }

    #[test]
    fn bad_schemas_are_errors_and_never_panics() {
        let deep = "{\"type\":\"array\",\"items\":".repeat(200);
        for bad in [
            "",
            "{",
            "1",
            "{}",
            "[]x",
            "\"nobody\"",
            deep.as_str(),
            "{\"type\":\"record\"}",
            r#"{"type":"record","name":"a","fields":[{"name":"x","type":{"type":"fixed","name":"f","size":-1}}]}"#,
            r#"{"type":"bytes","logicalType":"decimal","precision":-4,"scale":99999999999}"#,
            r#"{"type":"enum","name":"e","symbols":[1,2]}"#,
            r#"{"type":"record","name":"a.","fields":[]}"#,
        ] {
            if bad.contains("decimal") {
                // The specification ignores a broken logical type: either answer is fine.
                let _answer = parse(bad);
            } else {
                assert!(parse(bad).is_err(), "{bad}");
            }
        }
        let long = format!("\"{}\"", "x".repeat(super::SCHEMA_BYTES_MAX));
        assert!(matches!(parse(&long), Err(SchemaError::TooLarge(_))));
    }

    /// JSON out of the words that schemas are made of.
    fn schemaish() -> impl Strategy<Value = serde_json::Value> {
        let word = prop::sample::select(vec![
            "record", "enum", "fixed", "array", "map", "null", "string", "bytes", "int", "a.b", "",
            "decimal", "uuid", "duration", "date",
        ]);
        let leaf = prop_oneof![
            word.prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            Just(serde_json::Value::Null),
        ];
        let key = prop::sample::select(vec![
            "type",
            "name",
            "namespace",
            "fields",
            "items",
            "values",
            "symbols",
            "size",
            "aliases",
            "default",
            "logicalType",
            "precision",
            "scale",
            "doc",
            "order",
        ]);
        leaf.prop_recursive(4, 40, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 1..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn no_schema_shaped_json_panics(json in schemaish()) {
            let _answer = parse(&json.to_string());
        }
    }
}
