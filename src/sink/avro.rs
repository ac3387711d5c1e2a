//! `Node, schema -> Avro binary`, and Avro binary back to JSON.
//!
//! The schema is resolved once, when a [`Writer`] is made; a write walks it without looking a
//! definition up anew and without an intermediate value of the crate `apache-avro`. Format: Apache
//! Avro 1.12 specification, "Binary Encoding". Deliberately frames nothing: [`super::codec`] does.

use std::collections::BTreeMap;
use std::sync::Arc;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use jiff::civil::{Date, DateTime, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Unit};

use super::json::{Node, shortest};
use crate::registry::schema::{RecordSchema, Schema, SchemaKind, UnionSchema, fingerprint};

/// Day 0 of Avro's logical type `date`.
const EPOCH: Date = date(1970, 1, 1);

/// A node that does not fit the schema. Names the place in the schema, never the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value of `{path}` does not fit its Avro type {expected}")]
pub struct Mismatch {
    /// Column, with dots into records.
    pub path: String,
    /// Type that the schema asks for.
    pub expected: String,
}

/// Writes nodes under one schema.
pub struct Writer {
    schema: Arc<Schema>,
    fingerprint: [u8; 8],
    names: BTreeMap<String, Schema>,
    /// Columns that no node carries, with their default in binary.
    defaults: BTreeMap<String, Vec<u8>>,
}

impl Writer {
    /// A writer under `schema`. Columns of the record type `owner` that are named in `defaulted`
    /// are not filled by sluice: each must have a default, which is written instead. An error
    /// names the column whose default is unfit.
    pub fn new(schema: Arc<Schema>, owner: &str, defaulted: &[String]) -> Result<Self, Mismatch> {
        let mut names = BTreeMap::new();
        collect_names(&schema, &mut names);
        let mut defaults = BTreeMap::new();
        if let Some(record) = names.get(owner).and_then(as_record) {
            for column in defaulted {
                let bytes = default_of(record, column).ok_or_else(|| Mismatch {
                    path: column.clone(),
                    expected: "of a default".to_owned(),
                })?;
                defaults.insert(column.clone(), bytes);
            }
        }
        Ok(Self { fingerprint: fingerprint(&schema), schema, names, defaults })
    }

    /// The schema that is written under.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Its fingerprint, which takes longer to find than a record to write.
    pub const fn fingerprint(&self) -> [u8; 8] {
        self.fingerprint
    }

    /// Appends `node` to `out`.
    pub fn write(&self, node: &Node<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
        self.put(node, &self.schema, out)
    }

    fn put(&self, node: &Node<'_>, schema: &Schema, out: &mut Vec<u8>) -> Result<(), Mismatch> {
        let schema = self.resolved(schema);
        if let Schema::Union(union) = schema {
            return self.put_union(node, union, out);
        }
        match (node, schema) {
            (Node::Null, Schema::Null) => {}
            (Node::Boolean(value), Schema::Boolean) => out.push(u8::from(*value)),
            (Node::Long(value), Schema::Long) => put_long(*value, out),
            (Node::Long(value), Schema::Int) => {
                let value = i32::try_from(*value).ok().ok_or_else(|| unfit("int"))?;
                put_long(i64::from(value), out);
            }
            (Node::Float(value), Schema::Float) => out.extend_from_slice(&value.to_le_bytes()),
            (Node::Double(value), Schema::Double) => out.extend_from_slice(&value.to_le_bytes()),
            (Node::Text(text), Schema::String) => put_bytes(text.as_bytes(), out),
            (Node::Date(date), Schema::Date) => put_long(i64::from(days_of(*date)?), out),
            (Node::Timestamp(moment), Schema::TimestampMicros) => {
                put_long(moment.as_microsecond(), out);
            }
            (Node::LocalTimestamp(time), Schema::LocalTimestampMicros) => {
                put_long(micros_of(*time)?, out);
            }
            (Node::List(items), Schema::Array(array)) => {
                if !items.is_empty() {
                    put_long(i64::try_from(items.len()).unwrap_or(i64::MAX), out);
                    items.iter().try_for_each(|item| self.put(item, &array.items, out))?;
                }
                out.push(0);
            }
            (Node::Struct(row), Schema::Record(record)) => self.put_record(row, record, out)?,
            (_, other) => return Err(unfit(kind(other))),
        }
        Ok(())
    }

