//! `reject topic -> rejects`, by code, time and document: `sluice rejects list` and `show`.
//!
//! Deliberately tells no byte of a body and no value of a header that sluice has not set itself;
//! [`Stored::body`] is for those who ask for it by name.

pub mod replay;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use rdkafka::message::Message;
use serde_json::{Value, json};

use super::topics::{Isolation, Range, Topics};
use crate::config::Flow;
use crate::config::settings::SettingsError;
use crate::error::Fault;
use crate::kafka::Connection;
use crate::route::hops;
use crate::source;
use crate::types::{Delivery, RejectCode, Sensitive};

/// Which rejects.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which rejects")]
pub struct Filter {
    /// Only these codes; several by commas
    #[arg(long, value_name = "CODE,..", value_delimiter = ',')]
    pub code: Vec<String>,
    /// Only those written at this time or later, such as 2026-11-27T10:00:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<Timestamp>,
    /// Only those written before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<Timestamp>,
    /// Only this document: its header `document-id`, or its key
    #[arg(long, value_name = "ID")]
    pub document: Option<String>,
    /// Only this record id
    #[arg(long, value_name = "ID")]
    pub record: Option<String>,
}

impl Filter {
    /// Whether anything is left out.
    pub const fn is_given(&self) -> bool {
        !self.code.is_empty()
            || self.since.is_some()
            || self.until.is_some()
            || self.document.is_some()
            || self.record.is_some()
    }

    fn check(&self) -> Result<(), SettingsError> {
        let known = |code: &&String| RejectCode::from_name(&code.to_ascii_uppercase()).is_none();
        match self.code.iter().find(known) {
            None => Ok(()),
            Some(code) => Err(SettingsError {
                setting: "--code".to_owned(),
                problem: format!("no reject has the code `{code}`; `sluice explain` lists all"),
            }),
        }
    }

    fn takes(&self, one: &Stored) -> bool {
        let sent = one.message.sent;
        let is_code = |code: &String| one.header("sluice-code") == code.to_ascii_uppercase();
        (self.code.is_empty() || self.code.iter().any(is_code))
            && self.since.is_none_or(|since| sent.is_some_and(|sent| sent >= since))
            && self.until.is_none_or(|until| sent.is_some_and(|sent| sent < until))
            && self.document.as_ref().is_none_or(|id| one.is_of(id))
            && self.record.as_ref().is_none_or(|id| one.header("sluice-record-id") == id)
    }
}

/// A reject as it stands on its topic.
pub struct Stored {
    message: Delivery,
}

impl Stored {
    /// The text of a header that sluice sets; empty where it is not there.
    pub fn header(&self, name: &str) -> &str {
        let value = self.message.header(name).and_then(|value| std::str::from_utf8(value).ok());
        value.unwrap_or_default()
    }

    /// How often the message was sent in again.
    pub fn hops(&self) -> u32 {
        hops(&self.message).unwrap_or_default()
    }

    /// The message's body: the part's bytes as they came, or a reference to them.
    pub const fn body(&self) -> Option<&Sensitive<Vec<u8>>> {
        self.message.body.as_ref()
    }

    /// When it was written.
    pub const fn written(&self) -> Option<Timestamp> {
        self.message.sent
    }

    /// What names the document, without characters that a terminal acts on.
    fn document(&self) -> String {
        let key = self.message.key.as_ref().map(|key| key.as_slice());
        let id = self.message.header("document-id").or(key).unwrap_or_default();
        String::from_utf8_lossy(id).chars().filter(|letter| !letter.is_control()).collect()
    }

    fn is_of(&self, id: &str) -> bool {
        let is_key = self.message.key.as_ref().is_some_and(|key| key.as_slice() == id.as_bytes());
        is_key || self.message.header("document-id") == Some(id.as_bytes())
    }

    /// All that may be told of it.
    pub fn json(&self) -> Value {
        let is_own = |name: &str| name.to_ascii_lowercase().starts_with("sluice-");
        let (own, others): (Vec<_>, Vec<_>) =
            self.message.headers.iter().partition(|header| is_own(&header.name));
        let own: BTreeMap<_, _> =
            own.iter().map(|header| (header.name.as_str(), self.header(&header.name))).collect();
        let others: Vec<_> = others.iter().map(|header| header.name.as_str()).collect();
        json!({
            "record_id": self.header("sluice-record-id"),
            "code": self.header("sluice-code"),
            "document": self.document(),
            "written": self.written().map(|time| time.to_string()),
            "hops": self.hops(),
            "place": self.message.position.to_string(),
            "bytes": self.body().map_or(0, |body| body.len()),
            "headers": own,
            "other_headers": others,
        })
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let written = self.written().map_or_else(|| "-".to_owned(), |time| time.to_string());
        let (id, code) = (self.header("sluice-record-id"), self.header("sluice-code"));
        let (document, detail) = (self.document(), self.header("sluice-detail"));
        format!("{written}  {code}  {id}  hops {}  {document}  {detail}", self.hops())
    }
}

/// The rejects of a flow that are there now.
pub struct Rejects {
    topics: Topics,
    topic: String,
    ranges: Vec<Range>,
    filter: Filter,
}

impl Rejects {
    /// Those of `flow` that `filter` takes.
    pub fn of(flow: &Flow, connection: &Connection, filter: &Filter) -> Result<Self> {
        filter.check()?;
        let topics = Topics::connect(connection, Isolation::Committed)?;
        let topic = flow.pipeline.output.reject_topic.clone();
        let mut ranges = topics.whole(&topic)?;
        if let Some(since) = filter.since {
            let at = topics.at(&topic, since)?;
            for range in &mut ranges {
                let at = at.get(&range.partition).copied().unwrap_or(range.from);
                range.from = range.from.max(at);
            }
        }
        Ok(Self { topics, topic, ranges, filter: filter.clone() })
    }

    /// Tells each, partition by partition in order.
    pub fn each(
        &self,
        mut visit: impl FnMut(Stored) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), Fault> {
        let topic = Arc::from(self.topic.as_str());
        for range in &self.ranges {
            self.topics.read(&self.topic, &[*range], |message| {
                // A null body erases what stood under its key; it is no reject.
                if message.payload().is_none() {
                    return Ok(ControlFlow::Continue(()));
                }
                let stored = Stored { message: source::delivery_of(message, &topic) };
                if self.filter.takes(&stored) {
                    visit(stored)
                } else {
                    Ok(ControlFlow::Continue(()))
                }
            })?;
        }
        Ok(())
    }
}
