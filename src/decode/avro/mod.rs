//! Avro envelope `-> Opened`: the binary is walked under its writer's schema.
//!
//! The body is Confluent wire format (zero byte, schema id in four bytes big-endian, Avro binary)
//! or, without a registry, Avro single-object encoding under the shipped `schemas/document.avsc`.
//! The writer's schema may be any record that has `content_type` (string) and either `content`
//! (bytes) or the fields of a claim, `uri` (string), `size_bytes` (long) and `sha256` (string), or
//! all of them; `document_id` (string) is optional. Each may be nullable, and other fields are
//! skipped.
//!
//! Both schema and bytes may be hostile, so this walks and allocates nothing: a length is compared
//! with the bytes that are there, nesting has a limit, and so has the count of steps, since a
//! schema of nested empty records could ask for 2^60 of them. The crate's own reader is deliberately
//! not used here: it takes a string or a union that the end of the bytes cuts off for null.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::claims::Reference;
use super::{Kind, Opened, Schemas, Unwrapped, reject};
use crate::config::pipeline::Input;
use crate::error::Fault;
use crate::registry::schema::{
    DOCUMENT, DOCUMENT_1, InnerDecimalSchema, NamesRef, ResolvedSchema, Schema, UuidSchema,
    fingerprint, parse,
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
    input: &Input,
) -> Result<Result<Opened<'a>, Reject>, Fault> {
    if let Some((&[0, a, b, c, d], binary)) = body.split_first_chunk() {
        let id = u32::from_be_bytes([a, b, c, d]);
        let Some(schema) = schemas.writer_schema(id)? else {
            let detail = format!("no registry knows an Avro schema of id {id}");
            return Ok(Err(reject(RejectCode::SchemaUnknown, detail)));
        };
        let fields = walk(binary, &schema, &format!("schema id {id}"));
        if fields.as_ref().is_err_and(|reject| reject.code == RejectCode::SchemaUnknown) {
            schemas.doubt(id);
        }
        return Ok(fields.and_then(|fields| fields.open(input)));
    }
    if let Some((&[0xC3, 0x01], rest)) = body.split_first_chunk()
        && let Some((print, binary)) = rest.split_first_chunk::<8>()
    {
        let ours = shipped().iter().find(|ours| ours.print == *print);
        return Ok(match ours {
            Some(ours) => {
                let fields = walk(binary, &ours.schema, "the shipped schema");
                fields.and_then(|fields| fields.open(input))
            }
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

/// The versions of the shipped envelope schema, parsed once.
fn shipped() -> &'static [Shipped] {
    static SHIPPED: OnceLock<Vec<Shipped>> = OnceLock::new();
    SHIPPED.get_or_init(|| {
        let parsed = [DOCUMENT, DOCUMENT_1].into_iter().filter_map(|text| parse(text).ok());
        parsed.map(|schema| Shipped { print: fingerprint(&schema), schema }).collect()
    })
}

fn invalid(detail: impl Into<String>) -> Reject {
    reject(RejectCode::EnvelopeInvalid, detail)
}

/// What an envelope says, field by field; `None` where a field is null or not in the schema.
#[derive(Default)]
struct Fields<'a> {
    document_id: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
    content: Option<&'a [u8]>,
    uri: Option<&'a [u8]>,
    size_bytes: Option<i64>,
    sha256: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn open(self, input: &Input) -> Result<Opened<'a>, Reject> {
        let text = |name: &str, bytes: Option<&'a [u8]>| {
            let utf8 = bytes.map(std::str::from_utf8).transpose();
            let utf8 = utf8
                .map_err(|_place| invalid(format!("`{name}` of the Avro envelope is no UTF-8")));
            utf8.map(|text| text.map(Cow::Borrowed))
        };
        let document_id = text("document_id", self.document_id)?;
        let content_type = self.content_type.map(Cow::Borrowed);
        match (self.content, text("uri", self.uri)?) {
            (Some(content), None) => Ok(Opened::Document(Unwrapped {
                document_id,
                kind: Kind::Declared(content_type),
                bytes: Cow::Borrowed(content),
            })),
            (None, Some(uri)) => {
                let negative = |_| invalid("`size_bytes` of the Avro envelope is negative");
                let size_bytes =
                    self.size_bytes.map(u64::try_from).transpose().map_err(negative)?;
                let sha256 = text("sha256", self.sha256)?;
                let reference = Reference { document_id, content_type, uri, size_bytes, sha256 };
                Ok(Opened::Claim(Box::new(reference.check(input)?)))
            }
            (Some(_), Some(_)) => Err(invalid("the Avro envelope has both `content` and `uri`")),
            (None, None) => Err(invalid("the Avro envelope has neither `content` nor `uri`")),
        }
    }
}