    fn put_record(
        &self,
        row: &[(std::borrow::Cow<'_, str>, Node<'_>)],
        record: &RecordSchema,
        out: &mut Vec<u8>,
    ) -> Result<(), Mismatch> {
        for (index, field) in record.fields.iter().enumerate() {
            // Nodes mostly stand in the schema's order: look there first.
            let here = row.get(index).filter(|(name, _)| *name == field.name);
            let found = here.or_else(|| row.iter().find(|(name, _)| *name == field.name));
            let put = match (found, self.defaults.get(&field.name)) {
                (Some((_, node)), _) => self.put(node, &field.schema, out),
                (None, Some(default)) => {
                    out.extend_from_slice(default);
                    Ok(())
                }
                (None, None) => Err(unfit("given by no value")),
            };
            put.map_err(|mismatch| mismatch.under(&field.name))?;
        }
        Ok(())
    }

    fn put_union(
        &self,
        node: &Node<'_>,
        union: &UnionSchema,
        out: &mut Vec<u8>,
    ) -> Result<(), Mismatch> {
        let branch = union.variants().iter().position(|branch| fits(node, self.resolved(branch)));
        let branch = branch.ok_or_else(|| unfit("union"))?;
        put_long(i64::try_from(branch).unwrap_or(i64::MAX), out);
        match union.variants().get(branch) {
            Some(schema) => self.put(node, schema, out),
            None => Err(unfit("union")),
        }
    }

    /// The definition behind a name. The parser has refused names without one.
    fn resolved<'s>(&'s self, schema: &'s Schema) -> &'s Schema {
        let Schema::Ref { name } = schema else { return schema };
        self.names.get(&name.to_string()).unwrap_or(schema)
    }
}

impl Mismatch {
    fn under(mut self, field: &str) -> Self {
        self.path =
            if self.path.is_empty() { field.to_owned() } else { format!("{field}.{}", self.path) };
        self
    }
}

fn unfit(expected: impl Into<String>) -> Mismatch {
    Mismatch { path: String::new(), expected: expected.into() }
}

/// Whether `node` is of the kind that `branch` takes. Unions of sluice's columns are a type or
/// null, so the kind decides.
fn fits(node: &Node<'_>, branch: &Schema) -> bool {
    matches!(
        (node, branch),
        (Node::Null, Schema::Null)
            | (Node::Boolean(_), Schema::Boolean)
            | (Node::Long(_), Schema::Long | Schema::Int)
            | (Node::Float(_), Schema::Float)
            | (Node::Double(_), Schema::Double)
            | (Node::Timestamp(_), Schema::TimestampMicros)
            | (Node::LocalTimestamp(_), Schema::LocalTimestampMicros)
            | (Node::Text(_), Schema::String)
            | (Node::Date(_), Schema::Date)
            | (Node::List(_), Schema::Array(_))
            | (Node::Struct(_), Schema::Record(_))
    )
}

/// The default of a column in binary; `None` where it has none that fits its type. A type that
/// refers to another by name is not resolved alone, so it has none either, unless it is null.
fn default_of(record: &RecordSchema, column: &str) -> Option<Vec<u8>> {
    let field = record.fields.iter().find(|field| field.name == column)?;
    let default = field.default.clone()?;
    if let Schema::Union(union) = &field.schema
        && default.is_null()
    {
        let branch = union.variants().iter().position(|branch| matches!(branch, Schema::Null))?;
        let mut bytes = Vec::new();
        put_long(i64::try_from(branch).ok()?, &mut bytes);
        return Some(bytes);
    }
    let value = Value::try_from(default).ok()?.resolve(&field.schema).ok()?;
    let writer = GenericDatumWriter::builder(&field.schema).build().ok()?;
    writer.write_value_to_vec(value).ok()
}

fn as_record(schema: &Schema) -> Option<&RecordSchema> {
    if let Schema::Record(record) = schema { Some(record) } else { None }
}

