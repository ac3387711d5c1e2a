//! Avro envelope `-> Unwrapped`: the binary is walked under its writer's schema.
//!
//! The body is Confluent wire format (zero byte, schema id in four bytes big-endian, Avro binary)
//! or, without a registry, Avro single-object encoding under the shipped `schemas/document.avsc`.
//! The writer's schema may be any record that has `content_type` (string) and `content` (bytes);
//! `document_id` (string) is optional, all three may be nullable, and other fields are skipped.
//!
//! Both schema and bytes may be hostile, so this walks and allocates nothing: a length is compared
//! with the bytes that are there, nesting has a limit, and so has the count of steps, since a
//! schema of nested empty records could ask for 2^60 of them. The crate's own reader is deliberately
//! not used here: it takes a string or a union that the end of the bytes cuts off for null.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::{Kind, Schemas, Unwrapped, reject};
use crate::error::Fault;
use crate::registry::schema::{
    DOCUMENT, InnerDecimalSchema, NamesRef, ResolvedSchema, Schema, UuidSchema, fingerprint, parse,
};
use crate::types::{Reject, RejectCode};

/// Limit: deepest nesting of values.
const DEPTH_MAX: u32 = 64;

/// Limit: steps of the walk beyond one a byte. Fields of no width (null, empty records) take steps
/// and no bytes; an honest envelope has a few dozen at most.
const STEPS_SPARE: usize = 10_000;

/// Takes the envelope off.
pub(super) fn unwrap<'a>(
    body: &'a [u8],
    schemas: &dyn Schemas,
) -> Result<Result<Unwrapped<'a>, Reject>, Fault> {
    if let Some((&[0, a, b, c, d], binary)) = body.split_first_chunk() {
        let id = u32::from_be_bytes([a, b, c, d]);
        let Some(schema) = schemas.writer_schema(id)? else {
            let detail = format!("no registry knows an Avro schema of id {id}");
            return Ok(Err(reject(RejectCode::SchemaUnknown, detail)));
        };
        let walked = walk(binary, &schema, &format!("schema id {id}"));
        if walked.as_ref().is_err_and(|reject| reject.code == RejectCode::SchemaUnknown) {
            schemas.doubt(id);
        }
        return Ok(walked);
    }
    if let Some((&[0xC3, 0x01], rest)) = body.split_first_chunk()
        && let Some((print, binary)) = rest.split_first_chunk::<8>()
    {
        let ours = shipped().filter(|ours| ours.print == *print);
        return Ok(match ours {
            Some(ours) => walk(binary, &ours.schema, "the shipped schema"),
            None => Err(reject(
                RejectCode::SchemaUnknown,
                "the fingerprint is not the one of `schemas/document.avsc`",
            )),
        });
    }
    Ok(Err(invalid("the body is neither Confluent wire format nor an Avro single object")))
}

struct Shipped {
    schema: Schema,
    print: [u8; 8],
}

/// The shipped envelope schema, parsed once.
fn shipped() -> Option<&'static Shipped> {
    static SHIPPED: OnceLock<Option<Shipped>> = OnceLock::new();
    let parsed = SHIPPED.get_or_init(|| {
        let schema = parse(DOCUMENT).ok()?;
        Some(Shipped { print: fingerprint(&schema), schema })
    });
    parsed.as_ref()
}

fn invalid(detail: impl Into<String>) -> Reject {
    reject(RejectCode::EnvelopeInvalid, detail)
}

