//! `Record, Review, Audit -> bytes of a message`, and back to JSON: Avro in one of its two framings, or
//! JSON.
//!
//! With a registry, Confluent wire format: a zero byte, the schema id in four bytes big-endian, the
//! Avro binary. Without, Avro single-object encoding: `C3 01`, the CRC-64-AVRO of the schema's
//! parsing canonical form in eight bytes little-endian, the Avro binary. Deliberately chooses no
//! topic and no key: that is the room `route`.

use std::sync::Arc;

use super::avro::{self, Mismatch, Unreadable, Writer};
pub use super::json::{Columns, Node};
pub use super::schemas::{Problem, Resolved, Schemas};
use crate::config::pipeline::{Format, Output};
use crate::error::{Fault, FaultClass};
use crate::registry::schema::Schema;
use crate::registry::{self, Client};
use crate::types::{Audit, Record, Review};

/// First two bytes of Avro single-object encoding, version 1.
const SINGLE_OBJECT: [u8; 2] = [0xC3, 0x01];

/// How records and reviews are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Confluent wire format, with the ids that the registry gave.
    Confluent {
        /// Id of the record schema.
        record: u32,
        /// Id of the review schema.
        review: u32,
        /// Id of the audit schema; 0, which no schema has, where there is no audit.
        audit: u32,
    },
    /// Avro single-object encoding.
    SingleObject,
    /// One JSON object a message, UTF-8, no line break.
    Json,
}

/// A record or review that cannot be written. The schema was checked against the columns at the
/// start, so this is a number out of its column's range, or a bug. Holds no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The Avro schema does not take it.
    #[error(transparent)]
    Avro(#[from] Mismatch),
    /// It is no JSON.
    #[error("the columns cannot be written as JSON")]
    Json,
}

/// Turns outcomes into bytes. Made once a flow; every write reuses the resolved schemas.
pub struct Codec {
    schemas: Arc<Schemas>,
    record: Writer,
    review: Writer,
    audit: Writer,
    form: Form,
}

impl Codec {
    /// A codec for checked schemas.
    pub fn new(schemas: Arc<Schemas>, form: Form) -> Result<Self, Fault> {
        let writer = |schema: &Arc<Schema>| {
            Writer::new(Arc::clone(schema), &schemas.record_name, &schemas.defaulted).map_err(
                |error| Fault::new(FaultClass::Fatal, "preparing the output schema", error),
            )
        };
        let record = writer(&schemas.record.schema)?;
        let review = writer(&schemas.review.schema)?;
        let audit = writer(&schemas.audit.schema)?;
        Ok(Self { schemas, record, review, audit, form })
    }

    /// A codec for `output` as the world is: JSON where asked, Confluent wire format where there
    /// is a registry, else single-object encoding.
    ///
    /// Needs no right to register: every schema is looked up under `TOPIC-value`, and asked to be
    /// compatible with the latest ones there. A schema that is not registered is a fatal fault.
    pub fn connect(
        schemas: Arc<Schemas>,
        output: &Output,
        registry: Option<&Client>,
    ) -> Result<Self, Fault> {
        let form = match (output.format, registry) {
            (Format::Json, _) => Form::Json,
            (Format::Avro, None) => Form::SingleObject,
            (Format::Avro, Some(client)) => Form::Confluent {
                record: id_of(client, &output.record_topic, &schemas.record.json)?,
                review: id_of(client, &output.review_topic, &schemas.review.json)?,
                audit: match &output.audit_topic {
                    Some(topic) => id_of(client, topic, &schemas.audit.json)?,
                    None => 0,
                },
            },
        };
        Self::new(schemas, form)
    }

    /// How this codec writes.
    pub const fn form(&self) -> Form {
        self.form
    }