/// The name of a type as the specification has it, for messages.
pub(super) fn kind(schema: &Schema) -> String {
    format!("{:?}", SchemaKind::from(schema)).to_ascii_lowercase()
}

/// Every named definition inside `schema`, by full name.
fn collect_names(schema: &Schema, names: &mut BTreeMap<String, Schema>) {
    if let Some(name) = schema.name()
        && !matches!(schema, Schema::Ref { .. })
    {
        names.insert(name.to_string(), schema.clone());
    }
    if let Some(record) = as_record(schema) {
        record.fields.iter().for_each(|field| collect_names(&field.schema, names));
    } else if let Schema::Array(array) = schema {
        collect_names(&array.items, names);
    } else if let Schema::Map(map) = schema {
        collect_names(&map.types, names);
    } else if let Schema::Union(union) = schema {
        union.variants().iter().for_each(|branch| collect_names(branch, names));
    }
}

/// Zigzag, then seven bits a byte, least significant first.
fn put_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        let [low, ..] = rest.to_le_bytes();
        out.push(low | 0x80);
        rest >>= 7;
    }
    let [low, ..] = rest.to_le_bytes();
    out.push(low);
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_long(i64::try_from(bytes.len()).unwrap_or(i64::MAX), out);
    out.extend_from_slice(bytes);
}

/// Days since 1970-01-01, before it negative.
fn days_of(date: Date) -> Result<i32, Mismatch> {
    let span = date.since((Unit::Day, EPOCH)).ok().ok_or_else(|| unfit("date"))?;
    Ok(span.get_days())
}

/// Microseconds from 1970-01-01 00:00 to `time` on the same clock, before it negative.
fn micros_of(time: DateTime) -> Result<i64, Mismatch> {
    let moment =
        TimeZone::UTC.to_timestamp(time).ok().ok_or_else(|| unfit("local-timestamp-micros"))?;
    Ok(moment.as_microsecond())
}

/// Why bytes could not be read back. Holds no word of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no value of the Avro schema")]
pub struct Unreadable;

/// Reads one value of `schema`, all of `bytes`, as JSON: dates in ISO 8601, the branch of a union
/// as its bare value. For sluice's own output; a stranger's bytes are read by the room `decode`.
pub fn read(schema: &Schema, bytes: &[u8]) -> Result<serde_json::Value, Unreadable> {
    let mut rest = bytes;
    let reader = GenericDatumReader::builder(schema).build().map_err(|_kept_out| Unreadable)?;
    let value = reader.read_value(&mut rest).map_err(|_kept_out| Unreadable)?;
    if rest.is_empty() { to_json(value) } else { Err(Unreadable) }
}

fn to_json(value: Value) -> Result<serde_json::Value, Unreadable> {
    Ok(match value {
        Value::Union(_, inner) => to_json(*inner)?,
        Value::Date(days) => {
            let date = EPOCH.checked_add(i64::from(days).days()).map_err(|_range| Unreadable)?;
            date.to_string().into()
        }
        Value::Float(float) => shortest(float).into(),
        Value::TimestampMicros(micros) => moment(micros)?.to_string().into(),
        Value::LocalTimestampMicros(micros) => {
            TimeZone::UTC.to_datetime(moment(micros)?).to_string().into()
        }
        Value::Array(items) => {
            serde_json::Value::Array(items.into_iter().map(to_json).collect::<Result<_, _>>()?)
        }
        Value::Map(entries) => object(entries.into_iter())?,
        Value::Record(fields) => object(fields.into_iter())?,
        other @ (Value::Null
        | Value::Boolean(_)
        | Value::Int(_)
        | Value::Long(_)
        | Value::Double(_)
        | Value::Bytes(_)
        | Value::String(_)
        | Value::Fixed(..)
        | Value::Enum(..)
        | Value::Decimal(_)
        | Value::BigDecimal(_)
        | Value::TimeMillis(_)
        | Value::TimeMicros(_)
        | Value::TimestampMillis(_)
        | Value::TimestampNanos(_)
        | Value::LocalTimestampMillis(_)
        | Value::LocalTimestampNanos(_)
        | Value::Duration(_)
        | Value::Uuid(_)) => other.try_into().map_err(|_kept_out| Unreadable)?,
    })
}