fn walk<'a>(binary: &'a [u8], schema: &Schema, origin: &str) -> Result<Unwrapped<'a>, Reject> {
    let unfit = |what: &str| {
        let detail = format!("{origin} is no document envelope: {what}");
        reject(RejectCode::SchemaUnknown, detail)
    };
    let Schema::Record(record) = schema else { return Err(unfit("it is no record")) };
    for name in ["content_type", "content"] {
        let field = record.fields.iter().find(|field| field.name == name);
        if !field.is_some_and(|field| is_run(&field.schema)) {
            return Err(unfit(&format!("`{name}` is missing or of another type")));
        }
    }
    let names = ResolvedSchema::new(schema).map_err(|_quotes| unfit("it does not resolve"))?;
    let mut walk = Walk {
        rest: binary,
        names: names.get_names(),
        steps: binary.len().saturating_add(STEPS_SPARE),
    };
    let (mut document_id, mut content_type, mut content) = (None, None, None);
    let namespace = record.name.namespace();
    for field in &record.fields {
        let slot = match field.name.as_str() {
            "document_id" if is_run(&field.schema) => &mut document_id,
            "content_type" => &mut content_type,
            "content" => &mut content,
            _ => {
                walk.skip(&field.schema, namespace, 0)
                    .map_err(|stop| broken(stop, &walk, binary))?;
                continue;
            }
        };
        *slot = walk.run(&field.schema).map_err(|stop| broken(stop, &walk, binary))?;
    }
    if !walk.rest.is_empty() {
        return Err(invalid(format!("{} bytes stand behind the Avro envelope", walk.rest.len())));
    }
    let content = content.ok_or_else(|| invalid("`content` of the Avro envelope is null"))?;
    let document_id = document_id.map(utf8).transpose()?.map(Cow::Borrowed);
    Ok(Unwrapped {
        document_id,
        kind: Kind::Declared(content_type.map(Cow::Borrowed)),
        bytes: Cow::Borrowed(content),
    })
}

fn utf8(bytes: &[u8]) -> Result<&str, Reject> {
    std::str::from_utf8(bytes)
        .map_err(|_place| invalid("`document_id` of the Avro envelope is no UTF-8"))
}

/// Whether a type is a run of bytes (`string` and `bytes` are alike on the wire), or null.
fn is_run(schema: &Schema) -> bool {
    let is_plain = |schema: &Schema| matches!(schema, Schema::Bytes | Schema::String);
    let Schema::Union(union) = schema else { return is_plain(schema) };
    let runs = || union.variants().iter().filter(|branch| !matches!(branch, Schema::Null));
    runs().count() == 1 && runs().all(is_plain)
}

/// Why a walk ended.
#[derive(Clone, Copy)]
enum Stop {
    TooShort,
    Impossible,
    TooDeep,
}

fn broken(stop: Stop, walk: &Walk<'_, '_>, binary: &[u8]) -> Reject {
    let what = match stop {
        Stop::TooShort => "ends too early, or has a length that is none,",
        Stop::Impossible => "has a value that its schema does not allow",
        Stop::TooDeep => "is nested too deeply or repeats itself",
    };
    let offset = binary.len() - walk.rest.len();
    invalid(format!("the Avro envelope {what} at byte {offset} of its binary"))
}

struct Walk<'a, 's> {
    rest: &'a [u8],
    names: &'s NamesRef<'s>,
    steps: usize,
}