    /// The schemas that it writes under.
    pub fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    /// Media type of what it writes, for the header `content-type`.
    pub const fn content_type(&self) -> &'static str {
        match self.form {
            Form::Confluent { .. } | Form::SingleObject => "application/avro",
            Form::Json => "application/json",
        }
    }

    /// The body of a record's message.
    pub fn record(&self, record: &Record) -> Result<Vec<u8>, Unfit> {
        let id = match self.form {
            Form::Confluent { record, .. } => record,
            Form::SingleObject | Form::Json => 0,
        };
        self.bytes(&self.schemas.columns.record(record), &self.record, id)
    }

    /// The body of a review's message.
    pub fn review(&self, review: &Review) -> Result<Vec<u8>, Unfit> {
        let id = match self.form {
            Form::Confluent { review, .. } => review,
            Form::SingleObject | Form::Json => 0,
        };
        self.bytes(&self.schemas.columns.review(review), &self.review, id)
    }

    /// The body of an audit message.
    pub fn audit(&self, audit: &Audit<'_>) -> Result<Vec<u8>, Unfit> {
        let id = match self.form {
            Form::Confluent { audit, .. } => audit,
            Form::SingleObject | Form::Json => 0,
        };
        self.bytes(&super::audit::node(audit), &self.audit, id)
    }

    fn bytes(&self, node: &Node<'_>, writer: &Writer, id: u32) -> Result<Vec<u8>, Unfit> {
        let mut out = Vec::with_capacity(4096);
        match self.form {
            Form::Json => {
                return serde_json::to_vec(node).map_err(|_quotes| Unfit::Json);
            }
            Form::Confluent { .. } => {
                out.push(0);
                out.extend_from_slice(&id.to_be_bytes());
            }
            Form::SingleObject => {
                out.extend_from_slice(&SINGLE_OBJECT);
                out.extend_from_slice(&writer.fingerprint());
            }
        }
        writer.write(node, &mut out)?;
        Ok(out)
    }

    /// Reads a message body that a codec of the same schemas wrote, record or review. `find` gives
    /// the schema of a registry id that is not one of this codec's, such as an older version's.
    pub fn read(
        &self,
        body: &[u8],
        find: &dyn Fn(u32) -> Option<Arc<Schema>>,
    ) -> Result<serde_json::Value, Unreadable> {
        match (Framed::of(body), self.form) {
            (Framed::Confluent(id, binary), Form::Confluent { record, .. }) if id == record => {
                avro::read(self.record.schema(), binary)
            }
            (Framed::Confluent(id, binary), Form::Confluent { review, .. }) if id == review => {
                avro::read(self.review.schema(), binary)
            }
            (Framed::Confluent(id, binary), Form::Confluent { audit, .. }) if id == audit => {
                avro::read(self.audit.schema(), binary)
            }
            (Framed::Confluent(id, binary), _) => avro::read(&*find(id).ok_or(Unreadable)?, binary),
            (Framed::SingleObject(print, binary), _) => {
                let mut writers = [&self.record, &self.review, &self.audit].into_iter();
                let writer = writers.find(|writer| writer.fingerprint() == print);
                avro::read(writer.ok_or(Unreadable)?.schema(), binary)
            }
            (Framed::Json(json), _) => serde_json::from_slice(json).map_err(|_kept_out| Unreadable),
        }
    }
}

/// A message body by its first bytes. JSON begins with neither mark.
enum Framed<'a> {
    Confluent(u32, &'a [u8]),
    SingleObject([u8; 8], &'a [u8]),
    Json(&'a [u8]),
}

impl<'a> Framed<'a> {
    fn of(body: &'a [u8]) -> Self {
        if let Some((&[0, a, b, c, d], binary)) = body.split_first_chunk() {
            return Self::Confluent(u32::from_be_bytes([a, b, c, d]), binary);
        }
        if let Some((&SINGLE_OBJECT, rest)) = body.split_first_chunk()
            && let Some((print, binary)) = rest.split_first_chunk()
        {
            return Self::SingleObject(*print, binary);
        }
        Self::Json(body)
    }
}

fn id_of(client: &Client, topic: &str, schema: &str) -> Result<u32, Fault> {
    let subject = registry::subject(topic);
    let hint = "run `sluice schema register DIR` with the right to register";
    let Some(id) = client.id_of(&subject, schema)? else {
        let context = format!("the schema is not registered under `{subject}`; {hint}");
        return Err(Fault::plain(FaultClass::Fatal, context));
    };
    if client.is_compatible(&subject, schema)? {
        return Ok(id);
    }
    Err(Fault::plain(
        FaultClass::Fatal,
        format!(
            "the schema (id {id}) is not compatible with the latest one under `{subject}`; \
             run a newer pipeline folder, or compare with `sluice schema diff DIR`"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::Framed;

    #[test]
    fn framings_are_told_apart_by_their_first_bytes() {
        assert!(matches!(Framed::of(b"\0\0\0\x01\x02x"), Framed::Confluent(258, b"x")));
        let single = Framed::of(b"\xC3\x01ABCDEFGHx");
        assert!(matches!(single, Framed::SingleObject(print, b"x") if print == *b"ABCDEFGH"));
        assert!(matches!(Framed::of(b"{}"), Framed::Json(b"{}")));
        assert!(matches!(Framed::of(b"\0\0"), Framed::Json(_)));
    }
}