fn moment(micros: i64) -> Result<Timestamp, Unreadable> {
    Timestamp::from_microsecond(micros).map_err(|_range| Unreadable)
}

fn object(fields: impl Iterator<Item = (String, Value)>) -> Result<serde_json::Value, Unreadable> {
    let fields = fields.map(|(name, value)| Ok((name, to_json(value)?)));
    Ok(serde_json::Value::Object(fields.collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::sync::Arc;

    use jiff::civil::{Date, date};
    use proptest::prelude::*;

    use super::{Writer, read};
    use crate::registry::schema::parse;
    use crate::sink::json::Node;

    fn written(schema: &str, node: &Node<'_>) -> Result<Vec<u8>, String> {
        let writer = Writer::new(Arc::new(parse(schema).unwrap()), "", &[]).unwrap();
        let mut out = Vec::new();
        writer.write(node, &mut out).map_err(|mismatch| mismatch.to_string())?;
        Ok(out)
    }

    fn text(text: &str) -> Node<'_> {
        Node::Text(Cow::Borrowed(text))
    }

    fn check(schema: &str, node: &Node<'_>, expected: &[u8]) {
        assert_eq!(written(schema, node).unwrap(), expected, "{schema}");
    }

    /// The examples of the Avro specification, "Binary Encoding".
    #[test]
    fn the_examples_of_the_specification_come_out() {
        for (value, bytes) in [
            (0, [0].as_slice()),
            (-1, &[1]),
            (1, &[2]),
            (-2, &[3]),
            (2, &[4]),
            (-64, &[0x7F]),
            (64, &[0x80, 0x01]),
        ] {
            check(r#""long""#, &Node::Long(value), bytes);
            check(r#""int""#, &Node::Long(value), bytes);
        }
        check(r#""string""#, &text("foo"), b"\x06foo");
        let record = r#"{"type":"record","name":"test","fields":[
            {"name":"a","type":"long"},{"name":"b","type":"string"}]}"#;
        let row = vec![("b".into(), text("foo")), ("a".into(), Node::Long(27))];
        check(record, &Node::Struct(row), b"\x36\x06foo");
        let list = Node::List(vec![Node::Long(3), Node::Long(27)]);
        check(r#"{"type":"array","items":"long"}"#, &list, &[4, 6, 0x36, 0]);
        check(r#"["null","string"]"#, &Node::Null, &[0]);
        check(r#"["null","string"]"#, &text("a"), &[2, 2, b'a']);
        check(r#"["string","null"]"#, &Node::Null, &[2]);
        check(r#""float""#, &Node::Float(1.0), &[0, 0, 0x80, 0x3F]);
    }

    #[test]
    fn a_value_that_does_not_fit_names_its_place() {
        let schema = r#"{"type":"record","name":"r","fields":[{"name":"in","type":
            {"type":"record","name":"s","fields":[{"name":"page","type":"int"}]}}]}"#;
        let page =
            |node| Node::Struct(vec![("in".into(), Node::Struct(vec![("page".into(), node)]))]);
        let error = |node: &Node<'_>| written(schema, node).unwrap_err();
        assert!(error(&page(Node::Long(1 << 40))).contains("`in.page`"));
        assert!(error(&page(text("secret"))).ends_with("Avro type int"));
        assert!(error(&Node::Struct(vec![])).contains("`in`"));
    }

    proptest! {
        #[test]
        fn every_date_reads_back(days in -700_000_i64..2_900_000) {
            use jiff::ToSpan as _;
            let day: Date = date(1970, 1, 1).checked_add(days.days()).unwrap();
            let schema = r#"{"type":"int","logicalType":"date"}"#;
            let binary = written(schema, &Node::Date(day)).unwrap();
            let json = read(&parse(schema).unwrap(), &binary).unwrap();
            prop_assert_eq!(json, serde_json::Value::from(day.to_string()));
        }

        #[test]
        fn every_long_reads_back(value in any::<i64>()) {
            let binary = written(r#""long""#, &Node::Long(value)).unwrap();
            prop_assert_eq!(read(&parse(r#""long""#).unwrap(), &binary).unwrap(), value);
        }
    }
}