fn walk<'a>(binary: &'a [u8], schema: &Schema, origin: &str) -> Result<Fields<'a>, Reject> {
    let unfit = |what: &str| {
        let detail = format!("{origin} is no document envelope: {what}");
        reject(RejectCode::SchemaUnknown, detail)
    };
    let Schema::Record(record) = schema else { return Err(unfit("it is no record")) };
    let is_fit = |name: &str, fits: fn(&Schema) -> bool| {
        record.fields.iter().any(|field| field.name == name && fits(&field.schema))
    };
    if !is_fit("content_type", is_run) {
        return Err(unfit("`content_type` is missing or of another type"));
    }
    let is_claim =
        is_fit("uri", is_run) && is_fit("size_bytes", is_long) && is_fit("sha256", is_run);
    let has_content = record.fields.iter().any(|field| field.name == "content");
    if !is_fit("content", is_run) && (has_content || !is_claim) {
        return Err(unfit("`content` is missing or of another type"));
    }
    let names = ResolvedSchema::new(schema).map_err(|_quotes| unfit("it does not resolve"))?;
    let mut walk = Walk {
        rest: binary,
        names: names.get_names(),
        steps: binary.len().saturating_add(STEPS_SPARE),
    };
    let mut fields = Fields::default();
    let namespace = record.name.namespace();
    for field in &record.fields {
        let slot = match field.name.as_str() {
            "document_id" if is_run(&field.schema) => &mut fields.document_id,
            "content_type" => &mut fields.content_type,
            "content" => &mut fields.content,
            // A sender's own field of one of these names alone is not for sluice.
            "uri" if is_claim => &mut fields.uri,
            "sha256" if is_claim => &mut fields.sha256,
            "size_bytes" if is_claim => {
                fields.size_bytes =
                    walk.number(&field.schema).map_err(|stop| broken(stop, &walk, binary))?;
                continue;
            }
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
    Ok(fields)
}

/// Whether a type is a run of bytes (`string` and `bytes` are alike on the wire), or null.
fn is_run(schema: &Schema) -> bool {
    is_nullable(schema, |schema| matches!(schema, Schema::Bytes | Schema::String))
}

/// Whether a type is a number (`int` and `long` are alike on the wire), or null.
fn is_long(schema: &Schema) -> bool {
    is_nullable(schema, |schema| matches!(schema, Schema::Int | Schema::Long))
}

/// Whether a type is such a plain one, or a union of it with null.
fn is_nullable(schema: &Schema, is_plain: fn(&Schema) -> bool) -> bool {
    let Schema::Union(union) = schema else { return is_plain(schema) };
    let branches = || union.variants().iter().filter(|branch| !matches!(branch, Schema::Null));
    branches().count() == 1 && branches().all(is_plain)
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
        if self.is_null(schema)? { Ok(None) } else { self.bytes().map(Some) }
    }

    /// A number, or null.
    fn number(&mut self, schema: &Schema) -> Result<Option<i64>, Stop> {
        if self.is_null(schema)? { Ok(None) } else { self.long().map(Some) }
    }

    /// Whether a value of a nullable type is null; takes the branch of its union.
    fn is_null(&mut self, schema: &Schema) -> Result<bool, Stop> {
        let Schema::Union(union) = schema else { return Ok(false) };
        let branch = usize::try_from(self.long()?).map_err(|_negative| Stop::Impossible)?;
        let branch = union.variants().get(branch).ok_or(Stop::Impossible)?;
        Ok(matches!(branch, Schema::Null))
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
mod tests;