impl<'a> Walk<'a, '_> {
    /// A run of bytes, or null.
    fn run(&mut self, schema: &Schema) -> Result<Option<&'a [u8]>, Stop> {
        let Schema::Union(union) = schema else { return self.bytes().map(Some) };
        let branch = usize::try_from(self.long()?).map_err(|_negative| Stop::Impossible)?;
        match union.variants().get(branch) {
            Some(Schema::Null) => Ok(None),
            Some(_) => self.bytes().map(Some),
            None => Err(Stop::Impossible),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Stop::TooShort)?;
        self.rest = rest;
        Ok(taken)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Stop> {
        let length = usize::try_from(self.long()?).map_err(|_negative| Stop::TooShort)?;
        self.take(length)
    }

    /// Zigzag in groups of seven bits, least significant first, at most ten bytes.
    fn long(&mut self) -> Result<i64, Stop> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first().ok_or(Stop::TooShort)?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(Stop::Impossible)
    }

    /// Passes over one value.
    fn skip(&mut self, schema: &Schema, namespace: Option<&str>, depth: u32) -> Result<(), Stop> {
        self.steps = self.steps.checked_sub(1).ok_or(Stop::TooDeep)?;
        if depth > DEPTH_MAX {
            return Err(Stop::TooDeep);
        }
        match schema {
            Schema::Null => Ok(()),
            Schema::Boolean => self.take(1).map(drop),
            Schema::Float => self.take(4).map(drop),
            Schema::Double => self.take(8).map(drop),
            Schema::Bytes
            | Schema::String
            | Schema::BigDecimal
            | Schema::Uuid(UuidSchema::String | UuidSchema::Bytes) => self.bytes().map(drop),
            Schema::Fixed(fixed)
            | Schema::Duration(fixed)
            | Schema::Uuid(UuidSchema::Fixed(fixed)) => self.take(fixed.size).map(drop),
            Schema::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Bytes => self.bytes().map(drop),
                InnerDecimalSchema::Fixed(fixed) => self.take(fixed.size).map(drop),
            },
            Schema::Int
            | Schema::Long
            | Schema::Enum(_)
            | Schema::Date
            | Schema::TimeMillis
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => self.long().map(drop),
            Schema::Array(array) => self.blocks(&array.items, false, namespace, depth),
            Schema::Map(map) => self.blocks(&map.types, true, namespace, depth),
            Schema::Union(union) => {
                let branch = usize::try_from(self.long()?).map_err(|_negative| Stop::Impossible)?;
                let branch = union.variants().get(branch).ok_or(Stop::Impossible)?;
                self.skip(branch, namespace, depth + 1)
            }
            Schema::Record(record) => {
                let namespace = record.name.namespace().or(namespace);
                record
                    .fields
                    .iter()
                    .try_for_each(|field| self.skip(&field.schema, namespace, depth + 1))
            }
            Schema::Ref { name } => {
                let name = name.fully_qualified_name(namespace);
                let definition = *self.names.get(&*name).ok_or(Stop::Impossible)?;
                self.skip(definition, namespace, depth + 1)
            }
        }
    }

    /// Passes over the blocks of an array or a map. A negative count is followed by the block's
    /// size in bytes.
    fn blocks(
        &mut self,
        items: &Schema,
        is_map: bool,
        namespace: Option<&str>,
        depth: u32,
    ) -> Result<(), Stop> {
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                self.bytes()?;
                continue;
            }
            for _ in 0..count {
                self.entry(items, is_map, namespace, depth)?;
            }
        }
    }

    /// Passes over one item of an array, or one key and value of a map.
    fn entry(
        &mut self,
        items: &Schema,
        is_map: bool,
        namespace: Option<&str>,
        depth: u32,
    ) -> Result<(), Stop> {
        if is_map {
            self.bytes()?;
        }
        self.skip(items, namespace, depth + 1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use apache_avro::types::Value;
    use apache_avro::writer::datum::GenericDatumWriter;
    use proptest::prelude::*;

    use super::{Kind, unwrap};
    use crate::error::Fault;
    use crate::registry::schema::{DOCUMENT, Schema, fingerprint, parse};
    use crate::types::{Reject, RejectCode};

    /// Knows one schema, under every id.
    struct One(Arc<Schema>);

    impl super::Schemas for One {
        fn writer_schema(&self, _id: u32) -> Result<Option<Arc<Schema>>, Fault> {
            Ok(Some(Arc::clone(&self.0)))
        }
    }

    fn one(json: &str) -> One {
        One(Arc::new(parse(json).unwrap()))
    }

    fn framed(binary: &[u8]) -> Vec<u8> {
        [b"\0\0\0\0\x01".as_slice(), binary].concat()
    }

    /// The content as text, or the code.
    fn content(body: &[u8], schemas: &One) -> Result<String, Reject> {
        let unwrapped = unwrap(body, schemas).unwrap()?;
        Ok(String::from_utf8(unwrapped.bytes.into_owned()).unwrap())
    }

    fn document() -> Vec<u8> {
        let value = Value::Record(vec![
            ("document_id".into(), Value::Union(1, Box::new("lease-7".into()))),
            ("content_type".into(), "text/plain".into()),
            ("content".into(), Value::Bytes(b"words".to_vec())),
            ("attributes".into(), Value::Map([("a".into(), "b".into())].into())),
        ]);
        let schema = parse(DOCUMENT).unwrap();
        GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(value).unwrap()
    }

    #[test]
    fn the_shipped_envelope_is_read_in_both_framings() {
        let ours = one(DOCUMENT);
        let confluent = framed(&document());
        let unwrapped = unwrap(&confluent, &ours).unwrap().ok().unwrap();
        assert_eq!(unwrapped.document_id.as_deref(), Some("lease-7"));
        assert_eq!(&*unwrapped.bytes, b"words");
        assert!(matches!(unwrapped.kind, Kind::Declared(Some(kind)) if &*kind == b"text/plain"));
        let print = fingerprint(&ours.0);
        let single = [b"\xC3\x01".as_slice(), &print, &document()].concat();
        assert_eq!(content(&single, &ours).unwrap(), "words");
    }

    #[test]
    fn a_body_cut_anywhere_or_with_more_behind_is_invalid() {
        let ours = one(DOCUMENT);
        let whole = document();
        for length in 0..whole.len() {
            let cut = framed(&whole[..length]);
            assert_eq!(content(&cut, &ours).unwrap_err().code, RejectCode::EnvelopeInvalid);
        }
        let longer = [whole.as_slice(), b"\0"].concat();
        assert_eq!(content(&framed(&longer), &ours).unwrap_err().code, RejectCode::EnvelopeInvalid);
    }

    #[test]
    fn another_writer_schema_is_read_and_its_other_fields_skipped() {
        let schema = r#"{"type":"record","name":"acme.Doc","fields":[
            {"name":"size","type":"long"},
            {"name":"tags","type":{"type":"array","items":["null","string",{"type":"fixed","name":"F","size":2}]}},
            {"name":"content","type":["null","bytes"]},
            {"name":"more","type":{"type":"map","values":{"type":"record","name":"R","fields":[
                {"name":"f","type":"F"},{"name":"next","type":["null","R"]}]}}},
            {"name":"content_type","type":["null","string"]}]}"#;
        // size -2; one block of 2 tags with its size; content; one entry whose record links on; no type.
        let binary =
            b"\x03\x03\x0c\x02\x02a\x04ab\0\x02\x0awords\x02\x02k\x01\x02\x02\x03\x04\0\0\0";
        assert_eq!(content(&framed(binary), &one(schema)).unwrap(), "words");
    }

    #[test]
    fn a_schema_that_is_no_envelope_is_unknown() {
        for schema in [
            r#""string""#,
            r#"{"type":"record","name":"a","fields":[{"name":"content","type":"bytes"}]}"#,
            r#"{"type":"record","name":"a","fields":[{"name":"content","type":"int"},
                {"name":"content_type","type":"string"}]}"#,
        ] {
            let code = content(&framed(b"\0\0\0"), &one(schema)).unwrap_err().code;
            assert_eq!(code, RejectCode::SchemaUnknown);
        }
    }

    fn with_first(first: &str) -> One {
        one(&format!(
            r#"{{"type":"record","name":"Top","fields":[{{"name":"x","type":{first}}},
                {{"name":"content_type","type":"string"}},{{"name":"content","type":"bytes"}}]}}"#
        ))
    }

    #[test]
    fn hostile_schemas_and_lengths_end_soon() {
        // 2^62 nulls, a record that holds itself, a list of 30,000 links, records that double 40
        // times, a string of 2^62 bytes.
        let nulls = r#"{"type":"array","items":"null"}"#.to_owned();
        let own =
            r#"{"type":"record","name":"Own","fields":[{"name":"own","type":"Own"}]}"#.to_owned();
        let links = r#"{"type":"record","name":"L","fields":[{"name":"l","type":["null","L"]}]}"#
            .to_owned();
        let mut doubling = r#""null""#.to_owned();
        for level in 0..40 {
            doubling = format!(
                r#"{{"type":"record","name":"D{level}","fields":[{{"name":"a","type":{doubling}}},
                    {{"name":"b","type":{}}}]}}"#,
                if level == 0 { r#""null""#.to_owned() } else { format!(r#""D{}""#, level - 1) }
            );
        }
        let huge = b"\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F".to_vec();
        for (schema, binary) in [
            (nulls, huge.clone()),
            (own, b"\0".to_vec()),
            (links, vec![2; 30_000]),
            (doubling, b"\0\0".to_vec()),
            (r#""string""#.to_owned(), huge.clone()),
            (r#"{"type":"map","values":"null"}"#.to_owned(), huge),
        ] {
            let code = content(&framed(&binary), &with_first(&schema)).unwrap_err().code;
            assert_eq!(code, RejectCode::EnvelopeInvalid, "{schema:.60}");
        }
    }

    proptest! {
        #[test]
        fn any_change_of_one_byte_ends_in_an_answer(at in 0_usize..40, to in any::<u8>()) {
            let mut binary = document();
            let at = at % binary.len();
            binary[at] = to;
            if let Err(reject) = content_of(&binary) {
                prop_assert_eq!(reject.code, RejectCode::EnvelopeInvalid);
            }
        }
    }

    fn content_of(binary: &[u8]) -> Result<(), Reject> {
        unwrap(&framed(binary), &one(DOCUMENT)).unwrap().map(drop)
    }
}
