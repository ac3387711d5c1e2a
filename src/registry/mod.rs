//! `schema id or subject -> schema`: a blocking client of a schema registry that speaks the
//! Confluent API (`/subjects`, `/schemas/ids`, `/compatibility`).
//!
//! Deliberately retries nothing: its faults carry their class, and the caller owns the clock.
//! Schemas that import others (`references`) are not followed.

mod http;
pub mod schema;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::error::{Fault, FaultClass};

pub use http::Endpoint;
use http::{Answer, Http};
use schema::Schema;

/// How long an id that the registry did not know is not asked for again. A registry may learn an
/// id a moment after a message that carries it; a flood of made-up ids must not become a flood of
/// requests.
const UNKNOWN_KEPT: Duration = Duration::from_secs(10);

/// Limit: ids remembered as unknown; 1024 x 32 bytes is 32 kB.
const UNKNOWN_MAX: usize = 1024;

/// A schema as a subject holds it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Registered {
    /// Id, one per distinct schema in the registry.
    pub id: u32,
    /// Version in the subject, from 1.
    #[serde(default)]
    pub version: u32,
    /// The schema, as JSON text; absent from answers that only name it.
    #[serde(default)]
    pub schema: String,
}

/// A client of one registry; share it by reference or in an [`Arc`].
pub struct Client {
    http: Http,
    known: Mutex<BTreeMap<u32, Arc<Schema>>>,
    unknown: Mutex<BTreeMap<u32, Instant>>,
}

/// The subject of a topic's values under the topic name strategy, Confluent's default.
pub fn subject(topic: &str) -> String {
    format!("{topic}-value")
}

impl Client {
    /// A client of the registry at `endpoint`. Connects at the first request.
    pub fn new(endpoint: Endpoint) -> Result<Self, Fault> {
        Ok(Self {
            http: Http::new(endpoint)?,
            known: Mutex::new(BTreeMap::new()),
            unknown: Mutex::new(BTreeMap::new()),
        })
    }

    /// The schema of `id`, kept forever once seen since ids are never used again. `None` where the
    /// registry does not know the id, or knows something else than one self-contained Avro schema.
    pub fn schema_by_id(&self, id: u32) -> Result<Option<Arc<Schema>>, Fault> {
        if let Some(known) = self.recall(id) {
            return Ok(known);
        }
        let answer = self.http.get(&["schemas", "ids", &id.to_string()])?;
        let found = match answer {
            Answer::Ok(body) => parsed::<ById>(&body, "reading a schema by id")?.usable(),
            Answer::NotFound => None,
            Answer::Refused(refusal) => return Err(refusal.fault("reading a schema by id")),
        };
        let Some(schema) = found else {
            self.forget(id);
            return Ok(None);
        };
        let schema = Arc::new(schema);
        locked(&self.known).insert(id, Arc::clone(&schema));
        Ok(Some(schema))
    }

    /// Takes `id` for unknown, for a while.
    pub fn forget(&self, id: u32) {
        locked(&self.known).remove(&id);
        let mut unknown = locked(&self.unknown);
        if unknown.len() >= UNKNOWN_MAX {
            unknown.clear();
        }
        unknown.insert(id, Instant::now());
    }

    /// What [`Self::schema_by_id`] would say without asking; `None` where it would ask.
    pub fn recall(&self, id: u32) -> Option<Option<Arc<Schema>>> {
        if let Some(schema) = locked(&self.known).get(&id) {
            return Some(Some(Arc::clone(schema)));
        }
        let unknown = locked(&self.unknown);
        unknown.get(&id).is_some_and(|at| at.elapsed() < UNKNOWN_KEPT).then_some(None)
    }

    /// The id of `schema` in `subject`; `None` where it is not registered there.
    pub fn id_of(&self, subject: &str, schema: &str) -> Result<Option<u32>, Fault> {
        let doing = "looking a schema up by its subject";
        match self.http.post(&["subjects", subject], &body_of(schema))? {
            Answer::Ok(body) => Ok(Some(parsed::<Registered>(&body, doing)?.id)),
            Answer::NotFound => Ok(None),
            Answer::Refused(refusal) => Err(refusal.fault(doing)),
        }
    }

    /// Whether `schema` could be registered after the latest one of `subject`, by the rules that
    /// the subject has there. A subject without a schema takes any.
    pub fn is_compatible(&self, subject: &str, schema: &str) -> Result<bool, Fault> {
        let doing = "asking whether a schema is compatible";
        let path = ["compatibility", "subjects", subject, "versions", "latest"];
        match self.http.post(&path, &body_of(schema))? {
            Answer::Ok(body) => Ok(parsed::<Compatibility>(&body, doing)?.is_compatible),
            Answer::NotFound => Ok(true),
            Answer::Refused(refusal) => Err(refusal.fault(doing)),
        }
    }

    /// Registers `schema` in `subject` and gives its id, the old one where it is there already.
    /// A schema that breaks the subject's rules is a fatal fault.
    pub fn register(&self, subject: &str, schema: &str) -> Result<u32, Fault> {
        let doing = format!("registering a schema under `{subject}`");
        match self.http.post(&["subjects", subject, "versions"], &body_of(schema))? {
            Answer::Ok(body) => Ok(parsed::<Registered>(&body, &doing)?.id),
            Answer::NotFound => Err(Fault::plain(
                FaultClass::Fatal,
                format!("{doing}: no such path; does the URL end where `/subjects` begins?"),
            )),
            Answer::Refused(refusal) => Err(refusal.fault(&doing)),
        }
    }

    /// The latest schema of `subject`; `None` where it has none.
    pub fn latest(&self, subject: &str) -> Result<Option<Registered>, Fault> {
        let doing = "reading the latest schema of a subject";
        match self.http.get(&["subjects", subject, "versions", "latest"])? {
            Answer::Ok(body) => Ok(Some(parsed(&body, doing)?)),
            Answer::NotFound => Ok(None),
            Answer::Refused(refusal) => Err(refusal.fault(doing)),
        }
    }
}

/// The answer to `GET /schemas/ids/{id}`.
#[derive(Deserialize)]
struct ById {
    schema: String,
    #[serde(default, rename = "schemaType")]
    schema_type: Option<String>,
}

impl ById {
    /// The schema, where it is Avro and stands alone.
    fn usable(self) -> Option<Schema> {
        match self.schema_type.as_deref() {
            None | Some("AVRO") => schema::parse(&self.schema).ok(),
            Some(_) => None,
        }
    }
}

/// The answer to a compatibility question.
#[derive(Deserialize)]
struct Compatibility {
    is_compatible: bool,
}

fn body_of(schema: &str) -> Vec<u8> {
    serde_json::json!({ "schema": schema, "schemaType": "AVRO" }).to_string().into_bytes()
}

/// The answer as `T`. An answer that is none may come from a proxy in the way: worth a retry.
fn parsed<T: for<'a> Deserialize<'a>>(body: &[u8], doing: &str) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        let context = format!("{doing}: the registry's answer is not what its API promises");
        Fault::new(FaultClass::Retry, context, error)
    })
}

/// The guard, also after a panic elsewhere: both maps are whole after each insert.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
